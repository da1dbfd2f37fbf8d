//! The traits of a transport, and the values that they exchange.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use osnl_model::{Framing, Priority, Target};

use crate::dead_letters::QueueAccess;
use crate::error::TransportError;
use crate::future::BoxFuture;
use crate::message::{Batch, Prefilter};
use crate::outgoing::OutgoingMessage;
use crate::rabbit::options::Reconnect;
use crate::settle::Window;
use crate::tap::{Tap, TapOptions};
use crate::topology::{Binding, ListenOptions, QueueKind, Subscription};

/// Queues, with their messages and consumers.
pub type QueueDepths = Vec<(Arc<str>, QueueSeen)>;

/// A broker that can be listened to, and published to. No method has a default body: a transport around another forwards
/// each of them.
pub trait Transport: Send + Sync {
    /// Makes one attempt to connect, declare and consume. Where the broker has several hosts, one
    /// attempt is one round over all of them.
    ///
    /// # Errors
    /// See [`TransportError`]; [`TransportError::is_recoverable`] tells whether to try again.
    fn listen<'a>(
        &'a self,
        to: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>>;

    /// Publishes a message and waits until the broker has confirmed that it keeps it (or, unless the message
    /// is `mandatory`, that no queue wants it). One attempt; a connection that was lost is opened again by the next.
    ///
    /// Any number of sends may be in flight at the same time, on one connection of their own; beyond a thousand they
    /// wait for one another. Those that were begun one after the other are published in this order, as long as
    /// the connection holds. Of `mandatory` ones, one at a time is in flight. A broker that blocks publishers (memory or disk alarm)
    /// makes a send wait, which is logged once; it has no time limit. A send that is given up may have reached the broker.
    ///
    /// # Errors
    /// See [`TransportError`]. After any of them the message may have reached the broker all the same, unless it is
    /// [`Unroutable`](TransportError::Unroutable) or [`TooLarge`](TransportError::TooLarge).
    fn send<'a>(
        &'a self,
        to: &'a Target,
        priority: &'a Priority,
        message: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Closes in good order what [`Transport::send`] has opened; a later send opens it again.
    fn close(&self) -> BoxFuture<'_, ()>;

    /// Makes one attempt to connect and to tap, with a queue that takes no message from other queues.
    ///
    /// # Errors
    /// As [`Transport::listen`]. A transport that can't be tapped refuses.
    fn tap<'a>(&'a self, options: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>>;

    /// Removes bindings of queues that are ours, then looks at queues, each of which may have gone. Removing what is not
    /// there is no error.
    ///
    /// # Errors
    /// As [`Transport::listen`]. A transport that remembers nothing sees nothing and has nothing to remove.
    fn tidy<'a>(
        &'a self,
        superfluous: &'a [Binding],
        queues: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<QueueSeen>>, TransportError>>;

    /// Returns the access to queues by their names; `None` of a broker that has none, or keeps nothing in them.
    fn queue_access(&self) -> Option<&dyn QueueAccess>;

    /// Returns the queue that oslo.messaging declares with this transport's options.
    fn oslo_queue(&self) -> QueueKind;

    /// Returns the features of this transport.
    fn features(&self) -> Features;

    /// Returns the pauses that its options ask for around attempts to connect; the caller keeps them.
    fn reconnect(&self) -> Reconnect;

    /// Returns the last second, since 1970, in which the certificate counts that the broker showed last; `None` without
    /// TLS, and before the first connection.
    fn certificate_ends(&self) -> Option<i64>;

    /// Returns the address of the broker, for people: hosts and virtual host, no secret.
    fn location(&self) -> String;

    /// Returns the remedy for a failed attempt to listen with these arguments; `None` where the error names it, or none is
    /// known.
    fn remedy(
        &self,
        error: &TransportError,
        to: &[(Target, Priority)],
        options: &ListenOptions,
    ) -> Option<String>;
}

/// The number of messages and of consumers of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSeen {
    /// Messages that wait, those handed to consumers not counted.
    pub messages: u32,
    /// Consumers, ours among them.
    pub consumers: u32,
}

/// A partition of a topic that a consumer reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSeen {
    /// The topic.
    pub topic: Arc<str>,
    /// Its number.
    pub partition: i32,
    /// The offset that is committed next: all messages below it are finished.
    pub next: i64,
    /// The offset after the last message, and when its broker said so; `None` if it never did.
    pub end: Option<(i64, SystemTime)>,
    /// The reason why its broker did not answer the latest question.
    pub unknown: Option<String>,
    /// The position of the group that did not exist any more, so that the partition was read from its beginning.
    pub lost: Option<LostPosition>,
}

/// A position of a group that does not exist any more: the topic was deleted and created anew, or its messages expired unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPosition {
    /// The offset that the group had committed; `None` if that is gone too.
    pub before: Option<i64>,
    /// The offset from which messages were read instead: the first that existed.
    pub start: i64,
}

impl fmt::Display for LostPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.before {
            Some(before) => write!(f, "the committed offset {before} does not exist any more")?,
            None => f.write_str("the group has read before and has no committed offset of the topic")?,
        }
        write!(f, "; messages are read from offset {} on", self.start)
    }
}

impl PartitionSeen {
    /// Returns the messages from the next commit to the end, as Kafka counts a group's lag.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        let (end, _) = self.end?;
        Some(u64::try_from(end.saturating_sub(self.next)).unwrap_or(0))
    }
}

/// The features of a transport, asked when a daemon is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Whether a message can return to its queue and be delivered again. A message of a stream never can.
    pub requeue: bool,
    /// Messages can be published, each confirmed by the broker.
    pub send: bool,
    /// The behaviours of the conformance suite that it does not have, under their names there.
    pub absent: &'static [&'static str],
    /// The one framing of notifications that its readers know; `None`: any.
    pub framing: Option<Framing>,
    /// Whether it orders messages by [`OutgoingMessage::key`].
    pub keys: bool,
    /// Whether the consumers of one name share its partitions among them, whatever the options of a queue are.
    pub partitions: bool,
}

/// One open subscription. Dropping it closes the connection; what is unsettled is delivered again.
pub trait Consumer: Send {
    /// Returns the result of its opening: everything found and declared.
    fn subscription(&self) -> &Subscription;

    /// Sets the filter that tells which messages are not wanted. A consumer may ignore it, and hand over all messages.
    fn set_prefilter(&mut self, prefilter: Arc<dyn Prefilter>);

    /// Waits until at least one message is there, or the [`Prefilter`] has rejected some, then takes what else is ready, up to the room in
    /// `out`. Cancel-safe.
    ///
    /// # Errors
    /// The subscription has ended: the connection or the channel was closed, or the consumer was
    /// cancelled by the broker. Every such error is final for this consumer.
    fn poll<'a>(&'a mut self, out: &'a mut Batch) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Waits for the end of the subscription and hands nothing over: for as long as nothing may be taken, because
    /// a lost connection must be noticed all the same. Cancel-safe; what was sent meanwhile is there for the next
    /// poll.
    fn ended(&mut self) -> BoxFuture<'_, TransportError>;

    /// Messages that have come and were not handed over, as far as is known: those that came while nothing was to be.
    fn untaken(&self) -> usize;

    /// Sends the settlements that `window` has gathered; leaves them there while the broker takes nothing.
    ///
    /// # Errors
    /// As [`Consumer::poll`]; what was not sent comes back as a redelivery.
    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Returns the means to make the bindings of [`Subscription::unbound`] beside the deliveries.
    fn late_bindings(&self) -> Box<dyn LateBindings>;

    /// Asks the broker what waits in each queue consumed, what we hold not counted, and how many consumers it has. A few
    /// round trips beside the deliveries, for a listener to which nothing comes; never to be asked for each message.
    ///
    /// # Errors
    /// The broker did not answer the question; that alone does not end the subscription.
    fn waiting(&self) -> BoxFuture<'static, Result<QueueDepths, TransportError>>;

    /// Returns the partitions that it reads, with their ends as of the last answer to [`Consumer::waiting`], or of the
    /// assignment; `None` where the broker has queues instead.
    fn partitions(&self) -> Option<Vec<PartitionSeen>>;

    /// Asks the broker to send nothing more. Settling stays possible.
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    fn quiesce(&mut self) -> BoxFuture<'_, Result<(), TransportError>>;

    /// Closes in good order: the broker has seen every flushed settlement when this returns.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Makes bindings whose exchange was not there, over the connection of an open subscription.
pub trait LateBindings: Send {
    /// Looks for the exchange of each binding once, makes those whose exchange is there, and answers the others.
    ///
    /// # Errors
    /// The broker refuses, or the connection has ended.
    fn bind<'a>(&'a mut self, bindings: &'a [Binding])
    -> BoxFuture<'a, Result<Vec<Binding>, TransportError>>;
}
