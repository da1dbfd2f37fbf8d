//! Keeps a message from acting on the terminal that shows it, and from showing a secret.

use std::borrow::Cow;
use std::fmt::Write as _;

use osnl_model::mask_url_passwords;
pub(crate) use osnl_model::{one_line as text, one_line_json as json};
use serde_json::Value;

pub(crate) fn bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&text(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// Hides the passwords of URLs in all texts of a value. Only for osnl's own words, where a name
/// before a colon is no secret; payloads need `osnl_model::mask_secrets`.
pub(crate) fn mask_urls(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(masked) = mask_url_passwords(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_urls),
        Value::Object(object) => object.values_mut().for_each(mask_urls),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        let check = |from: &str, expected: &str| assert_eq!(text(from), expected);
        check("port.delete.end", "port.delete.end");
        check("仮想 é", "仮想 é");
        check("a\x1b[2Jb\r\n\t\x07\x7f", "a\\x1b[2Jb\\r\\n\\t\\x07\\x7f");
        check("\u{9b}31m\u{202e}\u{feff}", "\\u{9b}31m\\u{202e}\\u{feff}");
        assert_eq!(bytes(b"\xff\x1b]0;x\x07ok"), "\\xff\\x1b]0;x\\x07ok");
        let object = json!({"a\u{9b}": "\x1b\x7f\u{202e}é"});
        let written = json(object.to_string());
        assert_eq!(written, r#"{"a\u009b":"\u001b\u007f\u202eé"}"#);
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), object);
    }

    #[test]
    fn passwords_of_urls_are_hidden() {
        for (text, expected) in [
            (
                "see mysql://u:S3C:RET@h/db, rabbit://a:S3C@h1,b:RET@h2/ ok",
                "see mysql://u:***@h/db, rabbit://a:***@h1,b:***@h2/ ok",
            ),
            ("x@y", "x@y"),
            ("http://h/@", "http://h/@"),
            ("rabbit://osnl@h/", "rabbit://osnl@h/"),
            // A wrong sign makes the password a part of the user.
            ("rabbit://u;S3CRET@h1/ rabbit://u;S3CRET:1@h/", "rabbit://***@h1/ rabbit://***@h/"),
            ("rabbit://u%3BS3CRET@h/", "rabbit://***@h/"),
            // An unescaped sign in the password ends the authority too early.
            ("rabbit://u:S3/CR?ET@h/vh \"u:p@h\"", "rabbit://u:***@h/vh \"u:p@h\""),
            ("rabbit://u,S3CRET@h/", "rabbit://u,***@h/"),
            ("rabbit://u:S3,CRET@h/ rabbit://u;v:S3/CRET@h/", "rabbit://u:***@h/ rabbit://***@h/"),
            ("rabbit://u:S3@h1:1,v:S3/CRET@h2/", "rabbit://u:***@h2/"),
            ("http://h:80/x@y http://[::1]:80/x@y", "http://h:80/x@y http://[::1]:80/x@y"),
        ] {
            let mut value = json!({"a": [text]});
            mask_urls(&mut value);
            assert_eq!(value, json!({"a": [expected]}));
        }
    }
}
