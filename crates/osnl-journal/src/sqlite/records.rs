//! Records of the journal for readers: deliveries, and messages in quarantine.

use std::time::{Duration, SystemTime};

use osnl_core::quarantine::{Extent, Glimpse};
use osnl_core::received::ReceivedMessage;

use super::rows::RowState;
use crate::DeliveryId;

/// A delivery in a list. The row has no payload, and so no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryListRow {
    pub id: DeliveryId,
    pub rule: String,
    pub action: String,
    pub key: Option<String>,
    pub state: RowState,
    /// Whether the delivery is in no lane yet, which occurs only in a shared journal.
    pub is_arrived: bool,
    /// Attempts that the target answered.
    pub attempts: u32,
    /// Failed attempts of any kind.
    pub tries: u32,
    pub ended: Option<SystemTime>,
    /// The reason why the delivery is dead, held or discarded; after a success, the effect.
    pub reason: Option<String>,
    /// The resource among several of a bulk request.
    pub resource: Option<u32>,
    /// The id of the resource; missing in rows of an older version.
    pub resource_id: Option<String>,
    pub resource_name: Option<String>,
    pub due: Option<SystemTime>,
    /// Whether a guard holds the delivery, or has held it.
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
