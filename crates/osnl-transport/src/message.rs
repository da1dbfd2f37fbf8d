//! A message as it came from the broker, and the batch in which it is handed over.

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

/// One connection's lifetime. Two connections never have the same epoch within a process, so a
/// delivery tag of a dead connection cannot be mistaken for one of the living.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The properties that tell how to read a body. oslo.messaging always sends the same two
/// (`application/json`, `utf-8`), so these are not copied per message.
#[derive(Clone, Debug, Default)]
pub struct Properties {
    /// `content_type`, if the publisher gave one.
    pub content_type: Option<Cow<'static, str>>,
    /// `content_encoding`, if the publisher gave one.
    pub content_encoding: Option<Cow<'static, str>>,
    /// Kombu's header `compression`, if the body is compressed.
    pub compression: Option<String>,
}

/// Headers of osnl's own, by name.
pub type Marks = BTreeMap<String, String>;

impl Properties {
    /// The same, as the envelope reader takes it.
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
/// Not `Clone`: it is settled once, by moving it into the [`Window`](crate::Window) of its connection. If it is dropped
/// instead, it stays unacknowledged, and the broker delivers it again when the connection ends.
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
    /// The place of its queue among those of its subscription: each has a channel, whose tags count for it alone.
    pub(crate) channel: u16,
    pub(crate) tag: u64,
    /// The bytes as they came, compressed or not.
    pub body: Bytes,
    /// The body is only the beginning of one that was too large to be kept.
    pub cut: Option<Box<Cut>>,
    /// The queue it was taken from.
    pub queue: Arc<str>,
    /// The exchange it was published to.
    pub exchange: String,
    /// The routing key it was published with: `<topic>.<priority>`.
    pub routing_key: String,
    /// Whether the broker has delivered it before, to this consumer or to another.
    pub redelivered: bool,
    /// Its place in the stream it was read from; `None` from a queue.
    pub stream_offset: Option<u64>,
    /// The partition it was read from; `None` where a queue has none.
    pub partition: Option<Arc<AssignedPartition>>,
    /// The properties needed to read the body.
    pub properties: Properties,
    /// The headers of a message that osnl itself put into its queue; `None` of all other messages.
    pub marks: Option<Arc<Marks>>,
    /// Its part of the bytes in hand, which it gives back when it is settled or dropped; `None` of a broker without sockets.
    pub(crate) _in_hand: Option<BodyShare>,
}

/// A partition of a topic, as the group has assigned it to this consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPartition {
    /// Its topic and its number, as in `notifications.info/3`.
    pub name: Arc<str>,
    /// Another one each time that this consumer gets the partition.
    pub assignment: u64,
}

/// A message as it lies in the buffer of a client library.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    /// The bytes as they came, all of them.
    pub body: &'a [u8],
    /// The queue it was taken from.
    pub queue: &'a Arc<str>,
    /// The exchange it was published to.
    pub exchange: &'a str,
    /// The routing key it was published with.
    pub routing_key: &'a str,
    /// The properties needed to read the body.
    pub properties: &'a Properties,
    /// When it was received, if that is known: asking for the time costs as much as looking up a head.
    pub received: Option<SystemTime>,
}

impl IncomingMessage {
    /// Returns a view of it.
    #[must_use]
    pub fn view(&self) -> MessageView<'_> {
        let Self { body, queue, exchange, routing_key, properties, .. } = self;
        MessageView { body, queue, exchange, routing_key, properties, received: None }
    }
}

/// Tells a consumer which messages are not wanted, so that they need not be copied and handed over. It is called on a thread of
/// the transport, one message at a time.
pub trait Prefilter: Send + Sync {
    /// Whether this message is not wanted. It counts as acknowledged then, and is not handed over; a message for which this is
    /// `false` is handed over as without a prefilter.
    fn rejects(&self, message: &MessageView<'_>) -> bool;
}

impl fmt::Debug for dyn Prefilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prefilter")
    }
}

/// The messages that one [`poll`](crate::Consumer::poll) brought, in the broker's order.
#[derive(Debug)]
pub struct Batch {
    messages: VecDeque<IncomingMessage>,
    limit: usize,
    rejected: usize,
}

impl Batch {
    /// An empty batch that takes up to `limit` messages.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { messages: VecDeque::with_capacity(limit.min(256)), limit, rejected: 0 }
    }

    /// Returns the number of further messages that fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limit - self.messages.len()
    }

    /// Changes how many messages fit; what is already there stays.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit.max(self.messages.len());
    }

    /// Whether nothing was brought.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Returns the number of messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &IncomingMessage> {
        self.messages.iter()
    }

    /// Takes the messages out, oldest first; the buffer is kept for the next poll.
    pub fn drain(&mut self) -> impl Iterator<Item = IncomingMessage> + '_ {
        self.messages.drain(..)
    }

    /// Takes the oldest message out.
    pub fn take_first(&mut self) -> Option<IncomingMessage> {
        self.messages.pop_front()
    }

    /// Returns the number of messages that the [`Prefilter`] has rejected since the last call.
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
