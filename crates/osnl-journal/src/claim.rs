//! Claimed deliveries, and the attempts and time that they use up.

use std::time::Duration;

use osnl_core::event::Event;
use tokio::time::Instant;

/// A delivery's number; a later append has a larger one. With `sqlite` it prints as `EVENT.N`, the event's
/// number and which of its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub u64);

/// The number of deliveries of each kind that a claim takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Those that have never failed, in order of arrival.
    pub oldest: usize,
    /// Those that have never failed, newest first; of a long backlog some are from random places between, as both its
    /// ends may be what a target fails on. They are taken before the oldest.
    pub newest: usize,
    /// The newest must be newer than this one.
    pub newer_than: Option<DeliveryId>,
    /// With no place for the oldest, one of them is taken all the same if it is older than this one.
    pub older_than: Option<DeliveryId>,
    /// Those whose retry is due, longest due first.
    pub due: usize,
}

impl ClaimLimits {
    /// So many in order of arrival, and as many whose retry is due.
    #[must_use]
    pub fn in_order(most: usize) -> Self {
        Self { oldest: most, due: most, ..Self::default() }
    }

    /// Whether a claim takes anything.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.oldest > 0 || self.newest > 0 || self.due > 0 || self.older_than.is_some()
    }

    /// Whether the oldest delivery that is left is taken too, after so many.
    pub(crate) fn takes_oldest(&self, taken: usize, id: DeliveryId) -> bool {
        taken < self.oldest || (taken == 0 && self.older_than.is_some_and(|than| id < than))
    }

    /// Returns the place from which the next of the newest is looked for, given the ends of a backlog and its number: in a
    /// long one every fourth time a random place between, else its end; `None` if there is no newer one.
    pub(crate) fn newest_from(
        &self,
        (first, last): (DeliveryId, DeliveryId),
        number: usize,
    ) -> Option<DeliveryId> {
        match self.newer_than {
            Some(than) => (last > than).then_some(last),
            None if number > LONG && fastrand::u8(..4) == 0 => {
                Some(DeliveryId(fastrand::u64(first.0..=last.0)))
            }
            None => Some(last),
        }
    }
}

/// With fewer deliveries, the newest is taken rather than one between.
const LONG: usize = 32;

/// A delivery handed to the delivery loop.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    /// Its number.
    pub id: DeliveryId,
    /// The resource key, for order; `None` is a key of its own.
    pub key: Option<String>,
    /// The event to deliver, with the [fence](crate::Fence) of this claim.
    pub event: Event,
    /// Attempts and time used before this claim.
    pub used: UsedLimits,
    /// Whether it was claimed as one of the newest.
    pub newest: bool,
}

/// The attempts and the time that a delivery has used of its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedLimits {
    /// Attempts on answers.
    pub attempts: u32,
    /// Time since its first attempt, without the time in which its target was held.
    pub age: Duration,
    /// Attempts made that failed, of any class: above none, its resource has failed before.
    pub made: u32,
}

/// The record of one attempt.
///
/// Only failed attempts have their request recorded, in the transaction that records the failure: a delivery that
/// succeeds at once, which is the case that decides the throughput, writes nothing more than the milliseconds in the row
/// that it updates anyway. A request has at most 4 KiB and is kept of the latest three attempts, so that a delivery that
/// fails for days holds 12 KiB of them. `osnl explain --id` shows the request of a success, from its message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentRequest {
    /// The request, secrets masked.
    pub request: Option<String>,
    /// The duration of the call.
    pub took: Duration,
}

/// An attempt that failed and will be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRetry {
    /// When it may be attempted again.
    pub due: Instant,
    /// Attempts and time used so far.
    pub used: UsedLimits,
    /// The target's answer; empty if there was no attempt, or [`attempted`](crate::Journal::attempted) was told.
    pub answer: String,
}
