//! A validator of the JSON Schema keywords that say which members an answer has, and of which types.

use osnl_admin::api::openapi;
use serde_json::Value;

pub(super) struct Document(Value);

impl Document {
    pub(super) fn read() -> Self {
        Self(serde_json::from_str(openapi()).unwrap())
    }

    #[track_caller]
    pub(super) fn check(&self, method: &str, path: &str, status: u16, answer: &Value) {
        let responses = &self.0["paths"][path][method.to_lowercase()]["responses"];
        let status = if status == 200 { "200" } else { "default" };
        let schema = &self.resolved(&responses[status])["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} {status} is not described");
        let mut wrong = Vec::new();
        self.compare(schema, answer, "", &mut wrong);
        assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:#?} in {answer:#}");
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let Some(path) = schema["$ref"].as_str() else { return schema };
        self.0.pointer(path.trim_start_matches('#')).unwrap_or_else(|| panic!("{path} leads nowhere"))
    }

    fn compare(&self, schema: &Value, value: &Value, place: &str, wrong: &mut Vec<String>) {
        let schema = self.resolved(schema);
        if let Some(choices) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            let fits = choices.iter().any(|choice| {
                let mut differs = Vec::new();
                self.compare(choice, value, place, &mut differs);
                differs.is_empty()
            });
            if !fits {
                wrong.push(format!("{place} has no form of {choices:?}: {value}"));
            }
        }
        if !is_one_of_types(&schema["type"], value) {
            wrong.push(format!("{place} is not {}: {value}", schema["type"]));
        }
        let is_allowed = schema["enum"].as_array().is_none_or(|allowed| allowed.contains(value));
        if !is_allowed || schema.get("const").is_some_and(|only| only != value) {
            wrong.push(format!("{place} is not allowed by {schema}: {value}"));
        }
        for (n, item) in value.as_array().into_iter().flatten().enumerate() {
            self.compare(&schema["items"], item, &format!("{place}[{n}]"), wrong);
        }
        for required in schema["required"].as_array().into_iter().flatten().filter(|_| value.is_object()) {
            if value.get(required.as_str().unwrap()).is_none() {
                wrong.push(format!("{place} has no {required}"));
            }
        }
        for (member, value) in value.as_object().into_iter().flatten() {
            let place = format!("{place}.{member}");
            match (schema["properties"].get(member), &schema["additionalProperties"]) {
                (Some(schema), _) | (None, schema @ Value::Object(_)) => {
                    self.compare(schema, value, &place, wrong);
                }
                (None, Value::Null) if schema["properties"].is_object() => {
                    wrong.push(format!("{place} is not described"));
                }
                // The service defines the content of a notification.
                (None, _) => {}
            }
        }
    }
}

fn is_one_of_types(wanted: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
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
        Value::Array(names) => names.iter().any(is),
        Value::Null => true,
        name => is(name),
    }
}

#[test]
fn the_validator_sees_each_kind_of_difference() {
    let document = Document::read();
    let differs = |schema: &Value, value: Value, expected: usize| {
        let mut wrong = Vec::new();
        document.compare(schema, &value, "", &mut wrong);
        assert_eq!(wrong.len(), expected, "{value} by {schema}: {wrong:?}");
    };
    let object = serde_json::json!({
        "type": "object", "required": ["a"],
        "properties": {"a": {"type": ["integer", "null"]}, "b": {"type": "array", "items": {"enum": ["x"]}}},
    });
    let either = serde_json::json!({"anyOf": [object, {"type": "null"}]});
    let counts = serde_json::json!({"type": "object", "additionalProperties": {"type": "integer"}});
    let failure = serde_json::json!({"$ref": "#/components/schemas/LatestFailure"});
    differs(&object, serde_json::json!({"a": 1, "b": ["x"]}), 0);
    differs(&object, serde_json::json!({"a": null}), 0);
    differs(&object, serde_json::json!({"a": 1.5}), 1);
    differs(&object, serde_json::json!({"b": ["y"]}), 2);
    differs(&object, serde_json::json!({"a": 1, "c": 1}), 1);
    differs(&object, serde_json::json!([]), 1);
    differs(&either, serde_json::json!(null), 0);
    differs(&either, serde_json::json!({}), 1);
    differs(&counts, serde_json::json!({"x": 1, "y": "1"}), 1);
    differs(&failure, serde_json::json!({"at": "x", "answer": "y"}), 1);
    differs(&failure, serde_json::json!({"at": "x", "answer": "y", "is_refusal": true, "more": 1}), 1);
}
