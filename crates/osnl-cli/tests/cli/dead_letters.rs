use std::collections::BTreeMap;
use std::process::Stdio;

use osnl_testkit::{Notice, RawMessage, Reply, SinkRequest, wait_until};
use serde_json::{Value, json};

use crate::reloading::{Rig, SOON, instance};

const QUORUM: &str = "[journal]\nconnection = memory://\n[listener:neutron]\ntransport_url = URL\nexchange = neutron\n\
                      declare = create\npool = osnl\nqueue_type = quorum\n";
const RULE: &str = "[rule:r]\nevent_type = ^port\\.delete\\.end$\nactions = roles, copy\n";
const ROLES: &str = "[action:roles]\ndriver = k2hr3\napi_url = SINK\nmax_attempts = 1\n";
const COPY: &str = "[action:copy]\ndriver = http\nmethod = POST\nurl = SINK/copy\n";
const DEAD: &str = "osnl.dead";

fn refused(name: &str) -> Rig {
    refused_by(name, ROLES)
}

fn refused_by(name: &str, roles: &str) -> Rig {
    let rig = Rig::with(name, &[QUORUM, RULE, roles, COPY]);
    rig.sink.reply_when(|request| (!is_copy(&request.target)).then_some(Reply::Status(400)));
    rig
}

fn is_copy(target: &str) -> bool {
    target.contains("/copy")
}

fn calls(rig: &Rig, copy: bool) -> usize {
    rig.sink.requests().iter().filter(|request| is_copy(&request.target) == copy).count()
}

#[track_caller]
fn are_dead(rig: &Rig, count: u64) {
    wait_until(SOON, &format!("{count} dead letters"), || rig.vhost.queue_depth(DEAD) == Some((count, 0)));
}

fn dead(rig: &Rig) -> Vec<Value> {
    rig.json("deliveries list --state dead")["deliveries"].as_array().unwrap().clone()
}

fn unreadable(rig: &mut Rig, body: &str) {
    let (exchange, routing_key) = ("neutron".to_owned(), "notifications.info".to_owned());
    let body = body.as_bytes().to_vec();
    rig.publisher.raw(&RawMessage { exchange, routing_key, body, ..RawMessage::default() });
}

#[test]
fn a_dead_letter_outlives_the_daemon_and_its_retry_calls_only_its_action() {
    let mut rig = refused("dead-letters");
    rig.publish([(1, 1), (2, 2)]);
    are_dead(&rig, 2);
    wait_until(SOON, "the messages are acknowledged", || rig.vhost.queue_depth("osnl") == Some((0, 0)));
    let found = dead(&rig);
    assert_eq!(found.len(), 2);
    let first = &found[0];
    for (member, expected) in [("action", "roles"), ("rule", "r"), ("state", "dead"), ("queue", "osnl")] {
        assert_eq!(first[member], expected, "{first}");
    }
    assert!(first["reason"].as_str().unwrap().contains("400"), "{first}");
    let id = first["id"].as_str().unwrap();
    let shown = rig.json(&format!("deliveries show {id}"));
    assert_eq!(shown["message"]["routing_key"], "notifications.info", "{shown}");
    assert!(shown["message"]["payload"]["port"].is_object(), "{shown}");
    wait_until(SOON, "the status counts them", || rig.status()["journal"]["dead"] == 2);
    let incidents = rig.status()["incidents"].to_string();
    assert!(
        incidents.contains("2 dead letters") && incidents.contains("dead letters in queue osnl.dead"),
        "{incidents}"
    );

    rig.end("KILL");
    let ids = |found: &[Value]| found.iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&dead(&rig)), ids(&found), "without a daemon");
    assert_eq!(rig.status()["journal"]["dead"], 2, "without a daemon");
    let other = found[1]["id"].as_str().unwrap();
    rig.check(&[(&format!("deliveries discard {other} --yes"), 0, "1 delivery discarded")]);
    are_dead(&rig, 1);

    rig.run();
    rig.sink.reply_when(|_| Some(Reply::Status(204)));
    rig.sink.forget();
    let retry = format!("deliveries retry {id}");
    rig.check(&[(&retry, 0, "1 delivery will be retried")]);
    wait_until(SOON, "it is called again", || calls(&rig, false) == 1);
    are_dead(&rig, 0);
    wait_until(SOON, "the message is acknowledged", || rig.vhost.queue_depth("osnl") == Some((0, 0)));
    assert_eq!((calls(&rig, true), dead(&rig).len()), (0, 0));
    rig.check(&[(&retry, 1, "there is no dead letter of this number")]);
}

/// With the whole message in each letter, 300 ports of one request once made 148 MB of 491 kB.
#[test]
fn the_dead_letters_of_a_bulk_request_have_one_resource_each_and_are_retried_alike() {
    const PORTS: usize = 40;
    let rule =
        "[rule:r]\nevent_type = ^port\\.create\\.end$\nwhen = resource.name == 'p0'\nactions = ports\n";
    let action = "[action:ports]\ndriver = http\nurl = SINK/{{ payload.port.name }}\nfinal = 404\n";
    let mut rig = Rig::with("dead-letters-bulk", &[QUORUM, rule, action]);
    rig.sink.reply_when(|_| Some(Reply::Status(404)));
    let port =
        |n: usize| json!({"id": instance(n), "name": format!("p{n}"), "description": "é".repeat(1_000)});
    let ports: Vec<Value> = (0..PORTS).map(port).collect();
    let whole = json!({"ports": ports, "note": "beside the list"});
    let notice = Notice { event_type: "port.create.end".to_owned(), payload: whole, ..Notice::default() };
    rig.publisher.notify(&notice);
    are_dead(&rig, PORTS as u64);
    let requests = |rig: &Rig| -> BTreeMap<String, (Vec<u8>, Option<String>)> {
        let requests = rig.sink.requests().into_iter();
        let key = |request: &SinkRequest| request.header("idempotency-key").map(str::to_owned);
        requests.map(|request| (request.target.clone(), (request.body.clone(), key(&request)))).collect()
    };
    let first = requests(&rig);
    assert_eq!(first.len(), PORTS);
    let found = dead(&rig);
    let shown = |one: &Value| rig.json(&format!("deliveries show {}", one["id"].as_str().unwrap()));
    let bytes = shown(&found[PORTS - 1])["message"]["bytes"].as_u64().unwrap();
    assert!(bytes < 20_000, "{bytes}");
    assert_eq!(shown(&found[7])["message"]["payload"]["note"], "beside the list");
    rig.sink.reply_when(|_| Some(Reply::Status(204)));
    rig.sink.forget();
    rig.check(&[("deliveries retry --all", 0, "40 deliveries will be retried")]);
    are_dead(&rig, 0);
    wait_until(SOON, "the retries are acknowledged", || rig.vhost.queue_depth("osnl") == Some((0, 0)));
    assert_eq!(requests(&rig), first);
}

#[test]
fn a_retried_dead_letter_that_no_rule_asks_for_is_one_again() {
    let mut rig = refused("dead-letters-rule");
    rig.publish([(1, 1)]);
    are_dead(&rig, 1);
    let without = RULE.replace("[rule:r]", "[rule:other]").replace("port", "network");
    rig.write(&[QUORUM, &without, ROLES, COPY]);
    rig.reload(0);
    let id = dead(&rig)[0]["id"].as_str().unwrap().to_owned();
    rig.check(&[(&format!("deliveries retry {id}"), 0, "1 delivery will be retried")]);
    wait_until(SOON, "it is dead again", || {
        dead(&rig).first().is_some_and(|one| one["reason"].to_string().contains("rule r is not there"))
    });
    are_dead(&rig, 1);
}

#[test]
fn a_message_that_cannot_be_read_is_kept_and_can_be_discarded() {
    let mut rig = refused("dead-letters-unread");
    unreadable(&mut rig, "not a notification");
    are_dead(&rig, 1);
    let found = rig.json("quarantine list")["messages"][0].clone();
    assert_eq!((&found["exchange"], &found["bytes"]), (&"neutron".into(), &18.into()), "{found}");
    let id = &found["id"];
    rig.check(&[(&format!("quarantine show {id}"), 0, "6e 6f 74 20 61")]);
    rig.end("KILL");
    rig.check(&[(&format!("quarantine discard {id} --yes"), 0, "1 message discarded")]);
    are_dead(&rig, 0);
}

#[test]
fn a_dead_letter_queue_that_is_full_or_gone_loses_nothing() {
    // A target that refuses everything would be held, and cost no attempt.
    let roles = "[action:roles]\ndriver = http\nmethod = POST\nurl = SINK/roles\nfinal = 400\n";
    let mut rig = refused_by("dead-letters-full", roles);
    rig.vhost.set_policy("full", "dead$", r#"{"max-length":1}"#);
    rig.publish([(1, 1)]);
    are_dead(&rig, 1);
    rig.publish((2..=5).map(|n| (n, n)));
    wait_until(SOON, "the status says so", || rig.status()["journal"]["state"] == "full");
    let incidents = rig.status()["incidents"].to_string();
    assert!(incidents.contains("the dead letter queue \\\"osnl.dead\\\" is full"), "{incidents}");
    wait_until(SOON, "the others have their effect", || calls(&rig, true) == 5);
    rig.vhost.clear_policy("full");
    wait_until(SOON, "all are kept", || dead(&rig).len() == 5);
    wait_until(SOON, "all are acknowledged", || rig.vhost.queue_depth("osnl") == Some((0, 0)));
    assert_eq!(rig.status()["journal"]["state"], "ok");

    rig.vhost.delete_queue(DEAD);
    rig.publish([(6, 6)]);
    are_dead(&rig, 1);
}

#[test]
fn a_dead_letter_queue_without_a_bound_is_used_and_warned_of_once() {
    let mut rig = refused("dead-letters-unbounded");
    rig.vhost.make_quorum_queue(DEAD);
    rig.publish([(1, 1)]);
    are_dead(&rig, 1);
    let warnings = |rig: &Rig| rig.log().matches("the dead letter queue may lose letters").count();
    wait_until(SOON, "the log has the warning", || warnings(&rig) == 1);
    let log = rig.log();
    assert!(log.contains("x-max-length-bytes: configured 1073741824, found none"), "{log}");
    assert!(log.contains("rabbitmqctl set_policy -p ") && log.contains("reject-publish"), "{log}");
    let (_, checked, _) = rig.ask(&["check", "--connect"]);
    let expected =
        "exists, 1 message waits; x-max-length-bytes: configured 1073741824, found none: unless a policy";
    assert!(checked.contains(expected), "{checked}");
    rig.publish([(2, 2)]);
    are_dead(&rig, 2);
    assert_eq!(warnings(&rig), 1);
}

#[test]
fn two_listings_at_once_see_all_or_say_that_the_queue_is_busy() {
    let mut rig = refused("dead-letters-busy");
    for n in 0..200 {
        unreadable(&mut rig, &format!("not a notification {n}"));
    }
    are_dead(&rig, 200);
    rig.end("KILL");
    let list = || {
        let mut command = rig.command(&["quarantine", "list", "--format", "json", "-c", "a.conf"]);
        command.args(["--limit", "1000"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for listed in [list(), list(), list()].map(|child| child.wait_with_output().unwrap()) {
        let failed = String::from_utf8_lossy(&listed.stderr);
        if !listed.status.success() {
            assert!(failed.contains("busy"), "{failed}");
            continue;
        }
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(listed["messages"].as_array().unwrap().len(), 200);
    }
    are_dead(&rig, 200);
}

const HOLDING: &str = "[action:copy]\ndriver = http\nmethod = POST\nurl = SINK/copy/{{ payload.port.fixed_ips[0].ip_address }}\n\
                       max_attempts = 1\non_dead = hold_key\n";

fn keyed() -> String {
    RULE.replace("roles, copy", "copy") + "key = payload.port.device_id\n"
}

fn waiting(rig: &Rig) -> Vec<Value> {
    rig.json("deliveries list")["deliveries"].as_array().unwrap().clone()
}

/// The numbers of the events in the order of their requests.
fn copied(rig: &Rig) -> Vec<usize> {
    let number = |target: &str| target.rsplit('.').next()?.parse().ok();
    rig.sink.requests().iter().filter_map(|request| number(&request.target)).collect()
}

#[track_caller]
fn are_acknowledged(rig: &Rig) {
    wait_until(SOON, "the messages are acknowledged", || rig.vhost.queue_depth("osnl") == Some((0, 0)));
}

#[test]
fn what_a_guard_holds_with_memory_outlives_the_daemon_and_is_carried_out_after_its_release() {
    let guarded = keyed() + "guard = 1 per 1h\n";
    let copy = HOLDING.replace("on_dead = hold_key\n", "");
    let mut rig = Rig::with("letters-guard", &[QUORUM, &guarded, &copy]);
    rig.publish([(1, 1), (2, 2), (2, 3), (1, 4)]);
    are_dead(&rig, 2);
    are_acknowledged(&rig);
    wait_until(SOON, "the first resource passes", || copied(&rig) == [1, 4]);
    let states: Vec<String> = waiting(&rig).iter().map(|one| one["state"].to_string()).collect();
    assert_eq!(states.len(), 2, "{states:?}");
    let guarded = |rig: &Rig| rig.target("copy")["for_release"] == 2;
    wait_until(SOON, "the status counts them", || guarded(&rig));
    let incidents = rig.status()["incidents"].to_string();
    assert!(incidents.contains("guard of rule r"), "{incidents}");
    for (by, expected) in [("guard", 2), ("unexpected-end", 0)] {
        assert_eq!(rig.json(&format!("deliveries list --held-by {by}"))["totals"]["all"], expected, "{by}");
    }

    rig.end("KILL");
    rig.run();
    wait_until(SOON, "the status counts them before a message comes", || guarded(&rig));
    // The guard of the new daemon counts anew, and a new event of the resource waits behind the others.
    rig.publish([(3, 6), (2, 5)]);
    are_dead(&rig, 3);
    are_acknowledged(&rig);
    rig.check(&[("deliveries retry --action copy", 0, "0 deliveries")]);
    rig.check(&[(
        "deliveries release --action copy",
        2,
        "add --yes to release 3 deliveries, which calls 3 × ",
    )]);
    rig.check(&[("deliveries release --action copy --yes", 0, "3 deliveries released")]);
    wait_until(SOON, "all are carried out", || copied(&rig).ends_with(&[2, 3, 5]));
    are_dead(&rig, 0);
    are_acknowledged(&rig);
    wait_until(SOON, "nothing waits", || rig.target("copy")["for_release"] == 0);
    let others: Vec<usize> = copied(&rig).into_iter().filter(|number| ![2, 3, 5].contains(number)).collect();
    assert_eq!(others, [1, 4, 6]);
}

#[test]
fn a_dead_letter_of_memory_holds_its_resource_until_it_is_retried_or_discarded() {
    let mut rig = Rig::with("letters-hold", &[QUORUM, &keyed(), HOLDING]);
    rig.sink.reply_when(|request| request.target.ends_with(".1").then_some(Reply::Status(400)));
    rig.publish([(1, 1), (1, 2), (2, 3)]);
    are_dead(&rig, 2);
    are_acknowledged(&rig);
    wait_until(SOON, "the other resource goes on", || copied(&rig).contains(&3));
    assert!(!copied(&rig).contains(&2), "{:?}", copied(&rig));
    rig.end("KILL");
    rig.run();
    rig.publish([(1, 4)]);
    are_dead(&rig, 3);
    assert!(!rig.log().contains("the dead letter queue has"), "osnl made it: {}", rig.log());
    let first = dead(&rig)[0]["id"].as_str().unwrap().to_owned();
    // The retry fails again: the dead letter keeps its number, and the rest waits.
    rig.sink.forget();
    rig.check(&[(&format!("deliveries retry {first}"), 0, "1 delivery will be retried")]);
    wait_until(SOON, "it is attempted again", || copied(&rig) == [1]);
    are_acknowledged(&rig);
    are_dead(&rig, 3);
    assert_eq!(dead(&rig)[0]["id"].as_str(), Some(&*first));
    rig.sink.reply_when(|_| Some(Reply::Status(204)));
    rig.sink.forget();
    // Without a daemon: the next daemon sends the waiting deliveries back.
    rig.end("KILL");
    rig.check(&[(&format!("deliveries discard {first} --yes"), 0, "1 delivery discarded")]);
    rig.run();
    rig.publish([(1, 5)]);
    wait_until(SOON, "the others are carried out", || copied(&rig) == [2, 4, 5]);
    are_dead(&rig, 0);
    are_acknowledged(&rig);
}

#[test]
fn what_waits_behind_a_discarded_dead_letter_is_carried_out_though_no_message_comes() {
    let mut rig = Rig::with("letters-quiet", &[QUORUM, &keyed(), HOLDING]);
    rig.sink.reply_when(|request| request.target.ends_with(".1").then_some(Reply::Status(400)));
    rig.publish([(1, 1), (1, 2), (1, 3)]);
    are_dead(&rig, 3);
    are_acknowledged(&rig);
    rig.end("KILL");
    rig.run();
    let first = dead(&rig)[0]["id"].as_str().unwrap().to_owned();
    rig.check(&[(&format!("deliveries discard {first} --yes"), 0, "1 delivery discarded")]);
    wait_until(SOON, "the others are carried out", || copied(&rig) == [1, 2, 3]);
    are_dead(&rig, 0);
    are_acknowledged(&rig);
}

#[test]
fn a_pool_with_dead_letters_is_left_only_when_they_have_ended() {
    let mut rig = refused("dead-letters-pool");
    rig.publish([(1, 1)]);
    are_dead(&rig, 1);
    let moved = QUORUM.replace("pool = osnl", "pool = other");
    wait_until(SOON, "the message is acknowledged", || rig.vhost.queue_depth("osnl") == Some((0, 0)));
    rig.write(&[&moved, RULE, ROLES, COPY]);
    let told = rig.reload(1);
    assert!(told.contains("queue osnl.dead would be left, and has 1 dead or waiting deliveries"), "{told}");
    // The refused reload leaves the commands with the former queue.
    let id = dead(&rig)[0]["id"].as_str().unwrap().to_owned();
    rig.check(&[(&format!("deliveries discard {id} --yes"), 0, "1 delivery discarded")]);
    wait_until(SOON, "the pool may be left", || rig.ask(&["reload"]).0 == Some(0));
    rig.listening("neutron");
    rig.publish([(2, 2)]);
    wait_until(SOON, "the new pool has a dead letter", || {
        rig.vhost.queue_depth("other.dead") == Some((1, 0)) && dead(&rig).len() == 1
    });
}
