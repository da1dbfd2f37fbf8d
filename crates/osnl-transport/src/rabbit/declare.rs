//! Exchanges, queues and bindings. An exchange is declared as oslo.messaging declares it
//! ([`exchange_options`]), and only on request, because a service is refused if its exchange has another
//! durability. osnl's own options concern only queues.
//!
//! An existing exchange is never declared again, and an existing queue is used unchanged; a declaration with
//! osnl's arguments and the [`refusal`](super::refusal) show the difference. oslo.messaging declares actively
//! and fails on a mismatch. With [`Declare::Nothing`] a queue is only declared passively.
//!
//! The default type of a virtual host can make a queue without a type a quorum queue, so a declared queue is
//! examined afterwards.
//!
//! A queue of the services, without a pool, is made only if its exchange has the configured durability. Another
//! durability shows that the service is configured differently, so the service could not declare that queue. A missing
//! exchange becomes durable beside a durable queue, and is refused beside a transient one that the options differ from. A broker that refuses transient queues leaves no choice.
//!
//! A missing exchange is no refusal, because a queue of osnl may hold older messages. A restarting broker
//! keeps a durable queue and loses a transient exchange until its service publishes again, so the listener
//! looks for the exchange each second ([`bindings`](super::bindings)): messages before the binding are only in
//! the service's own queues. Queues of services are left to the services.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use futures_util::future::{join, join_all};
use lapin::options::{
    BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ExchangeKind, Queue};

use super::arguments::{stream_probe, table};
use super::failure::{NOT_FOUND, OperationFailure, PRECONDITION_FAILED, is_missing, reason, reply_code};
use super::refusal::Difference;
use super::returns;
use super::side::SideChannel;
use super::tap::probe;
use crate::TransportError;
use crate::topology::{
    Binding, BrokerVersion, Declare, NO_STREAMS, OpenQueue, QueueKind, QueueType, STREAM, TYPE, TopologyPlan,
};

/// The reason why a plan cannot be declared.
#[derive(Debug)]
pub(super) enum DeclareError {
    NoExchange(String),
    NoQueue(String),
    /// An exchange or a queue shows that its service declares both with another durability than configured.
    OtherDurability {
        what: String,
        shown_by: String,
        durable: bool,
    },
    IsStream(String),
    Failed(OperationFailure),
}

impl From<OperationFailure> for DeclareError {
    fn from(failure: OperationFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<DeclareError> for TransportError {
    fn from(error: DeclareError) -> Self {
        match error {
            DeclareError::NoExchange(exchange) => Self::NoExchange { exchange },
            DeclareError::NoQueue(queue) => Self::NoQueue { queue },
            DeclareError::OtherDurability { what, shown_by, durable } => Self::Refused {
                reason: if durable {
                    format!(
                        "{shown_by} is durable, so its service declares durable exchanges and queues, and would be \
                         refused if this one were transient: set amqp_durable_queues or rabbit_quorum_queue as the \
                         service has it"
                    )
                } else {
                    format!(
                        "{shown_by} is transient, so its service declares transient exchanges and queues, and would \
                         be refused if this one were durable: remove amqp_durable_queues and rabbit_quorum_queue, as \
                         the service has it"
                    )
                },
                what,
                code: Some(PRECONDITION_FAILED),
            },
            DeclareError::IsStream(queue) => Self::Refused {
                what: format!("consume queue \"{queue}\""),
                reason: format!("it is a stream, which osnl does not read: {NO_STREAMS}"),
                code: None,
            },
            DeclareError::Failed(failure) => failure.into(),
        }
    }
}

/// A plan that has been declared.
pub(super) struct Declared {
    /// The queues, in the plan's order.
    pub(super) open: Vec<OpenQueue>,
    /// The bindings whose exchange is missing.
    pub(super) unbound: Vec<Binding>,
    pub(super) late: Vec<LateTakeOver>,
    /// The options of an exchange that goes missing later; `None` if osnl does not make it.
    pub(super) makes: Option<ExchangeDeclareOptions>,
}

/// The terms on which a plan is declared.
#[derive(Clone, Copy)]
pub(super) struct DeclareTerms<'a> {
    pub(super) declare: Declare,
    /// Whether the queue is one of osnl, and not a service's.
    pub(super) is_ours: bool,
    /// The kind of the queues.
    pub(super) kind: &'a QueueKind,
    /// The kind that oslo.messaging declares with the same options, by which exchanges are made.
    pub(super) oslo: &'a QueueKind,
    /// The version of RabbitMQ; `None` if it is unknown.
    pub(super) version: Option<BrokerVersion>,
    /// Whether the broker refuses transient queues, so that a queue of osnl is durable in any case.
    pub(super) is_forced: bool,
}

impl DeclareTerms<'_> {
    fn of_services<'a>(&self, open: &'a [OpenQueue]) -> &'a [OpenQueue] {
        if self.is_ours || self.is_forced { &[] } else { open }
    }

    /// Returns the options of an exchange that goes missing later; `None` if osnl does not make it.
    pub(super) fn makes(&self, bindings: &[&Binding], open: &[OpenQueue]) -> Option<ExchangeDeclareOptions> {
        match self.declare {
            Declare::Create => made_options(bindings, self.of_services(open), self.kind, self.oslo).ok(),
            Declare::Passive | Declare::Nothing => None,
        }
    }
}

/// Declares the plan.
pub(super) async fn declare(
    connection: &Connection,
    plan: &TopologyPlan,
    terms: DeclareTerms<'_>,
) -> Result<Declared, DeclareError> {
    let DeclareTerms { declare, is_ours, kind, oslo, version, is_forced } = terms;
    let mut declarer = Declarer::new(connection, version);
    let exchanges: BTreeSet<&str> = plan.bindings.iter().map(|b| b.exchange.as_str()).collect();
    let mut missing = Vec::new();
    for exchange in exchanges {
        if !declarer.exchange_is_there(exchange).await? {
            match declare {
                Declare::Passive | Declare::Nothing if !is_ours => {
                    return Err(DeclareError::NoExchange(exchange.to_owned()));
                }
                Declare::Passive | Declare::Nothing | Declare::Create => missing.push(exchange),
            }
        }
    }
    let mut open = Vec::with_capacity(plan.queues.len());
    for queue in &plan.queues {
        let of_service =
            plan.bindings.iter().filter(|binding| !is_ours && !is_forced && binding.queue == *queue);
        let exchanges: Vec<&str> = of_service.map(|binding| binding.exchange.as_str()).collect();
        let there = exchanges.into_iter().filter(|exchange| !missing.contains(exchange)).collect();
        open.push(declarer.queue(queue, there, declare, kind).await?);
    }
    let (of_missing, of_others): (Vec<&Binding>, Vec<&Binding>) =
        plan.bindings.iter().partition(|binding| missing.contains(&binding.exchange.as_str()));
    let unbound = match declare {
        Declare::Create => {
            let options = made_options(&of_missing, terms.of_services(&open), kind, oslo)?;
            declarer.make_exchanges(&missing, &of_missing, options).await?;
            Vec::new()
        }
        Declare::Passive | Declare::Nothing => of_missing.into_iter().cloned().collect(),
    };
    let makes = terms.makes(&plan.bindings.iter().collect::<Vec<_>>(), &open);
    for binding in of_others {
        declarer.bind(binding).await?;
    }
    declarer.side.close_channel("declared").await;
    Ok(Declared { open, unbound, late: declarer.late, makes })
}

/// Returns the options of missing exchanges. Beside a durable queue of a service, its exchange is durable too.
fn made_options(
    bindings: &[&Binding],
    of_services: &[OpenQueue],
    kind: &QueueKind,
    oslo: &QueueKind,
) -> Result<ExchangeDeclareOptions, DeclareError> {
    let mut options = exchange_options(oslo);
    for (queue, durable) in of_services.iter().filter_map(|queue| Some((queue, queue.durable?))) {
        let bound = bindings.iter().find(|binding| *binding.queue == *queue.name);
        let Some(binding) = bound.filter(|_| durable != kind.durable) else { continue };
        if oslo.durable && !durable {
            return Err(exchange_misfits(&binding.exchange, &queue.name, durable));
        }
        options.durable |= durable;
    }
    Ok(options)
}

/// A refused declaration closes its channel, so each step gets an open one from `side`.
pub(super) struct Declarer<C> {
    pub(super) side: SideChannel<C>,
    version: Option<BrokerVersion>,
    late: Vec<LateTakeOver>,
}

/// A queue whose `x-consumer-disconnected-timeout` differs. The broker compares this argument last, so all others are
/// equal.
pub(super) struct LateTakeOver {
    pub(super) queue: String,
    pub(super) difference: String,
}

impl<C: Borrow<Connection>> Declarer<C> {
    pub(super) const fn new(connection: C, version: Option<BrokerVersion>) -> Self {
        Self { side: SideChannel::new(connection), version, late: Vec::new() }
    }

    pub(super) async fn exchange_is_there(&mut self, name: &str) -> Result<bool, OperationFailure> {
        let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
        match self.exchange_declare(name, passive).await {
            Ok(()) => Ok(true),
            Err(failure) if reply_code(&failure.error) == Some(NOT_FOUND) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Makes the exchanges and their bindings last, without waiting between. A waiting publisher publishes as soon as
    /// the exchange exists, and the broker drops, but confirms, messages before the bindings.
    pub(super) async fn make_exchanges(
        &mut self,
        names: &[&str],
        bindings: &[&Binding],
        options: ExchangeDeclareOptions,
    ) -> Result<(), OperationFailure> {
        if names.is_empty() {
            return Ok(());
        }
        let channel = self.side.channel().await?;
        let made = join_all(names.iter().map(|name| {
            channel.exchange_declare((*name).into(), ExchangeKind::Topic, options, FieldTable::default())
        }));
        let bound = join_all(bindings.iter().map(|binding| bind(&channel, binding)));
        // Polled in this order, so sent in this order.
        let (made, bound) = join(made, bound).await;
        for (name, made) in names.iter().zip(made) {
            match made.map_err(|error| self.side.closed_by(&declaring(name), error)) {
                // Another program was faster, with other arguments, so its exchange is used. The refusal discarded the
                // bindings.
                Err(failure) if reply_code(&failure.error) == Some(PRECONDITION_FAILED) => {
                    return self.make_one_by_one(names, bindings, options).await;
                }
                other => other?,
            }
        }
        let bound: Result<(), OperationFailure> = bound.into_iter().collect();
        bound.map_err(|failure| self.side.closed_by(&failure.what, failure.error))
    }

    async fn make_one_by_one(
        &mut self,
        names: &[&str],
        bindings: &[&Binding],
        options: ExchangeDeclareOptions,
    ) -> Result<(), OperationFailure> {
        for name in names {
            match self.exchange_declare(name, options).await {
                Err(failure) if reply_code(&failure.error) == Some(PRECONDITION_FAILED) => {}
                other => other?,
            }
        }
        for binding in bindings {
            self.bind(binding).await?;
        }
        Ok(())
    }

    async fn queue(
        &mut self,
        name: &str,
        exchanges: Vec<&str>,
        declare: Declare,
        kind: &QueueKind,
    ) -> Result<OpenQueue, DeclareError> {
        let what = format!("declare queue \"{name}\"");
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let named = OpenQueue::named(name, Some(kind.queue_type));
        let (durable, auto_delete) = (Some(kind.durable), Some(kind.auto_delete));
        let mut open = OpenQueue { durable, auto_delete, ..named };
        match self.queue_declare(name, passive, FieldTable::default(), &what).await {
            Ok(found) => {
                open.waiting = found.message_count();
                open.other_consumers = found.consumer_count();
            }
            Err(failure) if is_missing(&failure.error) => {
                match declare {
                    Declare::Nothing => return Err(DeclareError::NoQueue(name.to_owned())),
                    Declare::Create | Declare::Passive => {}
                }
                for exchange in exchanges {
                    fits_service(&mut self.side, name, exchange, kind).await?;
                }
                self.make_queue(name, kind, &what).await?;
                open.created = true;
                return self.as_made(open, kind).await;
            }
            Err(failure) => return Err(failure.into()),
        }
        let refused = match declare {
            Declare::Nothing => None,
            Declare::Create | Declare::Passive => match self.make_queue(name, kind, &what).await {
                Ok(_) => return self.as_made(open, kind).await,
                Err(failure) => Some(failure),
            },
        };
        // The queue was not made here, so its properties are unknown.
        (open.queue_type, open.durable, open.auto_delete) = (None, None, None);
        match refused {
            None => {}
            Some(failure) if reply_code(&failure.error) == Some(PRECONDITION_FAILED) => {
                let refusal = reason(&failure.error);
                let difference = Difference::read(&refusal);
                if difference.is_late_take_over() {
                    let (queue, difference) = (name.to_owned(), difference.to_string());
                    self.late.push(LateTakeOver { queue, difference });
                    open.queue_type = Some(kind.queue_type);
                    (open.durable, open.auto_delete) = (durable, auto_delete);
                    return self.as_made(open, kind).await;
                }
                open.differs = Some(difference.to_string());
                let loss = difference.loss().map(str::to_owned);
                let found = returns::as_found(&mut self.side, name, kind).await;
                (open.durable, open.auto_delete) = (found.durable, found.auto_delete);
                open.drops = returns::drops(&mut self.side, name, &found.kind, self.version, false).await;
                open.loses = loss.or_else(|| open.drops.as_ref().map(|drops| format!("it {drops}")));
            }
            Some(failure) if super::failure::refuses_transient_queues(&failure) => return Err(failure.into()),
            // Without permission to declare, reading may still be permitted.
            Some(_) => {}
        }
        if self.is_stream(name).await? {
            return Err(DeclareError::IsStream(name.to_owned()));
        }
        Ok(open)
    }

    async fn as_made(&mut self, mut open: OpenQueue, kind: &QueueKind) -> Result<OpenQueue, DeclareError> {
        let found = returns::queue_type(&mut self.side, &open.name, kind).await;
        // By the default type of the virtual host.
        if found.as_deref() == Some(STREAM) {
            return Err(DeclareError::IsStream(open.name.to_string()));
        }
        let found = found.map(|found| QueueType::named(&found));
        let is_named = kind.declared_arguments().contains_key(TYPE);
        open.queue_type = found.or(open.queue_type.filter(|_| is_named));
        let Some(other) = found.filter(|found| *found != kind.queue_type) else {
            open.drops = returns::drops(&mut self.side, &open.name, kind, self.version, true).await;
            open.loses =
                open.drops.as_ref().filter(|_| kind.delivery_limit.is_none()).map(|d| format!("it {d}"));
            return Ok(open);
        };
        let made = QueueKind { queue_type: other, ..kind.clone() };
        let drops = returns::drops(&mut self.side, &open.name, &made, self.version, false).await;
        open.drops = drops
            .map(|drops| format!("is a {} queue by the broker's default type, and {drops}", other.as_str()));
        open.loses = open.drops.as_ref().map(|drops| format!("it {drops}"));
        Ok(open)
    }

    async fn make_queue(
        &mut self,
        name: &str,
        kind: &QueueKind,
        what: &str,
    ) -> Result<Queue, OperationFailure> {
        let (durable, auto_delete) = (kind.durable, kind.auto_delete);
        let options = QueueDeclareOptions { durable, auto_delete, ..Default::default() };
        self.queue_declare(name, options, table(&kind.declared_arguments()), what).await
    }

    /// Returns whether an existing queue is a stream, by a consume request that only a stream accepts. Reading a stream
    /// removes no message.
    async fn is_stream(&mut self, name: &str) -> Result<bool, OperationFailure> {
        let channel = self.side.channel().await?;
        let what = format!("look at queue \"{name}\"");
        let mut failed = |error| self.side.closed_by(&what, error);
        channel.basic_qos(1, BasicQosOptions::default()).await.map_err(&mut failed)?;
        let options = BasicConsumeOptions::default();
        match channel.basic_consume(name.into(), ShortString::default(), options, stream_probe()).await {
            Ok(consumer) => {
                channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.map_err(failed)?;
                // Closing the channel returns messages that arrived meanwhile.
                self.side.close_channel("seen").await;
                Ok(true)
            }
            Err(error) => {
                let failure = failed(error);
                // An exclusive queue, or missing permission: the later consume request reports that.
                if reply_code(&failure.error).is_some() { Ok(false) } else { Err(failure) }
            }
        }
    }

    async fn bind(&mut self, binding: &Binding) -> Result<(), OperationFailure> {
        let channel = self.side.channel().await?;
        let bound = bind(&channel, binding).await;
        bound.map_err(|failure| self.side.closed_by(&failure.what, failure.error))
    }

    async fn exchange_declare(
        &mut self,
        name: &str,
        options: ExchangeDeclareOptions,
    ) -> Result<(), OperationFailure> {
        let channel = self.side.channel().await?;
        channel
            .exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default())
            .await
            .map_err(|error| self.side.closed_by(&declaring(name), error))
    }

    async fn queue_declare(
        &mut self,
        name: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
        what: &str,
    ) -> Result<Queue, OperationFailure> {
        let channel = self.side.channel().await?;
        channel
            .queue_declare(name.into(), options, arguments)
            .await
            .map_err(|error| self.side.closed_by(what, error))
    }
}

pub(super) fn exchange_options(oslo: &QueueKind) -> ExchangeDeclareOptions {
    let (durable, auto_delete) = (oslo.durable, oslo.auto_delete);
    ExchangeDeclareOptions { durable, auto_delete, ..Default::default() }
}

/// Fails if a queue of the services may not be made, by the durability of its exchange. If the broker refuses to answer,
/// the options decide.
pub(super) async fn fits_service<C: Borrow<Connection>>(
    side: &mut SideChannel<C>,
    queue: &str,
    exchange: &str,
    kind: &QueueKind,
) -> Result<(), DeclareError> {
    let found = probe::describe(side, exchange).await.unwrap_or_default();
    let (what, shown_by) = (format!("declare queue \"{queue}\""), format!("exchange \"{exchange}\""));
    match found.durable.filter(|durable| *durable != kind.durable) {
        Some(durable) => Err(DeclareError::OtherDurability { what, shown_by, durable }),
        None => Ok(()),
    }
}

/// Returns the error for an exchange that would not fit the services' `queue`, whose durability is `durable`.
pub(super) fn exchange_misfits(exchange: &str, queue: &str, durable: bool) -> DeclareError {
    let shown_by = format!("queue \"{queue}\"");
    DeclareError::OtherDurability { what: declaring(exchange), shown_by, durable }
}

fn declaring(exchange: &str) -> String {
    format!("declare exchange \"{exchange}\"")
}

pub(super) async fn unbind(
    channel: &Channel,
    Binding { queue, exchange, routing_key }: &Binding,
) -> Result<(), OperationFailure> {
    let (queue_name, exchange_name) = (queue.as_str().into(), exchange.as_str().into());
    let unbound =
        channel.queue_unbind(queue_name, exchange_name, routing_key.as_str().into(), FieldTable::default());
    unbound.await.map_err(|error| OperationFailure {
        what: format!("unbind queue \"{queue}\" from exchange \"{exchange}\", key \"{routing_key}\""),
        error,
    })
}

pub(super) async fn bind(
    channel: &Channel,
    Binding { queue, exchange, routing_key }: &Binding,
) -> Result<(), OperationFailure> {
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
        .map_err(|error| OperationFailure {
            what: format!("bind queue \"{queue}\" to exchange \"{exchange}\" with key \"{routing_key}\""),
            error,
        })
}
