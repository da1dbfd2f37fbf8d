//! Masking of secrets in JSON that is shown.
//!
//! Services put secrets into notifications: contexts with tokens, root passwords and user data (nova), AWS
//! credentials (heat), keys of zone transfers (designate), config drives (ironic), CHAP passwords (cinder). All shown
//! or logged text passes through [`mask_secrets`] first.
//!
//! Names match generously: hiding too much costs a look at the source, hiding too little a
//! password. `fixtures/emission/masked.txt` lists the values of recorded messages that are hidden.
//!
//! Masking fails closed: a value that cannot be examined is not shown.
//!
//! Masking takes linear time and little stack. It descends 128 levels of arrays, objects and texts with values, of
//! which at most four may be texts. A deeper value is `***`, and so is a text whose value would be larger than
//! [`text`] reads. A text of more than 256 KiB is replaced by its length.

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
pub(crate) use self::urls::may_hold_password;
pub use self::words::is_secret_key;

const MASK: &str = "***";

/// Returns a copy in which the value of every secret key, at any depth, is `"***"`, and in which
/// secrets within texts are replaced (see [`mask_text`]).
///
/// Values that can hold no secret stay: null, booleans, `""`, `[]` and `{}`. That a secret is
/// absent is worth knowing.
#[must_use]
pub fn mask_secrets(value: &Value) -> Value {
    masked(value, RemainingDepth::TOP)
}

#[must_use]
pub(crate) fn mask_members(object: &Map<String, Value>) -> Map<String, Value> {
    match masked_object(object, RemainingDepth::TOP) {
        Value::Object(masked) => masked,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

// Loops instead of iterator chains keep each frame small: the recursion is up to 128 frames deep.
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
