use osnl::control::{Code, Incident, RequestRefusal};
use serde_json::{Value, json};

use super::*;

fn status(incidents: &[(IncidentSeverity, &str)]) -> Status {
    let incident = |(severity, what): &(IncidentSeverity, &str)| -> Incident {
        serde_json::from_value(json!({
            "kind": "target-down", "severity": severity, "subject": "action a", "actions": ["a"], "listeners": [],
            "what": what, "why": null, "since": null, "since_seconds": null, "waiting": 0, "oldest_seconds": null,
            "for_release": 0, "must_act": "osnl", "to_do": null, "by_itself": null, "symptoms": [],
        }))
        .unwrap()
    };
    let listener = json!({
        "name": "nova", "state": "listening", "broker": "b", "queues": ["osnl"],
        "queue_messages": 3, "messages": 7, "reconnects": 0, "last_message": null,
        "last_message_seconds": null,
    });
    let target = json!({
        "action": "a", "target": "t", "configured": true, "state": "ok", "since": null,
        "since_seconds": null, "next_probe_seconds": null, "paused_since": null, "pending": 2, "oldest_pending": null,
        "oldest_pending_seconds": 42, "in_flight": 0, "for_release": 1, "dead": 4, "done": 5, "last_failure": null,
    });
    let journal = json!({
        "store": "sqlite", "path": "/j", "state": "ok", "reason": null, "bytes": 4096,
        "max_bytes": 8192, "events": 1, "deliveries": 1, "oldest": null, "oldest_seconds": null, "quarantined": 0,
    });
    let status: Value = json!({
        "verdict": "", "numbers": {}, "running": true, "healthy": incidents.is_empty(), "incidents": [], "attention_age_seconds": 900, "version": "0",
        "pid": 1, "started": null, "uptime_seconds": 1, "listeners": [listener], "targets": [target],
        "journal": journal, "counters": {"received": 7, "delivered": 5},
    });
    let status: Status = serde_json::from_value(status).unwrap();
    Status { incidents: incidents.iter().map(incident).collect(), ..status }
}

const DATA: &str = "listeners=1;;;0;1 queue_messages=3;;;0 pending=2;;;0 oldest_pending=42s;;900;0 for_release=1;0;;0 dead=4;0;;0 \
                    received=7c;;;0 delivered=5c;;;0 journal=4096B;;;0;8192";

#[test]
fn a_sum_of_counts_with_an_unknown_one_is_unknown() {
    let mut status = status(&[]);
    let lost = ListenerStatus { queue_messages: None, ..status.listeners[0].clone() };
    status.listeners.push(lost);
    let (line, _) = text(&status);
    assert!(line.contains(" queue_messages=U;;;0 "), "{line}");
}

#[test]
fn the_first_of_the_worst_incidents_is_the_line_and_decides_the_exit_status() {
    use IncidentSeverity::{Critical, Warning};
    let check = |incidents: &[(IncidentSeverity, &str)], expected: &str, exit: Exit| {
        assert_eq!(text(&status(incidents)), (expected.replace("DATA", DATA), exit));
    };
    check(&[], "OSNL OK - 1 listening, 2 pending | DATA\n", Exit::Done);
    check(&[(Warning, "a is paused")], "OSNL WARNING - a is paused | DATA\n", Exit::Failed);
    check(
        &[(Critical, "x|y\nz"), (Warning, "a is paused"), (Warning, "b")],
        "OSNL CRITICAL - x/y z (and 2 more) | DATA\na is paused\nb\n",
        Exit::Critical,
    );
    check(
        &[(Warning, "dead letters"), (Critical, "down")],
        "OSNL CRITICAL - down (and 1 more) | DATA\ndead letters\n",
        Exit::Critical,
    );
}

#[test]
fn no_answer_is_critical_and_what_could_not_be_asked_is_unknown() {
    for (exit, expected) in [
        (Exit::Unavailable, ("OSNL CRITICAL - why\n".to_owned(), Exit::Critical)),
        (Exit::Config, ("OSNL UNKNOWN - why\n".to_owned(), Exit::Unknown)),
    ] {
        assert_eq!(unanswered(&NoAnswer::new(exit, "why")), expected);
    }
    // Missing permission does not mean that the daemon is ill.
    let refusal = RequestRefusal { code: Code::Forbidden, message: "why".to_owned() };
    assert_eq!(unanswered(&refusal.into()), ("OSNL UNKNOWN - why\n".to_owned(), Exit::Unknown));
}
