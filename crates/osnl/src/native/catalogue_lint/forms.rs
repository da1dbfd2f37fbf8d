//! Finds events that a rule matches in part or twice.

use std::collections::BTreeSet;

use osnl_model::catalogue::{CatalogueEvent, PayloadForm};
use osnl_model::{Pattern, Priority};

use crate::native::ListenerConf;
use crate::rule::Rule;

pub(super) fn missed_publisher(rule: &Rule, heard: &[&CatalogueEvent]) -> Option<(String, String)> {
    let pattern = rule.filter.publisher_id.as_ref()?;
    let matches = |publisher: &str| pattern.is_match(&publisher.replace(['<', '>'], ""));
    let known = |event: &CatalogueEvent| -> Vec<&'static str> {
        event.publishers.iter().copied().filter(|known| *known != "null").collect()
    };
    // Each part of nova sends updates, which a rule may match by accident.
    let is_meant = |event: &&&CatalogueEvent| {
        !event.event_type.ends_with(".update")
            || heard.iter().all(|event| event.event_type.ends_with(".update"))
    };
    let (event, missed) = heard.iter().filter(is_meant).find_map(|event| {
        let (hit, missed): (Vec<&str>, Vec<&str>) =
            known(event).into_iter().partition(|publisher| matches(publisher));
        (!hit.is_empty() && !missed.is_empty()).then_some((event, missed))
    })?;
    let begins = |publisher: &str| publisher.split('<').next().unwrap_or_default().replace('.', r"\.");
    let all: BTreeSet<String> = heard.iter().flat_map(|event| known(event)).map(begins).collect();
    let line = format!("publisher_id = ^({})", all.into_iter().collect::<Vec<_>>().join("|"));
    let problem = format!("misses {}, which also sends {}", missed.join(" and "), event.event_type);
    Some((problem, format!("to match each known publisher, write {line}")))
}

pub(super) fn both_forms(
    rule: &Rule,
    pattern: &Pattern,
    heard: &[&CatalogueEvent],
) -> Option<(String, String)> {
    let filter = &rule.filter;
    let chooses = rule.when.is_some() || !rule.nested.is_empty() || !filter.payload.is_empty();
    // Such a pattern is meant to record all events.
    if chooses || pattern.is_match("osnl.unknown") {
        return None;
    }
    let (plain, versioned) = heard.iter().filter(|event| !is_versioned(event)).find_map(|plain| {
        let twin = heard.iter().find(|event| is_versioned(event) && is_twin(plain, event))?;
        let is_heard = |event: &CatalogueEvent| may_come_from(filter.publisher_id.as_ref(), event);
        (is_heard(plain) && is_heard(twin)).then_some((plain, twin))
    })?;
    let place = |event: &CatalogueEvent| format!("{} on topic {}", event.event_type, event.topics.join(", "));
    Some((
        format!(
            "matches both forms of one event, {} and {}: its actions are called twice",
            place(plain),
            place(versioned)
        ),
        "match one of them, or read one of the topics; both are sent with notification_format = both"
            .to_owned(),
    ))
}

pub(super) fn notification_format(events: &[&CatalogueEvent]) -> Option<&'static str> {
    if !events.iter().all(|event| event.service == "nova") {
        return None;
    }
    match events.iter().filter(|event| is_versioned(event)).count() {
        0 => Some("unversioned"),
        versioned if versioned == events.len() => Some("versioned"),
        _ => None,
    }
}

pub(super) fn unread_errors(
    rule: &Rule,
    pattern: &Pattern,
    heard: &[&CatalogueEvent],
    listeners: &[&ListenerConf],
) -> Option<(String, String)> {
    let is_read = |priority: &Priority| {
        listeners.iter().any(|listener| listener.priorities.contains(priority))
            && rule.priorities.as_ref().is_none_or(|own| own.contains(priority))
    };
    if !pattern.as_str().contains("error") || is_read(&Priority::Error) {
        return None;
    }
    let lost =
        heard.iter().find(|event| event.event_type.ends_with(".error") && event.priorities == ["ERROR"])?;
    Some((
        format!("{} is only sent with priority error, which is not read", lost.event_type),
        "name error in priorities of rule and listener".to_owned(),
    ))
}

fn is_versioned(event: &CatalogueEvent) -> bool {
    matches!(event.form, PayloadForm::Versioned(_))
}

/// Whether both are forms of one event; nova's older form has longer names of servers.
fn is_twin(plain: &CatalogueEvent, versioned: &CatalogueEvent) -> bool {
    let name = plain.event_type.strip_prefix("compute.").unwrap_or(plain.event_type);
    plain.service == versioned.service && [plain.event_type, name].contains(&versioned.event_type)
}

fn may_come_from(pattern: Option<&Pattern>, event: &CatalogueEvent) -> bool {
    let matches = |pattern: &Pattern| {
        event.publishers.iter().any(|known| pattern.is_match(&known.replace(['<', '>'], "")))
    };
    event.publishers.is_empty() || pattern.is_none_or(matches)
}
