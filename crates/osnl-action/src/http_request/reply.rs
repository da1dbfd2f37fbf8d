//! The reply of a target as values that expressions see: JSON, lines of JSON, text, or nothing.

use std::sync::Arc;

use osnl_config::template::{EvalError, Expression, Names, TemplateError};
use osnl_model::ForeignJson;
use osnl_net::http::header::CONTENT_TYPE;
use osnl_net::http::{Answer, StatusCode};
use serde_json::Value;

const REPLY: &str = "reply";

/// The option `reply_status`: an expression on the reply.
#[derive(Clone, Debug)]
pub(super) struct ReplyStatus(Expression);

impl ReplyStatus {
    pub(super) fn compile(text: &str) -> Result<Self, TemplateError> {
        let expression = Expression::compile(text, &[REPLY])?;
        let is_other = |path: &&str| path.split('.').next() != Some(REPLY);
        if let Some(other) = expression.paths().find(is_other) {
            let problem = format!("{other} is not in the reply, which is the same for all events of a call");
            return Err(TemplateError::at_begin(&problem, "use only the name reply"));
        }
        Ok(Self(expression))
    }

    pub(super) fn shown(&self) -> String {
        self.0.shown()
    }

    /// Returns the answer to each event. An event whose status cannot be read says nothing about the others.
    pub(super) fn answers(
        &self,
        answer: &Answer,
        events: usize,
    ) -> Result<Vec<Result<Answer, String>>, String> {
        if !answer.is_whole() {
            return Err(answer.end.to_string());
        }
        let names = Names::new(Arc::default()).with(REPLY, value(answer)?);
        let found = self.0.value(&names).map_err(|error| match error {
            EvalError::Lacks { name } => {
                format!("the reply has no {}", name.strip_prefix("reply.").unwrap_or(&name))
            }
            error => format!("reply_status: {error}"),
        })?;
        let each = match found {
            Value::Array(each) if each.len() == events => each,
            Value::Array(each) => {
                return Err(format!("reply_status lists {} statuses for {events} events", each.len()));
            }
            one => vec![one; events],
        };
        Ok(each.iter().map(|one| answer_of(answer, one)).collect())
    }
}

/// Returns JSON as its value, lines of JSON as a list, any other text as a string, and no text as null.
fn value(answer: &Answer) -> Result<Value, String> {
    if let Some(coding) = answer.coding() {
        return Err(format!("the reply is compressed with {coding}, which the request does not allow"));
    }
    let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_ascii_lowercase();
    let text = text(&answer.body, &content_type);
    let text = text.trim();
    let read = |text: &str| serde_json::from_str(text).map(|ForeignJson(value)| value);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty()).map(read);
    let is_lines = LINES.iter().any(|name| content_type.contains(name));
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let list = || lines().collect::<Result<Vec<_>, _>>().map(Value::Array);
    let value = if is_lines { list() } else { read(text).or_else(|_| list()) };
    Ok(value.unwrap_or_else(|_| Value::String(text.to_owned())))
}

const LINES: [&str; 3] = ["ndjson", "jsonl", "json-lines"];

/// Reads UTF-8, the two forms of UTF-16 by their mark or name, and Latin-1 by its names.
fn text(body: &[u8], content_type: &str) -> String {
    let charset = content_type.split("charset=").nth(1).unwrap_or_default();
    let charset = charset.trim_start_matches('"');
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match body {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ if charset.starts_with("utf-16le") => wide(body, u16::from_le_bytes),
        _ if charset.starts_with("utf-16") => wide(body, u16::from_be_bytes),
        _ if charset.starts_with("iso-8859-1") || charset.starts_with("latin1") => {
            body.iter().copied().map(char::from).collect()
        }
        _ => String::from_utf8_lossy(body).into_owned(),
    }
}

/// Returns a status as APIs write it: `200`, `200.0`, `"200"`.
fn status_of(value: &Value) -> Option<StatusCode> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_u64().or_else(|| {
            let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
            format!("{number}").parse().ok()
        }),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    StatusCode::from_u16(u16::try_from(number?).ok()?).ok()
}

fn answer_of(answer: &Answer, one: &Value) -> Result<Answer, String> {
    let status = status_of(one.get("status").unwrap_or(one));
    let status = status.ok_or_else(|| format!("reply_status is not a status: {one}"))?;
    let body = match one {
        Value::Object(object) => object.get("error").unwrap_or(one).to_string().into(),
        _ => answer.body.clone(),
    };
    Ok(Answer { status, body, ..answer.clone() })
}

#[cfg(test)]
mod tests {
    use osnl_net::http::header::{CONTENT_ENCODING, HeaderValue};
    use osnl_net::http::{AnswerEnd, HeaderMap};

    use super::*;

    #[test]
    fn a_reply_has_a_status_for_each_event() {
        let check = |source: &str, reply: &str, events: usize, expected: Result<&[(u16, &str)], &str>| {
            let end = if reply.ends_with("...") { AnswerEnd::TooLong } else { AnswerEnd::Whole };
            let headers = HeaderMap::new();
            let answer = Answer { status: StatusCode::OK, headers, body: reply.to_owned().into(), end };
            let found = ReplyStatus::compile(source).expect(source).answers(&answer, events);
            let found = found.and_then(|each| each.into_iter().collect::<Result<Vec<Answer>, String>>());
            let found = found.map(|answers| {
                let pair = |answer: &Answer| {
                    (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
                };
                answers.iter().map(pair).collect::<Vec<_>>()
            });
            let expected = expected
                .map(|each| each.iter().map(|(status, body)| (*status, (*body).to_owned())).collect())
                .map_err(str::to_owned);
            assert_eq!(found, expected, "{source} {reply}");
        };
        let bulk = r#"reply["items"]|map(attribute="create")|list"#;
        let items = r#"{"errors": true, "items": [{"create": {"_id": "a", "status": 201}},
            {"create": {"_id": "b", "status": 400, "error": {"type": "mapper"}}}]}"#;
        let first = r#"{"_id":"a","status":201}"#;
        check(bulk, items, 2, Ok(&[(201, first), (400, r#"{"type":"mapper"}"#)]));
        check(bulk, items, 3, Err("reply_status lists 2 statuses for 3 events"));
        let slack = "200 if reply.ok else 400";
        check(slack, r#"{"ok": true}"#, 2, Ok(&[(200, r#"{"ok": true}"#), (200, r#"{"ok": true}"#)]));
        check(slack, r#"{"ok": false}"#, 1, Ok(&[(400, r#"{"ok": false}"#)]));
        check(slack, "{}", 1, Err("the reply has no ok"));
        check(slack, "<html>", 1, Err("the reply has no ok"));
        check(slack, "", 1, Err("the reply has no ok"));
        check(slack, r#"{"ok": ..."#, 1, Err("the reply is longer than its limit"));
        check("reply.code", r#"{"code": 7}"#, 1, Err("reply_status is not a status: 7"));
        for code in [r#"{"code": 201}"#, r#"{"code": 201.0}"#, r#"{"code": "201"}"#] {
            check("reply.code", code, 1, Ok(&[(201, code)]));
        }
        check("reply.code", r#"{"code": "ok"}"#, 1, Err(r#"reply_status is not a status: "ok""#));
        let other = r#"200 if reply is none or reply == "ok" else 400"#;
        check(other, "ok", 1, Ok(&[(200, "ok")]));
        check(other, " \r\n", 1, Ok(&[(200, " \r\n")]));
        check(other, "no", 1, Ok(&[(400, "no")]));
    }

    #[test]
    fn a_status_that_cannot_be_read_leaves_those_of_other_events() {
        let body = br#"[201, null, "ok", 400]"#.as_slice().into();
        let (headers, end) = (HeaderMap::new(), AnswerEnd::Whole);
        let answer = Answer { status: StatusCode::OK, headers, body, end };
        let found = ReplyStatus::compile("reply").unwrap().answers(&answer, 4).unwrap();
        let found: Vec<_> = found.into_iter().map(|one| one.map(|answer| answer.status.as_u16())).collect();
        let wrong = |value: &str| Err(format!("reply_status is not a status: {value}"));
        assert_eq!(found, [Ok(201), wrong("null"), wrong("\"ok\""), Ok(400)]);
    }

    #[test]
    fn each_form_of_a_reply_is_a_value() {
        let check = |body: &[u8], content_type: &str, expected: Result<Value, &str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
            let body = body.to_vec().into();
            let answer = Answer { status: StatusCode::OK, headers, body, end: AnswerEnd::Whole };
            assert_eq!(
                value(&answer),
                expected.map_err(str::to_owned),
                "{body:?} {content_type}",
                body = answer.body
            );
        };
        let ok = || Ok(serde_json::json!({"ok": "ä"}));
        let json = "{\"ok\": \"ä\"}";
        check(json.as_bytes(), "application/json", ok());
        check(json.as_bytes(), "text/html", ok());
        check(format!("\u{feff}{json}\n").as_bytes(), "application/json; charset=utf-8", ok());
        let wide = |unit: fn(u16) -> [u8; 2]| json.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        check(&wide(u16::to_be_bytes), "application/json; charset=UTF-16", ok());
        check(&wide(u16::to_le_bytes), "application/json; charset=\"utf-16le\"", ok());
        check(&[&[0xff, 0xfe][..], &wide(u16::to_le_bytes)].concat(), "application/json", ok());
        check(b"{\"ok\": \"\xe4\"}", "application/json; charset=ISO-8859-1", ok());
        check(b"{\"ok\": \"\xe4\"}", "application/json", Ok(serde_json::json!({"ok": "\u{fffd}"})));
        check(b"{\"n\": 1}\n\n{\"n\": 2}\r\n", "text/plain", Ok(serde_json::json!([{"n": 1}, {"n": 2}])));
        check(b"{\"n\": 1}\n", "application/x-ndjson", Ok(serde_json::json!([{"n": 1}])));
        check(b"not json\n", "application/x-ndjson", Ok(serde_json::json!("not json")));
        let again = serde_json::json!({"$serde_json::private::RawValue": "[1]"});
        check(again.to_string().as_bytes(), "application/json", Ok(again.clone()));
        check(again.to_string().as_bytes(), "application/x-ndjson", Ok(serde_json::json!([again])));
        check(b"ok", "text/plain", Ok(serde_json::json!("ok")));
        check(b"", "application/json", Ok(Value::Null));
    }

    #[test]
    fn a_coding_that_is_not_known_is_named() {
        let headers = [(CONTENT_ENCODING, HeaderValue::from_static("br"))].into_iter().collect();
        let body = b"\x0b\x05".as_slice().into();
        let answer = Answer { status: StatusCode::OK, headers, body, end: AnswerEnd::Whole };
        let why = "the reply is compressed with br, which the request does not allow";
        assert_eq!(value(&answer), Err(why.to_owned()));
    }

    #[test]
    fn only_the_reply_has_a_name() {
        let error = ReplyStatus::compile("200 if payload.ok else 400").unwrap_err();
        assert!(error.problem.starts_with("payload.ok is not in the reply"), "{}", error.problem);
    }
}
