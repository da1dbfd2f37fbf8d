//! Brokers that carry notifications: RabbitMQ, and one in the process for demos and tests. A transport knows exchanges,
//! queues, and delivery tags; it knows no rule, journal, or action.
//!
//! ```
//! use osnl_model::{Priority, Target};
//! use osnl_transport::{Batch, BodyBounds, Declare, ListenOptions, MemoryBroker, QueueKind, Transport, Window};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = MemoryBroker::new();
//! let to = [(Target::new("nova", "notifications"), Priority::Info)];
//! let options = ListenOptions {
//!     pool: Some("osnl".to_owned()),
//!     prefetch: 10,
//!     declare: Declare::Create,
//!     queue: QueueKind::OSLO,
//!     bodies: BodyBounds::default(),
//! };
//! let mut consumer = broker.transport().listen(&to, &options).await?;
//! broker.publish(&to[0].0, &to[0].1, r#"{"event_type": "compute.instance.delete.end"}"#);
//!
//! let (mut window, mut batch) = (Window::new(consumer.subscription().epoch), Batch::with_limit(10));
//! consumer.poll(&mut batch).await?;
//! window.admit(&batch);
//! for message in batch.drain() {
//!     assert_eq!((&*message.queue, &*message.routing_key), ("osnl", "notifications.info"));
//!     window.acknowledge(message)?;
//! }
//! consumer.flush(&mut window).await?;
//! # Ok(())
//! # }
//! ```
//!
//! For RabbitMQ, [`transport`] makes the transport of a [`TransportUrl`]; the rest is the same.
//!
//! A transport connects, declares, hands over the messages that are ready, and sends settlements. It never sleeps, retries,
//! or counts: the caller decides when to connect again, by the pauses of a [`Backoff`].
//!
//! The contract of a [`Consumer`]:
//!
//! | step | promise |
//! | --- | --- |
//! | [`Transport::listen`] | one attempt: connected, declared and consuming, or an error that says whether another attempt makes sense |
//! | [`Consumer::poll`] | waits for one message, then takes what is ready without waiting, at most [`Batch::room`]; of several queues one message each in turn, so that a full one keeps none waiting; within a queue in its order; cancel-safe: what it has taken stays in the batch |
//! | [`Consumer::set_prefilter`] | a consumer that can (Kafka's) finishes by itself what is not wanted, and `poll` returns with the number of such messages too |
//! | [`Consumer::ended`] | waits for the end alone, while there is no room for a message |
//! | [`Consumer::flush`] | sends what the [`Window`] says is settled: one `multiple` acknowledgement for the finished prefix, single ones for finished islands |
//! | [`Consumer::waiting`] | how many messages wait in the queues, asked when nothing moves |
//! | [`Consumer::quiesce`] | no further delivery; what is unsettled may still be settled |
//! | dropped, or the connection lost | whatever is not settled is delivered again, marked `redelivered` |
//!
//! [`Transport::send`] publishes a message and waits for the broker's confirmation.
//!
//! A broken connection ends the consumer with a recoverable error; the client library's own recovery
//! is off, so that a delivery tag of one connection can never be used on the next
//! (each [`IncomingMessage`] belongs to its connection's [`Epoch`], and within it to the channel of its queue).
//!
//! **A stream takes nothing back.** Requeuing one of its messages ends the consumer with a recoverable error; the next
//! consumer reads from the place of [`QueueKind::resume`]. A listener that continues keeps the message and hands it out
//! again. Such a message has a [`stream_offset`](IncomingMessage::stream_offset).
//!
//! Each detail of this contract is a test in `osnl_testkit::conformance`, which every transport passes.

mod backoff;
mod bodies;
mod contract;
pub mod dead_letters;
mod error;
mod future;
#[cfg(feature = "kafka")]
mod kafka;
mod logins;
mod memory;
mod message;
mod outgoing;
mod rabbit;
mod settle;
pub mod stamp;
mod tap;
mod topology;

use osnl_model::{SentLogin, TransportUrl};

pub use backoff::Backoff;
pub use bodies::{BodyBounds, Cut};
pub use contract::{
    Consumer, Features, LateBindings, LostPosition, PartitionSeen, QueueDepths, QueueSeen, Transport,
};
pub use dead_letters::{QueueAccess, QueueReader, QueuedMessage, WantsBody};
pub use error::{DRIVERS, TransportError};
pub use future::BoxFuture;
#[cfg(feature = "kafka")]
pub use kafka::options::{FirstOffset, KAFKA_OPTIONS, KafkaOptions, SecurityProtocol};
#[cfg(feature = "kafka")]
pub use kafka::{KafkaLook, KafkaTransport, unfinished as kafka_unfinished};
pub use memory::{MemoryBroker, MemoryTransport};
pub use message::{
    AssignedPartition, Batch, Epoch, IncomingMessage, Marks, MessageView, Prefilter, Properties,
};
pub use outgoing::OutgoingMessage;
pub use rabbit::RabbitTransport;
#[doc(hidden)]
pub use rabbit::frames::frames_in_pieces;
pub use rabbit::greeting::Greeting;
pub use rabbit::look::{ExchangeLook, HostFacts, HostLook, Look, MayWrite, QueueLook, QueueMade};
pub use rabbit::options::{
    FORMER_OPTIONS, FailoverStrategy, HEARTBEAT, HEARTBEAT_OPTION, LoginMethod, NO_EFFECT, OSLO_HEARTBEAT,
    OptionError, QueueOptions, QuorumLimits, RABBIT_OPTIONS, RabbitOptions, Reconnect, RetryPauses,
    TlsOptions, TlsVersions, Trust, TrustWarning, effect_of,
};
pub use rabbit::prove::{Proof, Proofs, Thorough};
pub use rabbit::remedy::{
    answer_remedy, escaped, listener_permissions, login_user, set_permissions, shell_quoted, take_over_policy,
};
pub use settle::{Settlement, Stale, Window};
pub use tap::{
    ExchangeFound, GroupLag, GroupSeen, Tap, TapBinding, TapMessage, TapOpening, TapOptions, TapProperties,
    TopicSeen, TopicsSeen,
};
pub use topology::{
    Argument, Binding, BrokerVersion, CONSUMER_DISCONNECTED_TIMEOUT, Declare, KNOWN_ARGUMENTS, LONGEST_NAME,
    ListenOptions, OpenQueue, QueueArguments, QueueKind, QueueType, Resume, StreamOffset, Subscription,
};

/// The transport that a URL asks for, with the options of its query. Nothing is connected yet.
///
/// # Errors
/// [`TransportError::UnknownDriver`] names the drivers that there are; an option of the query may be wrong, or a
/// file that it names. A broker that is not verified is warned of: no configuration with findings stands behind the URL.
pub fn transport(url: &TransportUrl) -> Result<Box<dyn Transport>, TransportError> {
    let options = RabbitOptions::from_query(url)?;
    let warning = options.tls().and_then(|tls| tls.warning());
    let transport = transport_with(url, options)?;
    if let Some(TrustWarning { problem, remedy }) = warning {
        let broker = transport.location();
        tracing::warn!(broker.name = broker, reason = problem, remedy, "the broker is not verified",);
    }
    Ok(transport)
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
        #[cfg(feature = "kafka")]
        "kafka" => Ok(Box::new(KafkaTransport::new(url, KafkaOptions::from_query(url)?)?)),
        "rabbit" | "kombu" => Ok(Box::new(RabbitTransport::new(url.clone(), options)?)),
        driver => Err(TransportError::UnknownDriver { driver: driver.to_owned() }),
    }
}

/// Returns the login at each host of a broker with these options; of Kafka with those of the URL.
#[must_use]
pub fn broker_logins(url: &TransportUrl, options: &RabbitOptions) -> Vec<SentLogin> {
    match url.driver() {
        #[cfg(feature = "kafka")]
        "kafka" => KafkaOptions::from_query(url).map(|options| options.logins(url)).unwrap_or_default(),
        _ => options.logins(url),
    }
}
