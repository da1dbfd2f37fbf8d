use std::time::Duration;

use osnl_testkit::{
    Broker, DeclaredBinding, Notice, OsloPublisher, PublisherOptions, Reply, Sink, SinkRequest, Vhost,
    wait_until,
};
use serde_json::{Value, json};

use crate::harness::{Osnl, Place, SOON, conf, depth, instance, notices, port_deleted, settled};

const NOTIFICATIONS: &str = "[oslo_messaging_notifications]\n";

struct Side<'a> {
    vhost: &'a Vhost,
    sink: &'a Sink,
    place: Place,
    running: Vec<Osnl>,
}

impl<'a> Side<'a> {
    fn new(vhost: &'a Vhost, sink: &'a Sink) -> Self {
        Self { vhost, sink, place: Place::new(), running: Vec::new() }
    }

    fn start(&mut self, name: &str, more: &str) {
        let text = conf(&self.vhost.url(), &self.sink.url(&format!("/{name}")), more);
        let osnl = self.place.daemon(name, &format!("{text}{NOTIFICATIONS}pool = {name}\n"));
        self.running.push(osnl);
    }

    fn all_listen(&mut self) {
        self.running = std::mem::take(&mut self.running).into_iter().map(Osnl::listening).collect();
    }

    fn made(&self, name: &str) -> Vec<SinkRequest> {
        let begin = format!("/{name}?");
        self.sink.requests().into_iter().filter(|request| request.target.starts_with(&begin)).collect()
    }
}

fn numbers(requests: &[SinkRequest]) -> Vec<usize> {
    let number =
        |n: &usize, request: &SinkRequest| request.target.contains(&format!("&cuk={}&", instance(*n)));
    let mut found: Vec<usize> =
        requests.iter().map(|request| (0..10).find(|n| number(n, request)).unwrap()).collect();
    found.sort_unstable();
    found
}

#[test]
fn topic_exchange_and_pool_are_what_is_declared() {
    let vhost = Broker::shared().vhost("declared");
    let sink = Sink::start();
    let place = Place::new();
    let more = "[oslo_messaging_notifications]\nexchange = nova\ntopic = versioned_notifications\npool = site-b\n\
                event_type = ^instance\\.delete\\.end$\npublisher_id = ^nova-compute:.*$";
    let osnl = place.daemon("k", &conf(&vhost.url(), &sink.url("/r"), more)).listening();
    let binding = |exchange: &str, queue: &str, routing_key: &str| DeclaredBinding {
        exchange: exchange.to_owned(),
        queue: queue.to_owned(),
        routing_key: routing_key.to_owned(),
    };
    assert_eq!(vhost.list_bindings(), [binding("nova", "site-b", "versioned_notifications.info")]);
    let queues = vhost.list_queues();
    let names: Vec<(&str, bool, bool)> =
        queues.iter().map(|queue| (&*queue.name, queue.durable, queue.auto_delete)).collect();
    assert_eq!(names, [("site-b", false, false)]);
    let exchanges = vhost.list_exchanges();
    let names: Vec<(&str, &str, bool)> = exchanges.iter().map(|e| (&*e.name, &*e.kind, e.durable)).collect();
    assert_eq!(names, [("nova", "topic", false)]);

    let deleted = |n: usize| Notice {
        exchange: "nova".to_owned(),
        topic: "versioned_notifications".to_owned(),
        publisher_id: "nova-compute:node1".to_owned(),
        event_type: "instance.delete.end".to_owned(),
        payload: json!({"nova_object.data": {"uuid": instance(n)}}),
        ..Notice::default()
    };
    let unversioned = Notice { topic: "notifications".to_owned(), ..deleted(1) };
    let neutrons = Notice { exchange: "neutron".to_owned(), ..deleted(2) };
    let warning = Notice { priority: "warn".to_owned(), ..deleted(3) };
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&[unversioned, neutrons, warning, deleted(0)]);
    let made = sink.wait_for(1, SOON);
    assert_eq!(made[0].target, format!("/r?extra=openstack-auto-v1&cuk={}", instance(0)));
    settled(&vhost, "site-b");
    assert!(osnl.stop().contains("received=1 "));
}

#[test]
fn each_filter_lets_through_what_it_says() {
    let vhost = Broker::shared().vhost("filters");
    let sink = Sink::start();
    let mut side = Side::new(&vhost, &sink);
    let cases: [(&str, &str, &[usize]); 10] = [
        ("default", "", &[1, 4]),
        ("event", "event_type = ^port\\.(create|delete)\\.end$", &[1, 2, 4]),
        ("event-prefix", "event_type = port\\.del", &[1, 4]),
        ("publisher", "publisher_id = ^nova", &[3]),
        ("context", "context = user:^aaa$", &[1]),
        ("context-2", "context = user:^a,project_domain:^default$", &[1]),
        ("metadata", "metadata = timestamp:^20\\d\\d-,message_id:^[-0-9a-f]{36}$", &[1, 4]),
        ("metadata-not", "metadata = message_id:^not-this$", &[]),
        ("payload", "payload = kind:^wanted$", &[1]),
        ("payload-not", "payload = port:^.*$", &[]),
    ];
    for (name, line, _) in cases {
        side.start(name, &format!("{NOTIFICATIONS}{line}"));
    }
    side.all_listen();

    let notice = |n: usize, kind: &str| {
        let mut payload = port_deleted(n);
        payload["kind"] = Value::from(kind);
        Notice { payload, ..Notice::default() }
    };
    let context = json!({"user": "aaa", "project_domain": "default"});
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&[
        Notice { context: Some(context), ..notice(1, "wanted") },
        Notice { event_type: "port.create.end".to_owned(), ..notice(2, "unwanted") },
        Notice { publisher_id: "nova.node1".to_owned(), ..notice(3, "unwanted") },
        notice(4, "unwanted"),
    ]);
    for (name, line, expected) in cases {
        settled(&vhost, name);
        assert_eq!(numbers(&side.made(name)), expected, "{name}: {line}");
    }
    for osnl in side.running {
        assert!(osnl.stop().contains("received=4 "));
    }
}

#[test]
fn a_dead_letter_is_json_without_secrets() {
    let vhost = Broker::shared().vhost("dead-letter");
    let sink = Sink::start();
    sink.reply_with(Reply::Status(400));
    let place = Place::new();
    let more = "max_retries = 0\n[DEFAULT]\ndebug_level = debug\nlibs_debug_level = debug";
    let osnl = place.daemon("k", &conf(&vhost.url(), &sink.url("/r"), more)).listening();
    let mut payload = port_deleted(1);
    payload["admin_password"] = Value::from("hunter2");
    payload["port"]["binding:profile"] = json!({"auth_token": "hunter2", "note": "two\nlines"});
    let notice = Notice { payload: payload.clone(), ..Notice::default() };
    OsloPublisher::start(&vhost.url(), PublisherOptions::default()).notify(&notice);
    osnl.wait_for("{\"dead_letter\"");
    settled(&vhost, "k2hr3_osnl");
    let log = osnl.stop();

    let line = log.lines().find(|line| line.contains("{\"dead_letter\"")).unwrap();
    assert!(line.contains(" ERROR osnl."), "{line}");
    let document: Value = serde_json::from_str(&line[line.find('{').unwrap()..]).unwrap();
    let letter = &document["dead_letter"];
    payload["admin_password"] = Value::from("***");
    payload["port"]["binding:profile"]["auth_token"] = Value::from("***");
    assert_eq!(letter["payload"], payload);
    for (key, expected) in [
        ("rule", "k2hr3_osnl"),
        ("action", "k2hr3_osnl"),
        ("queue", "k2hr3_osnl"),
        ("exchange", "neutron"),
        ("routing_key", "notifications.info"),
        ("event_type", "port.delete.end"),
        ("publisher_id", "network.node1.example.com"),
    ] {
        assert_eq!(letter[key], expected, "{key}: {line}");
    }
    assert!(letter["reason"].as_str().unwrap().contains("400"), "{line}");
    assert_eq!(letter["message_id"].as_str().unwrap().len(), 36, "{line}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn requeue_on_error_gives_the_message_back_unless_it_is_not_allowed() {
    let vhost = Broker::shared().vhost("requeue");
    let sink = Sink::start();
    sink.reply_with(Reply::Status(400));
    let mut side = Side::new(&vhost, &sink);
    side.start("back", "max_retries = 0\nrequeue_on_error = true");
    side.start(
        "forbidden",
        &format!("max_retries = 0\nrequeue_on_error = true\n{NOTIFICATIONS}allow_requeue = no"),
    );
    side.start("default", "max_retries = 0");
    side.all_listen();
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&notices(0..1));
    wait_until(SOON, "the message to come round three times", || side.made("back").len() >= 3);
    let made = side.made("back");
    // Each return has a pause of a second before it, less the jitter of a fifth.
    for (earlier, later) in made.iter().zip(&made[1..]) {
        let pause = later.at - earlier.at;
        assert!(pause >= Duration::from_millis(800), "{pause:?}");
    }
    for name in ["forbidden", "default"] {
        settled(&vhost, name);
        assert_eq!(side.made(name).len(), 1, "{name}");
    }
    let mut logs = side.running.drain(..).map(Osnl::stop);
    let [back, forbidden, default] = [(); 3].map(|()| logs.next().unwrap());
    assert!(!back.contains("dead letter"), "{back}");
    assert!(forbidden.contains("dead letter"), "{forbidden}");
    assert!(default.contains("dead letter"), "{default}");
    depth(&vhost, "back", (1, 0));
    assert!(publisher.take("back").unwrap().redelivered);
}
