//! `osnl journal move`: daemons before and after it, in both directions.

use osnl_testkit::{Postgres, Program, Reply, wait_until};
use serde_json::Value;

use crate::stage::{SOON, Stage};

/// Stops a daemon as systemd does.
fn stop(daemon: &mut Program) {
    daemon.signal("TERM");
    assert!(daemon.wait(SOON).success(), "{}", daemon.output());
}

fn listed(stage: &Stage, name: &str) -> Value {
    stage.json(name, &["deliveries", "list", "--sort", "oldest"])
}

/// Returns what the commands show of a journal, without what belongs to a daemon.
fn shown(stage: &Stage, name: &str) -> Vec<Value> {
    let mut all = vec![listed(stage, name), stage.json(name, &["quarantine", "list"])];
    for delivery in all[0]["deliveries"].as_array().unwrap().clone() {
        all.push(stage.json(name, &["deliveries", "show", delivery["id"].as_str().unwrap()]));
    }
    all
}

#[test]
fn deliveries_that_a_target_refused_are_made_in_order_after_each_move() {
    let database = Postgres::shared().database();
    let mut stage = Stage::new("move", &database);
    let file = stage.path("journal.db");
    let (file_url, secret) =
        (format!("sqlite://{}", file.display()), database.replace("osnl@", "osnl:hunter2@"));
    std::fs::write(stage.path("url"), format!("{secret}\n")).unwrap();
    let database_url = format!("file://{}", stage.path("url").display());
    stage.configure("file", &[("DATABASE\nlease = 3s", "sqlite://HOME/journal.db")]);
    stage.configure("shared", &[]);
    let run = |args: &[&str]| {
        let (code, said) = stage.bare(&[&["journal", "move", "--lease", "3s"], args].concat());
        assert!(!said.contains("hunter2"), "{said}");
        (code, said)
    };

    stage.sink.reply_with(Reply::Status(503));
    let mut daemon = stage.start("file");
    daemon.wait_for("listening at", 1, SOON);
    stage.publish(0..12);
    let pending = |name: &str| listed(&stage, name)["totals"]["all"].as_u64().unwrap();
    wait_until(SOON, "all to be kept", || pending("file") == 12);
    let there = ["--from", &file_url, "--to", &database_url];
    let (code, said) = run(&there);
    assert!(code == Some(69) && said.contains("in use by process"), "{code:?}: {said}");
    stage.run("file", &["actions", "pause", "hook"]);
    stop(&mut daemon);
    let before = shown(&stage, "file");

    let (code, said) = run(&[&there[..], &["--dry-run"]].concat());
    assert!(code == Some(0) && said.contains("nothing was moved"), "{code:?}: {said}");
    let (code, said) = run(&there);
    assert!(code == Some(0) && said.contains("events                            12"), "{code:?}: {said}");
    let (code, said) = stage.run("file", &["run"]);
    assert!(
        code == Some(78) && said.contains("was moved to postgresql://osnl@127.0.0.1"),
        "{code:?}: {said}"
    );
    let mut daemon = stage.start("shared");
    daemon.wait_for("listening at", 1, SOON);
    let after = shown(&stage, "shared");
    assert_eq!(after, before);
    let back = ["--from", &database_url, "--to", &file_url];
    let (code, said) = run(&[&back[..], &["--replace"]].concat());
    assert!(code == Some(69) && said.contains("stop osnl there first"), "{code:?}: {said}");

    // The half is delivered from the database, the other half from the file again.
    stage.publish(12..16);
    wait_until(SOON, "all to be kept", || pending("shared") == 16);
    stage.sink.reply_with(Reply::Status(204));
    let delivered = stage.sink.requests().len();
    stage.run("shared", &["actions", "resume", "hook"]);
    stage.sink.wait_for(delivered + 4, SOON);
    stage.run("shared", &["actions", "pause", "hook"]);
    stop(&mut daemon);
    let (code, said) = run(&back);
    assert!(code == Some(1) && said.contains("was moved to postgresql://"), "{code:?}: {said}");
    let (code, said) = run(&[&back[..], &["--replace"]].concat());
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = stage.run("shared", &["run"]);
    assert!(code == Some(69) && said.contains("the journal was moved to sqlite:///"), "{code:?}: {said}");
    let (code, said) = stage.run("file", &["journal", "verify"]);
    assert!(code == Some(0) && said.contains("no problem found"), "{said}");
    let daemon = stage.start("file");
    daemon.wait_for("listening at", 1, SOON);
    stage.publish(16..20);
    stage.run("file", &["actions", "resume", "hook"]);
    wait_until(SOON, "all to be delivered", || {
        let listed = stage.json("file", &["deliveries", "list", "--limit", "1", "--state", "delivered"]);
        listed["totals"]["all"] == 20
    });
    for port in stage.delivered() {
        // The first of each was refused, some more than once, until the target took it.
        let mut order = port.clone();
        order.dedup();
        assert!(order.len() == 5 && order.is_sorted(), "{port:?}");
    }
}
