use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use osnl_model::{Head, Mismatch, NotificationFilter, Pattern, Predicate, Priority};

use super::{REMEMBERED, REMEMBERED_BYTES, RuleSet, TextMatches};
use crate::rule::{Rule, RuleMismatch};

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
        ..Rule::default()
    }
}

fn head<'a>(event_type: Option<&'a str>, publisher_id: Option<&'a str>, priority: Option<&str>) -> Head<'a> {
    Head {
        event_type: event_type.map(Cow::Borrowed),
        publisher_id: publisher_id.map(Cow::Borrowed),
        priority: priority.map(Priority::parse),
    }
}

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
                    let together: Vec<_> = set.matching(&head).iter().map(|r| &r.name).collect();
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

/// The counts of the set equal those of single rules, whether or not texts were forgotten.
#[test]
fn the_first_condition_that_failed_is_counted_for_every_rule() {
    let rules = || {
        let mut rules = vec![
            rule(0, Some(r"^e\.1"), Some("^p"), &["info"]),
            rule(1, None, Some(r"^p\.2"), &[]),
            rule(2, Some(r"^e\.(1|2)"), None, &["info", "error"]),
            rule(3, None, None, &[]),
        ];
        rules.extend((4..66).map(|n| rule(n, Some("never"), None, &[])));
        rules
    };
    let check = |heads: usize, asked_between: bool| {
        let set = RuleSet::new(rules(), Arc::default());
        let mut expected = vec![HashMap::<String, u64>::new(); 66];
        for n in 0..heads {
            let (event_type, publisher) = (format!("e.{n}"), format!("p.{}", n % 50));
            let priority = ["info", "error", "warn"][n % 3];
            let head = head(Some(&event_type), (n % 7 != 0).then_some(&*publisher), Some(priority));
            let _ = set.wants(&head);
            let seen = osnl_model::Notification {
                event_type: Some(event_type.clone()),
                publisher_id: head.publisher_id.as_deref().map(str::to_owned),
                priority: head.priority.clone(),
                ..Default::default()
            };
            for (rule, expected) in set.rules().iter().zip(&mut expected) {
                if let Err(mismatch) = rule.fires(&seen.clone().into()) {
                    *expected.entry(crate::rule::Condition::from(&mismatch).to_string()).or_default() += 1;
                }
            }
            if asked_between && n % 1000 == 0 {
                let _ = set.counts();
            }
        }
        for (counts, expected) in set.counts().into_iter().zip(expected) {
            assert_eq!((counts.seen, counts.fired), (heads as u64, 0));
            let failed: HashMap<_, _> =
                counts.failed.into_iter().map(|(condition, times)| (condition.to_string(), times)).collect();
            assert_eq!(failed, expected, "rule {}", counts.rule);
        }
    };
    check(30, false);
    check(REMEMBERED + 10, true);
}

#[test]
fn what_failed_behind_the_head_and_what_fired_is_counted() {
    let set = RuleSet::new(vec![rule(0, None, None, &[]), rule(1, None, None, &[])], Arc::default());
    let mismatch = |place: Predicate| {
        let mismatch =
            Mismatch { predicate: place, pattern: "x".to_owned(), observed: osnl_model::Observed::Absent };
        RuleMismatch::Filter(mismatch)
    };
    let count = |at: usize, fired: Result<(), RuleMismatch>| {
        set.count(vec![(at, fired.as_ref().err().map(Into::into))]);
    };
    count(0, Ok(()));
    for _ in 0..2 {
        count(0, Err(mismatch(Predicate::Payload("a".to_owned()))));
    }
    count(1, Err(mismatch(Predicate::Context("u".to_owned()))));
    let shown: Vec<_> = set.counts().into_iter().map(|c| (c.fired, format!("{:?}", c.failed))).collect();
    assert_eq!(shown[0], (1, r#"[(Filter(Payload("a")), 2)]"#.to_owned()));
    assert_eq!(shown[1], (0, r#"[(Filter(Context("u")), 1)]"#.to_owned()));
}

#[test]
fn long_texts_are_not_remembered_beyond_their_bytes() {
    let set = RuleSet::new(vec![rule(0, Some("^a"), None, &[])], Arc::default());
    for n in 0..40 {
        let text = format!("{}{n}{}", if n % 2 == 0 { "a" } else { "b" }, "x".repeat(100_000));
        let head = Head {
            event_type: Some(text.clone().into()),
            publisher_id: Some(text.clone().into()),
            priority: Some(Priority::parse(&text)),
        };
        assert_eq!(set.wants(&head), n % 2 == 0, "{n}");
        let memo = set.memo();
        let texts = |of: &TextMatches| of.texts.keys().map(|text| text.len()).sum::<usize>();
        let priorities: usize = memo.priorities.keys().flatten().map(|p| p.as_str().len()).sum();
        for bytes in [texts(&memo.event_types), texts(&memo.publishers), priorities] {
            assert!(bytes < REMEMBERED_BYTES + text.len(), "{bytes}");
        }
    }
    let counts = set.counts();
    assert_eq!((counts[0].seen, counts[0].failed.iter().map(|(_, times)| times).sum::<u64>()), (40, 20));
}
