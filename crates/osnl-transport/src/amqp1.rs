//! AMQP 1.0 as oslo.messaging wrote it until release 14.9 (OpenStack 2024.2), by the client library `fe2o3-amqp`.
//!
//! A publisher sends to an address that names exchange, topic, and priority, and so the reader attaches a link for each.
//! An address is shared: each message goes to one of its readers. There is no pool, no binding, and nothing to declare.
//!
//! | part | |
//! | --- | --- |
//! | [`options`] | the options of the URL, and the addresses |
//! | [`sasl`] | the login |
//! | [`walker`], [`guard`] | what passes to the client library, and the facts that the library hides |
//! | [`consumer`] | the links of a listener; accepted is an acknowledgement, released a requeue |
//! | [`tap`] | browses addresses where the broker permits that |
//!
//! The library's errors of a close are ignored: a closed connection reports an illegal state.

mod consumer;
mod guard;
pub(crate) mod options;
mod sasl;
mod tap;
mod walker;

use std::sync::Arc;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::ReceiverAttachError;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::messaging::{DistributionMode, Source};
use fe2o3_amqp::{Connection, Receiver, Session};
use osnl_model::{Priority, Target, TransportHost, TransportUrl};
use osnl_net::tls::LatestEnd;
use tokio::time::{Instant, timeout_at};

use self::consumer::Amqp1Consumer;
use self::guard::{GuardedStream, LONGEST_FRAME, Observed, SILENCE};
use self::options::Amqp1Options;
use self::sasl::LoginFailure;
use self::tap::Amqp1Tap;
use crate::bodies::BodyBounds;
use crate::dead_letters::QueueAccess;
use crate::outgoing::OutgoingMessage;
use crate::rabbit::carrier::Carrier;
use crate::rabbit::connect::TIMEOUT;
use crate::rabbit::options::FailoverStrategy;
use crate::rabbit::order::HostOrder;
use crate::rabbit::{address, rank, tls};
use crate::stamp::unique_id;
use crate::topology::{Binding, ListenOptions, QueueKind};
use crate::{
    BoxFuture, Consumer, Features, QueueSeen, Reconnect, Tap, TapOptions, Transport, TransportError,
};

/// The bytes that a message may have beside its body.
const AROUND_A_BODY: usize = 64 << 10;

#[derive(Debug)]
pub struct Amqp1Transport {
    url: TransportUrl,
    options: Amqp1Options,
    order: HostOrder,
    certificate: LatestEnd,
}

struct Amqp1Connection {
    handle: ConnectionHandle<()>,
    session: SessionHandle<()>,
    observed: Arc<Observed>,
    host: String,
    certificate_ends: Option<i64>,
}

impl Amqp1Transport {
    /// What the backend cannot do, for the start of a listener and for `check`.
    pub const LIMITS: [&str; 3] = [
        "AMQP 1.0: each message goes to one reader of its address, so another reader takes a share",
        "AMQP 1.0: messages are not durable, and a router keeps none while nothing reads its address",
        "AMQP 1.0: there are no pools, no counts of waiting messages, and no publishing",
    ];

    pub fn new(url: &TransportUrl, options: Amqp1Options) -> Result<Self, TransportError> {
        options.check()?;
        for host in url.hosts() {
            options.mechanism(url, host.username.is_some())?;
        }
        if let Some(tls) = options.tls(url) {
            tls::config(&tls).map_err(|reason| TransportError::TlsFiles { reason })?;
        }
        let order = HostOrder::new(url.hosts().len(), FailoverStrategy::RoundRobin);
        Ok(Self { url: url.clone(), options, order, certificate: LatestEnd::default() })
    }

    /// Makes one attempt to log in, and returns the host with the name that the broker gives itself.
    pub async fn look(&self) -> Result<(String, Option<String>), TransportError> {
        let connection = self.connect(BodyBounds::default()).await?;
        let found = (connection.host.clone(), connection.product());
        connection.close().await;
        Ok(found)
    }

    /// Tries all hosts once. If all fail, the error is the one that the operator has to correct.
    async fn connect(&self, bodies: BodyBounds) -> Result<Amqp1Connection, TransportError> {
        let mut worst: Option<TransportError> = None;
        for index in self.order.round() {
            match self.connect_to(&self.url.hosts()[index], bodies).await {
                Ok(connection) => {
                    self.certificate.note(connection.certificate_ends);
                    return Ok(connection);
                }
                Err(failure) if worst.as_ref().is_none_or(|w| rank(w) <= rank(&failure)) => {
                    worst = Some(failure);
                }
                Err(_) => {}
            }
        }
        Err(worst.unwrap_or_else(|| TransportError::Connect {
            host: self.location(),
            reason: "the transport URL names no host".to_owned(),
        }))
    }

    async fn connect_to(
        &self,
        host: &TransportHost,
        bodies: BodyBounds,
    ) -> Result<Amqp1Connection, TransportError> {
        let (deadline, seconds) = (Instant::now() + TIMEOUT, TIMEOUT.as_secs_f64());
        let tls = self.options.tls(&self.url);
        let (carrier, certificate_ends) = Carrier::connect(host, tls.as_ref(), (deadline, seconds)).await?;
        let observed = Arc::<Observed>::default();
        observed.body_flow.begin(bodies);
        let address = address(host);
        let failed = |reason| TransportError::Connect { host: address.clone(), reason };
        let silent = |_| failed(format!("no answer within {seconds} s"));
        let reason = |found: &dyn std::fmt::Display| observed.reason().unwrap_or_else(|| found.to_string());
        let user = host.username.clone().unwrap_or_default();
        let mechanism = self.options.mechanism(&self.url, host.username.is_some())?;
        let mut stream = GuardedStream::new(carrier, Arc::clone(&observed));
        let login = sasl::login(&mut stream, mechanism, (&user, host.credentials().1), &host.hostname);
        timeout_at(deadline, login).await.map_err(silent)?.map_err(|failure| match failure {
            LoginFailure::Refused(reason) => {
                TransportError::LoginRefused { host: address.clone(), user: user.clone(), reason }
            }
            LoginFailure::Broken(found) => failed(reason(&found)),
        })?;
        let opening = Connection::builder()
            .container_id(format!("osnl-{}", unique_id()))
            .hostname(self.options.virtual_host(&self.url).unwrap_or(&host.hostname))
            .max_frame_size(LONGEST_FRAME)
            .idle_time_out(u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX))
            .open_with_stream(stream);
        let opened = timeout_at(deadline, opening).await.map_err(silent)?;
        let mut handle = opened.map_err(|error| failed(reason(&error)))?;
        let session = timeout_at(deadline, Session::begin(&mut handle)).await.map_err(silent)?;
        let session =
            session.map_err(|error| failed(observed.reason().unwrap_or_else(|| error.to_string())))?;
        Ok(Amqp1Connection { handle, session, observed, host: address, certificate_ends })
    }
}

impl Amqp1Connection {
    fn product(&self) -> Option<String> {
        self.observed.facts().product.clone()
    }

    /// Attaches a link; with `mode` copy the messages stay at the address.
    async fn attach(
        &mut self,
        address: &str,
        mode: DistributionMode,
        bodies: BodyBounds,
    ) -> Result<Receiver, TransportError> {
        let source = Source::builder().address(address).distribution_mode(mode).build();
        let most = (bodies.whole + AROUND_A_BODY) as u64;
        let attaching = Receiver::builder()
            .name(format!("osnl-{}", unique_id()))
            .source(source)
            .max_message_size(most)
            .credit_mode(CreditMode::Manual)
            .attach(&mut self.session);
        let refused = |reason: String| TransportError::Refused {
            what: format!("read address \"{address}\""),
            reason,
            code: None,
        };
        let lost = |reason| TransportError::Lost { reason };
        let attached = tokio::time::timeout(TIMEOUT, attaching).await;
        let attached = attached.map_err(|_| lost("the broker does not answer to a link".to_owned()))?;
        attached.map_err(|error| match error {
            ReceiverAttachError::RemoteClosedWithError(error) => {
                refused(error.description.unwrap_or_else(|| format!("{:?}", error.condition)))
            }
            error => match self.observed.reason() {
                Some(reason) => refused(reason),
                None => lost(error.to_string()),
            },
        })
    }

    /// Closes in order; an error of the library says nothing that matters here.
    async fn close(mut self) {
        self.observed.body_flow.end();
        let orderly = async {
            let _ = self.session.end().await;
            let _ = self.handle.close().await;
        };
        if tokio::time::timeout(TIMEOUT, orderly).await.is_err() {
            tracing::debug!(seconds = TIMEOUT.as_secs(), "connection did not close in time");
        }
    }
}

impl Drop for Amqp1Connection {
    fn drop(&mut self) {
        self.observed.body_flow.end();
    }
}

impl Transport for Amqp1Transport {
    fn listen<'a>(
        &'a self,
        to: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        Box::pin(async move {
            let consumer = Amqp1Consumer::open(self, to, options).await?;
            Ok(Box::new(consumer) as Box<dyn Consumer>)
        })
    }

    fn send<'a>(
        &'a self,
        _: &'a Target,
        _: &'a Priority,
        _: OutgoingMessage,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move { Err(TransportError::OnlyListens { location: self.location() }) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn tap<'a>(&'a self, options: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        Box::pin(async move { Ok(Box::new(Amqp1Tap::open(self, options).await?) as Box<dyn Tap>) })
    }

    fn tidy<'a>(
        &'a self,
        _: &'a [Binding],
        queues: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<QueueSeen>>, TransportError>> {
        Box::pin(std::future::ready(Ok(vec![None; queues.len()])))
    }

    fn queue_access(&self) -> Option<&dyn QueueAccess> {
        None
    }

    fn oslo_queue(&self) -> QueueKind {
        QueueKind::OSLO
    }

    fn features(&self) -> Features {
        Features {
            requeue: true,
            send: false,
            absent: &ABSENT,
            framing: None,
            keys: false,
            partitions: false,
        }
    }

    fn reconnect(&self) -> Reconnect {
        Reconnect::default()
    }

    fn certificate_ends(&self) -> Option<i64> {
        self.certificate.get()
    }

    fn location(&self) -> String {
        let hosts: Vec<String> = self.url.hosts().iter().map(address).collect();
        format!("AMQP 1.0 at {}", hosts.join(", "))
    }

    fn remedy(&self, error: &TransportError, _: &[(Target, Priority)], _: &ListenOptions) -> Option<String> {
        error.own_remedy().map(str::to_owned)
    }
}

/// Behaviours of the conformance suite that AMQP 1.0 does not have.
const ABSENT: [&str; 12] = [
    // An address exists when something uses it; the broker does not say whether it is new, or what waits there.
    "a_subscription_opens_says_what_it_made_and_closes",
    "what_was_published_while_nobody_listened_waits",
    "what_waits_in_the_queue_is_known_without_taking_it",
    "a_deleted_queue_ends_the_consumer_recoverably",
    // There are no pools, and no counts of other readers.
    "pools_have_a_copy_each",
    "listeners_of_one_pool_share",
    "many_targets_feed_one_pool",
    // A released message is not marked: its delivery has not failed.
    "what_is_given_back_comes_again_marked",
    "a_prefix_does_not_swallow_what_is_given_back",
    // There are no exchanges and no patterns.
    "unknown_priorities_and_odd_routing_keys_arrive_as_they_are",
    "a_missing_exchange_is_waited_for_when_it_is_not_ours_to_make",
    "a_queue_of_ours_is_read_before_its_exchange_is_there",
];
