//! Apache Kafka, by the client library librdkafka.
//!
//! One subscription is one member of a consumer group, with a thread of its own that polls the library. oslo.messaging's own
//! driver commits offsets before the work is done; here an offset is committed when everything below it is finished.
//!
//! | part | |
//! | --- | --- |
//! | [`names`] | topics and groups as oslo.messaging names them |
//! | [`offsets`] | what is finished, open, and to be committed; pure |
//! | [`flow`] | when to fetch, to wait, and to pause; pure |
//! | [`start`] | where an assigned partition is read from |
//! | [`ends`] | ends of partitions and members, asked beside the messages |
//! | [`context`] | rebalances and commits, as callbacks of the library |
//! | [`open`], [`worker`] | the thread: its beginning, and its loop |
//! | [`consumer`] | the side of the listener |
//! | [`tap`] | partitions that are read outside of any group |
//! | [`publisher`] | messages that are published, each confirmed |
//! | [`connect`] | the first answer of a broker |
//! | [`tls`] | the reason why a certificate is refused |
//!
//! A group is here what a queue is to RabbitMQ: it has a name, a backlog, and consumers that share it. There are no exchanges,
//! and a topic keeps its messages whether a group reads them or not.

mod connect;
mod consumer;
mod context;
mod ends;
mod failure;
mod flow;
mod names;
mod offsets;
mod open;
pub(crate) mod options;
mod publisher;
mod settings;
mod shared;
mod start;
mod tap;
mod tls;
mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use osnl_model::{Framing, Priority, Target, TransportUrl};

pub use self::connect::KafkaLook;
use self::consumer::{KafkaConsumer, TopicLook};
use self::ends::EndLook;
use self::names::Plan;
use self::offsets::Position;
use self::open::{OpeningThread, StartedThread};
use self::options::KafkaOptions;
use self::publisher::Publisher;
use self::settings::Settings;
use self::shared::GroupMemory;
use self::tap::KafkaTap;
use crate::outgoing::OutgoingMessage;
use crate::topology::{Binding, ListenOptions, QueueKind};
use crate::{
    BoxFuture, Consumer, Features, QueueSeen, Reconnect, Tap, TapOptions, Transport, TransportError,
};

/// Connects to the brokers of a transport URL.
///
/// Clones share the producer, and what is known of groups.
#[derive(Clone, Debug)]
pub struct KafkaTransport {
    settings: Settings,
    options: KafkaOptions,
    publisher: Arc<Publisher>,
    /// The messages that were handed out to members of each group.
    groups: Arc<Mutex<BTreeMap<String, GroupMemory>>>,
}

impl KafkaTransport {
    /// A transport for the URL's brokers; nothing is connected yet.
    ///
    /// # Errors
    /// The options do not fit together, or need a library that is not there.
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
        Ok(Self { settings, options, publisher: Arc::default(), groups: Arc::default() })
    }

    /// Sets a setting of the client library, over all others.
    #[doc(hidden)]
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: &str) -> Self {
        self.settings.own.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Asks the brokers whether they let us in, and whether topics are there; nothing is made.
    ///
    /// # Errors
    /// No broker answers, or it refuses.
    pub async fn look(&self, topics: Vec<String>) -> Result<KafkaLook, TransportError> {
        connect::look(&self.settings, topics).await
    }

    /// Returns the brokers of its URL: `host:port,host:port`.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.settings.brokers
    }

    /// Returns the words for login and encryption of its connections; no secret.
    #[must_use]
    pub fn session(&self) -> String {
        let login = match &self.settings.user {
            Some(user) => format!("logged in as {user}"),
            None => "no login".to_owned(),
        };
        format!("{login}, {}", if self.options.security().tls { "TLS" } else { "no TLS" })
    }

    async fn open(&self, plan: Plan, options: &ListenOptions) -> Result<KafkaConsumer, TransportError> {
        let handed = {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            groups.entry(plan.group.clone()).or_default().clone()
        };
        let opening = OpeningThread::new((&self.settings, &self.options), plan, options, handed);
        let (shared, plan) = (opening.shared.clone(), opening.plan.clone());
        let ended = || failure::lost("the thread of the Kafka client has ended".to_owned());
        let StartedThread { opening, finished } = opening.start()?;
        let subscription = opening.await.unwrap_or_else(|_| Err(ended()))?;
        let group = plan.group.as_str().into();
        let topics: Arc<dyn TopicLook> = Arc::new(Topics(self.settings.clone()));
        let ends = Arc::new(EndLook::new(&self.settings));
        Ok(KafkaConsumer { shared, subscription, plan, group, topics, ends, done: Some(finished) })
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
            self.open(plan, options).await.map(|consumer| Box::new(consumer) as Box<dyn Consumer>)
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

    fn tidy<'a>(
        &'a self,
        _: &'a [Binding],
        queues: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<QueueSeen>>, TransportError>> {
        Box::pin(std::future::ready(Ok(vec![None; queues.len()])))
    }

    fn queue_access(&self) -> Option<&dyn crate::QueueAccess> {
        None
    }

    fn oslo_queue(&self) -> QueueKind {
        QueueKind::OSLO
    }

    fn features(&self) -> Features {
        Features {
            requeue: true,
            send: true,
            absent: &ABSENT,
            framing: Some(Framing::Kafka),
            keys: true,
            partitions: true,
        }
    }

    fn reconnect(&self) -> Reconnect {
        Reconnect::default()
    }

    fn certificate_ends(&self) -> Option<i64> {
        None
    }

    fn location(&self) -> String {
        format!("kafka at {}", self.settings.brokers.replace(',', ", "))
    }

    fn remedy(&self, error: &TransportError, _: &[(Target, Priority)], _: &ListenOptions) -> Option<String> {
        match error {
            TransportError::Tls { remedy, .. } => remedy.clone(),
            TransportError::LoginRefused { .. } => Some(
                "check user and password of transport_url, and sasl_mechanism, which has to be the one that the user was \
                 created for"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// The behaviours of other brokers that Kafka does not have.
const ABSENT: [&str; 4] = [
    // There are no exchanges: two targets with one topic are the same, and order is that of a partition.
    "many_targets_feed_one_pool",
    // A topic has few characters, and is no pattern; other names are refused.
    "unknown_priorities_and_odd_routing_keys_arrive_as_they_are",
    // A topic that is not there is always waited for, without a pool too: nothing of it is missed.
    "a_missing_exchange_is_waited_for_when_it_is_not_ours_to_make",
    // A group is not made anew by listening again; a topic that is deleted has tests of its own.
    "a_deleted_queue_ends_the_consumer_recoverably",
];

/// Asks for topics with a client of its own: a group's is busy with its messages.
struct Topics(Settings);

impl TopicLook for Topics {
    fn missing(&self, topics: Vec<String>) -> BoxFuture<'static, Result<Vec<String>, TransportError>> {
        let looked = connect::look(&self.0, topics);
        Box::pin(async move { looked.await.map(|look| look.missing) })
    }
}

/// The number of messages that a group has not finished in a partition, for tests that look at the broker's side.
#[doc(hidden)]
#[must_use]
pub fn unfinished(committed: i64, metadata: &str, end: i64) -> u64 {
    offsets::unfinished(&Position { offset: committed, metadata: metadata.to_owned() }, end)
}
