use std::sync::atomic::{AtomicBool, Ordering};

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ExchangeKind};

use super::super::arguments::table;
use super::super::declare::{DeclareError, bind, exchange_misfits, exchange_options, fits_service};
use super::super::failure::{
    ACCESS_REFUSED, NOT_FOUND, OperationFailure, PRECONDITION_FAILED, lost, reason, refuses_transient_queues,
    reply_code,
};
use super::super::refusal::Difference;
use super::super::side::SideChannel;
use crate::TransportError;
use crate::topology::{Binding, Declare, QueueKind};

/// Follows [`OutgoingMessage::declare`](crate::OutgoingMessage); `oslo` is oslo.messaging's declaration. The default
/// exchange always exists, and routes to the queue named as the key. Exchange and queue may be a service's, which
/// declares both with one durability: beside a durable one, the other is made durable too, and a transient one refuses
/// to make the other durable.
pub(super) async fn prepare(
    connection: &Connection,
    exchange: &str,
    routing_key: &str,
    declare: Declare,
    oslo: &QueueKind,
    force_durable: &AtomicBool,
) -> Result<(), TransportError> {
    let mut queue = oslo.clone();
    queue.durable |= force_durable.load(Ordering::Relaxed);
    let mut steps = Steps { side: SideChannel::new(connection) };
    let is_there = exchange.is_empty() || steps.exchange(exchange, None).await?;
    match declare {
        Declare::Passive | Declare::Nothing if !is_there => {
            return Err(TransportError::no_exchange_to_publish_to(exchange));
        }
        Declare::Passive | Declare::Nothing => {}
        Declare::Create => {
            let is_forced = queue.durable != oslo.durable;
            let mut of_exchange = oslo.clone();
            if !steps.queue(routing_key, None).await? {
                if is_there && !exchange.is_empty() && !is_forced {
                    match fits_service(&mut steps.side, routing_key, exchange, oslo).await {
                        Err(DeclareError::OtherDurability { durable: true, .. }) => queue.durable = true,
                        fits => fits?,
                    }
                }
                match steps.queue(routing_key, Some(&queue)).await {
                    Err(failure) if refuses_transient_queues(&failure) => {
                        force_durable.store(true, Ordering::Relaxed);
                        return Err(lost(&failure.error));
                    }
                    made => made?,
                };
            } else if !is_there && !is_forced {
                of_exchange.durable = steps.is_durable(routing_key, oslo).await?;
                if oslo.durable && !of_exchange.durable {
                    return Err(exchange_misfits(exchange, routing_key, false).into());
                }
            }
            if !is_there {
                steps.exchange(exchange, Some(&of_exchange)).await?;
            }
            if !exchange.is_empty() {
                steps.bind(routing_key, exchange).await?;
            }
        }
    }
    steps.side.close_channel("declared").await;
    Ok(())
}

/// The steps of the preparation of one route.
struct Steps<'a> {
    side: SideChannel<&'a Connection>,
}

impl Steps<'_> {
    async fn exchange(&mut self, name: &str, oslo: Option<&QueueKind>) -> Result<bool, OperationFailure> {
        let passive = ExchangeDeclareOptions { passive: true, ..Default::default() };
        let options = oslo.map_or(passive, exchange_options);
        let channel = self.side.channel().await?;
        let declared =
            channel.exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default()).await;
        self.found(declared.map(drop), &format!("declare exchange \"{name}\""))
    }

    async fn queue(&mut self, name: &str, kind: Option<&QueueKind>) -> Result<bool, OperationFailure> {
        let declared = self.declare_queue(name, kind).await?;
        self.found(declared, &format!("declare queue \"{name}\""))
    }

    /// Returns whether an existing queue is durable; if the broker does not say so, as `kind` is.
    async fn is_durable(&mut self, name: &str, kind: &QueueKind) -> Result<bool, OperationFailure> {
        let Err(error) = self.declare_queue(name, Some(kind)).await? else { return Ok(kind.durable) };
        let found = Difference::read(&reason(&error)).durable(kind.durable);
        match self.found(Err(error), &format!("declare queue \"{name}\"")) {
            // A queue may be bound without the permission to declare it.
            Err(failure) if reply_code(&failure.error) != Some(ACCESS_REFUSED) => Err(failure),
            _ => Ok(found.unwrap_or(kind.durable)),
        }
    }

    async fn declare_queue(
        &mut self,
        name: &str,
        kind: Option<&QueueKind>,
    ) -> Result<Result<(), lapin::Error>, OperationFailure> {
        let options = QueueDeclareOptions {
            passive: kind.is_none(),
            durable: kind.is_some_and(|kind| kind.durable),
            auto_delete: kind.is_some_and(|kind| kind.auto_delete),
            ..Default::default()
        };
        let arguments = kind.map_or_else(FieldTable::default, |kind| table(&kind.declared_arguments()));
        let channel = self.side.channel().await?;
        Ok(channel.queue_declare(name.into(), options, arguments).await.map(drop))
    }

    async fn bind(&mut self, queue: &str, exchange: &str) -> Result<(), OperationFailure> {
        let channel = self.side.channel().await?;
        let (queue, exchange, routing_key) = (queue.to_owned(), exchange.to_owned(), queue.to_owned());
        bind(&channel, &Binding { queue, exchange, routing_key }).await
    }

    fn found(&mut self, answer: Result<(), lapin::Error>, what: &str) -> Result<bool, OperationFailure> {
        let Err(error) = answer else { return Ok(true) };
        let failure = self.side.closed_by(what, error);
        match reply_code(&failure.error) {
            Some(NOT_FOUND) => Ok(false),
            // Another program was faster, with other arguments, so its queue is used.
            Some(PRECONDITION_FAILED) => Ok(true),
            Some(_) | None => Err(failure),
        }
    }
}
