//! The API's description, made of the table of routes and the types of requests and answers.

use std::sync::LazyLock;

use osnl::control::ControlRequest;
pub use osnl::control::query::Parameter;
use osnl::control::routes::request_of;
pub use osnl::control::routes::{BASE, ParameterPlace, ROUTES, Route};
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema as _, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

const ABOUT: &str = "The requests to a daemon, on its control socket and on the admin endpoint. On the admin endpoint, \
    requests that change something need allow_changes = true, Content-Type: application/json, and a caller that is \
    known: by a token, by a client certificate, or by a Unix socket. On the control socket, root and osnl's own user \
    may change, and members of control_group may read. With Accept: application/x-ndjson an answer comes in lines: \
    progress, then ok or error.";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.transforms = vec![Box::new(RecursiveTransform(without_noise))];
    });
    // A request may leave members out that an answer always has.
    let mut read = settings.clone().for_deserialize().into_generator();
    let mut written = settings.for_serialize().into_generator();
    read.subschema_for::<ControlRequest>();
    let mut schemas = read.take_definitions(true);
    let requests = schemas.remove(&*ControlRequest::schema_name()).unwrap_or_default();
    let mut paths = json!({});
    for route in ROUTES {
        let operation = operation(route, request_of(&requests, route.verb), &schemas, &mut written);
        paths[route.path][route.method.as_str().to_lowercase()] = operation;
    }
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

fn operation(
    route: &Route,
    request: &Value,
    schemas: &Map<String, Value>,
    written: &mut SchemaGenerator,
) -> Value {
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
        for parameter in route.taken(place) {
            let mut schema = member(parameter, request, schemas);
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            parameters.push(json!({
                "name": parameter.name,
                "in": name,
                "required": place == ParameterPlace::Path,
                "description": description,
                "schema": schema,
            }));
        }
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = body(route, request) {
        operation["requestBody"] = json!({"required": true, "content": in_json(body)});
    }
    operation
}

/// Returns the schema of a parameter; in an address a missing value is a missing parameter, never `null`.
fn member(parameter: &Parameter, request: &Value, schemas: &Map<String, Value>) -> Value {
    let owner = match parameter.within {
        Some(within) => {
            let reference = request["properties"][within]["$ref"].as_str().unwrap_or_default();
            let name = reference.rsplit('/').next().unwrap_or_default();
            schemas.get(name).unwrap_or(&Value::Null)
        }
        None => request,
    };
    let mut schema = owner["properties"][parameter.member].clone();
    if let Some([of_value, _]) = schema["type"].as_array().map(Vec::as_slice) {
        schema["type"] = of_value.clone();
    }
    schema
}

/// Returns the schema of the members of a request that its address does not have. The server knows the user of `by`.
fn body(route: &Route, request: &Value) -> Option<Value> {
    let in_path = |name: &str| route.taken(ParameterPlace::Path).any(|parameter| parameter.name == name);
    let is_in_body = |name: &str| !["verb", "by"].contains(&name) && !in_path(name);
    let members = request["properties"].as_object().filter(|_| route.changes())?;
    let members: Map<String, Value> =
        members.clone().into_iter().filter(|(name, _)| is_in_body(name)).collect();
    let required = request["required"].as_array().into_iter().flatten();
    let required: Vec<&str> = required.filter_map(Value::as_str).filter(|name| is_in_body(name)).collect();
    (!members.is_empty()).then(|| {
        json!({
            "type": "object",
            "additionalProperties": false,
            "properties": members,
            "required": required,
        })
    })
}

fn in_json(schema: impl Into<Value>) -> Value {
    json!({"application/json": {"schema": schema.into()}})
}
