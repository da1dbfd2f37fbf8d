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
//! | [`Consumer::poll`] | waits for one message, then takes what is ready without waiting, at most [`Batch::room`]; cancel-safe: what it has taken stays in the batch |
//! | [`Consumer::ended`] | waits for the end alone, while there is no room for a message |
//! | [`Consumer::flush`] | sends what the [`Window`] says is settled: one `multiple` acknowledgement for the finished prefix, single ones for finished islands |
//! | [`Consumer::waiting`] | how many messages wait in the queues, asked when nothing moves |
//! | [`Consumer::quiesce`] | no further delivery; what is unsettled may still be settled |
//! | dropped, or the connection lost | whatever is not settled is delivered again, marked `redelivered` |
//!
//! A broken connection ends the consumer with a recoverable error; the client library's own recovery
//! is off, so that a delivery tag of one connection can never be used on the next
//! (each [`IncomingMessage`] belongs to its connection's [`Epoch`]).
//!
//! What this means in detail is a test each in `osnl_testkit::conformance`, which every transport passes.

mod error;
mod memory;
mod message;
mod rabbit;
mod settle;
mod topology;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use osnl_model::{Priority, Target, TransportUrl};

pub use error::TransportError;
pub use memory::{MemoryBroker, MemoryTransport};
pub use message::{Batch, Epoch, IncomingMessage, Properties};
pub use rabbit::RabbitTransport;
pub use settle::{Settlement, Stale, Window};
pub use topology::{Binding, Declare, ListenOptions, QueueKind, Subscription};

/// A boxed future that can cross threads, written out where a trait is used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Queues, and how many messages wait in each.
pub type Waiting = Vec<(Arc<str>, u32)>;

/// A broker that can be listened to.
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

    /// What it can do.
    fn features(&self) -> Features;

    /// Where this transport connects to, for people: hosts and virtual host, no secret.
    fn location(&self) -> String;
}

/// What a transport can do, asked when a daemon is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// A message can go back to its queue and be delivered again.
    pub requeue: bool,
}

/// One open subscription. Dropping it closes the connection; what is unsettled is delivered again.
pub trait Consumer: Send {
    /// What was found and declared when it opened.
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

    /// Sends the settlements that `window` has gathered; leaves them there while the broker takes nothing.
    ///
    /// # Errors
    /// As [`Consumer::poll`]; what was not sent comes back as a redelivery.
    fn flush<'a>(&'a mut self, window: &'a mut Window) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Asks the broker how many messages wait in each queue consumed, what we hold not counted. A few round
    /// trips beside the deliveries, for who wonders why nothing comes; never to be asked for each message.
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

/// The drivers this build knows, as they are written in a transport URL.
pub const DRIVERS: [&str; 2] = ["rabbit", "kombu"];

/// The transport that a URL asks for. Nothing is connected yet.
///
/// # Errors
/// [`TransportError::UnknownDriver`] names the drivers that there are. [`TransportError::Unsupported`]:
/// the query asks for TLS, which must not silently become plain text.
pub fn transport(url: &TransportUrl) -> Result<Box<dyn Transport>, TransportError> {
    for (option, value) in url.query() {
        let off = ["0", "false", "no", "off"].contains(&value.to_ascii_lowercase().as_str());
        if option == "ssl" && !off {
            return Err(TransportError::Unsupported {
                option: format!("{option}={value}"),
                reason: "the login would travel in plain text; leave it out only where the broker listens without TLS",
            });
        }
        if option != "ssl" {
            tracing::warn!("transport_url: the option {option} has no effect yet");
        }
    }
    match url.driver() {
        "rabbit" | "kombu" => Ok(Box::new(RabbitTransport::new(url.clone()))),
        driver => Err(TransportError::UnknownDriver { driver: driver.to_owned() }),
    }
}
