//! Dead letter queues: messages that were given up, kept by the broker with the facts about each in its headers.
//!
//! The dead letter queue of a queue `Q` is `Q.dead`. This queue has no binding: messages arrive by the default
//! exchange, and stay until an operator retries or discards each.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::bodies::Cut;
use crate::error::TransportError;
use crate::future::BoxFuture;
use crate::message::Properties;

pub const EXCHANGE: &str = "osnl-exchange";
pub const ROUTING_KEY: &str = "osnl-routing-key";
const SUFFIX: &str = ".dead";

/// The most messages that one reading of a queue takes in hand.
pub const MOST_READ: usize = 10_000;

#[must_use]
pub fn dead_letter_queue(queue: &str) -> String {
    format!("{queue}{SUFFIX}")
}

/// Returns the names of the locks of a queue's readers, in the order in which a reader tries them: a further one if the lock
/// before was left by a reader that is gone with its node.
///
/// Three are enough for the loss of two nodes, beyond which a cluster of five serves no quorum queue.
#[must_use]
pub fn reader_locks(queue: &str) -> [String; 3] {
    [format!("{queue}.reader"), format!("{queue}.reader.2"), format!("{queue}.reader.3")]
}

/// A message of a dead letter queue, to be published or as read.
#[derive(Clone, Debug, Default)]
pub struct QueuedMessage {
    /// The bytes of the body; only the beginning if it is [cut](Self::cut).
    pub body: Bytes,
    pub properties: Properties,
    /// The texts among its headers.
    pub headers: BTreeMap<String, String>,
    /// The size and digest of the whole body; `None` if the body is whole.
    pub cut: Option<Cut>,
}

/// Looks at each message as it arrives, may change its headers, and returns whether the body is kept in memory; the bodies of
/// all others are empty.
pub type WantsBody<'a> = &'a (dyn Fn(&mut QueuedMessage) -> bool + Send + Sync);

/// Writes and reads dead letter queues, on connections beside the subscription's.
pub trait QueueAccess: Send + Sync {
    /// Publishes persistent messages to a queue, and waits until the broker has confirmed each. `make` makes a missing
    /// queue as a dead letter queue.
    ///
    /// # Errors
    /// None of the messages may count as kept, although any may be in the queue: [`NotTaken`](TransportError::NotTaken)
    /// if the queue is full, [`Unroutable`](TransportError::Unroutable) if it is missing, or an error of the
    /// connection.
    fn put<'a>(
        &'a self,
        queue: &'a str,
        make: bool,
        messages: &'a [QueuedMessage],
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Takes all messages of a queue in hand; `None` if the queue is missing. [`TransportError::is_locked`] holds for
    /// the error if another reader has the queue.
    fn take<'a>(
        &'a self,
        queue: &'a str,
        wants_body: WantsBody<'a>,
    ) -> BoxFuture<'a, Result<Option<Box<dyn QueueReader>>, TransportError>>;

    fn depth<'a>(&'a self, queue: &'a str) -> BoxFuture<'a, Result<Option<u32>, TransportError>>;
}

/// All messages of a queue, held unacknowledged on a connection of its own. No other reader of this kind has the queue
/// meanwhile. Dropping it returns all messages that are not acknowledged, in their order.
pub trait QueueReader: Send {
    fn messages(&self) -> &[QueuedMessage];

    fn has_more(&self) -> bool;

    /// Returns the number of messages that waited in the queue when the reading began.
    fn waiting(&self) -> u64;

    /// Removes the message at this index from its queue.
    fn acknowledge(&mut self, at: usize) -> BoxFuture<'_, Result<(), TransportError>>;

    /// Returns the rest to the queue. The broker has processed each acknowledgement when this returns.
    ///
    /// # Errors
    /// The broker has not answered: any message that was acknowledged may still be in the queue.
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), TransportError>>;
}
