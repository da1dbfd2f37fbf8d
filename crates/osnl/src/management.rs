//! The management API of RabbitMQ, for facts that AMQP does not report.
//!
//! | question | answer |
//! | --- | --- |
//! | `GET /api/overview` | whether the login is accepted, the version, the name of the cluster |
//! | `GET /api/vhosts` | the default queue type |
//! | `GET /api/queues/VHOST/QUEUE` | type, durability, arguments, policies with their definition, consumers |
//! | `GET /api/queues/VHOST` | the same of the services' queues, by a pattern of their names |
//! | `GET /api/queues/VHOST/QUEUE/bindings` | exchanges and keys |
//! | `GET /api/exchanges/VHOST/EXCHANGE/bindings/destination` | exchanges that pass messages on to such an exchange |
//! | `GET /api/exchanges` | virtual hosts that have an exchange of a listener |
//! | `GET /api/nodes` | the number of nodes |
//!
//! The last five are asked by a thorough question only.
//!
//! A user with the tag `monitoring` and any permissions in the virtual host, even empty, may ask all questions. An
//! answer is a fact or [`UnknownFact`]; silence, a refusal, and missing statistics never count as well.
//!
//! Requests use no proxy. TLS always verifies certificate and name, by `ssl_ca_file` if set, else by the system's
//! authorities.

pub(crate) mod client;
mod reading;
pub(crate) mod risk;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The reason for which the management API does not show a fact, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFact {
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

impl UnknownFact {
    pub(crate) fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }

    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    pub(crate) fn not_asked(listener: &str) -> Self {
        let remedy = format!(
            "write in [listener:{listener}] of an osnl.conf: management_url = https://HOST:15671/ (its user needs the tag monitoring)"
        );
        Self::new("management_url is not set", remedy)
    }
}

/// The facts that only the management API shows, for findings about queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerFacts {
    pub(crate) version: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) default_queue_type: Option<String>,
    pub(crate) queues: Vec<(String, Result<QueueFacts, UnknownFact>)>,
    pub(crate) services: Vec<(String, QueueFacts)>,
    pub(crate) bindings: BTreeMap<String, Vec<(String, String)>>,
    /// The exchanges, with keys, that pass messages on to each exchange on the way to a queue of `bindings`.
    pub(crate) feeders: BTreeMap<String, Vec<(String, String)>>,
    pub(crate) exchanges: Vec<(String, String)>,
    pub(crate) nodes: Option<usize>,
}

impl BrokerFacts {
    pub(crate) fn major(&self) -> Option<u32> {
        self.version.as_deref()?.split('.').next()?.parse().ok()
    }

    /// Returns whether messages of an exchange reach another by bindings between exchanges, of which the first has a key
    /// that `fits`; `None` if the API does not show all ways.
    pub(crate) fn leads(&self, from: &str, fits: impl Fn(&str) -> bool, to: &str) -> Option<bool> {
        let (mut open, mut seen, mut is_whole) = (vec![to], BTreeSet::new(), true);
        while let Some(exchange) = open.pop() {
            if !seen.insert(exchange) {
                continue;
            }
            let Some(feeders) = self.feeders.get(exchange) else {
                is_whole = false;
                continue;
            };
            if feeders.iter().any(|(source, key)| source == from && fits(key)) {
                return Some(true);
            }
            open.extend(feeders.iter().map(|(source, _)| source.as_str()).filter(|source| *source != from));
        }
        is_whole.then_some(false)
    }

    pub(crate) fn unknown(&self) -> Option<&UnknownFact> {
        self.queues.iter().find_map(|(_, found)| match found {
            Ok(facts) => facts.policies.as_ref().err(),
            Err(unknown) => Some(unknown),
        })
    }
}

/// The facts about one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueFacts {
    pub(crate) queue_type: Option<String>,
    pub(crate) durable: Option<bool>,
    pub(crate) messages: Option<u64>,
    pub(crate) consumer_count: Option<u64>,
    pub(crate) arguments: BTreeMap<String, Value>,
    pub(crate) policies: Result<QueuePolicies, UnknownFact>,
    /// The delivery limit that newer brokers report; negative means none.
    pub(crate) delivery_limit: Option<i64>,
    pub(crate) consumers: Vec<ConsumerFacts>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueuePolicies {
    pub(crate) policy: Option<String>,
    pub(crate) operator_policy: Option<String>,
    pub(crate) effective: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerFacts {
    pub(crate) tag: String,
    pub(crate) connection: String,
    pub(crate) user: String,
}
