//! Brokers that carry notifications: RabbitMQ, and an in-process broker for demos and tests. A transport knows
//! exchanges, queues, and delivery tags, but no rule, journal, or action.
//!
//! ```
//! use osnl_model::{Priority, Target};
//! use osnl_transport::{Batch, Declare, ListenOptions, MemoryBroker, QueueKind, Transport, Window};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = MemoryBroker::new();
//! let to = [(Target::new("nova", "notifications"), Priority::Info)];
//! let options = ListenOptions::new(Some("osnl"), 10, Declare::Create, QueueKind::OSLO);
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
//! A transport connects, declares, hands over ready messages, and sends settlements. A transport never sleeps, retries,
//! or counts: the caller decides when to reconnect, by the pauses of a [`Backoff`].
//!
//! The contract of a [`Consumer`]:
//!
//! | step | promise |
//! | --- | --- |
//! | [`Transport::listen`] | one attempt: connected, declared and consuming, or an error that says whether another attempt makes sense |
//! | [`Consumer::poll`] | waits for one message, then takes ready messages without waiting, at most [`Batch::room`]; one message of each queue in turn, so that a full queue delays no other; in order within a queue; cancel-safe: taken messages stay in the batch |
//! | [`Consumer::ended`] | waits only for the end, while there is no room for a message |
//! | [`Consumer::flush`] | sends the settlements of the [`Window`]: one `multiple` acknowledgement for the finished prefix, single acknowledgements for other finished messages |
//! | [`Consumer::waiting`] | the number of messages that wait in the queues, asked when nothing moves |
//! | [`Consumer::quiesce`] | no further delivery; unsettled messages may still be settled |
//! | dropped, or the connection lost | unsettled messages are delivered again, marked `redelivered` |
//!
//! A broken connection ends the consumer with a recoverable error. The client library's own recovery is off, so that a
//! delivery tag of one connection can never be used on the next. Each [`IncomingMessage`] belongs to its connection's
//! [`Epoch`], and within it to the channel of its queue.

#[cfg(feature = "amqp1")]
mod amqp1;
mod backoff;
mod bodies;
mod body_flow;
mod carrier;
mod contract;
pub mod dead_letters;
mod driver;
mod error;
mod future;
mod hosts;
#[cfg(feature = "kafka")]
mod kafka;
mod logins;
mod memory;
mod message;
mod options;
mod outgoing;
mod rabbit;
mod settle;
pub mod stamp;
mod tap;
mod tls;
mod topology;

use osnl_model::{SentLogin, TransportUrl};

#[cfg(feature = "amqp1")]
pub use amqp1::{Amqp1Transport, options::Amqp1Options};
pub use backoff::{Backoff, Reconnect, RetryPauses};
pub use bodies::{BodyBounds, Cut};
pub use contract::{
    AlarmWatch, BINDING_INTERVAL, BindingLook, BindingWatch, Consumer, Features, LostPosition, PartitionSeen,
    QueueDepths, QueueSeen, Transport,
};
pub use dead_letters::{QueueAccess, QueueReader, QueuedMessage, WantsBody};
pub use driver::{Driver, unknown_driver};
pub use error::{ALARM_REMEDY, AS_CONFIGURED, TransportError};
pub use future::BoxFuture;
pub use hosts::FailoverStrategy;
#[cfg(feature = "kafka")]
pub use kafka::options::{FirstOffset, KAFKA_OPTIONS, KafkaOptions};
#[cfg(feature = "kafka")]
pub use kafka::{KafkaInspection, KafkaTransport, unfinished as kafka_unfinished};
pub use memory::{MemoryBroker, MemoryTransport};
pub use message::{AssignedPartition, Batch, Epoch, IncomingMessage, Marks, Properties};
pub use options::{AMQP1_LIMITS, DriverOptions, DriverSection, OptionError};
pub use outgoing::OutgoingMessage;
pub use rabbit::RabbitTransport;
#[doc(hidden)]
pub use rabbit::frames::frames_in_pieces;
pub use rabbit::greeting::Greeting;
pub use rabbit::inspection::{
    BrokerInspection, ExchangeInspection, HostFacts, HostInspection, MayWrite, QueueInspection, QueueMade,
};
pub use rabbit::options::{
    FORMER_OPTIONS, HEARTBEAT, HEARTBEAT_OPTION, LoginMethod, NO_EFFECT, OSLO_HEARTBEAT, QueueOptions,
    QuorumLimits, RABBIT_OPTIONS, RabbitOptions, RabbitSection, effect_of,
};
pub use rabbit::prove::{Proof, Proofs, Thorough};
pub use rabbit::remedy::{
    answer_remedy, escaped, listener_permissions, login_user, set_permissions, shell_quoted, take_over_policy,
};
pub use settle::{Settlement, Stale, Window};
pub use tap::{
    ExchangeFound, GroupLag, GroupSeen, Tap, TapBinding, TapBound, TapMessage, TapOpening, TapOptions,
    TapProperties, TopicSeen, TopicsSeen,
};
pub use tls::{TlsOptions, TlsVersions, Trust, TrustWarning};
pub use topology::{
    Argument, Binding, BrokerVersion, Declare, KNOWN_ARGUMENTS, LONGEST_NAME, ListenOptions, NO_STREAMS,
    OpenQueue, QueueArguments, QueueKind, QueueType, STREAM, Shards, Subscription,
};

/// Returns the transport for a URL, with the options of its query. Nothing is connected yet.
///
/// An unverified broker is logged as a warning here, since no check of a configuration reports it.
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

pub fn transport_with(
    url: &TransportUrl,
    options: RabbitOptions,
) -> Result<Box<dyn Transport>, TransportError> {
    match Driver::named(url.driver()) {
        #[cfg(feature = "amqp1")]
        Some(Driver::Amqp1) => Ok(Box::new(Amqp1Transport::new(url, Amqp1Options::from_query(url)?)?)),
        #[cfg(feature = "kafka")]
        Some(Driver::Kafka) => Ok(Box::new(KafkaTransport::new(url, KafkaOptions::from_query(url)?)?)),
        Some(Driver::Rabbit) => Ok(Box::new(RabbitTransport::new(url.clone(), options)?)),
        _ => Err(TransportError::UnknownDriver { refusal: unknown_driver(url.driver()) }),
    }
}

#[must_use]
pub fn broker_logins(url: &TransportUrl, options: &RabbitOptions) -> Vec<SentLogin> {
    match Driver::of(url) {
        #[cfg(feature = "amqp1")]
        Driver::Amqp1 => Amqp1Options::from_query(url).map(|options| options.logins(url)).unwrap_or_default(),
        #[cfg(feature = "kafka")]
        Driver::Kafka => KafkaOptions::from_query(url).map(|options| options.logins(url)).unwrap_or_default(),
        _ => options.logins(url),
    }
}
