use osnl_model::mask_secrets;
use serde_json::{Value, json};

const LONGEST_TEXT: usize = 160;
const LONGEST_JSON: usize = 600;
const LONGEST_LIST: usize = 2;
const DEEPEST: usize = 10;
/// The largest sample in bytes that an event keeps for itself; a longer sample serves all events of its class.
pub(super) const LONGEST_OWN: usize = 2200;

pub(super) fn from_payload(payload: &Value) -> Value {
    shortened(&mask_secrets(payload), 0)
}

fn shortened(value: &Value, depth: usize) -> Value {
    match value {
        Value::Object(object) if depth > DEEPEST && !object.is_empty() => json!({"…": object.len()}),
        Value::Object(object) => object
            .iter()
            .filter(|(key, _)| *key != "_context" && !key.starts_with("_obj_") && *key != "_changed_fields")
            .map(|(key, value)| (key.clone(), shortened(value, depth + 1)))
            .collect(),
        Value::Array(items) => {
            let mut kept: Vec<Value> =
                items.iter().take(LONGEST_LIST).map(|item| shortened(item, depth + 1)).collect();
            if items.len() > LONGEST_LIST {
                kept.push(json!(format!("… {} more", items.len() - LONGEST_LIST)));
            }
            Value::Array(kept)
        }
        // A cut would make the JSON unreadable.
        Value::String(text) if text.starts_with(['{', '[']) && text.len() <= LONGEST_JSON => value.clone(),
        Value::String(text) if text.chars().count() > LONGEST_TEXT => {
            Value::from(text.chars().take(LONGEST_TEXT).chain(['…']).collect::<String>())
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
