//! The number of shards of an exchange, kept by the broker, so that a changed number reorders nothing.
//!
//! A resource may have another shard under another number. What the former shard still holds would then be overtaken.
//! So a publisher declares the queue that keeps the number, before its first message of each connection. If the broker
//! has another number, all queues of that number must be without messages and without consumers: a broker counts no
//! unacknowledged message, and a queue without consumers has none. Then the number is changed.
//!
//! Each publisher also consumes the queue that keeps the number, where no message ever is. While one publishes by a
//! former number, the broker counts its consumer, and the number stays. A quorum queue knows no conditional deletion:
//! two publishers with different numbers that connect at the same instant are told apart by the queue of the splitter
//! alone, which has one active consumer. A consumer that has ended is replaced before the next message.

use std::num::NonZeroU32;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};

use super::super::arguments::table;
use super::super::failure::{OperationFailure, PRECONDITION_FAILED, is_missing, reason, reply_code};
use super::super::refusal::Difference;
use super::super::side::SideChannel;
use crate::topology::Shards;
use crate::{QueueSeen, TransportError};

/// The number of declarations. Another publisher may change the number between two of them.
const TRIES: usize = 3;

/// The consumer by which the broker knows that a publisher is there. It gets no message.
pub(super) struct Registration {
    channel: Channel,
    consumer: Consumer,
}

impl Registration {
    /// Whether the broker counts the consumer no more: it ends with its queue, which anybody may delete.
    pub(super) fn has_ended(&mut self) -> bool {
        let next = self.consumer.next().now_or_never();
        !self.channel.status().connected() || next.is_some_and(|next| !matches!(next, Some(Ok(_))))
    }
}

/// Registers a publisher by this number of shards.
///
/// # Errors
/// [`OtherShards`](TransportError::OtherShards) if the broker has another number, whose queues are in use.
pub(super) async fn register(
    connection: &Connection,
    shards: &Shards,
) -> Result<Registration, TransportError> {
    let mut side = SideChannel::new(connection);
    let mut seen = None;
    for _ in 0..TRIES {
        let Some(former) = declare(&mut side, shards).await? else {
            return consume(&mut side, shards).await;
        };
        let holders = holders(&mut side, &Shards { count: former, ..shards.clone() }).await?;
        if !holders.is_empty() {
            return Err(other(shards, former, holders.join(", ")));
        }
        delete(&mut side, shards).await?;
        tracing::info!(
            exchange.name = &*shards.exchange,
            shards = shards.count.get(),
            shards.before = former.get(),
            "the number of shards is changed"
        );
        seen = Some(former);
    }
    Err(other(shards, seen.unwrap_or(shards.count), "another publisher changes the number too".to_owned()))
}

fn other(shards: &Shards, former: NonZeroU32, why: String) -> TransportError {
    let (exchange, count) = (shards.exchange.clone(), shards.count.get());
    TransportError::OtherShards { exchange, former: former.get(), count, why }
}

/// Declares the queue that keeps the number; returns the number that the broker has, if that is another.
async fn declare(
    side: &mut SideChannel<&Connection>,
    shards: &Shards,
) -> Result<Option<NonZeroU32>, TransportError> {
    let name = shards.count_queue();
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    let arguments = table(&shards.count_kind().declared_arguments());
    let channel = side.channel().await?;
    let Err(error) = channel.queue_declare(name.as_str().into(), options, arguments).await else {
        return Ok(None);
    };
    let failure = side.closed_by(&format!("declare queue \"{name}\""), error);
    if reply_code(&failure.error) == Some(PRECONDITION_FAILED)
        && let Difference::Named { argument: Shards::COUNT, found, .. } =
            Difference::read(&reason(&failure.error))
        && let Ok(found) = found.parse()
    {
        return Ok(Some(found));
    }
    Err(failure.into())
}

/// Describes the queues that messages of a former number may be in.
async fn holders(
    side: &mut SideChannel<&Connection>,
    former: &Shards,
) -> Result<Vec<String>, TransportError> {
    let mut holders = Vec::new();
    if let Some(QueueSeen { consumers: 1.., .. }) = look(side, &former.count_queue()).await? {
        holders.push(format!("a publisher with shards = {} is connected", former.count));
    }
    for queue in former.queues().into_iter().chain(former.dead_letter_queues()) {
        match look(side, &queue).await? {
            None | Some(QueueSeen { messages: 0, consumers: 0 }) => {}
            Some(QueueSeen { messages, consumers }) => {
                holders.push(format!("queue {queue} has messages: {messages}, consumers: {consumers}"));
            }
        }
    }
    Ok(holders)
}

async fn look(side: &mut SideChannel<&Connection>, queue: &str) -> Result<Option<QueueSeen>, TransportError> {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let channel = side.channel().await?;
    match channel.queue_declare(queue.into(), passive, FieldTable::default()).await {
        Ok(found) => {
            Ok(Some(QueueSeen { messages: found.message_count(), consumers: found.consumer_count() }))
        }
        Err(error) => {
            let failure = side.closed_by(&format!("look at queue \"{queue}\""), error);
            if is_missing(&failure.error) { Ok(None) } else { Err(failure.into()) }
        }
    }
}

async fn delete(side: &mut SideChannel<&Connection>, shards: &Shards) -> Result<(), TransportError> {
    let name = shards.count_queue();
    let channel = side.channel().await?;
    let deleted = channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await;
    deleted.map(drop).map_err(|error| {
        let what = format!("delete queue \"{name}\"");
        OperationFailure { what, error }.into()
    })
}

async fn consume(
    side: &mut SideChannel<&Connection>,
    shards: &Shards,
) -> Result<Registration, TransportError> {
    let name = shards.count_queue();
    let channel = side.channel().await?;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    match channel.basic_consume(name.as_str().into(), ShortString::default(), options, none).await {
        Ok(consumer) => Ok(Registration { channel, consumer }),
        Err(error) => {
            let what = format!("consume from queue \"{name}\"");
            Err(OperationFailure { what, error }.into())
        }
    }
}
