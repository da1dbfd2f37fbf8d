//! Taking away what was made for an earlier configuration: bindings of our own queue, nothing else.

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;

use super::RabbitTransport;
use super::failure::{Failure, NOT_FOUND, reply_code};
use super::side::Side;
use crate::TransportError;
use crate::topology::Binding;

/// Removes the bindings and answers which of the queues are not there, over a connection of its own.
pub(super) async fn tidy(
    transport: &RabbitTransport,
    superfluous: &[Binding],
    left: &[String],
) -> Result<Vec<String>, TransportError> {
    let mut side = Side::new(transport.connection().await?);
    let mut gone = Vec::new();
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
            return Err(Failure { what, error }.into());
        }
    }
    for queue in left {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let channel = side.channel().await?;
        if let Err(error) = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await
        {
            let failure = side.closed_by(&format!("look at queue \"{queue}\""), error);
            if reply_code(&failure.error) == Some(NOT_FOUND) {
                gone.push(queue.clone());
            }
        }
    }
    // What does not answer goes with the connection.
    let _ = side.connection().close(200, "tidied".into()).await;
    Ok(gone)
}
