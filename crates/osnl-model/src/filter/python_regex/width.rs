//! The number of characters that a part of a pattern matches: Python requires a fixed width in
//! look-behind.

use std::ops::{Add, Mul};

/// The least and the most characters that a part of a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width {
    least: u64,
    most: u64,
}

impl Width {
    pub(super) const ZERO: Self = Self { least: 0, most: 0 };

    pub(super) fn new(least: u64, most: u64) -> Self {
        Self { least, most }
    }

    pub(super) fn is_fixed(self) -> bool {
        self.least == self.most
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most) }
    }
}

impl Add for Width {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { least: self.least.saturating_add(other.least), most: self.most.saturating_add(other.most) }
    }
}

impl Mul for Width {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self { least: self.least.saturating_mul(other.least), most: self.most.saturating_mul(other.most) }
    }
}
