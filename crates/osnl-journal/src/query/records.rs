use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use osnl_core::quarantine::{Extent, Glimpse};
use osnl_core::received::ReceivedMessage;

use super::RowState;
use crate::{DeliveryId, PausedActions};

/// A delivery in a list. The row has no payload, and so no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryListRow {
    pub id: DeliveryId,
    pub rule: String,
    pub action: String,
    pub key: Option<String>,
    pub state: RowState,
    /// Attempts that the target answered.
    pub attempts: u32,
    /// Failed attempts of any kind.
    pub tries: u32,
    pub ended: Option<SystemTime>,
    /// The reason of a dead, held or discarded delivery; after a success, the effect.
    pub reason: Option<String>,
    /// The resource among several of a bulk request.
    pub resource: Option<u32>,
    /// The id of the resource; missing in rows of an older version.
    pub resource_id: Option<String>,
    pub resource_name: Option<String>,
    pub due: Option<SystemTime>,
    pub is_guarded: bool,
    pub waits_for: Option<DeliveryId>,
    pub took: Option<Duration>,
    pub last_answer: Option<String>,
    pub received: SystemTime,
    pub queue: String,
    pub event_type: Option<String>,
    pub message_id: Option<String>,
    pub copies: u64,
}

#[derive(Clone, Debug)]
pub struct DeliveryDetails {
    pub row: DeliveryListRow,
    pub tries: Vec<AttemptRow>,
    /// The message as received, with its secrets.
    pub received: ReceivedMessage,
    pub ahead: u64,
    /// The first open deliveries of the same action and resource behind this one, and the number of further
    /// ones.
    pub behind: (Vec<DeliveryId>, u64),
    pub others: Vec<DeliveryListRow>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    pub at: SystemTime,
    pub answer: String,
    /// The sent request, secrets masked; kept of the latest few.
    pub request: Option<String>,
    pub took: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct KeptEvent {
    pub number: u64,
    pub received: ReceivedMessage,
    pub deliveries: Vec<DeliveryListRow>,
}

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

/// An event, and the order key of one of its deliveries.
#[derive(Clone, Copy, Debug)]
pub struct KeyedEvent<'a> {
    pub key: &'a str,
    pub number: i64,
    pub received: &'a ReceivedMessage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub action: String,
    pub state: RowState,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCause {
    pub action: String,
    pub reason: Option<String>,
    pub count: u64,
    pub by: HeldBy,
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
    #[must_use]
    pub fn from_guarded(is_guarded: bool) -> Self {
        if is_guarded { Self::Guard } else { Self::UnexpectedEnd }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingKey {
    pub id: DeliveryId,
    pub resource: Option<String>,
    pub tries: u32,
    pub since: SystemTime,
    pub at: SystemTime,
    pub answer: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    pub events: u64,
    pub oldest: Option<SystemTime>,
    pub unreadable: u64,
    pub suspects: u64,
    pub paused: PausedActions,
    pub paused_by: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct Unreadable {
    pub id: i64,
    pub reason: String,
    pub size: u64,
    pub digest: String,
    pub extent: Extent,
    pub glimpse: Glimpse,
    /// The message; if only the head is kept, with the beginning of its body.
    pub received: ReceivedMessage,
}

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
