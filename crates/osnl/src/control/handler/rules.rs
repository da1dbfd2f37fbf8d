use std::collections::HashMap;
use std::sync::Arc;

use osnl_model::Notification;
use tokio::task::spawn_blocking;

use super::super::refusal::{Code, RequestRefusal};
use super::super::rules::{RuleReport, RuleSettings, RulesReport, UnmatchedPage, UnmatchedRow};
use super::super::{time, words};
use super::ControlHandler;
use crate::native::{Native, RuleConf};
use crate::rule::{Condition, Mode};
use crate::unmatched::{Ring, RuleTotals, UnmatchedMessage};

impl ControlHandler {
    pub async fn rules(&self) -> Result<RulesReport, RequestRefusal> {
        let ring = self.ring()?;
        let loaded = self.loaded();
        // With many rules the counts take a moment to add up.
        let made = spawn_blocking(move || report(&ring, loaded.as_ref().map(|loaded| &loaded.conf)));
        made.await.map_err(|error| RequestRefusal::new(Code::Unavailable, error.to_string()))
    }

    /// Returns messages that matched no rule, newest first: the latest, or those before a number.
    pub async fn unmatched(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<UnmatchedPage, RequestRefusal> {
        let ring = self.ring()?;
        let made = spawn_blocking(move || {
            let keep = ring.keep();
            let mut found = ring.page(before, limit.saturating_add(1));
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().map(|(number, _)| *number).filter(|_| more);
            let messages = found.iter().map(|(number, message)| row(*number, message)).collect();
            UnmatchedPage { keep: keep.heads, with_bodies: keep.bodies, messages, next }
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

fn row(number: u64, message: &UnmatchedMessage) -> UnmatchedRow {
    UnmatchedRow {
        number,
        age_seconds: message.received.map(time::age).unwrap_or_default(),
        listener: message.listener.to_string(),
        queue: message.queue.to_string(),
        event_type: message.event_type.clone(),
        publisher_id: message.publisher_id.clone(),
        priority: message.priority.clone(),
        resource: message.decoded().as_ref().and_then(resource),
    }
}

fn resource(notification: &Notification) -> Option<String> {
    let first = osnl_model::resource_at(notification, 0)?;
    words::resource(first.name, first.id.as_deref())
}
