//! The numbers of [fences](Fence): the *epoch* of a partition and the *number* of the claim in it, `epoch * 2^20 + number`.
//!
//! - An epoch is larger than the one before of the same partition, and not smaller than the seconds since 1970 when the lease was
//!   taken. So fences go on growing where the epochs of the past are lost: after a restored backup, and in another database.
//!   The clock only raises an epoch: one that is wrong breaks no order while the journal keeps its rows.
//! - A number, and not the place of the delivery in its queue: a dead letter that is retried after its successors, or a delivery
//!   that is moved to another action, has an old place and is sent last.

use osnl_journal::Fence;

/// The claims of a lease before it needs a larger epoch.
pub(crate) const CLAIMS: u64 = 1 << 20;
/// The largest epoch that a clock gives: fences of this one are below 2^53.
pub(crate) const LATEST: i64 = (1 << 33) - 1;

/// Returns the fence of a claim with this number in an epoch.
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
