use std::path::Path;

use osnl_testkit::{BrokerObjects, wait_until};
use serde_json::{Value, json};

use super::{Rig, events, state};
use crate::harness::{PROMPTLY, SOON};

#[test]
fn a_check_takes_nothing_from_anybody_and_alters_nothing() {
    let mut rig = Rig::with_nova("check-apart");
    for (exchange, durable) in [("nova", false), ("neutron", true), ("keystone", true)] {
        rig.publisher.prepare(&BrokerObjects {
            exchange: exchange.to_owned(),
            queue: format!("others-{exchange}"),
            durable,
            ..BrokerObjects::default()
        });
    }
    rig.publisher.notify_all(&events(1..4));
    let waiting = |count: u64| {
        let ready = || rig.vhost.list_queues().iter().map(|queue| queue.ready).sum::<u64>();
        wait_until(SOON, "what was published to be counted", || ready() == count);
    };
    // One message made the exchange, and three were routed to two queues.
    waiting(7);
    let before = state(&rig.vhost);

    let mut tap = rig.tap(&["--check", "--for", "30s", "--count", "5"]);
    wait_until(SOON, "the check to be bound", || {
        let bindings = rig.vhost.list_bindings();
        bindings.iter().any(|b| b.queue.starts_with("amq.gen-") && b.exchange == "keystone")
    });
    rig.publisher.notify_all(&events(4..9));
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
    assert!(tap.stdout().contains("messages   5 seen, 0 dropped"), "{}", tap.stdout());

    wait_until(SOON, "the check's queues to vanish", || {
        let after = state(&rig.vhost);
        let mut expected = before.clone();
        for queue in &mut expected.1 {
            queue.ready += if matches!(&*queue.name, "notifications.info" | "others-nova") { 5 } else { 0 };
        }
        after == expected
    });
    for queue in ["notifications.info", "others-nova"] {
        let taken: Vec<_> = std::iter::from_fn(|| rig.publisher.take(queue)).collect();
        assert!(taken.iter().all(|message| !message.redelivered), "{queue}");
    }
}

#[test]
fn a_check_goes_through_the_steps_and_says_what_is_likely_wrong() {
    let mut rig = Rig::with_nova("tap-check");
    rig.publisher.prepare(&BrokerObjects { exchange: "neutron".to_owned(), ..BrokerObjects::default() });
    let before = rig.vhost.list_exchanges();
    let mut tap =
        rig.tap(&["--check", "-e", "nova,neutron,glance", "--topic", "notifications", "--for", "1s"]);
    assert_eq!(tap.wait(PROMPTLY).code(), Some(1), "{}", tap.stderr());
    let text = tap.stdout();
    let [product, version, cluster] = rig.vhost.greeting();
    for line in [
        "virtual host \"tap-check-",
        ", user guest\nbroker     RabbitMQ ",
        &format!("broker     {product} {version}, cluster {cluster}\n"),
        "queue      tap's own, exclusive, limited in length (--queue-limit); messages dropped at the limit are counted\n",
        "exchange   nova: topic, transient; bound with notifications.*\n",
        "exchange   neutron: topic, durable; bound with notifications.*\n",
        "exchange   glance: does not exist in this virtual host;",
        "           -> crudini --set /etc/glance/glance-api.conf oslo_messaging_notifications driver messagingv2",
        "messages   none in 1 s; possible causes, the most likely first:\n           1. nothing is sent: the driver of ",
        "              -> crudini --set /etc/nova/nova.conf oslo_messaging_notifications driver messagingv2",
        "           5. nothing happened\n              -> openstack ",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert_eq!(rig.vhost.list_exchanges(), before);

    // Hardly a cloud has all default exchanges.
    let mut tap = rig.tap(&["--check", "--for", "1s"]);
    assert_eq!(tap.wait(PROMPTLY).code(), Some(1), "{}", tap.stderr());
    let text = tap.stdout();
    assert!(text.contains("\nexchange   nova: topic, transient; bound with notifications.*, "), "{text}");
    assert!(
        text.contains("\nexchanges  do not exist in this virtual host: glance, cinder, keystone, "),
        "{text}"
    );
    assert!(!text.contains("exchange   glance"), "{text}");

    let mut tap = rig.tap(&["--check", "-e", "nova", "--format", "json", "--for", "30s", "--count", "2"]);
    wait_until(SOON, "the check to be bound", || {
        rig.vhost.list_bindings().iter().any(|binding| binding.queue.starts_with("amq.gen-"))
    });
    rig.publisher.notify_all(&events(1..3));
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0), "{}", tap.stderr());
    let checked: Value = serde_json::from_str(&tap.stdout()).unwrap();
    assert_eq!(
        checked["exchanges"],
        json!([{"name": "nova", "state": "bound", "type": "topic", "durable": false}])
    );
    assert_eq!(checked["broker"], json!({"product": product, "version": version, "cluster": cluster}));
    let seen =
        json!([{"exchange": "nova", "routing_key": "notifications.info", "format": "legacy", "count": 2}]);
    assert_eq!((&checked["seen"], &checked["messages"]), (&seen, &json!(2)));
}

#[test]
fn ctrl_c_ends_a_check_with_130_and_shows_what_it_found() {
    let mut rig = Rig::with_nova("tap-check-ended");
    let mut tap = rig.tap(&["--check", "-e", "nova", "--for", "60s"]);
    let queue = || {
        let bindings = rig.vhost.list_bindings();
        bindings.into_iter().map(|binding| binding.queue).find(|queue| queue.starts_with("amq.gen-"))
    };
    wait_until(SOON, "the check to be bound", || queue().is_some());
    let queue = queue().unwrap();
    rig.publisher.notify_all(&events(1..2));
    // The check asks the broker about the exchange before it reads messages.
    wait_until(SOON, "the check to have taken it", || rig.vhost.queue_depth(&queue) == Some((0, 0)));
    tap.signal("INT");
    assert_eq!(tap.wait(PROMPTLY).code(), Some(130), "{}", tap.stderr());
    assert!(tap.stdout().contains("\nmessages   "), "{}", tap.stdout());
}

#[test]
fn who_may_not_even_have_a_queue_is_told_what_would_let_him() {
    let rig = Rig::with_nova("tap-poor");
    let user = format!("{}-user", rig.vhost.name());
    rig.vhost.set_password(&user, "S3CRET");
    rig.vhost.ctl(&["set_permissions", &user, "^$", "^$", ".*"]);
    let url = rig.vhost.url_for(&user, "S3CRET");
    for check in [&["--check"][..], &[]] {
        let args = [&["tap", &url, "-e", "nova", "--for", "1s"], check].concat();
        let mut tap = rig.place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &args);
        assert_eq!(tap.wait(PROMPTLY).code(), Some(69), "{}", tap.stderr());
        let command = format!("osnl tap: -> rabbitmqctl set_permissions -p {} {user} ", rig.vhost.name());
        assert!(
            tap.stderr().contains("403 ACCESS_REFUSED") && tap.stderr().contains(&command),
            "{}",
            tap.stderr()
        );
        assert!(!tap.stderr().contains("S3CRET"), "{}", tap.stderr());
    }
}

#[test]
fn the_command_that_a_check_names_mends_what_it_found() {
    let rig = Rig::with_nova("tap-mend");
    let user = format!("{}-user", rig.vhost.name());
    rig.vhost.set_password(&user, "S3CRET");
    rig.vhost.ctl(&["set_permissions", &user, "^amq\\.gen-.*", "^amq\\.gen-.*", "^amq\\.gen-.*"]);
    let url = rig.vhost.url_for(&user, "S3CRET");
    let check = || {
        let args = ["tap", &url, "--check", "-e", "nova", "--for", "1s"];
        let mut tap = rig.place.run(Path::new(env!("CARGO_BIN_EXE_osnl")), &args);
        assert_eq!(tap.wait(PROMPTLY).code(), Some(1), "{}", tap.stderr());
        tap.stdout()
    };
    let text = check();
    assert!(
        text.contains("dropped at the limit are not counted: no write permission for amq.default\n"),
        "{text}"
    );
    assert!(text.contains("read permission is needed\n"), "{text}");
    let commands: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("-> rabbitmqctl ")).collect();
    let [first, second, ..] = &commands[..] else { panic!("{text}") };
    assert_eq!(first, second, "one command mends both");
    let script = format!("set -- {first}\nprintf '%s\\n' \"$@\"");
    let words = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    let words: Vec<&str> = words.lines().collect();
    assert_eq!(words[..3], ["set_permissions", "-p", rig.vhost.name()]);
    rig.vhost.ctl(&[&words[..1], &words[3..]].concat());
    let text = check();
    assert!(text.contains("dropped at the limit are counted\n"), "{text}");
    assert!(
        text.contains("exchange   nova: durability unknown (no configure permission); bound with "),
        "{text}"
    );
}
