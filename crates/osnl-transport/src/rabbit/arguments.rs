use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::topology::{Argument, OpenQueue, QueueArguments, QueueKind, QueueType, Resume, StreamOffset};

const STREAM_OFFSET: &str = "x-stream-offset";
const CONSUMER_TIMEOUT: &str = "x-consumer-timeout";
/// The time for which a consumer of a quorum queue may hold a message, in milliseconds: RabbitMQ's own default. A
/// listener without room returns messages sooner and in order. RabbitMQ 4.3 would take only the first overdue message
/// and hand the queue over, so the next consumer would get later messages before those still held.
const HOLDING_TIME: i32 = 30 * 60 * 1000;

pub(super) fn table(arguments: &QueueArguments) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, argument) in arguments {
        table.insert(name.as_str().into(), value(argument));
    }
    table
}

fn value(argument: &Argument) -> AMQPValue {
    match argument {
        Argument::Integer(number) => match i32::try_from(*number) {
            Ok(number) => AMQPValue::LongInt(number),
            Err(_) => AMQPValue::LongLongInt(*number),
        },
        Argument::Boolean(boolean) => AMQPValue::Boolean(*boolean),
        Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
    }
}

pub(super) fn consumer_table(queue: &OpenQueue, kind: &QueueKind) -> FieldTable {
    let mut table = FieldTable::default();
    if queue.queue_type == Some(QueueType::Stream) {
        let word = |word: &str| AMQPValue::LongString(word.into());
        let offset = match (queue.created, kind.resume.get(&*queue.name)) {
            // The stream was made anew, so all its messages are new.
            (true, _) => word("first"),
            (false, Some(Resume::At(offset))) => absolute(*offset),
            (false, Some(Resume::Since(seconds))) => AMQPValue::Timestamp(*seconds),
            (false, None) => match kind.stream_offset {
                StreamOffset::First => word("first"),
                StreamOffset::Last => word("last"),
                StreamOffset::Next => word("next"),
                StreamOffset::Timestamp(seconds) => AMQPValue::Timestamp(seconds),
            },
        };
        table.insert(STREAM_OFFSET.into(), offset);
    }
    if queue.queue_type == Some(QueueType::Quorum) {
        table.insert(CONSUMER_TIMEOUT.into(), AMQPValue::LongInt(HOLDING_TIME));
    }
    table
}

fn absolute(offset: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(offset).unwrap_or(i64::MAX))
}

pub(super) fn offset_table(offset: u64) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(STREAM_OFFSET.into(), absolute(offset));
    table
}

pub(super) fn stream_probe(from: &str) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(STREAM_OFFSET.into(), AMQPValue::LongString(from.into()));
    table
}

/// Returns the offset of a delivery in its stream. Outside streams the header proves nothing: a publisher, such as a
/// shovel, may have set it.
pub(super) fn stream_offset(from: &BasicProperties) -> Option<u64> {
    match from.headers().as_ref()?.inner().get(STREAM_OFFSET)? {
        AMQPValue::LongLongInt(offset) => u64::try_from(*offset).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_consumers_of_quorum_queues_set_their_time() {
        let check = |queue_type: Option<QueueType>, expected: bool| {
            let table = consumer_table(&OpenQueue::named("q", queue_type), &QueueKind::DURABLE);
            assert_eq!(table.contains_key(CONSUMER_TIMEOUT), expected, "{queue_type:?}");
        };
        check(Some(QueueType::Quorum), true);
        check(Some(QueueType::Classic), false);
        check(Some(QueueType::Stream), false);
        check(None, false);
    }
}
