//! Decides which listeners receive an event: the one that took the event, else by exchange and routing key.

use std::fmt;
use std::sync::Arc;

use osnl_brokers::Driver;
use osnl_model::catalogue;
use osnl_transport::Declare;

use super::ExplainedEvent;
use crate::native::{ListenerConf, Native, RuleConf};

/// A listener that does not receive an event, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotHeard {
    pub listener: Arc<str>,
    pub why: WhyNot,
}

/// The part of a listener's bindings that excludes an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    Other(Arc<str>),
    Exchange { found: String, bound: Vec<String> },
    Topic { found: String, bound: Vec<String> },
    Priority { found: String, bound: Vec<String> },
}

impl fmt::Display for NotHeard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listener, why } = self;
        match why {
            WhyNot::Other(other) => write!(f, "it uses listener {listener}, and this event is of {other}"),
            WhyNot::Exchange { found, bound } => write!(
                f,
                "listener {listener} does not receive it: the exchange is \"{found}\", and it is bound to {}",
                bound.join(", ")
            ),
            WhyNot::Topic { found, bound } => write!(
                f,
                "listener {listener} does not receive it: the routing key is \"{found}\", and its topics are {}",
                bound.join(", ")
            ),
            WhyNot::Priority { found, bound } => write!(
                f,
                "listener {listener} does not receive it: the routing key is \"{found}\", and its priorities are {}",
                bound.join(", ")
            ),
        }
    }
}

pub(super) struct ListenersForEvent {
    pub(super) by: Vec<Arc<str>>,
    pub(super) not_by: Vec<NotHeard>,
}

pub(super) fn listeners_for_event(
    conf: &Native,
    rule: &RuleConf,
    subject: &ExplainedEvent,
    only: Option<&str>,
) -> ListenersForEvent {
    let known = |name: &Arc<str>| conf.listeners.iter().any(|listener| listener.name == *name);
    let taken = subject.listener.clone().filter(known).filter(|_| only.is_none());
    let mut heard = ListenersForEvent { by: Vec::new(), not_by: Vec::new() };
    for listener in conf.listeners.iter().filter(|listener| rule.listeners.contains(&listener.name)) {
        let other = match (&taken, only) {
            (Some(taken), _) if *taken != listener.name => Some(taken.clone()),
            (None, Some(only)) if *only != *listener.name => Some(only.into()),
            _ => None,
        };
        let why = match (other, &taken) {
            (Some(other), _) => Some(WhyNot::Other(other)),
            // The listener took the event, so its queue was bound accordingly.
            (None, Some(_)) => None,
            (None, None) => why_not(listener, subject),
        };
        match why {
            Some(why) => heard.not_by.push(NotHeard { listener: listener.name.clone(), why }),
            None => heard.by.push(listener.name.clone()),
        }
    }
    heard
}

pub(super) fn not_known_to_receive(
    conf: &Native,
    subject: &ExplainedEvent,
    only: Option<&str>,
    by: &[Arc<str>],
) -> Vec<Arc<str>> {
    let says_exchange = subject.exchange.as_ref().is_some_and(|exchange| !exchange.is_empty());
    if says_exchange || subject.listener.is_some() || only.is_some() {
        return Vec::new();
    }
    let event_type = subject.notification().and_then(|notification| notification.event_type.as_deref());
    let known = catalogue::find(event_type.unwrap_or_default());
    let bound = |listener: &ListenerConf| {
        known.iter().any(|event| listener.exchanges.iter().any(|name| name == event.exchange()))
    };
    // An exchange outside the catalogue may have any event.
    let elsewhere = |listener: &ListenerConf| {
        let services = |name: &String| catalogue::events().iter().any(|event| event.exchange() == *name);
        !known.is_empty()
            && listener.names_services()
            && listener.exchanges.iter().all(services)
            && !bound(listener)
    };
    let of_rule = conf.listeners.iter().filter(|listener| by.contains(&listener.name));
    if of_rule.clone().any(|listener| bound(listener) || is_sent_to_queue(listener, subject)) {
        return Vec::new();
    }
    match by.len() < conf.listeners.len() || of_rule.clone().all(elsewhere) {
        true => by.to_vec(),
        false => Vec::new(),
    }
}

/// Whether the default exchange, whose routing keys are the names of queues, routes the event to the listener's queue.
fn is_sent_to_queue(listener: &ListenerConf, subject: &ExplainedEvent) -> bool {
    let is_default =
        subject.exchange.as_ref().is_some_and(String::is_empty) && listener.driver().has_queues();
    is_default && subject.routing_key.as_ref().is_some_and(|key| listener.queues().contains(key))
}

fn why_not(listener: &ListenerConf, subject: &ExplainedEvent) -> Option<WhyNot> {
    // The bindings of a queue that osnl does not declare are unknown.
    if listener.declare == Declare::Nothing || is_sent_to_queue(listener, subject) {
        return None;
    }
    if let Some(found) = subject.exchange.as_ref().filter(|exchange| !exchange.is_empty())
        && listener.driver() != Driver::Kafka
        && !listener.exchanges.contains(found)
    {
        return Some(WhyNot::Exchange { found: found.clone(), bound: listener.exchanges.clone() });
    }
    let found = subject.routing_key.as_ref().filter(|key| !key.is_empty())?;
    let topics =
        listener.topics.iter().filter_map(|topic| found.strip_prefix(topic.as_str())?.strip_prefix('.'));
    let priorities: Vec<&str> = topics.collect();
    if priorities.is_empty() {
        return Some(WhyNot::Topic { found: found.clone(), bound: listener.topics.clone() });
    }
    let bound = |priority: &&str| listener.priorities.iter().any(|bound| bound.as_str() == *priority);
    (!priorities.iter().any(bound)).then(|| WhyNot::Priority {
        found: found.clone(),
        bound: listener.priorities.iter().map(|priority| priority.as_str().to_owned()).collect(),
    })
}
