//! Records of the journal as a reader gets them: a delivery, and a message that was kept unread.

use std::time::{Duration, SystemTime};

use osnl_core::quarantine::{Extent, Glimpse};
use osnl_core::received::ReceivedMessage;

use super::rows::RowState;
use crate::DeliveryId;

/// A delivery in a list. No payload, and with it no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryListRow {
    /// Its number.
    pub id: DeliveryId,
    /// The rule that matched.
    pub rule: String,
    /// The action it wants.
    pub action: String,
    /// The resource key, if the event has one.
    pub key: Option<String>,
    /// Its state.
    pub state: RowState,
    /// Whether it is in no lane yet. Only a journal that several daemons share has such.
    pub is_arrived: bool,
    /// Attempts on answers used up.
    pub attempts: u32,
    /// Failed attempts of any kind.
    pub tries: u32,
    /// When it ended.
    pub ended: Option<SystemTime>,
    /// Why it is dead, held or discarded; what was done, once it is delivered.
    pub reason: Option<String>,
    /// The one of the event's resources that it is about, where a bulk request has several.
    pub resource: Option<u32>,
    /// The id of the resource that it is about; not known of what an older version has kept.
    pub resource_id: Option<String>,
    /// The name of that resource.
    pub resource_name: Option<String>,
    /// When its next attempt is due, if one has failed or was put off.
    pub due: Option<SystemTime>,
    /// Whether a guard holds it, or has held it.
    pub is_guarded: bool,
    /// The delivery that it waits for.
    pub waits_for: Option<DeliveryId>,
    /// The time that the successful attempt took.
    pub took: Option<Duration>,
    /// The last answer to one that is open.
    pub last_answer: Option<String>,
    /// When its message reached us.
    pub received: SystemTime,
    /// The queue it was taken from.
    pub queue: String,
    /// The event type.
    pub event_type: Option<String>,
    /// The message's id.
    pub message_id: Option<String>,
    /// Further copies of the message that came.
    pub copies: u64,
}

/// A message that was kept unread.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Its number among them.
    pub id: i64,
    /// Why.
    pub reason: String,
    /// The length of its body, as received.
    pub size: u64,
    /// The digest of its body, as received.
    pub digest: String,
    /// The part of it that is kept.
    pub extent: Extent,
    /// The facts that could be seen without reading it.
    pub glimpse: Glimpse,
    /// The message as it came; of one whose extent is the head, the beginning of its body.
    pub received: ReceivedMessage,
}
