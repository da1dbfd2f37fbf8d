//! The destination of the daemon's log lines. No failure of a log reaches the daemon.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;

use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Reply, Sink, wait_until};
use serde_json::json;

use crate::daemon::{Case, Daemon, SOON, Way};

const NOWHERE: &str = "http://127.0.0.1:9/v1/role";

fn told(log: &str) -> Vec<String> {
    log.lines()
        .map(|line| {
            let mut parts = line.splitn(5, ' ');
            let (Some(date), Some(time), Some(level), Some(logger), Some(message)) =
                (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
            else {
                panic!("no log line: {line}")
            };
            let (logger, number) = logger.rsplit_once(':').unwrap();
            let stamp = format!("{date} {time}");
            let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
            assert_eq!(shape, "9999-99-99 99:99:99,999", "{line}");
            assert!(number.parse::<u32>().is_ok(), "{line}");
            format!("{level} {logger} {message}")
        })
        .collect()
}

fn legacy(log: &str) -> Vec<String> {
    told(log).into_iter().filter(|line| line.split(' ').nth(1).unwrap().starts_with("k2hr3_osnl")).collect()
}

fn deleted(cuk: &str, addresses: &[&str]) -> Notice {
    let fixed_ips: Vec<_> = addresses.iter().map(|ip| json!({"ip_address": ip})).collect();
    let port = json!({"device_id": cuk, "device_owner": "compute:nova", "fixed_ips": fixed_ips});
    Notice { payload: json!({"port": port}), ..Notice::default() }
}

/// The target answers from `script`, then with success. Returns the lines under the legacy names,
/// but `Starting` and `Stopping`.
fn life(script: Vec<Reply>, options: &str, notices: &[(Notice, &str)]) -> Vec<String> {
    let vhost = Broker::shared().vhost("wire-log");
    let sink = Sink::start();
    sink.script(script);
    let api_url = format!("{}\nmax_retries = 0\nretry_interval_seconds = 1\n{options}", sink.url("/v1/role"));
    let case = Case::new(&vhost.url(), &api_url, "");
    let daemon = Daemon::start(&mut case.command());
    case.wait_for("stderr", " Starting\n");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let mut seen = 0;
    for (notice, last) in notices {
        publisher.notify(notice);
        wait_until(SOON, last, || case.read("stderr")[seen..].contains(last));
        seen = case.read("stderr").len();
    }
    daemon.stop();
    let mut lines = legacy(&case.read("stderr"));
    assert_eq!(lines.remove(0), "INFO k2hr3_osnl Starting");
    let stopping: Vec<usize> =
        (0..lines.len()).filter(|at| lines[*at] == "INFO k2hr3_osnl Stopping").collect();
    assert_eq!(stopping.len(), 1, "{lines:#?}");
    lines.truncate(stopping[0]);
    lines
}

#[track_caller]
fn check(lines: &[String], expected: &[&str]) {
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line} is not {expected}");
    }
}

#[test]
fn what_monitoring_greps_is_logged_as_k2hr3_osnl_logged_it() {
    let cuk = |last: char| format!("12345678-1234-5678-1234-56781234567{last}");
    let lines = life(
        vec![Reply::Status(204), Reply::Status(204), Reply::Status(403)],
        "",
        &[
            (deleted(&cuk('A'), &["10.0.0.1"]), "HANDLED"),
            (deleted(&cuk('b'), &[]), "HANDLED"),
            (deleted(&cuk('c'), &["10.0.0.1"]), "HANDLED"),
            (deleted("no-uuid", &["10.0.0.1"]), "handled the msg"),
        ],
    );
    check(
        &lines,
        &[
            &format!("INFO k2hr3_osnl.endpoint NotificationResult.HANDLED {}", cuk('A')),
            "WARNING k2hr3_osnl.endpoint ips is empty",
            &format!("INFO k2hr3_osnl.endpoint NotificationResult.HANDLED {}", cuk('b')),
            &format!("ERROR k2hr3_osnl.endpoint no sent. {} error status 403", cuk('c')),
            &format!("WARNING k2hr3_osnl.endpoint handled {}, even if an error occurred.", cuk('c')),
            &format!("INFO k2hr3_osnl.endpoint NotificationResult.HANDLED {}", cuk('c')),
            "ERROR k2hr3_osnl.endpoint k2hr3 exception unusable notification",
            "WARNING k2hr3_osnl.endpoint handled the msg even if an error occurred.",
        ],
    );
}

#[test]
fn what_goes_back_to_the_broker_is_logged_as_requeued() {
    let cuk = "12345678-1234-5678-1234-56781234567A";
    let lines = life(
        vec![Reply::Status(403)],
        "requeue_on_error = True",
        &[(deleted(cuk, &["10.0.0.1"]), "NotificationResult.HANDLED")],
    );
    check(
        &lines,
        &[
            &format!("WARNING k2hr3_osnl.endpoint requeuing {cuk}"),
            &format!("INFO k2hr3_osnl.endpoint NotificationResult.REQUEUE {cuk}"),
            &format!("INFO k2hr3_osnl.endpoint NotificationResult.HANDLED {cuk}"),
        ],
    );
}

#[test]
fn our_lines_go_to_the_log_file_and_the_libraries_to_stderr() {
    let way = Way::closed("log-file");
    way.open();
    let case = Case::new(&way.url(), NOWHERE, "libs_debug_level = debug\nlog_file = FOLDER/log");
    fs::write(case.path("log"), "from before\n").unwrap();
    let daemon = Daemon::start(&mut case.command());
    case.wait_for("log", " Starting\n");
    daemon.stop();
    let (log, stderr) = (case.read("log"), case.read("stderr"));
    let ours = told(log.strip_prefix("from before\n").expect("appended to"));
    assert!(ours.iter().any(|line| line == "INFO k2hr3_osnl Stopping"), "{ours:#?}");
    assert!(ours.iter().all(|line| line.contains(" osnl") || line.contains(" k2hr3_osnl")), "{ours:#?}");
    let libraries = told(&stderr);
    assert!(!libraries.is_empty(), "lapin says much at this level");
    assert!(
        libraries.iter().all(|line| !line.contains(" osnl") && !line.contains(" k2hr3_osnl")),
        "{stderr}"
    );
}

#[test]
fn a_log_file_that_is_moved_away_is_opened_anew() {
    let way = Way::closed("log-moved");
    let case = Case::new(&way.url(), NOWHERE, "log_file = FOLDER/overruled\ndebug_level = debug");
    let daemon = Daemon::start(case.command().arg("-f").arg(case.path("log")));
    case.wait_for("log", "cannot listen");
    fs::rename(case.path("log"), case.path("moved")).unwrap();
    case.wait_for("log", "127.0.0.1");
    fs::rename(case.path("log"), case.path("moved too")).unwrap();
    daemon.signal("HUP");
    case.wait_for("log", "SIGHUP: the log file is opened again");
    daemon.stop();
    assert!(case.read("log").contains("Stopping") && !case.path("overruled").exists());
    assert!(told(&case.read("stderr")).iter().all(|line| line.contains(" lapin")), "{}", case.read("stderr"));
}

#[test]
fn a_log_file_that_cannot_be_written_is_said_once_and_its_lines_come_to_stderr() {
    let way = Way::closed("log-full");
    let case = Case::new(&way.url(), NOWHERE, "log_file = FOLDER/log");
    // A link, so that the device stays whatever the daemon does.
    std::os::unix::fs::symlink("/dev/full", case.path("log")).unwrap();
    let daemon = Daemon::start(&mut case.command());
    case.wait_for("stderr", "cannot listen");
    way.wait_for_tries(2);
    daemon.stop();
    let stderr = case.read("stderr");
    let remark = format!("log file {}: No space left", case.path("log").display());
    assert_eq!(stderr.matches(&remark).count(), 1, "{stderr}");
    assert!(stderr.starts_with("log file") && stderr.contains("Stopping"), "{stderr}");
}

#[test]
fn a_hangup_without_a_log_file_ends_nothing() {
    let way = Way::closed("hangup");
    let case = Case::new(&way.url(), NOWHERE, "");
    let daemon = Daemon::start(&mut case.command());
    case.wait_for("stderr", "cannot listen");
    daemon.signal("HUP");
    case.wait_for("stderr", "SIGHUP: the log goes to stderr");
    daemon.stop();
}

#[test]
fn stderr_that_nobody_reads_or_that_is_closed_ends_nothing() {
    for close in [true, false] {
        let way = Way::closed("stderr");
        let case = Case::new(&way.url(), NOWHERE, "libs_debug_level = debug");
        let mut daemon = Daemon::start(case.command().stderr(Stdio::piped()));
        let unread = daemon.child().stderr.take().filter(|_| !close);
        // A further attempt proves that the log line of the last one did not block.
        way.wait_for_tries(3);
        daemon.stop();
        drop(unread);
    }
    // The exit status shows an error at the start, even with stderr closed.
    let case = Case::new("wrong://", NOWHERE, "");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut daemon = Daemon::start(case.command().stderr(writer));
    assert_eq!(daemon.wait().code(), Some(1));
}

#[test]
fn lines_bear_the_journals_priorities_only_where_stderr_is_the_journal() {
    let way = Way::closed("journal");
    for (offset, expected) in [(Some(0), true), (Some(1), false), (None, false)] {
        let case = Case::new(&way.url(), NOWHERE, "");
        let mut command = case.command();
        if let Some(offset) = offset {
            let is = File::open(case.path("stderr")).unwrap().metadata().unwrap();
            command.env("JOURNAL_STREAM", format!("{}:{}", is.dev(), is.ino() + offset));
        }
        let daemon = Daemon::start(&mut command);
        case.wait_for("stderr", "cannot listen");
        daemon.stop();
        let stderr = case.read("stderr");
        let mut priorities = std::collections::BTreeSet::new();
        for line in stderr.lines() {
            let bare = line.get(..3).filter(|begin| begin.starts_with('<') && begin.ends_with('>'));
            assert_eq!(bare.is_some(), expected, "{offset:?}: {line}");
            priorities.extend(bare.map(|priority| {
                (priority.to_owned(), told(&line[3..])[0].split(' ').next().unwrap().to_owned())
            }));
        }
        let pair = |priority: &str, level: &str| (priority.to_owned(), level.to_owned());
        if expected {
            let all = [pair("<3>", "ERROR"), pair("<4>", "WARNING"), pair("<6>", "INFO")];
            assert!(priorities.len() > 1 && priorities.is_subset(&all.into()), "{priorities:?}");
        }
    }
}
