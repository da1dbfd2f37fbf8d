//! Arguments on the wire.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use crate::topology::{Argument, OpenQueue, QueueArguments, QueueKind, QueueType, Resume, StreamOffset};

const STREAM_OFFSET: &str = "x-stream-offset";

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

/// The arguments of a queue's consumer: of a stream's, the first position.
pub(super) fn consumer_table(queue: &OpenQueue, kind: &QueueKind) -> FieldTable {
    let mut table = FieldTable::default();
    if queue.queue_type == Some(QueueType::Stream) {
        let word = |word: &str| AMQPValue::LongString(word.into());
        let offset = match (queue.created, kind.resume.get(&*queue.name)) {
            // It is another stream than the one that was read before, and all of it is new.
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
    table
}

fn absolute(offset: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(offset).unwrap_or(i64::MAX))
}

/// To read from one offset on.
pub(super) fn offset_table(offset: u64) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(STREAM_OFFSET.into(), absolute(offset));
    table
}

/// Returns an argument that only a stream's consumer accepts, `next` or `last`; harmless there, refused elsewhere.
pub(super) fn stream_probe(from: &str) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(STREAM_OFFSET.into(), AMQPValue::LongString(from.into()));
    table
}

/// The place of a delivery in its stream. Elsewhere the header proves nothing: a publisher may have set it, as a
/// shovel does that copies a stream.
pub(super) fn stream_offset(from: &BasicProperties) -> Option<u64> {
    match from.headers().as_ref()?.inner().get(STREAM_OFFSET)? {
        AMQPValue::LongLongInt(offset) => u64::try_from(*offset).ok(),
        _ => None,
    }
}
