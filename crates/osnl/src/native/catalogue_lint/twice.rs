//! Finds topics and listeners by which one event arrives twice. The copies differ in their ids or their queues, so none of
//! them is a duplicate.

use std::collections::BTreeSet;

use osnl_brokers::{Driver, brokers};
use osnl_config::Warning;

use super::SHARED;
use crate::native::kinds::{LISTENER, RULE};
use crate::native::{ListenerConf, LoadedConf, RuleConf};

/// The part of a name that only topics of versioned events have: no service publishes both forms to one topic.
const VERSIONED: &str = "versioned";

impl LoadedConf {
    /// Warns of topics that one service may publish the same events to.
    pub(super) fn twice(&self, listener: &ListenerConf) -> Option<Warning> {
        let topics = listener.topics.iter().map(String::as_str);
        let (versioned, plain): (BTreeSet<&str>, BTreeSet<&str>) =
            topics.partition(|topic| topic.contains(VERSIONED));
        // Each service has another topic of versioned events.
        let is_of_one = matches!(&listener.exchanges[..], [exchange] if exchange != SHARED);
        let versioned = Some(versioned).filter(|_| is_of_one);
        let topics = std::iter::once(plain).chain(versioned).find(|topics| topics.len() > 1)?;
        let named = topics.into_iter().collect::<Vec<_>>().join(" and ");
        let problem = format!(
            "an event of a service that publishes to {named} arrives once from each, and is delivered each time"
        );
        let mend = "name one topic of each service";
        Some(Warning(self.finding(LISTENER, &listener.name, "topics", &problem).allowed(mend)))
    }

    /// Warns of two listeners of a rule at which the same events arrive.
    pub(super) fn heard_twice(&self, rule: &RuleConf) -> Option<Warning> {
        let listeners = self.conf.listeners.iter();
        let heard: Vec<&ListenerConf> =
            listeners.filter(|listener| rule.listeners.contains(&listener.name)).collect();
        let mut pairs = heard
            .iter()
            .enumerate()
            .flat_map(|(n, one)| heard[n + 1..].iter().map(move |other| (*one, *other)));
        let (one, other, events) =
            pairs.find_map(|(one, other)| Some((one, other, events_at_both(one, other)?)))?;
        let problem = format!(
            "{events} arrives at the listeners {} and {}, and is delivered each time",
            one.name, other.name
        );
        let mend = "name one of the two";
        Some(Warning(self.finding(RULE, &rule.rule.name, "listeners", &problem).allowed(mend)))
    }
}

/// Describes an event that arrives at both listeners.
fn events_at_both(one: &ListenerConf, other: &ListenerConf) -> Option<String> {
    let (url, others) = (&one.transport_url, &other.transport_url);
    let is_one_broker = one.driver() == other.driver()
        && !brokers(url).is_disjoint(&brokers(others))
        && url.virtual_host() == others.virtual_host();
    // With AMQP 1.0, each message goes to one reader of its address.
    if !is_one_broker
        || one.driver() == Driver::Amqp1
        || (one.driver() != Driver::Kafka && !share(&one.exchanges, &other.exchanges))
        || !share(&one.priorities, &other.priorities)
    {
        return None;
    }
    if let Some(topic) = one.topics.iter().find(|topic| other.topics.contains(topic)) {
        return Some(format!("each event of topic {topic}"));
    }
    let (first, second) = (plain_topic(one)?, plain_topic(other)?);
    Some(format!("an event of a service that publishes to {first} and {second}"))
}

fn share<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    one.iter().any(|item| other.contains(item))
}

fn plain_topic(listener: &ListenerConf) -> Option<&str> {
    listener.topics.iter().map(String::as_str).find(|topic| !topic.contains(VERSIONED))
}
