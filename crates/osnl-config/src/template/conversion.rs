//! Conversions of values to text and JSON, as Python writes them.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};
use serde_json::Value as Json;

use super::preview_placeholder::Placeholder;

pub(super) fn there(value: &Value) -> Result<&Value, Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(value) }
}

/// Returns the text of Python's `str`, which differs from the engine's: `True`, `False`, `None`.
pub(super) fn python_text(value: &Value) -> String {
    match value.kind() {
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::None => "None".to_owned(),
        _ => value.to_string(),
    }
}

pub(super) fn json(value: &Value, depth: u32) -> Result<Json, Error> {
    if depth > 128 {
        return Err(Error::new(ErrorKind::BadSerialization, "it is nested too deeply"));
    }
    if let Some(placeholder) = value.downcast_object_ref::<Placeholder>() {
        return Ok(placeholder.to_string().into());
    }
    Ok(match value.kind() {
        ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => match (value.as_i64(), value.is_integer()) {
            (Some(number), true) => Json::from(number),
            _ => f64::try_from(value.clone()).map_or(Json::Null, Json::from),
        },
        ValueKind::String => Json::from(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            Json::Array(value.try_iter()?.map(|item| json(&item, depth + 1)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let mut object = serde_json::Map::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                object.insert(python_text(&key), json(&item, depth + 1)?);
            }
            Json::Object(object)
        }
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        kind => return Err(Error::new(ErrorKind::BadSerialization, format!("{kind} is not JSON"))),
    })
}

pub(super) fn to_json(value: &Value) -> Result<String, Error> {
    let json = json(there(value)?, 0)?;
    osnl_model::to_python_json(&json)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}
