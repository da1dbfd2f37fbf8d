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

//!
//! Masking costs time in proportion to what it reads, and little stack: it enters 128 levels in all, counted over arrays,
//! objects and texts that are read into, of which four may be texts. What is deeper is `***`, and so is a text whose value
//! would be larger than [`text`] reads. A text of more than 256 KiB is replaced by its length. It fails closed: what cannot
//! be looked at is not shown.

mod depth;
mod masked;
mod places;
mod text;
mod urls;
mod words;

use serde_json::{Map, Value};

use self::depth::{RemainingDepth, too_deep};
use self::places::{Judgement, names_the_next};

pub use self::masked::MaskedJson;
pub use self::text::mask_text;
pub use self::urls::mask_url_passwords;
pub use self::words::is_secret_key;

/// The text that replaces a secret.
const MASK: &str = "***";

/// A copy in which the value of every key that holds a secret, at any depth, is `"***"`, and in which texts
/// have theirs replaced (see [`mask_text`]).
///
/// Values that can hold no secret stay: null, booleans, `""`, `[]` and `{}`. That a secret is absent is worth knowing.
#[must_use]
pub fn mask_secrets(value: &Value) -> Value {
    masked(value, RemainingDepth::TOP)
}

/// Like [`mask_secrets`], for the members of an object, such as a context.
#[must_use]
pub fn mask_members(object: &Map<String, Value>) -> Map<String, Value> {
    match masked_object(object, RemainingDepth::TOP) {
        Value::Object(masked) => masked,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

// Loops and no iterator chains: each frame counts 128 times.
fn masked(value: &Value, depth: RemainingDepth) -> Value {
    match value {
        Value::Array(items) => masked_items(items, depth),
        Value::Object(object) => masked_object(object, depth),
        Value::String(text) => Value::String(text::masked(text, depth).into_owned()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn masked_items(items: &[Value], depth: RemainingDepth) -> Value {
    let Some(depth) = depth.inside() else { return too_deep() };
    let mut out = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        out.push(if is_named_before(items, at) { Value::from(MASK) } else { masked(item, depth) });
    }
    Value::Array(out)
}

fn masked_object(object: &Map<String, Value>, depth: RemainingDepth) -> Value {
    let Some(depth) = depth.inside() else { return too_deep() };
    let mut out = Map::new();
    for (key, value) in object {
        let judgement = places::judge(object, key, value);
        out.insert(key.clone(), member(judgement, value, depth));
    }
    Value::Object(out)
}

fn member(judgement: Judgement, value: &Value, depth: RemainingDepth) -> Value {
    match (judgement, value) {
        (Judgement::Secret, value) if says_nothing(value) => value.clone(),
        (Judgement::Secret, _) => Value::from(MASK),
        (Judgement::Within, Value::String(inner)) if !inner.is_empty() => {
            Value::from(text::masked_within(inner, depth).into_owned())
        }
        (Judgement::Within | Judgement::Plain, value) => masked(value, depth),
    }
}

/// Whether an item is a secret because the one before it is its name: `["--password", "x"]`.
fn is_named_before(items: &[Value], at: usize) -> bool {
    let Some(name) = at.checked_sub(1).and_then(|before| items.get(before)) else { return false };
    let is_something = items.get(at).is_some_and(|item| !says_nothing(item));
    is_something && name.as_str().is_some_and(|name| names_the_next(name, items.len()))
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
