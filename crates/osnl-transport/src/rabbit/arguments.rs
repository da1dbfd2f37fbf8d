use lapin::types::{AMQPValue, FieldTable};

use crate::topology::{Argument, OpenQueue, QueueArguments, QueueType};

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

pub(super) fn consumer_table(queue: &OpenQueue) -> FieldTable {
    let mut table = FieldTable::default();
    if queue.queue_type == Some(QueueType::Quorum) {
        table.insert(CONSUMER_TIMEOUT.into(), AMQPValue::LongInt(HOLDING_TIME));
    }
    table
}

/// Returns the arguments of a consumer that only a stream accepts.
pub(super) fn stream_probe() -> FieldTable {
    let mut table = FieldTable::default();
    table.insert(STREAM_OFFSET.into(), AMQPValue::LongString("next".into()));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_consumers_of_quorum_queues_set_their_time() {
        let check = |queue_type: Option<QueueType>, expected: bool| {
            let table = consumer_table(&OpenQueue::named("q", queue_type));
            assert_eq!(table.contains_key(CONSUMER_TIMEOUT), expected, "{queue_type:?}");
        };
        check(Some(QueueType::Quorum), true);
        check(Some(QueueType::Classic), false);
        check(None, false);
    }
}
