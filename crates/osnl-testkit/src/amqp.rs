//! AMQP brokers that cannot be had here: they say what their script says.
//!
//! - [`ScriptedServer`] opens connections and channels; every other method goes to a function, which answers through
//!   the [`ScriptedLink`], or leaves it to the usual answer.
//! - [`ScriptedBroker`] is a script with one queue behind it: it delivers, counts and takes back as RabbitMQ does,
//!   and does on request what only other versions do ([`Habits`]).
//!
//! - [`RawClient`] is the other side: it publishes to a real broker what no client library would.
//! - [`headers`] has the tables that client libraries cannot bear.
//!
//! The texts are worded as RabbitMQ's are, whose sources have them in `rabbit_amqqueue.erl` and `rabbit_misc.erl`
//! (inequivalent arguments), `rabbit_channel.erl` (consumer time-out) and `rabbit_deprecated_features.erl` (transient
//! queues); nothing but codes and the names in them is read by us.

mod broker;
mod client;
pub mod headers;
mod scripted;

pub use amq_protocol::{frame, protocol, types};

pub use self::broker::{Habits, ScriptedBroker};
pub use self::client::RawClient;
pub use self::scripted::{HandshakeOffer, ScriptedLink, ScriptedServer};
