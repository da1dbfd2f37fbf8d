use std::fmt;

use crate::topology::{QueueKind, QueueType};

/// The SASL method of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginMethod {
    Plain,
    /// RabbitMQ's own older form, and oslo.messaging's default.
    AmqPlain,
    External,
}

impl fmt::Display for LoginMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "PLAIN",
            Self::AmqPlain => "AMQPLAIN",
            Self::External => "EXTERNAL",
        })
    }
}

/// The options of oslo.messaging that decide the kind of a queue; `None` if not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueOptions {
    pub durable: Option<bool>,
    pub auto_delete: Option<bool>,
    pub quorum: Option<QuorumLimits>,
    /// `x-ha-policy: all`, which brokers have ignored since 3.0.
    pub mirrored: bool,
}

impl QueueOptions {
    /// Returns the queue that oslo.messaging declares with these options. The exchange has the same durability and
    /// auto-deletion.
    #[must_use]
    pub fn as_oslo(&self) -> QueueKind {
        let limits = self.quorum.unwrap_or_default();
        QueueKind {
            queue_type: self.quorum.map_or(QueueType::Classic, |_| QueueType::Quorum),
            durable: self.durable == Some(true),
            auto_delete: self.auto_delete == Some(true),
            delivery_limit: limits.delivery_limit,
            max_in_memory_length: limits.max_in_memory_length,
            max_in_memory_bytes: limits.max_in_memory_bytes,
            ha_policy: self.mirrored.then(|| "all".to_owned()),
            ..QueueKind::OSLO
        }
    }
}

/// The limits of a quorum queue; `None` for the broker's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuorumLimits {
    pub delivery_limit: Option<u32>,
    pub max_in_memory_length: Option<u32>,
    pub max_in_memory_bytes: Option<u32>,
}
