//! Taps: a subscription that consumes no message of another queue and leaves nothing behind.
//!
//! A tap has a queue of its own, which exists as long as its connection: named by the broker, exclusive, transient,
//! bounded in messages, bytes and age. When it is full the broker drops the oldest, so that a slow reader costs the
//! broker no more than the bound. It only ever looks at exchanges (passively), and binds its own queue to those that
//! are there.
//!
//! | step | promise |
//! | --- | --- |
//! | [`Transport::tap`](crate::Transport::tap) | one attempt: connected, queue declared, bound to what is there, consuming |
//! | [`Tap::poll`] | waits for one message, then takes what is ready; cancel-safe: what it has taken stays in the batch |
//! | [`Tap::acknowledge`] | tells the broker what was taken; to be called a few times a second |
//! | [`Tap::look_for`] | looks once whether an exchange is there now, and binds to it |
//! | [`Tap::dropped`] | how many messages the bound has cost since the last call |
//!
//! As with [`Transport::listen`](crate::Transport::listen), nothing here sleeps, retries or connects again.
//!
//! A tap acknowledges what it takes, with a bounded prefetch. Otherwise the client library would buffer the messages
//! that a slow terminal does not read; so they wait in the tap's queue, which drops the oldest.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{BodyBounds, BoxFuture, Cut, Greeting, TransportError};

/// The exchanges to tap, and the bounds of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapOptions {
    /// The bindings of the queue. Any routing key is allowed, with `*` and `#` as in AMQP.
    pub bindings: Vec<TapBinding>,
    /// The number of messages that may be on their way to us. More make it faster, up to about a thousand.
    pub prefetch: u16,
    /// Messages that may wait at the broker; beyond, the oldest are dropped.
    pub max_messages: u32,
    /// Bytes of bodies that may wait at the broker; beyond, the oldest are dropped.
    pub max_bytes: u64,
    /// The longest time that a message may wait; older ones are dropped.
    pub ttl: Duration,
    /// The bodies that may be in memory, copies of [`TapMessage::body`] included. Beyond, nothing is read and the rest
    /// waits at the broker; while a question is asked there ([`Tap::look_for`], [`Tap::describe`], [`Tap::dropped`]),
    /// bodies are cut instead.
    pub bodies: BodyBounds,
}

/// One binding of a tap's queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TapBinding {
    /// The exchange; another program must have made it.
    pub exchange: String,
    /// The routing key, such as `notifications.*`.
    pub routing_key: String,
}

/// The result of opening a tap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapOpening {
    /// `host:port` that answered.
    pub host: String,
    /// The virtual host, where exchanges that are missing here may be looked for in vain.
    pub virtual_host: String,
    /// The user logged in as.
    pub user: String,
    /// The broker's description of itself.
    pub greeting: Greeting,
    /// The queue's name, given by the broker.
    pub queue: String,
    /// Exchanges bound to, as they were asked for.
    pub bound: Vec<String>,
    /// Exchanges that are not there; [`Tap::look_for`] looks again.
    pub missing: Vec<String>,
    /// Exchanges that this user must not look at or bind to, with the broker's words.
    pub refused: Vec<(String, String)>,
    /// Whether [`Tap::dropped`] can count.
    pub counts_dropped: bool,
    /// Whether the broker has topics in place of exchanges: those are what `bound` names, and `missing` the routing keys
    /// that no topic matches.
    pub has_topics: bool,
    /// The limits of a tap on this broker, and what was found beside.
    pub remarks: Vec<String>,
}

/// The topics that are tapped, and the groups that read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsSeen {
    /// By name.
    pub topics: Vec<TopicSeen>,
    /// By name.
    pub groups: Vec<GroupSeen>,
    /// Groups that were not looked at.
    pub more_groups: usize,
    /// The reason why the brokers do not list their groups.
    pub unlisted: Option<String>,
}

/// A topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSeen {
    /// Its name.
    pub name: String,
    /// The number of its partitions.
    pub partitions: usize,
    /// The numbers of partitions whose end is not known, with the reason.
    pub unreachable: Vec<(i32, String)>,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSeen {
    /// Its name.
    pub name: String,
    /// Its state, as the broker names it: `stable`, `empty`; `None` if it was not listed.
    pub state: Option<String>,
    /// The number of its members.
    pub members: Option<usize>,
    /// The messages that it has not read.
    pub lag: GroupLag,
}

/// The messages from a group's offset to the end, by topics of which it has one; `None` where an end is not known. An error
/// has the reason why its offsets are not known.
pub type GroupLag = Result<Vec<(String, Option<u64>)>, String>;

/// The properties of an exchange that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeFound {
    /// `topic`, `fanout`, ...; oslo.messaging's are `topic`.
    pub kind: Option<String>,
    /// Whether it outlives a restart of the broker.
    pub durable: Option<bool>,
}

/// A message seen by a tap. Its body and headers are as they came: nothing is masked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TapMessage {
    /// The exchange it was published to.
    pub exchange: String,
    /// The routing key it was published with.
    pub routing_key: String,
    /// The bytes as they came, compressed or not.
    pub body: Bytes,
    /// The body is only the beginning of one that was too large to be kept.
    pub cut: Option<Cut>,
    /// AMQP's basic properties that were set.
    pub properties: TapProperties,
}

/// AMQP's basic properties, under AMQP's names.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "AMQP 0-9-1 names and explains them: class basic")]
pub struct TapProperties {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub expiration: Option<String>,
    pub message_id: Option<String>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    pub kind: Option<String>,
    pub user_id: Option<String>,
    pub app_id: Option<String>,
    /// The table of headers; bytes that are no UTF-8 are replaced.
    pub headers: Map<String, Value>,
}

/// An open tap. Dropping it closes the connection, and with it goes the queue.
pub trait Tap: Send {
    /// Returns the result of its opening.
    fn tapped(&self) -> &TapOpening;

    /// Waits for a message, then takes what else is ready, until `out` holds `limit`. Cancel-safe.
    ///
    /// # Errors
    /// The tap has ended; every such error is final for it.
    fn poll<'a>(
        &'a mut self,
        out: &'a mut Vec<TapMessage>,
        limit: usize,
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Tells the broker what was taken so far, so that nothing is unacknowledged for long.
    ///
    /// # Errors
    /// As [`Tap::poll`].
    fn acknowledge(&mut self) -> BoxFuture<'_, Result<(), TransportError>>;

    /// Looks whether an exchange is there, and binds to it as was asked for. `false`: it is not.
    ///
    /// # Errors
    /// [`TransportError::Refused`]: this user may not; the tap goes on. Anything else as [`Tap::poll`].
    fn look_for<'a>(&'a mut self, exchange: &'a str) -> BoxFuture<'a, Result<bool, TransportError>>;

    /// Asks what an exchange is that is there. It is never made nor altered by that.
    ///
    /// # Errors
    /// As [`Tap::poll`].
    fn describe<'a>(&'a mut self, exchange: &'a str) -> BoxFuture<'a, Result<ExchangeFound, TransportError>>;

    /// Looks at the topics that are tapped, and at the groups that read them: these, and those that the broker lists. `None`
    /// where the broker has exchanges.
    ///
    /// # Errors
    /// As [`Tap::poll`].
    fn topics(&mut self, groups: Vec<String>) -> BoxFuture<'_, Result<Option<TopicsSeen>, TransportError>>;

    /// Returns the number of messages dropped since the last call because too many waited or for too long. `None`
    /// where the broker does not let us count.
    ///
    /// # Errors
    /// As [`Tap::poll`].
    fn dropped(&mut self) -> BoxFuture<'_, Result<Option<u64>, TransportError>>;

    /// Closes in good order: the queue is gone when this returns, if the broker answers.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// The exchanges of some bindings, in their order, without repeats.
pub(crate) fn exchanges(bindings: &[TapBinding]) -> Vec<&str> {
    let mut exchanges: Vec<&str> = Vec::new();
    for binding in bindings {
        if !exchanges.contains(&binding.exchange.as_str()) {
            exchanges.push(&binding.exchange);
        }
    }
    exchanges
}
