//! Tries actions with examples of the catalogue's events that their rules can match. Nothing is contacted.
//!
//! Some event may have another value than the example, so a condition on a value counts as possible ([`Conditions`]). A
//! condition that requires a field must hold, since a template may rely on the field.
//!
//! A template does not fail for data that an example cannot have: keys of a context, optional fields of another event,
//! fields of Neutron's extensions, answers of enrichments.
//!
//! The work is bounded: each action is tried once per event, and with an equal share of [`MOST`].

mod conditions;
mod report;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use osnl_config::template::{EvalError, Names};
use osnl_core::misfit::{Misfit, MisfitCause};
use osnl_model::Priority;
use osnl_model::catalogue::CatalogueEvent;
use serde_json::json;

use self::conditions::Conditions;
use self::report::Deaths;
use super::effects::{Effect, RuleEffects};
use crate::action::FAILURE;
use crate::enrich::{AnswerForecast, Ask, Kind};
use crate::native::{LoadedConf, RuleConf};
use osnl_config::Warning;

const MOST: usize = 4_000;
const MOST_ASKED: usize = 40_000;

/// The warnings of a configuration that is tried on sample events of the catalogue.
#[derive(Debug, Default)]
pub struct Trial {
    pub warnings: Vec<Warning>,
    pub hopeless: BTreeSet<Arc<str>>,
    pub tried: usize,
    pub left_out: usize,
}

#[must_use]
pub fn try_actions(loaded: &LoadedConf) -> Trial {
    let mut trying = Trial::default();
    let mut all = Examples::default();
    let conf = &loaded.conf;
    let enabled: Vec<&RuleConf> = conf.rules.iter().filter(|rule| rule.enabled).collect();
    let asked_of_each = (MOST_ASKED / enabled.len().max(1)).max(1);
    let of_each = (MOST / conf.actions.len().max(1)).max(1);
    for action in &conf.actions {
        let mut deaths = Deaths::default();
        let mut seen: BTreeSet<usize> = BTreeSet::new();
        for rule in &enabled {
            let is_fallback = rule.rule.fallbacks.contains(&action.name);
            if !is_fallback && !rule.rule.actions.contains(&action.name) {
                continue;
            }
            let (events, is_certain) = all.for_rule(loaded, rule);
            let conditions = Conditions::new(rule, action);
            for (n, event) in events.iter().enumerate() {
                let number = std::ptr::from_ref::<CatalogueEvent>(event).addr();
                if seen.contains(&number) {
                    continue;
                }
                if n >= asked_of_each || seen.len() >= of_each {
                    trying.left_out += 1;
                    continue;
                }
                let example = all.example(event);
                if !conditions.may_hold(rule, &example) {
                    continue;
                }
                seen.insert(number);
                let more = if is_fallback { vec![failure(&action.name)] } else { Vec::new() };
                let (names, more) = (&example, &*more);
                let effects = RuleEffects { conf, rule, names, kept: &[], more, with_conditions: false };
                let found = effects.for_action(action);
                let found = found.iter().find_map(Effect::misfit);
                let found = found.filter(|why| is_certain_of(why, event));
                deaths.add(event, found, is_certain);
            }
        }
        trying.tried += seen.len();
        let hopeless = deaths.report(loaded, action, &mut trying.warnings);
        if hopeless {
            trying.hopeless.insert(action.name.clone());
        }
    }
    trying
}

fn is_certain_of(why: &Misfit, event: &CatalogueEvent) -> bool {
    let MisfitCause::Eval(EvalError::Lacks { name }) = &why.cause else { return true };
    let Some(path) = name.strip_prefix("payload.") else { return !name.starts_with("context") };
    if !event.has_field(path) {
        return !event.is_of_extension(path);
    }
    // Only a recorded event proves that the field is missing.
    event.recorded && event.sample().is_some_and(|sample| sample.event_type == event.event_type)
}

fn failure(to: &Arc<str>) -> Ask {
    let failure = json!({
        "action": "ACTION", "reason": "REASON", "attempts": 1, "answer": "", "at": "2026-01-01T00:00:00Z",
        "before": null,
    });
    // Named as in the journal.
    Ask {
        name: Arc::from(FAILURE),
        kind: Kind::Server,
        id: Err(format!("{to} gets it")),
        cloud: String::new(),
        value: AnswerForecast::Default(failure),
    }
}

#[derive(Default)]
struct Examples {
    by_event: HashMap<usize, Names>,
    by_rule: HashMap<Arc<str>, (Arc<[&'static CatalogueEvent]>, bool)>,
}

impl Examples {
    /// Returns events with an example, recorded ones first, and whether all are certain to match.
    fn for_rule(&mut self, loaded: &LoadedConf, rule: &RuleConf) -> (Arc<[&'static CatalogueEvent]>, bool) {
        if let Some(known) = self.by_rule.get(&rule.rule.name) {
            return known.clone();
        }
        let found = loaded.conf.events_of(rule);
        let priorities = rule.rule.priorities.as_ref();
        let wanted = |event: &&CatalogueEvent| {
            let wants =
                |priority: &&str| priorities.is_none_or(|some| some.contains(&Priority::parse(priority)));
            event.sample().is_some() && (event.priorities.is_empty() || event.priorities.iter().any(wants))
        };
        let mut events: Vec<&'static CatalogueEvent> = found.events.into_iter().filter(wanted).collect();
        events.sort_by_key(|event| !event.recorded);
        let known: (Arc<[&'static CatalogueEvent]>, bool) = (events.into(), found.is_certain);
        self.by_rule.insert(rule.rule.name.clone(), known.clone());
        known
    }

    fn example(&mut self, event: &'static CatalogueEvent) -> Names {
        let number = std::ptr::from_ref(event).addr();
        self.by_event.entry(number).or_insert_with(|| Names::new(Arc::new(event.example()))).clone()
    }
}

#[cfg(test)]
mod tests;
