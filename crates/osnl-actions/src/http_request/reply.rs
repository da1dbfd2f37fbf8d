use std::sync::Arc;

use osnl_config::template::{EvalError, Expression, Names, TemplateError};
use osnl_net::http::{Answer, StatusCode};
use serde_json::Value;

const REPLY: &str = "reply";

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

    pub(super) fn source(&self) -> &str {
        self.0.source()
    }

    pub(super) fn answers(&self, answer: &Answer, events: usize) -> Result<Vec<Answer>, String> {
        if !answer.whole {
            return Err("the reply is longer than reply_limit".to_owned());
        }
        let reply: Value = serde_json::from_slice(&answer.body)
            .map_err(|error| format!("reply_status needs a reply in JSON: {error}"))?;
        let names = Names::new(Arc::default()).with(REPLY, reply);
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
        each.into_iter().map(|one| answer_of(answer, &one)).collect()
    }
}

fn answer_of(answer: &Answer, one: &Value) -> Result<Answer, String> {
    let number = one.get("status").unwrap_or(one).as_u64();
    let status = number.and_then(|number| u16::try_from(number).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or_else(|| format!("reply_status is not a status: {one}"))?;
    let body = match one {
        Value::Object(object) => object.get("error").unwrap_or(one).to_string().into(),
        _ => answer.body.clone(),
    };
    Ok(Answer { status, body, ..answer.clone() })
}

#[cfg(test)]
mod tests {
    use osnl_net::http::HeaderMap;

    use super::*;

    #[test]
    fn a_reply_has_a_status_for_each_event() {
        let check = |source: &str, reply: &str, events: usize, expected: Result<&[(u16, &str)], &str>| {
            let whole = !reply.ends_with("...");
            let headers = HeaderMap::new();
            let answer = Answer { status: StatusCode::OK, headers, body: reply.to_owned().into(), whole };
            let found = ReplyStatus::compile(source).expect(source).answers(&answer, events);
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
        check(
            slack,
            "<html>",
            1,
            Err("reply_status needs a reply in JSON: expected value at line 1 column 1"),
        );
        check(slack, r#"{"ok": ..."#, 1, Err("the reply is longer than reply_limit"));
        check("reply.code", r#"{"code": 7}"#, 1, Err("reply_status is not a status: 7"));
        check("reply.code", r#"{"code": "200"}"#, 1, Err(r#"reply_status is not a status: "200""#));
    }

    #[test]
    fn only_the_reply_has_a_name() {
        let error = ReplyStatus::compile("200 if payload.ok else 400").unwrap_err();
        assert!(error.problem.starts_with("payload.ok is not in the reply"), "{}", error.problem);
    }
}
