//! Brokers that carry notifications, and nothing else: a transport knows exchanges, queues and
//! delivery tags; it knows no rule, no journal and no action.
//!
//! A transport *says what*: it connects, declares, hands over whatever is ready, and sends the
//! settlements it is given. It never sleeps, never retries and never counts: *when* to connect
//! again is the listener's business (`osnl::listener`).
//!
//! The contract of a [`Consumer`]:
//!
//! | step | promise |
//! | --- | --- |
//! | [`Transport::listen`] | one attempt: connected, declared and consuming, or an error that says whether another attempt makes sense |
//! | [`Consumer::poll`] | waits for one message, then takes what is ready without waiting, at most [`Batch::room`]; of several queues one message each in turn, so that a full one keeps none waiting; within a queue in its order; cancel-safe: what it has taken stays in the batch |
//! | [`Consumer::ended`] | waits for the end alone, while there is no room for a message |
//! | [`Consumer::flush`] | sends what the [`Window`] says is settled: one `multiple` acknowledgement for the finished prefix, single ones for finished islands |
//! | [`Consumer::waiting`] | how many messages wait in the queues, asked when nothing moves |
//! | [`Consumer::quiesce`] | no further delivery; what is unsettled may still be settled |
//! | dropped, or the connection lost | whatever is not settled is delivered again, marked `redelivered` |
//!
//! [`Transport::send`] publishes; it says itself what it promises.
//!
//! A broken connection ends the consumer with a recoverable error; the client library's own recovery
//! is off, so that a delivery tag of one connection can never be used on the next
//! (each [`IncomingMessage`] belongs to its connection's [`Epoch`], and within it to the channel of its queue).
//!
//! **A stream takes nothing back.** A message that is requeued there ends the consumer with a recoverable error
//! instead of being dropped: the next one reads from where [`QueueKind::resume`] says. A listener that continues
//! holds the message and hands it out again ([`IncomingMessage::stream_offset`] tells one).
//!
//! Each detail of this contract is a test in `osnl_testkit::conformance`, which every transport passes.

mod error;
mod memory;
mod message;
mod outgoing;
mod rabbit;
mod settle;
mod tap;
mod topology;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use osnl_model::{Priority, Target, TransportUrl};

pub use error::TransportError;
pub use memory::{MemoryBroker, MemoryTransport};
pub use message::{Batch, BodyBounds, Cut, Epoch, IncomingMessage, Properties};
pub use outgoing::{Outgoing, Route};
pub use rabbit::RabbitTransport;
#[doc(hidden)]
pub use rabbit::frames::frames_in_pieces;
pub use rabbit::greeting::Greeting;
pub use rabbit::look::{ExchangeLook, HostLook, Look, MayWrite, QueueLook, QueueMade, Reached};
pub use rabbit::options::{
    Failover, LoginMethod, OptionError, QueueOptions, QuorumLimits, RABBIT_OPTIONS, RabbitOptions, Reconnect,
    RetryPauses, TlsOptions, TlsVersions, Trust, effect_of,
};
pub use rabbit::prove::{Proof, Proofs, Thorough, escaped, set_permissions, shell_quoted};
pub use settle::{Settlement, Stale, Window};
pub use tap::{ExchangeFound, Tap, TapBinding, TapMessage, TapOptions, TapProperties, Tapped};
pub use topology::{
    Argument, Arguments, Binding, Declare, KNOWN_ARGUMENTS, ListenOptions, OpenQueue, QueueKind, QueueType,
    Resume, StreamOffset, Subscription,
};

/// A boxed future that can cross threads, written out where a trait is used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Queues, and what the broker says of each.
pub type Waiting = Vec<(Arc<str>, QueueSeen)>;

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
        message: Outgoing,
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Closes in good order what [`Transport::send`] has opened; a later send opens it again.
    fn close(&self) -> BoxFuture<'_, ()>;

    /// Makes one attempt to connect and to tap, with a queue that takes no message from other queues.
    ///
    /// # Errors
    /// As [`Transport::listen`]. A transport that can't be tapped refuses.
    fn tap<'a>(&'a self, options: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>>;

    /// Looks at queues that are ours, each of which may have gone, and removes bindings of them; with `alone` only if
    /// none of them has more than one consumer. Removing what is not there is no error.
    ///
    /// # Errors
    /// As [`Transport::listen`]. A transport that remembers nothing sees nothing and has nothing to remove.
    fn tidy<'a>(
        &'a self,
        superfluous: &'a [Binding],
        queues: &'a [String],
        alone: bool,
    ) -> BoxFuture<'a, Result<Vec<Option<QueueSeen>>, TransportError>>;

    /// Returns the features of this transport.
    fn features(&self) -> Features;

    /// Returns the pauses that its options ask for around attempts to connect; the caller keeps them.
    fn reconnect(&self) -> Reconnect;

    /// Returns the last second, since 1970, in which the certificate counts that the broker showed last; `None` without
    /// TLS, and before the first connection.
    fn certificate_ends(&self) -> Option<i64>;

    /// Returns the address of the broker, for people: hosts and virtual host, no secret.
    fn location(&self) -> String;
}

/// The number of messages and of consumers of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSeen {
    /// Messages that wait, those handed to consumers not counted.
    pub messages: u32,
    /// Consumers, ours among them.
    pub consumers: u32,
}

/// The features of a transport, asked when a daemon is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// A message can go back to its queue and be delivered again; never to a stream, whatever this says.
    pub requeue: bool,
    /// Messages can be published, each confirmed by the broker.
    pub send: bool,
}

/// One open subscription. Dropping it closes the connection; what is unsettled is delivered again.
pub trait Consumer: Send {
    /// Returns the result of its opening: everything found and declared.
    fn subscription(&self) -> &Subscription;

    /// Waits until at least one message is there, then takes what else is ready, up to the room in
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
    fn waiting(&self) -> BoxFuture<'static, Result<Waiting, TransportError>>;

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

/// The drivers this build knows, as they are written in a transport URL.
pub const DRIVERS: [&str; 2] = ["rabbit", "kombu"];

/// The transport that a URL asks for, with the options of its query. Nothing is connected yet.
///
/// # Errors
/// [`TransportError::UnknownDriver`] names the drivers that there are; an option of the query may be wrong, or a
/// file that it names.
pub fn transport(url: &TransportUrl) -> Result<Box<dyn Transport>, TransportError> {
    transport_with(url, RabbitOptions::from_query(url)?)
}

/// The same with these options instead of the query's.
///
/// # Errors
/// As [`transport`].
pub fn transport_with(
    url: &TransportUrl,
    options: RabbitOptions,
) -> Result<Box<dyn Transport>, TransportError> {
    match url.driver() {
        "rabbit" | "kombu" => Ok(Box::new(RabbitTransport::new(url.clone(), options)?)),
        driver => Err(TransportError::UnknownDriver { driver: driver.to_owned() }),
    }
}
