use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

#[derive(Default)]
pub(super) struct Classes(BTreeMap<(String, String), Value>);

pub(super) fn read(folder: &Path) -> Result<Classes> {
    let mut classes = Classes::default();
    let histories = super::read_json(&folder.join("history.json"))?;
    for service in ["nova", "ironic", "masakari"] {
        let catalogue = super::read_json(&folder.join(format!("{service}.json")))?;
        for (name, class) in catalogue.as_object().context("no object")? {
            if class["kind"] != "payload" {
                continue;
            }
            let fields: BTreeMap<&String, String> = class["fields"]
                .as_object()
                .context("no fields")?
                .iter()
                .map(|(k, v)| (k, words(v)))
                .collect();
            let history =
                histories.get(format!("{service}.{name}")).context(format!("no history of {name}"))?;
            let described = json!({
                "version": class["version"],
                "fields": fields,
                "first": history["first"],
                "since": history["fields"],
            });
            classes.0.insert((service.to_owned(), name.clone()), described);
        }
    }
    Ok(classes)
}

impl Classes {
    pub(super) fn has(&self, service: &str, class: &str) -> bool {
        self.0.contains_key(&(service.to_owned(), class.to_owned()))
    }

    pub(super) fn longest_beginning(&self, service: &str, name: &str) -> Option<String> {
        let known = self.0.keys().filter(|(of, class)| of == service && name.starts_with(class.as_str()));
        known.map(|(_, class)| class.clone()).max_by_key(String::len)
    }

    pub(super) fn to_json(&self) -> Value {
        self.0.iter().map(|((service, class), value)| (format!("{service}.{class}"), value.clone())).collect()
    }
}

fn words(field: &Value) -> String {
    let mut words = kind(field);
    if field["nullable"] == true && field["type"] != "FlexibleDict" {
        words += " or null";
    }
    words
}

fn kind(field: &Value) -> String {
    if let Some(values) = field["values"].as_array() {
        let mut values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        values.dedup();
        return format!("one of: {}", values.join(", "));
    }
    let of = |words: &str| match field.get("of") {
        Some(of) => format!("{words} of {}", kind(of)),
        None => words.to_owned(),
    };
    match field["type"].as_str().unwrap_or_default() {
        "Object" => field["object"].as_str().unwrap_or("object").to_owned(),
        "String" | "VersionPredicate" => "text".to_owned(),
        "Integer" | "Float" => "number".to_owned(),
        "Boolean" | "FlexibleBoolean" => "boolean".to_owned(),
        "DateTime" => "date-time".to_owned(),
        "UUID" => "UUID".to_owned(),
        "MACAddress" => "MAC address".to_owned(),
        "IPV4AndV6Address" => "IP address".to_owned(),
        "FlexibleDict" => "map".to_owned(),
        "Dict" => of("map"),
        "List" | "Set" => of("list"),
        other => other.to_owned(),
    }
}
