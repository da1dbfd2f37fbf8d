use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::hex;

/// Returns the path of a fixture by its path below `fixtures/`, such as `k2hr3/requests.json`.
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
