//! The hash of shards, `sha256/64`: the shard of an order key is the first eight bytes of the SHA-256 of the key's
//! UTF-8 bytes, as a big-endian number, modulo the number of shards.
//!
//! The hash has placed messages that wait in queues of a broker, so it never changes. In Python:
//! `int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % shards`.

use std::num::NonZeroU32;

use crate::BodyDigest;

/// Returns the shard of an order key, from 0 to `shards` - 1.
#[must_use]
pub fn shard_of(key: &str, shards: NonZeroU32) -> u32 {
    let digest = BodyDigest::new(key.as_bytes());
    let (first, _) = digest.as_bytes().split_at(8);
    let number = first.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    // The remainder is below a `u32`.
    u32::try_from(number % u64::from(shards.get())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors are of Python 3.11.
    #[test]
    fn a_key_keeps_its_shard_for_ever() {
        const SHARDS: [u32; 6] = [1, 2, 3, 4, 7, 1000];
        let check = |key: &str, expected: [u32; 6]| {
            let found = SHARDS.map(|shards| shard_of(key, NonZeroU32::new(shards).unwrap()));
            assert_eq!(found, expected, "{key}");
        };
        check("", [0, 0, 1, 0, 1, 652]);
        check("a", [0, 0, 1, 2, 4, 250]);
        check("5c1dd1a2-0e1f-4d47-8d34-2c5e4c0f3f6a", [0, 1, 2, 1, 1, 849]);
        check("Zürich", [0, 1, 2, 1, 6, 653]);
        check("10.0.0.15", [0, 0, 0, 0, 4, 788]);
    }
}
