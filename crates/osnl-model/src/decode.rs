//! Reads a whole notification from a body, in any framing.

use serde_json::{Map, Value};

use crate::budget::Purse;
use crate::envelope::{framed, is_own_request, json_text, priority, refused};
use crate::python_json::repairing;
use crate::{Budget, DecodeError, Excess, JsonKind, Notification, Part, bounded_id, bulk_len};

impl Notification {
    /// The last value of a repeated key counts. Python's `NaN` and infinities are read as null.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_within(body, &Budget::DEFAULT)
    }

    fn decode_within(body: &[u8], budget: &Budget) -> Result<Self, DecodeError> {
        budget.check_size(body)?;
        let purse = Purse::for_budget(budget);
        let mut outer = parse_object(json_text(body)?, Part::Body, &purse, 0)?;
        let context_beside = request_of(&mut outer);
        let mut read = match framed(outer.get("oslo.version"), outer.get("oslo.message"))? {
            Some(message) => {
                let message = parse_object(message, Part::Message, &purse, 2)?;
                outer.clear();
                Self::from_object(message)?
            }
            None => Self::from_object(outer)?,
        };
        for (key, value) in context_beside {
            read.context.entry(key).or_insert(value);
        }
        match bulk_len(&read) {
            Some(found) if found > budget.resources => {
                Err(Excess::Resources { found, limit: budget.resources }.into())
            }
            Some(_) | None => Ok(read),
        }
    }

    fn from_object(object: Map<String, Value>) -> Result<Self, DecodeError> {
        let mut read = Self { priority: priority(object.get("priority"))?, ..Self::default() };
        let mut whole_context = None;
        for (key, value) in object {
            match key.as_str() {
                "event_type" => read.event_type = text(value),
                "publisher_id" => read.publisher_id = text(value),
                "message_id" => read.message_id = id(value),
                "timestamp" => read.timestamp = text(value),
                "_unique_id" => read.unique_id = id(value),
                "payload" => read.payload = value,
                "_context" => whole_context = Some(value),
                other => {
                    if let Some(key) = other.strip_prefix("_context_") {
                        read.context.insert(key.to_owned(), value);
                    }
                }
            }
        }
        if let Some(Value::Object(context)) = whole_context {
            for (key, value) in context {
                read.context.entry(key).or_insert(value);
            }
        }
        Ok(read)
    }
}

impl Budget {
    pub fn decode(&self, body: &[u8]) -> Result<Notification, DecodeError> {
        Notification::decode_within(body, self)
    }
}

fn request_of(outer: &mut Map<String, Value>) -> Map<String, Value> {
    let is_own = is_own_request(|key| outer.contains_key(key));
    match outer.get_mut("request") {
        Some(Value::Object(request)) if !is_own => {
            let request = std::mem::take(request);
            match std::mem::replace(outer, request).remove("context") {
                Some(Value::Object(context)) => context,
                Some(_) | None => Map::new(),
            }
        }
        Some(_) | None => Map::new(),
    }
}

fn parse_object(
    text: &str,
    part: Part,
    purse: &Purse,
    depth: usize,
) -> Result<Map<String, Value>, DecodeError> {
    let read = repairing(text, |text| purse.parse(text, depth));
    match read.map_err(|error| refused(text, part, &error, purse))? {
        Value::Object(object) => Ok(object),
        other => Err(DecodeError::NotAnObject { part, found: JsonKind::from_value(&other) }),
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn id(value: Value) -> Option<String> {
    text(value).map(|id| bounded_id(id).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Priority;

    fn both_framings(message: &str) -> [String; 2] {
        [message.to_owned(), json!({"oslo.version": "2.0", "oslo.message": message}).to_string()]
    }

    #[test]
    fn the_version_of_the_envelope_is_compared_by_its_numbers() {
        for version in ["2.0", "2.0.0", "02.0", " 2.0"] {
            let body =
                json!({"oslo.version": version, "oslo.message": "{\"event_type\": \"e\"}"}).to_string();
            let (head, read) = (crate::read_head(body.as_bytes()), Notification::decode(body.as_bytes()));
            assert_eq!(head.unwrap().event_type.as_deref(), Some("e"), "{version}");
            assert_eq!(read.unwrap().event_type.as_deref(), Some("e"), "{version}");
        }
    }

    #[test]
    fn all_fields_are_read_in_both_framings() {
        let message = r#"{"message_id": "m", "publisher_id": "p", "event_type": "e", "priority": "WARN",
            "payload": [NaN, 1, 2], "timestamp": "t", "_unique_id": "u", "_context_user": "x", "_context_": 7,
            "_context_auth_token": null, "other": 1, "payload": {"a": "b"}}"#;
        for body in both_framings(message) {
            let read = Notification::decode(body.as_bytes()).unwrap();
            let expected = Notification {
                event_type: Some("e".into()),
                publisher_id: Some("p".into()),
                priority: Some(Priority::Warn),
                message_id: Some("m".into()),
                timestamp: Some("t".into()),
                unique_id: Some("u".into()),
                context: Map::from_iter([
                    ("user".to_owned(), json!("x")),
                    (String::new(), json!(7)),
                    ("auth_token".to_owned(), json!(null)),
                ]),
                payload: json!({"a": "b"}),
            };
            assert_eq!(read, expected);
        }
    }

    /// A message id of 16 MiB would be in the header of each request, in rows of tables, and in the
    /// memory of known messages.
    #[test]
    fn long_ids_are_digests() {
        let (long, longest) = ("i".repeat(256), "i".repeat(255));
        let message = json!({"message_id": long, "_unique_id": longest}).to_string();
        for body in both_framings(&message) {
            let read = Notification::decode(body.as_bytes()).unwrap();
            assert_eq!(
                read.message_id.as_deref(),
                Some(&*crate::BodyDigest::new(long.as_bytes()).to_string())
            );
            assert_eq!(read.unique_id.as_deref(), Some(&*longest));
        }
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_none() {
        for message in [
            "{}",
            r#"{"event_type": 1, "publisher_id": [], "priority": null, "message_id": {}, "timestamp": true}"#,
        ] {
            for body in both_framings(message) {
                assert_eq!(Notification::decode(body.as_bytes()).unwrap(), Notification::default());
            }
        }
    }

    #[test]
    fn a_context_in_one_object_is_read_too() {
        let read = Notification::decode(br#"{"_context_b": 3, "_context": {"a": 1, "b": 2}}"#).unwrap();
        assert_eq!(Value::Object(read.context), json!({"a": 1, "b": 3}));
        assert!(Notification::decode(br#"{"_context": "x"}"#).unwrap().context.is_empty());
    }

    #[test]
    fn a_context_beside_the_request_is_read_as_the_amqp1_driver_writes_it() {
        let message = r#"{"message_id": "m", "event_type": "e", "publisher_id": "p", "priority": "INFO", "payload": 1}"#;
        for request in both_framings(message) {
            let body = format!(r#"{{"request": {request}, "context": {{"project_id": "p1"}}}}"#);
            let read = Notification::decode(body.as_bytes()).unwrap();
            assert_eq!((read.message_id.as_deref(), read.unique_id.as_deref()), (Some("m"), None));
            assert_eq!((Value::Object(read.context), read.payload), (json!({"project_id": "p1"}), json!(1)));
            let head = crate::read_head(body.as_bytes()).unwrap();
            assert_eq!((head.event_type.as_deref(), head.publisher_id.as_deref()), (Some("e"), Some("p")));
            assert_eq!(head.priority, Some(Priority::Info));
            let emission = crate::Emission::read(body.as_bytes()).unwrap();
            let context: Vec<_> = emission.context.iter().map(|(key, value)| (&**key, value.get())).collect();
            assert_eq!((emission.event_type.as_deref(), emission.payload.get()), (Some("e"), "1"));
            assert_eq!((context, emission.extra.len()), (vec![("project_id", "\"p1\"")], 0));
        }
        // A notification may have these keys too.
        let bare = br#"{"event_type": "e", "request": {"event_type": "other"}, "context": {"a": 1}}"#;
        let read = Notification::decode(bare).unwrap();
        assert_eq!((read.event_type.as_deref(), read.context.len()), (Some("e"), 0));
        let head = crate::read_head(bare).unwrap();
        assert_eq!(head.event_type.as_deref(), Some("e"));
        let broken = crate::read_head(br#"{"request": {"oslo.version": "2.0"}, "context": {}}"#).unwrap_err();
        assert_eq!(broken.to_string(), "there is an oslo.version but no oslo.message");
    }

    #[test]
    fn errors_say_what_and_where() {
        let check = |body: &[u8], message: &str| {
            assert_eq!(Notification::decode(body).unwrap_err().to_string(), message);
            assert_eq!(crate::read_head(body).unwrap_err().to_string(), message, "read_head");
        };
        check(b"", "the body is empty");
        check(b"\xef\xbb\xbf{}", "the body begins with a byte order mark");
        check(b"{\"a\": \"\xff\"}", "the body is not UTF-8: invalid byte at offset 7");
        check(b"{\"a\":\n x}", "the body is not readable JSON: expected value at line 2 column 2");
        check(b" []", "the body is an array, not an object");
        check(b"\"secret\"", "the body is a text, not an object");
        check(b"-12", "the body is a number, not an object");
        check(b"true", "the body is a boolean, not an object");
        check(b"null", "the body is null, not an object");
        check(b"NaN", "the body is null, not an object");
        check(br#"{"priority": 3}"#, "priority is a number, not a text");
        check(br#"{"priority": ["INFO"]}"#, "priority is an array, not a text");
        check(br#"{"oslo.version": "2.0"}"#, "there is an oslo.version but no oslo.message");
        check(br#"{"oslo.message": "{}"}"#, "there is an oslo.message but no oslo.version");
        check(br#"{"oslo.version": 2.0, "oslo.message": "{}"}"#, "oslo.version is a number, not a text");
        check(br#"{"oslo.version": "2.0", "oslo.message": {}}"#, "oslo.message is an object, not a text");
        for version in ["", "2", "2.1", "2.0.1", "2.0.x"] {
            check(
                format!(r#"{{"oslo.version": "{version}", "oslo.message": "{{}}"}}"#).as_bytes(),
                &format!("unsupported oslo.version {version:?}: only \"2.0\" is known"),
            );
        }
        check(
            br#"{"oslo.version": "2.0", "oslo.message": "{\"a\": secret}"}"#,
            "the text of oslo.message is not readable JSON: expected value at line 1 column 7",
        );
        check(
            br#"{"oslo.version": "2.0", "oslo.message": "[]"}"#,
            "the text of oslo.message is an array, not an object",
        );
    }
}
