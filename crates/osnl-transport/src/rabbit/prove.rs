//! Whether a broker lets us do what a listener does: make its queue, bind it to exchanges, read it.
//!
//! Permissions are asked for without making anything. The broker checks them before all else (`rabbit_channel.erl`,
//! `check_configure_permitted`, `binding_action`, `basic.consume`), so what is refused afterwards for another reason was
//! permitted:
//!
//! | permission | asked by |
//! | --- | --- |
//! | configure the queue | declaring it with a type that no broker has |
//! | write the queue, read the exchange | removing a binding that does not exist |
//! | read the queue | consuming from it, if it is not there: else messages would be taken |
//!
//! [`Thorough::Does`] declares the queue as it would be, binds and unbinds it with a routing key that nothing uses, and
//! removes it again if it was not there before and holds nothing.

use std::time::Duration;

use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, Error};

use super::RabbitTransport;
use super::arguments::table;
use super::failure::{
    ACCESS_REFUSED, OperationFailure, is_missing, reason, refuses_transient_queues, reply_code,
};
use super::look::{NO_TYPE, close};
use super::side::SideChannel;
use crate::TransportError;
use crate::topology::{Argument, QueueKind, TYPE};

/// No service publishes with it.
const UNUSED_KEY: &str = "osnl-check.nothing-publishes-this";

/// The means of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thorough {
    /// Nothing is made.
    Asks,
    /// The queue is made and bound, and removed again if it is new.
    Does,
}

/// One thing that a listener does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The broker lets us.
    Proven,
    /// The broker refused access; its words.
    Refused(String),
    /// The broker does not say, and why.
    Unknown(String),
}

/// The things that a listener does with a queue, and whether it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proofs {
    /// Make the queue; `None` where it only reads.
    pub make: Option<Proof>,
    /// Bind it to each exchange.
    pub bind: Vec<(String, Proof)>,
    /// Read it.
    pub read: Proof,
    /// Whether the queue was made for the proof, and then whether it is removed again.
    pub made: Option<bool>,
    /// The user that was logged in.
    pub user: String,
}

impl RabbitTransport {
    /// Tests the permissions that a listener of this queue needs, with the arguments of `kind`; `None` for a queue that
    /// is only read.
    ///
    /// # Errors
    /// No host accepts the login.
    pub async fn prove(
        &self,
        queue: &str,
        exchanges: &[String],
        kind: Option<&QueueKind>,
        thorough: Thorough,
        limit: Duration,
    ) -> Result<Proofs, TransportError> {
        let mut last = TransportError::Connect { host: String::new(), reason: "no host".to_owned() };
        for host in self.url.hosts() {
            match self.reach(host, limit).await.1 {
                Err(error) => last = error,
                Ok((connection, reached)) => {
                    let version = reached.greeting.rabbitmq();
                    let kind = kind.map(|kind| kind.for_broker(version));
                    let side = SideChannel::new(&connection);
                    let mut proving = Prover { side, queue, kind: kind.clone(), is_denied: false };
                    let proofs = proving.all(exchanges, thorough, reached.user).await;
                    let is_denied = proving.is_denied;
                    close(&connection).await;
                    return match kind.filter(|_| is_denied) {
                        // The broker has closed the connection over it. A listener asks for a durable one then.
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

struct Prover<'a> {
    side: SideChannel<&'a Connection>,
    queue: &'a str,
    kind: Option<QueueKind>,
    /// The broker makes no transient queue.
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

    /// `None` if the broker does not say.
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
        // It came to be there meanwhile: its messages go back with the channel.
        self.side.close_channel("asked").await;
        proof
    }

    /// Whether it is removed: only without messages and consumers.
    async fn remove(&mut self) -> bool {
        let Ok(channel) = self.side.channel().await else { return false };
        let options = QueueDeleteOptions { if_unused: true, if_empty: true, ..QueueDeleteOptions::default() };
        match channel.queue_delete(self.queue.into(), options).await {
            Ok(_) => true,
            Err(error) => {
                self.side.closed_by("remove a queue", error);
                false
            }
        }
    }

    /// Anything but a refusal of access comes after the check of permissions.
    fn permitted(&mut self, what: &str, asked: Result<(), Error>) -> Proof {
        match asked {
            Ok(()) => Proof::Proven,
            Err(error) => {
                let failure = self.side.closed_by(what, error);
                let words = reason(&failure.error);
                match reply_code(&failure.error) {
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
            Some(ACCESS_REFUSED) => Proof::Refused(words),
            Some(_) | None => Proof::Unknown(words),
        }
    }
}
