use std::sync::LazyLock;

pub use osnl::control::routes::{Parameter, ParameterPlace, ROUTES, Route, ValueForm};
use serde_json::{Map, Value, json};

const FRAME: &str = include_str!("../openapi.json");

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_str(FRAME).unwrap_or_default();
    for route in ROUTES {
        document["paths"][route.path][route.method.as_str().to_lowercase()] = operation(route);
    }
    document.to_string()
});

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
    let parameters = [(ParameterPlace::Path, "path"), (ParameterPlace::Query, "query")];
    let parameters = parameters.into_iter().flat_map(|(place, name)| {
        route.taken(place).map(move |row| {
            json!({
                "name": row.name,
                "in": name,
                "required": row.is_required,
                "description": row.meaning,
                "schema": form(row.form),
            })
        })
    });
    let parameters: Vec<Value> = parameters.collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    let members: Map<String, Value> =
        route.taken(ParameterPlace::Body).map(|row| (row.name.to_owned(), member(row))).collect();
    if !members.is_empty() {
        let required = route.taken(ParameterPlace::Body).filter(|row| row.is_required).map(|row| row.name);
        let body = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": members,
            "required": required.collect::<Vec<_>>(),
        });
        operation["requestBody"] = json!({"required": true, "content": json_of(body)});
    }
    operation
}

fn member(row: &Parameter) -> Value {
    let mut of = form(row.form);
    if !row.meaning.is_empty() {
        of["description"] = row.meaning.into();
    }
    of
}

fn form(form: ValueForm) -> Value {
    match form {
        ValueForm::Text => json!({"type": "string"}),
        ValueForm::Choice(words) => json!({"type": "string", "enum": words}),
        ValueForm::Number => json!({"type": "integer", "minimum": 0}),
        ValueForm::Count(most) => json!({"type": "integer", "minimum": 1, "maximum": most}),
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
