//! A queue that is left for another one: what is in it is read, whatever happens meanwhile, and no advice says to
//! delete it before it is empty.

use std::collections::BTreeMap;

use osnl_testkit::{Reply, wait_until};
use serde_json::json;

use crate::reloading::{ACTION, LISTENER, RULE, Rig, SOON, asked, instance};

/// One delivery may be open, so that all other messages are with the broker.
const BOUND: &str = "[journal]\nmax_pending = 1\n[DEFAULT]\ndebug = true\n";

fn kill(rig: &mut Rig) {
    let mut daemon = rig.daemon.take().unwrap();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

/// Without waiting for anything: it may be blocked at once.
fn start(rig: &mut Rig) {
    let mut command = rig.command(&["run", "-c", "a.conf"]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    rig.daemon = Some(command.spawn().unwrap());
}

/// For more looks than those that would call it empty: each has a connection of its own.
#[track_caller]
fn is_not_left(rig: &Rig) {
    let looks = || rig.log().matches("connected to the broker").count();
    let before = looks();
    wait_until(SOON, "it is looked at three times", || {
        assert!(!rig.log().contains("is empty and left"), "{}", rig.log());
        looks() >= before + 3
    });
}

#[test]
fn a_queue_that_is_left_while_nothing_can_be_kept_is_emptied_also_over_a_restart() {
    let mut rig = Rig::start("left-blocked");
    kill(&mut rig);
    rig.write(&[LISTENER, RULE, ACTION, BOUND]);
    rig.sink.reply_with(Reply::Status(503));
    start(&mut rig);
    rig.publish((0..6).map(|event| (event, event)));
    wait_until(SOON, "it is blocked", || rig.listener("neutron")["state"] == "blocked");
    let blocked = rig.listener("neutron");
    let reason = blocked["reason"].as_str().unwrap();
    assert!(
        reason.contains("action roles has 1 delivery pending") && reason.contains("max_pending"),
        "{blocked}"
    );
    assert!(blocked["since_seconds"].is_number(), "{blocked}");
    let (code, text, _) = rig.ask(&["status"]);
    assert!(code == Some(1) && text.contains("! listener neutron is blocked (for "), "{text}");

    let moved = LISTENER.replace("pool = osnl", "pool = newpool");
    rig.write(&[&moved, RULE, ACTION, BOUND]);
    rig.reload(0);
    let bound = |rig: &Rig| rig.vhost.list_bindings().into_iter().any(|binding| binding.queue == "osnl");
    wait_until(SOON, "the old queue is unbound", || !bound(&rig));
    // It has been looked at, twice: nothing is ready in it, and five have been handed over.
    let looked = |rig: &Rig| rig.status()["left_queues"][0]["seen_seconds"].as_u64();
    wait_until(SOON, "it was looked at", || looked(&rig).is_some());
    let left = rig.status()["left_queues"][0].clone();
    assert_eq!((&left["queue"], &left["emptied_by"]), (&json!("osnl"), &json!("neutron")), "{left}");
    assert!(left["delete"].is_null(), "{left}");

    is_not_left(&rig);

    kill(&mut rig);
    wait_until(SOON, "five are in the queue again", || rig.vhost.queue_depth("osnl") == Some((5, 0)));
    start(&mut rig);
    wait_until(SOON, "they are handed over again", || rig.vhost.queue_depth("osnl") == Some((0, 5)));
    let (_, text, _) = rig.ask(&["status"]);
    assert!(text.contains("being emptied by listener neutron"), "{text}");
    assert!(!text.contains("delete_queue"), "{text}");
    is_not_left(&rig);

    rig.sink.reply_with(Reply::Status(204));
    wait_until(SOON, "everything is delivered", || rig.target("roles")["done"] == 6);
    wait_until(SOON, "the old queue is left", || rig.log().contains("the queue is empty and left"));
    let left = rig.status()["left_queues"][0].clone();
    assert_eq!((&left["messages"], &left["emptied_by"]), (&json!(0), &json!(null)), "{left}");
    assert!(
        left["delete"].as_str().is_some_and(|delete| delete.starts_with("rabbitmqctl delete_queue")),
        "{left}"
    );
    let asked: BTreeMap<String, Vec<usize>> = asked(&rig.sink, |_| true);
    for event in 0..6 {
        let of = &asked[&instance(event)];
        assert!(of.iter().all(|asked| *asked == event), "{asked:?}");
    }
}

#[test]
fn a_restart_with_another_pool_empties_the_old_queue_as_a_reload_does() {
    let mut rig = Rig::start("left-restart");
    kill(&mut rig);
    rig.publish((0..3).map(|event| (event, event)));
    wait_until(SOON, "they wait in the queue", || rig.vhost.queue_depth("osnl") == Some((3, 0)));
    let moved = LISTENER.replace("pool = osnl", "pool = newpool");
    rig.write(&[&moved, RULE, ACTION]);
    start(&mut rig);
    wait_until(SOON, "the old queue is left", || rig.log().contains("the queue is empty and left"));
    let bound = |queue: &str| rig.vhost.list_bindings().into_iter().any(|binding| binding.queue == queue);
    assert!(!bound("osnl") && bound("newpool"));
    rig.publish((3..5).map(|event| (event, event)));
    wait_until(SOON, "everything is delivered", || rig.target("roles")["done"] == 5);
    assert_eq!(asked(&rig.sink, |_| true).len(), 5);
}
