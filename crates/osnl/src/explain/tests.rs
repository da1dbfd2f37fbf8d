use serde_json::json;

use super::*;
use crate::native::{Sources, load_texts};

const CONF: &str = "
[DEFAULT]
state_dir = /var/lib/osnl
[listener:neutron]
transport_url = rabbit://h/
exchange = neutron
priorities = info, error
pool = osnl
[listener:nova]
transport_url = rabbit://h/
exchange = nova
topics = versioned_notifications
pool = osnl-nova
[listener:queue]
transport_url = rabbit://h/
queue = theirs
[rule:ports]
listeners = neutron
event_type = ^port\\.delete\\.end$
publisher_id = ^network
actions = roles, audit
[rule:errors]
listeners = neutron
priorities = error, critical
actions = audit
[rule:payload]
listeners = neutron, queue
payload.state = ^gone$
actions = audit
[rule:secret]
listeners = neutron
context.auth_token = ^S3CRET
actions = audit
[rule:servers]
listeners = nova
actions = roles
[rule:off]
enabled = no
listeners = neutron
actions = audit
[action:roles]
driver = k2hr3
api_url = https://k2hr3.example.com/v1/role
[action:audit]
driver = dump
path = /var/log/osnl/audit.jsonl
";

fn conf() -> Native {
    load_texts(&[("a.conf".to_owned(), CONF.to_owned())], &Sources::default()).unwrap().conf
}

fn port() -> serde_json::Value {
    json!({"event_type": "port.delete.end", "publisher_id": "network.h1", "priority": "INFO", "message_id": "m",
           "_context_auth_token": "T0KEN",
           "payload": {"state": "there", "port": {"device_owner": "compute:nova",
                       "device_id": "12345678-1234-5678-1234-567812345678", "fixed_ips": [{"ip_address": "10.0.0.1"}]}}})
}

fn subject(event: &serde_json::Value, place: Option<(&str, &str)>) -> ExplainedEvent {
    ExplainedEvent {
        exchange: place.map(|(exchange, _)| exchange.to_owned()),
        routing_key: place.map(|(_, key)| key.to_owned()),
        ..ExplainedEvent::whole(Notification::decode(event.to_string().as_bytes()).unwrap())
    }
}

fn said(subject: &ExplainedEvent, listener: Option<&str>) -> Vec<String> {
    let verdicts = explain(&conf(), subject, listener);
    let said = verdicts.into_iter().map(|RuleVerdict { rule, ruling, .. }| match ruling {
        Ruling::Fires(effects) => {
            let effects: Vec<_> =
                effects.iter().map(|effect| format!("{}: {:?}", effect.action, effect.would)).collect();
            format!("{rule} fires: {}", effects.join(", "))
        }
        Ruling::NotHeard(reasons) => {
            format!("{rule}: {}", reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        }
        Ruling::Disabled => format!("{rule}: disabled"),
        Ruling::Stopped(by) => format!("{rule}: stopped by {by}"),
        Ruling::Undecided(why) => format!("{rule}: undecided: {why}"),
        Ruling::Fails { condition, allows, observed } => {
            format!("{rule}: {condition} saw {observed} wants {allows}")
        }
        Ruling::Failed(failed) => format!("{rule}: {} at the time: {}", failed.condition, failed.reason),
        Ruling::Unknown => format!("{rule}: unknown"),
        Ruling::Unreadable(why) => format!("{rule}: {why}"),
    });
    said.collect()
}

const FIRES: &str = "ports fires: roles: Request { method: \"DELETE\", url: \"https://k2hr3.example.com/v1/role?extra=openstack-auto-v1&cuk=12345678-1234-5678-1234-567812345678&host=%5B%2210.0.0.1%22%5D\", headers: [], body: None }, audit: Line { to: \"/var/log/osnl/audit.jsonl\" }";

#[test]
fn every_rule_says_why_in_their_order() {
    let seen = said(&subject(&port(), Some(("neutron", "notifications.info"))), None);
    assert_eq!(
        seen,
        [
            FIRES,
            "errors: priority saw \"info\" wants error, critical",
            "payload: payload.state saw \"there\" wants ^gone$",
            "secret: context.auth_token saw \"***\" wants ***",
            "servers: listener nova does not receive it: the exchange is \"neutron\", and it is bound to nova",
            "off: disabled",
        ]
    );
    assert!(!seen.concat().contains("T0KEN") && !seen.concat().contains("S3CRET"));
}

#[test]
fn who_hears_it_is_asked_first() {
    let check = |place, listener, expected: &[(usize, &str)]| {
        let seen = said(&subject(&port(), place), listener);
        for (at, expected) in expected {
            assert_eq!(seen[*at], *expected, "{place:?} {listener:?}");
        }
    };
    // Without a place, any listener may have received the event.
    check(
        None,
        None,
        &[
            (0, FIRES),
            (
                4,
                "servers fires: roles: Request { method: \"DELETE\", url: \"https://k2hr3.example.com/v1/role?extra=openstack-auto-v1&cuk=12345678-1234-5678-1234-567812345678&host=%5B%2210.0.0.1%22%5D\", headers: [], body: None }",
            ),
        ],
    );
    check(
        Some(("neutron", "notifications.warn")),
        None,
        &[
            (
                0,
                "ports: listener neutron does not receive it: the routing key is \"notifications.warn\", and its priorities are info, error",
            ),
            (2, "payload: payload.state saw \"there\" wants ^gone$"),
        ],
    );
    check(
        Some(("nova", "notifications.info")),
        None,
        &[(
            4,
            "servers: listener nova does not receive it: the routing key is \"notifications.info\", and its topics are versioned_notifications",
        )],
    );
    check(
        Some(("neutron", "notifications.info")),
        Some("nova"),
        &[(0, "ports: it uses listener neutron, and this event is of nova")],
    );
}

#[test]
fn a_rule_of_a_listener_that_may_not_receive_it_fires_only_if_it_does() {
    let fires_if = |event: &serde_json::Value, place: Option<(&str, &str)>| -> Vec<(String, Vec<String>)> {
        let verdicts = explain(&conf(), &subject(event, place), None);
        let fired = verdicts.into_iter().filter(|verdict| verdict.ruling.fires());
        let names = |by: Vec<Arc<str>>| by.iter().map(ToString::to_string).collect();
        fired.map(|verdict| (verdict.rule.to_string(), names(verdict.if_received_by))).collect()
    };
    let only = |rule: &str, by: &[&str]| (rule.to_owned(), by.iter().map(|&name| name.to_owned()).collect());
    assert_eq!(fires_if(&port(), None), [only("ports", &[]), only("servers", &["nova"])]);
    assert_eq!(fires_if(&port(), Some(("neutron", "notifications.info"))), [only("ports", &[])]);
}

#[test]
fn the_listener_that_took_it_counts_above_exchange_and_key() {
    let took = |listener: &str| {
        let place = Some(("nova", "versioned_notifications.info"));
        let mut subject = subject(&port(), place);
        subject.listener = Some(listener.into());
        said(&subject, None)
    };
    assert_eq!(took("neutron")[0], FIRES);
    assert_eq!(took("neutron")[4], "servers: it uses listener nova, and this event is of neutron");
    // A listener that is no longer configured receives nothing.
    assert!(took("gone")[0].starts_with("ports: listener neutron does not receive it"));
}

#[test]
fn of_a_head_alone_is_said_what_follows_from_it() {
    let head = Notification {
        event_type: Some("port.delete.end".to_owned()),
        publisher_id: Some("compute.h1".to_owned()),
        priority: Some(Priority::Info),
        ..Notification::default()
    };
    let failed = vec![FailedBehind {
        rule: "payload".into(),
        condition: "payload.state".into(),
        reason: "it was there".into(),
    }];
    let subject = ExplainedEvent {
        content: Content::Head { head: Arc::new(head), failed },
        ..subject(&port(), Some(("neutron", "notifications.info")))
    };
    let seen = said(&subject, None);
    assert_eq!(seen[0], "ports: publisher_id saw \"compute.h1\" wants ^network");
    assert_eq!(seen[1], "errors: priority saw \"info\" wants error, critical");
    assert_eq!(seen[2], "payload: payload.state at the time: it was there");
    assert_eq!(seen[3], "secret: unknown");
    // The head may decide a condition, but the effects stay unknown.
    let head = Notification {
        event_type: Some("port.x".to_owned()),
        priority: Some(Priority::Error),
        ..Notification::default()
    };
    let content = Content::Head { head: Arc::new(head), failed: Vec::new() };
    let seen = said(&ExplainedEvent { content, ..subject }, None);
    assert_eq!(seen[1], "errors fires: ");
}

#[test]
fn values_are_shortened_and_actions_say_when_there_is_nothing_to_do() {
    let place = Some(("neutron", "notifications.info"));
    let mut event = port();
    event["event_type"] = json!("é".repeat(300));
    let (subject_line, seen) =
        (words::about("f:1", &subject(&event, place)), said(&subject(&event, place), None));
    assert!(subject_line.contains("... (100 characters more)") && subject_line.len() < 600, "{subject_line}");
    assert!(seen[0].contains("... (102 characters more)") && seen[0].len() < 600, "{}", seen[0]);
    let mut event = port();
    event["payload"]["port"]["fixed_ips"] = json!([]);
    assert!(said(&subject(&event, place), None)[0].contains("Nothing { why: \"the port has no addresses"));
    event["payload"] = json!({});
    assert!(said(&subject(&event, place), None)[0].contains("Unusable { why: \"there is no instance id"));
    event["priority"] = json!(null);
    assert_eq!(said(&subject(&event, place), None)[1], "errors: priority saw missing wants error, critical");
}

#[test]
fn stop_and_when_are_explained() {
    let text = "
[listener:one]
transport_url = rabbit://h/
exchange = neutron
pool = osnl
[listener:two]
transport_url = rabbit://h/
exchange = neutron
topics = other
pool = osnl-two
[rule:false]
when = payload.state == 'gone'
    and payload.port.device_owner is defined
actions = audit
[rule:one-side]
when = event_type is defined and context.auth_token == 'x'
actions = audit
[rule:secret]
when = context.auth_token == 'S3CRET'
actions = audit
[rule:lacks]
when = payload.nothing.here == 1
actions = audit
[rule:undecided]
when = payload.state + 1 > 1
stop = yes
actions = audit
[rule:looks-on]
mode = shadow
stop = yes
actions = audit
[rule:ends]
listeners = one
stop = yes
actions = audit
[rule:behind]
listeners = one
actions = audit
[rule:by-the-other-too]
actions = audit
[rule:off]
enabled = no
listeners = one
actions = audit
[action:audit]
driver = dump
path = /var/log/osnl/audit.jsonl
";
    let conf = load_texts(&[("a.conf".to_owned(), text.to_owned())], &Sources::default()).unwrap().conf;
    let check = |listener: Option<&str>, expected: &[&str]| {
        let verdicts = explain(&conf, &subject(&port(), None), listener);
        let said = verdicts.into_iter().map(|RuleVerdict { rule, ruling, .. }| match ruling {
            Ruling::Fires(_) => format!("{rule} fires"),
            Ruling::Fails { condition, allows, observed } => {
                format!("{rule}: {condition} [{allows}] {observed}")
            }
            other => format!("{rule}: {other:?}"),
        });
        assert_eq!(said.collect::<Vec<_>>(), expected);
    };
    let undecided = "undecided: Undecided(\"when cannot be decided: invalid operation: tried to use + operator on \
                     unsupported types string and number, at \\\"payload.state + 1\\\"\")";
    let falses = [
        "false: when [payload.state == 'gone' and payload.port.device_owner is defined] \
         payload.state == 'gone', payload.state is \"there\"",
        "one-side: when [***] context.auth_token is ***",
        "secret: when [***] context.auth_token is ***",
        "lacks: when [payload.nothing.here == 1] the event has no payload.nothing.here",
        undecided,
        "looks-on fires",
    ];
    let behind = ["ends fires", "behind: Stopped(\"ends\")", "by-the-other-too fires", "off: Disabled"];
    check(None, &[&falses[..], &behind].concat());
    let of_one =
        ["ends fires", "behind: Stopped(\"ends\")", "by-the-other-too: Stopped(\"ends\")", "off: Disabled"];
    check(Some("one"), &[&falses[..], &of_one].concat());
}

/// A create that comes after its delete, a copy of an event, and an event of another resource.
#[test]
fn of_several_events_the_one_that_a_newer_one_has_overtaken_would_be_a_dead_letter() {
    let text = CONF.replace("[rule:ports]\n", "[rule:ports]\norder_by_event_time = true\n");
    assert!(text.contains("order_by_event_time"));
    let conf = load_texts(&[("a.conf".to_owned(), text)], &Sources::default()).unwrap().conf;
    let mut events = EventsInOrder::default();
    let mut overtaken = |message: &str, device: &str, time: &str| {
        let mut event = port();
        event["message_id"] = message.into();
        event["timestamp"] = format!("2026-11-28 01:00:{time}").into();
        event["payload"]["port"]["device_id"] = device.into();
        let verdicts = events.explain(&conf, &subject(&event, None), None);
        let effects = verdicts[0].ruling.effects();
        assert!(!effects.is_empty());
        effects
            .iter()
            .filter(|effect| effect.dead_letter().is_some_and(|why| why.contains("overtaken")))
            .count()
    };
    let (one, other) = ("12345678-1234-5678-1234-567812345678", "12345678-1234-5678-1234-567812345679");
    for (message, device, time, expected) in [
        ("early", one, "03", 0),
        ("delete", one, "10", 0),
        ("create", one, "05", 2),
        ("early", one, "03", 0),
        ("another", other, "05", 0),
        ("newer", one, "11", 0),
    ] {
        assert_eq!(overtaken(message, device, time), expected, "{message}");
    }
}
