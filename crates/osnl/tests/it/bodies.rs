use osnl_model::parse_python_json;
use osnl_testkit::Sink;
use osnl_testkit::fixture::{self, body};
use osnl_transport::Properties;
use serde_json::Value;

use crate::harness::{QUEUE, daemon_for, instance, port_deleted, publish, publish_raw};

const UNREADABLE: [&str; 21] = [
    "35", "36", "37", "38", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "50", "51", "52",
    "56", "57", "61", "63",
];
/// A rule matches its head, but its payload is nested deeper than anything real, and so unreadable.
const TOO_DEEP: &str = "64";

pub(crate) fn properties(case: &Value) -> Properties {
    let text = |value: &Value| value.as_str().map(|text| text.to_owned().into());
    Properties {
        content_type: text(&case["properties"]["content_type"]),
        content_encoding: text(&case["properties"]["content_encoding"]),
        compression: case["headers"]["compression"].as_str().map(str::to_owned),
    }
}

pub(crate) fn wire_cases() -> Vec<(String, Value)> {
    fixture::wire().into_iter().map(|(name, text)| (name, parse_python_json(&text).unwrap())).collect()
}

#[test]
fn every_recorded_body_is_settled_and_what_cannot_be_read_is_set_aside_once() {
    let sink = Sink::start();
    let (broker, daemon) = daemon_for(&sink, "");
    let cases = wire_cases();
    assert!(cases.len() >= 65);
    for (name, case) in &cases {
        let before = daemon.counters.snapshot();
        publish_raw(&broker, &body(case), properties(case));
        // The effect of a later message shows that the first has not blocked the queue.
        publish(&broker, &port_deleted(&instance(1), "10.0.0.1"));
        let count = |name: &str, in_: &[(&str, u64)]| in_.iter().find(|(n, _)| *n == name).unwrap().1;
        daemon.wait_until(name, |c| c.received.get() == count("received", &before) + 2);
        daemon.wait_until(name, |c| {
            c.quarantined.get() + c.unmatched.get() + c.delivered.get() + c.dead.get()
                == ["quarantined", "unmatched", "delivered", "dead"]
                    .iter()
                    .map(|n| count(n, &before))
                    .sum::<u64>()
                    + 2
        });
        let unreadable = daemon.counters.quarantined.get() - count("quarantined", &before);
        let number = name.split('-').next().unwrap();
        let expected = UNREADABLE.contains(&number) || number == TOO_DEEP;
        assert_eq!(unreadable, u64::from(expected), "{name}");
    }
    daemon.stop().unwrap();
    assert_eq!(broker.ready(QUEUE), 0);
}
