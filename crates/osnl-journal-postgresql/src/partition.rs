//! The partition of a delivery: by its lane, or by its number if it waits for no lane.
//!
//! Every member must come to the same answer, of every version: the rule never changes. Another one would come with a version of
//! the tables.

use osnl_journal::DeliveryId;
use osnl_journal::store::digest;

/// The number of a partition.
pub(crate) type Partition = i16;

/// The number of partitions; the first version of the tables has them.
pub(crate) const PARTITIONS: u16 = 64;

/// Returns the lane of a delivery, if it waits for others.
pub(crate) fn lane(action: &str, key: Option<&str>, ordered: bool) -> Option<i64> {
    key.filter(|_| ordered).map(|key| digest::lane(action, key))
}

/// Returns the partition of a delivery.
pub(crate) fn partition(lane: Option<i64>, id: DeliveryId) -> Partition {
    // Numbers of deliveries are dense: their low bits say which one of a message they are.
    let spread = lane.map_or_else(|| (id.0 >> 16) ^ id.0, i64::cast_unsigned);
    (spread % u64::from(PARTITIONS)).cast_signed() as Partition
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows in databases have these numbers.
    #[test]
    fn the_rule_is_the_one_of_all_versions() {
        let of = |action: &str, key: Option<&str>, ordered, id| {
            let lane = lane(action, key, ordered);
            (lane, partition(lane, DeliveryId(id)))
        };
        assert_eq!(of("a", Some("k"), true, 7), (Some(8_506_408_751_030_807_194), 26));
        assert_eq!(of("a", Some("k"), false, 7), (None, 7));
        assert_eq!(of("a", None, true, (3 << 16) + 1), (None, 2));
    }
}
