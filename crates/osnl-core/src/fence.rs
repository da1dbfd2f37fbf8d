//! Fences: numbers by which a target refuses requests that arrive late.
//!
//! Several daemons may share a journal, and one takes over the deliveries of another that was stopped or cut off. What that one
//! had in a socket may still arrive, behind the requests of the daemon that took over. Only the target can tell: each request
//! carries a fence, and a target that keeps the largest one of a resource refuses a smaller one.
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
//! An integer in decimal digits. The journal gives it, and alone knows what it is made of. Fences stay below 2^53 until the year
//! 2242: JSON readers that keep numbers as floating point read them exactly, and every database compares them as an integer. A
//! text of fixed width would compare bytewise and fit no such column.
//!
//! A journal of one daemon has none: its requests are as they were, and no other process makes its deliveries.

use std::fmt;

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

impl Fence {
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
