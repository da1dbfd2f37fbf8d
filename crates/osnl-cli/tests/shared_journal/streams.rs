//! A stream: one daemon reads it for all, and the next one goes on where the former one was.

use osnl_testkit::{Postgres, RestartableProgram, wait_until};

use crate::stage::{SOON, Stage};

const STREAM: (&str, &str) = ("prefetch = 10", "prefetch = 10\nqueue_type = stream\nstream_offset = first");

fn start(stage: &Stage, name: &str, state: &str) -> RestartableProgram {
    stage.configure(name, &[STREAM]);
    let (code, said) = stage.run(name, &["check"]);
    assert_eq!(code, Some(0), "{said}");
    let daemon = stage.start(name);
    wait_for(stage, name, state);
    daemon
}

#[track_caller]
fn wait_for(stage: &Stage, name: &str, state: &str) {
    wait_until(SOON, &format!("{name} to be {state}"), || {
        let (code, said) = stage.run(name, &["status", "--format", "json"]);
        code != Some(69) && said.contains(&format!("\"state\": \"{state}\""))
    });
}

/// Each message is kept once, in order, and delivered.
#[track_caller]
fn wait_for_delivered(stage: &Stage, name: &str, count: u64) {
    stage.wait_for_all(0..count);
    let totals = || stage.json(name, &["deliveries", "list", "--limit", "1"])["totals"].clone();
    wait_until(SOON, "all of them to be recorded", || totals()["by_state"]["delivered"] == count);
    assert_eq!(totals()["all"], count);
}

#[test]
fn a_stream_is_read_by_one_daemon_and_on_by_the_next() {
    let mut stage = Stage::new("streams", &Postgres::shared().database());
    let mut first = start(&stage, "a", "listening");
    let mut second = start(&stage, "b", "standby");
    second.wait_for("standing by: another daemon on the journal reads the queue", 1, SOON);
    stage.publish(0..40);
    stage.sink.wait_for(10, SOON);
    first.kill9();
    stage.publish(40..60);
    wait_for_delivered(&stage, "b", 60);
    wait_for(&stage, "b", "listening");
    for port in stage.delivered() {
        assert!(port.is_sorted(), "{port:?}");
    }

    // Stopped beyond its lease: what it had received is the other one's, which has read it again.
    let mut third = start(&stage, "a", "standby");
    second.signal("STOP");
    stage.publish(60..100);
    wait_for(&stage, "a", "listening");
    second.signal("CONT");
    wait_for(&stage, "b", "standby");
    wait_for_delivered(&stage, "b", 100);

    // At its end it says where it was.
    third.signal("TERM");
    assert!(third.wait(SOON).success(), "{}", third.output());
    wait_for(&stage, "b", "listening");
    stage.publish(100..120);
    wait_for_delivered(&stage, "b", 120);
    second.signal("TERM");
    assert!(second.wait(SOON).success(), "{}", second.output());
    let _third = start(&stage, "a", "listening");
    stage.publish(120..130);
    wait_for_delivered(&stage, "a", 130);
    assert!(second.output().contains("another daemon reads from now on"), "{}", second.output());
}
