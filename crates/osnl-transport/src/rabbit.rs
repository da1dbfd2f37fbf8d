//! RabbitMQ over AMQP 0-9-1, by the client library `lapin`.
//!
//! One subscription is one connection with one channel and one consumer. The library's own recovery
//! stays off: a broken connection ends the consumer, and the listener's loop connects anew.
//!
//! What is declared is what oslo.messaging declares (see [`declare`]); what is already there is never
//! declared with other arguments, nor altered.

mod consumer;
mod declare;
mod failure;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties};
use osnl_model::{Priority, Target, TransportHost, TransportUrl};

use self::consumer::RabbitConsumer;
use self::declare::DeclareError;
use self::failure::{connect_failure, lost};
use crate::message::Epoch;
use crate::topology::{ListenOptions, QueueKind, Subscription, bindings};
use crate::{BoxFuture, Consumer, Features, Transport, TransportError};

/// How long one host may take to accept, log in and open the virtual host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_PORT: u16 = 5672;

/// Connects to the hosts of a transport URL.
#[derive(Debug)]
pub struct RabbitTransport {
    url: TransportUrl,
    /// The broker has refused a transient shared queue (RabbitMQ 4.3 does by default): declare durable ones.
    durable_queues: AtomicBool,
    heartbeat: Option<Duration>,
}

impl RabbitTransport {
    /// A transport for the URL's hosts; nothing is connected yet.
    #[must_use]
    pub fn new(url: TransportUrl) -> Self {
        Self { url, durable_queues: AtomicBool::new(false), heartbeat: None }
    }

    /// Asks for a heartbeat in whole seconds, at least one. The smaller of this and the broker's is used; a
    /// connection over which nothing has come for twice as long is given up.
    #[must_use]
    pub fn with_heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// One round over all hosts, beginning anywhere: the first that lets us in.
    ///
    /// A refused login is told rather than a refused connection: it is what somebody has to mend.
    async fn connect(&self) -> Result<(Connection, String), TransportError> {
        let mut hosts: Vec<&TransportHost> = self.url.hosts().iter().collect();
        fastrand::shuffle(&mut hosts);
        let mut worst: Option<TransportError> = None;
        for host in hosts {
            let address = address(host);
            let properties = ConnectionProperties::default()
                .with_connection_name(format!("osnl:{}", std::process::id()).into())
                .with_client_property("product".into(), "osnl".into());
            let attempt = Connection::connect_uri(self.uri(host), properties);
            let failure = match tokio::time::timeout(CONNECT_TIMEOUT, attempt).await {
                Ok(Ok(connection)) => return Ok((connection, address)),
                Ok(Err(error)) => {
                    connect_failure(&error, &address, host.credentials().0, self.url.virtual_host())
                }
                Err(_) => TransportError::Connect {
                    host: address,
                    reason: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
                },
            };
            if worst.as_ref().is_none_or(|w| !w.is_refused_access()) {
                worst = Some(failure);
            }
        }
        Err(worst.unwrap_or_else(|| TransportError::Connect {
            host: self.location(),
            reason: "the transport URL names no host".to_owned(),
        }))
    }

    fn uri(&self, host: &TransportHost) -> AMQPUri {
        let (username, password) = host.credentials();
        AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: username.to_owned(), password: password.to_owned() },
                host: host.hostname.clone(),
                port: host.port_or(DEFAULT_PORT),
            },
            vhost: self.url.virtual_host().to_owned(),
            query: AMQPQueryString {
                heartbeat: self
                    .heartbeat
                    .map(|every| u16::try_from(every.as_secs().max(1)).unwrap_or(u16::MAX)),
                ..AMQPQueryString::default()
            },
        }
    }

    async fn open(
        &self,
        to: &[(Target, Priority)],
        options: &ListenOptions,
    ) -> Result<RabbitConsumer, TransportError> {
        let bindings = bindings(to, options.pool.as_deref());
        let (connection, host) = self.connect().await?;
        let forced = self.durable_queues.load(Ordering::Relaxed);
        let queue = QueueKind { durable: options.queue.durable || forced, ..options.queue };
        let declared = match declare::declare(&connection, &bindings, options.declare, queue).await {
            Ok(declared) => declared,
            Err(DeclareError::Failed(error)) if failure::refuses_transient_queues(&error) => {
                // The broker has closed the connection over it. The next attempt asks for a durable one, so this
                // is no refusal that anybody has to mend, nor one that may end the start.
                self.durable_queues.store(true, Ordering::Relaxed);
                return Err(lost(&error.error));
            }
            Err(error) => return Err(error.into()),
        };
        let mut subscription = Subscription {
            epoch: Epoch::next(),
            host,
            bindings,
            waiting: declared.waiting,
            other_consumers: declared.other_consumers,
            created: declared.created,
            durable: declared.durable,
            remarks: declared.remarks,
        };
        if forced && !options.queue.durable && subscription.created {
            subscription
                .remarks
                .push("the broker refuses transient shared queues: ours was declared durable".to_owned());
        }
        RabbitConsumer::start(connection, subscription, options.prefetch).await
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

    fn features(&self) -> Features {
        Features { requeue: true }
    }

    fn location(&self) -> String {
        let hosts: Vec<String> = self.url.hosts().iter().map(address).collect();
        format!("rabbit at {} (virtual host {})", hosts.join(", "), self.url.virtual_host())
    }
}

fn address(host: &TransportHost) -> String {
    let (name, port) = (&host.hostname, host.port_or(DEFAULT_PORT));
    if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") }
}
