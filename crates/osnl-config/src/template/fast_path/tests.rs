use osnl_model::{Notification, Priority};
use serde_json::json;

use super::*;
use crate::template::{EvalError, Expression};

fn events() -> Vec<Names> {
    let values = [
        json!("a"),
        json!("ab"),
        json!(""),
        json!("A"),
        json!("1"),
        json!("true"),
        json!("é"),
        json!("a\nb"),
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(7),
        json!(1.0),
        json!(0.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!([]),
        json!(["a"]),
        json!({}),
        json!({"y": "a"}),
    ];
    let of = |payload, context: &serde_json::Value| {
        let context = context.as_object().cloned().unwrap_or_default();
        Names::from(Notification {
            event_type: Some("a".into()),
            priority: Some(Priority::Info),
            payload,
            context,
            ..Notification::default()
        })
    };
    let mut events: Vec<Names> =
        values.iter().map(|value| of(json!({"x": value}), &json!({"x": value}))).collect();
    events.push(of(json!({"other": 1}), &json!({})));
    events.push(of(json!("a"), &json!({})));
    events.push(of(json!({"x": {"y": {"0": "a"}}, "x.y": "ab"}), &json!({})));
    events.push(Names::from(Notification::default()).with("host", json!({"name": "a", "n": 3})));
    events
}

#[test]
fn what_is_plain_means_what_it_means_to_the_engine() {
    let paths = [
        "payload.x",
        "payload.x.y",
        "payload.x.y.0",
        "context.x",
        "payload",
        "context",
        "event_type",
        "priority",
        "message_id",
        "resource.id",
        "host.name",
        "host.n",
        "host",
    ];
    let tests = [
        "== 'a'",
        "!= 'a'",
        "== \"\"",
        "== 'INFO'",
        "in ['a', \"ab\"]",
        "not in ['a']",
        "in ['true', 'x\\ny']",
        "== 1",
        "!= 1",
        "< 1",
        "<= 1",
        "> 1",
        ">= 0",
        "== 7",
        ".startswith('a')",
        ".endswith(\"b\")",
        ".startswith('')",
        "is defined",
        "is not defined",
        "is undefined",
        "is not undefined",
        "is match('^a')",
        "is not match(\"^a$\")",
        "is search('b')",
        "is regex('^\\\\w+$')",
        "is match('')",
        "is match('[0-9]+$')",
        "== 'a' and event_type == 'a'",
        "is defined and message_id == 'x'",
        "is defined and payload.x == 'a'",
        "== 9223372036854775807",
    ];
    let events = events();
    let (mut decided, mut of_engine) = (0, 0);
    for source in paths.iter().flat_map(|path| {
        let source = |test: &str| {
            if test.starts_with('.') { format!("{path}{test}") } else { format!("{path} {test}") }
        };
        tests.map(source)
    }) {
        let expression = Expression::compile(&source, &["host"]).unwrap();
        let fast_path = expression.0.fast_path.as_ref().unwrap_or_else(|| panic!("{source} is plain"));
        for names in &events {
            let theirs = expression.eval(names, |value| Ok(value.is_true()));
            let ours = match fast_path.ask(names) {
                Truth::Holds(holds) => Ok(holds),
                Truth::Lacks(name) => Err(EvalError::Lacks { name: name.to_owned() }),
                Truth::Engine => {
                    of_engine += 1;
                    continue;
                }
            };
            decided += 1;
            assert_eq!(ours, theirs, "{source} on {:?}", names.notification());
        }
    }
    assert!(decided > 7000 && of_engine > 500, "{decided} decided, {of_engine} left");
}

#[test]
fn what_is_more_than_plain_is_the_engine_s() {
    for source in [
        "payload.x",
        "not payload.x == 'a'",
        "payload.x == 'a' or payload.y == 'b'",
        "payload.x == 'a' if payload.y else payload.z == 'b'",
        "(payload.x == 'a')",
        "payload.x | lower == 'a'",
        "payload['x'] == 'a'",
        "payload.x == payload.y",
        "payload.x == 'a' == true",
        "payload.x is match('a') == true",
        "payload.x is match('a', 'b')",
        "payload.x is match(payload.y)",
        "payload.x == -1",
        "payload.x == 1.5",
        "payload.x == true",
        "payload.x == none",
        "'a' in payload.x",
        "payload.x in ['a', 1]",
        "payload.x in [payload.y]",
        "payload.x.strip() == 'a'",
        "payload.x.startswith('a', 1)",
        "payload.x.startswith(('a', 'b'))",
        "payload.x is none",
        "payload.x is eq 'a'",
        "payload.x ~ 'b' == 'ab'",
        "'a' 'b' == payload.x",
    ] {
        if let Ok(expression) = Expression::new(source) {
            assert!(expression.0.fast_path.is_none(), "{source}");
        }
    }
}
