//! Dead letter queues: messages that were given up, kept by the broker with what is known of each in its headers.
//!
//! The dead letter queue of a queue `Q` is `Q.dead`. It has no binding; messages come by the default exchange, and stay until
//! an operator retries or discards each.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::bodies::Cut;
use crate::error::TransportError;
use crate::future::BoxFuture;
use crate::message::Properties;

/// The header with the exchange that a message was published to first.
pub const EXCHANGE: &str = "osnl-exchange";
/// The header with the routing key that a message was published with first.
pub const ROUTING_KEY: &str = "osnl-routing-key";
/// The end of the name of a dead letter queue.
const SUFFIX: &str = ".dead";

/// Returns the name of the dead letter queue of a queue.
#[must_use]
pub fn dead_letter_queue(queue: &str) -> String {
    format!("{queue}{SUFFIX}")
}

/// Returns the name of the exclusive queue by which one reader at a time has a dead letter queue.
#[must_use]
pub fn queue_reader(queue: &str) -> String {
    format!("{queue}.reader")
}

/// A message for a queue of osnl's own, or one that is read from there.
#[derive(Clone, Debug, Default)]
pub struct QueuedMessage {
    /// The bytes of its body; only the beginning of one that is [cut](Self::cut).
    pub body: Bytes,
    /// The properties that its body is read by.
    pub properties: Properties,
    /// Its headers whose values are texts, by name.
    pub headers: BTreeMap<String, String>,
    /// The facts about a body that was not read whole.
    pub cut: Option<Cut>,
}

/// A choice of the messages whose bodies are kept in memory, by their headers; of the others the body is empty.
pub type WantsBody<'a> = &'a (dyn Fn(&BTreeMap<String, String>) -> bool + Send + Sync);

/// Access to queues by their names, beside subscriptions.
pub trait QueueAccess: Send + Sync {
    /// Publishes messages to a queue, persistent, and waits until the broker has confirmed each. `make` makes a
    /// missing queue, as a dead letter queue: replicated, without a limit of deliveries, and refusing what does not fit.
    ///
    /// # Errors
    /// None of the messages may count as kept, although any may be in the queue:
    /// [`NotTaken`](TransportError::NotTaken) if the queue is full, [`Unroutable`](TransportError::Unroutable) if it is
    /// gone, and those of a connection.
    fn put<'a>(
        &'a self,
        queue: &'a str,
        make: bool,
        messages: &'a [QueuedMessage],
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Takes all messages of a queue in hand; `None` if there is no such queue.
    ///
    /// # Errors
    /// Those of a connection. [`TransportError::is_locked`] holds if another reader has the queue.
    fn take<'a>(
        &'a self,
        queue: &'a str,
        wants_body: WantsBody<'a>,
    ) -> BoxFuture<'a, Result<Option<Box<dyn QueueReader>>, TransportError>>;

    /// Returns the number of messages that wait in a queue; `None` if there is no such queue. What a reader has in hand is
    /// not counted.
    ///
    /// # Errors
    /// Those of a connection.
    fn depth<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<Option<u32>, TransportError>>;
}

/// All messages of a queue, held unacknowledged on a connection of its own. No other reader of this kind has the queue
/// meanwhile. Dropped, it gives back all other messages, in their order.
pub trait QueueReader: Send {
    /// Returns the messages, oldest first.
    fn messages(&self) -> &[QueuedMessage];

    /// Whether more messages wait than one reader may hold.
    fn has_more(&self) -> bool;

    /// Removes the message at this place from its queue.
    ///
    /// # Errors
    /// The connection has ended: the message may be there still.
    fn acknowledge(&mut self, at: usize) -> BoxFuture<'_, Result<(), TransportError>>;

    /// Gives back the rest; the broker has seen each acknowledgement when this returns.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}
