use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use osnl_model::{Notification, Predicate};
use tokio::task::spawn_blocking;

use super::super::refusal::{Code, RequestRefusal};
use super::super::rules::{
    RuleReport, RuleSettings, RulesReport, UnmatchedGroup, UnmatchedReport, UnmatchedRow,
};
use super::super::{time, words};
use super::ControlHandler;
use crate::explain::{ExplainedEvent, Explainer, Ruling, words as explained};
use crate::native::{Native, RuleConf};
use crate::rule::{Condition, Mode};
use crate::unmatched::{Ring, RuleTotals, UnmatchedMessage};

const NEWEST: usize = 5;

impl ControlHandler {
    pub async fn rules(&self) -> Result<RulesReport, RequestRefusal> {
        let ring = self.ring()?;
        let loaded = self.loaded();
        // With many rules the counts take a moment to add up.
        let made = spawn_blocking(move || report(&ring, loaded.as_ref().map(|loaded| &loaded.conf)));
        made.await.map_err(|error| RequestRefusal::new(Code::Unavailable, error.to_string()))
    }

    pub async fn unmatched(&self, most: usize) -> Result<UnmatchedReport, RequestRefusal> {
        let (ring, loaded) = (self.ring()?, self.loaded());
        let made = spawn_blocking(move || {
            let keep = ring.keep();
            let mut groups = by_type(&ring.latest());
            let more = groups.len().saturating_sub(most);
            groups.truncate(most);
            if let Some(loaded) = loaded {
                for group in &mut groups {
                    let newest = group.newest.first().and_then(|row| ring.get(row.number));
                    group.why = newest.map(|newest| why(&loaded.conf, &newest)).unwrap_or_default();
                }
            }
            UnmatchedReport { keep: keep.heads, with_bodies: keep.bodies, groups, more }
        });
        made.await.map_err(|error| RequestRefusal::new(Code::Unavailable, error.to_string()))
    }

    pub(super) fn ring(&self) -> Result<Arc<Ring>, RequestRefusal> {
        let missing = || RequestRefusal::new(Code::Unsupported, "no daemon with rules runs here");
        self.rules.clone().ok_or_else(missing)
    }
}

fn report(ring: &Ring, conf: Option<&Native>) -> RulesReport {
    let mut totals = ring.totals();
    let configured = conf.map(|conf| &*conf.rules).unwrap_or_default();
    let mut rules: Vec<RuleReport> =
        configured.iter().map(|rule| rule_report(&rule.rule.name, Some(rule), &mut totals)).collect();
    let mut others: Vec<Arc<str>> = totals.keys().cloned().collect();
    others.sort();
    rules.extend(others.iter().map(|name| rule_report(name, None, &mut totals)));
    RulesReport { since: ring.started(), rules }
}

fn rule_report(
    name: &Arc<str>,
    conf: Option<&RuleConf>,
    totals: &mut HashMap<Arc<str>, RuleTotals>,
) -> RuleReport {
    let RuleTotals { seen, fired, mut failed, last_fired } = totals.remove(name).unwrap_or_default();
    let stopped = failed.remove(&Condition::Stopped).unwrap_or_default();
    let mut failed: Vec<_> =
        failed.into_iter().map(|(condition, times)| (condition.to_string(), times)).collect();
    failed.sort_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then_with(|| a.cmp(b)));
    let name = name.to_string();
    RuleReport { name, settings: conf.map(settings), seen, fired, last_fired, stopped, failed }
}

fn settings(conf: &RuleConf) -> RuleSettings {
    RuleSettings {
        listeners: conf.listeners.iter().map(ToString::to_string).collect(),
        actions: conf.rule.actions.iter().map(ToString::to_string).collect(),
        is_enabled: conf.enabled,
        is_shadow: conf.rule.mode == Mode::Shadow,
        stops: conf.rule.ends_the_turn(),
    }
}

fn by_type(messages: &[UnmatchedMessage]) -> Vec<UnmatchedGroup> {
    let mut places: HashMap<Option<&str>, usize> = HashMap::new();
    let mut groups: Vec<UnmatchedGroup> = Vec::new();
    for message in messages.iter().rev() {
        let place = *places.entry(message.event_type.as_deref()).or_insert(groups.len());
        if place == groups.len() {
            let event_type = message.event_type.clone();
            groups.push(UnmatchedGroup { event_type, count: 0, why: String::new(), newest: Vec::new() });
        }
        let group = &mut groups[place];
        group.count += 1;
        if group.newest.len() < NEWEST {
            group.newest.push(row(message));
        }
    }
    groups.sort_by_key(|group| Reverse(group.count));
    groups
}

fn why(conf: &Native, message: &UnmatchedMessage) -> String {
    let is_far = |ruling: &Ruling| match ruling {
        Ruling::NotHeard(_) | Ruling::Disabled => true,
        Ruling::Fails { condition: Condition::Filter(predicate), .. } => *predicate == Predicate::EventType,
        _ => false,
    };
    let trace = Explainer::new(conf).trace(ExplainedEvent::from_unmatched(message));
    let nearest = trace.rules.iter().find(|verdict| !is_far(&verdict.ruling));
    nearest.map_or_else(|| "no rule has this event type".to_owned(), explained::verdict)
}

fn row(message: &UnmatchedMessage) -> UnmatchedRow {
    UnmatchedRow {
        number: message.number,
        age_seconds: message.received.map(time::age).unwrap_or_default(),
        listener: message.listener.to_string(),
        queue: message.queue.to_string(),
        publisher_id: message.publisher_id.clone(),
        resource: message.decoded().as_ref().and_then(resource),
    }
}

fn resource(notification: &Notification) -> Option<String> {
    let first = osnl_model::resource_at(notification, 0)?;
    words::resource(first.name, first.id.as_deref())
}
