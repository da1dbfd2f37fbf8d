#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use osnl_model::{Head, JsonKind, Mismatch, Notification, NotificationFilter, Observed, Pattern, Predicate};
use serde_json::{Value, json};

fn pattern(text: &str) -> Option<Pattern> {
    Some(Pattern::new(text).unwrap())
}

fn keys(conditions: &[(&str, &str)]) -> BTreeMap<String, Pattern> {
    conditions.iter().map(|(key, text)| ((*key).to_owned(), Pattern::new(text).unwrap())).collect()
}

fn notification(payload: Value) -> Notification {
    Notification {
        event_type: Some("port.delete.end".into()),
        publisher_id: Some("network.node1".into()),
        message_id: Some("m-1".into()),
        context: json!({"user": "u", "roles": ["admin"], "auth_token": "S3CRET"})
            .as_object()
            .unwrap()
            .clone(),
        payload,
        ..Notification::default()
    }
}

#[test]
fn the_head_decides_by_publisher_and_event_type() {
    let check =
        |publisher: Option<&str>, event: Option<&str>, head: (Option<&str>, Option<&str>), expected: bool| {
            let filter = NotificationFilter {
                publisher_id: publisher.and_then(pattern),
                event_type: event.and_then(pattern),
                payload: keys(&[("x", "y")]),
                ..NotificationFilter::default()
            };
            let head = Head {
                publisher_id: head.0.map(Cow::Borrowed),
                event_type: head.1.map(Cow::Borrowed),
                priority: None,
            };
            assert_eq!(filter.wants(&head), expected, "{filter:?} {head:?}");
        };
    check(None, None, (None, None), true);
    check(
        Some("^network.*$"),
        Some(r"^port\.delete\.end$"),
        (Some("network.a"), Some("port.delete.end")),
        true,
    );
    check(
        Some("^network.*$"),
        Some(r"^port\.delete\.end$"),
        (Some("network.a"), Some("port.delete.start")),
        false,
    );
    check(Some("^network.*$"), None, (Some("compute.a"), Some("port.delete.end")), false);
    check(Some("node"), None, (Some("network.node"), None), false);
    check(Some(""), None, (None, None), false);
    check(None, Some(".*"), (Some("p"), None), false);
}

#[test]
fn all_conditions_must_hold() {
    let filter = NotificationFilter {
        publisher_id: pattern("network"),
        event_type: pattern("port"),
        context: keys(&[("user", "^u$")]),
        metadata: keys(&[("message_id", "m-")]),
        payload: keys(&[("port_id", ".*"), ("state", "")]),
    };
    let payload = json!({"port_id": "p", "state": "", "other": 1});
    assert_eq!(filter.matches(&notification(payload)), Ok(()));
    assert_eq!(NotificationFilter::default().matches(&Notification::default()), Ok(()));
}

#[test]
fn the_first_condition_that_fails_is_named() {
    let check = |filter: NotificationFilter, payload: Value, expected: &str| {
        assert_eq!(filter.matches(&notification(payload)).unwrap_err().to_string(), expected);
    };
    let none = NotificationFilter::default;
    check(
        NotificationFilter { publisher_id: pattern("x"), event_type: pattern("y"), ..none() },
        json!({}),
        r#"publisher_id is "network.node1", which does not match "x""#,
    );
    check(
        NotificationFilter { event_type: pattern("delete"), context: keys(&[("user", "x")]), ..none() },
        json!({}),
        r#"event_type is "port.delete.end", which does not match "delete""#,
    );
    check(
        NotificationFilter { context: keys(&[("roles", "x")]), payload: keys(&[("a", "b")]), ..none() },
        json!({}),
        r#"context.roles is an array, which does not match "x""#,
    );
    check(
        NotificationFilter { metadata: keys(&[("message_id", "m"), ("timestamp", "2026")]), ..none() },
        json!({}),
        r#"metadata.timestamp is absent, which does not match "2026""#,
    );
    check(
        NotificationFilter { metadata: keys(&[("other", "")]), ..none() },
        json!({"other": ""}),
        r#"metadata.other is absent, which does not match """#,
    );
    for (payload, seen) in [
        (json!({"a": {"b": "c"}}), "absent"),
        (json!({"b": 1}), "a number"),
        (json!({"b": null}), "null"),
        (json!({"b": false}), "a boolean"),
        (json!({"b": "C"}), r#""C""#),
        // oslo would redeliver such a message without end.
        (json!(["b"]), "absent (the payload is an array)"),
        (json!("b"), "absent (the payload is a text)"),
        (json!(null), "absent (the payload is null)"),
    ] {
        check(
            NotificationFilter { payload: keys(&[("b", "c")]), ..none() },
            payload,
            &format!(r#"payload.b is {seen}, which does not match "c""#),
        );
    }
}

#[test]
fn a_mismatch_has_its_parts_and_no_secrets() {
    let filter =
        NotificationFilter { context: keys(&[("auth_token", "x")]), ..NotificationFilter::default() };
    let expected = Mismatch {
        predicate: Predicate::Context("auth_token".into()),
        pattern: "x".into(),
        observed: Observed::Text("***".into()),
    };
    assert_eq!(filter.matches(&notification(json!({}))), Err(expected));

    for key in ["key", "admin_pass"] {
        let filter = NotificationFilter { payload: keys(&[(key, "x")]), ..NotificationFilter::default() };
        let mismatch = filter.matches(&notification(json!({ key: "y" }))).unwrap_err();
        let expected = format!(r#"payload.{key} is "***", which does not match "***""#);
        assert_eq!(mismatch.to_string(), expected);
    }

    let filter = NotificationFilter { payload: keys(&[("password", "x")]), ..NotificationFilter::default() };
    let mismatch = filter.matches(&notification(json!({"password": 7}))).unwrap_err();
    assert_eq!(mismatch.observed, Observed::NotText(JsonKind::Number));
    let mismatch = filter.matches(&notification(json!(7))).unwrap_err();
    assert_eq!(mismatch.observed, Observed::NoKeys(JsonKind::Number));
}
