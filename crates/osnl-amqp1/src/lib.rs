//! AMQP 1.0 in the form of oslo.messaging until release 14.9 (OpenStack 2024.2), as far as a reader needs it.
//!
//! A publisher sends to an address that names exchange, topic, and priority, so the reader attaches a link for each
//! address. An address is shared: each message goes to one of its readers. There is no pool, no binding, and nothing to
//! declare.
//!
//! The protocol is osnl's own code. The client library `fe2o3-amqp` (0.18) decodes with recursion and believes sizes, so
//! a hostile peer ends the program, and a guard before the library needs more code than these frames.
//!
//! | part | |
//! | --- | --- |
//! | `options` | the options of the URL, and the addresses |
//! | `codec`, `wire` | encoded values; frames, and the login |
//! | `session` | what frames change: deliveries, credit, settlements; nothing waits there |
//! | `connection` | the opening of a connection, and the task that reads and writes frames |
//! | `consumer` | a listener's view of its session |

mod codec;
mod connection;
mod consumer;
mod options;
mod session;
mod wire;

use osnl_model::{Priority, Target, TransportUrl};
use osnl_net::tls::LatestEnd;
use osnl_transport::parts::{HostOrder, address};
use osnl_transport::{
    Binding, BoxFuture, Consumer, Declare, FailoverStrategy, Features, ListenOptions, OutgoingMessage,
    Remedy, Tap, TapOptions, Transport, TransportError,
};

use self::connection::Amqp1Connection;
use self::consumer::Amqp1Consumer;
pub use self::options::{Amqp1Options, Amqp1Section};

/// The limits of AMQP 1.0, for the start of a listener and for `check`.
pub const LIMITS: [&str; 3] = [
    "each message goes to one reader of its address, so another reader takes a share",
    "messages are not durable, and a router keeps none while nothing reads its address",
    "there are no pools, no taps, no counts of waiting messages, and no publishing",
];

#[derive(Debug)]
pub struct Amqp1Transport {
    url: TransportUrl,
    options: Amqp1Options,
    order: HostOrder,
    certificate: LatestEnd,
}

impl Amqp1Transport {
    pub fn new(url: &TransportUrl, options: Amqp1Options) -> Result<Self, TransportError> {
        options.check()?;
        for host in url.hosts() {
            options.mechanism(url, host.username.is_some())?;
        }
        if let Some(tls) = options.tls(url) {
            tls.check_files()?;
        }
        let order = HostOrder::new(url.hosts().len(), FailoverStrategy::RoundRobin);
        Ok(Self { url: url.clone(), options, order, certificate: LatestEnd::default() })
    }

    /// Makes one attempt to log in, and returns the host with the product that the broker names.
    pub async fn inspect(
        &self,
        to: &[(Target, Priority)],
        options: &ListenOptions,
    ) -> Result<(String, Option<String>), TransportError> {
        let (connection, _) = self.connect(to, options).await?;
        let found = (connection.host.clone(), connection.product.clone());
        connection.close().await;
        Ok(found)
    }

    /// Returns a connection with the addresses to read.
    async fn connect(
        &self,
        to: &[(Target, Priority)],
        options: &ListenOptions,
    ) -> Result<(Amqp1Connection, Vec<Binding>), TransportError> {
        let open = |at: usize| Amqp1Connection::open(&self.url, &self.url.hosts()[at], &self.options);
        let connection = self.order.first(self.location(), open).await?;
        self.certificate.note(connection.certificate_ends);
        let addresses = self.addresses(to, options, connection.product.as_deref());
        match self.refusal(&connection, &addresses) {
            Some(refusal) => {
                connection.close().await;
                Err(refusal)
            }
            None => Ok((connection, addresses)),
        }
    }

    /// Refuses the addresses of services on RabbitMQ, which accepts the readers of AMQP 1.0 but not the publishers of
    /// oslo.messaging. An addressing mode shows that another publisher is meant.
    fn refusal(&self, connection: &Amqp1Connection, addresses: &[Binding]) -> Option<TransportError> {
        let is_rabbitmq =
            connection.product.as_deref().is_some_and(|product| product.starts_with("RabbitMQ"));
        let is_of_service = addresses.iter().any(|address| !address.exchange.is_empty());
        (is_rabbitmq && is_of_service && self.options.is_dynamic()).then(|| TransportError::Handshake {
            host: connection.host.clone(),
            reason: "the broker is RabbitMQ, to which no service publishes over AMQP 1.0".to_owned(),
            remedy: "write rabbit:// in transport_url; to read a queue of RabbitMQ over AMQP 1.0: queue = /queues/NAME"
                .to_owned(),
        })
    }

    /// Returns each address that a listener may read, with the virtual host that a connection names. The broker decides
    /// between the two forms of an address.
    pub fn readable_addresses(
        url: &TransportUrl,
        to: &[(Target, Priority)],
        options: &ListenOptions,
    ) -> Result<Vec<String>, TransportError> {
        let transport = Self::new(url, Amqp1Options::from_query(url)?)?;
        let host = transport.options.virtual_host(url).unwrap_or_default();
        let forms =
            [None, Some("")].into_iter().flat_map(|product| transport.addresses(to, options, product));
        Ok(forms.map(|address| format!("{host} {}", address.queue)).collect())
    }

    /// Returns the bindings with their addresses as queues. A plain address has no exchange.
    fn addresses(
        &self,
        to: &[(Target, Priority)],
        options: &ListenOptions,
        product: Option<&str>,
    ) -> Vec<Binding> {
        let mut bindings = options.bindings(to);
        for binding in &mut bindings {
            binding.queue = self.options.address(&self.url, product, binding);
        }
        if let (Declare::Nothing, Some(address)) = (options.declare, &options.pool) {
            let (queue, routing_key) = (address.clone(), address.clone());
            bindings.push(Binding { queue, exchange: String::new(), routing_key });
        }
        bindings
    }
}

impl Transport for Amqp1Transport {
    fn listen<'a>(
        &'a self,
        to: &'a [(Target, Priority)],
        options: &'a ListenOptions,
    ) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        Box::pin(async move {
            let (connection, addresses) = self.connect(to, options).await?;
            let pool = options.pool.as_deref().filter(|_| options.declare != Declare::Nothing);
            let ignored = pool.map(|pool| format!("AMQP 1.0 has no pools: pool \"{pool}\" has no effect"));
            let remarks =
                LIMITS.map(|limit| format!("AMQP 1.0: {limit}")).into_iter().chain(ignored).collect();
            let consumer = Amqp1Consumer::open(connection, addresses, options, remarks).await?;
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

    /// A reader of an address takes its messages from other readers, so there is no tap.
    fn tap<'a>(&'a self, _: &'a TapOptions) -> BoxFuture<'a, Result<Box<dyn Tap>, TransportError>> {
        let problem = "osnl does not tap AMQP 1.0, whose routers make no copies of messages".to_owned();
        Box::pin(std::future::ready(Err(TransportError::ListenOptions { problem })))
    }

    fn features(&self) -> Features {
        Features { send: false, absent: &ABSENT, counts: false, ..Features::USUAL }
    }

    fn certificate_ends(&self) -> Option<i64> {
        self.certificate.get()
    }

    fn location(&self) -> String {
        let hosts: Vec<String> = self.url.hosts().iter().map(address).collect();
        format!("AMQP 1.0 at {}", hosts.join(", "))
    }

    fn remedy(&self, error: &TransportError, _: &[(Target, Priority)], _: &ListenOptions) -> Option<Remedy> {
        match error {
            TransportError::LoginRefused { .. } => Some(
                "check user, password, and virtual host of transport_url, and sasl_mechanisms, of which the broker has to \
                 offer one"
                    .into(),
            ),
            TransportError::Refused { reason, .. } if reason.contains("amqp_address_v1_not_permitted") => Some(
                "write queue = /queues/NAME, as RabbitMQ 4.3 names a queue for AMQP 1.0; it takes plain addresses only \
                 with deprecated_features.permit.amqp_address_v1 = true in rabbitmq.conf"
                    .into(),
            ),
            _ => error.own_remedy().map(|advice| advice.to_owned().into()),
        }
    }
}

/// Behaviours of the conformance suite that AMQP 1.0 does not have.
const ABSENT: [&str; 12] = [
    // An address exists while a client uses the address, and the broker does not count its messages.
    "a_subscription_opens_says_what_it_made_and_closes",
    "what_was_published_while_nobody_listened_waits",
    "what_waits_in_the_queue_is_known_without_taking_it",
    "a_deleted_queue_ends_the_consumer_recoverably",
    // There are no pools, and no counts of other readers.
    "pools_have_a_copy_each",
    "listeners_of_one_pool_share",
    "many_targets_feed_one_pool",
    // A released message is not marked, because its delivery has not failed.
    "what_is_given_back_comes_again_marked",
    "a_prefix_does_not_swallow_what_is_given_back",
    // There are no exchanges and no patterns.
    "unknown_priorities_and_odd_routing_keys_arrive_as_they_are",
    "a_missing_exchange_is_waited_for_when_it_is_not_ours_to_make",
    "a_queue_of_ours_is_read_before_its_exchange_is_there",
];
