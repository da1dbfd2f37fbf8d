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
    let begin = literal_begin(pattern)?;
    // The sending part varies, so every publisher of the form is accepted.
    let like = |event: &CatalogueEvent| {
        matched.iter().any(|one| one.service == event.service && is_versioned(one) == is_versioned(event))
    };
    let publishers: Vec<&str> = catalogue::events()
        .iter()
        .filter(|event| like(event))
        .flat_map(|event| event.publishers.iter().copied())
        .collect();
    let may_be = |publisher: &&str| {
        let known = publisher.split('<').next().unwrap_or_default();
        known.starts_with(&begin) || begin.starts_with(known)
    };
    if publishers.is_empty() || publishers.iter().any(may_be) {
        return None;
    }
    let own: BTreeSet<&str> = matched.iter().flat_map(|event| event.publishers.iter().copied()).collect();
    let more = if own.len() > NAMED { ", ..." } else { "" };
    let named = own.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    Some((
        "no publisher of the known events of this rule begins so".to_owned(),
        format!("they come from {named}{more}"),
    ))
}

const NO_PUBLISHER: &str = "the known events of this rule have no publisher, and nothing matches it";
const WITHOUT_IT: &str = "remove the condition: their event type is enough";

/// Octavia sends null as the publisher.
fn without_publisher(events: &[&CatalogueEvent]) -> bool {
    !events.is_empty()
        && events.iter().all(|event| event.publishers.iter().all(|publisher| *publisher == NULL))
}

const NULL: &str = "null";

/// Finds a `when` that is false because its events have no publisher.
pub(super) fn no_publisher_in_when(rule: &Rule, matched: &[&CatalogueEvent]) -> Option<(String, String)> {
    let when = rule.when.as_ref().filter(|_| without_publisher(matched))?;
    let lacks = |event: &&CatalogueEvent| {
        let names = Names::from(Notification { publisher_id: None, ..event.example() });
        matches!(when.holds(&names), Err(EvalError::Lacks { name }) if name == "publisher_id")
    };
    matched.iter().all(lacks).then(|| (NO_PUBLISHER.to_owned(), WITHOUT_IT.to_owned()))
}

fn is_versioned(event: &CatalogueEvent) -> bool {
    matches!(event.form, PayloadForm::Versioned(_))
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
    }
}
