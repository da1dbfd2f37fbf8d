use std::time::Duration;

use osnl_testkit::{Postgres, Reply, RestartableProgram, wait_until};
use serde_json::Value;

use crate::stage::{SOON, Stage};

fn daemons(stage: &Stage) -> [RestartableProgram; 2] {
    let once = "retry_interval = 1s\nmax_attempts = 1\n[action:other]\ndriver = http\nurl = TARGET\nbody = {\"port\": \"{{ payload.port.id }}\", \"n\": {{ payload.n }}}";
    let both = ["a", "b"].map(|name| stage.daemon_with(name, &[("retry_interval = 1s", once)]));
    stage.wait_for_halves("b");
    both
}

fn count(stage: &Stage, state: &str) -> u64 {
    let listed = stage.json("b", &["deliveries", "list", "--limit", "1", "--state", state]);
    listed["totals"]["all"].as_u64().unwrap()
}

fn ask(stage: &Stage, name: &str, args: &[&str]) -> Value {
    stage.json(name, &[&["deliveries"], args].concat())
}

#[test]
fn deliveries_are_changed_by_their_owners_whichever_daemon_is_asked() {
    let mut stage = Stage::new("changes", &Postgres::shared().database());
    stage.sink.reply_with(Reply::Status(400));
    let _both = daemons(&stage);
    stage.publish(0..12);
    wait_until(SOON, "all to be dead letters", || count(&stage, "dead") == 12);
    stage.sink.reply_with(Reply::Status(204));
    let foreseen = ask(&stage, "b", &["retry", "--all", "--dry-run"]);
    assert_eq!((&foreseen["changed"], count(&stage, "dead")), (&12.into(), 12), "{foreseen}");
    let done = ask(&stage, "b", &["retry", "--all"]);
    assert_eq!(done["changed"], 12, "{done}");
    wait_until(SOON, "all to be delivered", || count(&stage, "delivered") == 12);
    for port in stage.delivered() {
        assert!(port.len() == 6 && port[3..].is_sorted(), "{port:?}");
    }

    // Running deliveries are changed when their attempts have failed.
    stage.sink.reply_with(Reply::After(Duration::from_secs(10), Box::new(Reply::Status(503))));
    let before = stage.sink.requests().len();
    stage.publish(12..16);
    stage.sink.wait_for(before + 4, SOON);
    let done = ask(&stage, "a", &["discard", "--state", "pending", "--yes"]);
    assert_eq!(done["under_way"], 4, "{done}");
    wait_until(SOON, "all to be discarded", || count(&stage, "discarded") == 4);
    stage.sink.reply_with(Reply::Status(503));

    stage.publish(16..20);
    wait_until(SOON, "all to be kept", || count(&stage, "pending") == 4);
    let listed = ask(&stage, "b", &["list", "--state", "pending"]);
    let first = listed["deliveries"][0]["id"].as_str().unwrap().to_owned();
    let refused = ask(&stage, "b", &["retry", &first]);
    assert!(
        refused["refusals"][0]["why"].as_str().unwrap().contains("dead letters are retried"),
        "{refused}"
    );
    let done = ask(&stage, "b", &["move", "--action", "hook", "--state", "pending", "--to", "other"]);
    assert_eq!(done["changed"], 4, "{done}");
    stage.sink.reply_with(Reply::Status(204));
    wait_until(SOON, "all to be delivered by the other action", || count(&stage, "delivered") == 16);
    stage.wait_for_all(16..20);
}

#[test]
fn a_dead_letter_of_a_daemon_that_was_killed_is_retried_after_the_lease() {
    let mut stage = Stage::new("changes-killed", &Postgres::shared().database());
    stage.sink.reply_with(Reply::Status(400));
    let [mut a, _b] = daemons(&stage);
    stage.publish(0..8);
    wait_until(SOON, "all to be dead letters", || count(&stage, "dead") == 8);
    stage.sink.reply_with(Reply::Status(204));
    a.kill9();
    let mut retried = 0;
    wait_until(SOON, "all to be retried", || {
        let done = stage.json("b", &["deliveries", "retry", "--all"]);
        retried += done["changed"].as_u64().unwrap();
        let refusals = done["refusals"].as_array().unwrap();
        let is_said =
            |refusal: &Value| refusal["why"].as_str().unwrap().contains("nothing was changed, ask again");
        assert!(refusals.iter().all(is_said), "{done}");
        retried == 8
    });
    wait_until(SOON, "all to be delivered", || count(&stage, "delivered") == 8);
    for port in stage.delivered() {
        assert!(port.len() == 4 && port[2..].is_sorted(), "{port:?}");
    }
}
