//! Tests whether a broker permits a listener's operations: making, binding and reading its queue.
//!
//! Permissions are tested without making anything. The broker checks permissions first (`rabbit_channel.erl`,
//! `check_configure_permitted`, `binding_action`, `basic.consume`), so a later refusal for another reason proves the
//! permission:
//!
//! | permission | tested by |
//! | --- | --- |
//! | configure the queue | declaring it with a type that no broker has |
//! | write the queue, read the exchange | removing a binding that does not exist |
//! | read the queue | consuming from it if it is missing, since otherwise messages would be taken |
//!
//! [`Thorough::Does`] declares the queue, binds and unbinds it with an unused routing key, and removes a new queue that
//! is empty.

use std::time::Duration;

use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, Error};

use super::RabbitTransport;
use super::arguments::table;
use super::failure::{
    ACCESS_REFUSED, OperationFailure, is_missing, reason, refuses_transient_queues, reply_code,
};
use super::inspection::{NO_TYPE, close};
use super::side::SideChannel;
use crate::TransportError;
use crate::topology::{Argument, QueueKind, TYPE};

/// A priority that nothing publishes with, of a topic that a user's topic permissions usually allow.
const UNUSED_KEY: &str = "notifications.osnl-check";
/// The broker's words for a refusal by topic permissions, which it checks last.
const OF_TOPIC: &str = "access to topic";

/// Whether a proof only asks, or makes and removes a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thorough {
    Asks,
    Does,
}

/// The result of one proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    Proven,
    Refused(String),
    Unknown(String),
}

/// The rights of a user, as far as they were proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proofs {
    pub make: Option<Proof>,
    pub bind: Vec<(String, Proof)>,
    pub read: Proof,
    /// Whether a queue made for the proof has been removed; `None` if no queue was made.
    pub made: Option<bool>,
    pub user: String,
}

impl RabbitTransport {
    pub async fn prove(
        &self,
        queue: &str,
        exchanges: &[String],
        kind: Option<&QueueKind>,
        thorough: Thorough,
        limit: Duration,
    ) -> Result<Proofs, TransportError> {
        let mut last = TransportError::Connect { host: String::new(), reason: "no host".to_owned() };
        for host in self.connector.url.hosts() {
            match self.reach(host, limit).await.1 {
                Err(error) => last = error,
                Ok((connection, reached)) => {
                    let version = reached.greeting.rabbitmq();
                    let kind = kind.map(|kind| kind.for_broker(version));
                    let side = SideChannel::new(&connection);
                    let mut proving =
                        Prover { transport: self, side, queue, kind: kind.clone(), is_denied: false };
                    let proofs = proving.all(exchanges, thorough, reached.user).await;
                    let is_denied = proving.is_denied;
                    close(&connection).await;
                    return match kind.filter(|_| is_denied) {
                        // The broker has closed the connection. A listener asks for a durable queue then.
                        Some(kind) => {
                            let durable = QueueKind { durable: true, ..kind };
                            Box::pin(self.prove(queue, exchanges, Some(&durable), thorough, limit)).await
                        }
                        None => Ok(proofs),
                    };
                }
            }
        }
        Err(last)
    }
}

/// The proofs on one connection.
struct Prover<'a> {
    transport: &'a RabbitTransport,
    side: SideChannel<&'a Connection>,
    queue: &'a str,
    kind: Option<QueueKind>,
    is_denied: bool,
}

impl Prover<'_> {
    async fn all(&mut self, exchanges: &[String], thorough: Thorough, user: String) -> Proofs {
        let is_there = self.is_there().await;
        let read = match is_there {
            Some(false) => self.read().await,
            Some(true) => Proof::Unknown("a test would take messages".to_owned()),
            None => Proof::Unknown("the broker does not say whether it exists".to_owned()),
        };
        let Some(kind) = self.kind.clone() else {
            return Proofs { make: None, bind: Vec::new(), read, made: None, user };
        };
        let (make, is_made) = match thorough {
            Thorough::Asks => (self.may_make(&kind).await, false),
            Thorough::Does => {
                let proof = self.make(&kind).await;
                let is_made = proof == Proof::Proven;
                (proof, is_made)
            }
        };
        let mut bind = Vec::new();
        for exchange in exchanges {
            let proof = if is_made { self.bind(exchange).await } else { self.may_bind(exchange).await };
            bind.push((exchange.clone(), proof));
        }
        let made = match (is_made, is_there) {
            (true, Some(false)) => Some(self.remove().await),
            (true, Some(true) | None) | (false, _) => None,
        };
        Proofs { make: Some(make), bind, read, made, user }
    }

    async fn is_there(&mut self) -> Option<bool> {
        let channel = self.side.channel().await.ok()?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        match channel.queue_declare(self.queue.into(), passive, FieldTable::default()).await {
            Ok(_) => Some(true),
            Err(error) => {
                let failure = self.side.closed_by("look at a queue", error);
                is_missing(&failure.error).then_some(false)
            }
        }
    }

    async fn may_make(&mut self, kind: &QueueKind) -> Proof {
        let mut arguments = kind.declared_arguments();
        arguments.insert(TYPE.to_owned(), Argument::Text(NO_TYPE.to_owned()));
        let options = QueueDeclareOptions {
            durable: kind.durable,
            auto_delete: kind.auto_delete,
            ..QueueDeclareOptions::default()
        };
        let channel = match self.side.channel().await {
            Ok(channel) => channel,
            Err(failure) => return Proof::Unknown(reason(&failure.error)),
        };
        let asked = channel.queue_declare(self.queue.into(), options, table(&arguments)).await;
        self.permitted("ask whether a queue may be made", asked.map(|_| ()))
    }

    async fn make(&mut self, kind: &QueueKind) -> Proof {
        let options = QueueDeclareOptions {
            durable: kind.durable,
            auto_delete: kind.auto_delete,
            ..QueueDeclareOptions::default()
        };
        let arguments = table(&kind.declared_arguments());
        let channel = match self.side.channel().await {
            Ok(channel) => channel,
            Err(failure) => return Proof::Unknown(reason(&failure.error)),
        };
        match channel.queue_declare(self.queue.into(), options, arguments).await {
            Ok(_) => Proof::Proven,
            Err(error) => {
                let failure = self.side.closed_by("declare queue", error);
                self.is_denied = refuses_transient_queues(&failure);
                self.refused(failure)
            }
        }
    }

    async fn may_bind(&mut self, exchange: &str) -> Proof {
        let channel = match self.side.channel().await {
            Ok(channel) => channel,
            Err(failure) => return Proof::Unknown(reason(&failure.error)),
        };
        let none = FieldTable::default();
        let asked = channel.queue_unbind(self.queue.into(), exchange.into(), UNUSED_KEY.into(), none).await;
        self.permitted("ask whether a queue may be bound", asked)
    }

    async fn bind(&mut self, exchange: &str) -> Proof {
        let channel = match self.side.channel().await {
            Ok(channel) => channel,
            Err(failure) => return Proof::Unknown(reason(&failure.error)),
        };
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let bound = channel.queue_bind(self.queue.into(), exchange.into(), UNUSED_KEY.into(), options, none);
        if let Err(error) = bound.await {
            let failure = self.side.closed_by("bind a queue", error);
            return self.refused(failure);
        }
        let none = FieldTable::default();
        match channel.queue_unbind(self.queue.into(), exchange.into(), UNUSED_KEY.into(), none).await {
            Ok(()) => Proof::Proven,
            Err(error) => {
                let failure = self.side.closed_by("unbind a queue", error);
                self.refused(failure)
            }
        }
    }

    async fn read(&mut self) -> Proof {
        let channel = match self.side.channel().await {
            Ok(channel) => channel,
            Err(failure) => return Proof::Unknown(reason(&failure.error)),
        };
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let asked = channel.basic_consume(self.queue.into(), "osnl-check".into(), options, none).await;
        let proof = self.permitted("ask whether a queue may be read", asked.map(|_| ()));
        // The queue has appeared meanwhile, so closing the channel returns its messages.
        self.side.close_channel("asked").await;
        proof
    }

    async fn remove(&mut self) -> bool {
        let removing = self.transport.delete_unused(&mut self.side, self.queue, &[]);
        // Boxed, because few proofs come here, and deletion of a quorum queue connects anew.
        Box::pin(removing).await.unwrap_or(false)
    }

    /// Any failure but a refusal of access follows the check of permissions, and so proves the permission.
    fn permitted(&mut self, what: &str, asked: Result<(), Error>) -> Proof {
        match asked {
            Ok(()) => Proof::Proven,
            Err(error) => {
                let failure = self.side.closed_by(what, error);
                let words = reason(&failure.error);
                match reply_code(&failure.error) {
                    Some(ACCESS_REFUSED) if words.contains(OF_TOPIC) => Proof::Unknown(words),
                    Some(ACCESS_REFUSED) => Proof::Refused(words),
                    Some(_) => Proof::Proven,
                    None => Proof::Unknown(words),
                }
            }
        }
    }

    fn refused(&self, failure: OperationFailure) -> Proof {
        let words = reason(&failure.error);
        match reply_code(&failure.error) {
            Some(ACCESS_REFUSED) if !words.contains(OF_TOPIC) => Proof::Refused(words),
            Some(_) | None => Proof::Unknown(words),
        }
    }
}
