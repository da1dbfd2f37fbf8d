use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Sink, wait_until};
use serde_json::{Value, json};

use crate::explain::{conf, json_lines, listening, port, run, said};
use crate::harness::{Place, SOON};
use crate::snapshot::is_as_kept;

fn event(id: &str, event_type: &str, state: &str) -> String {
    json!({"event_type": event_type, "publisher_id": "network.h1", "priority": "INFO", "message_id": id,
           "timestamp": "2026-11-20 05:04:03.000001", "payload": {"state": state, "adminPass": "T0KEN"}})
    .to_string()
}

fn quiet(place: &Place) {
    place.write("a.conf", conf(place, "rabbit://u:S3CRET@127.0.0.1:9/", "https://k2hr3.example.com/v1/role"));
}

const OTHER: &str = "[rule:forget-ports]\nlisteners = neutron\nevent_type = ^port\\.(delete|update)\\.end$\n\
                     when = payload.state != 'DOWN'\nactions = roles\n\
                     [rule:networks]\nevent_type = ^network\\.\nactions = audit\n";

#[test]
fn what_would_fire_and_what_no_longer_is_counted_and_named() {
    let place = Place::new();
    quiet(&place);
    place.write("other.conf", OTHER);
    let mut events = String::new();
    for n in 0..7 {
        events.push_str(&event(&format!("update-{n}"), "port.update.end", "ACTIVE"));
    }
    events.push_str(&event("down", "port.delete.end", "DOWN"));
    events.push_str(&event("kept", "port.delete.end", "ACTIVE"));
    events.push_str(&event("network", "network.create.end", "ACTIVE"));
    place.write("events.jsonl", events);
    let args = ["explain", "-c", "a.conf", "--rules", "other.conf", "events.jsonl"];
    let (code, text) = said(&place, &args);
    is_as_kept("explain-other-rules", &text);
    assert_eq!(code, Some(0));

    let (code, text) = said(&place, &[&args[..], &["--format", "json", "--rule", "networks"]].concat());
    let expected = [
        json!({"rule": "networks", "is_now": false, "is_tried": true, "fires_now": 0, "would_fire": 1,
               "more": {"count": 1, "message_ids": ["network"]}, "no_longer": {"count": 0, "message_ids": []},
               "unknown": 0, "undecided": 0}),
        json!({"summary": {"events": 10, "firing_now": 2, "would_fire": 9}}),
    ];
    let mut lines = json_lines(&text);
    let seconds = lines[1]["summary"].as_object_mut().unwrap().remove("seconds");
    assert!(seconds.is_some_and(|seconds| seconds.is_number()));
    assert_eq!((code, lines), (Some(0), expected.to_vec()));

    let (code, _) = said(&place, &[&args[..], &["--rule", "errors"]].concat());
    assert_eq!(code, Some(1));
}

#[test]
fn journal_and_ring_are_asked_as_a_whole() {
    let place = Place::new();
    let vhost = Broker::shared().vhost("other-rules");
    let sink = Sink::start();
    place.write("a.conf", conf(&place, &vhost.url(), &sink.url("/v1/role")));
    place.write("other.conf", OTHER.replace("payload.state != 'DOWN'", "payload.port is defined"));
    let osnl = listening(&place);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let typed = |event_type: &str, n: usize| Notice { event_type: event_type.to_owned(), ..port(n) };
    publisher.notify_all(&[typed("network.create.end", 1), typed("port.update.end", 2), port(3), port(4)]);
    sink.wait_for(2, SOON);
    let explain = |more: &[&str]| {
        let (_, stdout, _) = run(
            &place,
            &[&["explain", "-c", "a.conf", "--rules", "other.conf", "--format", "json"], more].concat(),
        );
        json_lines(&stdout)
    };
    let summary = |more: &[&str]| explain(more).last().unwrap()["summary"]["events"].clone();
    wait_until(SOON, "the ring is written", || summary(&[]) == json!(4));
    let all = explain(&[]);
    let number = |rule: usize, key: &str| all[rule][key].as_u64().unwrap();
    assert_eq!((number(0, "fires_now"), number(0, "would_fire")), (2, 2), "{all:?}");
    // Only the update's head was kept, but `when` reads the payload. For the network the head is
    // enough.
    assert_eq!(number(0, "unknown"), 1, "{all:?}");
    assert_eq!(all[1]["more"]["count"], json!(1), "{all:?}");
    assert_eq!((summary(&["--journal"]), summary(&["--unmatched"])), (json!(2), json!(2)));
    assert_eq!(summary(&["--unmatched=^network"]), json!(1));
    assert_eq!(summary(&["--matched", "forget-ports"]), json!(2));
    assert_eq!(summary(&["--until", "1h"]), json!(0));
    assert_eq!(summary(&["--id", "1"]), json!(1));
    let lost = place.path("lost.conf");
    std::fs::write(&lost, "[rule:forget-ports]\nenabled = no\nactions = audit\n").unwrap();
    let (code, stdout, _) =
        run(&place, &["explain", "-c", "a.conf", "--rules", "lost.conf", "--format", "json"]);
    let found: Vec<Value> = json_lines(&stdout);
    assert_eq!((code, found[0]["no_longer"]["count"].clone()), (Some(1), json!(2)), "{stdout}");
    osnl.stop();
}
