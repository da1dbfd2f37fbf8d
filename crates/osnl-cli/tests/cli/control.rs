//! Commands about deliveries and actions, asked of a daemon, and of its journal after its end.

use std::fs;
use std::process::Stdio;

use osnl_testkit::{Reply, wait_until};

use crate::reloading::{LISTENER, RULE, Rig, SOON, instance, notice};

fn start(name: &str, options: &str) -> Rig {
    Rig::with(name, &[LISTENER, RULE, &action(options)])
}

fn action(options: &str) -> String {
    format!("[action:roles]\ndriver = k2hr3\napi_url = SINK\n{options}")
}

fn refuse_the_first(rig: &Rig) {
    let first = instance(1);
    rig.sink.reply_when(move |request| request.target.contains(&first).then_some(Reply::Status(409)));
}

#[track_caller]
fn wait(rig: &Rig, of: &str, count: u64) {
    wait_until(SOON, &format!("{count} {of}"), || rig.target("roles")[of] == count);
}

#[test]
fn deliveries_are_found_shown_retried_in_order_and_discarded() {
    let mut rig = start("deliveries", "max_attempts = 1\n");
    refuse_the_first(&rig);
    let mut first = notice(1, 1);
    first.payload["port"]["admin_password"] = "S3CRET".into();
    rig.publisher.notify_all(&[first, notice(2, 1)]);
    wait(&rig, "dead", 1);
    wait(&rig, "done", 1);

    let oldest = rig.json("deliveries list --limit 1 --sort oldest");
    let after = rig.json("deliveries list --limit 1 --after 2.0");
    for page in [&oldest, &after] {
        assert_eq!((&page["deliveries"][0]["id"], &page["totals"]["all"]), (&"1.0".into(), &2.into()));
    }
    assert_eq!((&oldest["next"], &after["next"]), (&"1.0".into(), &().into()));
    let (resource, other) = (instance(1), instance(2));
    let message = oldest["deliveries"][0]["message_id"].as_str().unwrap();
    for (filter, expected) in [
        ("--rule r", 2),
        ("--action roles --state delivered", 1),
        ("--event 2", 1),
        ("--event-type port.delete.end --since 1h", 2),
        ("--until 1h", 0),
        ("--since 2026-01-01T00:00:00Z 1.0", 1),
        ("--resource nobody", 0),
        (&format!("--resource {resource}"), 1),
        (&resource, 1),
        (message, 1),
        ("1", 1),
        ("--state pending", 0),
        ("--state done,waiting-for-release", 1),
        ("--status 409", 1),
        ("--status 2xx", 1),
        ("--text conflict", 1),
        ("--held-by guard", 0),
    ] {
        let found = rig.json(&format!("deliveries list {filter}"));
        assert_eq!(found["totals"]["all"], expected, "{filter}");
        assert_eq!(found["deliveries"].as_array().unwrap().len(), expected, "{filter}");
    }
    rig.check(&[
        (&format!("deliveries show {resource}"), 0, "delivery    1.0"),
        (&format!("deliveries show {message}"), 0, "delivery    1.0"),
        ("deliveries show 1.0", 0, "\"admin_password\": \"***\""),
        ("deliveries show 1.0 --raw", 0, "S3CRET"),
        ("deliveries show nobody", 1, "no delivery is about nobody"),
    ]);
    rig.publish([(2, 2)]);
    wait(&rig, "done", 2);
    let several = format!("deliveries show {other}");
    rig.check(&[
        (&several, 1, "2 deliveries: 2 delivered"),
        (&several, 1, "several deliveries; name one of them by its id"),
    ]);

    // A later delivery of the same resource is done, and a retry would undo its effect.
    rig.sink.reply_when(|_| None);
    rig.publish([(1, 2)]);
    wait(&rig, "done", 3);
    rig.check(&[
        ("deliveries retry 1.0", 1, "1.0: a later delivery of the same resource was delivered"),
        ("deliveries retry 2.0", 1, "it is delivered"),
        ("deliveries retry --all --out-of-order --dry-run", 0, "retried: 1.0\n  calls 1 × DELETE http"),
        ("deliveries retry 1.0 --out-of-order", 0, "1 delivery will be retried: 1.0"),
    ]);
    wait(&rig, "done", 4);
    refuse_the_first(&rig);
    rig.publish([(1, 3)]);
    wait(&rig, "dead", 1);
    rig.sink.reply_when(|_| None);
    rig.publish([(1, 4)]);
    wait(&rig, "done", 5);
    let offered = "a later delivery of each resource was delivered: osnl deliveries discard";
    wait_until(SOON, "status offers no retry", || {
        // A narrow screen wraps the words.
        rig.ask(&["status"]).1.split_whitespace().collect::<Vec<_>>().join(" ").contains(offered)
    });
    rig.check(&[
        ("deliveries retry --all", 1, "  5.0: a later delivery of the same resource was delivered"),
        ("deliveries discard --action roles --state dead --yes", 0, "1 delivery discarded: 5.0"),
    ]);
    check_lines_of_changes(&rig.log());
}

#[track_caller]
fn check_lines_of_changes(log: &str) {
    // What does not come back is a warning, and each line says which deliveries were meant.
    for (level, change, meant) in [
        (" INFO ", "change=retried", "filter=\"ids = 1.0\""),
        (" WARNING ", "change=discarded", "action.name=roles filter=\"action = roles; state = dead\""),
    ] {
        let line = log.lines().find(|line| line.contains("changed deliveries") && line.contains(change));
        let line = line.unwrap_or_else(|| panic!("{change} in\n{log}"));
        assert!(line.contains(level) && line.contains(meant) && line.contains(" by="), "{line}");
    }
}

/// A probe costs nothing, by the clock or by hand, and a restart begins no row of attempts.
#[test]
fn an_expired_token_makes_no_dead_letter_while_it_is_expired() {
    let mut rig = start("expired", "max_attempts = 2\nretry_interval = 1s\n");
    rig.sink.reply_when(|_| Some(Reply::Status(401)));
    rig.publish([(1, 1), (1, 2), (2, 3), (3, 4)]);
    for restarts in 0..2 {
        wait_until(SOON, "it is down", || rig.target("roles")["state"] != "ok");
        for _ in 0..4 {
            rig.check(&[("actions probe roles", 1, "401")]);
        }
        let itself =
            "osnl attempts it by itself; now: osnl actions probe roles; only dead letters are retried";
        rig.check(&[("deliveries retry 1.0", 1, itself)]);
        let target = rig.target("roles");
        assert_eq!((&target["dead"], &target["pending"]), (&0.into(), &4.into()));
        if restarts == 0 {
            rig.end("TERM");
            rig.run();
        }
    }
    rig.sink.reply_when(|_| None);
    wait(&rig, "done", 4);
}

#[test]
fn a_paused_target_waits_across_a_restart_and_status_says_so() {
    let mut rig = start("paused", "");
    rig.check(&[
        ("actions pause nobody", 1, "there is no action nobody; there are roles"),
        ("deliveries list --action role", 1, "there is no action role; there are roles; did you mean roles?"),
        ("deliveries list --rule x", 1, "there is no rule x; there are r"),
        ("deliveries list --action role --state dead --format json", 1, "there is no action role"),
        ("deliveries retry --action role", 1, "there is no action role; there are roles"),
        ("deliveries discard --rule x --yes", 1, "there is no rule x; there are r"),
        ("quarantine list --queue osn", 1, "there is no queue osn; there are osnl; did you mean osnl?"),
        ("quarantine list --queue osn --format json", 1, "there is no queue osn"),
        ("quarantine retry --queue osn", 1, "there is no queue osn"),
        ("quarantine discard --queue osn --yes", 1, "there is no queue osn"),
        ("quarantine list --queue osnl", 0, "no message in quarantine matches the filter"),
        (
            "queues --listener neutro",
            1,
            "there is no listener neutro; there are neutron; did you mean neutron?",
        ),
        ("explain --counts --rule x", 1, "there is no rule x; there are r"),
        ("actions pause roles", 0, "roles is paused"),
        ("actions pause roles", 0, "roles is paused already: "),
        ("actions pause roles --reason two\u{1b}[2J", 2, "the reason of a pause must be one line"),
        ("actions pause roles --reason until-Monday", 0, "roles is paused"),
        ("actions pause roles", 0, "; until-Monday"),
    ]);
    rig.publish([(1, 1), (1, 2)]);
    wait(&rig, "pending", 2);
    rig.check(&[
        ("status", 1, "!    roles: paused by "),
        ("status", 1, "do   osnl actions resume roles\n"),
        ("status", 1, "why  until-Monday (paused since "),
        ("actions list", 0, ": until-Monday\n"),
        ("deliveries list", 0, "2 deliveries: 2 pending"),
    ]);
    let listener = rig.listener("neutron");
    assert_eq!((&listener["own_consumers"], &listener["exclusive"]), (&1.into(), &true.into()));

    rig.end("KILL");
    let is_paused = |rig: &Rig| {
        let target = rig.target("roles");
        assert_eq!((&target["state"], &target["pending"]), (&"paused".into(), &2.into()));
        assert_eq!(target["paused_reason"], "until-Monday");
    };
    is_paused(&rig);
    // The next start replaces the killed daemon's socket.
    assert!(rig.home.path().join("state/control.sock").exists());
    rig.run();
    is_paused(&rig);

    rig.end("TERM");
    // The configuration of a stopped daemon names a rule and a queue of which the journal has nothing.
    rig.write(&[LISTENER, RULE, &RULE.replace("[rule:r]", "[rule:later]"), &action("")]);
    rig.check(&[
        ("deliveries list --rule later", 0, "no deliveries"),
        ("deliveries list --rule late", 1, "there is no rule late; there are r, later; did you mean later?"),
        ("quarantine list --queue osnl", 0, "no message in quarantine matches the filter"),
        ("quarantine list --queue osn", 1, "there is no queue osn; there are osnl"),
    ]);
    rig.write(&[LISTENER, RULE, &action("")]);
    rig.check(&[
        ("actions resume roles", 0, "roles is resumed"),
        ("actions resume roles", 0, "roles was not paused"),
        ("actions pause roles", 0, "roles is paused"),
    ]);
    rig.run();
    assert_eq!(rig.sink.requests().len(), 0);
    rig.check(&[("actions resume roles", 0, "roles is resumed")]);
    rig.sink.wait_for(2, SOON);
    wait(&rig, "done", 2);
    rig.check(&[("status", 0, "roles")]);
}

#[test]
fn a_probe_calls_a_target_that_is_away_at_once() {
    let mut rig = start("away", "");
    rig.sink.stop();
    rig.publish([(1, 1)]);
    let is_down = |rig: &Rig| matches!(rig.target("roles")["state"].as_str(), Some("down" | "probing"));
    wait_until(SOON, "it is down", || is_down(&rig));
    rig.check(&[
        ("actions probe roles", 1, "roles is still down: cannot connect"),
        ("actions pause roles", 0, "roles is paused"),
        ("actions probe roles", 1, "roles is paused, and not probed"),
        ("actions resume roles", 0, "roles is resumed"),
    ]);
    wait_until(SOON, "it is down again", || is_down(&rig));
    // The operator may discard a claimed delivery, and wait for the result.
    rig.check(&[("deliveries discard 1.0", 0, "1 delivery discarded: 1.0")]);
    assert_eq!(rig.target("roles")["pending"], 0);
    rig.sink.restart();
    rig.publish([(2, 1)]);
    wait_until(SOON, "it is pending or done", || {
        rig.target("roles")["pending"] != 0 || !rig.sink.requests().is_empty()
    });
    // The next attempt would be half a minute later.
    rig.check(&[("actions probe roles", 0, "roles is ok: "), ("actions list", 0, "roles  ok ")]);
    let listed = rig.json("actions list");
    assert_eq!(listed["actions"][0]["action"], "roles", "{listed}");
    rig.sink.wait_for(1, SOON);
    assert!(rig.sink.requests()[0].target.contains(&instance(2)));
}

#[test]
fn the_file_of_a_stopped_daemon_is_changed_in_place() {
    let mut rig = start("stopped", "max_attempts = 1\n");
    refuse_the_first(&rig);
    rig.publish([(1, 1)]);
    wait(&rig, "dead", 1);
    rig.check(&[("actions pause roles", 0, "roles is paused")]);
    rig.publish([(2, 1), (3, 1)]);
    wait(&rig, "pending", 2);
    let conf = fs::read_to_string(rig.home.path().join("a.conf")).unwrap();
    fs::write(rig.home.path().join("b.conf"), conf.replace("roles", "other")).unwrap();
    let orphaned = [(
        "check -c b.conf",
        0,
        "warning: orphaned: 2 deliveries in the journal wait for [action:roles], which is not configured; they continue \
         when an action has that name again; move or discard them otherwise",
    )];
    rig.check(&orphaned);
    rig.end("KILL");
    rig.check(&orphaned);
    assert!(!rig.ask(&["check"]).1.contains("orphaned"));
    assert_eq!(rig.json("actions list")["actions"][0]["deletes"], true);
    rig.check(&[
        ("deliveries list", 0, "3 deliveries: 1 dead, 2 pending"),
        ("deliveries list --state-dir state", 0, "3 deliveries: 1 dead, 2 pending"),
        ("deliveries list --journal state/journal.db", 0, "3 deliveries: 1 dead, 2 pending"),
        ("deliveries move 2.0 --to other --journal state/journal.db", 0, "1 delivery moved: 2.0"),
        ("deliveries discard 3.0 --journal state/journal.db", 0, "1 delivery discarded: 3.0"),
        ("deliveries retry --state dead --journal state/journal.db", 0, "1 delivery will be retried: 1.0"),
        ("deliveries release 2.0 --journal state/journal.db", 1, "2.0: it is ready"),
        ("status", 1, "other: 1 delivery is orphaned"),
        ("status", 1, "\nAdd to each osnl command above: -c /"),
        ("deliveries move --action other --to roles", 0, "1 delivery moved: 2.0"),
        ("actions resume roles", 0, "roles is resumed"),
    ]);
    rig.sink.reply_when(|_| None);
    rig.run();
    wait(&rig, "done", 2);
    at_once(&rig);
    rig.end("TERM");
    at_once(&rig);

    fs::write(rig.home.path().join("text.db"), "text, and enough of it to be looked at by somebody").unwrap();
    rig.check(&[
        ("status --state-dir none", 69, "no daemon answers at"),
        ("deliveries list --journal none.db", 69, "there is no journal"),
        ("status -c none.conf", 78, "there is no such file"),
        ("status --journal text.db", 69, "is not a journal of osnl"),
    ]);
}

fn at_once(rig: &Rig) {
    let ask = || {
        let mut command = rig.command(&["actions", "pause", "roles", "-c", "a.conf"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for child in [ask(), ask(), ask(), ask()] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_daemon_without_a_file_says_what_can_be_had() {
    let mut rig = start("memory", "[journal]\nconnection = memory://\n");
    rig.check(&[
        ("status", 0, "in memory: nothing outlives the process"),
        ("actions pause roles", 0, "memory:// forgets the pause at a restart"),
    ]);
    rig.publish([(1, 1)]);
    wait(&rig, "pending", 1);
    let id = rig.json("deliveries list")["deliveries"][0]["id"].as_str().unwrap().to_owned();
    rig.check(&[
        ("deliveries discard --all --yes", 1, "memory:// keeps nothing that could be changed"),
        (&format!("deliveries show {id}"), 1, "memory:// keeps no history"),
        ("actions resume roles", 0, "roles is resumed"),
    ]);
    rig.sink.wait_for(1, SOON);
    rig.end("TERM");
    rig.check(&[("status", 69, "its journal is in memory, of which nothing is left")]);
}
