//! Secrets inside of texts.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use super::words::{is_secret_key, may_end_in_secret_key};
use super::{MASK, mask_secrets};
use crate::python_literal::{parse_python_literal, python_repr};

/// What in a text is a secret by its form: a Fernet token, a private key.
static FORMS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"gAAAAA[A-Za-z0-9_=-]{40,}",
        r"|(?s:-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$))",
    ))
    .ok()
});

/// The login of a URL. A password may hold anything but what ends the authority; the last `@` ends it.
static LOGIN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@]*:)[^\s/?#]*@").ok());

/// `name=value`, `name: value`, `"name": "value"`, `'name': u'value'`, also with the quotes escaped once more.
static PAIRS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)(?P<sep>\\*["']?\s*[:=]\s*[ub]?)"#,
        r#"(?P<value>\\*"(?:[^"\\]|\\[^"])*\\*"|\\*'(?:[^'\\]|\\[^'])*\\*'|(?:Bearer |Basic )?[^\s,;&}\])"'\\]+)"#,
    ))
    .ok()
});

/// The text with its secrets as `***`.
///
/// A text that is JSON or a Python literal (as cinder's `connection_info` and a snapshot's `metadata`, as the
/// exceptions of nova's legacy form) is read, masked as [`mask_secrets`] does, and written again in its own
/// language. In any text, what is found by form: the password and the secret parameters of a URL, a Fernet
/// token, a private key, and whatever follows a secret's name and `:` or `=`.
#[must_use]
pub fn mask_text(text: &str) -> Cow<'_, str> {
    structured(text).unwrap_or_else(|| running(text))
}

/// The same for a text that is an object or a list in JSON or Python; `None` for any other.
pub(super) fn structured(text: &str) -> Option<Cow<'_, str>> {
    if !text.trim_start().starts_with(['{', '[', '(']) {
        return None;
    }
    let (read, write): (Value, fn(&Value) -> String) = match serde_json::from_str(text) {
        Ok(read) => (read, Value::to_string),
        Err(_) => (parse_python_literal(text)?, python_repr),
    };
    let masked = mask_secrets(&read);
    Some(if masked == read { Cow::Borrowed(text) } else { Cow::Owned(write(&masked)) })
}

fn running(text: &str) -> Cow<'_, str> {
    let mut masked = Cow::Borrowed(text);
    if text.contains("gAAAAA") || text.contains("PRIVATE KEY") {
        masked = replaced(masked, FORMS.as_ref(), |_| MASK.to_owned());
    }
    if text.contains("://") && text.contains('@') {
        masked = replaced(masked, LOGIN.as_ref(), |found| format!("{}{MASK}@", &found["before"]));
    }
    if may_have_pairs(&masked) {
        masked = match pairs(&masked) {
            Some(new) => Cow::Owned(new),
            None => masked,
        };
    }
    masked
}

/// Whether [`pairs`] could find a secret's name: most texts with a `:` are times and addresses, and looking back from
/// it is much cheaper than the pattern. Says yes too often, never too seldom.
pub(super) fn may_have_pairs(text: &str) -> bool {
    text.match_indices([':', '=']).any(|(at, _)| {
        // Backwards what may stand between a name and the sign.
        let before = text[..at].trim_end();
        let before = before.strip_suffix(['"', '\'']).unwrap_or(before).trim_end_matches('\\');
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let name = &before[before.trim_end_matches(in_name).len()..];
        !name.is_empty() && may_end_in_secret_key(name)
    })
}

/// `None` if nothing had to be replaced.
pub(super) fn pairs(text: &str) -> Option<String> {
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(found) = PAIRS.as_ref()?.captures_at(text, at) {
        let (name, value) = (&found["name"], found.name("value")?);
        let bare = value.as_str().trim_matches(['\\', '"', '\'']);
        let is_nothing = matches!(bare, "" | "None" | "null" | "True" | "False");
        if is_secret_key(name) && !is_nothing {
            // The quotes stay, so that what is left still looks like what it was.
            let (before, after) = value.as_str().split_at(value.as_str().find(bare)?);
            out.extend([&text[copied..value.start()], before, MASK, &after[bare.len()..]]);
            (copied, at) = (value.end(), value.end());
        } else {
            // In `failed: password=x` the value holds the next pair.
            at = value.start();
        }
    }
    out.push_str(&text[copied..]);
    (copied > 0).then_some(out)
}

fn replaced<'a>(
    text: Cow<'a, str>,
    pattern: Option<&Regex>,
    by: impl Fn(&Captures<'_>) -> String,
) -> Cow<'a, str> {
    match pattern.map(|pattern| pattern.replace_all(&text, |found: &Captures<'_>| by(found))) {
        Some(Cow::Owned(new)) => Cow::Owned(new),
        Some(Cow::Borrowed(_)) | None => text,
    }
}
