//! One open connection for publishing, and the error for a lost or refused message on it.

use std::collections::hash_map::{Entry, HashMap};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation, Connection};
use tokio::sync::MutexGuard;

use super::super::alarm::{AlarmChange, LinkAlarm};
use super::super::failure::{NOT_FOUND, OperationFailure, PRECONDITION_FAILED, lost, reason, reply_code};
use super::super::held::{CLOSE_TIMEOUT, ConnectionGuard};
use super::shards::{self, Registration};
use super::{RabbitPublisherState, properties, route};
use crate::TransportError;
use crate::outgoing::OutgoingMessage;
use crate::topology::{Declare, QueueKind, Shards};

pub(super) const LONG: Duration = Duration::from_secs(1);
/// The number of prepared routes that are remembered; at the limit all are forgotten.
const MAX_ROUTES: usize = 4096;
/// The time for which a route counts as prepared. An exchange that is deleted and made again has lost its bindings, and the broker confirms each message and drops it.
const PREPARED: Duration = Duration::from_secs(10);
const ACCESS_REFUSED: u16 = 403;

/// An open connection for publishing. Each send keeps the link until its confirm; the connection closes with the last.
pub(super) struct Link {
    connection: ConnectionGuard,
    pipelined: Channel,
    /// The channel for mandatory messages. A send takes it while its message is open, so that an abandoned send leaves
    /// no return that the next send could take for its own.
    mandatory: tokio::sync::Mutex<Option<Channel>>,
    /// Further channels for mandatory messages to shards. These may overtake each other: the next message of a key is
    /// sent only after the confirm of the one before.
    spare: Mutex<Vec<Channel>>,
    prepared: Mutex<HashMap<(String, String), Instant>>,
    /// The exchanges whose number of shards this connection has confirmed.
    registered: tokio::sync::Mutex<HashMap<Shards, Registration>>,
    alarm: LinkAlarm,
}

impl Link {
    pub(super) async fn open(connection: Connection, host: String) -> Result<Self, TransportError> {
        let connection = ConnectionGuard::new(connection);
        let pipelined = confirming_channel(&connection).await?;
        Ok(Self {
            alarm: LinkAlarm::new(&connection, host),
            connection,
            pipelined,
            mandatory: tokio::sync::Mutex::default(),
            spare: Mutex::default(),
            prepared: Mutex::default(),
            registered: tokio::sync::Mutex::default(),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.status().connected() && self.pipelined.status().connected()
    }

    pub(super) async fn prepare(
        &self,
        exchange: &str,
        routing_key: &str,
        declare: Declare,
        oslo: &QueueKind,
        force_durable: &AtomicBool,
    ) -> Result<(), TransportError> {
        let key = (exchange.to_owned(), routing_key.to_owned());
        let routes = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if routes().get(&key).is_some_and(|at| at.elapsed() < PREPARED) {
            return Ok(());
        }
        let prepared = route::prepare(&self.connection, exchange, routing_key, declare, oslo, force_durable);
        self.patiently(prepared).await?;
        let mut prepared = routes();
        if prepared.len() >= MAX_ROUTES {
            prepared.clear();
        }
        prepared.insert(key, Instant::now());
        Ok(())
    }

    pub(super) async fn register(&self, shards: &Shards) -> Result<(), TransportError> {
        let mut registered = self.registered.lock().await;
        registered.retain(|_, one| !one.has_ended());
        if let Entry::Vacant(place) = registered.entry(shards.clone()) {
            place.insert(self.patiently(shards::register(&self.connection, shards)).await?);
        }
        Ok(())
    }

    pub(super) async fn publish(
        &self,
        exchange: String,
        routing_key: String,
        message: &OutgoingMessage,
        turn: MutexGuard<'_, RabbitPublisherState>,
    ) -> Result<(), TransportError> {
        let confirmed = if message.mandatory && message.shards.is_some() {
            let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            let open = spare().pop().filter(|channel| channel.status().connected());
            let channel = match open {
                Some(channel) => channel,
                None => confirming_channel(&self.connection).await?,
            };
            let confirmed = self.publish_on(&channel, &exchange, &routing_key, message, turn).await;
            spare().push(channel);
            confirmed
        } else if message.mandatory {
            let mut slot = self.mandatory.lock().await;
            let open = slot.take().filter(|channel| channel.status().connected());
            let channel = match open {
                Some(channel) => channel,
                None => confirming_channel(&self.connection).await?,
            };
            let confirmed = self.publish_on(&channel, &exchange, &routing_key, message, turn).await;
            *slot = Some(channel);
            confirmed
        } else {
            self.publish_on(&self.pipelined, &exchange, &routing_key, message, turn).await
        };
        match confirmed {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
                Err(TransportError::Unroutable { exchange, routing_key })
            }
            Ok(Confirmation::Nack(None)) => Err(TransportError::NotTaken { exchange, routing_key }),
            Ok(Confirmation::NotRequested) => {
                Err(TransportError::Lost { reason: "the channel confirms nothing".to_owned() })
            }
            Err(error) => Err(failed(&error, &exchange, message.body.len())),
        }
    }

    async fn publish_on(
        &self,
        channel: &Channel,
        exchange: &str,
        routing_key: &str,
        message: &OutgoingMessage,
        turn: MutexGuard<'_, RabbitPublisherState>,
    ) -> Result<Confirmation, lapin::Error> {
        let options = BasicPublishOptions { mandatory: message.mandatory, ..Default::default() };
        let properties = properties(&message.properties);
        self.patiently(async {
            let mut publishing = pin!(channel.basic_publish(
                exchange.into(),
                routing_key.into(),
                options,
                &message.body,
                properties
            ));
            // The first poll hands the message over. The client library counts the message and queues its frames in two
            // steps, which another send must not interrupt.
            let begun = poll_fn(|context| Poll::Ready(publishing.as_mut().poll(context))).await;
            drop(turn);
            let confirm = match begun {
                Poll::Ready(confirm) => confirm?,
                Poll::Pending => publishing.await?,
            };
            confirm.await
        })
        .await
    }

    pub(super) async fn close(&self) {
        // A broker that blocks reads nothing, and so no farewell.
        if self.blocked().is_some() {
            return;
        }
        let orderly = async {
            self.pipelined.close(200, "bye".into()).await?;
            self.connection.close(200, "bye".into()).await
        };
        match tokio::time::timeout(CLOSE_TIMEOUT, orderly).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "connection did not close in order"),
            Err(_) => tracing::debug!(seconds = CLOSE_TIMEOUT.as_secs(), "connection did not close in time"),
        }
    }

    /// Waits without a limit, and logs once if the broker blocks publishers.
    async fn patiently<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            if let Ok(output) = tokio::time::timeout(LONG, future.as_mut()).await {
                return output;
            }
            self.blocked();
        }
    }

    /// Returns the error of a send while the broker blocks publishers.
    pub(super) fn blocked(&self) -> Option<TransportError> {
        let host = self.alarm.host();
        self.alarm.blocked(|change| match change {
            AlarmChange::Raised(reason) => {
                tracing::warn!(
                    broker.host = host,
                    reason,
                    "the broker blocks publishers; nothing is sent meanwhile"
                );
            }
            AlarmChange::Ended => tracing::info!(broker.host = host, "the broker takes messages again"),
        })
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("alarm", &self.alarm).finish_non_exhaustive()
    }
}

async fn confirming_channel(connection: &Connection) -> Result<Channel, TransportError> {
    let channel = connection.create_channel().await.map_err(|error| lost(&error))?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .map_err(|error| OperationFailure { what: "ask for publisher confirms".to_owned(), error })?;
    Ok(channel)
}

/// Returns the error of a message that was open on a closed channel. One open message was the cause, and the broker's
/// words tell which.
fn failed(error: &lapin::Error, exchange: &str, length: usize) -> TransportError {
    let text = reason(error);
    let names_ours = text.contains(&format!("exchange '{exchange}'"));
    match reply_code(error) {
        code @ Some(NOT_FOUND | ACCESS_REFUSED) if names_ours => {
            let what = format!("publish to exchange \"{exchange}\"");
            TransportError::Refused { what, reason: text, code }
        }
        Some(PRECONDITION_FAILED) if text.contains(&format!("message size {length} ")) => {
            TransportError::TooLarge { reason: text }
        }
        Some(_) | None => lost(error),
    }
}

#[cfg(test)]
mod tests {
    use lapin::ErrorKind;
    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};

    use super::*;

    #[test]
    fn only_the_message_that_was_the_cause_is_refused() {
        let check = |kind: AMQPSoftError, text: &str| {
            let error =
                ErrorKind::ProtocolError(AMQPError::new(AMQPErrorKind::Soft(kind), text.into())).into();
            failed(&error, "neutron", 100)
        };
        let missing = |exchange: &str| {
            check(AMQPSoftError::NOTFOUND, &format!("NOT_FOUND - no exchange '{exchange}' in vhost '/'"))
        };
        assert!(matches!(missing("neutron"), TransportError::Refused { .. }));
        assert!(matches!(missing("nova"), TransportError::Lost { .. }));
        let refused = "ACCESS_REFUSED - access to exchange 'neutron' in vhost '/' refused for user 'u'";
        assert!(matches!(check(AMQPSoftError::ACCESSREFUSED, refused), TransportError::Refused { .. }));
        let large = |length: usize| {
            let text =
                format!("PRECONDITION_FAILED - message size {length} is larger than configured max size 50");
            check(AMQPSoftError::PRECONDITIONFAILED, &text)
        };
        assert!(matches!(large(100), TransportError::TooLarge { .. }) && !large(100).is_recoverable());
        assert!(matches!(large(1000), TransportError::Lost { .. }));
    }
}
