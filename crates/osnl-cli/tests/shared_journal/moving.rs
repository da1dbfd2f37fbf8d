//! `osnl journal move`: daemons before and after it, in both directions.

use osnl_testkit::{Postgres, Reply, RestartableProgram, wait_until};
use serde_json::Value;

use crate::stage::{SOON, Stage};

/// Stops a daemon as systemd does.
fn stop(daemon: &mut RestartableProgram) {
    daemon.signal("TERM");
    assert!(daemon.wait(SOON).success(), "{}", daemon.output());
}

fn started(stage: &Stage, name: &str) -> RestartableProgram {
    let daemon = stage.start(name);
    daemon.wait_for("listening at", 1, SOON);
    daemon
}

fn listed(stage: &Stage, name: &str) -> Value {
    stage.json(name, &["deliveries", "list", "--sort", "oldest"])
}

#[track_caller]
fn wait_for(stage: &Stage, name: &str, state: &str, expected: u64) {
    let count = || {
        stage.json(name, &["deliveries", "list", "--limit", "1", "--state", state])["totals"]["all"].as_u64()
    };
    wait_until(SOON, &format!("{expected} deliveries to be {state}"), || count() == Some(expected));
}

/// Members of the answers that belong to the moment, or to the daemon that answers.
const OF_THE_MOMENT: [&str; 7] = [
    "age_seconds",
    "attempts_allowed",
    "next_attempt",
    "next_attempt_seconds",
    "target_held",
    "held",
    "target",
];

fn without_the_moment(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !OF_THE_MOMENT.contains(&&**name));
            members.values_mut().for_each(without_the_moment);
        }
        Value::Array(values) => values.iter_mut().for_each(without_the_moment),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns what the commands show of a journal.
fn shown(stage: &Stage, name: &str) -> Vec<Value> {
    let mut all = vec![listed(stage, name), stage.json(name, &["quarantine", "list"])];
    for delivery in all[0]["deliveries"].as_array().unwrap().clone() {
        all.push(stage.json(name, &["deliveries", "show", delivery["id"].as_str().unwrap()]));
    }
    let actions = stage.json(name, &["actions", "list"]);
    all.push(actions["actions"][0]["paused"].clone());
    let (_, explained) = stage.run(name, &["explain", "--journal", "--format", "json"]);
    assert_eq!(explained.lines().count(), 12, "{explained}");
    all.extend(explained.lines().map(|line| serde_json::from_str(line).unwrap()));
    all.iter_mut().for_each(without_the_moment);
    all
}

/// Moves from one URL to another; what is said has these words and no password.
#[track_caller]
fn moved(stage: &Stage, [from, to]: [&str; 2], more: &[&str], code: i32, words: &str) {
    let args = [&["journal", "move", "--lease", "3s", "--from", from, "--to", to], more].concat();
    let (found, said) = stage.bare(&args);
    assert!(found == Some(code) && said.contains(words) && !said.contains("geheim7"), "{found:?}: {said}");
}

#[track_caller]
fn ends(stage: &Stage, name: &str, args: &[&str], code: i32, words: &str) {
    let (found, said) = stage.run(name, args);
    assert!(found == Some(code) && said.contains(words), "{found:?}: {said}");
}

#[test]
fn deliveries_that_a_target_refused_are_made_in_order_after_each_move() {
    let database = Postgres::shared().database();
    let mut stage = Stage::new("move", &database);
    let secret = format!("{}\n", database.replace("osnl@", "osnl:geheim7@"));
    std::fs::write(stage.path("url"), secret).unwrap();
    let file = format!("sqlite://{}", stage.path("journal.db").display());
    let url = format!("file://{}", stage.path("url").display());
    let (there, back) = ([&*file, &*url], [&*url, &*file]);
    stage.configure("file", &[("DATABASE\nlease = 3s", "sqlite://HOME/journal.db")]);
    stage.configure("shared", &[]);

    stage.sink.reply_with(Reply::Status(503));
    let mut daemon = started(&stage, "file");
    stage.publish(0..12);
    wait_for(&stage, "file", "pending", 12);
    moved(&stage, there, &[], 69, "in use by process");
    ends(&stage, "file", &["actions", "pause", "hook"], 0, "");
    stop(&mut daemon);
    let before = shown(&stage, "file");
    moved(&stage, there, &["--dry-run"], 0, "nothing was moved");
    moved(&stage, there, &[], 0, "  events                            12\n");
    ends(&stage, "file", &["run"], 78, "was moved to postgresql://osnl@127.0.0.1");
    let mut daemon = started(&stage, "shared");
    let after = shown(&stage, "shared");
    assert_eq!(after.len(), before.len());
    for (found, expected) in after.iter().zip(&before) {
        assert_eq!(found, expected);
    }
    moved(&stage, back, &["--replace"], 69, "stop osnl there first");

    // Some are delivered from the database, the others from the file.
    stage.publish(12..16);
    wait_for(&stage, "shared", "pending", 16);
    stage.sink.reply_with(Reply::Status(204));
    let before = stage.sink.requests().len();
    ends(&stage, "shared", &["actions", "resume", "hook"], 0, "");
    stage.sink.wait_for(before + 4, SOON);
    ends(&stage, "shared", &["actions", "pause", "hook"], 0, "");
    stop(&mut daemon);
    moved(&stage, back, &[], 1, "was moved to postgresql://");
    moved(&stage, back, &["--replace"], 0, "osnl does not start on it any more");
    ends(&stage, "shared", &["run"], 69, "the journal was moved to sqlite:///");
    ends(&stage, "file", &["journal", "verify"], 0, "no problem found");
    let _daemon = started(&stage, "file");
    stage.publish(16..20);
    ends(&stage, "file", &["actions", "resume", "hook"], 0, "");
    wait_for(&stage, "file", "delivered", 20);
    for port in stage.delivered() {
        // Those that were refused were attempted again.
        let mut order = port.clone();
        order.dedup();
        assert!(order.len() == 5 && order.is_sorted(), "{port:?}");
    }
}
