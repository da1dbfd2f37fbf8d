//! Fences: numbers by which a target refuses requests that arrive late.
//!
//! Several daemons may share a journal, and each makes the deliveries of the resources that it holds a lease on. A daemon that
//! was stopped, or cut off, begins no request after its lease. What it had in a socket by then may still arrive, behind the
//! requests of the daemon that took over. Only the target can tell: each request carries a fence, and a target that keeps the
//! largest one of a resource refuses a smaller one.
//!
//! # Promise
//!
//! For one action and one order key, by which the journal keeps deliveries in order:
//!
//! - each claim of a delivery has a larger fence than every claim before it: a later delivery, a retry, the same delivery taken
//!   over by another daemon;
//! - the attempts of one claim have the same fence. A target accepts a fence that it knows already.
//!
//! Fences of different actions or keys say nothing about each other. A delivery without a key waits for no other: it has none.
//!
//! # Form
//!
//! An integer in decimal digits, made of the *epoch* of the lease and the *number* of the claim in it:
//! `epoch * 2^20 + number`.
//!
//! - An epoch is larger than the one before of the same lease, and not smaller than the seconds since 1970 when the lease was
//!   taken. So fences go on growing where the epochs of the past are lost: after a restored backup, and in another database.
//!   The clock only raises an epoch: one that is wrong breaks no order while the journal keeps its rows.
//! - A number, and not the place of the delivery in its queue: a dead letter that is retried after its successors, or a delivery
//!   that is moved to another action, has an old place and is sent last.
//! - Fences stay below 2^53 until the year 2242. JSON readers that keep numbers as floating point read them exactly, and every
//!   database compares them as an integer. A text of fixed width would compare bytewise and fit no such column.
//!
//! A journal of one daemon has none: its requests are as they were, and no other process makes its deliveries.
//!
//! ```
//! use osnl_core::fence::Fence;
//!
//! let first = Fence::new(1_795_390_000, 0);
//! let next = Fence::new(1_795_390_000, 1);
//! let taken_over = Fence::new(1_795_390_017, 0);
//! assert!(first < next && next < taken_over);
//! assert_eq!(next.to_string(), "1882602864640001");
//! ```

use std::fmt;

/// The bits of the number of a claim.
const NUMBER_BITS: u32 = 20;

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

impl Fence {
    /// The claims of a lease before it needs a larger epoch.
    pub const CLAIMS: u64 = 1 << NUMBER_BITS;
    /// The largest epoch that a clock gives: fences of this one are below 2^53.
    pub const LATEST: i64 = (1 << 33) - 1;

    /// The fence of a claim with this number in an epoch.
    #[must_use]
    pub fn new(epoch: u64, number: u64) -> Self {
        debug_assert!(number < Self::CLAIMS, "a lease with so many claims needs a larger epoch");
        Self(epoch.saturating_mul(Self::CLAIMS).saturating_add(number))
    }

    /// Returns it as a number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_of_any_clock_are_exact_in_floating_point() {
        let last = Fence::new(Fence::LATEST.unsigned_abs(), Fence::CLAIMS - 1);
        assert_eq!(last.number(), (1 << 53) - 1);
        // The end of the range is one value, and no panic.
        assert_eq!(Fence::new(u64::MAX, 7).to_string(), u64::MAX.to_string());
    }
}
