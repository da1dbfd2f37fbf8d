//! `on_failure` of an action: a chain of actions for its dead letters, never a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use osnl_config::sections::SectionReader;
use osnl_config::template::Expression;
use osnl_core::fallback::Fallback;

use super::kinds::ACTION;
use super::{ActionConf, RuleConf};

const OPTION: &str = "on_failure";

pub(super) fn read(reader: &mut SectionReader<'_>, actions: &[&str]) -> Option<Option<Fallback>> {
    if !reader.is_set(OPTION) {
        return Some(None);
    }
    match &reader.references(OPTION, ACTION, actions)?[..] {
        [own] if *own == reader.section.name => {
            reader.refuse(OPTION, "is this action itself", "name another one, or remove it")
        }
        [name] => Some(Some(Fallback { action: name.as_str().into(), when: None, ordered: true })),
        _ => reader.refuse(OPTION, "names several actions", "name one; that one may have an on_failure too"),
    }
}

pub(crate) fn chain<'a>(actions: &'a [ActionConf], of: &str) -> Vec<&'a Arc<str>> {
    let mut chain: Vec<&Arc<str>> = Vec::new();
    let mut at = of;
    let next = |of: &str| {
        let action = actions.iter().find(|action| *action.name == *of)?;
        Some(&action.on_failure.as_ref()?.action)
    };
    while let Some(next) = next(at) {
        let seen = chain.contains(&next);
        chain.push(next);
        if seen || **next == *of {
            break;
        }
        at = next;
    }
    chain
}

/// Returns the path from an action back to itself, such as `a, b, a`.
pub(super) fn circle(actions: &[ActionConf], of: &str) -> Option<String> {
    let chain = chain(actions, of);
    chain.last().is_some_and(|last| ***last == *of).then(|| {
        let names: Vec<&str> = std::iter::once(of).chain(chain.iter().map(|name| &***name)).collect();
        names.join(", ")
    })
}

/// `told`: the actions that are called about incidents.
pub(super) fn used(
    rules: &[RuleConf],
    actions: &[ActionConf],
    told: BTreeSet<Arc<str>>,
) -> BTreeSet<Arc<str>> {
    let fired = rules.iter().filter(|rule| rule.enabled).flat_map(|rule| &rule.rule.actions);
    let fired: BTreeSet<Arc<str>> = fired.cloned().chain(told).collect();
    let behind: Vec<Arc<str>> = fired.iter().flat_map(|name| chain(actions, name)).cloned().collect();
    fired.into_iter().chain(behind).collect()
}

/// Returns the actions that send digests; their deliveries are not ordered.
pub(super) fn gathering(actions: &[ActionConf]) -> BTreeSet<Arc<str>> {
    let gathering = actions.iter().filter(|action| action.driver.conf().traits().gathers.is_some());
    gathering.map(|action| action.name.clone()).collect()
}

pub(super) fn resolve(actions: &mut [ActionConf]) {
    let conditions: BTreeMap<Arc<str>, Expression> = actions
        .iter()
        .filter_map(|action| Some((action.name.clone(), action.decided_early()?.clone())))
        .collect();
    let gathering = gathering(actions);
    for fallback in actions.iter_mut().filter_map(|action| action.on_failure.as_mut()) {
        fallback.when = conditions.get(&fallback.action).cloned();
        fallback.ordered = !gathering.contains(&fallback.action);
    }
}
