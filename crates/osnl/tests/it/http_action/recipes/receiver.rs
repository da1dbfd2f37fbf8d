use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use osnl_model::Pattern;
use osnl_testkit::{Reply, SinkRequest, fixture};
use serde_json::{Value, json};

fn reply(status: u16, body: impl Into<String>) -> Reply {
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    Reply::StatusWith { status, headers, body: body.into().into_bytes() }
}

pub(super) fn standing_in(receiver: &str) -> impl Fn(&SinkRequest) -> Option<Reply> + Send + 'static {
    let receiver = receiver.to_owned();
    move |request| {
        let faults = faults(&receiver, request);
        let answer = &receivers()[&receiver]["reply"];
        let status = u16::try_from(answer["status"].as_u64().unwrap()).unwrap();
        Some(match faults.is_empty() {
            true => reply(status, answer["body"].as_str().unwrap()),
            false => reply(400, json!({"faults": faults}).to_string()),
        })
    }
}

fn receivers() -> Value {
    fixture::json("http/receivers.json")
}

pub(super) fn faults(receiver: &str, request: &SinkRequest) -> Vec<String> {
    let receivers = receivers();
    let known = receivers.get(receiver).unwrap_or_else(|| panic!("no receiver {receiver}"));
    let mut faults = Vec::new();
    if !known["method"].as_str().unwrap().split('|').any(|method| method == request.method) {
        faults.push(format!("method {}", request.method));
    }
    if !matches(&known["target"], &request.target) {
        faults.push(format!("target {}", request.target));
    }
    for (name, pattern) in known["headers"].as_object().unwrap() {
        if !request.header(name).is_some_and(|value| matches(pattern, value)) {
            faults.push(format!("header {name}: {:?}", request.header(name)));
        }
    }
    match serde_json::from_slice(&request.body) {
        Ok(body) => violations(&known["body"], &body, "body", &mut faults),
        Err(error) => faults.push(format!("body: {error}")),
    }
    faults
}

fn matches(pattern: &Value, text: &str) -> bool {
    Pattern::new(pattern.as_str().unwrap()).unwrap().is_match(text)
}

fn violations(schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one.as_str()],
        _ => vec![kind],
    };
    let is_one = schema["enum"].as_array().is_none_or(|allowed| allowed.contains(value));
    let is_constant = schema.get("const").is_none_or(|constant| constant == value);
    let is_match =
        value.as_str().is_none_or(|text| schema["pattern"].is_null() || matches(&schema["pattern"], text));
    if !(kinds.contains(&kind) && is_one && is_constant && is_match) {
        faults.push(format!("{at}: {value} is not {schema}"));
    }
    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
        violations(&schema["items"], item, &format!("{at}[{n}]"), faults);
    }
    let Some(object) = value.as_object() else { return };
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(key) {
            faults.push(format!("{at}: {key} is missing"));
        }
    }
    for (key, value) in object {
        let at = format!("{at}.{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(property), _) => violations(property, value, &at, faults),
            (None, Value::Bool(false)) => faults.push(format!("{at} is unknown")),
            (None, other) => violations(other, value, &at, faults),
        }
    }
}

#[test]
fn a_schema_finds_each_violation() {
    let check = |schema: Value, value: Value, expected: usize| {
        let mut faults = Vec::new();
        violations(&schema, &value, "", &mut faults);
        assert_eq!(faults.len(), expected, "{schema} {value} {faults:?}");
    };
    check(json!({}), json!({"a": 1}), 0);
    check(json!({"type": ["string", "null"]}), json!(null), 0);
    check(json!({"type": "string"}), json!(1), 1);
    check(json!({"enum": ["a"], "pattern": "^a"}), json!("b"), 1);
    check(json!({"const": "a"}), json!("b"), 1);
    check(json!({"required": ["a"], "additionalProperties": false}), json!({"b": 1}), 2);
    check(json!({"properties": {"a": {"items": {"type": "string"}}}}), json!({"a": ["x", 1, 2]}), 2);
    check(json!({"additionalProperties": {"type": "string"}}), json!({"a": "x", "b": 1}), 1);
}

pub(super) fn lines(body: &str) -> Vec<Value> {
    body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The bulk request of OpenSearch, which answers 200 whatever happens to its documents.
#[derive(Default)]
pub(super) struct Bulk {
    known: Mutex<BTreeSet<String>>,
    refused: Mutex<BTreeSet<String>>,
}

impl Bulk {
    pub(super) fn reply(&self, request: &SinkRequest) -> Reply {
        let body = String::from_utf8(request.body.clone()).unwrap();
        let is_bulk = request.method == "POST"
            && request.target.starts_with("/_bulk?filter_path=items.*.status%2C")
            && request.header("content-type") == Some("application/x-ndjson")
            && request.header("authorization").is_some_and(|login| login.starts_with("Basic "))
            && body.ends_with('\n');
        let lines = lines(&body);
        let pairs: Vec<(&Value, &Value)> =
            lines.chunks(2).filter_map(|pair| Some((pair.first()?.get("create")?, pair.get(1)?))).collect();
        if !is_bulk || pairs.len() * 2 != lines.len() {
            return reply(400, r#"{"error": {"type": "illegal_argument_exception"}, "status": 400}"#);
        }
        let items: Vec<Value> =
            pairs.into_iter().map(|(action, document)| self.item(action, document)).collect();
        reply(200, json!({"items": items}).to_string())
    }

    fn item(&self, action: &Value, document: &Value) -> Value {
        let error = |status: u16, kind: &str, reason: &str| json!({"create": {"status": status, "error": {"type": kind, "reason": reason}}});
        let named = |key: &str| action[key].as_str().filter(|name| !name.is_empty() && name.len() <= 512);
        let (Some(_), Some(id)) = (named("_index"), named("_id")) else {
            return error(400, "illegal_argument_exception", "no index, or no id");
        };
        let resource = document["resource"].as_str().unwrap_or_default();
        if resource == "malformed" {
            return error(400, "mapper_parsing_exception", "failed to parse field [event.payload]");
        }
        if resource == "crowded" && self.refused.lock().unwrap().insert(id.to_owned()) {
            return error(429, "es_rejected_execution_exception", "rejected execution");
        }
        match self.known.lock().unwrap().insert(id.to_owned()) {
            true => json!({"create": {"status": 201}}),
            false => error(409, "version_conflict_engine_exception", "document already exists"),
        }
    }
}

pub(super) struct Recorder(PathBuf);

pub(super) fn program(folder: &Path, name: &str) -> Recorder {
    let path = folder.join(name);
    let text = format!("#!/bin/sh\necho \"$*\" > {0}.arguments\ncat > {0}.input\necho 1\n", path.display());
    osnl_testkit::executable(&path, &text);
    Recorder(path)
}

impl Recorder {
    pub(super) fn read(&self) -> (String, String) {
        let [arguments, input] = ["arguments", "input"]
            .map(|ending| std::fs::read_to_string(format!("{}.{ending}", self.0.display())).unwrap());
        (arguments.trim().to_owned(), input)
    }
}
