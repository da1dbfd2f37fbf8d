//! Removes the bindings of osnl's queues that an earlier configuration made, and nothing else.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use super::RabbitTransport;
use super::failure::{OperationFailure, is_missing};
use super::side::SideChannel;
use crate::topology::Binding;
use crate::{QueueSeen, TransportError};

pub(super) async fn tidy(
    transport: &RabbitTransport,
    superfluous: &[Binding],
    queues: &[String],
) -> Result<Vec<Option<QueueSeen>>, TransportError> {
    let mut side = SideChannel::new(transport.connection().await?);
    for binding in superfluous {
        let Binding { queue, exchange, routing_key } = binding;
        let channel = side.channel().await?;
        let unbound = channel.queue_unbind(
            queue.as_str().into(),
            exchange.as_str().into(),
            routing_key.as_str().into(),
            FieldTable::default(),
        );
        if let Err(error) = unbound.await {
            let what =
                format!("unbind queue \"{queue}\" from exchange \"{exchange}\", key \"{routing_key}\"");
            return Err(OperationFailure { what, error }.into());
        }
    }
    let mut seen = Vec::new();
    for queue in queues {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let channel = side.channel().await?;
        match channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await {
            Ok(found) => seen
                .push(Some(QueueSeen { messages: found.message_count(), consumers: found.consumer_count() })),
            Err(error) => {
                let failure = side.closed_by(&format!("look at queue \"{queue}\""), error);
                if !is_missing(&failure.error) {
                    return Err(failure.into());
                }
                seen.push(None);
            }
        }
    }
    let _ = side.connection().close(200, "tidied".into()).await;
    Ok(seen)
}
