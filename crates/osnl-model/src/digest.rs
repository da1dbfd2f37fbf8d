use std::borrow::Cow;
use std::fmt;

use ring::digest::{Context, SHA256};

/// The SHA-256 of a body or an identifier. Prints as its first 16 hex digits, which distinguish messages in a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BodyDigest([u8; 32]);

impl BodyDigest {
    pub fn new(body: &[u8]) -> Self {
        let mut hasher = BodyHasher::default();
        hasher.add(body);
        hasher.finish()
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The longest id or key that is stored, in bytes. A message may contain an id as long as its body.
const LONGEST_ID: usize = 255;

pub fn bounded_id<'a>(id: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let id = id.into();
    if id.len() <= LONGEST_ID { id } else { Cow::Owned(BodyDigest::new(id.as_bytes()).to_string()) }
}

/// Computes a [`BodyDigest`] of a body that comes in parts.
#[derive(Clone)]
pub struct BodyHasher(Context);

impl Default for BodyHasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl BodyHasher {
    pub fn add(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub fn finish(self) -> BodyDigest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        BodyDigest(bytes)
    }
}

impl fmt::Debug for BodyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyHasher").finish_non_exhaustive()
    }
}

impl fmt::Display for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyDigest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_sha_256_and_print_short() {
        assert_eq!(BodyDigest::new(b"abc").to_string(), "ba7816bf8f01cfea");
        assert_eq!(BodyDigest::new(b"").to_string(), "e3b0c44298fc1c14");
        assert_eq!(BodyDigest::new(b"").as_bytes()[31], 0x55);
        assert_eq!(format!("{:?}", BodyDigest::new(b"abc")), "BodyDigest(ba7816bf8f01cfea)");
    }

    #[test]
    fn an_id_is_kept_up_to_its_bound() {
        let longest = "é".repeat(LONGEST_ID / 2) + "x";
        assert_eq!(bounded_id(&*longest), longest);
        let longer = longest + "x";
        assert_eq!(bounded_id(&*longer), BodyDigest::new(longer.as_bytes()).to_string());
    }
}
