//! The deliveries of one rule that fires for a message.

use std::collections::HashMap;

use osnl_config::template::Names;
use osnl_core::age::{EventAge, order_time};
use osnl_core::received::ReceivedMessage;
use osnl_core::rule::{KeySource, Mode, Rule, RuleMismatch, TimedEvent, WhenMismatch};
use osnl_journal::dead_letters::RetriedDelivery;
use osnl_journal::{Begin, NewDelivery, Subject};
use osnl_model::Timestamp;
use tokio::time::Instant;

use super::RuleEngine;
use super::fallback::{fallback_delivery, once_each};
use super::parts::Parts;

/// A message while the rules decide about it.
pub(super) struct Arrival<'a> {
    pub(super) received: &'a ReceivedMessage,
    pub(super) names: &'a Names,
    pub(super) parts: &'a Parts<'a>,
    /// The order keys that an observer has for the resources.
    pub(super) noted: HashMap<Option<u32>, &'a str>,
    /// The one delivery that an operator repeats; `None` for a message of a publisher.
    pub(super) retried: Option<RetriedDelivery<'a>>,
    /// Whether the broker delivers the message to this process for another time.
    pub(super) is_back: bool,
}

/// A rule and a message for which it fires.
pub(super) struct FiredRule<'r, 'a> {
    engine: &'a RuleEngine,
    rule: &'r Rule,
    arrival: &'a Arrival<'a>,
    /// The reason for which the whole message is too old.
    too_old: Option<String>,
}

/// One resource of a message, or the whole message.
struct RulePart<'a> {
    resource: Option<u32>,
    names: &'a Names,
    /// The reason for which nothing is done any more: the event is too old, or a newer one has overtaken it.
    too_old: Option<&'a str>,
}

impl<'r, 'a> FiredRule<'r, 'a> {
    pub(super) fn new(engine: &'a RuleEngine, rule: &'r Rule, arrival: &'a Arrival<'a>) -> Self {
        let limit = rule.max_event_age;
        let (notification, received) = (arrival.names.notification(), arrival.received.origin.received);
        let age = limit.and_then(|_| EventAge::from_notification(notification, received));
        Self { engine, rule, arrival, too_old: age.and_then(|age| age.exceeds(limit)) }
    }

    /// Returns a delivery per action and resource, unless the action's condition is false.
    pub(super) fn deliveries(&self, failed: &mut Vec<(&'r Rule, RuleMismatch)>) -> Vec<NewDelivery> {
        let Self { rule, arrival, .. } = self;
        let order = self.engine.guards.order();
        let time = self.order_time();
        let mut deliveries = Vec::new();
        for (resource, key) in arrival.parts.with_keys(rule, arrival.names) {
            let names = &super::narrowed(rule, arrival.names, arrival.parts, resource);
            let timed = time.zip(key.as_deref()).map(|(time, key)| TimedEvent {
                rule: &rule.name,
                listener: &arrival.received.origin.listener,
                source: &rule.key,
                key,
                time,
                message: arrival.parts.message(arrival.received),
            });
            // What comes again may have come before the newer event.
            let judged = timed.filter(|_| !arrival.received.origin.redelivered);
            let overtaken = judged.and_then(|event| order.overtaken(event));
            let part =
                RulePart { resource, names, too_old: self.too_old.as_deref().or(overtaken.as_deref()) };
            let before = deliveries.len();
            for action in &rule.actions {
                let known = arrival.noted.get(&resource).filter(|_| self.is_keyed_by_observer(action));
                let key = known.copied().or(key.as_deref());
                let Some(begin) = self.begin(action, key, &part, failed) else { continue };
                let instead = match &begin {
                    Begin::Dead(why) => fallback_delivery(rule, action, why, names, key, resource),
                    Begin::Live | Begin::Held(_) | Begin::TooOld(_) | Begin::Shadow => None,
                };
                deliveries.push(NewDelivery {
                    rule: rule.name.clone(),
                    action: action.clone(),
                    key: key.map(str::to_owned),
                    resource,
                    ordered: !rule.unordered.contains(action),
                    enriched: None,
                    begin,
                    subject: Subject::default(),
                    letter: None,
                });
                deliveries.extend(instead);
            }
            if let Some(event) = timed.filter(|_| deliveries[before..].iter().any(|new| new.begin.is_open()))
            {
                order.note(event);
            }
        }
        once_each(deliveries)
    }

    /// Returns the event's time, if the rule orders by it. The operator's retry is of no order.
    fn order_time(&self) -> Option<Timestamp> {
        let Self { rule, arrival, .. } = self;
        let is_timed = rule.order_by_event_time && arrival.retried.is_none();
        let time = order_time(arrival.names.notification(), Some(arrival.received.origin.received));
        time.filter(|_| is_timed)
    }

    fn is_keyed_by_observer(&self, action: &str) -> bool {
        self.rule.key == KeySource::Resource && self.engine.observer_of(action).is_some()
    }

    /// Decides how the delivery of an action begins; `None` if there is none. A false condition is added to `failed`.
    fn begin(
        &self,
        action: &str,
        key: Option<&str>,
        part: &RulePart<'_>,
        failed: &mut Vec<(&'r Rule, RuleMismatch)>,
    ) -> Option<Begin> {
        let rule = self.rule;
        let (rule_name, action_name) = (&*rule.name, action);
        Some(match (rule.asks(action, part.names), rule.mode) {
            (Err(mismatch @ (WhenMismatch::False(_) | WhenMismatch::Lacks { .. })), _) => {
                tracing::debug!(
                    rule.name = rule_name,
                    action.name = action_name,
                    %mismatch,
                    "the condition of the action is false"
                );
                failed.push((rule, RuleMismatch::When(mismatch)));
                return None;
            }
            (Err(mismatch @ WhenMismatch::Undecided(_)), Mode::Live) => {
                Begin::Dead(format!("action {action}: {mismatch}"))
            }
            (Err(mismatch @ WhenMismatch::Undecided(_)), Mode::Shadow) => {
                tracing::error!(
                    rule.name = rule_name,
                    action.name = action_name,
                    mismatch = mismatch.to_string(),
                    "a rule in shadow cannot be decided"
                );
                return None;
            }
            (Ok(()), Mode::Shadow) => Begin::Shadow,
            // The operator's decision overrides guards and age, and no guard counts it.
            (Ok(()), Mode::Live) if self.arrival.retried.is_some() => Begin::Live,
            (Ok(()), Mode::Live) => match part.too_old {
                Some(why) => Begin::TooOld(why.to_owned()),
                None => self.guarded(action, key, part.resource),
            },
        })
    }

    fn guarded(&self, action: &str, key: Option<&str>, resource: Option<u32>) -> Begin {
        let (guards, Arrival { received, parts, is_back, .. }) = (&self.engine.guards, self.arrival);
        guards.look_at_clock();
        // Guards have decided when the message first came, and the journal knows what they held.
        if *is_back || guards.longest().is_none() {
            return Begin::Live;
        }
        let own;
        let key = match key {
            Some(key) => key,
            None => {
                own = format!("{}#{}", parts.message(received), resource.unwrap_or_default());
                &own
            }
        };
        guards.verdict(&self.rule.name, action, key, Instant::now()).map_or(Begin::Live, Begin::Held)
    }
}
