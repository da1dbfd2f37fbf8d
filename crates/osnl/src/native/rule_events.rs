//! The catalogue's events that may reach a rule: of its listeners' exchanges and topics, and allowed by its pattern and
//! its `when`.
//!
//! An unknown exchange or an undeclared queue may have events of any service, so only the event type selects, and
//! `is_certain` is false.

use std::collections::BTreeSet;

use osnl_model::catalogue::{self, CatalogueEvent};

use super::equalities;
use super::{ListenerConf, Native, RuleConf};

pub(crate) struct RuleEvents {
    pub(crate) events: Vec<&'static CatalogueEvent>,
    pub(crate) is_certain: bool,
}

impl Native {
    pub(crate) fn events_of(&self, rule: &RuleConf) -> RuleEvents {
        let heard: Vec<&ListenerConf> =
            self.listeners.iter().filter(|listener| rule.listeners.contains(&listener.name)).collect();
        let is_known = |name: &String| catalogue::events().iter().any(|event| event.exchange() == *name);
        let is_certain =
            heard.iter().all(|listener| listener.names_services() && listener.exchanges.iter().all(is_known));
        let pattern = rule.rule.filter.event_type.as_ref();
        let types = event_types(rule);
        let events = catalogue::events()
            .iter()
            .filter(|event| !is_certain || heard.iter().any(|listener| comes(event, listener)))
            .filter(|event| pattern.is_none_or(|pattern| pattern.is_match(event.event_type)))
            .filter(|event| {
                types.as_ref().is_none_or(|types| types.iter().any(|text| text == event.event_type))
            });
        RuleEvents { events: events.collect(), is_certain }
    }
}

impl Native {
    /// Returns where a rule's events come from, if the catalogue has none of these. Their resource is unknown then.
    pub(super) fn uncatalogued(&self, rule: &RuleConf) -> Option<String> {
        let heard = self.listeners.iter().filter(|listener| rule.listeners.contains(&listener.name));
        let (mut exchanges, mut any_queue) = (BTreeSet::new(), false);
        for listener in heard {
            any_queue |= !listener.names_services();
            exchanges.extend(listener.exchanges.iter().map(String::as_str));
        }
        let sends = |event: &CatalogueEvent, exchange: &str| match catalogue::owner_of_exchange(exchange) {
            Some(_) => event.exchange() == exchange || event.service == exchange,
            // Any service may be configured to use it.
            None => true,
        };
        let pattern = rule.rule.filter.event_type.as_ref();
        let types = event_types(rule);
        let is_known = catalogue::events().iter().any(|event| {
            let may_come = any_queue || exchanges.iter().any(|exchange| sends(event, exchange));
            may_come
                && pattern.is_none_or(|pattern| pattern.is_match(event.event_type))
                && types.as_ref().is_none_or(|types| types.iter().any(|text| text == event.event_type))
        });
        let place = || match exchanges.is_empty() {
            true => "its queues".to_owned(),
            false => exchanges.iter().copied().collect::<Vec<_>>().join(" and "),
        };
        (!is_known && (any_queue || !exchanges.is_empty())).then(place)
    }
}

/// Returns the event types that a rule's `when` allows.
fn event_types(rule: &RuleConf) -> Option<Vec<String>> {
    let wanted = equalities::find(rule.rule.when.as_ref()?.source());
    Some(wanted.into_iter().find(|wanted| wanted.name == "event_type")?.texts)
}

pub(super) fn comes(event: &CatalogueEvent, listener: &ListenerConf) -> bool {
    let usual =
        |topic: &String| catalogue::events().iter().any(|event| event.topics.contains(&topic.as_str()));
    let topic = event.topics.is_empty()
        || !listener.topics.iter().all(usual)
        || listener.topics.iter().any(|topic| event.topics.contains(&topic.as_str()));
    topic && listener.exchanges.iter().any(|name| name == event.exchange())
}
