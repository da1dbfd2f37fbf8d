use osnl_testkit::{
    Broker, BrokerObjects, Notice, OsloPublisher, PublisherOptions, RawMessage, Sink, Vhost, wait_until,
};
use serde_json::{Value, json};

use crate::explain::{conf, listening, run};
use crate::harness::{Osnl, Place, SOON, instance, port_deleted};

const OLD: usize = 8;

fn with_history(name: &str, listener: &str) -> (Vhost, Place, Sink, Osnl) {
    let place = Place::new();
    let vhost = Broker::shared().vhost(name);
    let sink = Sink::start();
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions { durable: true });
    publisher.prepare(&BrokerObjects { queue: "notifications.info".to_owned(), ..BrokerObjects::default() });
    for n in 0..OLD {
        let body = json!({
            "event_type": "port.delete.end", "publisher_id": "network.h1", "priority": "INFO", "message_id": format!("m-{n}"),
            "timestamp": format!("2026-0{}-11 06:36:22.662155", n + 1), "payload": port_deleted(n),
        });
        publisher.raw(&RawMessage { body: body.to_string().into_bytes(), ..RawMessage::default() });
    }
    let text = conf(&place, &vhost.url(), &sink.url("/v1/role"));
    let text =
        text.replace("exchange = neutron\ndeclare = create\npool = osnl\n", "queue = notifications.info\n");
    place.write("a.conf", format!("{text}[listener:neutron]\n{listener}\n"));
    publisher.notify(&Notice { payload: port_deleted(OLD), ..Notice::default() });
    let osnl = listening(&place);
    (vhost, place, sink, osnl)
}

fn status(place: &Place) -> Value {
    let (_, stdout, stderr) = run(place, &["status", "-c", "a.conf", "--format", "json"]);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
}

fn incidents(status: &Value) -> Vec<&str> {
    status["incidents"].as_array().unwrap().iter().filter_map(|one| one["what"].as_str()).collect()
}

#[test]
fn old_events_are_dead_letters_that_a_retry_delivers() {
    let (_vhost, place, sink, osnl) = with_history("old-events", "max_event_age = 1d");
    sink.wait_for(1, SOON);
    let dead = || {
        let (_, text, _) =
            run(&place, &["deliveries", "list", "-c", "a.conf", "--state", "dead", "--format", "json"]);
        let listed: Value = serde_json::from_str(&text).unwrap_or_default();
        listed["deliveries"].as_array().cloned().unwrap_or_default()
    };
    wait_until(SOON, "all are dead letters", || dead().len() == 2 * OLD);
    assert_eq!(sink.requests().len(), 1, "only the new one is called");
    assert!(sink.requests()[0].target.contains(&instance(OLD)));
    for row in dead() {
        let reason = row["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("too old: published 2026-0") && reason.contains("the limit is 1 d"),
            "{reason}"
        );
    }
    // A commit is counted after it can be read.
    wait_until(SOON, "all are counted", || status(&place)["counters"]["too_old"] == json!(2 * OLD));
    let now = status(&place);
    assert!(now["listeners"][0]["last_event_age_seconds"].as_u64().is_some_and(|age| age < 3600), "{now}");
    assert!(!incidents(&now).iter().any(|line| line.contains("days old")), "{now}");
    let (code, text, _) = run(&place, &["explain", "-c", "a.conf", "--journal", "--limit", "1"]);
    assert_eq!(code, Some(0), "the last one is new: {text}");
    let (code, text, stderr) =
        run(&place, &["deliveries", "retry", "-c", "a.conf", "--action", "roles", "--state", "dead"]);
    assert_eq!(code, Some(0), "{text}{stderr}");
    sink.wait_for(1 + OLD, SOON);
    drop(osnl);
}

#[test]
fn old_events_that_run_are_an_incident() {
    let (_vhost, place, sink, osnl) = with_history("old-events-run", "prefetch = 20");
    sink.wait_for(1 + OLD, SOON);
    let now = status(&place);
    let found = incidents(&now);
    let old: Vec<_> = found
        .iter()
        .filter(|line| line.contains("neutron: actions run for events that were up to"))
        .collect();
    assert_eq!(old.len(), 1, "{found:?}");
    assert!(now["incidents"].to_string().contains("max_event_age = 1d"), "{now}");
    assert_eq!(now["counters"]["too_old"], json!(0));
    drop(osnl);
}
