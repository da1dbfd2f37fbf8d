use std::time::{Duration, SystemTime};

use osnl_core::attempt::ErrorClass;
use osnl_core::event::Event;
use tokio::time::Instant;

/// A delivery's number; a later append has a larger number. With `sqlite` the printed form is `EVENT.N`: the
/// event and the delivery's place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub u64);

/// The bits of a delivery's place in its event, below the event's number.
pub(crate) const SHIFT: u32 = 16;

impl DeliveryId {
    #[must_use]
    pub fn from_event(event: i64, n: usize) -> Self {
        Self((event.unsigned_abs() << SHIFT) + n as u64)
    }

    #[expect(clippy::cast_possible_wrap, reason = "numbers come from a file of signed ones")]
    #[must_use]
    pub fn row(self) -> i64 {
        self.0 as i64
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (event, n) = text.split_once('.')?;
        let (event, n) = (event.parse::<u64>().ok()?, n.parse::<u16>().ok()?);
        // Numbers of the file are signed.
        (event < 1 << (63 - SHIFT)).then(|| Self((event << SHIFT) + u64::from(n)))
    }
}

impl std::fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0 >> SHIFT, self.0 & ((1 << SHIFT) - 1))
    }
}

#[must_use]
pub(crate) fn numbers(deliveries: usize) -> i64 {
    1 + i64::try_from(deliveries >> SHIFT).unwrap_or(0)
}

/// Returns how many event numbers an event gets. Each delivery has room for an `on_failure` delivery and its
/// fallbacks.
#[must_use]
pub(crate) fn reserved_numbers(deliveries: usize) -> i64 {
    numbers(deliveries.saturating_mul(1 + FALLBACKS))
}

/// The reserved fallbacks of one delivery, each behind the other.
const FALLBACKS: usize = 31;

/// The deliveries that a loop can take now: each kind has places of its own, so that no kind takes those of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimLimits {
    /// The most never-failed deliveries to claim, oldest first.
    pub oldest: usize,
    /// The most never-failed deliveries to claim, newest first. In a long backlog some are random, because
    /// both the oldest and the newest may fail. The newest precede the oldest.
    pub newest: usize,
    /// Limits the newest to those after this delivery; `None` for any.
    pub newer_than: Option<DeliveryId>,
    /// One of the oldest is taken even without a place if it is older than this delivery.
    pub older_than: Option<DeliveryId>,
    /// The most failed deliveries to claim, whose retry is due.
    pub due: usize,
}

impl ClaimLimits {
    #[must_use]
    pub fn in_order(most: usize) -> Self {
        Self { oldest: most, due: most, ..Self::default() }
    }

    #[must_use]
    pub fn is_any(&self) -> bool {
        self.oldest > 0 || self.newest > 0 || self.due > 0 || self.older_than.is_some()
    }

    pub(crate) fn takes_oldest(&self, taken: usize, id: DeliveryId) -> bool {
        taken < self.oldest || (taken == 0 && self.older_than.is_some_and(|than| id < than))
    }

    /// Returns the place at which the search for the next newest begins, given a backlog's ends and size. In
    /// a long backlog, a quarter of the searches begin at a random place, the others at the end; `None` if
    /// nothing is newer.
    pub(crate) fn newest_from(
        &self,
        first: DeliveryId,
        last: DeliveryId,
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

const LONG: usize = 32;

/// A delivery that its loop alone may attempt and end, until the claim ends.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    pub id: DeliveryId,
    /// The resource key, for order; `None` is a key of its own.
    pub key: Option<String>,
    pub event: Event,
    pub used: UsedLimits,
    /// The beginning of its wait, if that was before the claim.
    pub since: Option<Instant>,
    /// The beginning of its wait by the time of day, as a file has it, if that was after the arrival of the message: a
    /// retry, release, or move, or the end of the delivery for which `on_failure` made it.
    pub began: Option<SystemTime>,
    /// Whether it was claimed as one of the newest, before older ones.
    pub newest: bool,
}

/// The part of its limits that a delivery has used up; the journal keeps it from claim to claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedLimits {
    /// Attempts that count against `max_attempts`; a hold counts none.
    pub attempts: u32,
    /// The time since the first attempt, without the time in which its target was held. A wait for a host that the event
    /// names counts, also before the first attempt.
    pub age: Duration,
    /// All failed attempts, counted or not; above 0, the delivery has failed before.
    pub made: u32,
}

impl UsedLimits {
    /// Takes back the rest of a pause that the age includes, and that ends now.
    pub(crate) fn uncharge(&mut self, charged_until: Option<Instant>, now: Instant) {
        let rest = charged_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        self.age = self.age.saturating_sub(rest);
    }
}

/// The record of one attempt.
///
/// Only failed attempts record the request, in the transaction of the failure. A first success decides the
/// throughput and writes only the milliseconds, in a row that is updated anyway. A request has at most 4 KiB
/// and the latest three are kept, so a delivery that fails for days holds 12 KiB. `osnl explain --id` shows
/// the request of a success, from its message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentRequest {
    /// The request, secrets masked; `None` after a success, or if the action shows none.
    pub request: Option<String>,
    /// The time from the beginning of the call to its result.
    pub took: Duration,
    /// The kind of the failure; `None` after a success.
    pub class: Option<ErrorClass>,
    /// The host that the event names, as a status shows it; `None` if the configuration names the target.
    pub host: Option<String>,
}

/// The next attempt of a delivery whose claim ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRetry {
    /// The earliest time of the next attempt.
    pub due: Instant,
    pub used: UsedLimits,
    /// Whether the age includes the pause already. If the retry is made due earlier, the rest of the pause leaves the age.
    pub is_charged: bool,
    /// The target's answer; empty without an attempt, or after [`attempted`](crate::Journal::attempted)
    /// recorded the answer.
    pub answer: String,
}
