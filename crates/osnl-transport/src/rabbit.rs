//! RabbitMQ over AMQP 0-9-1, by the client library `lapin`.
//!
//! One subscription is one connection, with a channel and a consumer for each queue. Publishing has one connection of
//! its own (see `publisher`). The library's own recovery stays off: a broken connection ends the consumer, and the
//! listener's loop connects anew.

mod alarm;
mod answer;
mod arguments;
mod bindings;
mod connect;
mod consumer;
mod cut;
pub(crate) mod dead_letters;
mod declare;
mod failure;
pub(crate) mod frames;
pub(crate) mod greeting;
mod headers;
mod held;
pub(crate) mod inspection;
mod login;
mod marks;
mod properties;
pub(crate) mod prove;
mod publisher;
mod refusal;
pub(crate) mod remedy;
mod repeated;
mod returned;
mod returns;
mod runtime;
mod side;
mod small_frames;
mod socket;
mod tap;
mod tidy;
mod tune;

pub(crate) mod options;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::Connection;
use osnl_model::{Priority, Target, TransportUrl};
use osnl_net::tls::LatestEnd;
use tokio::time::timeout;

use self::bindings::RabbitBindingWatch;
use self::connect::ConnectionFacts;
use self::consumer::{ConsumerTerms, RabbitConsumer};
use self::dead_letters::QueuePublisher;
use self::declare::{DeclareError, DeclareTerms, Declared, LateTakeOver};
use self::greeting::Greeting;
use self::held::ConnectionGuard;
use self::options::RabbitOptions;
use self::publisher::RabbitPublisher;
use self::remedy::{listener_permissions, login_user, sender_permissions, take_over_policy};
use self::tap::RabbitTap;
use crate::carrier::TIMEOUT;
use crate::hosts::{HostOrder, address};
use crate::outgoing::OutgoingMessage;
use crate::remedy::Remedy;
use crate::topology::{Binding, Declare, ListenOptions, QueueKind, Shards, Subscription, TopologyPlan, plan};
use crate::{
    AlarmWatch, BindingWatch, BoxFuture, Consumer, QueueAccess, QueueSeen, Reconnect, Tap, TapOptions,
    Transport, TransportError,
};

const SUBSCRIBED: Duration = Duration::from_secs(60);

/// The transport to RabbitMQ.
#[derive(Debug)]
pub struct RabbitTransport {
    connector: RabbitConnector,
    /// Whether the broker has refused a transient shared queue, as RabbitMQ 4.3 does by default, so that queues are
    /// declared durable.
    durable_queues: AtomicBool,
    publisher: RabbitPublisher,
    queue_publisher: QueuePublisher,
}

/// The part of the transport that connects, also in a task that outlives a borrow of the transport.
#[derive(Clone, Debug)]
struct RabbitConnector {
    url: TransportUrl,
    options: RabbitOptions,
    order: Arc<HostOrder>,
    certificate: LatestEnd,
}

impl RabbitConnector {
    async fn connect(&self) -> Result<(Connection, String, ConnectionFacts), TransportError> {
        let connect = |at: usize| async move {
            let host = &self.url.hosts()[at];
            let (connection, seen) = connect::connect(&self.url, host, &self.options, TIMEOUT).await?;
            Ok((connection, address(host), seen))
        };
        let (connection, host, seen) = self.order.first(location(&self.url), connect).await?;
        self.certificate.note(seen.certificate_ends);
        let broker = seen.greeting.words();
        tracing::debug!(
            broker.host = host,
            broker.version = broker.as_deref().unwrap_or("unknown"),
            "connected to the broker",
        );
        Ok((connection, host, seen))
    }
}

impl RabbitTransport {
    pub fn new(url: TransportUrl, options: RabbitOptions) -> Result<Self, TransportError> {
        options.check()?;
        if let Some(tls) = options.tls() {
            tls.check_files()?;
        }
        let order = Arc::new(HostOrder::new(url.hosts().len(), options.failover()));
        let connector = RabbitConnector { url, options, order, certificate: LatestEnd::default() };
        let (durable_queues, publisher, queue_publisher) = Default::default();
        let transport = Self { connector, durable_queues, publisher, queue_publisher };
        for host in transport.connector.url.hosts_without_login() {
            let host = address(host);
            tracing::warn!(
                broker.host = host,
                "transport_url: a host has no user, and is logged in to as guest: each host needs its own user:password@",
            );
        }
        Ok(transport)
    }

    /// Returns the transport of a URL with the options of its query. Nothing is connected yet.
    ///
    /// An unverified broker is logged as a warning here, since no check of a configuration reports it.
    pub fn from_url(url: &TransportUrl) -> Result<Self, TransportError> {
        let options = RabbitOptions::from_query(url)?;
        let warning = options.tls().and_then(|tls| tls.warning());
        let transport = Self::new(url.clone(), options)?;
        if let Some(problem) = warning {
            let broker = transport.location();
            let remedy =
                "write tls=verify into the URL's query, and ssl_ca_file=FILE unless the system trusts the CA";
            tracing::warn!(broker.name = broker, reason = problem, remedy, "the broker is not verified",);
        }
        Ok(transport)
    }

    pub async fn connection(&self) -> Result<Connection, TransportError> {
        self.connect().await.map(|(connection, ..)| connection)
    }

    async fn connect(&self) -> Result<(Connection, String, ConnectionFacts), TransportError> {
        self.connector.connect().await
    }

    /// Returns the kind of the queues at this broker, and the one that oslo.messaging declares.
    fn kinds(&self, options: &ListenOptions, greeting: &Greeting) -> (QueueKind, QueueKind) {
        let durable = options.queue.durable || self.durable_queues.load(Ordering::Relaxed);
        let queue = QueueKind { durable, ..options.queue.clone() };
        (queue.for_broker(greeting.rabbitmq()), self.oslo_queue())
    }

    fn terms<'a>(
        &self,
        options: &ListenOptions,
        (kind, oslo): &'a (QueueKind, QueueKind),
        greeting: &Greeting,
    ) -> DeclareTerms<'a> {
        DeclareTerms {
            declare: options.declare,
            is_ours: options.pool.is_some(),
            kind,
            oslo,
            version: greeting.rabbitmq(),
            is_forced: self.durable_queues.load(Ordering::Relaxed),
        }
    }

    async fn open(
        &self,
        to: &[(Target, Priority)],
        options: &ListenOptions,
    ) -> Result<RabbitConsumer, TransportError> {
        let plan = plan(to, options)?;
        let (connection, host, seen) = self.connect().await?;
        let connection = ConnectionGuard::new(connection);
        // A broker that does not answer still sends heartbeats, so a time-out is needed.
        let silent = || TransportError::Connect {
            host: host.clone(),
            reason: format!(
                "logged in, and the subscription is not answered within {} s; is a majority of the queue's nodes up?",
                SUBSCRIBED.as_secs()
            ),
        };
        let subscribed = self.subscribe(connection, (host.clone(), seen), plan, options);
        timeout(SUBSCRIBED, subscribed).await.unwrap_or_else(|_| Err(silent()))
    }

    async fn subscribe(
        &self,
        connection: ConnectionGuard,
        (host, ConnectionFacts { certificate_ends, greeting, body_flow, .. }): (String, ConnectionFacts),
        plan: TopologyPlan,
        options: &ListenOptions,
    ) -> Result<RabbitConsumer, TransportError> {
        let kinds = self.kinds(options, &greeting);
        let (queue, terms) = (&kinds.0, self.terms(options, &kinds, &greeting));
        let forced = terms.is_forced;
        let declared = declare::declare(&connection, &plan, terms);
        let Declared { open, unbound, late, makes } = match declared.await {
            Ok(declared) => declared,
            Err(DeclareError::Failed(error)) if failure::refuses_transient_queues(&error) => {
                // The broker has closed the connection. The next attempt asks for a durable queue, so this is no
                // refusal that the operator has to correct.
                self.durable_queues.store(true, Ordering::Relaxed);
                let reason =
                    format!("{}; the next attempt declares a durable one", failure::NO_TRANSIENT_QUEUES);
                return Err(TransportError::Lost { reason });
            }
            Err(error) => return Err(error.into()),
        };
        let mut remarks = Vec::new();
        if forced && !options.queue.durable && open.iter().any(|queue| queue.created) {
            remarks.push(format!(
                "{}: ours was declared durable. Services that declare such queues cannot publish: {}",
                failure::NO_TRANSIENT_QUEUES,
                failure::DURABLE_EVERYWHERE
            ));
        }
        for LateTakeOver { queue, difference } in late {
            let policy = take_over_policy(self.connector.url.virtual_host(), &queue);
            remarks.push(format!(
                "queue \"{queue}\" ({difference}): when the node of its consumer dies, the next daemon gets its messages \
                 after that time, by default 60 s; unless a policy sets 20 s already: {policy}"
            ));
        }
        for made in open.iter().filter(|made| made.differs.is_none()) {
            if let Some(other) = made.queue_type.filter(|other| *other != queue.queue_type) {
                let (name, other) = (&made.name, other.as_str());
                remarks.push(format!("queue \"{name}\" is a {other} queue by the broker's default type"));
            }
        }
        let subscription = Subscription::new(host, (plan.bindings, unbound), open, remarks);
        let subscription =
            Subscription { certificate_ends, cluster: greeting.cluster.clone(), ..subscription };
        let terms = ConsumerTerms {
            share: plan.share,
            bodies: options.bodies,
            tag: &options.consumer_tag,
            version: greeting.rabbitmq(),
            makes,
        };
        RabbitConsumer::start(connection, body_flow, subscription, terms).await
    }
}

impl Transport for RabbitTransport {
    fn listen<'a>(
        &'a self,
        to: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        Box::pin(async move { self.open(to, options).await.map(|c| Box::new(c) as Box<dyn Consumer>) })
    }

    fn send<'a>(
        &'a self,
        to: &'a Target,
        priority: &'a Priority,
        message: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(self.publisher.send(self, to, priority, message))
    }

    fn blocked(&self) -> BoxFuture<'_, TransportError> {
        Box::pin(self.publisher.blocked())
    }

    fn watch_alarms(
        &self,
        limit: Duration,
    ) -> BoxFuture<'_, Result<Option<Box<dyn AlarmWatch>>, TransportError>> {
        Box::pin(async move {
            let watch = self.look_for_alarms(limit).await?;
            Ok(Some(Box::new(watch) as Box<dyn AlarmWatch>))
        })
    }

    fn watch_bindings<'a>(
        &'a self,
        options: &'a ListenOptions,
        found: &'a Subscription,
    ) -> Option<BoxFuture<'a, Result<Box<dyn BindingWatch>, TransportError>>> {
        Some(Box::pin(async move {
            let (connection, _, ConnectionFacts { greeting, body_flow, .. }) = self.connect().await?;
            let kinds = self.kinds(options, &greeting);
            let bindings: Vec<&Binding> = found.bindings.iter().chain(&found.unbound).collect();
            let makes = self.terms(options, &kinds, &greeting).makes(&bindings, &found.open);
            let connection = Arc::new(ConnectionGuard::new(connection));
            // Without a consumer, silence of a node that is cut off costs nothing.
            let watch = RabbitBindingWatch::new(connection, body_flow, makes, false);
            Ok(Box::new(watch) as Box<dyn BindingWatch>)
        }))
    }

    fn register<'a>(&'a self, shards: &'a Shards) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(self.publisher.register(self, shards))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.publisher.close().await;
            self.queue_publisher.close().await;
        })
    }

    fn tap<'a>(&'a self, options: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        Box::pin(async move {
            let (connection, host, ConnectionFacts { greeting, body_flow, .. }) = self.connect().await?;
            let tap =
                RabbitTap::open(connection, body_flow, host, greeting, &self.connector.url, options).await?;
            Ok(Box::new(tap) as Box<dyn Tap>)
        })
    }

    fn tidy<'a>(
        &'a self,
        superfluous: &'a [Binding],
        queues: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<QueueSeen>>, TransportError>> {
        Box::pin(tidy::tidy(self, superfluous, queues))
    }

    fn queue_access(&self) -> Option<&dyn QueueAccess> {
        Some(self)
    }

    fn oslo_queue(&self) -> QueueKind {
        self.connector.options.queue().as_oslo()
    }

    fn reconnect(&self) -> Reconnect {
        self.connector.options.reconnect()
    }

    fn certificate_ends(&self) -> Option<i64> {
        self.connector.certificate.get()
    }

    fn certificate_of<'a>(&'a self, host: &'a str, limit: Duration) -> BoxFuture<'a, Option<i64>> {
        Box::pin(self.certificate_end(host, limit))
    }

    fn location(&self) -> String {
        location(&self.connector.url)
    }

    fn remedy(
        &self,
        error: &TransportError,
        to: &[(Target, Priority)],
        options: &ListenOptions,
    ) -> Option<Remedy> {
        let (queues, bindings) = (options.queues(to), options.bindings(to));
        let queues: Vec<&str> = queues.iter().map(String::as_str).collect();
        let exchanges: BTreeSet<&str> = bindings.iter().map(|binding| binding.exchange.as_str()).collect();
        let names = (&exchanges.into_iter().collect::<Vec<_>>()[..], &queues[..]);
        let user = login_user(&self.connector.url);
        error.remedy(self.connector.url.virtual_host(), |virtual_host| {
            listener_permissions(user, virtual_host, names, options.declare)
        })
    }

    fn send_remedy(
        &self,
        error: &TransportError,
        exchange: &str,
        routing_key: &str,
        declare: Declare,
    ) -> Option<Remedy> {
        let user = login_user(&self.connector.url);
        error.remedy(self.connector.url.virtual_host(), |virtual_host| {
            sender_permissions(user, virtual_host, exchange, routing_key, declare)
        })
    }
}

fn location(url: &TransportUrl) -> String {
    let hosts: Vec<String> = url.hosts().iter().map(address).collect();
    format!("rabbit at {} (virtual host {})", hosts.join(", "), url.virtual_host())
}
