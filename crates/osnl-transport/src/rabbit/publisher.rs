//! Publishes messages with the broker's confirms.
//!
//! The first send opens a connection, which is kept; the next send opens another after its loss. When the broker's name has
//! moved to other addresses, and each hour while its certificate ends soon, a task opens another, and sends use the former
//! one until it is open. A former connection closes after its last confirm.
//!
//! A connection has two channels with `confirm.select`. On the first any number of messages wait for confirms. The second
//! has one `mandatory` message at a time: the broker confirms several messages with one answer, so only a single open
//! message identifies its `basic.return`. Mandatory messages to shards have as many further channels as are in flight, for
//! the same reason.
//!
//! An outgoing message looks as oslo.messaging's does: persistent, priority 0, an empty table of headers (or kombu's
//! `compression`), content type and encoding as given.
//!
//! A send begins under a lock, which is released once the library has the message. The lock keeps the order, and the
//! library's numbers in step with its frames. While the broker blocks publishers, sends wait with the lock.

mod link;
mod route;
mod shards;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use osnl_model::{Priority, Target, cut};
use osnl_net::dial::{KeptAddress, Successor};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{sleep, timeout};

use self::link::Link;
use super::{RabbitConnector, RabbitTransport};
use crate::message::Properties;
use crate::outgoing::OutgoingMessage;
use crate::topology::{self, LONGEST_NAME, Shards};
use crate::{Transport as _, TransportError};

const IN_FLIGHT: usize = 1000;
const PERSISTENT: u8 = 2;

/// Publishes messages in the order of the sends, over one connection.
#[derive(Debug)]
pub(super) struct RabbitPublisher {
    /// Held until the client library has the message, so that messages keep the order of the sends.
    turn: Mutex<RabbitPublisherState>,
    link: std::sync::Mutex<Option<Arc<Link>>>,
    /// The number of attempts to connect that have ended. A send that waited for a failed attempt shares its failure.
    attempts: AtomicU64,
    room: Semaphore,
}

/// The state that the sends share, one after the other.
#[derive(Debug, Default)]
pub(super) struct RabbitPublisherState {
    /// The failure of the latest attempt to connect.
    failure: Option<TransportError>,
    /// The link that follows the open one.
    successor: Option<Successor<OpenedLink>>,
}

/// A link, and the address that it is connected to.
type OpenedLink = (Arc<Link>, Option<KeptAddress>);

impl Default for RabbitPublisher {
    fn default() -> Self {
        Self {
            turn: Mutex::default(),
            link: std::sync::Mutex::default(),
            attempts: AtomicU64::new(0),
            room: Semaphore::new(IN_FLIGHT),
        }
    }
}

impl RabbitPublisher {
    pub(super) async fn send(
        &self,
        transport: &RabbitTransport,
        to: &Target,
        priority: &Priority,
        message: OutgoingMessage,
    ) -> Result<(), TransportError> {
        let seen = self.attempts.load(Ordering::Relaxed);
        let (exchange, routing_key) = topology::route(to, priority);
        check_lengths(&exchange, &routing_key, &message.properties)?;
        let mut turn = self.turn.lock().await;
        let _place = self.room.acquire().await.ok();
        let mut link = self.link(&mut turn, seen, transport).await?;
        let (oslo, durable) = (transport.oslo_queue(), &transport.durable_queues);
        let was_forced = durable.load(Ordering::Relaxed);
        let mut prepared = link.prepare(&exchange, &routing_key, message.declare, &oslo, durable).await;
        if prepared.is_err() && was_forced != durable.load(Ordering::Relaxed) {
            self.keep(None);
            link = self.link(&mut turn, seen, transport).await?;
            prepared = link.prepare(&exchange, &routing_key, message.declare, &oslo, durable).await;
        }
        prepared?;
        if let Some(count) = message.shards {
            link.register(&Shards { exchange: exchange.clone(), count }).await?;
        }
        link.publish(exchange, routing_key, &message, turn).await
    }

    pub(super) async fn register(
        &self,
        transport: &RabbitTransport,
        shards: &Shards,
    ) -> Result<(), TransportError> {
        let seen = self.attempts.load(Ordering::Relaxed);
        let mut turn = self.turn.lock().await;
        self.link(&mut turn, seen, transport).await?.register(shards).await
    }

    pub(super) async fn close(&self) {
        // A send may hold the lock while the broker takes nothing.
        let Ok(mut turn) = timeout(super::held::CLOSE_TIMEOUT, self.turn.lock()).await else { return };
        turn.successor = None;
        if let Some(link) = self.keep(None) {
            link.close().await;
        }
    }

    /// Completes when the broker blocks publishers.
    pub(super) async fn blocked(&self) -> TransportError {
        loop {
            if let Some(blocked) = self.open_link().and_then(|link| link.blocked()) {
                return blocked;
            }
            sleep(link::LONG).await;
        }
    }

    fn open_link(&self) -> Option<Arc<Link>> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.clone().filter(|link| link.is_open())
    }

    /// Keeps a link, and returns the former.
    fn keep(&self, link: Option<Arc<Link>>) -> Option<Arc<Link>> {
        std::mem::replace(&mut *self.link.lock().unwrap_or_else(PoisonError::into_inner), link)
    }

    async fn link(
        &self,
        state: &mut RabbitPublisherState,
        seen: u64,
        transport: &RabbitTransport,
    ) -> Result<Arc<Link>, TransportError> {
        loop {
            if let Some(opened) = state.successor.as_mut().and_then(Successor::take) {
                self.follow_if_open(opened, state, transport);
            }
            let Some(link) = self.open_link() else { break };
            if link.blocked().is_none() {
                return Ok(link);
            }
            // A message given to the client library now would wait in memory, beside the copy of a later attempt.
            sleep(link::LONG).await;
        }
        if self.attempts.load(Ordering::Relaxed) != seen
            && let Some(failure) = &state.failure
        {
            return Err(failure.clone());
        }
        self.keep(None);
        let opened = open(transport.connector.clone()).await;
        self.attempts.fetch_add(1, Ordering::Relaxed);
        state.failure = opened.as_ref().err().cloned();
        Ok(self.follow(opened?, state, transport))
    }

    /// Follows a link that is open. The former one stays, and is watched again, if the next has broken before it was used.
    fn follow_if_open(
        &self,
        (next, former): (OpenedLink, KeptAddress),
        state: &mut RabbitPublisherState,
        transport: &RabbitTransport,
    ) {
        let stays = self.open_link().filter(|_| !next.0.is_open());
        self.follow(stays.map_or(next, |link| (link, Some(former))), state, transport);
    }

    /// Keeps a link in place of the former one, and watches it.
    fn follow(
        &self,
        (link, address): OpenedLink,
        state: &mut RabbitPublisherState,
        transport: &RabbitTransport,
    ) -> Arc<Link> {
        let connector = transport.connector.clone();
        let watch = |address| Successor::watch(address, move || open(connector.clone()));
        state.successor = address.map(watch);
        self.keep(Some(link.clone()));
        link
    }
}

async fn open(connector: RabbitConnector) -> Result<OpenedLink, TransportError> {
    let (connection, host, seen) = connector.connect().await?;
    let link = Link::open(connection, host).await?;
    Ok((Arc::new(link), seen.address))
}

/// Refuses lengths over which the client library would panic: a message chooses its priority, and an event may supply a
/// target.
fn check_lengths(exchange: &str, routing_key: &str, properties: &Properties) -> Result<(), TransportError> {
    let texts = [
        ("exchange", Some(exchange)),
        ("routing key", Some(routing_key)),
        ("content type", properties.content_type.as_deref()),
        ("content encoding", properties.content_encoding.as_deref()),
    ];
    for (what, text) in texts {
        if let Some(text) = text.filter(|text| text.len() > LONGEST_NAME) {
            let (bytes, beginning) = (text.len(), cut(text, 40));
            let problem =
                format!("the {what} has {bytes} bytes, and AMQP allows {LONGEST_NAME}: \"{beginning}...\"");
            return Err(TransportError::ListenOptions { problem });
        }
    }
    Ok(())
}

fn properties(from: &Properties) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(compression) = &from.compression {
        headers.insert("compression".into(), AMQPValue::LongString(compression.as_str().into()));
    }
    let mut properties =
        BasicProperties::default().with_delivery_mode(PERSISTENT).with_priority(0).with_headers(headers);
    if let Some(content_type) = &from.content_type {
        properties = properties.with_content_type(content_type.as_ref().into());
    }
    if let Some(encoding) = &from.content_encoding {
        properties = properties.with_content_encoding(encoding.as_ref().into());
    }
    properties
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use osnl_model::TransportUrl;
    use osnl_net::dial::{LOOKED_UP_FOR, RENEWED_AFTER};
    use osnl_testkit::{Broker, wait_until};
    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    /// The former broker lives on, so that no loss of the connection leads to the next one.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn messages_take_the_former_link_until_the_next_one_is_open() {
        let vhost = tokio::task::block_in_place(|| Broker::shared().vhost("moved"));
        let at = |url: &str| RabbitTransport::from_url(&TransportUrl::parse(url).unwrap()).unwrap();
        let transport = at(&vhost.url());
        let publisher = &transport.publisher;
        let (target, priority) = (Target::new("neutron", "notifications"), Priority::Info);
        let send = || publisher.send(&transport, &target, &priority, OutgoingMessage::json("{}"));
        // The next look is due, and the look before it missed an address that is not the name's.
        let kept_since = async |address: &str, age: Duration, ends: Option<i64>, next: &RabbitTransport| {
            let since = Instant::now().checked_sub(age).unwrap();
            let kept = KeptAddress::new("127.0.0.1", 5672, address.parse().unwrap(), since);
            let mut kept = kept.with_certificate(ends);
            kept.look(since).await;
            let link = publisher.open_link().unwrap();
            publisher.follow((link, Some(kept)), &mut *publisher.turn.lock().await, next);
        };
        send().await.unwrap();
        let first = publisher.open_link().unwrap();

        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let next = at(&format!("rabbit://{}/", silent.local_addr().unwrap()));
        kept_since("127.0.0.9:5672", LOOKED_UP_FOR, None, &next).await;
        let opening = silent.accept().await.unwrap();
        let sent = timeout(Duration::from_secs(5), send()).await;
        sent.expect("no send waits for the opening of a link").unwrap();
        assert!(Arc::ptr_eq(&first, &publisher.open_link().unwrap()));
        drop((silent, opening));

        let next = open(transport.connector.clone()).await.unwrap();
        next.0.close().await;
        let former = KeptAddress::new("127.0.0.1", 5672, "127.0.0.1:5672".parse().unwrap(), Instant::now());
        publisher.follow_if_open((next, former), &mut *publisher.turn.lock().await, &transport);
        assert!(Arc::ptr_eq(&first, &publisher.open_link().unwrap()), "a link that has closed is no use");

        for (address, age, ends) in
            [("127.0.0.9:5672", LOOKED_UP_FOR, None), ("127.0.0.1:5672", RENEWED_AFTER, Some(0))]
        {
            let before = publisher.open_link().unwrap();
            kept_since(address, age, ends, &transport).await;
            let sends = async {
                while Arc::ptr_eq(&before, &publisher.open_link().unwrap()) {
                    send().await.unwrap();
                }
            };
            timeout(SOON, sends).await.unwrap_or_else(|_| panic!("no other link: {address} {ends:?}"));
        }
        assert!(first.is_open(), "a send may wait for its confirm");
        drop(first);
        let is_alone = || vhost.connections() == 1;
        tokio::task::block_in_place(|| wait_until(SOON, "the former connection is closed", is_alone));
        transport.close().await;
    }

    #[test]
    fn texts_that_amqp_does_not_allow_are_refused() {
        let long = "x".repeat(LONGEST_NAME + 1);
        let fits = &long[1..];
        let of = |content_type: &str, encoding: &str| Properties {
            content_type: Some(content_type.to_owned().into()),
            content_encoding: Some(encoding.to_owned().into()),
            ..Properties::default()
        };
        assert!(check_lengths(fits, fits, &of(fits, fits)).is_ok());
        for (refused, what) in [
            (check_lengths(&long, "k", &of("", "")), "exchange"),
            (check_lengths("e", &long, &of("", "")), "routing key"),
            (check_lengths("e", "k", &of(&long, "")), "content type"),
            (check_lengths("e", "k", &of("", &long)), "content encoding"),
        ] {
            let refused = refused.unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("the {what} has 256 bytes, and AMQP allows 255: ")),
                "{refused}"
            );
        }
    }
}
