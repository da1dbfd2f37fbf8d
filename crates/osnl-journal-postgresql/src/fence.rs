//! The numbers of [fences](Fence): the *epoch* of a partition and the *number* of the claim in it, `epoch *
//! 2^20 + number`.
//!
//! - An epoch is larger than the partition's epoch before, and at least the Unix time when the lease was
//!   taken. So fences keep growing after a restored backup or in another database, where old epochs are lost.
//!   A wrong clock breaks no order while the journal keeps its rows.
//! - The number counts claims and is not the delivery's place in its queue: a dead letter that is retried
//!   after its successors has an old place and is sent last.

use osnl_journal::Fence;

pub(crate) const CLAIMS: u64 = 1 << 20;
/// The largest epoch from a clock: its fences are below 2^53.
pub(crate) const LATEST: i64 = (1 << 33) - 1;

pub(crate) fn fence(epoch: i64, number: u64) -> Fence {
    debug_assert!(number < CLAIMS, "a lease with so many claims needs a larger epoch");
    Fence(epoch.unsigned_abs().saturating_mul(CLAIMS).saturating_add(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_grow_and_those_of_any_clock_are_exact_in_floating_point() {
        let (first, next, taken_over) =
            (fence(1_795_390_000, 0), fence(1_795_390_000, 1), fence(1_795_390_017, 0));
        assert!(first < next && next < taken_over);
        assert_eq!(next.to_string(), "1882602864640001");
        assert_eq!(fence(LATEST, CLAIMS - 1).number(), (1 << 53) - 1);
        // The end of the range is one value, and no panic.
        assert_eq!(fence(i64::MAX, 7).to_string(), u64::MAX.to_string());
    }
}
