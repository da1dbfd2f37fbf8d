use serde_json::json;

use super::*;
use crate::{DecodeError, Notification};

const SMALL: Budget = Budget { body: 1000, values: 20, resources: 3 };

fn enveloped(message: &str) -> String {
    json!({"oslo.version": "2.0", "oslo.message": message}).to_string()
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[test]
fn each_limit_is_said_with_the_option_that_raises_it() {
    let check = |body: &str, expected: Option<(&str, bool)>| {
        let read = SMALL.decode(body.as_bytes());
        match (read, expected) {
            (Ok(_), None) => {}
            (Err(DecodeError::TooMuch(excess)), Some((message, is_raised))) => {
                assert_eq!(
                    (excess.to_string().as_str(), excess.is_raised_by_max_body()),
                    (message, is_raised),
                    "{body}"
                );
            }
            (read, _) => panic!("{body}: {read:?}"),
        }
    };
    let long = |bytes: usize| format!(r#"{{"payload": "{}"}}"#, "x".repeat(bytes - 15));
    check(&long(1000), None);
    check(&long(1001), Some(("the body has 1001 bytes; the limit is 1000 (option max_body)", true)));

    let items = |n: usize| format!(r#"{{"payload": [{}0]}}"#, "0,".repeat(n - 1));
    let values =
        Some(("the message has more than 20 values, the limit (it grows with option max_body)", true));
    check(&items(18), None);
    check(&items(19), values);
    // The envelope and its message draw on one budget: the outer object and two texts are three
    // values.
    check(&enveloped(&items(15)), None);
    check(&enveloped(&items(16)), values);

    let objects = |n: usize| format!(r#"{{"payload": [{}0]}}"#, r#"{"":0},"#.repeat(n));
    check(&objects(7), None);
    let memory =
        "the message takes more than 1200 bytes of memory when decoded, the limit (6 times option max_body)";
    let lean = Budget { body: 200, ..SMALL };
    let excess = match lean.decode(objects(8).as_bytes()) {
        Err(DecodeError::TooMuch(excess)) => excess,
        read => panic!("{read:?}"),
    };
    assert_eq!((excess.to_string().as_str(), excess.is_raised_by_max_body()), (memory, true));

    let ports = |n: usize| {
        format!(
            r#"{{"event_type": "port.create.start", "payload": {{"ports": [{}]}}}}"#,
            vec!["{}"; n].join(",")
        )
    };
    check(&ports(3), None);
    let resources = ("the message has 4 resources; the limit is 3 (it grows with option max_body)", true);
    check(&ports(4), Some(resources));
}

#[test]
fn depth_is_counted_through_the_envelope() {
    let check = |body: String, fits: bool| {
        let read = Budget::DEFAULT.decode(body.as_bytes());
        let too_deep = Err(DecodeError::TooMuch(Excess::Depth { limit: Budget::DEPTH }));
        assert_eq!(read.map(|_| ()), if fits { Ok(()) } else { too_deep }, "{body}");
    };
    let payload = |levels: usize| format!(r#"{{"payload": {}}}"#, nested(levels));
    check(payload(119), true);
    check(payload(120), false);
    check(enveloped(&payload(117)), true);
    check(enveloped(&payload(118)), false);
    check(payload(100_000), false);
    let said = Excess::Depth { limit: Budget::DEPTH };
    assert_eq!(
        said.to_string(),
        "the message is nested deeper than 120 levels, the most that any listener reads"
    );
    assert!(!said.is_raised_by_max_body());
}

#[test]
fn a_key_of_serde_jsons_own_is_a_key_like_any_other() {
    let mut inner = nested(100);
    for _ in 0..3 {
        inner = format!(r#"{{"$serde_json::private::RawValue": {}}}"#, Value::from(inner));
    }
    let read =
        Notification::decode(format!(r#"{{"payload": {inner}, "event_type": {inner}}}"#).as_bytes()).unwrap();
    assert!(read.payload["$serde_json::private::RawValue"].is_string());
    let number = br#"{"priority": "INFO", "payload": {"$serde_json::private::RawValue": 1}}"#;
    assert_eq!(Notification::decode(number).unwrap().payload, json!({"$serde_json::private::RawValue": 1}));
    assert!(crate::read_head(&number[..]).is_ok());
    let read = crate::parse_python_json(&inner).unwrap();
    assert!(read["$serde_json::private::RawValue"].is_string());
    assert_eq!(Budget::DEFAULT.read_json(inner.as_bytes()).as_ref(), Some(&read));
    let ForeignJson(foreign) = serde_json::from_str(&inner).unwrap();
    let ForeignJson(again) = serde_json::from_value(foreign).unwrap();
    assert_eq!(again, read);
}

#[test]
fn an_answer_is_read_within_the_limits_of_a_message() {
    let check = |text: &str, expected: Option<Value>| assert_eq!(SMALL.read_json(text.as_bytes()), expected);
    check(" {\"a\": [1]} ", Some(json!({"a": [1]})));
    check("<html>", None);
    check(&nested(Budget::DEPTH + 1), None);
    check(&format!("[{}0]", "0,".repeat(SMALL.values)), None);
    check(&format!("[{}0]", "{\"\":0},".repeat(SMALL.memory() / 600)), None);
    assert_eq!(SMALL.read_json(b"\"\xff\""), None);
}

#[test]
fn what_is_counted_is_what_is_taken() {
    // The sizes of the current standard library: a leaf of a `BTreeMap<String, Value>`.
    assert!(size_of::<(String, Value)>() * 11 <= 640, "{}", size_of::<(String, Value)>());
    assert_eq!(size_of::<Value>(), 32);
}

#[test]
fn a_head_is_read_whatever_follows_it() {
    let head = br#"{"event_type": "e", "publisher_id": "p", "priority": "INFO", "payload": "#.to_vec();
    let long = [head, vec![b' '; 5000]].concat();
    assert_eq!(SMALL.read_head(&long).unwrap().event_type.as_deref(), Some("e"));
    let other = [b"{\"x\": [], ".to_vec(), long[1..].to_vec()].concat();
    assert!(matches!(SMALL.read_head(&other), Err(DecodeError::TooMuch(Excess::Body { .. }))));
}

#[test]
fn a_wider_budget_lets_in_what_either_does() {
    let other = Budget { body: 10, values: 9000, resources: 1 };
    assert_eq!(SMALL.or(other), Budget { body: 1000, values: 9000, resources: 3 });
    assert_eq!(Budget::default().memory(), 24 * 1024 * 1024);
}
