//! Taps: a subscription that takes no message from another queue and leaves nothing behind.
//!
//! A tap's queue exists as long as its connection: named by the broker, exclusive, transient, bounded in
//! messages, bytes and age. A full queue drops the oldest messages, so a slow reader costs the broker no more
//! than the bound. The tap declares exchanges only passively.
//!
//! | step | promise |
//! | --- | --- |
//! | [`Transport::tap`](crate::Transport::tap) | one attempt: connected, queue declared, bound to existing exchanges, consuming |
//! | [`Tap::poll`] | waits for one message, then takes all that are ready; cancel-safe: taken messages stay in the batch |
//! | [`Tap::acknowledge`] | acknowledges taken messages; to be called a few times a second |
//! | [`Tap::find`] | checks once whether an exchange exists now, and binds to it with each key that the user may read |
//! | [`Tap::dropped`] | the number of messages that the bound has dropped since the last call |
//!
//! A tap acknowledges with a bounded prefetch. Otherwise the client library would buffer the messages that a slow
//! terminal does not read. With the bound they wait in the tap's queue, which drops the oldest.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{BodyBounds, BoxFuture, Cut, Greeting, TransportError};

/// The bindings and bounds of a tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapOptions {
    pub bindings: Vec<TapBinding>,
    /// The number of messages in transit. Larger is faster, up to about a thousand.
    pub prefetch: u16,
    /// The most messages in the tap's queue; the oldest are dropped first.
    pub max_messages: u32,
    /// The most bytes in the tap's queue.
    pub max_bytes: u64,
    /// The longest time of a message in the tap's queue.
    pub ttl: Duration,
    /// The bound includes copies of [`TapMessage::body`]. Beyond it the rest waits at the broker. During a question
    /// ([`Tap::find`], [`Tap::dropped`]), bodies are cut instead.
    pub bodies: BodyBounds,
}

/// Messages that a tap sees: an exchange and a routing key, which may have wildcards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TapBinding {
    pub exchange: String,
    pub routing_key: String,
}

/// The result of opening a tap, for its first lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapOpening {
    /// The host that accepted the connection.
    pub host: String,
    /// The virtual host of the URL.
    pub virtual_host: String,
    /// The user of the login.
    pub user: String,
    /// The broker's own words about itself.
    pub greeting: Greeting,
    /// The name of the tap's queue.
    pub queue: String,
    /// The exchanges to which the tap is bound.
    pub bound: Vec<String>,
    /// The exchanges that do not exist now.
    pub missing: Vec<String>,
    /// The exchanges that the user may not read, each with the broker's reason.
    pub refused: Vec<(String, String)>,
    /// Whether the messages that the bound drops can be counted.
    pub counts_dropped: bool,
    /// Whether the broker has topics instead of exchanges. Then `bound` names topics, and `missing` routing keys
    /// without a matching topic.
    pub has_topics: bool,
    /// Remarks for the operator.
    pub remarks: Vec<String>,
}

/// The tap's bindings to one exchange. A missing exchange has neither a binding nor a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapBound {
    pub is_bound: bool,
    /// The reason of the first refusal; other keys may be bound.
    pub refusal: Option<String>,
}

/// The tapped topics, and the groups that read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsSeen {
    pub topics: Vec<TopicSeen>,
    pub groups: Vec<GroupSeen>,
    /// The groups beyond the listed ones.
    pub more_groups: usize,
    /// The reason why groups are not listed; `None` if they are.
    pub unlisted: Option<String>,
}

/// A topic as the brokers describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSeen {
    pub name: String,
    pub partitions: usize,
    /// Partitions without a leader, each with the reason.
    pub unreachable: Vec<(i32, String)>,
}

/// A group that reads a tapped topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSeen {
    pub name: String,
    /// The state in the broker's words, such as `stable` or `empty`; `None` if it was not listed.
    pub state: Option<String>,
    /// The number of its consumers; `None` if it is unknown.
    pub members: Option<usize>,
    pub lag: GroupLag,
}

/// The messages from a group's offset to the end, by topic; `None` if an end is unknown. The error is the reason why
/// the group's offsets are unknown.
pub type GroupLag = Result<Vec<(String, Option<u64>)>, String>;

/// An existing exchange, as far as the broker's answers tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeFound {
    /// Its type; `None` if it is unknown.
    pub kind: Option<String>,
    /// Whether it is durable; `None` if it is unknown.
    pub durable: Option<bool>,
}

impl ExchangeFound {
    /// Returns the type if it is another than that of the services' exchanges.
    #[must_use]
    pub fn other_kind(&self) -> Option<&str> {
        self.kind.as_deref().filter(|kind| *kind != "topic")
    }
}

/// A message seen by a tap. Body and headers are as received: nothing is masked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TapMessage {
    pub exchange: String,
    pub routing_key: String,
    pub body: Bytes,
    pub cut: Option<Cut>,
    pub properties: TapProperties,
}

/// The properties of a tapped message; the field names are those of AMQP.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TapProperties {
    /// The MIME type of the body, as the publisher names it.
    pub content_type: Option<String>,
    /// The character set or the compression of the body.
    pub content_encoding: Option<String>,
    /// 1 for a message that a restart of the broker loses, 2 for a persistent one.
    pub delivery_mode: Option<u8>,
    /// The priority in a priority queue.
    pub priority: Option<u8>,
    /// The request to which this message is an answer.
    pub correlation_id: Option<String>,
    /// The queue for answers.
    pub reply_to: Option<String>,
    /// The time to live in a queue, in milliseconds, as text.
    pub expiration: Option<String>,
    /// The publisher's id of the message.
    pub message_id: Option<String>,
    /// The publisher's time, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// The property `type`, a name of the publisher's.
    pub kind: Option<String>,
    /// The user of the publisher's connection, which the broker has checked.
    pub user_id: Option<String>,
    /// The name of the publishing program.
    pub app_id: Option<String>,
    /// The headers, as JSON.
    pub headers: Map<String, Value>,
}

/// An open tap. Dropping it closes the connection, which removes the queue.
pub trait Tap: Send {
    fn tapped(&self) -> &TapOpening;

    /// Waits for a message, then takes all that are ready until `out` holds `limit`. Cancel-safe.
    fn poll<'a>(
        &'a mut self,
        out: &'a mut Vec<TapMessage>,
        limit: usize,
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    fn acknowledge(&mut self) -> BoxFuture<'_, Result<(), TransportError>>;

    fn find<'a>(&'a mut self, exchange: &'a str) -> BoxFuture<'a, Result<TapBound, TransportError>>;

    /// Examines the tapped topics and their groups: the given groups, and those that the broker lists. `None` if the
    /// broker has exchanges.
    fn topics(&mut self, groups: Vec<String>) -> BoxFuture<'_, Result<Option<TopicsSeen>, TransportError>>;

    /// Returns the number of messages that exceeded the queue's bounds since the last call. `None` if the broker does
    /// not permit counting.
    fn dropped(&mut self) -> BoxFuture<'_, Result<Option<u64>, TransportError>>;

    /// Closes in good order: the queue is removed when this returns, if the broker answers.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

pub(crate) fn exchanges(bindings: &[TapBinding]) -> Vec<&str> {
    let mut exchanges: Vec<&str> = Vec::new();
    for binding in bindings {
        if !exchanges.contains(&binding.exchange.as_str()) {
            exchanges.push(&binding.exchange);
        }
    }
    exchanges
}
