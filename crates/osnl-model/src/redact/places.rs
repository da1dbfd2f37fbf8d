//! Names that are secret in one object and harmless in another: the neighbouring keys decide.

use serde_json::{Map, Value};

use super::words::is_secret_key;

/// The verdict on the value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Secret,
    Within,
    Plain,
}

const BESIDE: [(&str, &str, &[&str]); 4] = [
    ("designate's zone transfer request", "key", &["zone_id", "target_tenant_id"]),
    ("designate's zone transfer accept", "key", &["zone_transfer_request_id"]),
    ("keystone's credential", "blob", &["type", "user_id"]),
    ("ceph's connection", "key", &["auth_username", "auth_enabled"]),
];

pub(super) fn judge(object: &Map<String, Value>, key: &str, value: &Value) -> Judgement {
    match key {
        // Cinder writes maps as rows of key and value, and so does glance in metadata.
        "value" | "Value" | "VALUE" => secret_if(named_by_row(object)),
        // A lone `key` is a secret; beside a value it is a name.
        "key" | "Key" | "KEY" => {
            let has_value = ["value", "Value", "VALUE"].iter().any(|value| object.contains_key(*value));
            secret_if(beside(object, key) || !has_value)
        }
        _ if beside(object, key) => Judgement::Secret,
        // Nova's `config_drive` is a flag, ironic's is the drive itself.
        "config_drive" if is_flag(value) => Judgement::Plain,
        _ if squeezed_is(key, "connectioninfo") => Judgement::Within,
        _ => secret_if(is_secret_key(key)),
    }
}

fn secret_if(secret: bool) -> Judgement {
    if secret { Judgement::Secret } else { Judgement::Plain }
}

fn named_by_row(object: &Map<String, Value>) -> bool {
    const NAMES: [&str; 9] =
        ["key", "Key", "KEY", "name", "Name", "NAME", "meta_key", "Meta_key", "META_KEY"];
    NAMES.iter().filter_map(|name| object.get(*name)?.as_str()).any(is_secret_key)
}

pub(super) fn names_the_next(name: &str, items: usize) -> bool {
    let is_name = name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    is_name && (items == 2 || name.starts_with("--")) && is_secret_key(name)
}

fn beside(object: &Map<String, Value>, key: &str) -> bool {
    BESIDE.iter().any(|(_, name, neighbours)| {
        *name == key && neighbours.iter().any(|neighbour| object.contains_key(*neighbour))
    })
}

fn is_flag(value: &Value) -> bool {
    value.as_str().is_some_and(|text| matches!(text, "True" | "False" | "true" | "false" | "1" | "0"))
}

fn squeezed_is(key: &str, word: &str) -> bool {
    key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).eq(word.chars())
}
