//! The catalogue's events that may reach a rule: of its listeners' exchanges and topics, and allowed by its pattern and
//! its `when`.
//!
//! An unknown exchange or an undeclared queue may have events of any service, so only the event type selects, and
//! `is_certain` is false.

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
        let is_certain = heard
            .iter()
            .all(|listener| !listener.exchanges.is_empty() && listener.exchanges.iter().all(is_known));
        let pattern = rule.rule.filter.event_type.as_ref();
        let types = rule.rule.when.as_ref().and_then(|when| {
            equalities::of(when.source()).into_iter().find(|wanted| wanted.name == "event_type")
        });
        let events = catalogue::events()
            .iter()
            .filter(|event| !is_certain || heard.iter().any(|listener| comes(event, listener)))
            .filter(|event| pattern.is_none_or(|pattern| pattern.is_match(event.event_type)))
            .filter(|event| {
                types.as_ref().is_none_or(|types| types.texts.iter().any(|text| text == event.event_type))
            });
        RuleEvents { events: events.collect(), is_certain }
    }
}

pub(super) fn comes(event: &CatalogueEvent, listener: &ListenerConf) -> bool {
    let usual =
        |topic: &String| catalogue::events().iter().any(|event| event.topics.contains(&topic.as_str()));
    let topic = event.topics.is_empty()
        || !listener.topics.iter().all(usual)
        || listener.topics.iter().any(|topic| event.topics.contains(&topic.as_str()));
    topic && listener.exchanges.iter().any(|name| name == event.exchange())
}
