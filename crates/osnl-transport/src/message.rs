//! A message as a broker hands it over, with its place in the window, and the batch that a poll fills.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use osnl_model::ContentInfo;

use crate::bodies::Cut;
use crate::body_flow::BodyShare;

/// The lifetime of one connection. Epochs are unique within a process, so a delivery tag of a closed connection cannot
/// be used on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// Returns the epoch of a new connection.
    #[must_use]
    pub fn next() -> Self {
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

/// Headers that osnl set when it published the message to its own queue.
pub type Marks = BTreeMap<String, String>;

impl Properties {
    /// Returns the text of a header, cut at the longest short string of AMQP: no known value is longer.
    #[must_use]
    pub fn text(header: &[u8]) -> String {
        String::from_utf8_lossy(&header[..header.len().min(255)]).into_owned()
    }

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
///
/// A transport makes it by [`IncomingMessage::new`]; its place cannot change afterwards.
#[derive(Debug)]
pub struct IncomingMessage {
    /// The connection, the channel, and the tag by which the message is settled.
    pub(crate) place: MessagePlace,
    /// The bytes as received; only the beginning if it is cut.
    pub body: Bytes,
    /// The size and digest of a body that was too large; `None` for a whole body.
    pub cut: Option<Box<Cut>>,
    /// The queue, or the Kafka group, that delivered it.
    pub queue: Arc<str>,
    /// The exchange to which it was first published.
    pub exchange: String,
    /// The routing key with which it was first published.
    pub routing_key: String,
    /// Whether the broker has delivered it before, to this or another consumer.
    pub redelivered: bool,
    /// The partition; `None` if the broker has queues.
    pub partition: Option<Arc<AssignedPartition>>,
    /// The properties that decide how the body is read.
    pub properties: Properties,
    /// Headers of osnl's own; `None` for a message that another program published.
    pub marks: Option<Arc<Marks>>,
    /// The share of the bytes in hand, which ends when the message is settled or dropped; `None` without a socket.
    pub(crate) in_hand: Option<BodyShare>,
}

/// The place of a message in the window of its connection, by which it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePlace {
    /// The connection to which the tag belongs.
    pub epoch: Epoch,
    /// The index of its queue in the subscription. Each queue has a channel with tags of its own.
    pub channel: u16,
    /// The number of the message, which only grows within a channel. It is the broker's delivery tag, except where the
    /// RabbitMQ consumer has restored the order of returned messages: it translates settlements back into real tags.
    pub tag: u64,
}

impl IncomingMessage {
    /// Returns a whole message of another program, without routing and without a share of the bytes in hand.
    #[must_use]
    pub fn new(place: MessagePlace, queue: Arc<str>, body: Bytes) -> Self {
        Self {
            place,
            body,
            cut: None,
            queue,
            exchange: String::new(),
            routing_key: String::new(),
            redelivered: false,
            partition: None,
            properties: Properties::default(),
            marks: None,
            in_hand: None,
        }
    }

    /// Keeps a share of the bytes in hand for as long as the message is not settled.
    #[must_use]
    pub fn with_share(mut self, share: BodyShare) -> Self {
        self.in_hand = Some(share);
        self
    }

    #[must_use]
    pub fn place(&self) -> MessagePlace {
        self.place
    }
}

/// A partition that the group has given to this consumer, until it is taken away.
#[derive(Debug, Default)]
pub struct AssignedPartition {
    is_revoked: AtomicBool,
}

impl AssignedPartition {
    pub fn revoke(&self) {
        self.is_revoked.store(true, Ordering::SeqCst);
    }

    /// Whether the group has taken the partition away. Its unfinished messages are redelivered, and settling them here
    /// has no effect.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::SeqCst)
    }
}

/// The messages of one poll, as many as places are reserved.
#[derive(Debug)]
pub struct Batch {
    messages: VecDeque<IncomingMessage>,
    /// The reserved places.
    limit: usize,
}

impl Batch {
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { messages: VecDeque::with_capacity(limit.min(256)), limit }
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

    pub fn drain(&mut self) -> impl Iterator<Item = IncomingMessage> + '_ {
        self.messages.drain(..)
    }

    pub fn take_first(&mut self) -> Option<IncomingMessage> {
        self.messages.pop_front()
    }

    pub fn push(&mut self, message: IncomingMessage) {
        debug_assert!(self.room() > 0, "no message is taken without a reserved place");
        self.messages.push_back(message);
    }
}
