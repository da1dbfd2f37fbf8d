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
[rule:when]
listeners = neutron
when = context.auth_token == 'S3CRET'
actions = audit
[action:roles]
driver = k2hr3
api_url = https://k2hr3.example.com/v1/role
[action:audit]
driver = dump
path = /var/log/osnl/audit.jsonl
";

fn loaded(text: &str) -> Native {
    load_texts(&[("a.conf".to_owned(), text.to_owned())], &Sources::default()).unwrap().conf
}

fn port() -> serde_json::Value {
    json!({"event_type": "port.delete.end", "publisher_id": "network.h1", "priority": "INFO", "message_id": "m",
           "_context_auth_token": "T0KEN",
           "payload": {"state": "there", "port": {"device_owner": "compute:nova",
                       "device_id": "12345678-1234-5678-1234-567812345678", "fixed_ips": [{"ip_address": "10.0.0.1"}]}}})
}

fn event(event: &serde_json::Value, place: Option<(&str, &str)>) -> ExplainedEvent {
    let notification = osnl_model::Notification::decode(event.to_string().as_bytes()).unwrap();
    ExplainedEvent {
        exchange: place.map(|(exchange, _)| exchange.to_owned()),
        routing_key: place.map(|(_, key)| key.to_owned()),
        ..ExplainedEvent::from_notification(notification)
    }
}

/// Returns the lines of rules, with the words of each effect.
fn said(event: ExplainedEvent, listener: Option<&str>) -> Vec<String> {
    let conf = loaded(CONF);
    let trace = Explainer::new(&conf).with_listener(listener).trace(event);
    let line = |found: &RuleVerdict| {
        let effects = found.ruling.effects().iter().map(words::would);
        std::iter::once(words::verdict(found)).chain(effects).collect::<Vec<_>>().join("; ")
    };
    trace.rules.iter().map(line).collect()
}

const ROLES: &str = "action roles for 12345678-1234-5678-1234-567812345678 would be called: DELETE https://k2hr3.example.com/v1/role?extra=openstack-auto-v1&cuk=12345678-1234-5678-1234-567812345678&host=%5B%2210.0.0.1%22%5D";

fn ports() -> String {
    let audit = "action audit for 12345678-1234-5678-1234-567812345678 would be called: write a line to /var/log/osnl/audit.jsonl";
    format!("rule ports matches; {ROLES}; {audit}")
}

#[test]
fn every_rule_says_why_in_their_order() {
    let seen = said(event(&port(), Some(("neutron", "notifications.info"))), None);
    assert_eq!(
        seen,
        [
            &*ports(),
            "rule errors does not match: priority is \"info\", and the rule requires error, critical",
            "rule payload does not match: payload.state is \"there\", which does not match \"^gone$\"",
            "rule secret does not match: context.auth_token is \"***\", which does not match \"***\"",
            "rule servers does not match: listener nova does not receive it: the exchange is \"neutron\", and it is bound to nova",
            "rule off does not match: it is not enabled",
            "rule when does not match: when is false: context.auth_token is ***",
        ]
    );
}

#[test]
fn scripts_get_the_same_as_members() {
    let conf = loaded(CONF);
    let rules = ["payload", "servers", "when"].map(str::to_owned);
    let mut explainer = Explainer::new(&conf).with_rules(&rules);
    let mut verdicts = |event| json::trace(&explainer.trace(event), json::effect);
    let expected = json!({
        "event": {"name": "event", "received": null, "listener": null, "exchange": "neutron",
                  "routing_key": "notifications.info", "event_type": "port.delete.end", "publisher_id": "network.h1",
                  "priority": "info", "message_id": "m", "head_only": false},
        "rules": [
            {"rule": "payload", "verdict": "fails", "condition": "payload.state", "allows": "^gone$", "saw": "\"there\"",
             "reason": "payload.state is \"there\", which does not match \"^gone$\""},
            {"rule": "servers", "verdict": "not-heard", "reason":
             "listener nova does not receive it: the exchange is \"neutron\", and it is bound to nova"},
            {"rule": "when", "verdict": "fails", "condition": "when", "allows": "***",
             "saw": "context.auth_token is ***", "reason": "when is false: context.auth_token is ***"},
        ],
    });
    assert_eq!(verdicts(event(&port(), Some(("neutron", "notifications.info")))), expected);
    let servers = |resource: Option<&str>| {
        json!({"rule": "servers", "verdict": "fires", "if_received_by": ["nova"], "actions": [
            {"action": "roles", "resource": resource, "mode": "live",
             "would": {"method": "DELETE", "url": ROLES.rsplit(' ').next(), "body": null}},
        ]})
    };
    assert_eq!(verdicts(event(&port(), None))["rules"][1], servers(None));
    // The resource is not the key that orders the deliveries.
    let mut with_id = port();
    with_id["payload"]["port"]["id"] = json!("P-1");
    for key in ["resource", "none", "payload.state"] {
        let conf = CONF.replace("listeners = nova\n", &format!("listeners = nova\nkey = {key}\n"));
        let (conf, rules) = (loaded(&conf), ["servers".to_owned()]);
        let trace = Explainer::new(&conf).with_rules(&rules).trace(event(&with_id, None));
        assert_eq!(json::trace(&trace, json::effect)["rules"][0], servers(Some("P-1")), "{key}");
    }
}

#[test]
fn a_condition_that_reads_a_secret_is_masked_for_each_verdict() {
    let check = |when: &str, expected: serde_json::Value| {
        let conf = CONF.replace("context.auth_token == 'S3CRET'", when);
        let (conf, rules) = (loaded(&conf), ["when".to_owned()]);
        let trace = Explainer::new(&conf).with_rules(&rules).trace(event(&port(), None));
        let verdict = json::trace(&trace, json::effect)["rules"][0].clone();
        for (member, expected) in expected.as_object().unwrap() {
            assert_eq!(verdict[member], *expected, "{when}: {verdict}");
        }
        assert!(!verdict.to_string().contains("S3CRET"), "{verdict}");
    };
    check(
        "payload.gone == 1 and context.auth_token == 'S3CRET'",
        json!({"verdict": "fails", "allows": "***", "saw": "the event has no payload.gone"}),
    );
    check(
        "payload.gone == 1 and payload.key_name == 'k'",
        json!({"verdict": "fails", "allows": "payload.gone == 1 and payload.key_name == 'k'"}),
    );
    check(
        "context.auth_token * 'S3CRET' == 1",
        json!({"verdict": "undecided", "reason": "when cannot be decided: invalid operation, at \"***\""}),
    );
}

#[test]
fn who_hears_it_is_asked_first() {
    let check = |place, listener, expected: &[(usize, &str)]| {
        let seen = said(event(&port(), place), listener);
        for (at, expected) in expected {
            assert_eq!(seen[*at], *expected, "{place:?} {listener:?}");
        }
    };
    // Without a place, any listener may have received the event.
    let servers = format!(
        "rule servers would match if listener nova received it; the event names no exchange; {ROLES}"
    );
    check(None, None, &[(0, &*ports()), (4, &servers)]);
    check(
        Some(("neutron", "notifications.warn")),
        None,
        &[
            (
                0,
                "rule ports does not match: listener neutron does not receive it: the routing key is \"notifications.warn\", and its priorities are info, error",
            ),
            (2, "rule payload does not match: payload.state is \"there\", which does not match \"^gone$\""),
        ],
    );
    check(
        Some(("nova", "notifications.info")),
        None,
        &[(
            4,
            "rule servers does not match: listener nova does not receive it: the routing key is \"notifications.info\", and its topics are versioned_notifications",
        )],
    );
    // The default exchange routes to the queue that the routing key names.
    check(
        Some(("", "osnl")),
        None,
        &[
            (0, &*ports()),
            (
                4,
                "rule servers does not match: listener nova does not receive it: the routing key is \"osnl\", and its topics are versioned_notifications",
            ),
        ],
    );
    check(
        Some(("neutron", "notifications.info")),
        Some("nova"),
        &[(0, "rule ports does not match: it uses listener neutron, and this event is of nova")],
    );
}

#[test]
fn the_listener_that_took_it_counts_above_exchange_and_key() {
    let took = |listener: &str| {
        let event = event(&port(), Some(("nova", "versioned_notifications.info")));
        said(ExplainedEvent { listener: Some(listener.into()), ..event }, None)
    };
    let seen = took("neutron");
    assert_eq!(seen[0], ports());
    assert_eq!(seen[4], "rule servers does not match: it uses listener nova, and this event is of neutron");
    // A listener that is no longer configured receives nothing.
    assert!(took("gone")[0].starts_with("rule ports does not match: listener neutron does not receive it"));
}

#[test]
fn of_a_head_alone_is_said_what_follows_from_it() {
    let of_head = |event_type: &str, priority: Priority| {
        let head = osnl_model::Notification {
            event_type: Some(event_type.to_owned()),
            publisher_id: Some("compute.h1".to_owned()),
            priority: Some(priority),
            ..osnl_model::Notification::default()
        };
        let failed = vec![FailedBehind {
            rule: "payload".into(),
            condition: "payload.state".into(),
            reason: "it was there".into(),
        }];
        let content = Content::Head { head: Arc::new(head), failed };
        said(
            ExplainedEvent { listener: Some("neutron".into()), ..ExplainedEvent::new("event", content) },
            None,
        )
    };
    let seen = of_head("port.delete.end", Priority::Info);
    assert_eq!(
        seen[..4],
        [
            "rule ports does not match: publisher_id is \"compute.h1\", which does not match \"^network\"",
            "rule errors does not match: priority is \"info\", and the rule requires error, critical",
            "rule payload does not match: it was there (at the time)",
            "rule secret is not decided by the head, and the rest was not kept; keep_unmatched_bodies = true keeps it",
        ]
    );
    // The head may decide a condition, but the effects stay unknown.
    assert_eq!(of_head("port.x", Priority::Error)[1], "rule errors matches");
}

#[test]
fn values_are_shortened_and_actions_say_when_there_is_nothing_to_do() {
    let place = Some(("neutron", "notifications.info"));
    let mut changed = port();
    changed["event_type"] = json!("é".repeat(300));
    let (about, seen) = (words::about(&event(&changed, place)), said(event(&changed, place), None));
    assert!(about.contains("... (100 characters more)") && about.len() < 600, "{about}");
    assert!(seen[0].contains("... (100 characters more)") && seen[0].len() < 600, "{}", seen[0]);
    let mut changed = port();
    changed["payload"]["port"]["fixed_ips"] = json!([]);
    assert!(said(event(&changed, place), None)[0].contains("nothing to do: the port has no addresses"));
    changed["payload"] = json!({});
    assert!(said(event(&changed, place), None)[0].contains("a dead letter: there is no instance id"));
    changed["priority"] = json!(null);
    let seen = said(event(&changed, place), None);
    assert_eq!(
        seen[1],
        "rule errors does not match: priority is missing, and the rule requires error, critical"
    );
}

#[test]
fn stop_counts_for_each_listener() {
    let conf = loaded(
        "
[listener:one]
transport_url = rabbit://h/
exchange = neutron
pool = osnl
[listener:two]
transport_url = rabbit://h/
exchange = neutron
topics = other
pool = osnl-two
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
[action:audit]
driver = dump
path = /var/log/osnl/audit.jsonl
",
    );
    let check = |listener: Option<&str>, expected: [&str; 4]| {
        let trace = Explainer::new(&conf).with_listener(listener).trace(event(&port(), None));
        assert!(trace.rules[0].ruling.undecided().is_some());
        let said = trace.rules[1..].iter().map(words::verdict).collect::<Vec<_>>();
        assert_eq!(said, expected);
    };
    let behind = "rule behind does not match: rule ends matched before it, with stop = true";
    check(None, ["rule looks-on matches", "rule ends matches", behind, "rule by-the-other-too matches"]);
    let other = "rule by-the-other-too does not match: rule ends matched before it, with stop = true";
    check(Some("one"), ["rule looks-on matches", "rule ends matches", behind, other]);
}

/// A create that comes after its delete, which another rule takes, a copy of an event, and an event of another resource.
#[test]
fn of_several_events_the_one_that_a_newer_one_has_overtaken_would_be_a_dead_letter() {
    let made = "[rule:made]\nlisteners = neutron\nevent_type = ^port\\.create\nactions = audit\n";
    let option = "order_by_event_time = true\n";
    let text = CONF.replace("[rule:ports]\n", &format!("{made}{option}[rule:ports]\n{option}"));
    assert!(text.contains(made));
    let conf = loaded(&text);
    let (mut explainer, mut replay) = (Explainer::new(&conf), Explainer::for_replay(&conf));
    let mut overtaken = |message: &str, what: &str, device: &str, time: &str| {
        let mut changed = port();
        changed["message_id"] = message.into();
        changed["event_type"] = format!("port.{what}.end").into();
        changed["timestamp"] = format!("2026-11-28 01:00:{time}").into();
        changed["payload"]["port"]["device_id"] = device.into();
        assert_eq!(replay.trace(event(&changed, None)).dead_letters(), 0, "{message}");
        let trace = explainer.trace(event(&changed, None));
        assert!(trace.is_match());
        trace
            .effects()
            .filter(|(_, effect)| effect.dead_letter().is_some_and(|why| why.contains("overtaken")))
            .count()
    };
    let (one, other) = ("12345678-1234-5678-1234-567812345678", "12345678-1234-5678-1234-567812345679");
    for (message, what, device, time, expected) in [
        ("early", "create", one, "03", 0),
        ("last", "delete", one, "10", 0),
        ("late", "create", one, "05", 1),
        ("a second", "delete", one, "05", 2),
        ("early", "create", one, "03", 0),
        ("another", "create", other, "05", 0),
        ("newer", "create", one, "11", 0),
    ] {
        assert_eq!(overtaken(message, what, device, time), expected, "{message}");
    }
}
