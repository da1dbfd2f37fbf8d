//! AMQP brokers that Debian does not package, simulated by scripts.
//!
//! - [`ScriptedServer`] opens connections and channels; a function answers every other method through the
//!   [`ScriptedLink`].
//! - [`ScriptedBroker`] is a script with one queue: it behaves as RabbitMQ, on request with the habits of other
//!   versions ([`Habits`]).
//!
//! - [`RawClient`] publishes messages to a real broker that no client library would.
//! - [`headers`] has the tables that client libraries cannot handle.
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
