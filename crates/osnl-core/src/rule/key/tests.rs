use std::sync::Arc;

use osnl_config::template::{EvalError, Expression, Template};
use osnl_model::{Notification, Pattern, Predicate};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::rule::PathPattern;

fn names(payload: &Value, context: Value) -> Names {
    let Value::Object(context) = context else { panic!("{context}") };
    let event_type = Some("port.update.end".into());
    Names::from(Notification { event_type, context, payload: payload.clone(), ..Notification::default() })
}

#[test]
fn a_key_is_found_where_the_rule_says() {
    let payload = json!({
        "port": {"id": "P", "device_id": "D", "network_id": "N", "revision": 7, "up": true, "name": "",
                 "tags": ["x"], "none": null, "long": "l".repeat(256), "admin_pass": "S3CRET", "key_name": "K",
                 "fixed_ips": [{"ip_address": "192.0.2.7"}, {"nova_object.data": {"address": "192.0.2.8"}}]},
        "nova_object.data": {"uuid": "U", "nova_object.name": {"x": "deep"}},
    });
    let versioned = names(&payload, json!({"project_id": "Q", "a": {"b": "in"}, "c.d": "dotted"}));
    let flat = names(&json!({"port": payload["port"]}), json!({}));
    let check = |written: &str, expected: Option<&str>| {
        let source = KeySource::parse(written).unwrap_or_else(|error| panic!("{written}: {error:?}"));
        let names = if written.starts_with("resource") { &flat } else { &versioned };
        let of_resource = || osnl_model::resource_key(names.notification());
        assert_eq!(source.delivery_key(of_resource, || names.clone()).as_deref(), expected, "{source}");
        assert_eq!(KeySource::parse(&source.to_string()), Ok(source));
    };
    check("resource", Some("d"));
    check("none", None);
    check("payload.port.network_id", Some("N"));
    check("payload.port.revision", Some("7"));
    check("payload.port.up", Some("true"));
    for nothing in ["name", "tags", "none", "missing", "id.deeper", "tags.1", "tags.first", "fixed_ips.-1"] {
        check(&format!("payload.port.{nothing}"), None);
    }
    check("payload.port.tags.0", Some("x"));
    check("payload.port.fixed_ips.0.ip_address", Some("192.0.2.7"));
    check("payload.port.fixed_ips[0].ip_address", Some("192.0.2.7"));
    check("payload['port'].fixed_ips[1][\"nova_object.data\"].address", Some("192.0.2.8"));
    check("payload.port.fixed_ips.1.nova_object.data.address", Some("192.0.2.8"));
    check("payload.nova_object.data.uuid", Some("U"));
    check("payload.nova_object.data.nova_object.name.x", Some("deep"));
    check("context.project_id", Some("Q"));
    check("context.a.b", Some("in"));
    check("context.c.d", Some("dotted"));
    check("context.nothing", None);
    check("resource.kind", Some("port"));
    check("resource.addresses.0.address", Some("192.0.2.7"));
    check("resource.addresses.7.address", None);
    let digest = BodyDigest::new("l".repeat(256).as_bytes()).to_string();
    check("payload.port.long", Some(&digest));
    check("payload.port.admin_pass", Some(&BodyDigest::new(b"S3CRET").to_string()));
    check("payload.port.key_name", Some("K"));
    for bad in [
        "",
        "Resource",
        "payload",
        "payload.",
        "payload..x",
        "payload.x.",
        "payload. x",
        "port.id",
        "payload.*.id",
        "payload.x[",
        "payload.x[a]",
        "payload.x[0]y",
        "payload.x['y]",
        "payload.x[]",
        "resource.",
    ] {
        assert!(KeySource::parse(bad).is_err(), "{bad:?}");
    }
    let error = KeySource::parse("resource.adresses.0.address").unwrap_err();
    assert_eq!(
        (&*error.problem, error.suggestion.as_deref()),
        ("resource has no adresses", Some("addresses"))
    );
    let no_value = |path: &str| format!("{path} is never a string to order by");
    for (bad, problem) in [
        ("resource.addresses", no_value("resource.addresses")),
        ("resource.addresses[0]", no_value("resource.addresses.0")),
        ("resource.addresses.0.address.0", no_value("resource.addresses.0.address.0")),
        ("resource.name.first", no_value("resource.name.first")),
        ("resource.addresses[0].adress", "an address has no adress".to_owned()),
        ("resource.addresses.address", "resource.addresses is a list, which has no address".to_owned()),
    ] {
        assert_eq!(KeySource::parse(bad).unwrap_err().problem, problem, "{bad}");
    }
}

#[test]
fn a_missing_key_has_a_reason() {
    let names = names(&json!({"a": {"b": ["x"]}}), json!({}));
    let check = |written: &str, expected: &str| {
        assert_eq!(KeySource::parse(written).unwrap().why_none(&names), expected);
    };
    check("payload.a.b.1", "the event has no payload.a.b.1");
    check("payload.a.b", "payload.a.b is empty, or no text, number, or boolean");
    check("resource", "the event names no resource");
    check("none", "the rule has key = none");
}

const KEYS: [&str; 7] = ["a", "b", "a.b", "b.a", "nova_object.data", "0", "1"];
const WORDS: [&str; 7] = ["a", "b", "nova_object", "data", "0", "1", "2"];

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[xyz]{1,2}".prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let key = proptest::sample::select(&KEYS[..]).prop_map(str::to_owned);
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map(key, inner, 0..4).prop_map(Value::from_iter),
        ]
    })
}

fn context() -> impl Strategy<Value = Map<String, Value>> {
    let key = proptest::sample::select(&KEYS[..]).prop_map(str::to_owned);
    btree_map(key, tree(), 0..4).prop_map(Map::from_iter)
}

proptest! {
    /// `key`, `payload.KEY`, `when` by both of its ways, and a template find the same value, or none of them does.
    #[test]
    fn all_readers_of_a_path_agree(
        payload in tree(),
        context in context(),
        root in proptest::sample::select(&["payload", "context"][..]),
        words in vec(proptest::sample::select(&WORDS[..]), 1..6),
    ) {
        let below = words.join(".");
        let path = format!("{root}.{below}");
        let notification = Notification { payload, context, ..Notification::default() };
        let names = Names::new(Arc::new(notification.clone()));
        let found = names.json(&path).cloned();

        let key = KeySource::parse(&path).unwrap().delivery_key(|| None, || names.clone());
        prop_assert_eq!(&key, &found.as_ref().and_then(text));

        let predicate =
            if root == "payload" { Predicate::Payload(below) } else { Predicate::Context(below) };
        let pattern = PathPattern { predicate, pattern: Pattern::new("[xyz]+$").unwrap() };
        prop_assert_eq!(pattern.matches(&notification).is_ok(), found.as_ref().is_some_and(Value::is_string));

        let holds = |when: String| Expression::new(&when).unwrap().holds(&names);
        let defined = found.is_some();
        prop_assert_eq!(holds(format!("{path} is defined")), Ok(defined));
        prop_assert_eq!(holds(format!("({path}) is defined")), Ok(defined));
        let lacks = || EvalError::Lacks { name: path.clone() };
        let quoted = |value: &Value| format!("{} == {path}", serde_json::to_string(value).unwrap());
        let expected = found.as_ref().filter(|value| value.is_string());
        if let Some(value) = expected {
            prop_assert_eq!(holds(quoted(value)), Ok(true));
            prop_assert_eq!(holds(format!("({})", quoted(value))), Ok(true));
        }
        if !defined {
            prop_assert_eq!(holds(format!("{path} == 'x'")), Err(lacks()));
            prop_assert_eq!(holds(format!("({path} == 'x') or false")), Err(lacks()));
        }
        let written = Template::new(&format!("{{{{ {path} }}}}")).unwrap().value(&names);
        prop_assert_eq!(written, found.ok_or_else(lacks));
    }
}
