use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// YAML 1.1's merge key, as Python reads it: its maps supply missing keys.
const MERGE: &str = "<<";

pub(super) fn read(text: &str) -> Result<Value, String> {
    // The library's message repeats no value, except for the name of an anchor.
    let documents = YamlLoader::load_from_str(text).map_err(|error| {
        let at = error.marker();
        format!("is not YAML: line {} column {}: {}", at.line(), at.col() + 1, error.info())
    })?;
    Ok(documents.into_iter().next().map_or(Value::Null, json))
}

fn json(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Real(text) | Yaml::String(text) => Value::String(text),
        // `password: 0123` loses its zero here, as in Python: such a value needs quotes.
        Yaml::Integer(number) => number.into(),
        Yaml::Boolean(value) => value.into(),
        Yaml::Array(items) => items.into_iter().map(json).collect(),
        Yaml::Hash(map) => {
            let merged = map.get(&Yaml::String(MERGE.to_owned())).cloned();
            let pairs = map.into_iter().filter_map(|(key, value)| {
                let key = match json(key) {
                    Value::String(text) => text,
                    Value::Number(_) | Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => {
                        return None;
                    }
                };
                Some((key, json(value)))
            });
            let mut object: Map<String, Value> = pairs.filter(|(key, _)| key != MERGE).collect();
            let below = match merged.map(json) {
                Some(Value::Array(maps)) => maps,
                Some(map) => vec![map],
                None => Vec::new(),
            };
            for (key, value) in below.into_iter().filter_map(|map| map.as_object().cloned()).flatten() {
                object.entry(key).or_insert(value);
            }
            Value::Object(object)
        }
        Yaml::Alias(_) | Yaml::Null | Yaml::BadValue => Value::Null,
    }
}
