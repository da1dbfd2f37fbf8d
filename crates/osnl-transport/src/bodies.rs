//! Bounds on the message bodies in memory, and what is known of a body that was cut.

use osnl_model::BodyDigest;

/// The message bodies that one subscription may have in memory. A broker without sockets keeps them itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyBounds {
    /// Bytes of bodies that have come and are not settled, beyond which nothing more is read.
    pub in_hand: usize,
    /// A longer body is cut: the message has its [head](Self::HEAD) and a [`Cut`].
    pub whole: usize,
}

impl BodyBounds {
    /// 64 MiB in hand, and 16 MiB for one body.
    pub const DEFAULT: Self = Self { in_hand: 64 << 20, whole: 16 << 20 };
    /// Bytes that come of a body that is not kept whole.
    pub const HEAD: usize = 64 << 10;

    /// Returns the bounds for a reader of bodies up to `max_body`. A larger body is kept whole up to 16 MiB and counts
    /// among the bytes in hand, so that it can be read later, when the option is raised.
    #[must_use]
    pub fn of_max_body(max_body: usize) -> Self {
        Self { whole: max_body.max(Self::DEFAULT.whole), ..Self::DEFAULT }
    }
}

impl Default for BodyBounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The facts about a body of which only the beginning was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the whole body.
    pub bytes: u64,
    /// The digest of the whole body.
    pub digest: BodyDigest,
}
