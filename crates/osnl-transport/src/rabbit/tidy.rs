use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
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

impl RabbitTransport {
    /// # Errors
    /// The broker refuses a change; earlier changes are made.
    pub async fn mend(
        &self,
        (bindings, superfluous): (&[Binding], &[Binding]),
        emptied: &[String],
    ) -> Result<(), TransportError> {
        tidy(self, superfluous, &[]).await?;
        let mut side = SideChannel::new(self.connection().await?);
        for Binding { queue, exchange, routing_key } in bindings {
            let channel = side.channel().await?;
            let (options, none) = (QueueBindOptions::default(), FieldTable::default());
            let (queue_name, exchange_name) = (queue.as_str().into(), exchange.as_str().into());
            let key = routing_key.as_str().into();
            if let Err(error) = channel.queue_bind(queue_name, exchange_name, key, options, none).await {
                let what =
                    format!("bind queue \"{queue}\" to exchange \"{exchange}\", key \"{routing_key}\"");
                return Err(OperationFailure { what, error }.into());
            }
        }
        for queue in emptied {
            let channel = side.channel().await?;
            let options =
                QueueDeleteOptions { if_unused: true, if_empty: true, ..QueueDeleteOptions::default() };
            if let Err(error) = channel.queue_delete(queue.as_str().into(), options).await {
                return Err(OperationFailure { what: format!("delete queue \"{queue}\""), error }.into());
            }
        }
        let _ = side.connection().close(200, "mended".into()).await;
        Ok(())
    }
}
