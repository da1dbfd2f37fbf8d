//! Numbers in place of texts: eight bytes of a digest. They are stored, and must never change.

use osnl_model::BodyDigest;

/// The number of a lane, in which deliveries wait for each other: eight bytes of a digest over action and resource key.
/// Two lanes that shared a number would be one, in the order of the appends: nothing else depends on it.
#[must_use]
pub fn lane(action: &str, key: &str) -> i64 {
    let mut text = Vec::with_capacity(128);
    text.extend_from_slice(action.as_bytes());
    text.push(0);
    text.extend_from_slice(key.as_bytes());
    number(&BodyDigest::of(&text))
}

/// The number of a message's id, for a look-up: eight bytes of a digest.
#[must_use]
pub fn message_number(id: &str) -> i64 {
    number(&BodyDigest::of(id.as_bytes()))
}

/// Returns the first eight bytes of a digest as a number.
#[must_use]
pub fn number(digest: &BodyDigest) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    i64::from_le_bytes(first)
}
