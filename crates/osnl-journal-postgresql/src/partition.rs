//! The partition of a delivery: that of its lane. One that waits for no lane has that of its number, or of its action:
//!
//! The deliveries of an action with a digest are not ordered, and no others are. They have one partition, so that one owner
//! gathers all of them. A row says by itself where it belongs, whatever its owner's configuration says of the action.
//!
//! Every member must come to the same answer, of every version: the rule never changes. Another one would come with a version of
//! the tables.

use osnl_journal::DeliveryId;
use osnl_journal::store::digest;

/// The number of a partition.
pub(crate) type PartitionNumber = i16;

/// The number of partitions; the first version of the tables has them.
pub(crate) const PARTITIONS: u16 = 64;

/// Returns the lane of a delivery, if it waits for others.
pub(crate) fn lane(action: &str, key: Option<&str>, ordered: bool) -> Option<i64> {
    key.filter(|_| ordered).map(|key| digest::lane(action, key))
}

/// Returns the lane of a delivery, if it waits for others, and its partition.
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
        // Numbers of deliveries are dense: their low bits say which one of a message they are.
        None => (id.0 >> 16) ^ id.0,
    };
    (lane, (spread % u64::from(PARTITIONS)).cast_signed() as PartitionNumber)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows in databases have these numbers.
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
