//! Brokers that carry notifications: RabbitMQ, and an in-process broker for demos and tests. A transport knows
//! exchanges, queues, and delivery tags, but no rule, journal, or action. Other brokers have crates of their own, which
//! implement [`Transport`] with the help of [`parts`].
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

mod backoff;
mod bodies;
mod body_flow;
mod carrier;
mod contract;
pub mod dead_letters;
mod error;
mod future;
mod hosts;
mod logins;
mod memory;
mod message;
mod options;
mod outgoing;
mod rabbit;
mod remedy;
mod settle;
pub mod stamp;
mod tap;
mod tls;
mod topology;

pub use backoff::{Backoff, Reconnect, RetryPauses};
pub use bodies::{BodyBounds, Cut};
pub use contract::{
    AlarmWatch, BINDING_INTERVAL, BindingLook, BindingWatch, Consumer, Features, LostPosition, PartitionSeen,
    QueueDepths, QueueSeen, Transport,
};
pub use dead_letters::{QueueAccess, QueueReader, QueuedMessage, WantsBody};
pub use error::{ALARM_REMEDY, AS_CONFIGURED, TransportError};
pub use future::BoxFuture;
pub use hosts::{FailoverStrategy, plain_address};
pub use memory::{MemoryBroker, MemoryTransport};
pub use message::{AssignedPartition, Batch, Epoch, IncomingMessage, Marks, MessagePlace, Properties};
pub use options::{DriverOptions, DriverSection, OptionError};
pub use outgoing::OutgoingMessage;
pub use rabbit::RabbitTransport;
pub use rabbit::dead_letters::DeadLettersRisk;
#[doc(hidden)]
pub use rabbit::frames::frames_in_pieces;
pub use rabbit::greeting::Greeting;
pub use rabbit::inspection::{
    BrokerInspection, ExchangeInspection, HostFacts, HostInspection, MayWrite, QueueDifference,
    QueueInspection, QueueMade,
};
pub use rabbit::options::{
    FORMER_OPTIONS, HEARTBEAT, HEARTBEAT_OPTION, LoginMethod, NO_EFFECT, OSLO_HEARTBEAT, QueueOptions,
    QuorumLimits, RABBIT_OPTIONS, RabbitOptions, RabbitSection, effect_of,
};
pub use rabbit::prove::{Proof, Proofs, Thorough};
pub use rabbit::remedy::{
    answer_remedy, escaped, listener_permissions, login_user, set_permissions, shell_quoted, take_over_policy,
};
pub use remedy::Remedy;
pub use settle::{Settlement, Stale, Window};
pub use tap::{
    ExchangeFound, GroupLag, GroupSeen, Tap, TapBinding, TapBound, TapMessage, TapOpening, TapOptions,
    TapProperties, TopicSeen, TopicsSeen,
};
pub use tls::{SET_SSL, SET_VERIFY, TlsOptions, TlsVersions, Trust};
pub use topology::{
    Argument, Binding, BrokerVersion, Declare, KNOWN_ARGUMENTS, LONGEST_NAME, ListenOptions, NO_STREAMS,
    OpenQueue, QueueArguments, QueueKind, QueueType, STREAM, Shards, Subscription,
};

/// Parts that the crates of other drivers share with RabbitMQ's.
pub mod parts {
    pub use crate::body_flow::{BodyFlow, BodyShare};
    pub use crate::carrier::{Carrier, Duplex, TIMEOUT, carrier};
    pub use crate::error::NOT_FOUND;
    pub use crate::hosts::{HostOrder, address, address_or};
    pub use crate::logins::in_clear;
    pub use crate::memory::key_matches;
    pub use crate::options::file;
    pub use crate::topology::DEFAULT_EXCHANGE;
}
