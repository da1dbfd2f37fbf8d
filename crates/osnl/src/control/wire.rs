//! Lines: from bytes to a request, from what came of it to bytes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::VERSION;
use super::progress::RequestProgress;
use super::refusal::{Code, RequestRefusal};
use super::request::ControlRequest;

/// A request and the journal it means, if it says so.
pub(super) struct WireRequest {
    pub(super) journal: Option<PathBuf>,
    /// Whether lines about its progress are wanted.
    pub(super) progress: bool,
    pub(super) request: ControlRequest,
}

pub(super) fn read_request(line: &[u8]) -> Result<WireRequest, RequestRefusal> {
    let bad = |message: String| RequestRefusal::new(Code::BadRequest, message);
    let mut object: Map<String, Value> =
        serde_json::from_slice(line).map_err(|error| bad(format!("not a JSON object: {error}")))?;
    match object.remove("v") {
        Some(version) if version == json!(VERSION) => {}
        Some(version) => {
            return Err(bad(format!("version {version} is not known; this osnl knows {VERSION}")));
        }
        None => return Err(bad(format!("no version; write \"v\": {VERSION}"))),
    }
    let journal = match object.remove("journal") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) => Some(path.into()),
        Some(other) => return Err(bad(format!("journal: {other} is not a path"))),
    };
    let progress = match object.remove("progress") {
        None => false,
        Some(Value::Bool(progress)) => progress,
        Some(other) => return Err(bad(format!("progress: {other} is neither true nor false"))),
    };
    let request = serde_json::from_value(Value::Object(object))
        .map_err(|error| bad(format!("not understood: {error}")))?;
    Ok(WireRequest { journal, progress, request })
}

pub(super) fn write_request(
    request: &ControlRequest,
    journal: Option<&Path>,
    progress: bool,
) -> serde_json::Result<Vec<u8>> {
    let mut value = serde_json::to_value(request)?;
    value["v"] = json!(VERSION);
    if progress {
        value["progress"] = json!(true);
    }
    if let Some(journal) = journal {
        value["journal"] = json!(journal.to_string_lossy());
    }
    line(&value)
}

pub(super) fn write_answer(answer: &Result<Value, RequestRefusal>) -> Vec<u8> {
    let value = match answer {
        Ok(value) => json!({"v": VERSION, "ok": value}),
        Err(refusal) => json!({"v": VERSION, "error": refusal}),
    };
    line(&value).unwrap_or_default()
}

pub(super) fn write_progress(progress: RequestProgress) -> Vec<u8> {
    line(&json!({"v": VERSION, "progress": progress})).unwrap_or_default()
}

/// A line of an answer.
#[derive(Debug, PartialEq)]
pub(super) enum AnswerLine {
    Progress(RequestProgress),
    Answer(Result<Value, RequestRefusal>),
}

pub(super) fn read_answer(line: &[u8]) -> Result<AnswerLine, serde_json::Error> {
    #[derive(Deserialize)]
    struct WireAnswer {
        ok: Option<Value>,
        error: Option<RequestRefusal>,
        progress: Option<RequestProgress>,
    }
    let answer: WireAnswer = serde_json::from_slice(line)?;
    Ok(match (answer.error, answer.progress) {
        (Some(refusal), _) => AnswerLine::Answer(Err(refusal)),
        (None, Some(progress)) => AnswerLine::Progress(progress),
        (None, None) => AnswerLine::Answer(Ok(answer.ok.unwrap_or(Value::Null))),
    })
}

fn line(value: &Value) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_said() {
        let check = |line: &str, code: Code, expected: &str| {
            let Err(refusal) = read_request(line.as_bytes()) else { panic!("{line} is understood") };
            assert_eq!(refusal.code, code, "{line}");
            assert!(refusal.message.contains(expected), "{line}: {refusal}");
        };
        check("", Code::BadRequest, "not a JSON object");
        check("[]", Code::BadRequest, "not a JSON object");
        check("{\"verb\": \"status\"}", Code::BadRequest, "write \"v\": 1");
        check("{\"v\": 2, \"verb\": \"status\"}", Code::BadRequest, "version 2 is not known");
        check("{\"v\": 1}", Code::BadRequest, "missing field `verb`");
        check("{\"v\": 1, \"verb\": \"reload\"}", Code::BadRequest, "missing field `by`");
        check("{\"v\": 1, \"verb\": \"explode\"}", Code::BadRequest, "unknown variant `explode`");
        check("{\"v\": 1, \"verb\": \"status\", \"x\": 1}", Code::BadRequest, "unknown field `x`");
        check(
            "{\"v\": 1, \"verb\": \"list\", \"filter\": {\"state\": 1}}",
            Code::BadRequest,
            "unknown field `state`",
        );
        check("{\"v\": 1, \"verb\": \"pause\"}", Code::BadRequest, "missing field `action`");
        check("{\"v\": 1, \"verb\": \"status\", \"journal\": 3}", Code::BadRequest, "3 is not a path");
    }

    #[test]
    fn what_is_written_can_be_read() {
        for request in [
            ControlRequest::Status {},
            ControlRequest::List {
                filter: Default::default(),
                order: Default::default(),
                after: Some("1.0".into()),
                limit: 7,
                count_at_most: Some(9),
            },
            ControlRequest::Pause { action: "roles".into(), by: "eve".into() },
        ] {
            let line = write_request(&request, Some(Path::new("/j.db")), true).unwrap();
            let asked = read_request(&line).unwrap();
            assert_eq!((asked.request, asked.journal, asked.progress), (request, Some("/j.db".into()), true));
        }
        for answer in [Ok(json!({"a": 1})), Err(RequestRefusal::new(Code::NotFound, "no"))] {
            assert_eq!(read_answer(&write_answer(&answer)).unwrap(), AnswerLine::Answer(answer));
        }
        let progress = RequestProgress { done: 3, of: 7 };
        assert_eq!(read_answer(&write_progress(progress)).unwrap(), AnswerLine::Progress(progress));
    }
}
