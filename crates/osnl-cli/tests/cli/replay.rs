use std::path::Path;

use osnl_testkit::{Broker, OsloPublisher, Pty, PublisherOptions, Sink};

use crate::explain::{conf, json_lines, listening, port, run, said};
use crate::harness::{PROMPTLY, Place, SOON, instance};

const OSNL: &str = env!("CARGO_BIN_EXE_osnl");

#[test]
fn what_was_delivered_is_shown_then_delivered_again() {
    let place = Place::new();
    let vhost = Broker::shared().vhost("replayed");
    let sink = Sink::start();
    place.write("a.conf", conf(&place, &vhost.url(), &sink.url("/v1/role")));
    let osnl = listening(&place);
    let mut tap = place
        .run(Path::new(OSNL), &["tap", &vhost.url(), "-e", "neutron", "-n", "3", "--save", "seen.jsonl"]);
    tap.wait_for("listening at");
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&[port(1), port(2), port(3)]);
    sink.wait_for(3, SOON);
    assert_eq!(tap.wait(PROMPTLY).code(), Some(0));

    let args = ["replay", "-c", "a.conf", "--journal", "--rule", "forget-ports"];
    let (code, shown) = said(&place, &args);
    assert_eq!(code, Some(0), "{shown}");
    osnl.stop();

    let (code, text) = said(&place, &[&args[..], &["--resource", &instance(2)]].concat());
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert!(
        lines[4].starts_with("delivered before, as 2.0 at 20") && lines[4].contains("Z: DELETE http"),
        "{text}"
    );
    assert!(
        lines[6].starts_with("delivered before, as 2.1 at 20") && lines[6].contains("Z: written to "),
        "{text}"
    );
    assert_eq!(
        lines[7],
        "1 of 1 event would create 2 deliveries (2 delivered before); nothing was changed; --live makes these deliveries"
    );

    let (_, text) =
        said(&place, &["replay", "-c", "a.conf", "seen.jsonl", "--format", "json", "--rule", "forget-ports"]);
    let objects = json_lines(&text);
    let before: Vec<_> =
        objects[..3].iter().map(|event| &event["rules"][0]["actions"][0]["before"]["state"]).collect();
    assert_eq!(before, ["delivered", "delivered", "delivered"], "{text}");
    let summary = &objects[3]["summary"];
    assert_eq!((&summary["delivered_before"], &summary["live"]), (&6.into(), &false.into()));
    assert!(!text.contains("T0KEN"), "{text}");

    let export = ["journal", "export", "-c", "a.conf", "--raw", "-o", "out.jsonl"];
    assert_eq!(said(&place, &export).0, Some(0));
    for (events, known) in
        [(&["--journal"][..], 3), (&["out.jsonl"][..], 3), (&["seen.jsonl", "seen.jsonl"][..], 6)]
    {
        let flags = ["--rule", "forget-ports", "--live", "--yes", "--keep-ids"];
        let (code, text) = said(&place, &[&["replay", "-c", "a.conf"][..], events, &flags[..]].concat());
        let known = format!("; 0 events appended to the journal, {known} copies left out\n");
        assert!(code == Some(1) && text.ends_with(&known), "{text}");
    }

    let (code, text) = said(&place, &[&args[..], &["--live", "--yes", "--limit", "2"]].concat());
    let cut = "\n2 of 2 events (1 later one left out by --limit) created 4 deliveries (4 delivered before); \
               2 events appended to the journal\n";
    assert!(code == Some(0) && text.ends_with(cut), "{text}");
    let osnl = listening(&place);
    let requests = sink.wait_for(5, SOON);
    let mut targets: Vec<&str> = requests[3..].iter().map(|request| request.target.as_str()).collect();
    // Two instances have separate lanes, so their requests have no common order.
    targets.sort_unstable();
    for (n, target) in (1..).zip(&targets) {
        assert!(targets.len() == 2 && target.contains(&instance(n)), "{targets:?}");
    }
    osnl.stop();
    assert_eq!(sink.requests().len(), 5);
}

#[test]
fn a_running_daemon_appends_what_is_replayed_and_delivers_it_behind_what_is_pending() {
    let place = Place::new();
    let vhost = Broker::shared().vhost("replayed-live");
    let sink = Sink::start();
    place.write("a.conf", conf(&place, &vhost.url(), &sink.url("/v1/role")));
    let osnl = listening(&place);
    let mut publisher = OsloPublisher::start(&vhost.url(), PublisherOptions::default());
    publisher.notify_all(&[port(1), port(2), port(3)]);
    sink.wait_for(3, SOON);
    let replay = |more: &[&str]| {
        let args = ["replay", "-c", "a.conf", "--rule", "forget-ports", "--live", "--yes"];
        said(&place, &[&args[..], more].concat())
    };

    let (code, text) = replay(&["--id", "2"]);
    assert!(code == Some(0) && text.ends_with("; 1 event appended to the journal\n"), "{text}");
    assert!(sink.wait_for(4, SOON)[3].target.contains(&instance(2)));
    osnl.wait_for("an operator replayed events events=1 asked=1 by=");
    let (code, text) = replay(&["--id", "1", "--id", "2", "--id", "3", "--keep-ids", "--format", "json"]);
    let summary = &json_lines(&text)[3]["summary"];
    assert_eq!(
        (code, &summary["appended"], &summary["kept_already"]),
        (Some(1), &0.into(), &3.into()),
        "{text}"
    );
    let export = ["journal", "export", "-c", "a.conf", "--raw", "-o", "out.jsonl"];
    assert_eq!(said(&place, &export).0, Some(0));
    let (code, text) = replay(&["out.jsonl", "--keep-ids"]);
    let known = "; 0 events appended to the journal, 4 copies left out\n";
    assert!(code == Some(1) && text.ends_with(known), "{text}");

    let one = osnl_testkit::fixture::text("wire/03-v2-priority-info.json");
    place.write("events.json", format!("{one}\n").repeat(300));
    let (code, text) = replay(&["events.json"]);
    assert!(code == Some(0) && text.ends_with("; 300 events appended to the journal\n"), "{text}");
    sink.wait_for(304, SOON);
    let large = format!(
        r#"{{"event_type": "port.delete.end", "publisher_id": "network.h1", "message_id": "large", "payload": {{"x": "{}",
          "port": {{"device_id": "{}", "device_owner": "compute:nova", "fixed_ips": [{{"ip_address": "10.0.0.1"}}]}}}}}}"#,
        // Within the limit of a message, but in base64 above the limit of a request.
        "x".repeat(7 << 19),
        instance(1),
    );
    place.write("large.json", large);
    let args = ["replay", "-c", "a.conf", "--rule", "forget-ports", "--live", "--yes", "large.json"];
    let (code, _, stderr) = run(&place, &args);
    assert!(code == Some(1) && stderr.contains("too large for a request to the daemon"), "{stderr}");

    let text = conf(&place, &vhost.url(), &sink.url("/v1/role"));
    place.write(
        "other.conf",
        text.replace("actions = roles, audit", "actions = more")
            .replace("[action:audit]", "[action:more]\ndriver = dump\n[action:audit]"),
    );
    let (code, _, stderr) = run(
        &place,
        &["replay", "-c", "other.conf", "--id", "1", "--rule", "forget-ports", "--live", "--yes"],
    );
    assert!(code == Some(69) && stderr.contains("there is no action more; there are "), "{stderr}");
    osnl.stop();
    assert_eq!(sink.requests().len(), 304);
}

#[test]
fn of_many_events_the_first_are_explained_and_an_export_shows_its_progress() {
    let place = Place::new();
    place.write("a.conf", conf(&place, "rabbit://127.0.0.1:9/", "http://127.0.0.1:9/v1/role"));
    let event = osnl_testkit::fixture::text("wire/03-v2-priority-info.json");
    let event: serde_json::Value = serde_json::from_str(&event).unwrap();
    place.write("events.jsonl", format!("{event}\n").repeat(3000));
    let args = ["replay", "-c", "a.conf", "events.jsonl", "--live", "--yes"];
    let explained = |text: &str| text.lines().filter(|line| line.contains(": port.delete.end from ")).count();
    let is_short =
        |text: &str| explained(text) == 20 && text.contains("\n2,980 more events: --verbose shows each\n");
    let (code, text) = said(&place, &[&args[..4], &["--limit", "1000"]].concat());
    let cut = "\n1,000 of 1,000 events (2,000 later ones left out by --limit) would create ";
    assert!(code == Some(0) && text.contains(cut), "{text}");
    let (_, text) = said(&place, &[&args[..4], &["--limit", "2", "--format", "json"]].concat());
    assert_eq!(json_lines(&text)[2]["summary"]["left_out"], 2998, "{text}");
    let (code, text) = said(&place, &args[..4]);
    assert!(code == Some(0) && is_short(&text) && text.contains("; nothing was changed"), "{text}");
    let (code, text) = said(&place, &args);
    assert_eq!(code, Some(0), "{text}");
    assert!(is_short(&text), "{text}");
    assert!(text.contains("3,000 of 3,000 events ") && text.contains("; 3,000 events appended "), "{text}");
    let (_, text) = said(&place, &[&args[..], &["--verbose"]].concat());
    assert!(explained(&text) == 3000 && !text.contains("more events"), "{}", text.len());
    let kept = ["replay", "-c", "a.conf", "--journal", "--listener", "neutron", "--limit", "1000"];
    for (args, expected) in [(&kept[..6], 1), (&kept[..], 0)] {
        let (code, text) = said(&place, args);
        let cut = "\n1,000 of 1,000 events (5,000 later ones left out by --limit) would create ";
        assert!(code == Some(expected) && text.contains(cut), "{text}");
    }

    let args = ["journal", "export", "-c", "a.conf", "--raw", "-o", "out.jsonl"];
    let mut terminal = Pty::start(Path::new(OSNL), &args, &place.path(""), (100, 24));
    assert_eq!(terminal.wait(SOON).code(), Some(0), "{}", terminal.text());
    let shown = terminal.text();
    assert!(shown.contains(" of 6,000 events, ") && shown.contains(" events/s, "), "{shown}");
}

#[test]
fn a_saved_event_is_appended_to_a_journal_that_is_not_there_yet() {
    let place = Place::new();
    let sink = Sink::start();
    place.write("a.conf", conf(&place, "rabbit://127.0.0.1:9/", &sink.url("/v1/role")));
    place.write("events.json", osnl_testkit::fixture::text("wire/03-v2-priority-info.json"));
    let args = ["replay", "-c", "a.conf", "events.json", "--rule", "forget-ports"];
    let (code, text) = said(&place, &args);
    assert!(code == Some(0) && text.contains("not delivered before"), "{text}");
    assert!(!place.path("state/journal.db").exists(), "a shadow makes nothing");
    let (code, text) = said(&place, &[&args[..], &["--live", "--yes"]].concat());
    assert!(code == Some(0) && text.ends_with("; 1 event appended to the journal\n"), "{text}");
    let osnl = place.run(Path::new(OSNL), &["run", "-c", "a.conf"]);
    let requests = sink.wait_for(1, SOON);
    assert!(
        requests[0].target.contains("cuk=12345678-1234-5678-1234-567812345678"),
        "{}",
        requests[0].target
    );
    osnl.stop();
    let (code, _, stderr) = run(&place, &["replay", "-c", "a.conf", "events.json", "--since", "1h"]);
    assert!(code == Some(2) && stderr.contains("leave out one of them"), "{stderr}");
}

#[test]
fn a_copy_among_the_files_is_not_counted_as_appended() {
    let place = Place::new();
    let sink = Sink::start();
    place.write("a.conf", conf(&place, "rabbit://127.0.0.1:9/", &sink.url("/v1/role")));
    let replay = |id: &str| {
        let event = format!(
            r#"{{"event_type": "port.delete.end", "publisher_id": "network.h1", "message_id": "{id}", "payload": {{
              "port": {{"device_id": "{}", "device_owner": "compute:nova", "fixed_ips": [{{"ip_address": "10.0.0.1"}}]}}}}}}"#,
            instance(1)
        );
        place.write("events.json", event);
        let args = ["replay", "-c", "a.conf", "--rule", "forget-ports", "--live", "--yes", "--keep-ids"];
        let (code, text) = said(&place, &[&args[..], &["events.json", "events.json"]].concat());
        let last = "\n2 of 2 events needed 4 deliveries (0 delivered before); 1 event appended to the journal, \
                    1 copy left out\n";
        assert!(code == Some(0) && text.ends_with(last), "{id}: {text}");
    };
    replay("appended to the file");
    let osnl = place.run(Path::new(OSNL), &["run", "-c", "a.conf"]);
    sink.wait_for(1, SOON);
    replay("appended by the daemon");
    sink.wait_for(2, SOON);
    osnl.stop();
    assert_eq!(sink.requests().len(), 2);
}
