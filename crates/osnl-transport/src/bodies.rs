use osnl_model::BodyDigest;

/// The bounds of one subscription in memory. A broker without sockets keeps bodies itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyBounds {
    /// The bytes of unsettled bodies beyond which nothing more is read.
    pub in_hand: usize,
    /// The longest whole body. A longer body is cut: the message has its [head](Self::HEAD) and a [`Cut`].
    pub whole: usize,
}

impl BodyBounds {
    pub const DEFAULT: Self = Self { in_hand: 64 << 20, whole: 16 << 20 };
    pub const HEAD: usize = 64 << 10;

    /// Returns the bounds for a reader of bodies up to `max_body`. A larger body is still kept whole up to 16 MiB, so
    /// that it can be read later, when the option is raised.
    #[must_use]
    pub fn for_max_body(max_body: usize) -> Self {
        Self { whole: max_body.max(Self::DEFAULT.whole), ..Self::DEFAULT }
    }
}

impl Default for BodyBounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Marks a message whose body was too large, so that no reader takes the beginning for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The bytes of the whole body.
    pub bytes: u64,
    /// The digest of the whole body.
    pub digest: BodyDigest,
}
