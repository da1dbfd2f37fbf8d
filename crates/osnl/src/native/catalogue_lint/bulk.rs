//! Finds conditions of rules that a bulk request never meets: in place of the one resource it has a list, and only an
//! action sees each resource.

use osnl_config::template::{EvalError, Names};
use osnl_model::catalogue::{self, CatalogueEvent};
use osnl_model::{Notification, list_of};
use serde_json::Value;

use super::payload_keys;
use crate::native::rule_events::RuleEvents;
use crate::native::{Native, RuleConf};

/// Returns the option, the problem, and the remedy. A rule without an event type may be for other events.
pub(super) fn missed_bulk(conf: &Native, rule: &RuleConf) -> Option<(String, String, String)> {
    rule.rule.filter.event_type.as_ref()?;
    let in_when = rule.rule.when.iter().flat_map(|when| when.paths());
    let in_when = in_when.filter_map(|path| path.strip_prefix("payload."));
    let read: Vec<&str> =
        in_when.chain(payload_keys(rule)).filter_map(|path| Some(path.split_once('.')?.0)).collect();
    if read.is_empty() {
        return None;
    }
    let RuleEvents { events, is_certain } = conf.events_of(rule);
    let mut events_read = events.iter().copied().filter(|event| is_certain && read.contains(&kind(event)));
    let (kind, bulk) = events_read.find_map(|event| Some((kind(event), bulk_example(event)?)))?;
    let is_inside = |path: &str| path.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.'));
    let key = payload_keys(rule).find(|path| is_inside(path));
    let (option, path) = match key {
        Some(path) => (format!("payload.{path}"), path.to_owned()),
        // A default, or a condition before it, may decide.
        None => match rule.rule.when.as_ref()?.holds(&Names::from(bulk)) {
            Err(EvalError::Lacks { name }) => ("when".to_owned(), name.strip_prefix("payload.")?.to_owned()),
            Ok(_) | Err(_) => return None,
        },
    };
    // A name that no event has gets a warning of its own.
    if !is_inside(&path) || catalogue::lacking(&events, &path).is_some() {
        return None;
    }
    let list = list_of(kind);
    Some((
        option,
        format!("a bulk request has payload.{list} and no payload.{kind}, so this rule never matches it"),
        format!("put it into when of the action, which reads each {kind} as payload.{kind}"),
    ))
}

fn kind(event: &CatalogueEvent) -> &'static str {
    event.event_type.split('.').next().unwrap_or_default()
}

/// Returns an example of a bulk request, if the event is known in both forms.
fn bulk_example(event: &CatalogueEvent) -> Option<Notification> {
    let (kind, list) = (kind(event), list_of(event.event_type));
    event.field(kind)?;
    event.field(&list).filter(|field| field.kind == "list")?;
    let example = event.example();
    Some(match example.payload.get(kind).cloned() {
        None => example,
        Some(one) => {
            let items = Value::Array(vec![one]);
            example.with_payload(Value::Object([(list, items)].into_iter().collect()))
        }
    })
}
