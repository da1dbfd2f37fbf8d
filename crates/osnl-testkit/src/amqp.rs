//! AMQP brokers that Debian does not package, simulated by scripts.
//!
//! The texts are those of RabbitMQ's sources: `rabbit_amqqueue.erl` and `rabbit_misc.erl` (inequivalent arguments),
//! `rabbit_channel.erl` (consumer time-out) and `rabbit_deprecated_features.erl` (transient queues). osnl reads only
//! their codes and names.

mod broker;
mod client;
pub mod headers;
mod scripted;

pub use amq_protocol::{frame, protocol, types};

pub use self::broker::{Habits, ScriptedBroker};
pub use self::client::RawClient;
pub use self::scripted::{HandshakeOffer, ScriptedLink, ScriptedServer};
