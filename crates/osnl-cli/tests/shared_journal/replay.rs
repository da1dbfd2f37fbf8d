use osnl_testkit::{Postgres, Reply, wait_until};

use crate::stage::{SOON, Stage};

#[test]
fn kept_events_are_explained_and_replayed_from_any_machine() {
    let mut stage = Stage::new("replay", &Postgres::shared().database());
    stage.sink.reply_with(Reply::Status(204));
    let a = stage.daemon("a");
    let _b = stage.daemon("b");
    stage.publish(0..6);
    stage.wait_for_all(0..6);
    let totals =
        |name: &str| stage.json(name, &["deliveries", "list"])["totals"]["by_state"]["delivered"].clone();
    wait_until(SOON, "all to be recorded", || totals("b") == 6);
    let (code, said) = stage.run("b", &["explain", "--journal"]);
    assert!(code == Some(0) && said.contains("6 of 6 events match a rule"), "{code:?}: {said}");
    let (code, said) = stage.run("b", &["explain", "--resource", "port-1"]);
    assert!(code == Some(0) && said.contains("2 of 2 events match a rule"), "{code:?}: {said}");
    std::fs::write(stage.path("other.rules"), "[rule:none]\nevent_type = ^nothing$\nactions = hook\n")
        .unwrap();
    let (code, said) = stage.run("b", &["explain", "--journal", "--rules", "other.rules"]);
    assert!(code == Some(1) && said.contains("gone"), "{code:?}: {said}");

    let (code, said) = stage.run("b", &["replay", "--resource", "port-1"]);
    assert!(
        code == Some(0) && said.contains("(2 delivered before); nothing was changed"),
        "{code:?}: {said}"
    );
    let (code, said) = stage.run("b", &["replay", "--resource", "port-1", "--live", "--yes"]);
    assert!(code == Some(0) && said.contains("2 events appended to the journal"), "{code:?}: {said}");
    wait_until(SOON, "both to be delivered again", || totals("a") == 8);
    let (code, said) = stage.run("b", &["replay", "--id", "port-0", "--live", "--yes", "--keep-ids"]);
    assert!(
        code == Some(1) && said.contains("0 events appended to the journal, 2 were in the journal already"),
        "{code:?}: {said}"
    );
    let rows = stage.json("a", &["deliveries", "list", "--resource", "port-0"])["deliveries"].clone();
    let copies: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["copies"].clone()).collect();
    assert_eq!(copies, [1, 1]);
    assert_eq!(totals("a"), 8);
    stage.publish(6..8);
    stage.wait_for_all(0..8);
    assert!(!a.output().contains("another daemon reads the queue"), "{}", a.output());

    // Each daemon keeps only its own unmatched messages.
    stage.publish_unmatched();
    wait_until(SOON, "the message to be written", || {
        stage.run("a", &["explain", "--unmatched"]).1.contains("port.create.end")
    });
    let (code, said) = stage.run("a", &["explain", "--counts"]);
    assert!(code == Some(0) && said.contains("rule gone of listener neutron"), "{code:?}: {said}");
    let (_, daemons) = said.split_once("what it has read itself; run this on the machine of each: ").unwrap();
    assert_eq!(daemons.split(", ").count(), 2, "{said}");
}
