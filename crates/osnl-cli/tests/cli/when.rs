use osnl_testkit::{Broker, Notice, OsloPublisher, PublisherOptions, Sink, wait_until};
use serde_json::json;

use crate::explain::{conf, json_lines, listening, port, run, said};
use crate::harness::{Place, SOON};

const RULES: &str = "[rule:first]\nlisteners = neutron\nevent_type = ^port\\.delete\\.end$\n\
     when = payload.port.device_id is defined\n  and payload.adminPass is match(\"^T0\")\nstop = yes\nactions = roles\n\
     [rule:named]\nlisteners = neutron\nwhen = payload.port.name.startswith(\"x\")\nactions = audit\n\
     [rule:typed]\nlisteners = neutron\nevent_type = ^network\\.\nwhen = payload.port.device_id + 1 > 1\nactions = audit\n";

#[test]
fn what_when_and_stop_decide_is_seen_in_explain_counts_and_deliveries() {
    let place = Place::new();
    let vhost = Broker::shared().vhost("when");
    let sink = Sink::start();
    let text = conf(&place, &vhost.url(), &sink.url("/v1/role"));
    let text = text.replace("[rule:forget-ports]\n", "[rule:forget-ports]\nenabled = no\n");
    place.write("a.conf", format!("{text}{RULES}"));
    let osnl = listening(&place);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    let created = Notice { event_type: "port.create.end".to_owned(), ..port(1) };
    let network = Notice { event_type: "network.create.end".to_owned(), ..port(2) };
    publisher.notify_all(&[created, network, port(3)]);
    sink.wait_for(1, SOON);
    let dead = || {
        let args = ["deliveries", "list", "-c", "a.conf", "--state", "dead", "--format", "json"];
        serde_json::from_str::<serde_json::Value>(&said(&place, &args).1).unwrap()["deliveries"].clone()
    };
    wait_until(SOON, "a dead letter", || dead().as_array().is_some_and(|dead| dead.len() == 1));
    let reason = dead()[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("rule typed: when cannot be decided: "), "{reason}");

    let ring =
        ["explain", "-c", "a.conf", "--unmatched", "--rule", "first", "--rule", "named", "--format", "json"];
    wait_until(SOON, "the ring is written", || json_lines(&run(&place, &ring).1).len() == 1);
    let text = said(&place, &ring).1;
    let rules = json_lines(&text)[0]["rules"].clone();
    assert_eq!(rules[1]["verdict"], "fails", "{text}");
    assert_eq!(rules[1]["condition"], "when", "{text}");

    let (_, text) =
        said(&place, &["explain", "-c", "a.conf", "--journal", "--rule", "named", "--format", "json"]);
    let named: Vec<_> = json_lines(&text).into_iter().map(|event| event["rules"][0].clone()).collect();
    let stopped = json!({"rule": "named", "verdict": "stopped", "stopped_by": "first",
                         "reason": "rule first matched before it, with stop = true"});
    assert!(named.contains(&stopped), "{text}");

    let counts = || run(&place, &["explain", "-c", "a.conf", "--counts"]).1;
    wait_until(SOON, "all is counted", || {
        counts().contains("rule first of listener neutron: 3 tested, 1 matched")
    });
    let counted = counts();
    let line = |rule: &str| counted.lines().find(|line| line.starts_with(&format!("rule {rule} "))).unwrap();
    assert!(line("first").ends_with(", 2 did not match event_type"), "{counted}");
    assert!(line("named").contains("3 tested, 0 matched"), "{counted}");
    assert!(line("named").contains("2 did not match when"), "{counted}");
    assert!(line("named").contains("1 skipped by stop of a rule before it"), "{counted}");
    assert!(line("typed").contains("1 did not match when"), "{counted}");
    drop(osnl);
}
