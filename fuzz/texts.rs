//! What is asserted of any text: Python literals, Python's JSON, and masking. Included by the fuzz driver and by
//! `crates/osnl-model/tests/it/fuzz.rs`, as `entries.rs` is.

use osnl_model::{mask_secrets, mask_text, parse_python_json, parse_python_literal, to_python_json};
use serde_json::{Value, json};

/// Longer than what a mutation can matter in; masking is bounded by the message, not here.
const LONGEST: usize = 64 * 1024;

/// What Python wrote is read without a panic; JSON as Python writes it is read as the same.
pub(crate) fn python_literals(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = [parse_python_literal(&text), parse_python_json(&text).ok()];
    for value in read.into_iter().flatten() {
        let Ok(written) = to_python_json(&value) else { continue };
        assert_eq!(parse_python_json(&written).ok().as_ref(), Some(&value), "{written}");
    }
}

/// A secret under a secret's name is never shown, whatever stands around it; masked texts stay as they are.
pub(crate) fn masking(data: &[u8]) {
    let text = String::from_utf8_lossy(&data[..data.len().min(LONGEST)]);
    let masked = mask_text(&text);
    assert_eq!(mask_text(&masked), masked, "{text:?}");
    let value =
        json!({ "name": text, "admin_password": format!("S3CRET{text}"), "list": [text, { "token": text }] });
    let masked = mask_secrets(&value);
    assert_eq!(mask_secrets(&masked), masked, "{text:?}");
    let is_hidden = |value: &Value| value.as_str().is_none_or(|shown| !shown.contains("S3CRET"));
    assert!(is_hidden(&masked["admin_password"]), "{masked}");
}
