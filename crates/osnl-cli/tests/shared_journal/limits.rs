//! Guards and rates over two daemons.

use std::time::Duration;

use osnl_testkit::{Postgres, RestartableProgram, wait_until};
use serde_json::Value;

use crate::stage::{SOON, Stage};

/// Two daemons with an option of the action, each with half of the partitions.
fn daemons(stage: &Stage, option: &str) -> [RestartableProgram; 2] {
    let edit = format!("retry_interval = 1s\n{option}");
    let both = ["a", "b"].map(|name| stage.daemon_with(name, &[("retry_interval = 1s", &edit)]));
    stage.wait_for_halves("b");
    both
}

fn listed(stage: &Stage, state: &str) -> Value {
    stage.json("b", &["deliveries", "list", "--state", state])
}

fn count(stage: &Stage, state: &str) -> u64 {
    listed(stage, state)["totals"]["all"].as_u64().unwrap()
}

#[test]
fn a_guard_counts_over_both_daemons_and_after_one_is_killed() {
    let mut stage = Stage::new("guard", &Postgres::shared().database());
    let [mut first, second] = daemons(&stage, "guard = 2 per 10m");
    // Two messages about each of four ports.
    stage.publish(0..8);
    wait_until(SOON, "two ports to be delivered", || count(&stage, "delivered") == 4);
    wait_until(SOON, "the other two to be held", || count(&stage, "held-by-guard") == 4);
    let held = listed(&stage, "held-by-guard")["deliveries"][0].clone();
    assert_eq!(held["state"], "held by guard", "{held}");
    let (_, shown) = stage.run("a", &["deliveries", "show", held["id"].as_str().unwrap()]);
    assert!(shown.contains("guard of action hook: more than 2 per 10m"), "{shown}");
    let said = |daemon: &RestartableProgram| {
        daemon.output().contains("a guard holds deliveries for further resources")
    };
    assert!(said(&first) || said(&second), "{}", second.output());

    first.kill9();
    stage.publish(8..16);
    wait_until(SOON, "the same two ports to go on", || count(&stage, "delivered") == 8);
    wait_until(SOON, "the other two to be held", || count(&stage, "held-by-guard") == 8);
    let ports = |stage: &Stage| stage.delivered().iter().filter(|port| !port.is_empty()).count();
    assert_eq!(ports(&stage), 2);

    let done = stage.json("b", &["deliveries", "release", "--all"]);
    assert_eq!(done["changed"], 8, "{done}");
    stage.wait_for_all(0..16);
    stage.publish(16..20);
    stage.wait_for_all(0..20);
    for port in stage.delivered() {
        assert!(port.is_sorted() && port.len() == 5, "{port:?}");
    }
}

#[test]
fn a_rate_counts_over_both_daemons_also_when_one_is_stopped_and_killed() {
    const WITHIN: Duration = Duration::from_secs(4);
    let mut stage = Stage::new("rate", &Postgres::shared().database());
    let [mut first, _second] = daemons(&stage, "rate = 3 per 4s");
    stage.publish(0..16);
    let came = std::cell::RefCell::new(Vec::new());
    let look = || {
        let (mut came, count) = (came.borrow_mut(), stage.sink.requests().len());
        let now = std::time::Instant::now();
        came.resize(count, now);
        count
    };
    wait_until(SOON, "the first calls", || look() >= 4);
    first.signal("STOP");
    wait_until(SOON, "the other one to take over and go on", || look() >= 8);
    first.signal("CONT");
    wait_until(SOON, "both to go on", || look() >= 11);
    first.kill9();
    wait_until(SOON, "all calls", || {
        look();
        stage.delivered().concat().iter().collect::<std::collections::BTreeSet<_>>().len() == 16
    });
    let came = came.into_inner();
    for (first, later) in came.iter().zip(came.iter().skip(3)) {
        // As they are seen here, and not as they begin.
        assert!(later.duration_since(*first) + WITHIN / 4 >= WITHIN, "{came:?}");
    }
}
