//! A validator of the JSON Schema keywords in `openapi.json`, and no others.

use std::collections::BTreeSet;

use osnl_admin::api::openapi;
use serde_json::Value;

/// The allowed keywords; any other would be ignored and is refused.
const WORDS: [&str; 9] = [
    "$ref",
    "type",
    "description",
    "enum",
    "anyOf",
    "properties",
    "required",
    "additionalProperties",
    "items",
];

pub(super) struct Document {
    document: Value,
    pub(super) served: BTreeSet<String>,
}

impl Document {
    pub(super) fn read() -> Self {
        Self { document: serde_json::from_str(openapi()).unwrap(), served: BTreeSet::new() }
    }

    #[track_caller]
    pub(super) fn check(&mut self, method: &str, path: &str, status: u16, answer: &Value) {
        let responses = &self.document["paths"][path][method.to_lowercase()]["responses"];
        let status = status.to_string();
        let response = if responses[&status].is_null() { &responses["default"] } else { &responses[&status] };
        let response = self.resolved(response);
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} {status} is not described");
        let (mut served, mut wrong) = (BTreeSet::new(), Vec::new());
        self.compare(schema, answer, "", &mut served, &mut wrong);
        assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:#?} in {answer:#}");
        self.served.extend(served);
    }

    pub(super) fn members(&self) -> BTreeSet<String> {
        let schemas = self.document["components"]["schemas"].as_object().unwrap().iter();
        let answers = schemas.filter(|(name, _)| !name.ends_with("Filter"));
        let of = |(name, schema): (&String, &Value)| -> Vec<String> {
            let members = schema["properties"].as_object().unwrap();
            members.keys().map(|member| format!("{name}.{member}")).collect()
        };
        answers.flat_map(of).collect()
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let Some(path) = schema["$ref"].as_str() else { return schema };
        self.document
            .pointer(path.strip_prefix('#').unwrap())
            .unwrap_or_else(|| panic!("{path} leads nowhere"))
    }

    fn compare(
        &self,
        schema: &Value,
        value: &Value,
        place: &str,
        served: &mut BTreeSet<String>,
        wrong: &mut Vec<String>,
    ) {
        let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        let schema = self.resolved(schema);
        for word in schema.as_object().unwrap().keys() {
            assert!(WORDS.contains(&word.as_str()), "{place}: the test does not know {word}");
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            let fits = choices.iter().any(|choice| {
                let (mut of_it, mut differs) = (BTreeSet::new(), Vec::new());
                self.compare(choice, value, place, &mut of_it, &mut differs);
                let fits = differs.is_empty();
                served.extend(of_it.into_iter().filter(|_| fits));
                fits
            });
            if !fits {
                wrong.push(format!("{place} is none of anyOf: {value}"));
            }
        }
        if !is_of_type(&schema["type"], value) {
            wrong.push(format!("{place} is not {}: {value}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
            wrong.push(format!("{place} is not one of {}: {value}", schema["enum"]));
        }
        match value {
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items.for_each(|(n, item)| {
                    self.compare(&schema["items"], item, &format!("{place}[{n}]"), served, wrong);
                });
            }
            Value::Object(members) => {
                let described = schema["properties"].as_object();
                for required in schema["required"].as_array().into_iter().flatten() {
                    if !members.contains_key(required.as_str().unwrap()) {
                        wrong.push(format!("{place} has no {required}"));
                    }
                }
                for (member, value) in members {
                    let place = format!("{place}.{member}");
                    match (
                        described.and_then(|described| described.get(member)),
                        &schema["additionalProperties"],
                    ) {
                        (Some(schema), _) => {
                            if let Some(name) = name.filter(|_| has_value(value)) {
                                served.insert(format!("{name}.{member}"));
                            }
                            self.compare(schema, value, &place, served, wrong);
                        }
                        (None, Value::Bool(false)) => wrong.push(format!("{place} is not described")),
                        (None, Value::Object(_)) => {
                            self.compare(&schema["additionalProperties"], value, &place, served, wrong);
                        }
                        // The service defines the content of a notification.
                        (None, _) => {}
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn has_value(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the test does not know the type {other}"),
    };
    match wanted {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        _ => true,
    }
}

#[test]
fn the_validator_sees_each_kind_of_difference() {
    let document = Document::read();
    let differs = |schema: Value, value: Value| {
        let mut wrong = Vec::new();
        document.compare(&schema, &value, "", &mut BTreeSet::new(), &mut wrong);
        wrong.len()
    };
    let closed = serde_json::json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"type": ["integer", "null"]}, "b": {"type": "array", "items": {"enum": ["x"]}}},
    });
    let counts = serde_json::json!({"type": "object", "additionalProperties": {"type": "integer"}});
    let either = serde_json::json!({"anyOf": [closed, {"type": "null"}]});
    let problem = serde_json::json!({"$ref": "#/components/schemas/LatestFailure"});
    for (schema, value, expected) in [
        (&closed, serde_json::json!({"a": 1, "b": ["x"]}), 0),
        (&closed, serde_json::json!({"a": null}), 0),
        (&closed, serde_json::json!({"a": 1.5}), 1),
        (&closed, serde_json::json!({"b": ["y"]}), 2),
        (&closed, serde_json::json!({"a": 1, "c": 1}), 1),
        (&closed, serde_json::json!([]), 1),
        (&counts, serde_json::json!({"x": 1, "y": "1"}), 1),
        (&either, serde_json::json!(null), 0),
        (&either, serde_json::json!({}), 1),
        (&problem, serde_json::json!({"at": "x", "answer": "y"}), 1),
        (&problem, serde_json::json!({"at": "x", "answer": "y", "is_refusal": true, "more": 1}), 1),
    ] {
        assert_eq!(differs(schema.clone(), value.clone()), expected, "{value} by {schema}");
    }
}
