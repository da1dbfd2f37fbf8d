//! A message is on the disk before its acknowledgement, whatever the clock does and whichever
//! program runs next.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use osnl_testkit::{Reply, wait_until};

use crate::harness::SOON;
use crate::journalled::{QUEUE, Rig, address, preload, resource};

#[derive(Debug, PartialEq, Eq)]
enum Call {
    Append { end: usize, data: Vec<u8> },
    Sync { begin: usize, end: usize },
    Ack { begin: usize, tag: u64, multiple: bool },
}

fn read(trace: &str) -> Vec<Call> {
    let lines: Vec<&str> = trace.lines().collect();
    let mut calls = Vec::new();
    for (begin, line) in lines.iter().enumerate() {
        let Some((thread, call)) = line.trim_start().split_once(char::is_whitespace) else { continue };
        let call = call.trim_start();
        let Some((name, rest)) = call.split_once('(') else { continue };
        let (place, rest) = rest.split_once('>').unwrap_or_default();
        let name_of_file = String::from_utf8_lossy(&bytes(place)).into_owned();
        let place = if place.contains("\\x") { &*name_of_file } else { place };
        let end = || {
            if !call.ends_with("<unfinished ...>") {
                return (call.ends_with(") = 0") || !name.contains("sync")).then_some(begin);
            }
            let resumed = format!("<... {name} resumed>");
            let ends = |line: &&str| {
                line.trim_start()
                    .strip_prefix(thread)
                    .is_some_and(|rest| rest.trim_start().starts_with(&resumed))
            };
            let end = begin + 1 + lines[begin + 1..].iter().position(ends)?;
            (lines[end].ends_with(" = 0") || !name.contains("sync")).then_some(end)
        };
        match name {
            "fdatasync" | "fsync" if place.ends_with("journal.db-wal") => {
                calls.extend(end().map(|end| Call::Sync { begin, end }));
            }
            "pwrite64" | "write" if place.ends_with("journal.db-wal") => {
                calls.extend(end().map(|end| Call::Append { end, data: bytes(rest) }));
            }
            "sendto" | "write" | "writev" | "sendmsg" if !place.contains("/journal.db") => {
                acks(&bytes(rest)).for_each(|(tag, multiple)| calls.push(Call::Ack { begin, tag, multiple }));
            }
            _ => {}
        }
    }
    calls
}

fn bytes(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).filter_map(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok()).collect()
}

/// Finds method frames 60.80 on any channel: 13 octets of payload, of which the tag has eight and
/// `multiple` is the last.
fn acks(data: &[u8]) -> impl Iterator<Item = (u64, bool)> {
    data.windows(21).filter_map(|frame| match frame {
        [1, _, _, 0, 0, 0, 13, 0, 60, 0, 80, tag @ .., multiple, 0xce] => {
            Some((u64::from_be_bytes(tag.try_into().ok()?), multiple & 1 == 1))
        }
        _ => None,
    })
}

/// Checks that a sync which began after a message's write returned before its tag was acknowledged.
/// Messages are in order, so tag 1 is number 0.
fn acknowledged_after_the_sync(calls: &[Call], messages: usize) -> Result<(), String> {
    for n in 0..messages {
        let marker = address(n).into_bytes();
        let tag_of = n as u64 + 1;
        let ack = calls.iter().find_map(|call| match call {
            Call::Ack { begin, tag, multiple } if *tag == tag_of || *multiple && *tag > tag_of => {
                Some(*begin)
            }
            Call::Ack { .. } | Call::Append { .. } | Call::Sync { .. } => None,
        });
        let written = calls.iter().find_map(|call| match call {
            Call::Append { end, data } if data.windows(marker.len()).any(|part| part == marker) => Some(*end),
            Call::Append { .. } | Call::Ack { .. } | Call::Sync { .. } => None,
        });
        let (Some(ack), Some(written)) = (ack, written) else {
            return Err(format!("message {n}: acknowledged in line {ack:?}, written in {written:?}"));
        };
        let safe = calls.iter().any(|call| match call {
            Call::Sync { begin, end } => *begin > written && *end < ack,
            Call::Append { .. } | Call::Ack { .. } => false,
        });
        if !safe {
            return Err(format!(
                "message {n}: written in line {written}, acknowledged in {ack}, no sync between"
            ));
        }
    }
    Ok(())
}

#[test]
fn a_trace_is_read_as_it_was() {
    let sync = "7  fdatasync(5</j/journal.db-wal> <unfinished ...>\n";
    let written: String = address(0).bytes().map(|byte| format!("\\x{byte:02x}")).collect();
    let append = &format!("7  pwrite64(5</j/journal.db-wal>, \"{written}\", 12, 0) = 12\n");
    let done = "7  <... fdatasync resumed>) = 0\n";
    let failed = "7  <... fdatasync resumed>) = -1 EIO (Input/output error)\n";
    let other = "8  fdatasync(6</j/journal.db-wal>) = 0\n";
    let ack = "9  sendto(4<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"\\x01\\x00\\x01\\x00\\x00\\x00\\x0d\\x00\\x3c\\x00\\x50\
               \\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01\\x00\\xce\", 21, MSG_NOSIGNAL, NULL, 0) = 21\n";
    let check = |lines: &[&str], good: bool| {
        let found = acknowledged_after_the_sync(&read(&lines.concat()), 1);
        assert_eq!(found.is_ok(), good, "{lines:#?}\n{found:?}");
    };
    check(&[append, sync, done, ack], true);
    check(&[append, other, ack], true);
    check(&[append, sync, ack, done], false);
    check(&[append, ack, sync, done], false);
    check(&[sync, append, done, ack], false);
    check(&[append, sync, failed, ack], false);
    check(&[append, sync, done], false);
    check(&[ack], false);
}

fn no_acknowledgement_leaves_early(name: &str, start: fn(&mut Rig, &Path)) {
    const MESSAGES: usize = 200;
    let mut rig = Rig::new(name);
    let trace = rig.path("trace");
    start(&mut rig, &trace);
    rig.consuming();
    for count in [1, 1, 1, 7, MESSAGES - 10] {
        rig.publish(count, 1000);
        wait_until(SOON, "an empty queue", || rig.vhost.queue_depth(QUEUE) == Some((0, 0)));
    }
    rig.all_done();
    let file = || fs::metadata(rig.path("journal.db")).unwrap().len();
    wait_until(SOON, "a checkpoint, there is one each second", || file() > 40 * 1024);
    rig.kill();
    let trace = fs::read_to_string(trace).unwrap();
    assert!(trace.contains("fdatasync("), "SQLite was built without HAVE_FDATASYNC: see .cargo/config.toml");
    acknowledged_after_the_sync(&read(&trace), MESSAGES).unwrap_or_else(|error| panic!("{error}"));
    let (appends, checkpoints) = (writers(&trace, "journal.db-wal"), writers(&trace, "journal.db"));
    let appends = appends.last().unwrap();
    assert!(
        !checkpoints.is_empty() && !checkpoints.contains(appends),
        "{appends} appends, {checkpoints:?} move"
    );
}

fn writers<'a>(trace: &'a str, file: &str) -> Vec<&'a str> {
    let thread = |line: &'a str| {
        let (thread, call) = line.trim_start().split_once(char::is_whitespace)?;
        let (name, rest) = call.trim_start().split_once('(')?;
        let (place, _) = rest.split_once('>')?;
        let is_file = place.ends_with(file) || bytes(place).ends_with(file.as_bytes());
        (name == "pwrite64" && is_file).then_some(thread)
    };
    trace.lines().filter_map(thread).collect()
}

/// Traces the kernel. Where tracing is forbidden, the next test runs instead.
#[test]
fn no_acknowledgement_leaves_before_the_sync_that_covers_it() {
    let strace: fn(&mut Rig, &Path) = |rig, trace| {
        let calls = "trace=fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg";
        let file = trace.to_string_lossy();
        rig.start_under(&["strace", "-f", "-yy", "-xx", "-s", "70000", "-e", calls, "-o", &file], &[]);
    };
    let start = if may_trace() { strace } else { by_the_stand_in };
    no_acknowledgement_leaves_early("synced", start);
}

/// The preloaded library replaces the tracer elsewhere, so it must give the same verdict.
#[test]
fn no_acknowledgement_leaves_before_the_sync_that_returned_to_us() {
    no_acknowledgement_leaves_early("returned", by_the_stand_in);
}

fn by_the_stand_in(rig: &mut Rig, trace: &Path) {
    rig.start_under(&[], &[("LD_PRELOAD", preload().to_owned()), ("OSNL_TEST_TRACE", trace.to_owned())]);
}

pub(crate) fn may_trace() -> bool {
    let strace = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    strace.is_ok_and(|status| status.success())
}

#[test]
fn a_clock_that_is_set_while_a_target_is_held_changes_nothing() {
    const EVENTS: usize = 40;
    for (name, seconds) in [("forward", "3600"), ("back", "-3600")] {
        let mut rig = Rig::new(name);
        rig.start();
        rig.consuming();
        rig.sink.reply_with(Reply::Status(503));
        rig.publish(EVENTS, 8);
        rig.sink.wait_for(10, SOON);
        fs::write(rig.path("clock"), seconds).unwrap();
        // Tries continue at about one a second, as before the clock's change.
        let (before, began) = (rig.sink.requests().len(), Instant::now());
        rig.sink.wait_for(before + 3, SOON);
        let took = began.elapsed();
        assert!(took > Duration::from_millis(1500), "{name}: three tries in {took:?}");
        rig.publish(EVENTS, 8);
        wait_until(SOON, "all in the journal", || rig.vhost.queue_depth(QUEUE) == Some((0, 0)));
        rig.sink.reply_with(Reply::Status(204));
        rig.all_done();
    }
}

#[test]
fn with_one_parked_resource_a_kill_repeats_nothing_else() {
    const EVENTS: usize = 60;
    const KEYS: usize = 20;
    let mut rig = Rig::new("parked");
    let parked = resource(0, KEYS);
    let of_parked = parked.clone();
    rig.sink.reply_when(move |request| request.target.contains(&of_parked).then_some(Reply::Status(500)));
    rig.start();
    rig.consuming();
    rig.publish(EVENTS, KEYS);
    let journal = rig.path("journal.db");
    let open = || -> Option<u64> {
        let mut list = Command::new(env!("CARGO_BIN_EXE_osnl"));
        list.args(["deliveries", "list", "--state", "pending", "--format", "json", "--journal"]);
        let listed = list.arg(&journal).output().unwrap().stdout;
        serde_json::from_slice::<serde_json::Value>(&listed).ok()?["totals"]["all"].as_u64()
    };
    // The two events behind the first of its resource are not tried.
    wait_until(SOON, "all others are done", || {
        rig.effects().len() == EVENTS - 2 && open() == Some((EVENTS / KEYS) as u64)
    });
    rig.kill();
    let before = rig.sink.requests().len();
    rig.sink.reply_when(|_| None);
    rig.start();
    rig.all_done();
    wait_until(SOON, "nothing is open", || open() == Some(0));
    let requests = rig.sink.requests();
    let repeated: Vec<&str> = requests[before..].iter().map(|request| request.target.as_str()).collect();
    assert_eq!(repeated.len(), EVENTS / KEYS, "{repeated:#?}");
    for (n, target) in repeated.iter().enumerate() {
        assert!(target.contains(&parked) && target.contains(&address(n * KEYS)), "{repeated:#?}");
    }
}
