//! `openapi.json` describes the addresses that there are, and no others.

use std::collections::{BTreeMap, BTreeSet};

use osnl_admin::api::{Form, OPENAPI, ROUTES};
use serde_json::Value;

#[test]
fn the_document_has_every_address_with_its_options_and_no_other() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    assert_eq!(document["servers"][0]["url"], "/api/v1");
    let mut described = BTreeMap::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let summary = operation["summary"].as_str().unwrap();
            assert!(summary.ends_with('.'), "{method} {path}: {summary}");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let options: BTreeSet<(String, String)> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| {
                    let schema = &parameter["schema"];
                    let form = match (schema["type"].as_str(), schema["items"]["type"].as_str()) {
                        (Some("array"), Some("integer")) => Form::Numbers,
                        (Some("array"), _) => Form::Texts,
                        (Some("integer"), _) => Form::Number,
                        _ => Form::Text,
                    };
                    (parameter["name"].as_str().unwrap().to_owned(), format!("{form:?}"))
                })
                .collect();
            let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, path.matches('{').count(), "{path}");
            described.insert((method.to_uppercase(), path.clone()), options);
        }
    }
    let routes: BTreeMap<_, _> = ROUTES
        .iter()
        .map(|route| {
            let options = route.query.iter().map(|(name, _, form)| ((*name).to_owned(), format!("{form:?}")));
            ((route.method.to_string(), route.path.to_owned()), options.collect::<BTreeSet<_>>())
        })
        .collect();
    assert_eq!(described, routes);
}

/// The control socket reads a body as the document describes it.
#[test]
fn bodies_have_the_members_of_their_verbs() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    for route in ROUTES.iter().filter(|route| route.changes()) {
        let operation = &document["paths"][route.path]["post"];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let mut request = serde_json::json!({"verb": route.verb, "by": "x"});
        for (name, of) in schema["properties"].as_object().into_iter().flatten() {
            request[name] = match (of["type"].as_str(), of["$ref"].as_str()) {
                (_, Some(name)) => {
                    sample(&document["components"]["schemas"][name.rsplit('/').next().unwrap()])
                }
                _ => sample(of),
            };
        }
        for part in route.path.split('/').filter_map(|part| part.strip_prefix('{')) {
            request[part.trim_end_matches('}')] = "x".into();
        }
        let read = serde_json::from_value::<osnl::control::Request>(request.clone());
        assert!(read.is_ok(), "{}: {read:?} of {request}", route.path);
    }
}

fn sample(schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("array") if schema["items"]["type"] == "object" => serde_json::json!([]),
        Some("array") => Value::Array(vec![sample(&schema["items"])]),
        Some("integer") => 1.into(),
        Some("boolean") => true.into(),
        Some("object") => {
            let members = schema["properties"].as_object().unwrap();
            members.iter().map(|(name, schema)| (name.clone(), sample(schema))).collect()
        }
        _ => "x".into(),
    }
}
