//! Storage that fails under a running daemon: the broker keeps the messages, the log has the
//! remedy, and all messages are delivered after the repair.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use osnl_testkit::wait_until;

use crate::crash::may_trace;
use crate::harness::SOON;
use crate::journalled::{QUEUE, Rig};

const BEFORE: usize = 10;
const DURING: usize = 30;

fn check(name: &str, breaking: impl FnOnce(&Rig), advice: &str, mending: impl FnOnce(&Rig)) {
    let mut rig = Rig::new(name);
    rig.start();
    rig.consuming();
    rig.publish(BEFORE, 1000);
    rig.all_done();
    breaking(&rig);
    rig.publish(DURING, 1000);
    rig.wait_for_log(advice);
    assert!(rig.log().contains("nothing is read from the broker, which keeps the messages"), "{}", rig.log());
    wait_until(SOON, "the broker keeps them", || {
        rig.vhost.queue_depth(QUEUE).map(|(ready, unsettled)| ready + unsettled) == Some(DURING as u64)
    });
    assert_eq!(rig.effects().len(), BEFORE, "{}", rig.log());
    assert_eq!(rig.ended(), None, "{}", rig.log());
    mending(&rig);
    rig.all_done();
    rig.wait_for_log("can be written again");
}

fn fault(text: &'static str) -> impl FnOnce(&Rig) {
    move |rig| fs::write(rig.path("fault"), text).unwrap()
}

fn no_fault(rig: &Rig) {
    fs::remove_file(rig.path("fault")).unwrap();
}

fn file_size(limit: &'static str) -> impl FnOnce(&Rig) {
    move |rig| {
        let limit = format!("--fsize={limit}:unlimited");
        let status =
            Command::new("prlimit").args(["--pid", &rig.pid().to_string(), &limit]).status().unwrap();
        assert!(status.success());
    }
}

#[test]
fn a_sync_that_fails() {
    check("sync", fault("sync 5"), "look at the file system and the kernel's log", no_fault);
}

/// The kernel makes the errors; where tracing is forbidden, the library does.
#[test]
fn a_sync_that_fails_below_the_c_library() {
    const ADVICE: &str = "look at the file system and the kernel's log";
    if !may_trace() {
        return check("sync-again", fault("sync 5"), ADVICE, no_fault);
    }
    let mut rig = Rig::new("sync-below");
    let wal = rig.path("journal.db-wal");
    let wal = wal.to_string_lossy();
    // The start needs far fewer syncs; failing tries are a second apart.
    let inject = "inject=fdatasync,fsync:error=EIO:when=30..33";
    let calls = ["-e", "trace=fdatasync,fsync", "-e", inject, "-P", &wal];
    rig.start_under(&[&["strace", "-f", "-qq", "-o", "/dev/null"][..], &calls].concat(), &[]);
    rig.consuming();
    let fails = |rig: &Rig| rig.log().contains(ADVICE);
    for n in 1..=60 {
        if fails(&rig) {
            break;
        }
        rig.publish(1, 1000);
        wait_until(SOON, "its effect, or the failure", || rig.effects().len() == n || fails(&rig));
    }
    assert!(fails(&rig), "{}", rig.log());
    assert!(rig.log().contains("nothing is read from the broker, which keeps the messages"), "{}", rig.log());
    rig.publish(DURING, 1000);
    rig.all_done();
    rig.wait_for_log("can be written again");
}

#[test]
fn a_full_disk() {
    check("full", fault("write 28"), "make room on its file system", no_fault);
}

#[test]
fn a_file_system_that_became_read_only() {
    check("readonly", fault("write 30"), "look at the file system and the kernel's log", no_fault);
}

#[test]
fn a_limit_on_the_size_of_files() {
    check("fsize", file_size("16384"), "raise the limit on the size of files", file_size("unlimited"));
}

#[test]
fn a_file_that_was_replaced() {
    let replace = |rig: &Rig| {
        fs::rename(rig.path("journal.db"), rig.path("aside")).unwrap();
        fs::write(rig.path("journal.db"), "something else").unwrap();
        // The file is checked each second; until then events are kept in the right file.
        rig.wait_for_log("has been replaced by another file; put the one back");
    };
    let put_back = |rig: &Rig| {
        assert_eq!(fs::read_to_string(rig.path("journal.db")).unwrap(), "something else");
        fs::rename(rig.path("aside"), rig.path("journal.db")).unwrap();
    };
    check("replaced", replace, "put the one back that was there", put_back);
}

#[test]
fn a_file_that_was_removed_is_written_anew_and_nothing_is_lost() {
    let mut rig = Rig::new("removed");
    rig.start();
    rig.consuming();
    rig.sink.reply_with(osnl_testkit::Reply::Status(503));
    rig.publish(DURING, 5);
    wait_until(SOON, "all in the journal", || rig.vhost.queue_depth(QUEUE) == Some((0, 0)));
    fs::remove_file(rig.path("journal.db")).unwrap();
    rig.wait_for_log("everything in it has been written to it anew");
    rig.kill();
    rig.sink.reply_with(osnl_testkit::Reply::Status(204));
    rig.start();
    rig.all_done();
}

/// `>journal.db` of a person, or a file system after its check.
#[test]
fn a_file_that_was_truncated_is_written_anew_and_nothing_is_lost() {
    let mut rig = Rig::new("truncated");
    rig.start();
    rig.consuming();
    rig.sink.reply_with(osnl_testkit::Reply::Status(503));
    rig.publish(BEFORE, 5);
    wait_until(SOON, "all in the journal", || rig.vhost.queue_depth(QUEUE) == Some((0, 0)));
    fs::OpenOptions::new().write(true).open(rig.path("journal.db")).unwrap().set_len(0).unwrap();
    rig.publish(DURING, 5);
    wait_until(SOON, "the others too", || rig.vhost.queue_depth(QUEUE) == Some((0, 0)));
    assert!(rig.log().contains("everything in it has been written to it anew"), "{}", rig.log());
    rig.kill();
    rig.sink.reply_with(osnl_testkit::Reply::Status(204));
    rig.start();
    rig.all_done();
}

#[test]
fn a_damaged_file_is_named_at_the_start_and_the_broker_keeps_the_messages() {
    let mut rig = Rig::new("damaged");
    rig.start();
    rig.consuming();
    rig.publish(BEFORE, 1000);
    rig.all_done();
    wait_until(SOON, "a checkpoint", || fs::metadata(rig.path("journal.db")).unwrap().len() > 40 * 1024);
    rig.kill();
    let file = fs::OpenOptions::new().write(true).open(rig.path("journal.db")).unwrap();
    fs::remove_file(rig.path("journal.db-wal")).unwrap();
    // From the second page on: the first has the schema, without which the file is no journal.
    for page in 1..10 {
        file.write_all_at(&[0x5a; 4096], page * 4096).unwrap();
    }
    rig.publish(DURING, 1000);
    rig.start();
    rig.wait_for_log("the file is damaged: stop osnl, keep a copy of it with its -wal, and move it away");
    assert_eq!(rig.vhost.queue_depth(QUEUE).map(|(ready, unsettled)| ready + unsettled), Some(DURING as u64));
    rig.kill();
    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let _ = fs::rename(rig.path(name), rig.path("kept").with_extension(name));
    }
    rig.start();
    rig.all_done();
}
