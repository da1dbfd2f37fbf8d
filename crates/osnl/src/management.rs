//! The management API of RabbitMQ, for what AMQP does not report: policies, operator policies, the delivery limit in
//! force, the virtual host's default queue type, and the other consumers of a queue.
//!
//! | question | answer |
//! | --- | --- |
//! | `GET /api/overview` | whether the login is accepted, the version, the name of the cluster |
//! | `GET /api/vhosts` | the default queue type |
//! | `GET /api/queues/VHOST/QUEUE` | type, durability, arguments, policies with their definition, consumers |
//!
//! A user with the tag `monitoring` that has any permissions in the virtual host, empty ones included, may ask all of them. An
//! answer is a fact or [`UnknownFact`], which has its reason and its
//! remedy: silence, a refusal, and statistics that the broker has not gathered yet never count as well.
//! [`client`] asks, [`reading`] reads the answers, and [`risk`] judges them; the last two are pure.
//!
//! Requests use no proxy, as connections to the broker do not. TLS always verifies certificate and name, by `ssl_ca_file`
//! if it is set, else by the system's authorities; no option turns that off, since nothing depends on the answers.

pub(crate) mod client;
mod reading;
pub(crate) mod risk;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use osnl_model::{Secret, TransportUrl};
use serde_json::Value;

/// `management_url` of a listener. Debug shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagementConf {
    /// `http://` or `https://`, hosts, and a path in front of `/api`.
    pub(crate) url: TransportUrl,
    /// The login of a host without one: that of `transport_url`.
    pub(crate) login: (String, Secret),
    /// The authorities to trust instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// A missing answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownFact {
    /// Why it is missing.
    pub(crate) reason: String,
    /// The line or the command that gets it.
    pub(crate) remedy: String,
}

impl UnknownFact {
    pub(crate) fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }

    /// No `management_url` is set.
    pub(crate) fn not_asked(listener: &str) -> Self {
        let remedy = format!(
            "write in [listener:{listener}] of an osnl.conf: management_url = https://HOST:15671/ (its user needs the tag monitoring)"
        );
        Self::new("management_url is not set", remedy)
    }
}

/// The answers about the queues of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BrokerFacts {
    /// The broker's version.
    pub(crate) version: Option<String>,
    /// The name of the cluster.
    pub(crate) cluster: Option<String>,
    /// The default queue type of the virtual host; `None` if none is set or it is not known.
    pub(crate) default_queue_type: Option<String>,
    /// Each queue.
    pub(crate) queues: Vec<(String, Result<QueueFacts, UnknownFact>)>,
}

impl BrokerFacts {
    /// The first number of the version.
    pub(crate) fn major(&self) -> Option<u32> {
        self.version.as_deref()?.split('.').next()?.parse().ok()
    }

    /// Returns the first answer that is missing.
    pub(crate) fn unknown(&self) -> Option<&UnknownFact> {
        self.queues.iter().find_map(|(_, found)| match found {
            Ok(facts) => facts.policies.as_ref().err(),
            Err(unknown) => Some(unknown),
        })
    }
}

/// A queue as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueFacts {
    /// `classic`, `quorum`, `stream`.
    pub(crate) queue_type: Option<String>,
    /// Whether it outlives a restart of the broker.
    pub(crate) durable: Option<bool>,
    /// The arguments of its declaration.
    pub(crate) arguments: BTreeMap<String, Value>,
    /// The policies; unknown until the broker has gathered the statistics of the queue.
    pub(crate) policies: Result<QueuePolicies, UnknownFact>,
    /// The delivery limit that a newer broker reports; a negative number is none.
    pub(crate) delivery_limit: Option<i64>,
    /// Consumers, ours among them.
    pub(crate) consumers: Vec<ConsumerFacts>,
}

/// The policies of a queue, merged by the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueuePolicies {
    /// The name of the policy.
    pub(crate) policy: Option<String>,
    /// The name of the operator policy.
    pub(crate) operator_policy: Option<String>,
    /// Their definition together.
    pub(crate) effective: BTreeMap<String, Value>,
}

/// A consumer of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerFacts {
    /// Its tag.
    pub(crate) tag: String,
    /// Its connection, as `10.0.0.7:51234 -> 10.0.0.2:5672`.
    pub(crate) connection: String,
    /// The user of the connection.
    pub(crate) user: String,
}
