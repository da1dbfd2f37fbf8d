//! The API's description, made of the table of routes and the types of requests and answers.

use std::sync::LazyLock;

pub use osnl::control::routes::{BASE, Parameter, ParameterPlace, ROUTES, Route, ValueForm};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

const ABOUT: &str = "The requests to a daemon, on its control socket and on the admin endpoint. On the admin endpoint, \
    requests that change something need allow_changes = true, Content-Type: application/json, and a caller that is \
    known: by a token, by a client certificate, or by a Unix socket. On the control socket, root and osnl's own user \
    may change, and members of control_group may read. With Accept: application/x-ndjson an answer comes in lines: \
    progress, then ok or error.";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let schemas = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.transforms = vec![Box::new(RecursiveTransform(without_noise))];
    });
    // A request may leave members out that an answer always has.
    let mut read = schemas.clone().for_deserialize().into_generator();
    let mut written = schemas.for_serialize().into_generator();
    let mut paths = json!({});
    for route in ROUTES {
        let operation = operation(route, &mut read, &mut written);
        paths[route.path][route.method.as_str().to_lowercase()] = operation;
    }
    let mut schemas = read.take_definitions(true);
    schemas.extend(written.take_definitions(true));
    let error = json!({
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "string", "description": "The reason, for programs."},
            "message": {"type": "string", "description": "The reason and the remedy, for people."},
        },
    });
    let error = json!({"type": "object", "required": ["error"], "properties": {"error": error}});
    let document = json!({
        "openapi": "3.1.0",
        "info": {"title": "osnl admin endpoint", "version": "1", "description": ABOUT},
        "servers": [{"url": BASE}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {"Error": {"description": "The request was not done.", "content": in_json(error)}},
            "schemas": schemas,
        },
    });
    document.to_string()
});

#[must_use]
pub fn openapi() -> &'static str {
    &DOCUMENT
}

/// Removes the defaults of members, which serve old daemons and clients, and the line breaks of doc comments.
fn without_noise(schema: &mut Schema) {
    schema.remove("default");
    // The width of an integer in this program is no matter of a client.
    schema.remove("format");
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

fn operation(route: &Route, read: &mut SchemaGenerator, written: &mut SchemaGenerator) -> Value {
    let answer = (route.answer)(written);
    let mut operation = json!({
        "summary": route.summary,
        "responses": {
            "200": {"description": route.answer_meaning, "content": in_json(answer)},
            "default": {"$ref": "#/components/responses/Error"},
        },
    });
    let mut parameters = Vec::new();
    for (place, name) in [(ParameterPlace::Path, "path"), (ParameterPlace::Query, "query")] {
        for row in route.taken(place) {
            parameters.push(json!({
                "name": row.name,
                "in": name,
                "required": row.is_required,
                "description": row.meaning,
                "schema": form(row.form, read),
            }));
        }
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    let mut members = Map::new();
    for row in route.taken(ParameterPlace::Body) {
        let mut member = form(row.form, read);
        if !row.meaning.is_empty() {
            member.insert("description".to_owned(), row.meaning.into());
        }
        members.insert(row.name.to_owned(), member.into());
    }
    if !members.is_empty() {
        let required = route.taken(ParameterPlace::Body).filter(|row| row.is_required).map(|row| row.name);
        let body = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": members,
            "required": required.collect::<Vec<_>>(),
        });
        operation["requestBody"] = json!({"required": true, "content": in_json(body)});
    }
    operation
}

fn form(form: ValueForm, read: &mut SchemaGenerator) -> Schema {
    match form {
        ValueForm::Text => json_schema!({"type": "string"}),
        ValueForm::Number => json_schema!({"type": "integer", "minimum": 0}),
        ValueForm::Count(most) => json_schema!({"type": "integer", "minimum": 1, "maximum": most}),
        ValueForm::Flag => json_schema!({"type": "boolean"}),
        ValueForm::Texts => json_schema!({"type": "array", "items": {"type": "string"}}),
        ValueForm::Numbers => json_schema!({"type": "array", "items": {"type": "integer"}}),
        ValueForm::Typed(schema) => schema(read),
    }
}

fn in_json(schema: impl Into<Value>) -> Value {
    json!({"application/json": {"schema": schema.into()}})
}
