//! Finds publishers and kinds of resources that no known event of a rule has.
//!
//! A publisher is a service and any host, so only the beginning of a pattern is compared.

use std::collections::BTreeSet;

use osnl_config::template::{EvalError, Names};
use osnl_model::catalogue::{self, CatalogueEvent, PayloadForm};
use osnl_model::{Notification, resources};

use crate::native::equalities;
use crate::rule::Rule;

const NAMED: usize = 4;

pub(super) fn no_publisher(rule: &Rule, matched: &[&CatalogueEvent]) -> Option<(String, String)> {
    let pattern = rule.filter.publisher_id.as_ref()?.as_str();
    if without_publisher(matched) {
        return Some((NO_PUBLISHER.to_owned(), WITHOUT_IT.to_owned()));
    }
    let begins = literal_begins(pattern)?;
    let publishers = publishers_like(matched);
    let may_be = |publisher: &&str| {
        let known = fixed_part(publisher);
        begins.iter().any(|begin| known.starts_with(begin) || begin.starts_with(known))
    };
    if publishers.is_empty() || publishers.iter().any(may_be) {
        return None;
    }
    Some(("no publisher of the known events of this rule begins so".to_owned(), named_publishers(matched)))
}

/// Returns the publishers of all events of the same form and service: the part of a service that sends varies.
fn publishers_like(matched: &[&CatalogueEvent]) -> Vec<&'static str> {
    let like = |event: &CatalogueEvent| {
        matched.iter().any(|one| one.service == event.service && is_versioned(one) == is_versioned(event))
    };
    let events = catalogue::events().iter().filter(|event| like(event));
    events.flat_map(|event| event.publishers.iter().copied()).collect()
}

/// Returns the beginning of a publisher's form, before its host.
fn fixed_part(publisher: &str) -> &str {
    publisher.split('<').next().unwrap_or_default()
}

fn named_publishers(matched: &[&CatalogueEvent]) -> String {
    let own: BTreeSet<&str> = matched.iter().flat_map(|event| event.publishers.iter().copied()).collect();
    let more = if own.len() > NAMED { ", ..." } else { "" };
    let named = own.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    format!("they come from {named}{more}")
}

const NO_PUBLISHER: &str = "the known events of this rule have no publisher, and nothing matches it";
const WITHOUT_IT: &str = "remove the condition: their event type is enough";

/// Octavia sends null as the publisher.
fn without_publisher(events: &[&CatalogueEvent]) -> bool {
    !events.is_empty()
        && events.iter().all(|event| event.publishers.iter().all(|publisher| *publisher == NULL))
}

const NULL: &str = "null";

/// Finds a `when` that is false because its events have no publisher, or never that publisher.
pub(super) fn no_publisher_in_when(rule: &Rule, matched: &[&CatalogueEvent]) -> Option<(String, String)> {
    let when = rule.when.as_ref()?;
    if without_publisher(matched) {
        let lacks = |event: &&CatalogueEvent| {
            let names = Names::from(Notification { publisher_id: None, ..event.example() });
            matches!(when.holds(&names), Err(EvalError::Lacks { name }) if name == "publisher_id")
        };
        return matched.iter().all(lacks).then(|| (NO_PUBLISHER.to_owned(), WITHOUT_IT.to_owned()));
    }
    let wanted = equalities::find(when.source()).into_iter().find(|wanted| wanted.name == "publisher_id")?;
    let publishers = publishers_like(matched);
    let may_be = |publisher: &&str| wanted.texts.iter().any(|text| text.starts_with(fixed_part(publisher)));
    if publishers.is_empty() || publishers.iter().any(may_be) {
        return None;
    }
    let texts = wanted.texts.join(" or ");
    let problem = format!("requires publisher_id {texts}, which no known event of this rule has");
    Some((problem, named_publishers(matched)))
}

fn is_versioned(event: &CatalogueEvent) -> bool {
    matches!(event.form, PayloadForm::Versioned(_))
}

/// Returns the beginnings of all matches: several for alternatives in brackets at the begin.
fn literal_begins(pattern: &str) -> Option<Vec<String>> {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let alternatives = pattern.strip_prefix('(').and_then(|inner| inner.split_once(')'));
    match alternatives {
        Some((inside, rest)) if !rest.starts_with(['*', '?', '+', '{']) && is_plain(inside) => {
            inside.split('|').map(|one| literal_begin(&format!("{one}{rest}"))).collect()
        }
        Some(_) | None => literal_begin(pattern).map(|begin| vec![begin]),
    }
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '|'))
}

fn literal_begin(pattern: &str) -> Option<String> {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    if pattern.contains('|') || pattern.starts_with('(') {
        return None;
    }
    let (mut begin, mut chars) = (String::new(), pattern.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped) if !escaped.is_ascii_alphanumeric() => begin.push(escaped),
                Some(_) | None => break,
            },
            '*' | '?' | '{' => {
                begin.pop();
                break;
            }
            '.' | '[' | '(' | '$' | '+' | '^' => break,
            _ => begin.push(c),
        }
    }
    Some(begin).filter(|begin| !begin.is_empty())
}

pub(super) fn no_kind(rule: &Rule, matched: &[&CatalogueEvent]) -> Option<(String, String)> {
    let wanted = equalities::find(rule.when.as_ref()?.source());
    let wanted = wanted.into_iter().find(|wanted| wanted.name == "resource.kind")?;
    let mut kinds = BTreeSet::new();
    for event in matched {
        // Without a sample the resources are unknown.
        event.sample()?;
        let example = event.example();
        kinds.extend(resources(&example).into_iter().map(|resource| resource.kind.into_owned()));
    }
    if kinds.is_empty() || wanted.texts.iter().any(|kind| kinds.contains(kind)) {
        return None;
    }
    let kinds: Vec<String> = kinds.into_iter().collect();
    Some((
        format!(
            "requires resource.kind {}, which no known event of this rule has",
            wanted.texts.join(" or ")
        ),
        format!("it is {}", kinds.join(", ")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_begins_with_what_every_match_begins_with() {
        for (pattern, expected) in [
            (r"^network\.", Some("network.")),
            (r"^network.*$", Some("network")),
            ("nova-compute:", Some("nova-compute:")),
            (r"^comput?e\.", Some("compu")),
            (r"^computee*", Some("compute")),
            (r"^ab+c", Some("ab")),
            (r"^nova-(api|compute):", None),
            (r"^(?i)network", None),
            (r"^\w+\.", None),
            (".*", None),
        ] {
            assert_eq!(literal_begin(pattern).as_deref(), expected, "{pattern}");
        }
        for (pattern, expected) in [
            (r"^network\.", Some(&["network."][..])),
            (r"^(neutron|nova)\.", Some(&["neutron.", "nova."][..])),
            ("(nova-api|nova-compute):host", Some(&["nova-api:host", "nova-compute:host"][..])),
            (r"^(neutron|nova)?\.", None),
            ("^(neutron|)", None),
            ("^(?:neutron|nova)", None),
            ("^(neutron)|network", None),
        ] {
            let found = literal_begins(pattern);
            let found = found.as_ref().map(|begins| begins.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{pattern}");
        }
    }
}
