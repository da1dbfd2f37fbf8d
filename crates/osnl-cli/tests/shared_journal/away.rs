//! The database is unreachable at the start, lost later, or read-only: the broker keeps the
//! messages, and all are delivered later.

use osnl_testkit::{Postgres, wait_until};
use serde_json::Value;

use crate::stage::{SOON, Stage};

#[track_caller]
fn is_failed(stage: &mut Stage, numbers: std::ops::Range<u64>, why: &str) {
    stage.wait_for_journal("a", "failed");
    let before = stage.sink.requests().len();
    let count = numbers.end - numbers.start;
    stage.publish(numbers);
    stage.wait_for_queue(count);
    // The first reason may be that of the connection that was lost.
    let mut status = Value::Null;
    wait_until(SOON, &format!("the reason: {why}"), || {
        status = stage.status("a");
        let reason = status["journal"]["reason"].as_str().unwrap_or_default();
        reason.contains(why) && reason.contains("osnl tries each second")
    });
    assert_eq!(status["incidents"][0]["kind"], "journal-failed", "{status}");
    let (code, said) = stage.run("a", &["deliveries", "list"]);
    assert!(code == Some(69) && said.contains("cannot be read"), "{code:?}: {said}");
    assert_eq!(stage.sink.requests().len(), before, "nothing is delivered that could not be recorded");
}

#[test]
fn messages_stay_with_the_broker_while_the_database_is_away() {
    let mut server = Postgres::start(true);
    let mut stage = Stage::new("away", &server.database());
    server.quit();
    stage.configure("a", &[]);
    let daemon = stage.start("a");
    daemon.wait_for("the journal cannot be written", 1, SOON);
    daemon.wait_for("listening at", 1, SOON);
    is_failed(&mut stage, 0..3, "refused");
    assert!(!daemon.output().contains("panicked"), "{}", daemon.output());

    server.start_again();
    stage.wait_for_all(0..3);
    stage.wait_for_journal("a", "ok");
    daemon.wait_for("the journal can be written again", 1, SOON);
    stage.wait_for_queue(0);

    server.quit();
    is_failed(&mut stage, 3..6, "refused");
    server.start_again();
    stage.wait_for_all(0..6);
    stage.wait_for_queue(0);
    stage.wait_for_journal("a", "ok");
}

#[test]
fn messages_stay_with_the_broker_while_the_database_takes_no_writes() {
    let server = Postgres::start(true);
    let mut stage = Stage::new("read-only", &server.database());
    let daemon = stage.daemon("a");
    stage.publish(0..2);
    stage.wait_for_all(0..2);
    stage.wait_for_queue(0);
    server.set("default_transaction_read_only", Some("on"));
    stage.wait_for_journal("a", "failed");
    stage.publish(2..4);
    stage.wait_for_queue(2);
    let reason = || stage.status("a")["journal"]["reason"].as_str().unwrap_or_default().to_owned();
    wait_until(SOON, "the reason", || reason().contains("read-only") || reason().contains("writes"));
    server.set("default_transaction_read_only", None);
    stage.wait_for_all(0..4);
    stage.wait_for_queue(0);
    stage.wait_for_journal("a", "ok");
    drop(daemon);
}
