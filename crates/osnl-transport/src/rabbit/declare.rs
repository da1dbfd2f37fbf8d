//! Exchanges, queues and bindings. An exchange is declared as oslo.messaging declares it (topic, transient,
//! not deleted by itself, without arguments) and only if we are told to; a queue as [`QueueKind`] says.
//!
//! Everything is looked at passively first. What is there is used as it is: an exchange is never
//! declared again, and of a queue we only learn whether it is what we would have made, by asking for ours
//! and reading the refusal ([`refusal`](super::refusal)). oslo.messaging, in contrast, declares actively and ends
//! over a mismatch. A queue that is not ours to make ([`Declare::Nothing`]) is never declared otherwise than passively.

use std::collections::BTreeSet;

use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, ExchangeKind, Queue};

use super::arguments::{stream_probe, table};
use super::failure::{Failure, NOT_FOUND, PRECONDITION_FAILED, reason, reply_code};
use super::refusal::Difference;
use super::side::Side;
use crate::TransportError;
use crate::topology::{Binding, Declare, OpenQueue, Plan, QueueKind, QueueType};

/// Why a subscription could not be declared.
#[derive(Debug)]
pub(super) enum DeclareError {
    /// The exchange is left to its service, and is not there.
    NoExchange(String),
    /// The queue is not ours to make, and is not there.
    NoQueue(String),
    /// It is a stream and should not be, or the other way round.
    OtherType { queue: String, is_stream: bool },
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
            DeclareError::NoQueue(queue) => Self::NoQueue { queue },
            DeclareError::OtherType { queue, is_stream } => Self::Refused {
                what: format!("consume queue \"{queue}\""),
                reason: if is_stream {
                    "it is a stream, which is read and settled differently: set queue_type = stream"
                        .to_owned()
                } else {
                    "it is no stream: remove queue_type = stream".to_owned()
                },
            },
            DeclareError::Failed(failure) => failure.into(),
        }
    }
}

/// Looks for what the plan names, makes what may be made, and answers the queues in the plan's order.
pub(super) async fn declare(
    connection: &Connection,
    plan: &Plan,
    declare: Declare,
    kind: &QueueKind,
) -> Result<Vec<OpenQueue>, DeclareError> {
    let mut declarer = Declarer { side: Side::new(connection) };
    let exchanges: BTreeSet<&str> = plan.bindings.iter().map(|b| b.exchange.as_str()).collect();
    for exchange in exchanges {
        declarer.exchange(exchange, declare).await?;
    }
    let mut open = Vec::with_capacity(plan.queues.len());
    for queue in &plan.queues {
        open.push(declarer.queue(queue, declare, kind).await?);
    }
    for binding in &plan.bindings {
        declarer.bind(binding).await?;
    }
    declarer.side.close_channel("declared").await;
    Ok(open)
}

/// A refused declaration closes its channel, so each step asks for an open one.
struct Declarer<'a> {
    side: Side<&'a Connection>,
}

impl Declarer<'_> {
    async fn exchange(&mut self, name: &str, declare: Declare) -> Result<(), DeclareError> {
        let what = format!("declare exchange \"{name}\"");
        let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
        match self.exchange_declare(name, passive, &what).await {
            Ok(()) => Ok(()),
            Err(failure) if reply_code(&failure.error) == Some(NOT_FOUND) => {
                match declare {
                    Declare::Passive | Declare::Nothing => {
                        return Err(DeclareError::NoExchange(name.to_owned()));
                    }
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

    async fn queue(
        &mut self,
        name: &str,
        declare: Declare,
        kind: &QueueKind,
    ) -> Result<OpenQueue, DeclareError> {
        let what = format!("declare queue \"{name}\"");
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let mut open = OpenQueue {
            name: name.into(),
            queue_type: Some(kind.queue_type),
            waiting: 0,
            other_consumers: 0,
            created: false,
            durable: Some(kind.durable),
            differs: None,
        };
        match self.queue_declare(name, passive, FieldTable::default(), &what).await {
            Ok(found) => {
                open.waiting = found.message_count();
                open.other_consumers = found.consumer_count();
            }
            Err(failure) if reply_code(&failure.error) == Some(NOT_FOUND) => {
                match declare {
                    Declare::Nothing => return Err(DeclareError::NoQueue(name.to_owned())),
                    Declare::Create | Declare::Passive => {}
                }
                self.make_queue(name, kind, &what).await?;
                open.created = true;
                return Ok(open);
            }
            Err(failure) => return Err(failure.into()),
        }
        let refused = match declare {
            Declare::Nothing => None,
            Declare::Create | Declare::Passive => match self.make_queue(name, kind, &what).await {
                Ok(_) => return Ok(open),
                Err(failure) => Some(failure),
            },
        };
        // From here on we have not made it, nor would we have made it like that.
        (open.queue_type, open.durable) = (None, None);
        match refused {
            None => {}
            Some(failure) if reply_code(&failure.error) == Some(PRECONDITION_FAILED) => {
                let refusal = reason(&failure.error);
                let difference = Difference::read(&refusal);
                open.durable = difference.durable(kind.durable);
                open.differs = Some(difference.to_string());
            }
            // A broker that forbids transient queues says so before it compares.
            Some(failure) if super::failure::refuses_transient_queues(&failure) => return Err(failure.into()),
            // Not permitted to declare: reading it may still be.
            Some(_) => {}
        }
        let is_stream = self.is_stream(name).await?;
        if is_stream != (kind.queue_type == QueueType::Stream) {
            return Err(DeclareError::OtherType { queue: name.to_owned(), is_stream });
        }
        if is_stream {
            (open.queue_type, open.durable) = (Some(QueueType::Stream), Some(true));
        }
        Ok(open)
    }

    async fn make_queue(&mut self, name: &str, kind: &QueueKind, what: &str) -> Result<Queue, Failure> {
        let (durable, auto_delete) = (kind.durable, kind.auto_delete);
        let options = QueueDeclareOptions { durable, auto_delete, ..Default::default() };
        self.queue_declare(name, options, table(&kind.declared_arguments()), what).await
    }

    /// Whether a queue that is there is a stream, by beginning to consume it as only a stream can be consumed. From a
    /// stream nothing is taken by that, and any other queue refuses it.
    async fn is_stream(&mut self, name: &str) -> Result<bool, Failure> {
        let channel = self.side.channel().await?;
        let what = format!("look at queue \"{name}\"");
        let mut failed = |error| self.side.closed_by(&what, error);
        channel.basic_qos(1, BasicQosOptions::default()).await.map_err(&mut failed)?;
        let options = BasicConsumeOptions::default();
        match channel.basic_consume(name.into(), ShortString::default(), options, stream_probe("next")).await
        {
            Ok(consumer) => {
                channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.map_err(failed)?;
                // With whatever came in between still unsettled on it.
                self.side.close_channel("seen").await;
                Ok(true)
            }
            Err(error) => {
                let failure = failed(error);
                // An exclusive queue, or one that we may not read: consuming it will say so.
                if reply_code(&failure.error).is_some() { Ok(false) } else { Err(failure) }
            }
        }
    }

    async fn bind(&mut self, binding: &Binding) -> Result<(), Failure> {
        let Binding { queue, exchange, routing_key } = binding;
        let channel = self.side.channel().await?;
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
        let channel = self.side.channel().await?;
        channel
            .exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default())
            .await
            .map_err(|error| self.side.closed_by(what, error))
    }

    async fn queue_declare(
        &mut self,
        name: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
        what: &str,
    ) -> Result<Queue, Failure> {
        let channel = self.side.channel().await?;
        channel
            .queue_declare(name.into(), options, arguments)
            .await
            .map_err(|error| self.side.closed_by(what, error))
    }
}
