//! What a subscription declares: pure, from targets and options to names and routing keys.
//!
//! As oslo.messaging's listener does it (`oslo_messaging/_drivers/amqpdriver.py`, `listen_for_notifications`):
//! with a pool, one queue of that name with one binding per target and priority; without,
//! a queue per target and priority, named as its routing key, which is the very queue that the
//! service's notifier declares and other listeners share.

use osnl_model::{Priority, Target};

use crate::message::Epoch;

/// oslo.messaging's `control_exchange` when neither target nor service names one.
pub(crate) const DEFAULT_EXCHANGE: &str = "openstack";

/// How a missing exchange is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declare {
    /// Made as oslo.messaging makes it: topic, transient, not deleted by itself.
    Create,
    /// Left to its service; listening fails until it is there.
    Passive,
}

/// How to listen.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// The queue's name, shared by all listeners with the same pool. `None`: the service's own queues.
    pub pool: Option<String>,
    /// How many unsettled messages the broker may hand us.
    pub prefetch: u16,
    /// What to do about an exchange that is not there.
    pub declare: Declare,
    /// How our queue is made if it is not there. One that is there is used as it is.
    pub queue: QueueKind,
}

/// What a queue of ours is made as: never exclusive, never deleted by itself, without expiry or limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueKind {
    /// It outlives a restart of the broker.
    pub durable: bool,
    /// Of several consumers one gets the messages and the others wait to take its place, so that order
    /// survives a second daemon on the same queue.
    pub single_active_consumer: bool,
}

impl QueueKind {
    /// As oslo.messaging makes it: gone with the broker's restart, shared by whoever consumes it.
    pub const OSLO: Self = Self { durable: false, single_active_consumer: false };
    /// As osnl makes its own.
    pub const DURABLE: Self = Self { durable: true, single_active_consumer: true };
}

/// One binding of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Queue name.
    pub queue: String,
    /// Exchange name.
    pub exchange: String,
    /// `<topic>.<priority>`.
    pub routing_key: String,
}

/// What was found and made when a subscription opened.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The connection's epoch; [`Window::new`](crate::Window::new) takes it.
    pub epoch: Epoch,
    /// `host:port` that answered.
    pub host: String,
    /// What is bound where.
    pub bindings: Vec<Binding>,
    /// Messages that waited in the queues at the start.
    pub waiting: u32,
    /// Other consumers on the same queues: they take a share of the messages.
    pub other_consumers: u32,
    /// Whether a queue had to be made: it was not there before.
    pub created: bool,
    /// Whether every queue outlives a restart of the broker; `None` where that could not be seen.
    pub durable: Option<bool>,
    /// What an operator should know about what was found, a sentence each.
    pub remarks: Vec<String>,
}

impl Subscription {
    /// The queues consumed, without repeats.
    #[must_use]
    pub fn queues(&self) -> Vec<&str> {
        let mut queues: Vec<&str> = Vec::new();
        for binding in &self.bindings {
            if !queues.contains(&binding.queue.as_str()) {
                queues.push(&binding.queue);
            }
        }
        queues
    }
}

/// Exchange and routing key of what is published.
pub(crate) fn route(to: &Target, priority: &Priority) -> (String, String) {
    let exchange = to.exchange.clone().unwrap_or_else(|| DEFAULT_EXCHANGE.to_owned());
    (exchange, to.routing_key(priority))
}

/// The bindings that listening to `to` needs.
pub(crate) fn bindings(to: &[(Target, Priority)], pool: Option<&str>) -> Vec<Binding> {
    to.iter()
        .map(|(target, priority)| {
            let routing_key = target.routing_key(priority);
            Binding {
                queue: pool.map_or_else(|| routing_key.clone(), str::to_owned),
                exchange: target.exchange.clone().unwrap_or_else(|| DEFAULT_EXCHANGE.to_owned()),
                routing_key,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(to: &[(Target, Priority)], pool: Option<&str>, expected: &[(&str, &str, &str)]) {
        let seen = bindings(to, pool);
        let seen: Vec<_> =
            seen.iter().map(|b| (b.queue.as_str(), b.exchange.as_str(), b.routing_key.as_str())).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn queues_and_keys_are_named_as_oslo_names_them() {
        let neutron = Target::new("neutron", "notifications");
        let anywhere = Target { exchange: None, topic: "notifications".into() };
        check(
            &[(neutron.clone(), Priority::Info)],
            Some("k2hr3_osnl"),
            &[("k2hr3_osnl", "neutron", "notifications.info")],
        );
        check(
            &[(neutron.clone(), Priority::Info), (neutron, Priority::Error)],
            None,
            &[
                ("notifications.info", "neutron", "notifications.info"),
                ("notifications.error", "neutron", "notifications.error"),
            ],
        );
        check(&[(anywhere, Priority::Warn)], Some("p"), &[("p", "openstack", "notifications.warn")]);
    }
}
