//! The answers of a child: one JSON object a line. `docs/exec.md` repeats this page for authors of
//! programs.
//!
//! ```text
//! {"id": 17, "verdict": "done", "reason": "ticket 4711"}
//! {"id": 18, "verdict": "transient", "reason": "the CMDB is closed for maintenance", "retry_after": 30}
//! {"fatal": "no licence"}
//! ```
//!
//! | verdict | exit status of a process for one event | consequence |
//! | --- | --- | --- |
//! | `done` | 0 | delivered |
//! | `nothing_to_do` | (only as a verdict) | ended without an effect |
//! | `transient` | 75 (EX_TEMPFAIL) | held and retried without end, not before `retry_after` seconds |
//! | `failed` | any other, or a signal | retried up to `max_attempts` times, then a dead letter |
//! | `permanent` | 65 (EX_DATAERR) | a dead letter at once |
//!
//! Unknown keys are ignored, so that the protocol can grow. An `id` may be text with the number, a `reason` that is no
//! text is written as JSON, and an odd `retry_after` is ignored: the event may be done, and must not be done again for the
//! form of an answer.

use std::time::Duration;

use osnl_action::{ActionError, Completion, ErrorClass};
use osnl_model::{foreign_json, parse_python_json_as};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::lines::tidy;

/// A longer `retry_after` is cut: the child is asked once an hour at least.
const LONGEST_RETRY_AFTER: f64 = 3600.0;
const REASON: usize = 500;

#[derive(Deserialize)]
struct VerdictLine {
    #[serde(default, deserialize_with = "value")]
    id: Option<Value>,
    verdict: Option<ProgramVerdict>,
    #[serde(default, deserialize_with = "value")]
    reason: Option<Value>,
    #[serde(default, deserialize_with = "value")]
    retry_after: Option<Value>,
    fatal: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProgramVerdict {
    Done,
    NothingToDo,
    Transient,
    Failed,
    Permanent,
}

#[derive(Debug, PartialEq)]
pub(super) enum ChildLine {
    Verdict(u64, Result<Completion, ActionError>),
    Fatal(String),
}

pub(super) fn read(line: &[u8]) -> Result<ChildLine, String> {
    let refuse = |problem: &str| Err(format!("{:?} {problem}", tidy(line, 80)));
    match parsed(line) {
        Ok(VerdictLine { fatal: Some(reason), .. }) => Ok(ChildLine::Fatal(tidy(reason.as_bytes(), REASON))),
        Ok(VerdictLine { id: None, .. }) => refuse("has no id"),
        Ok(VerdictLine { id: Some(_), verdict: None, .. }) => refuse("has no verdict"),
        Ok(VerdictLine { id: Some(id), verdict: Some(verdict), reason, retry_after, fatal: None }) => {
            match number(&id) {
                Some(id) => Ok(ChildLine::Verdict(id, meaning(verdict, reason, retry_after.as_ref()))),
                None => refuse("has an id that is not the number of an event"),
            }
        }
        Err(error) if error.is_data() => refuse(&format!("is not a verdict: {}", without_place(&error))),
        Err(_) => refuse("is not a JSON object"),
    }
}

/// Returns why a process for one event could do nothing, whatever its exit status.
pub(super) fn fatal(output: &[u8]) -> Option<String> {
    let reason = parsed(output).ok()?.fatal?;
    Some(tidy(reason.as_bytes(), REASON))
}

pub(super) fn read_only(output: &[u8]) -> Option<Result<Completion, ActionError>> {
    let written = parsed(output).ok()?;
    Some(meaning(written.verdict?, written.reason, written.retry_after.as_ref()))
}

/// A reason may repeat bytes that are not UTF-8, which Python's `json` writes as lone surrogates.
fn parsed(line: &[u8]) -> Result<VerdictLine, serde_json::Error> {
    parse_python_json_as(&String::from_utf8_lossy(line))
}

fn value<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    foreign_json(from).map(|value| Some(value).filter(|value| !value.is_null()))
}

fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

fn meaning(
    verdict: ProgramVerdict,
    reason: Option<Value>,
    retry_after: Option<&Value>,
) -> Result<Completion, ActionError> {
    let reason = reason.map(|reason| match reason {
        Value::String(text) => text,
        other => other.to_string(),
    });
    let reason = |otherwise: &str| match reason.as_ref().map(|text| tidy(text.as_bytes(), REASON)) {
        Some(text) if !text.is_empty() => text,
        Some(_) | None => otherwise.to_owned(),
    };
    let error = |class| {
        let retry_after = retry_after
            .and_then(seconds)
            .filter(|seconds| *seconds > 0.0)
            .map(|seconds| Duration::from_secs_f64(seconds.min(LONGEST_RETRY_AFTER)));
        Err(ActionError { retry_after, ..ActionError::new(class, reason("no reason given")) })
    };
    match verdict {
        ProgramVerdict::Done => Ok(Completion::Delivered(reason("done"))),
        ProgramVerdict::NothingToDo => Ok(Completion::NothingToDo(reason("no reason given"))),
        ProgramVerdict::Transient => error(ErrorClass::Busy(None)),
        ProgramVerdict::Failed => error(ErrorClass::Refused(None)),
        ProgramVerdict::Permanent => error(ErrorClass::Rejected),
    }
}

fn number(id: &Value) -> Option<u64> {
    match id {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn seconds(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(super) fn class_of_exit(code: i32) -> ErrorClass {
    match code {
        65 => ErrorClass::Rejected,
        75 => ErrorClass::Busy(None),
        _ => ErrorClass::Refused(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_its_meaning() {
        let error = |class, reason: &str, seconds: Option<f64>| {
            let retry_after = seconds.map(Duration::from_secs_f64);
            Err(ActionError { retry_after, ..ActionError::new(class, reason) })
        };
        for (line, expected) in [
            (r#"{"id":1,"verdict":"done"}"#, Ok(Completion::Delivered("done".to_owned()))),
            (r#"{"id":"1","verdict":"done"}"#, Ok(Completion::Delivered("done".to_owned()))),
            (
                r#"{"verdict":"done","reason":"x\ny","id":1,"more":[]}"#,
                Ok(Completion::Delivered("x y".to_owned())),
            ),
            (
                r#"{"id":1,"verdict":"nothing_to_do","reason":"r"}"#,
                Ok(Completion::NothingToDo("r".to_owned())),
            ),
            (r#"{"id":1,"verdict":"transient"}"#, error(ErrorClass::Busy(None), "no reason given", None)),
            (
                r#"{"id":1,"verdict":"transient","reason":"r","retry_after":2.5}"#,
                error(ErrorClass::Busy(None), "r", Some(2.5)),
            ),
            (
                r#"{"id":1,"verdict":"transient","reason":"r","retry_after":1e300}"#,
                error(ErrorClass::Busy(None), "r", Some(3600.0)),
            ),
            (
                r#"{"id":1,"verdict":"transient","reason":"r","retry_after":-1}"#,
                error(ErrorClass::Busy(None), "r", None),
            ),
            (
                r#"{"id":1,"verdict":"done","reason":{"n":4},"retry_after":"soon"}"#,
                Ok(Completion::Delivered(r#"{"n":4}"#.to_owned())),
            ),
            (
                r#"{"id":1,"verdict":"done","reason":{"$serde_json::private::RawValue":"[1]"}}"#,
                Ok(Completion::Delivered(r#"{"$serde_json::private::RawValue":"[1]"}"#.to_owned())),
            ),
            (
                r#"{"id":1,"verdict":"transient","reason":503,"retry_after":" 30 "}"#,
                error(ErrorClass::Busy(None), "503", Some(30.0)),
            ),
            (r#"{"id":1,"verdict":"failed","reason":"r"}"#, error(ErrorClass::Refused(None), "r", None)),
            (
                r#"{"id":1,"verdict":"permanent","reason":""}"#,
                error(ErrorClass::Rejected, "no reason given", None),
            ),
            (
                r#"{"id":1,"verdict":"failed","reason":"no \ud83d"}"#,
                error(ErrorClass::Refused(None), "no \u{fffd}", None),
            ),
        ] {
            assert_eq!(read(line.as_bytes()), Ok(ChildLine::Verdict(1, expected)), "{line}");
        }
        assert_eq!(
            read(b"{\"id\":1,\"verdict\":\"done\",\"reason\":\"caf\xe9\"}"),
            Ok(ChildLine::Verdict(1, Ok(Completion::Delivered("caf\u{fffd}".to_owned()))))
        );
        assert_eq!(read(br#"{"fatal":"no licence"}"#), Ok(ChildLine::Fatal("no licence".to_owned())));
        assert_eq!(
            read_only(b" {\"verdict\":\"done\"}\n"),
            Some(Ok(Completion::Delivered("done".to_owned())))
        );
        assert_eq!(fatal(b"{\"fatal\":\"no\\nlicence\"}\n"), Some("no licence".to_owned()));
        assert_eq!(fatal(b"{\"verdict\":\"done\"}"), None);
        assert_eq!(read_only(b"ok"), None);
        assert_eq!(read_only(b"{}"), None);
    }

    #[test]
    fn what_is_no_verdict_is_shown_in_part() {
        for (line, expected) in [
            ("hello", r#""hello" is not a JSON object"#),
            ("", r#""" is not a JSON object"#),
            ("[1]", r#""[1]" is not a verdict"#),
            (r#"{"verdict":"done"}"#, "has no id"),
            (r#"{"id":1}"#, "has no verdict"),
            (r#"{"id":1,"verdict":"ok"}"#, "unknown variant `ok`, expected one of `done`"),
            (r#"{"id":"a","verdict":"done"}"#, "has an id that is not the number of an event"),
            (r#"{"id":-1,"verdict":"done"}"#, "has an id that is not the number of an event"),
        ] {
            let refusal = read(line.as_bytes()).unwrap_err();
            assert!(refusal.contains(expected), "{line}: {refusal}");
        }
        assert!(read("x".repeat(1000).as_bytes()).unwrap_err().len() < 200);
    }
}
