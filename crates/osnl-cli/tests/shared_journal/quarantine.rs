use osnl_testkit::{Postgres, wait_until};
use serde_json::Value;

use crate::stage::{SOON, Stage};

fn list(stage: &Stage, name: &str) -> Value {
    stage.json(name, &["quarantine", "list"])
}

#[test]
fn a_message_that_one_daemon_set_aside_is_retried_and_discarded_by_another() {
    let mut stage = Stage::new("quarantine", &Postgres::shared().database());
    let a = stage.daemon_with("a", &[("prefetch = 10", "prefetch = 10\nmax_body = 4KiB")]);
    let _b = stage.daemon("b");
    stage.publish_long(1);
    wait_until(SOON, "it to be kept", || list(&stage, "b")["total"] == 1);
    stage.wait_for_queue(0);
    let found = list(&stage, "b")["messages"][0].clone();
    assert!(found["reason"].as_str().unwrap().contains("max_body"), "{found}");
    let id = found["id"].to_string();
    let (code, said) = stage.run("b", &["quarantine", "show", &id]);
    assert!(code == Some(0) && said.contains("port.delete.end"), "{said}");

    let foreseen = stage.json("b", &["quarantine", "retry", &id, "--dry-run"]);
    assert_eq!((&foreseen["changed"], &list(&stage, "a")["total"]), (&1.into(), &1.into()), "{foreseen}");
    let done = stage.json("b", &["quarantine", "retry", &id]);
    assert_eq!(done["changed"], 1, "{done}");
    stage.wait_for_all(1..2);
    assert_eq!(list(&stage, "a")["total"], 0);
    stage.publish(2..6);
    stage.wait_for_all(1..6);
    stage.wait_for_queue(0);
    assert!(!a.output().contains("another daemon reads the queue"), "{}", a.output());

    stage.publish_long(6);
    wait_until(SOON, "the other to be kept", || list(&stage, "b")["total"] == 1);
    let id = list(&stage, "b")["messages"][0]["id"].to_string();
    let done = stage.json("b", &["quarantine", "discard", &id]);
    assert_eq!((&done["changed"], &list(&stage, "a")["total"]), (&1.into(), &0.into()), "{done}");
    let again = stage.json("a", &["quarantine", "discard", &id]);
    assert!(again["changed"] == 0 && again["refused"] == 1, "{again}");
}
