use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use osnl_model::ContentInfo;

use crate::bodies::Cut;
use crate::rabbit::BodyShare;

/// The lifetime of one connection. Epochs are unique within a process, so a delivery tag of a closed connection cannot
/// be used on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The properties that tell how to read a body. oslo.messaging always sends the same two (`application/json`, `utf-8`),
/// so these are not copied per message.
#[derive(Clone, Debug, Default)]
pub struct Properties {
    pub content_type: Option<Cow<'static, str>>,
    pub content_encoding: Option<Cow<'static, str>>,
    pub compression: Option<String>,
}

pub type Marks = BTreeMap<String, String>;

impl Properties {
    #[must_use]
    pub fn content_info(&self) -> ContentInfo<'_> {
        ContentInfo {
            content_type: self.content_type.as_deref(),
            content_encoding: self.content_encoding.as_deref(),
            compression: self.compression.as_deref(),
        }
    }
}

/// A message that the broker has delivered and that is not settled yet.
///
/// The type is not `Clone`: a message is settled once, by moving it into the [`Window`](crate::Window) of its
/// connection. A dropped message stays unacknowledged, and the broker redelivers it when the connection ends.
///
/// ```compile_fail,E0382
/// fn twice(window: &mut osnl_transport::Window, message: osnl_transport::IncomingMessage) {
///     let _ = window.acknowledge(message);
///     let _ = window.requeue(message); // it has moved
/// }
/// ```
#[derive(Debug)]
pub struct IncomingMessage {
    pub(crate) epoch: Epoch,
    /// The index of its queue in the subscription. Each queue has a channel with tags of its own.
    pub(crate) channel: u16,
    pub(crate) tag: u64,
    pub body: Bytes,
    /// The facts about a body that was too large and is only the beginning.
    pub cut: Option<Box<Cut>>,
    pub queue: Arc<str>,
    pub exchange: String,
    pub routing_key: String,
    pub redelivered: bool,
    pub stream_offset: Option<u64>,
    pub partition: Option<Arc<AssignedPartition>>,
    pub properties: Properties,
    pub marks: Option<Arc<Marks>>,
    /// The share of the bytes in hand, which ends when the message is settled or dropped; `None` without a socket.
    pub(crate) _in_hand: Option<BodyShare>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPartition {
    /// The topic and number, as in `notifications.info/3`.
    pub name: Arc<str>,
    pub assignment: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    pub body: &'a [u8],
    pub queue: &'a Arc<str>,
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub properties: &'a Properties,
    /// The time of receipt, if known: reading the clock costs as much as looking up a head.
    pub received: Option<SystemTime>,
}

impl IncomingMessage {
    #[must_use]
    pub fn view(&self) -> MessageView<'_> {
        let Self { body, queue, exchange, routing_key, properties, .. } = self;
        MessageView { body, queue, exchange, routing_key, properties, received: None }
    }
}

/// Identifies unwanted messages, so that these are not copied and handed over. A thread of the transport calls it, one
/// message at a time.
pub trait Prefilter: Send + Sync {
    /// Returns whether a message is unwanted. Such a message counts as acknowledged and is not handed over.
    fn rejects(&self, message: &MessageView<'_>) -> bool;
}

impl fmt::Debug for dyn Prefilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prefilter")
    }
}

#[derive(Debug)]
pub struct Batch {
    messages: VecDeque<IncomingMessage>,
    limit: usize,
    rejected: usize,
}

impl Batch {
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { messages: VecDeque::with_capacity(limit.min(256)), limit, rejected: 0 }
    }

    #[must_use]
    pub fn room(&self) -> usize {
        self.limit - self.messages.len()
    }

    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.max(self.messages.len());
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &IncomingMessage> {
        self.messages.iter()
    }

    /// Takes the messages out, oldest first, and keeps the buffer for the next poll.
    pub fn drain(&mut self) -> impl Iterator<Item = IncomingMessage> + '_ {
        self.messages.drain(..)
    }

    pub fn take_first(&mut self) -> Option<IncomingMessage> {
        self.messages.pop_front()
    }

    pub fn take_rejected(&mut self) -> usize {
        std::mem::take(&mut self.rejected)
    }

    #[cfg(feature = "kafka")]
    pub(crate) fn reject(&mut self, messages: usize) {
        self.rejected += messages;
    }

    pub(crate) fn push(&mut self, message: IncomingMessage) {
        self.messages.push_back(message);
    }
}
