//! The names of an exchange's shards at a broker. Pure.
//!
//! The queue of shard `n` is bound with the key `shard.<n>`, and named as the exchange without its last `s`:
//! `osnl-shards` has `osnl-shard-0`. An empty queue `<exchange>.count` keeps the number of shards, as its
//! `x-max-length`: the broker alone outlives every daemon, refuses a declaration with another number, and says which it
//! has.

use std::num::NonZeroU32;

use super::{Argument, Binding, QueueKind, QueueType};
use crate::dead_letters::dead_letter_queue;

/// The shards of one exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shards {
    pub exchange: String,
    pub count: NonZeroU32,
}

impl Shards {
    pub const EXCHANGE: &str = "osnl-shards";
    /// The first word of each routing key; the second is the number of the shard.
    pub const TOPIC: &str = "shard";
    pub(crate) const COUNT: &str = "x-max-length";

    #[must_use]
    pub fn new(exchange: &str, count: NonZeroU32) -> Self {
        Self { exchange: exchange.to_owned(), count }
    }

    #[must_use]
    pub fn key(shard: u32) -> String {
        format!("{}.{shard}", Self::TOPIC)
    }

    #[must_use]
    pub fn queue(&self, shard: u32) -> String {
        format!("{}-{shard}", self.exchange.strip_suffix('s').unwrap_or(&self.exchange))
    }

    #[must_use]
    pub fn queues(&self) -> Vec<String> {
        (0..self.count.get()).map(|shard| self.queue(shard)).collect()
    }

    /// Returns the queues of dead letters, where deliveries may wait for their release in the order of these shards.
    #[must_use]
    pub fn dead_letter_queues(&self) -> Vec<String> {
        self.queues().iter().map(|queue| dead_letter_queue(queue)).collect()
    }

    #[must_use]
    pub fn bindings(&self) -> Vec<Binding> {
        let binding = |shard| Binding {
            queue: self.queue(shard),
            exchange: self.exchange.clone(),
            routing_key: Self::key(shard),
        };
        (0..self.count.get()).map(binding).collect()
    }

    /// Returns the name of the queue that keeps the number.
    #[must_use]
    pub fn count_queue(&self) -> String {
        format!("{}.count", self.exchange)
    }

    /// Returns the kind of a shard's queue: replicated, and read by one daemon at a time.
    #[must_use]
    pub fn kind() -> QueueKind {
        QueueKind { queue_type: QueueType::Quorum, ..QueueKind::DURABLE }
    }

    /// Returns the kind of the queue that keeps the number, without an argument that depends on the broker's version.
    #[must_use]
    pub(crate) fn count_kind(&self) -> QueueKind {
        let count = (Self::COUNT.to_owned(), Argument::Integer(self.count.get().into()));
        QueueKind {
            single_active_consumer: false,
            oslo_arguments: true,
            arguments: [count].into(),
            ..Self::kind()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_named_after_their_exchange() {
        let shards = |exchange: &str| Shards::new(exchange, NonZeroU32::new(2).unwrap());
        assert_eq!(shards(Shards::EXCHANGE).queues(), ["osnl-shard-0", "osnl-shard-1"]);
        assert_eq!(shards("ports-eu").queues(), ["ports-eu-0", "ports-eu-1"]);
        assert_eq!(shards(Shards::EXCHANGE).count_queue(), "osnl-shards.count");
        assert_eq!(shards(Shards::EXCHANGE).bindings()[1].routing_key, "shard.1");
    }
}
