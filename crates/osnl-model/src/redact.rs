//! Making JSON fit to be shown.
//!
//! Services put secrets into notifications: old ones the whole context with its token, nova's legacy form
//! contexts nested in its objects, the root password and user data, heat AWS credentials, designate the keys
//! of zone transfers and TSIG secrets, ironic the config drive, cinder the CHAP password in a text that is
//! JSON. What is shown, logged or kept for a look goes through [`mask_secrets`] first.
//!
//! | what decides | where | example |
//! |---|---|---|
//! | a word in the name | [`words`] | `auth_token`, `adminPass`, `configdrive` |
//! | the object it stands in | [`places`] | `key` of a zone transfer, not that of a metadata row |
//! | the value itself | [`text`] | a URL with a password, a Fernet token, a private key, JSON or a Python dict as text |
//!
//! Names decide generously: hiding too much costs a look at the source, hiding too little a password. What the
//! recorded messages lose by it is listed in `fixtures/emission/masked.txt`.

mod masked;
mod places;
mod text;
mod words;

use serde_json::{Map, Value};

use self::places::Judgement;

pub use self::masked::Masked;
pub use self::text::mask_text;
pub use self::words::is_secret_key;

/// What a secret is replaced by.
const MASK: &str = "***";

/// A copy in which the value of every key that holds a secret, at any depth, is `"***"`, and in which texts
/// have theirs replaced (see [`mask_text`]).
///
/// What can hold none stays: null, booleans, `""`, `[]` and `{}`. That a secret is absent is worth knowing.
#[must_use]
pub fn mask_secrets(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(mask_secrets).collect(),
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.clone(), member(object, key, value))).collect()
        }
        Value::String(text) => Value::String(mask_text(text).into_owned()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn member(object: &Map<String, Value>, key: &str, value: &Value) -> Value {
    match (places::judge(object, key, value), value) {
        (Judgement::Secret, value) if says_nothing(value) => value.clone(),
        (Judgement::Secret, _) => Value::from(MASK),
        // A text that cannot be read into may have the secret anywhere.
        (Judgement::Within, Value::String(inner)) if !says_nothing(value) => {
            Value::from(text::structured(inner).map_or_else(|| MASK.to_owned(), std::borrow::Cow::into_owned))
        }
        (Judgement::Within | Judgement::Plain, value) => mask_secrets(value),
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

#[cfg(test)]
mod tests;
