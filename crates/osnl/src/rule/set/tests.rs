//! The set answers as its rules do, one by one.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use osnl_model::{Head, NotificationFilter, Pattern, Priority};

use super::{REMEMBERED, RuleSet};
use crate::rule::Rule;

fn rule(name: usize, event_type: Option<&str>, publisher_id: Option<&str>, priorities: &[&str]) -> Rule {
    let pattern = |text: &str| Pattern::new(text).unwrap();
    Rule {
        name: name.to_string().into(),
        priorities: (!priorities.is_empty())
            .then(|| priorities.iter().map(|p| Priority::parse(p)).collect::<BTreeSet<_>>()),
        filter: NotificationFilter {
            event_type: event_type.map(pattern),
            publisher_id: publisher_id.map(pattern),
            ..NotificationFilter::default()
        },
        actions: vec!["a".into()],
        key: Default::default(),
        mode: Default::default(),
    }
}

fn head<'a>(event_type: Option<&'a str>, publisher_id: Option<&'a str>, priority: Option<&str>) -> Head<'a> {
    Head {
        event_type: event_type.map(Cow::Borrowed),
        publisher_id: publisher_id.map(Cow::Borrowed),
        priority: priority.map(Priority::parse),
    }
}

/// Every combination, twice: the second time it is remembered.
fn check(rules: Vec<Rule>) {
    let set = RuleSet::new(rules, Arc::default());
    let texts = [None, Some(""), Some("port.delete.end"), Some("port.create.end"), Some("network.h1")];
    let priorities = [None, Some("INFO"), Some("error"), Some("shout")];
    for _ in 0..2 {
        for event_type in texts {
            for publisher_id in texts {
                for priority in priorities {
                    let head = head(event_type, publisher_id, priority);
                    let alone: Vec<_> =
                        set.rules().iter().filter(|r| r.wants(&head)).map(|r| &r.name).collect();
                    let together: Vec<_> = set.standing(&head).iter().map(|r| &r.name).collect();
                    assert_eq!(together, alone, "{head:?}");
                    assert_eq!(set.wants(&head), !alone.is_empty(), "{head:?}");
                }
            }
        }
    }
}

#[test]
fn a_set_says_what_its_rules_say() {
    check(vec![]);
    check(vec![rule(0, None, None, &[])]);
    check(vec![
        rule(0, Some(r"^port\.delete\.end$"), None, &[]),
        rule(1, None, Some("network"), &["info"]),
        rule(2, Some("(?!port)"), None, &["error", "shout"]),
        rule(3, Some(""), Some(""), &[]),
    ]);
}

#[test]
fn more_rules_than_a_word_has_bits_keep_their_order() {
    let event_types = ["port", "port.delete", "network", "nothing"];
    check(
        (0..130).map(|n| rule(n, Some(event_types[n % 4]), (n % 3 == 0).then_some("network"), &[])).collect(),
    );
}

#[test]
fn what_is_remembered_is_bounded() {
    let set = RuleSet::new(vec![rule(0, Some(r"e\.1"), Some("p"), &["info"])], Arc::default());
    for n in 0..3 * REMEMBERED {
        let (event_type, publisher) = (format!("e.{n}"), format!("p.{n}"));
        let wanted = set.wants(&head(Some(&event_type), Some(&publisher), Some("info")));
        assert_eq!(wanted, event_type.starts_with("e.1"), "{event_type}");
        let _ = set.wants(&head(None, None, Some(&event_type)));
    }
    let memo = set.memo();
    assert!(memo.event_types.texts.len() <= REMEMBERED);
    assert!(memo.publishers.texts.len() <= REMEMBERED);
    assert!(memo.priorities.len() <= REMEMBERED);
}
