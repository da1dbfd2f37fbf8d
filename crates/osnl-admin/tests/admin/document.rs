use std::collections::BTreeSet;

use osnl_admin::api::{BASE, ROUTES, openapi};
use serde_json::Value;

#[test]
fn every_row_is_described() {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    assert_eq!(document["servers"][0]["url"], BASE);
    for route in ROUTES {
        let path = route.path;
        let operation = &document["paths"][path][route.method.as_str().to_lowercase()];
        assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{path}: {operation}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
        assert_eq!(in_path, path.matches('{').count(), "{path}");
        for parameter in &parameters {
            assert!(
                parameter["description"].as_str().is_some_and(|text| text.ends_with('.')),
                "{path}: {parameter}"
            );
            assert!(
                parameter["schema"]["type"].is_string() || parameter["schema"]["$ref"].is_string(),
                "{parameter}"
            );
        }
        let body = &operation["requestBody"]["content"]["application/json"]["schema"]["properties"];
        assert!(body["verb"].is_null() && body["by"].is_null(), "{path}: {body}");
        let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
        assert!(answer.is_string(), "{path}: {operation}");
    }
    let mut named = BTreeSet::new();
    names(&document, &mut named);
    for name in &named {
        assert!(document.pointer(name.trim_start_matches('#')).is_some(), "{name} leads nowhere");
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(named.contains(&format!("#/components/schemas/{name}")), "{name} is not used");
        assert!(schema["description"].is_string() || schema["type"] == "string", "{name}: {schema}");
    }
}

/// A member is required if each answer has the member, and `null` is a type if its value may be missing.
#[test]
fn schemas_follow_the_types() {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    let check = |schema: &str, member: &str, expected: Value, is_required: bool| {
        let schema = &document["components"]["schemas"][schema];
        assert_eq!(schema["properties"][member]["type"], expected, "{member} of {schema}");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        assert_eq!(required.contains(&member.into()), is_required, "{member} of {schema}");
    };
    check("Delivery", "id", "string".into(), true);
    check("Delivery", "ended", serde_json::json!(["string", "null"]), true);
    check("DeliveryChanges", "under_way", "integer".into(), false);
    check("DeliveryFilter", "ids", "array".into(), false);
    check("Incident", "kind", "string".into(), true);
    check("QueueStatus", "type", serde_json::json!(["string", "null"]), true);
}

fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|value| names(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| names(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
