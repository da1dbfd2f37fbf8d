//! `/api/v1`: the document of the verbs, from the rows of [`ROUTES`] and the schemas of their answers.

use std::sync::LazyLock;

pub use osnl::control::routes::{Parameter, ROUTES, Route, ValueForm};
use serde_json::{Map, Value, json};

/// All but the paths: the schemas, the security, and what stands around them.
const FRAME: &str = include_str!("../openapi.json");

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(FRAME).unwrap_or_default();
    for route in ROUTES {
        document["paths"][route.path][route.method.as_str().to_lowercase()] = operation(route);
    }
    document.to_string()
});

/// Returns the document that describes all of it.
#[must_use]
pub fn openapi() -> &'static str {
    &DOCUMENT
}

fn operation(route: &Route) -> Value {
    let (answer, meaning) = route.answer;
    let mut operation = json!({
        "summary": route.summary,
        "responses": {
            "200": {"description": meaning, "content": json_of(json!({"$ref": schema(answer)}))},
            "default": {"$ref": "#/components/responses/Error"},
        },
    });
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path.map(|name| in_path_of(route, name)).collect();
    if !route.changes() {
        parameters.extend(route.takes.iter().map(|taken| {
            json!({
                "name": taken.name,
                "in": "query",
                "required": taken.is_required,
                "description": taken.meaning,
                "schema": form(taken.form),
            })
        }));
    } else if !route.takes.is_empty() {
        let members: Map<String, Value> =
            route.takes.iter().map(|taken| (taken.name.to_owned(), member(taken))).collect();
        let required = route.takes.iter().filter(|taken| taken.is_required).map(|taken| taken.name);
        let body = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": members,
            "required": required.collect::<Vec<_>>(),
        });
        operation["requestBody"] = json!({"required": true, "content": json_of(body)});
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    operation
}

fn in_path_of(route: &Route, name: &str) -> Value {
    let (kind, meaning) = match (name, route.verb) {
        ("action", _) => ("string", "The action."),
        (_, "quarantine-show") => ("integer", "Its number."),
        _ => ("string", "The delivery, as EVENT.N."),
    };
    json!({"name": name, "in": "path", "required": true, "description": meaning, "schema": {"type": kind}})
}

fn member(taken: &Parameter) -> Value {
    let mut of = form(taken.form);
    if !taken.meaning.is_empty() {
        of["description"] = taken.meaning.into();
    }
    of
}

fn form(form: ValueForm) -> Value {
    match form {
        ValueForm::Text => json!({"type": "string"}),
        ValueForm::Choice(words) => json!({"type": "string", "enum": words}),
        ValueForm::Number => json!({"type": "integer"}),
        ValueForm::Flag => json!({"type": "boolean"}),
        ValueForm::Texts => json!({"type": "array", "items": {"type": "string"}}),
        ValueForm::Numbers => json!({"type": "array", "items": {"type": "integer"}}),
        ValueForm::Object(name) => json!({"$ref": schema(name)}),
        ValueForm::Objects => json!({"type": "array", "items": {"type": "object"}}),
    }
}

fn schema(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

fn json_of(schema: Value) -> Value {
    json!({"application/json": {"schema": schema}})
}
