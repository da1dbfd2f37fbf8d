use std::sync::Arc;

use osnl_config::template::Expression;
use osnl_model::{Notification, Pattern, Predicate};
use serde_json::json;

use super::*;
use crate::rule::PathPattern;

fn rule(name: &str, when: Option<&str>, stop: bool) -> Rule {
    let when = when.map(|when| Expression::new(when).unwrap());
    Rule { name: name.into(), when, stop, actions: vec!["a".into()], ..Rule::default() }
}

fn names() -> Names {
    Names::from(Notification {
        payload: json!({"n": 1, "port": {"name": "web-1", "adminPass": "S3CRET"}, "port.name": "whole"}),
        ..Notification::default()
    })
}

fn check(rules: Vec<Rule>, expected: &[&str]) {
    let set = RuleSet::new(rules, Arc::default());
    let names = names();
    let decided = set.decide(&names).decided.into_iter().map(|decided| match decided {
        RuleDecision::Fires(rule) => rule.name.to_string(),
        RuleDecision::Undecided(_, why) => why,
    });
    assert_eq!(decided.collect::<Vec<_>>(), expected);
}

#[test]
fn the_first_that_fires_and_stops_is_the_last() {
    let yes = Some("payload.n == 1");
    let no = Some("payload.n == 2");
    check(vec![rule("a", yes, false), rule("b", None, true), rule("c", None, false)], &["a", "b"]);
    let shadow = Rule { mode: Mode::Shadow, ..rule("a", yes, true) };
    check(vec![shadow, rule("b", None, true), rule("c", None, false)], &["a", "b"]);
    check(vec![rule("a", no, true), rule("b", Some("payload.x"), true), rule("c", None, false)], &["c"]);
    let failed = "rule a: when cannot be decided: invalid operation: tried to use + operator on unsupported types \
                  number and string, at \"payload.n + 'x'\"";
    check(vec![rule("a", Some("payload.n + 'x' == 2"), true), rule("b", None, false)], &[failed, "b"]);
}

#[test]
fn a_pattern_looks_inside_of_values_and_a_whole_key_comes_first() {
    let check = |path: &str, pattern: &str, expected: Result<(), &str>| {
        let nested = PathPattern {
            predicate: Predicate::Payload(path.to_owned()),
            pattern: Pattern::new(pattern).unwrap(),
        };
        let found = nested.matches(names().notification()).map_err(|mismatch| mismatch.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{path}");
    };
    check("port.name", "whole$", Ok(()));
    check("port.name.x", "", Err("payload.port.name.x is absent, which does not match \"\""));
    check("port.adminPass", "x", Err("payload.port.adminPass is \"***\", which does not match \"***\""));
    check("n.x", "", Err("payload.n.x is absent, which does not match \"\""));
}

#[test]
fn a_false_when_tells_what_it_saw() {
    let rule =
        rule("a", Some("payload.n == 2 and payload.port.adminPass == 'x' or payload.gone is defined"), false);
    let mismatch = rule.fires(&names()).unwrap_err().to_string();
    let expected = "when is false: payload.gone is absent, payload.n is 1, payload.port.adminPass is ***";
    assert_eq!(mismatch, expected);
}

/// Each message is in one of a rule's numbers, and the conditions have the names that `explain` uses.
#[test]
fn every_verdict_is_counted() {
    let rules = vec![
        rule("false", Some("payload.n == 2"), false),
        rule("lacks", Some("payload.x"), false),
        rule("undecided", Some("payload.n + 'x'"), false),
        rule("ends", None, true),
        rule("behind", None, false),
    ];
    let set = RuleSet::new(rules, Arc::default());
    for _ in 0..3 {
        let failed = set.decide(&names()).failed;
        let failed: Vec<String> = failed.iter().map(|(rule, why)| format!("{}: {why}", rule.name)).collect();
        assert_eq!(failed[0], "false: when is false: payload.n is 1");
        assert_eq!(failed[1], "lacks: when is false: the event has no payload.x");
        assert!(failed[2].starts_with("undecided: when cannot be decided: "), "{}", failed[2]);
        assert_eq!(failed[3], "behind: rule ends matched before it, with stop = true");
    }
    let counts = set.counts().into_iter().map(|counts| {
        let failed = counts.failed.iter().map(|(condition, times)| format!(" {condition} {times}"));
        format!("{} {}{}", counts.rule, counts.fired, failed.collect::<String>())
    });
    let expected = [
        "false 0 when 3",
        "lacks 0 when 3",
        "undecided 0 when 3",
        "ends 3",
        "behind 0 stop of a rule before it 3",
    ];
    assert_eq!(counts.collect::<Vec<_>>(), expected);
}

#[test]
fn a_pattern_that_is_given_up_is_undecided() {
    let hard = |name: &str| {
        // Look-around selects the engine with a step limit, and nested repetition reaches the limit.
        let pattern = Pattern::new(r"^(?!x)(a|aa|aaa)+$(?<=b)").unwrap();
        (name.to_owned(), pattern)
    };
    let text = format!("{}c", "a".repeat(4000));
    let notification = Notification {
        event_type: Some(text.clone()),
        payload: json!({"name": text, "port": {"name": text}}),
        ..Notification::default()
    };
    let check = |rule: Rule, place: &str| {
        let counters = Arc::<crate::metrics::Counters>::default();
        let set = RuleSet::new(
            vec![Rule { name: "r".into(), actions: vec!["a".into()], ..rule }],
            counters.clone(),
        );
        let names = Names::from(notification.clone());
        assert!(set.wants(&names.notification().head()), "{place}");
        let decided = set.decide(&names).decided;
        let [RuleDecision::Undecided(_, why)] = &decided[..] else { panic!("{place}: {decided:?}") };
        let expected = format!(
            "rule r: the pattern \"{}\" cannot be decided: {place} is a text of 4001 bytes, given up after too many steps",
            hard("").1.as_str()
        );
        assert_eq!(why, &expected);
        assert_eq!(counters.step_limits.get(), 1, "{place}");
    };
    let filter = |payload: &[&str], event_type: Option<Pattern>| osnl_model::NotificationFilter {
        payload: payload.iter().map(|name| hard(name)).collect(),
        event_type,
        ..Default::default()
    };
    check(Rule { filter: filter(&["name"], None), ..Rule::default() }, "payload.name");
    check(Rule { filter: filter(&[], Some(hard("").1)), ..Rule::default() }, "event_type");
    let nested = PathPattern { predicate: Predicate::Payload("port.name".to_owned()), pattern: hard("").1 };
    check(Rule { nested: vec![nested], ..Rule::default() }, "payload.port.name");
}
