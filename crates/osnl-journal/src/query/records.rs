//! The rows and records that queries return.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_core::attempt::ErrorClass;
use osnl_core::quarantine::{Extent, Glimpse};
use osnl_core::received::ReceivedMessage;
use osnl_core::rule::GuardName;

use super::{Phase, QueryContext, RowState};
use crate::{DeliveryId, PausedActions};

/// A page has a thousand rows, and a publisher chooses the length of an event type.
pub(crate) const LONGEST_TYPE: usize = 1000;

/// A delivery in a list. The row has no payload, and so no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryListRow {
    /// The number by which commands name it.
    pub id: DeliveryId,
    /// The rule that asked for it.
    pub rule: String,
    /// The action that is called.
    pub action: String,
    /// The order key; `None` if it has none.
    pub key: Option<String>,
    /// Its state in the store, from which its phase follows.
    pub state: RowState,
    /// Attempts that the target answered.
    pub attempts: u32,
    /// Failed attempts of any kind.
    pub tries: u32,
    /// The time of its end; `None` while open.
    pub ended: Option<SystemTime>,
    /// The reason of a dead, held or discarded delivery; after a success, the effect.
    pub reason: Option<String>,
    /// The resource among several of a bulk request.
    pub resource: Option<u32>,
    /// The id of the resource; missing in rows of an older version.
    pub resource_id: Option<String>,
    /// The name of the resource, if the event has one.
    pub resource_name: Option<String>,
    /// The time of its retry; `None` if none is due.
    pub due: Option<SystemTime>,
    /// Whether a guard held it from the start.
    pub is_guarded: bool,
    /// The delivery of its lane that must end first; `None` if it waits for none.
    pub waits_for: Option<DeliveryId>,
    /// The time of the attempt that succeeded; `None` before.
    pub took: Option<Duration>,
    /// The answer to the latest failed attempt; `None` before the first.
    pub last_answer: Option<String>,
    /// The first arrival of the message.
    pub received: SystemTime,
    /// The queue that delivered the message.
    pub queue: String,
    /// The event type of the message; `None` if it has none.
    pub event_type: Option<String>,
    /// The publisher's id of the message; `None` if it has none.
    pub message_id: Option<String>,
    /// The further copies of the message that were ignored.
    pub copies: u64,
}

impl DeliveryListRow {
    /// Returns the phase that is shown for the delivery.
    #[must_use]
    pub fn phase(&self, context: &QueryContext) -> Phase {
        if self.state.is_open() && !context.is_configured(&self.action) {
            return Phase::Orphaned;
        }
        match Phase::from_state(self.state) {
            Phase::Ready if context.running.contains(&self.id) => Phase::Running,
            Phase::Ready if self.due.is_some() && self.tries > 0 => Phase::Retrying,
            phase => phase,
        }
    }
}

/// A delivery with its message and attempts, for `osnl deliveries show`.
#[derive(Clone, Debug)]
pub struct DeliveryDetails {
    pub row: DeliveryListRow,
    pub tries: Vec<AttemptRow>,
    /// The message as received, with its secrets.
    pub received: ReceivedMessage,
    /// The open deliveries before it in its lane.
    pub ahead: u64,
    /// The first open deliveries of the same action and resource behind this one, and the number of further
    /// ones.
    pub behind: (Vec<DeliveryId>, u64),
    /// The other deliveries of its event.
    pub others: Vec<DeliveryListRow>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    pub at: SystemTime,
    pub answer: String,
    /// The sent request, secrets masked; kept of the latest few.
    pub request: Option<String>,
    pub took: Option<Duration>,
}

/// A message with all of its deliveries.
#[derive(Clone, Debug)]
pub struct KeptEvent {
    pub number: u64,
    pub received: ReceivedMessage,
    pub deliveries: Vec<DeliveryListRow>,
}

/// A delivery as guards count it, read at the start so that a restart forgets nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentDelivery {
    pub rule: String,
    pub action: String,
    /// The key, or the substitute from message and resource.
    pub key: String,
    pub received: SystemTime,
    /// Whether no guard held the delivery, or it has been released. A delivery discarded while held has not
    /// passed.
    pub has_passed: bool,
}

/// The bounds of a search for the latest order keys.
#[derive(Clone, Copy, Debug)]
pub struct KeyBounds {
    /// The most deliveries that are found.
    pub keys: usize,
    /// The most deliveries that are read, of all rules.
    pub rows: usize,
}

/// An event, and the rule and the order key of one of its deliveries.
#[derive(Clone, Copy, Debug)]
pub struct KeyedEvent<'a> {
    pub rule: &'a Arc<str>,
    pub key: &'a str,
    pub number: i64,
    pub received: &'a ReceivedMessage,
}

/// The number of deliveries of one action and state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub action: String,
    pub state: RowState,
    pub count: u64,
}

/// Held deliveries of one action with the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCause {
    pub action: String,
    pub reason: Option<String>,
    pub count: u64,
    pub by: HeldBy,
    /// The guard; `None` if it is not known, as of letters of an earlier release.
    pub guard: Option<GuardName>,
    /// The first arrival of the oldest of them.
    pub since: SystemTime,
}

/// The part that keeps deliveries back until an operator releases them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    Guard,
    /// The process ended unexpectedly each time while it attempted the delivery.
    UnexpectedEnd,
}

impl HeldBy {
    pub const ALL: [Self; 2] = [Self::Guard, Self::UnexpectedEnd];

    /// Returns the name that a filter takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::UnexpectedEnd => "unexpected-end",
        }
    }

    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == name)
    }

    #[must_use]
    pub(crate) fn from_guarded(is_guarded: bool) -> Self {
        if is_guarded { Self::Guard } else { Self::UnexpectedEnd }
    }
}

/// A resource whose first delivery fails, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingKey {
    pub id: DeliveryId,
    pub resource: Option<String>,
    pub tries: u32,
    /// The first failed attempt.
    pub since: SystemTime,
    /// The latest failed attempt.
    pub at: SystemTime,
    pub answer: String,
    /// The kind of that failure; `None` if no call was made.
    pub class: Option<ErrorClass>,
    /// The host that the event names; `None` if the configuration names the target.
    pub host: Option<String>,
}

/// The newest dead letter of an action, for the status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LatestDead {
    pub reason: Option<String>,
    /// The kind of the failure (`ActionError::cause`), or the limit that made the letter; `None` if neither is known.
    pub cause: Option<String>,
    /// The answer to the last attempt; `None` without an attempt.
    pub answer: Option<String>,
    /// The host of that attempt that the event names; `None` if the configuration names the target.
    pub host: Option<String>,
}

/// The numbers of a whole file, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    pub events: u64,
    pub oldest: Option<SystemTime>,
    pub unreadable: u64,
    /// Deliveries that are held because the process ended unexpectedly during their attempts.
    pub suspects: u64,
    pub paused: PausedActions,
}

/// A message in quarantine.
#[derive(Clone, Debug)]
pub struct Unreadable {
    pub id: i64,
    pub reason: String,
    /// The bytes of the whole body as received.
    pub size: u64,
    pub digest: String,
    pub extent: Extent,
    pub glimpse: Glimpse,
    /// The message; if only the head is kept, with the beginning of its body.
    pub received: ReceivedMessage,
}

/// A filter of quarantined messages; an empty or `None` field excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct UnreadableFilter {
    pub ids: Vec<i64>,
    pub queue: Option<String>,
    pub reason: Option<String>,
    pub since: Option<SystemTime>,
    pub until: Option<SystemTime>,
}

/// Whether bodies are read. A body may take 16 MiB, stored in a few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    Read,
    Left,
}
