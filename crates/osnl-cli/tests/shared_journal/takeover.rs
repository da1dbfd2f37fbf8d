use std::time::Duration;

use osnl_testkit::{Postgres, Reply, wait_until};
use serde_json::Value;

use crate::stage::{SOON, Stage};

#[test]
fn a_daemon_is_killed_and_the_other_one_delivers_everything_in_order() {
    let mut stage = Stage::new("takeover", &Postgres::shared().database());
    stage.sink.reply_with(Reply::After(Duration::from_millis(20), Box::new(Reply::Status(204))));
    let mut first = stage.daemon("a");
    let second = stage.daemon("b");
    wait_until(SOON, "one to stand by", || stage.status("b")["listeners"][0]["state"] == "standby");
    stage.wait_for_halves("b");

    stage.publish(0..60);
    stage.sink.wait_for(10, SOON);
    first.kill9();
    stage.publish(60..80);
    stage.wait_for_all(0..80);
    stage.wait_for_queue(0);
    // The running delivery is repeated before the next of its resource starts.
    for port in stage.delivered() {
        assert!(port.is_sorted(), "{port:?}");
    }
    let totals = || stage.json("b", &["deliveries", "list", "--limit", "1"])["totals"].clone();
    wait_until(SOON, "all of them to be recorded", || totals()["by_state"]["delivered"] == 80);
    assert_eq!(totals()["all"], 80);
    second.wait_for("partitions of the journal are taken over", 1, SOON);
    wait_until(SOON, "the other one to own all partitions", || {
        let journal = stage.status("b")["journal"].clone();
        let members = journal["members"].as_array().unwrap();
        let own = members.iter().find(|member| member["is_own"] == true).unwrap();
        // A member without partitions is not reported while another daemon runs on its machine.
        own["partitions"] == 64 && members.len() == 1 && journal["unowned_partitions"] == 0
    });
}

#[test]
fn listings_show_what_is_there_and_what_does_not_work_yet_says_so() {
    let mut stage = Stage::new("listings", &Postgres::shared().database());
    stage.sink.reply_with(Reply::Status(400));
    let _a = stage.daemon("a");
    let _b = stage.daemon("b");
    let (code, said) = stage.run("a", &["actions", "pause", "hook"]);
    assert_eq!(code, Some(0), "{said}");
    wait_until(SOON, "the other one to pause", || !stage.status("b")["targets"][0]["paused_since"].is_null());
    stage.publish(0..8);
    let listed = |args: &[&str]| stage.json("b", &[&["deliveries", "list"], args].concat());
    wait_until(SOON, "all to be kept", || listed(&[])["totals"]["all"] == 8);
    stage.wait_for_queue(0);
    assert!(stage.sink.requests().is_empty());
    let of_port = listed(&["--resource", "PORT-1"]);
    let ids: Vec<&str> =
        of_port["deliveries"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "{of_port}");
    let of_port = &of_port["deliveries"];
    let by_id = |id: &str| of_port.as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().clone();
    let (first, second) = (ids.iter().min().unwrap(), ids.iter().max().unwrap());
    assert_eq!((&by_id(first)["state"], &by_id(second)["state"]), (&"ready".into(), &"waiting".into()));
    assert_eq!(by_id(second)["waits_for"], **first);
    let shown = stage.json("b", &["deliveries", "show", first]);
    assert_eq!((&shown["behind"][0], &shown["message"]["payload"]["n"]), (&(**second).into(), &1.into()));
    assert_eq!(listed(&["--state", "dead"])["totals"]["all"], 0);

    for (args, code, words) in [
        (vec!["journal", "backup", "copy.db"], 69, "pg_dump"),
        (vec!["journal", "verify"], 0, "no problem found"),
    ] {
        let (status, said) = stage.run("b", &args);
        assert_eq!(status, Some(code), "{args:?}: {said}");
        assert!(said.contains(words) && said.contains("postgresql://osnl@127.0.0.1"), "{args:?}: {said}");
    }

    let (code, said) = stage.run("b", &["actions", "resume", "hook"]);
    assert_eq!(code, Some(0), "{said}");
    wait_until(SOON, "each to be tried", || stage.sink.requests().len() >= 4);
    let mut retrying = Value::Null;
    wait_until(SOON, "a failed one", || {
        retrying = listed(&["--state", "retrying"])["deliveries"][0].clone();
        !retrying.is_null()
    });
    assert!(retrying["last_answer"].as_str().unwrap().contains("400"), "{retrying}");
    let found = listed(&["--status", "4xx"])["totals"]["all"].as_u64();
    assert!(found >= Some(1), "{found:?}");
}

#[test]
fn a_target_that_one_daemon_holds_is_known_to_the_others() {
    let mut stage = Stage::new("held", &Postgres::shared().database());
    stage.sink.reply_with(Reply::Status(503));
    let (_a, _b) = (stage.daemon("a"), stage.daemon("b"));
    stage.wait_for_halves("b");
    stage.publish(0..16);
    let hears = |name: &str| {
        let members = stage.status(name)["journal"]["members"].clone();
        let others = members.as_array().unwrap().iter().filter(|member| member["is_own"] == false);
        others.flat_map(|member| member["down"].as_array().cloned()).flatten().next()
    };
    wait_until(SOON, "one to hear of the other", || ["a", "b"].into_iter().any(|name| hears(name).is_some()));
    let name = if hears("a").is_some() { "a" } else { "b" };
    let held = hears(name).unwrap();
    assert_eq!(held["action"], "hook");
    assert!(held["reason"].as_str().unwrap().contains("503"), "{held}");
    let (_, said) = stage.run(name, &["status"]);
    assert!(said.contains("of 64 partitions, the target of hook is down"), "{said}");
    stage.sink.reply_with(Reply::Status(204));
    wait_until(SOON, "it to hear of the end", || hears(name).is_none());
}
