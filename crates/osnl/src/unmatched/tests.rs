use std::borrow::Cow;
use std::os::unix::fs::PermissionsExt as _;

use osnl_config::template::Expression;
use osnl_model::{NotificationFilter, Pattern};

use super::*;
use crate::rule::Rule;

fn event(n: usize, body: &str) -> (ReceivedMessage, Notification) {
    let notification = Notification {
        event_type: Some(format!("e.{n}")),
        message_id: Some(format!("m-{n}")),
        ..Notification::default()
    };
    (ReceivedMessage::sample(body.to_owned(), false), notification)
}

fn note(ring: &Ring, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let (received, notification) = event(n, &format!("body {n}"));
        ring.event(&received, &notification, &[]);
    }
}

fn ids(of: &[UnmatchedMessage]) -> Vec<&str> {
    of.iter().map(|unmatched| unmatched.message_id.as_deref().unwrap()).collect()
}

#[test]
fn the_last_are_kept_oldest_first() {
    let check = |heads: u32, noted: usize, expected: &[&str]| {
        let ring = Ring::new(KeepUnmatched { heads, bodies: false });
        note(&ring, 0..noted);
        let latest = ring.latest();
        assert_eq!(ids(&latest), expected, "{heads} of {noted}");
        assert!(latest.iter().all(|unmatched| unmatched.body.is_none()), "bodies only when asked for");
        assert!(latest.iter().all(|kept| ring.get(kept.number).is_some_and(|got| got.number == kept.number)));
        let first = latest.first().map_or(noted as u64, |kept| kept.number);
        let gone = [first.wrapping_sub(1), noted as u64, u64::MAX];
        assert!(gone.iter().all(|number| ring.get(*number).is_none()), "{heads} of {noted}");
    };
    check(3, 0, &[]);
    check(3, 2, &["m-0", "m-1"]);
    check(3, 3, &["m-0", "m-1", "m-2"]);
    check(3, 7, &["m-4", "m-5", "m-6"]);
    check(1, 5, &["m-4"]);
    check(0, 5, &[]);
}

#[test]
fn long_texts_are_cut_between_characters() {
    let ring = Ring::new(KeepUnmatched { heads: 1, bodies: false });
    let notification = Notification {
        event_type: Some("é".repeat(1_000_000)),
        publisher_id: Some("p".repeat(LONGEST_TEXT)),
        message_id: Some(format!("m{}", "é".repeat(LONGEST_TEXT))),
        ..Notification::default()
    };
    ring.event(&event(0, "").0, &notification, &[]);
    let latest = ring.latest().remove(0);
    assert_eq!(latest.event_type.unwrap(), format!("{}…", "é".repeat(LONGEST_TEXT / 2)));
    assert_eq!(latest.publisher_id.unwrap().len(), LONGEST_TEXT);
    assert_eq!(latest.message_id.unwrap(), format!("m{}…", "é".repeat((LONGEST_TEXT - 1) / 2)));
}

#[test]
fn a_place_that_is_used_again_keeps_nothing_of_before() {
    let ring = Ring::new(KeepUnmatched { heads: 1, bodies: true });
    let (received, mut notification) = event(0, "a secret");
    notification.publisher_id = Some("p".to_owned());
    notification.priority = Some(osnl_model::Priority::Info);
    ring.event(&received, &notification, &[(&Rule::default(), RuleMismatch::Priority(None))]);
    assert_eq!(ring.latest()[0].body.as_ref().unwrap().0, "a secret");
    let long = "x".repeat(BODIES + 1);
    ring.event(&ReceivedMessage::sample(long, false), &Notification::default(), &[]);
    let latest = ring.latest().remove(0);
    let UnmatchedMessage { event_type, publisher_id, priority, message_id, failed, body, .. } = latest;
    assert_eq!((event_type, publisher_id, priority, message_id), (None, None, None, None));
    assert!(failed.is_empty() && body.is_none());
}

#[test]
fn what_is_written_is_read_again_by_another_process_and_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.db");
    assert!(read(&journal, 10).is_err(), "there is nothing yet");
    let keep = KeepUnmatched { heads: 4, bodies: true };
    for process in 0..6 {
        let ring = Ring::beside(keep, &journal);
        note(&ring, process * 3..process * 3 + 3);
        drop(ring);
    }
    let all = read(&journal, usize::MAX).unwrap();
    let expected: Vec<String> = (18 - all.len()..18).map(|n| format!("m-{n}")).collect();
    assert_eq!(ids(&all), expected);
    assert!((4..=12).contains(&all.len()), "{} lines", all.len());
    assert_eq!(ids(&read(&journal, 2).unwrap()), ["m-16", "m-17"]);
    let last = all.last().unwrap();
    assert_eq!((&*last.listener, &*last.queue, &*last.exchange), ("l", "q", "neutron"));
    assert_eq!(last.event_type.as_deref(), Some("e.17"));
    assert_eq!(last.body.as_ref().unwrap().0, "body 17");
    for name in ["journal.db.unmatched", "journal.db.unmatched.1", "journal.db.rules"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

#[test]
fn a_line_that_was_cut_off_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.db");
    let write = |n| {
        let ring = Ring::beside(KeepUnmatched { heads: 10, bodies: false }, &journal);
        note(&ring, n..n + 1);
    };
    write(0);
    let file = folder.path().join("journal.db.unmatched");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}{}", &text[..text.len() / 2])).unwrap();
    write(1);
    assert_eq!(ids(&read(&journal, usize::MAX).unwrap()), ["m-0", "m-1"]);
}

#[test]
fn a_file_that_cannot_be_written_stops_nobody() {
    let ring = Ring::beside(KeepUnmatched::default(), Path::new("/nowhere/at/all/journal.db"));
    note(&ring, 0..2);
    assert_eq!(ids(&ring.latest()), ["m-0", "m-1"]);
}

#[test]
fn the_counts_of_each_rule_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.db");
    let rule = Rule {
        name: "r".into(),
        filter: NotificationFilter { event_type: Some(Pattern::new("^a$").unwrap()), ..Default::default() },
        when: Some(Expression::new("payload.n == 1").unwrap()),
        ..Rule::default()
    };
    let rules = Arc::new(RuleSet::new(vec![rule], Arc::default()));
    let ring = Ring::beside(KeepUnmatched::default(), &journal);
    ring.watch(&"l".into(), &rules);
    for event_type in ["a", "b", "b"] {
        let head = Head { event_type: Some(Cow::Borrowed(event_type)), publisher_id: None, priority: None };
        let _ = rules.wants(&head);
    }
    for n in [1, 2, 3] {
        let payload = serde_json::json!({"n": n});
        let event = Notification { event_type: Some("a".into()), payload, ..Notification::default() };
        let _ = rules.decide(&event.into());
    }
    drop(ring);
    let (since, counted) = counts(&journal).unwrap();
    assert!(since.elapsed().unwrap().as_secs() < 60);
    let expected = RuleMatches {
        listener: "l".into(),
        rule: "r".into(),
        tested: 3,
        matched: 1,
        failed: [("event_type".to_owned(), 2), ("when".to_owned(), 2)].into(),
        stopped: 0,
    };
    assert_eq!(counted, [expected]);
}

#[test]
fn of_many_rules_the_reasons_of_a_few_are_kept() {
    let ring = Ring::new(KeepUnmatched { heads: 2, bodies: false });
    let (received, notification) = event(0, "{}");
    let mut rules: Vec<Rule> =
        (0..1000).map(|n| Rule { name: format!("r{n}").into(), ..Rule::default() }).collect();
    for (at, pattern) in [(700, "a"), (900, "b")] {
        rules[at].filter.event_type = Some(Pattern::new(pattern).unwrap());
    }
    let by = "x".repeat(LONGEST_REASON);
    let failed: Vec<_> =
        rules.iter().map(|rule| (rule, RuleMismatch::Stopped { by: by.as_str().into() })).collect();
    ring.event(&received, &notification, &failed);
    let kept = &ring.latest()[0].failed;
    let names: Vec<&str> = kept.iter().map(|failed| &*failed.rule).collect();
    assert_eq!((names.len(), &names[..4]), (REASONS, &["r700", "r900", "r0", "r1"][..]));
    assert!(kept.iter().all(|failed| failed.reason.chars().count() == LONGEST_REASON + 1));
}

#[test]
fn matches_of_a_rule_stay_when_one_of_its_listeners_is_gone() {
    let counters = Arc::<crate::metrics::Counters>::default();
    let ring = Ring::new(KeepUnmatched { heads: 1, bodies: false });
    let fired =
        || ring.fired().into_iter().map(|(rule, times)| (rule.to_string(), times)).collect::<Vec<_>>();
    let expected = |times: u64| vec![("r".to_owned(), times)];
    let listen = |listener: &str, messages: usize| {
        let rule = Rule { name: "r".into(), actions: vec!["a".into()], ..Rule::default() };
        let rules = Arc::new(RuleSet::new(vec![rule], counters.clone()));
        for _ in 0..messages {
            let _ = rules.decide(&Notification::default().into());
        }
        ring.watch(&listener.into(), &rules);
        rules
    };
    let (first, second) = (listen("a", 5), listen("b", 2));
    assert_eq!(fired(), expected(7));
    ring.unwatch("a");
    drop(first);
    assert_eq!(fired(), expected(7));
    let third = listen("b", 1);
    drop(second);
    assert_eq!(fired(), expected(8));
    ring.unwatch("b");
    drop(third);
    assert_eq!(fired(), []);
}
