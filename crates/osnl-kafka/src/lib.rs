//! Apache Kafka, by the client library librdkafka.
//!
//! A group is what a queue is on RabbitMQ, but a topic keeps its messages whether groups read these or not. An offset
//! is committed when everything below it is finished; oslo.messaging's own driver commits before the work is done.
//!
//! | part | |
//! | --- | --- |
//! | `options`, `names` | as in oslo.messaging |
//! | `client`, `failure`, `tls` | clients of the library, questions to brokers, and their errors in words |
//! | `consumer`, `state`, `driver` | a member of a group: the listener's side, the shared state, and the task |
//! | `offsets`, `start` | the finished offsets, and where reading begins |
//! | `tap` | reads partitions outside of groups |
//! | `publisher` | publishes, with a confirm for each message |
//!
//! The library is in C, built with make, and linked to the system's OpenSSL and zlib: no client in Rust has groups, both
//! ways of rebalancing, SCRAM, and all codecs together. A new option has a row in `docs/kafka.md`.

mod client;
mod consumer;
mod driver;
mod failure;
mod names;
mod offsets;
mod options;
mod publisher;
mod start;
mod state;
mod tap;
mod tls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use osnl_model::{Framing, Priority, Target, TransportUrl};
use osnl_transport::{
    BoxFuture, Consumer, Features, ListenOptions, OutgoingMessage, Remedy, Tap, TapOptions, Transport,
    TransportError,
};
use tokio_util::task::TaskTracker;

pub use self::client::KafkaInspection;
use self::consumer::KafkaConsumer;
use self::names::Plan;
use self::offsets::{Offsets, Position};
use self::options::Settings;
pub use self::options::{FirstOffset, KAFKA_OPTIONS, KafkaOptions, KafkaSection, address};
use self::publisher::Publisher;
use self::state::GroupMemory;
use self::tap::KafkaTap;

#[derive(Clone, Debug)]
pub struct KafkaTransport {
    settings: Settings,
    options: KafkaOptions,
    publisher: Arc<Publisher>,
    tasks: TaskTracker,
    groups: Arc<Mutex<BTreeMap<String, GroupMemory>>>,
}

impl KafkaTransport {
    pub fn new(url: &TransportUrl, options: KafkaOptions) -> Result<Self, TransportError> {
        options.check()?;
        if !matches!(url.virtual_host(), "/" | "") {
            return Err(TransportError::ListenOptions {
                problem: format!(
                    "transport_url: Kafka has no virtual hosts, and oslo.messaging's own listener does not read what is sent \
                     with one: remove \"{}\"",
                    url.virtual_host()
                ),
            });
        }
        let settings = Settings::new(url, &options)?;
        tls::judge_files(&settings).map_err(|reason| TransportError::TlsFiles { reason })?;
        let (publisher, groups) = (Arc::default(), Arc::default());
        Ok(Self { settings, options, publisher, tasks: TaskTracker::new(), groups })
    }

    #[doc(hidden)]
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: &str) -> Self {
        self.settings.own.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Asks whether the brokers let us in, and which topics exist; none is made.
    pub async fn inspect(&self, topics: Vec<String>) -> Result<KafkaInspection, TransportError> {
        let settings = self.settings.clone();
        client::blocking(move || client::inspect(&settings, &topics, false)).await
    }

    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.settings.brokers
    }

    /// Returns login and encryption in words, without secrets.
    #[must_use]
    pub fn session(&self) -> String {
        let login = match &self.settings.user {
            Some(user) => format!("logged in as {user}"),
            None => "no login".to_owned(),
        };
        format!("{login}, {}", if self.options.security().tls { "TLS" } else { "no TLS" })
    }

    fn memory_of(&self, group: &str) -> GroupMemory {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.entry(group.to_owned()).or_default().clone()
    }
}

impl Transport for KafkaTransport {
    fn listen<'a>(
        &'a self,
        to: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        Box::pin(async move {
            let plan = Plan::new(to, options, self.options.group())?;
            Ok(Box::new(KafkaConsumer::open(self, plan, options).await?) as Box<dyn Consumer>)
        })
    }

    fn send<'a>(
        &'a self,
        to: &'a Target,
        priority: &'a Priority,
        message: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(self.publisher.send(self, to, priority, message))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.publisher.close())
    }

    fn tap<'a>(&'a self, options: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        Box::pin(async move { KafkaTap::open(self, options).await.map(|tap| Box::new(tap) as Box<dyn Tap>) })
    }

    fn features(&self) -> Features {
        let framing = Some(Framing::Kafka);
        Features { absent: &ABSENT, framing, keys: true, partitions: true, ..Features::USUAL }
    }

    fn location(&self) -> String {
        format!("kafka at {}", self.settings.brokers.replace(',', ", "))
    }

    fn remedy(&self, error: &TransportError, _: &[(Target, Priority)], _: &ListenOptions) -> Option<Remedy> {
        match error {
            TransportError::LoginRefused { .. } => Some(
                "check user and password of transport_url, and sasl_mechanism, which has to be the one that the user was \
                 created for"
                    .into(),
            ),
            _ => error.own_remedy().map(|advice| advice.to_owned().into()),
        }
    }
}

/// Behaviours of the conformance suite that Kafka does not have.
const ABSENT: [&str; 4] = [
    // Two targets with one topic are the same, and order is that of a partition.
    "many_targets_feed_one_pool",
    // Names that a topic can't have are refused.
    "unknown_priorities_and_odd_routing_keys_arrive_as_they_are",
    // A missing topic is always waited for, and nothing of it is missed.
    "a_missing_exchange_is_waited_for_when_it_is_not_ours_to_make",
    // Listening again does not make a group anew. A deleted topic has tests of its own.
    "a_deleted_queue_ends_the_consumer_recoverably",
];

#[doc(hidden)]
#[must_use]
pub fn unfinished(committed: i64, metadata: &str, end: i64) -> u64 {
    Offsets::resume(&Position { offset: committed, metadata: metadata.to_owned() }).unfinished(end)
}
