//! Names and routing keys of a subscription, from targets and options. Pure.
//!
//! The plan follows oslo.messaging's listener (`oslo_messaging/_drivers/amqpdriver.py`, `listen_for_notifications`).
//! With a pool, one queue of that name has one binding per target and priority. Without, each target and priority has
//! a queue named as its routing key, which the service's notifier declares and other listeners share.

mod broker_version;
mod queue;
mod shards;

use std::collections::BTreeSet;
use std::sync::Arc;

use osnl_model::{Priority, Target};

pub use self::broker_version::BrokerVersion;
pub(crate) use self::queue::CONSUMER_DISCONNECTED_TIMEOUT;
pub use self::queue::{Argument, KNOWN_ARGUMENTS, NO_STREAMS, QueueArguments, QueueKind, QueueType, STREAM};
pub(crate) use self::queue::{CONSUMER_DISCONNECTED, DELIVERY_LIMIT, MOST_DEAD_LETTERS, TYPE};
pub use self::shards::Shards;
use crate::TransportError;
use crate::bodies::BodyBounds;
use crate::message::Epoch;

pub const LONGEST_NAME: usize = 255;
/// The exchange of a target that names none.
pub const DEFAULT_EXCHANGE: &str = "openstack";

/// The objects that a listener or sender may make at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declare {
    /// A missing exchange is made as oslo.messaging makes it with the transport's options: topic, and as durable as its
    /// queues.
    Create,
    /// A missing exchange is left to its service. A queue of osnl is read all the same, and bound later
    /// ([`Subscription::unbound`]). With the services' own queues, listening fails until the exchange exists.
    Passive,
    /// Nothing is declared or bound. The existing queue named by [`ListenOptions::pool`] is read, and listening fails
    /// while the queue is missing. Targets are ignored.
    Nothing,
}

osnl_config::words!(Declare: "passive" => Declare::Passive, "create" => Declare::Create);

/// The options of one subscription.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// The queue's name, shared by all listeners with the same pool. `None` selects the service's own queues.
    pub pool: Option<String>,
    /// The most unsettled messages, shared by the queues; 0 for no limit.
    pub prefetch: u16,
    pub declare: Declare,
    /// The kind of a queue that osnl makes.
    pub queue: QueueKind,
    /// The bounds of message bodies.
    pub bodies: BodyBounds,
    /// The tag of the consumers on RabbitMQ; empty for one of the broker's.
    pub consumer_tag: String,
    /// Kafka groups that have read before; the brokers keep their positions.
    pub known_groups: BTreeSet<String>,
}

impl ListenOptions {
    #[must_use]
    pub fn new(pool: Option<&str>, prefetch: u16, declare: Declare, queue: QueueKind) -> Self {
        let (pool, bodies, consumer_tag) = (pool.map(str::to_owned), BodyBounds::default(), String::new());
        Self { pool, prefetch, declare, queue, bodies, consumer_tag, known_groups: BTreeSet::new() }
    }

    #[must_use]
    pub fn bindings(&self, to: &[(Target, Priority)]) -> Vec<Binding> {
        let mut bindings: Vec<Binding> = Vec::new();
        match self.declare {
            Declare::Nothing => {}
            Declare::Create | Declare::Passive => {
                for binding in wanted(to, self.pool.as_deref()) {
                    if !bindings.contains(&binding) {
                        bindings.push(binding);
                    }
                }
            }
        }
        bindings
    }

    #[must_use]
    pub fn queues(&self, to: &[(Target, Priority)]) -> Vec<String> {
        let mut queues: Vec<String> = match self.declare {
            Declare::Nothing => self.pool.iter().cloned().collect(),
            Declare::Create | Declare::Passive => Vec::new(),
        };
        for binding in self.bindings(to) {
            if !queues.contains(&binding.queue) {
                queues.push(binding.queue);
            }
        }
        queues
    }
}

/// A binding of a queue to an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub queue: String,
    pub exchange: String,
    pub routing_key: String,
}

/// A queue of an open subscription, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenQueue {
    /// The name at the broker.
    pub name: Arc<str>,
    /// The type, or `None` if unknown, as of a queue that is only read.
    pub queue_type: Option<QueueType>,
    /// The messages that waited before the subscription.
    pub waiting: u32,
    /// The consumers before the subscription.
    pub other_consumers: u32,
    /// Whether the queue was missing and was made.
    pub created: bool,
    /// Whether it survives the broker's restart; `None` if unknown.
    pub durable: Option<bool>,
    /// Whether the broker deletes it with its last consumer; `None` if unknown.
    pub auto_delete: Option<bool>,
    /// The difference from the queue that osnl would make, in words; `None` without one.
    pub differs: Option<String>,
    /// The condition in words on which the queue drops messages; `None` if it drops none.
    pub drops: Option<String>,
    /// The reason in words for which messages can be lost against the options; `None` without one.
    pub loses: Option<String>,
}

impl OpenQueue {
    /// Returns an empty queue that was there, without other consumers and remarks.
    #[must_use]
    pub fn named(name: &str, queue_type: Option<QueueType>) -> Self {
        Self {
            name: name.into(),
            queue_type,
            waiting: 0,
            other_consumers: 0,
            created: false,
            durable: None,
            auto_delete: None,
            differs: None,
            drops: None,
            loses: None,
        }
    }
}

/// The result of a subscription: what is read, and what the operator should know of it.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The connection, to which its messages belong.
    pub epoch: Epoch,
    /// The host that accepted the connection.
    pub host: String,
    /// The bindings that exist.
    pub bindings: Vec<Binding>,
    /// Bindings whose exchange is missing. Messages published before
    /// [`Consumer::binding_watch`](crate::Consumer::binding_watch) makes these bindings do not reach the queue.
    pub unbound: Vec<Binding>,
    /// The queues that are read.
    pub open: Vec<OpenQueue>,
    /// The messages that waited in all queues.
    pub waiting: u32,
    /// The other consumers of all queues.
    pub other_consumers: u32,
    /// Whether any of the queues was made.
    pub created: bool,
    /// Whether all queues survive the broker's restart; `None` if unknown.
    pub durable: Option<bool>,
    /// Remarks for the operator.
    pub remarks: Vec<String>,
    /// The last valid second, since 1970; `None` without TLS.
    pub certificate_ends: Option<i64>,
    /// The name of the broker's cluster; `None` if it gives none.
    pub cluster: Option<String>,
}

impl Subscription {
    /// Returns a subscription in an epoch of its own; of the planned bindings, those that are unbound are apart.
    #[must_use]
    pub fn new(
        host: String,
        (planned, unbound): (Vec<Binding>, Vec<Binding>),
        open: Vec<OpenQueue>,
        remarks: Vec<String>,
    ) -> Self {
        let durable = if open.iter().any(|queue| queue.durable == Some(false)) {
            Some(false)
        } else {
            open.iter().all(|queue| queue.durable.is_some()).then_some(true)
        };
        Self {
            epoch: Epoch::next(),
            host,
            bindings: planned.into_iter().filter(|binding| !unbound.contains(binding)).collect(),
            unbound,
            waiting: open.iter().fold(0, |sum, queue| sum.saturating_add(queue.waiting)),
            other_consumers: open.iter().map(|queue| queue.other_consumers).sum(),
            created: open.iter().any(|queue| queue.created),
            durable,
            open,
            remarks,
            certificate_ends: None,
            cluster: None,
        }
    }

    /// Returns whether the broker deletes one of the queues with its last consumer; `None` if unknown.
    #[must_use]
    pub fn is_auto_deleted(&self) -> Option<bool> {
        let is_one = self.open.iter().any(|queue| queue.auto_delete == Some(true));
        (is_one || self.open.iter().all(|queue| queue.auto_delete.is_some())).then_some(is_one)
    }

    #[must_use]
    pub fn queues(&self) -> Vec<&str> {
        self.open.iter().map(|queue| &*queue.name).collect()
    }
}

pub(crate) fn route(to: &Target, priority: &Priority) -> (String, String) {
    let exchange = to.exchange.clone().unwrap_or_else(|| DEFAULT_EXCHANGE.to_owned());
    (exchange, to.routing_key(priority))
}

/// The queues and bindings that options ask for, before the broker is asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TopologyPlan {
    pub(crate) bindings: Vec<Binding>,
    pub(crate) queues: Vec<String>,
    /// The part of `prefetch` that each queue has.
    pub(crate) share: u16,
}

pub(crate) fn plan(
    to: &[(Target, Priority)],
    options: &ListenOptions,
) -> Result<TopologyPlan, TransportError> {
    let refuse = |problem: String| Err(TransportError::ListenOptions { problem });
    let (bindings, queues) = (options.bindings(to), options.queues(to));
    match options.declare {
        Declare::Nothing => {}
        Declare::Create | Declare::Passive => {
            if let Some((option, why)) = options.queue.refusal() {
                return refuse(format!("{option}: {why}"));
            }
        }
    }
    let prefetch = options.prefetch;
    let Some(count) = u16::try_from(queues.len()).ok().filter(|count| *count > 0) else {
        return refuse("there is no queue to consume: name a target, or an existing queue".to_owned());
    };
    if prefetch > 0 && prefetch < count {
        return refuse(format!("prefetch: {prefetch} is less than the {count} queues to be consumed"));
    }
    Ok(TopologyPlan { bindings, queues, share: prefetch / count })
}

fn wanted(to: &[(Target, Priority)], pool: Option<&str>) -> impl Iterator<Item = Binding> {
    to.iter().map(move |(target, priority)| {
        let routing_key = target.routing_key(priority);
        Binding {
            queue: pool.map_or_else(|| routing_key.clone(), str::to_owned),
            exchange: target.exchange.clone().unwrap_or_else(|| DEFAULT_EXCHANGE.to_owned()),
            routing_key,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pool: Option<&str>, prefetch: u16, declare: Declare) -> ListenOptions {
        ListenOptions::new(pool, prefetch, declare, QueueKind::OSLO)
    }

    fn check(to: &[(Target, Priority)], pool: Option<&str>, expected: &[(&str, &str, &str)]) {
        let seen = plan(to, &options(pool, 0, Declare::Create)).unwrap().bindings;
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

    #[test]
    fn a_queue_is_consumed_once_and_has_its_share_of_the_prefetch() {
        let to: Vec<(Target, Priority)> = ["neutron", "nova", "neutron"]
            .iter()
            .flat_map(|x| [Priority::Info, Priority::Error].map(|p| (Target::new(*x, "notifications"), p)))
            .collect();
        let check = |options: &ListenOptions, expected: Result<(usize, &[&str], u16), &str>| {
            let seen = plan(&to, options);
            let seen = seen.as_ref().map(|p| {
                let queues: Vec<&str> = p.queues.iter().map(String::as_str).collect();
                (p.bindings.len(), queues, p.share)
            });
            let expected = expected.map(|(bindings, queues, share)| (bindings, queues.to_vec(), share));
            assert_eq!(seen.map_err(ToString::to_string), expected.map_err(str::to_owned));
        };
        let own: &[&str] = &["notifications.info", "notifications.error"];
        check(&options(None, 201, Declare::Create), Ok((4, own, 100)));
        check(&options(None, 0, Declare::Passive), Ok((4, own, 0)));
        check(&options(Some("p"), 201, Declare::Create), Ok((4, &["p"], 201)));
        check(&options(Some("theirs"), 9, Declare::Nothing), Ok((0, &["theirs"], 9)));
        check(
            &options(None, 1, Declare::Create),
            Err("prefetch: 1 is less than the 2 queues to be consumed"),
        );
        let none = "there is no queue to consume: name a target, or an existing queue";
        check(&options(None, 9, Declare::Nothing), Err(none));
        let mut quorum = options(Some("p"), 0, Declare::Create);
        quorum.queue = QueueKind { queue_type: QueueType::Quorum, ..QueueKind::OSLO };
        check(&quorum, Err("durable: a quorum queue always survives a restart of the broker"));
    }
}
