use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::hex;

#[must_use]
#[track_caller]
pub fn path(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    assert!(path.exists(), "no fixture {name}: {} is missing", path.display());
    path
}

#[must_use]
#[track_caller]
pub fn text(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("fixture {name}: {error}"))
}

#[must_use]
#[track_caller]
pub fn bytes(name: &str) -> Vec<u8> {
    hex::decode(&text(name).lines().collect::<String>())
}

#[must_use]
#[track_caller]
pub fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("fixture {name}: {error}"))
}

#[must_use]
#[track_caller]
pub fn wire() -> Vec<(String, String)> {
    let names = std::fs::read_dir(path("wire")).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".json"));
    names.sort();
    names.into_iter().map(|name| (name.clone(), text(&format!("wire/{name}")))).collect()
}

#[must_use]
#[track_caller]
pub fn body(message: &Value) -> Vec<u8> {
    match message["body_text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => STANDARD.decode(message["body_base64"].as_str().unwrap_or_default()).unwrap(),
    }
}

/// Returns the notification in a recorded body.
#[must_use]
#[track_caller]
pub fn notification(message: &Value) -> Value {
    let body: Value = serde_json::from_slice(&body(message)).unwrap();
    match body["oslo.message"].as_str() {
        Some(inner) => serde_json::from_str(inner).unwrap(),
        None => body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_requests_are_there() {
        let requests = json("k2hr3/requests.json");
        assert!(requests["vectors"].as_array().is_some_and(|vectors| vectors.len() > 10));
        assert!(text("k2hr3/conf/01-minimal-neutron.conf").contains("transport_url"));
    }

    #[test]
    #[should_panic(expected = "no fixture nova/none.json")]
    fn a_missing_fixture_is_named() {
        let _ = path("nova/none.json");
    }
}
