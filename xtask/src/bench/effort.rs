//! How much is measured: the sizes of all sections.

/// The bytes of a message.
pub(super) const SIZE: u64 = 4096;
/// The longest time of a run, in seconds; k2hr3_osnl needs about ten for its longest.
pub(super) const SECONDS: u64 = 60;

/// The work of each section: in full, or quickly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) rounds: usize,
    pub(super) mostly_unmatched: u64,
    pub(super) matching: u64,
    /// Seconds of a run at a pace.
    pub(super) paced: u64,
    /// Seconds of a run at the rates of clouds.
    pub(super) low: u64,
    /// Minutes of the run that shows that nothing grows.
    pub(super) endurance: u64,
    pub(super) backlog: u64,
    pub(super) history: u64,
}

impl Effort {
    pub(super) const FULL: Self = Self {
        rounds: 5,
        mostly_unmatched: 60_000,
        matching: 24_000,
        paced: 10,
        low: 60,
        endurance: 120,
        backlog: 200_000,
        history: 1_000_000,
    };
    pub(super) const QUICK: Self = Self {
        rounds: 3,
        mostly_unmatched: 18_000,
        matching: 6_000,
        paced: 3,
        low: 10,
        endurance: 12,
        backlog: 50_000,
        history: 200_000,
    };
    pub(super) const LONG: u64 = 1_000_000;
}
