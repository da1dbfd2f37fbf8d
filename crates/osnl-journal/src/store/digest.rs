//! Numbers in place of texts: eight bytes of a digest. The numbers are stored, so their computation must
//! never change.

use osnl_model::BodyDigest;

/// Returns the number of a lane, from action and resource key. Two lanes with the same number are one, in the
/// order of appends; nothing else depends on it.
#[must_use]
pub(crate) fn lane(action: &str, key: &str) -> i64 {
    let mut text = Vec::with_capacity(128);
    text.extend_from_slice(action.as_bytes());
    text.push(0);
    text.extend_from_slice(key.as_bytes());
    number(&BodyDigest::new(&text))
}

#[must_use]
pub(crate) fn message_number(id: &str) -> i64 {
    number(&BodyDigest::new(id.as_bytes()))
}

#[must_use]
pub(crate) fn number(digest: &BodyDigest) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    i64::from_le_bytes(first)
}
