//! Fences: numbers by which a target refuses requests that arrive late.
//!
//! A daemon may take over the deliveries of another that was stopped or cut off. A request of the old daemon may
//! arrive after requests of the new daemon, and only the target can tell. So each request has a fence, and a target
//! that keeps the largest fence of a resource refuses a smaller one.
//!
//! # Promise
//!
//! For one action and one order key, by which the journal keeps deliveries in order:
//!
//! - Each claim of a delivery has a larger fence than every claim before it. This includes later deliveries, retries,
//!   and deliveries that another daemon takes over.
//! - The attempts of one claim have the same fence, so a target must accept a fence that it knows already.
//!
//! Fences of different actions or keys are unrelated. A delivery without a key waits for no other, so it has no fence.
//!
//! # Form
//!
//! A fence is a decimal integer. Fences stay below 2^53 until the year 2242, so that JSON readers with
//! floating-point numbers stay exact, and every database compares fences as integers. A text of fixed width
//! would fit no integer column.
//!
//! A journal of one daemon assigns no fences, since no other process makes its deliveries.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub u64);

impl Fence {
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
