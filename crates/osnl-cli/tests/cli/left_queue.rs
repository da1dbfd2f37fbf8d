//! A queue that its listener leaves: a reload is refused while the queue may hold messages, a
//! restart is not, and the status shows waiting messages.

use osnl_testkit::{Reply, wait_until};
use serde_json::json;

use crate::reloading::{ACTION, LISTENER, RULE, Rig, SOON, asked};

/// Only one delivery may be open, so that all other messages stay with the broker.
const BOUND: &str = "[journal]\nmax_pending = 1\n[DEFAULT]\ndebug = true\n";

fn moved() -> String {
    LISTENER.replace("pool = osnl", "pool = newpool")
}

#[track_caller]
fn delivered(rig: &Rig, events: usize) {
    let done = || asked(&rig.sink, |_| true).len() == events;
    wait_until(SOON, "everything is delivered", || {
        let (_, text, _) = rig.ask(&["status"]);
        if text.contains("all is well") {
            // A new listener may briefly hold messages that had been returned to its queue.
            wait_until(SOON, &format!("the deliveries of {text}"), done);
        }
        done()
    });
}

/// Five of six messages once stayed unacknowledged at the old queue's consumer, and the status was
/// "all is well".
#[test]
fn a_pool_that_changes_while_the_listener_is_blocked_leaves_no_message_behind() {
    let mut rig = Rig::with("left-blocked", &[LISTENER, RULE, ACTION, BOUND]);
    rig.sink.reply_with(Reply::Status(503));
    rig.publish((0..6).map(|event| (event, event)));
    wait_until(SOON, "it is blocked", || rig.listener("neutron")["state"] == "blocked");

    rig.write(&[&moved(), RULE, ACTION, BOUND]);
    let told = rig.reload(1);
    let vhost = rig.vhost.name().to_owned();
    let place = format!("[listener:neutron] queue osnl of virtual host {vhost} at 127.0.0.1:");
    assert!(told.contains(&place) && told.contains("would be left, and the listener is blocked"), "{told}");
    assert!(told.contains("[listener:neutron-former]") && told.contains("queue = osnl"), "{told}");
    let unbind = format!(
        "rabbitmqadmin --vhost='{vhost}' delete binding source='neutron' destination_type=queue destination='osnl' \
         properties_key='notifications.info'"
    );
    assert!(told.contains(&unbind), "{told}");
    let failed = rig.status()["configuration"]["not_reloaded"].clone();
    assert_eq!(failed["reason"], json!("queue-not-empty"), "{failed}");
    assert_eq!(rig.vhost.queue_depth("newpool"), None);

    rig.sink.reply_with(Reply::Status(204));
    delivered(&rig, 6);
    rig.listening("neutron");
    wait_until(SOON, "nothing is left in the queue", || rig.vhost.queue_depth("osnl") == Some((0, 0)));
    rig.reload(0);
    rig.listening("neutron");
    rig.publish([(6, 6)]);
    delivered(&rig, 7);
    let bound = |queue: &str| rig.vhost.list_bindings().into_iter().any(|binding| binding.queue == queue);
    // The event may come while both queues are bound, before the listener has left the old one.
    wait_until(SOON, "the new queue alone is bound", || !bound("osnl") && bound("newpool"));
}

#[test]
fn the_way_out_of_a_refusal_loses_nothing() {
    let mut rig = Rig::start("left-way-out");
    let bindings =
        |rig: &Rig, of: &str| rig.vhost.list_bindings().iter().filter(|one| one.queue == of).count();
    let former = "[listener:neutron-former]\ntransport_url = URL\nqueue = osnl\n";
    let bound = "[journal]\nmax_pending = 4\n";
    rig.write(&[LISTENER, RULE, ACTION, bound]);
    restart(&mut rig);
    rig.ask(&["actions", "pause", "roles"]);
    rig.publish((0..8).map(|event| (event, event)));
    wait_until(SOON, "it is blocked", || rig.listener("neutron")["state"] == "blocked");
    rig.write(&[&moved(), RULE, ACTION, bound]);
    rig.reload(1);
    let made = bindings(&rig, "osnl");
    rig.apply(&[&moved(), former, RULE, ACTION, bound]);
    wait_until(SOON, "the new queue is bound", || bindings(&rig, "newpool") > 0);
    rig.ask(&["actions", "resume", "roles"]);
    delivered(&rig, 8);
    assert_eq!(bindings(&rig, "osnl"), made, "the operator unbinds it, once the new queue is bound");
    rig.write(&[&moved(), RULE, ACTION, bound]);
    // A delivery ends before its listener goes on, and a listener that is blocked still may not leave.
    wait_until(SOON, "the former listener may leave", || rig.ask(&["reload"]).0 == Some(0));
}

/// The broker deletes such a queue when its listener ends for one that reads it by its name.
#[test]
fn the_way_out_of_an_auto_delete_queue_keeps_its_listener() {
    let auto_deleted = |listener: &str| format!("{listener}auto_delete = true\n");
    let (former, moved) = (auto_deleted(LISTENER), auto_deleted(&moved()));
    let bound = "[journal]\nmax_pending = 4\n";
    let mut rig = Rig::with("left-auto-delete", &[&former, RULE, ACTION, bound]);
    assert!(rig.log().contains("the broker deletes the queue with its messages when"), "{}", rig.log());
    rig.ask(&["actions", "pause", "roles"]);
    rig.publish((0..8).map(|event| (event, event)));
    wait_until(SOON, "it is blocked", || rig.listener("neutron")["state"] == "blocked");
    rig.write(&[&moved, RULE, ACTION, bound]);
    let told = rig.reload(1);
    assert!(told.contains("leave [listener:neutron] as it was"), "{told}");

    let next = moved.replace("[listener:neutron]", "[listener:neutron-next]");
    rig.apply(&[&former, &next, RULE, ACTION, bound]);
    wait_until(SOON, "both are bound", || {
        rig.vhost.list_bindings().iter().any(|binding| binding.queue == "newpool")
    });
    rig.ask(&["actions", "resume", "roles"]);
    delivered(&rig, 8);
    rig.write(&[&next, RULE, ACTION, bound]);
    wait_until(SOON, "the former listener may leave", || rig.ask(&["reload"]).0 == Some(0));
    rig.publish([(8, 8)]);
    delivered(&rig, 9);
}

fn restart(rig: &mut Rig) {
    rig.end("KILL");
    rig.run();
}

#[test]
fn a_restart_with_another_pool_names_the_old_queue_until_nothing_is_left() {
    let mut rig = Rig::start("left-restart");
    rig.end("KILL");
    rig.publish((0..3).map(|event| (event, event)));
    wait_until(SOON, "they wait in the queue", || rig.vhost.queue_depth("osnl") == Some((3, 0)));
    rig.write(&[&moved(), RULE, ACTION]);
    rig.run();
    let vhost = rig.vhost.name().to_owned();
    let waits = format!(" in virtual host {vhost}: no listener reads it any more; 3 messages in it");
    wait_until(SOON, "the number is known", || {
        let (code, text, _) = rig.ask(&["status"]);
        code == Some(1) && text.contains("!    queue osnl at 127.0.0.1:") && text.contains(&waits)
    });
    let left = rig.status()["left_queues"][0].clone();
    assert!(left["unbind"].as_str().is_some_and(|unbind| unbind.contains("destination='osnl'")), "{left}");
    assert!(left["delete"].is_null(), "{left}");

    let (code, text, _) = rig.ask(&["queues", "forget", "none"]);
    assert!(code == Some(1) && text.ends_with("no left queue none; there are osnl\n"), "{text}");

    let former = "[listener:former]\ntransport_url = URL\nqueue = osnl\n";
    rig.apply(&[&moved(), former, RULE, ACTION]);
    delivered(&rig, 3);
    assert_eq!(rig.status()["left_queues"], json!([]));
}

#[test]
fn a_queue_left_on_a_former_broker_is_shown_with_its_place_and_can_be_forgotten() {
    let mut rig = Rig::start("left-broker");
    rig.end("KILL");
    let there = osnl_testkit::Broker::shared().vhost("left-broker-new");
    let elsewhere = LISTENER.replace("transport_url = URL", &format!("transport_url = {}", there.url()));
    rig.write(&[&elsewhere, RULE, ACTION]);
    rig.run();
    let vhost = rig.vhost.name().to_owned();
    let place = format!("queue osnl of virtual host {vhost} at 127.0.0.1:");
    let line = format!(" in virtual host {vhost}: no listener reads it any more");
    let shown = |rig: &Rig| rig.ask(&["status"]).1.contains(&line);
    wait_until(SOON, "it is shown", || shown(&rig));
    let (code, text, _) = rig.ask(&["queues", "forget", "osnl", "--vhost", &vhost]);
    assert!(code == Some(0) && text.starts_with(&format!("forgotten: {place}")), "{text}");
    assert!(!shown(&rig), "{}", rig.ask(&["status"]).1);
    restart(&mut rig);
    rig.listening("neutron");
    assert!(!shown(&rig));
}
