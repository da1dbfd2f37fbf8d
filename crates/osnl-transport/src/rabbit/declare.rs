//! Exchanges, queues and bindings. An exchange is declared as oslo.messaging declares it (topic, transient,
//! not deleted by itself, without arguments) and only if we are told to; a queue as [`QueueKind`] says.
//!
//! Everything is looked at passively first. What is there is used as it is: an exchange is never
//! declared again, and of a queue we only learn whether it is durable, by asking for ours
//! and reading the refusal. oslo.messaging, in contrast, declares actively and ends over a mismatch.

use std::collections::BTreeSet;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind, Queue};

use super::failure::{Failure, NOT_FOUND, PRECONDITION_FAILED, reason, reply_code};
use crate::TransportError;
use crate::topology::{Binding, Declare, QueueKind};

/// Why a subscription could not be declared.
#[derive(Debug)]
pub(super) enum DeclareError {
    /// The exchange is left to its service, and is not there.
    NoExchange(String),
    /// The broker refused an operation, or the connection ended.
    Failed(Failure),
}

impl From<Failure> for DeclareError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<DeclareError> for TransportError {
    fn from(error: DeclareError) -> Self {
        match error {
            DeclareError::NoExchange(exchange) => Self::NoExchange { exchange },
            DeclareError::Failed(failure) => failure.into(),
        }
    }
}

/// What was found and made.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) waiting: u32,
    pub(super) other_consumers: u32,
    pub(super) created: bool,
    pub(super) durable: Option<bool>,
    pub(super) remarks: Vec<String>,
}

pub(super) async fn declare(
    connection: &Connection,
    bindings: &[Binding],
    declare: Declare,
    kind: QueueKind,
) -> Result<Declared, DeclareError> {
    let mut declarer = Declarer { connection, channel: None };
    let mut declared = Declared::default();
    let exchanges: BTreeSet<&str> = bindings.iter().map(|b| b.exchange.as_str()).collect();
    for exchange in exchanges {
        declarer.exchange(exchange, declare).await?;
    }
    let queues: BTreeSet<&str> = bindings.iter().map(|b| b.queue.as_str()).collect();
    for queue in queues {
        declarer.queue(queue, kind, &mut declared).await?;
    }
    for binding in bindings {
        declarer.bind(binding).await?;
    }
    declarer.close().await;
    Ok(declared)
}

/// A refused declaration closes its channel, so each step asks for an open one.
struct Declarer<'a> {
    connection: &'a Connection,
    channel: Option<Channel>,
}

impl Declarer<'_> {
    async fn exchange(&mut self, name: &str, declare: Declare) -> Result<(), DeclareError> {
        let what = format!("declare exchange \"{name}\"");
        let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
        match self.exchange_declare(name, passive, &what).await {
            Ok(()) => Ok(()),
            Err(failure) if reply_code(&failure.error) == Some(NOT_FOUND) => {
                match declare {
                    Declare::Passive => return Err(DeclareError::NoExchange(name.to_owned())),
                    Declare::Create => {}
                }
                match self.exchange_declare(name, ExchangeDeclareOptions::default(), &what).await {
                    // Somebody was quicker, with other arguments: theirs is used.
                    Err(failure) if reply_code(&failure.error) == Some(PRECONDITION_FAILED) => Ok(()),
                    other => Ok(other?),
                }
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn queue(&mut self, name: &str, kind: QueueKind, declared: &mut Declared) -> Result<(), Failure> {
        let what = format!("declare queue \"{name}\"");
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let is_durable = match self.queue_declare(name, passive, FieldTable::default(), &what).await {
            Ok(queue) => {
                declared.waiting += queue.message_count();
                declared.other_consumers += queue.consumer_count();
                match self.make_queue(name, kind, &what).await {
                    Ok(_) => Some(kind.durable),
                    Err(failure) if reply_code(&failure.error) == Some(PRECONDITION_FAILED) => {
                        let refusal = reason(&failure.error);
                        declared
                            .remarks
                            .push(format!("queue \"{name}\" exists with other arguments than ours and is used as it is ({refusal})"));
                        durability_by_refusal(&refusal, kind.durable)
                    }
                    // A broker that forbids transient queues says so before it compares.
                    Err(failure) if super::failure::refuses_transient_queues(&failure) => {
                        return Err(failure);
                    }
                    // Not permitted to declare: reading it may still be.
                    Err(_) => None,
                }
            }
            Err(failure) if reply_code(&failure.error) == Some(NOT_FOUND) => {
                self.make_queue(name, kind, &what).await?;
                declared.created = true;
                Some(kind.durable)
            }
            Err(failure) => return Err(failure),
        };
        declared.durable = match (declared.durable, is_durable) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (_, other) => other,
        };
        Ok(())
    }

    async fn make_queue(&mut self, name: &str, kind: QueueKind, what: &str) -> Result<Queue, Failure> {
        let options = QueueDeclareOptions { durable: kind.durable, ..Default::default() };
        let mut arguments = FieldTable::default();
        if kind.single_active_consumer {
            arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        }
        self.queue_declare(name, options, arguments, what).await
    }

    async fn bind(&mut self, binding: &Binding) -> Result<(), Failure> {
        let Binding { queue, exchange, routing_key } = binding;
        let channel = self.channel().await?;
        let options = QueueBindOptions::default();
        channel
            .queue_bind(
                queue.as_str().into(),
                exchange.as_str().into(),
                routing_key.as_str().into(),
                options,
                FieldTable::default(),
            )
            .await
            .map_err(|error| Failure {
                what: format!("bind queue \"{queue}\" to exchange \"{exchange}\" with key \"{routing_key}\""),
                error,
            })
    }

    async fn exchange_declare(
        &mut self,
        name: &str,
        options: ExchangeDeclareOptions,
        what: &str,
    ) -> Result<(), Failure> {
        let channel = self.channel().await?;
        channel
            .exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default())
            .await
            .map_err(|error| self.closed_by(what, error))
    }

    async fn queue_declare(
        &mut self,
        name: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
        what: &str,
    ) -> Result<Queue, Failure> {
        let channel = self.channel().await?;
        channel
            .queue_declare(name.into(), options, arguments)
            .await
            .map_err(|error| self.closed_by(what, error))
    }

    async fn channel(&mut self) -> Result<Channel, Failure> {
        if let Some(channel) = &self.channel {
            return Ok(channel.clone());
        }
        let channel = self
            .connection
            .create_channel()
            .await
            .map_err(|error| Failure { what: "open a channel".to_owned(), error })?;
        self.channel = Some(channel.clone());
        Ok(channel)
    }

    fn closed_by(&mut self, what: &str, error: lapin::Error) -> Failure {
        self.channel = None;
        Failure { what: what.to_owned(), error }
    }

    async fn close(self) {
        if let Some(channel) = self.channel {
            // A channel that cannot be closed goes with its connection.
            let _ = channel.close(200, "declared".into()).await;
        }
    }
}

/// `inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'`
///
/// Arguments (`x-…`) are compared after durability, so one that differs means that `ours` was the same.
fn durability_by_refusal(refusal: &str, ours: bool) -> Option<bool> {
    if refusal.contains("arg 'x-") {
        return Some(ours);
    }
    if !refusal.contains("arg 'durable'") {
        return None;
    }
    refusal.rsplit_once("current is '").map(|(_, current)| current.starts_with("true"))
}

#[cfg(test)]
mod tests {
    use super::durability_by_refusal;

    #[test]
    fn durability_is_read_from_the_refusal() {
        for (text, expected) in [
            (
                "406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
                Some(true),
            ),
            (
                "406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
                Some(false),
            ),
            (
                "406 PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'false' but current is 'true'",
                None,
            ),
            (
                "406 PRECONDITION_FAILED - inequivalent arg 'x-single-active-consumer' for queue 'q' in vhost '/': received 'true' but current is none",
                Some(true),
            ),
            ("405 RESOURCE_LOCKED - cannot obtain exclusive access", None),
        ] {
            assert_eq!(durability_by_refusal(text, true), expected, "{text}");
        }
    }
}
