//! Guards and rates of two daemons: each counts its own messages, and makes its part of the calls.

use std::time::{Duration, Instant};

use osnl_testkit::{Postgres, RestartableProgram, wait_until};
use serde_json::Value;

use crate::stage::{SOON, Stage};

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
fn a_guard_counts_what_its_daemon_reads_and_anew_after_a_takeover() {
    let mut stage = Stage::new("guard", &Postgres::shared().database());
    let [mut first, second] = daemons(&stage, "guard = 2 per 10m");
    stage.publish(0..8);
    wait_until(SOON, "two ports to be delivered", || count(&stage, "delivered") == 4);
    wait_until(SOON, "the other two to be held", || count(&stage, "waiting-for-release") == 4);
    let held = listed(&stage, "waiting-for-release")["deliveries"][0].clone();
    assert_eq!(held["state"], "waiting for release", "{held}");
    let (_, shown) = stage.run("a", &["deliveries", "show", held["id"].as_str().unwrap()]);
    assert!(shown.contains("guard of action hook: more than 2 per 10m"), "{shown}");
    // The guard is of the daemon that reads the queue, so that this daemon logs it.
    first.wait_for("a guard holds deliveries for further resources", 1, SOON);

    first.kill9();
    stage.publish(8..16);
    second.wait_for("a guard holds deliveries for further resources", 1, SOON);
    wait_until(SOON, "its first two ports to pass", || count(&stage, "waiting-for-release") == 8);
    stage.run("b", &["deliveries", "release", "--all"]);
    stage.wait_for_all(0..16);
    for port in stage.delivered() {
        assert!(port.is_sorted(), "{port:?}");
    }
}

#[test]
fn daemons_divide_a_rate_and_one_that_is_left_has_all_of_it() {
    const WITHIN: Duration = Duration::from_secs(4);
    let mut stage = Stage::new("rate", &Postgres::shared().database());
    let [mut first, _second] = daemons(&stage, "rate = 4 per 4s");
    let came = |stage: &Stage| {
        let mut came: Vec<Instant> = stage.sink.requests().iter().map(|request| request.at).collect();
        came.sort_unstable();
        came
    };
    stage.publish(0..12);
    wait_until(SOON, "all calls", || came(&stage).len() == 12);
    let calls = came(&stage);
    for (first, later) in calls.iter().zip(calls.iter().skip(4)) {
        // Arrival times differ from sending times.
        assert!(later.duration_since(*first) + WITHIN / 4 >= WITHIN, "{calls:?}");
    }
    first.kill9();
    let partitions = |stage: &Stage| {
        let members = stage.status("b")["journal"]["members"].as_array().unwrap().clone();
        members.iter().find(|member| member["is_own"] == true).unwrap()["partitions"].clone()
    };
    wait_until(SOON, "the other one to have all partitions", || partitions(&stage) == 64);
    stage.publish(12..20);
    wait_until(SOON, "all further calls", || came(&stage).len() >= 20);
    let calls = came(&stage);
    let took = calls[19].duration_since(calls[12]);
    assert!(took < WITHIN * 2, "{took:?}; two in each time would take {:?}", WITHIN * 3);
}
