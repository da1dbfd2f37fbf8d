//! The partition of a delivery: that of its lane, of its number if the delivery waits for no lane, or of an
//! action with a digest.
//!
//! Only the deliveries of an action with a digest are unordered. These deliveries share one partition, so that
//! one owner gathers the whole digest. The row of a delivery determines the partition; configurations of members
//! may differ.
//!
//! Members of all versions must compute the same partition, so the rule never changes. Another rule needs a
//! new version of the tables.

use osnl_journal::DeliveryId;
use osnl_journal::store::digest;

pub(crate) type PartitionNumber = i16;

/// The first version of the tables has this many rows.
pub(crate) const PARTITIONS: u16 = 64;

pub(crate) fn lane(action: &str, key: Option<&str>, ordered: bool) -> Option<i64> {
    key.filter(|_| ordered).map(|key| digest::lane(action, key))
}

pub(crate) fn place(
    action: &str,
    key: Option<&str>,
    ordered: bool,
    id: DeliveryId,
) -> (Option<i64>, PartitionNumber) {
    let lane = lane(action, key, ordered);
    let spread = match lane {
        Some(lane) => lane.cast_unsigned(),
        None if !ordered => digest::lane(action, "").cast_unsigned(),
        // Numbers of deliveries are dense: the low bits are the delivery's index within its message.
        None => (id.0 >> 16) ^ id.0,
    };
    (lane, (spread % u64::from(PARTITIONS)).cast_signed() as PartitionNumber)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_the_one_of_all_versions() {
        let of = |action: &str, key: Option<&str>, ordered, id| place(action, key, ordered, DeliveryId(id));
        assert_eq!(of("a", Some("k"), true, 7), (Some(8_506_408_751_030_807_194), 26));
        assert_eq!(of("a", None, true, (3 << 16) + 1), (None, 2));
        for (key, id) in [(Some("k"), 7), (Some("l"), 8), (None, (3 << 16) + 1)] {
            assert_eq!(of("a", key, false, id), (None, 63), "{key:?}");
        }
        assert_eq!(of("b", Some("k"), false, 7), (None, 30));
    }
}
