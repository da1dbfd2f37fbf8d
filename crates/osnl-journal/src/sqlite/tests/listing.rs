use super::hands::{one, only};
use super::*;
use crate::query::{
    About, AnswerPolicy, Filter, KeyBounds, KeyedEvent, ListPage, Phase, QueryContext, RowOrder, RowState,
};
use crate::{AttemptRetry, End, NewDelivery, Subject, UsedLimits};

#[tokio::test]
async fn deliveries_are_found_by_what_is_known_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for (n, (id, key)) in [("1", "k"), ("2", "k"), ("3", "other")].into_iter().enumerate() {
        let mut entry = entry(id, key, false);
        Arc::make_mut(&mut entry.received).origin.received =
            std::time::UNIX_EPOCH + Duration::from_secs(100 * (n as u64 + 1));
        if id == "3" {
            entry.deliveries.push(NewDelivery::new("s", "b", None));
        }
        within(append(&journal, entry).await).await;
    }
    let claimed = claim(&journal, "a", 2).await;
    journal.attempted(claimed[1].id, attempts(1), "status 409: no");
    journal.end(claimed[1].id, Outcome::Dead("status 409: no (attempt 6)".into()).into());
    claim(&journal, "a", 0).await;

    let reader = reader(&folder);
    let check = |filter: Filter, expected: &[&str]| {
        let rows = reader.list(&filter, &ListPage::default()).unwrap();
        assert_eq!(rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    let at = |seconds| Some(std::time::UNIX_EPOCH + Duration::from_secs(seconds));
    check(Filter::default(), &["1.0", "2.0", "3.0", "3.1"]);
    check(Filter { since: at(200), until: at(300), ..Filter::default() }, &["2.0"]);
    check(Filter { since: at(300), rule: Some("r".into()), ..only(&[RowState::Dead]) }, &["3.0"]);
    let page = ListPage { after: DeliveryId::parse("1.0"), limit: 2, ..ListPage::default() };
    let rows = reader.list(&Filter::default(), &page).unwrap();
    assert_eq!(rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>(), ["2.0", "3.0"]);

    let shown = reader.show(claimed[1].id).unwrap().unwrap();
    assert_eq!(shown.row.reason.as_deref(), Some("status 409: no (attempt 6)"));
    assert_eq!((shown.row.attempts, shown.row.tries, shown.tries.len()), (1, 1, 1));
    assert!(shown.row.ended.is_some());
    assert_eq!(reader.show(DeliveryId::parse("2.0").unwrap()).unwrap().unwrap().ahead, 1);
    assert!(reader.show(DeliveryId::parse("9.0").unwrap()).unwrap().is_none());
    let tally: Vec<_> =
        reader.tally().unwrap().into_iter().map(|t| (t.action, Phase::word_of(t.state), t.count)).collect();
    let expected = [("a", "waiting", 1), ("a", "ready", 1), ("a", "dead", 1), ("b", "ready", 1)];
    assert_eq!(tally, expected.map(|(action, state, count)| (action.to_owned(), state, count)));
    assert_eq!(reader.oldest_ready("a").unwrap(), at(100));
}

#[tokio::test]
async fn the_latest_keys_of_rules_are_found_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for n in 1..=6 {
        let mut entry = entry(&n.to_string(), &format!("k{n}"), false);
        entry.deliveries.push(NewDelivery::new("s", "b", Some(format!("s{n}"))));
        entry.deliveries.push(NewDelivery::new("without a key", "b", None));
        within(append(&journal, entry).await).await;
    }
    let reader = reader(&folder);
    let check = |rules: &[&str], (keys, rows): (usize, usize), expected: &[&str]| {
        let rules: Vec<Arc<str>> = rules.iter().map(|rule| (*rule).into()).collect();
        let mut found = Vec::new();
        let visit = |one: KeyedEvent<'_>| found.push(format!("{} {} {}", one.number, one.rule, one.key));
        reader.latest_keys(&rules, KeyBounds { keys, rows }, visit).unwrap();
        assert_eq!(found, expected, "{rules:?} {keys} {rows}");
    };
    check(&["r"], (2, 100), &["5 r k5", "6 r k6"]);
    check(&["r", "s", "without a key"], (3, 100), &["5 s s5", "6 r k6", "6 s s6"]);
    check(&["r"], (100, 6), &["5 r k5", "6 r k6"]);
    check(&["seldom"], (100, 6), &[]);
}

/// Without the first, a status told that a delivery fails since its 20th latest attempt.
#[tokio::test]
async fn the_first_and_the_latest_attempts_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    let claimed = claim(&journal, "a", 1).await;
    for n in 0..50 {
        journal.attempted(
            claimed[0].id,
            UsedLimits { made: n + 1, ..attempts(0) },
            &format!("{n} {}", "ü".repeat(5000)),
        );
    }
    claim(&journal, "a", 0).await;
    let shown = reader(&folder).show(claimed[0].id).unwrap().unwrap();
    assert_eq!((shown.row.tries, shown.tries.len()), (50, 20));
    let mut numbers: Vec<u32> =
        shown.tries.iter().map(|one| one.answer.split(' ').next().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0].into_iter().chain(31..50).collect::<Vec<_>>());
    assert!(shown.tries.iter().all(|one| one.answer.len() <= 1000));
}

#[tokio::test]
async fn a_long_reason_and_a_long_event_type_are_listed_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let long = "ü".repeat(100_000);
    let mut hostile = entry("1", "k", false);
    Arc::make_mut(&mut hostile.notification).event_type = Some(long.clone());
    within(append(&journal, hostile).await).await;
    let claimed = claim(&journal, "a", 1).await;
    journal.end(claimed[0].id, Outcome::Dead(long).into());
    let dead = || reader(&folder).list(&only(&[RowState::Dead]), &ListPage::default()).unwrap();
    osnl_testkit::wait_until(Duration::from_secs(60), "it is kept", || dead().len() == 1);
    let lengths = dead().pop().map(|row| (row.reason.unwrap().len(), row.event_type.unwrap().len()));
    assert_eq!(lengths, Some((4096, 1000)));
}

#[tokio::test]
async fn what_was_done_can_be_listed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    let claimed = claim(&journal, "a", 1).await;
    journal.end(claimed[0].id, End::from(Outcome::Delivered).saying("DELETE x: 204"));
    let done = || reader(&folder).list(&only(&[RowState::Delivered]), &ListPage::default()).unwrap();
    osnl_testkit::wait_until(Duration::from_secs(60), "it is kept", || done().len() == 1);
    assert_eq!(done()[0].reason.as_deref(), Some("DELETE x: 204"));
}

fn about(text: &str) -> Filter {
    Filter { about: vec![About::parse(text)], ..Filter::default() }
}

fn pages(reader: &SqliteReader, order: RowOrder, context: &QueryContext, limit: u32) -> Vec<String> {
    let filter = Filter { context: context.clone(), ..Filter::default() };
    let mut page = ListPage { order, after: None, limit };
    let mut ids = Vec::new();
    loop {
        let rows = reader.list(&filter, &page).unwrap();
        let Some(last) = rows.last() else { return ids };
        page.after = Some(last.id);
        ids.extend(rows.iter().map(|row| row.id.to_string()));
    }
}

#[tokio::test]
async fn pages_follow_in_both_orders_and_each_row_has_its_phase() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for (id, key) in [("1", "k"), ("2", "l"), ("3", "m"), ("4", "n"), ("5", "n"), ("6", "o")] {
        keep(&journal, id, key).await;
    }
    let claimed = claim(&journal, "a", 4).await;
    journal.attempted(claimed[0].id, attempts(1), "status 409: no");
    journal.end(claimed[0].id, End::from(Outcome::Dead("status 409: no (attempt 1)".into())));
    let due = Instant::now() + Duration::from_secs(60);
    let (used, answer) = (attempts(1), "status 503: Later".to_owned());
    journal.retry_at(claimed[2].id, AttemptRetry { due, used, is_charged: false, answer });
    journal.end(claimed[1].id, End::from(Outcome::Delivered).saying("PUT http://x/: 201"));
    within(journal.close()).await;
    let reader = reader(&folder);
    let configured = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let known = QueryContext { running: vec![claimed[3].id], configured: configured(&["a"]) };
    let gone = QueryContext { running: Vec::new(), configured: configured(&["b"]) };
    for limit in [1, 2, 4, 100] {
        let check = |order, context: &QueryContext, expected: &[&str]| {
            assert_eq!(pages(&reader, order, context, limit), expected, "{order:?} {limit}");
        };
        check(RowOrder::Oldest, &known, &["1.0", "2.0", "3.0", "4.0", "5.0", "6.0"]);
        check(RowOrder::Newest, &known, &["6.0", "5.0", "4.0", "3.0", "2.0", "1.0"]);
    }
    let filter = |context: &QueryContext| Filter { context: context.clone(), ..Filter::default() };
    let rows = reader.list(&filter(&known), &ListPage::default()).unwrap();
    let phases: Vec<_> = rows.iter().map(|row| row.phase(&known).word()).collect();
    assert_eq!(phases, ["dead", "delivered", "retrying", "running", "waiting", "ready"]);
    assert_eq!(rows[4].waits_for, Some(claimed[3].id));
    assert!(rows[2].due.is_some());
    for context in [&known, &gone] {
        let mut counted = reader.count(&filter(context)).unwrap();
        let since = Some(std::time::UNIX_EPOCH);
        let mut one_by_one = reader.count(&Filter { since, ..filter(context) }).unwrap();
        counted.sort_unstable();
        one_by_one.sort_unstable();
        assert_eq!(counted, one_by_one);
    }
    for (answers, expected) in [
        (AnswerPolicy::status("409"), &["1.0"][..]),
        (AnswerPolicy::status("4xx"), &["1.0"]),
        (AnswerPolicy::status("503"), &["3.0"]),
        (AnswerPolicy::status("201"), &["2.0"]),
        (AnswerPolicy::status("404"), &[]),
        (Some(AnswerPolicy::Text("LATER".into())), &["3.0"]),
    ] {
        let filter = Filter { status: answers.clone(), ..Filter::default() };
        let found = reader.list(&filter, &ListPage::default()).unwrap();
        let found: Vec<_> = found.iter().map(|row| row.id.to_string()).collect();
        assert_eq!(found, expected, "{answers:?}");
    }
    let shown = reader.show(claimed[3].id).unwrap().unwrap();
    assert_eq!((shown.behind, shown.ahead), ((vec![DeliveryId::parse("5.0").unwrap()], 0), 0));
}

#[tokio::test]
async fn counts_are_those_of_the_list_whatever_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for (id, key) in [("1", "k"), ("2", "k"), ("3", "l")] {
        let mut entry = entry(id, key, false);
        let subject = Subject { id: Some(format!("ID {id}")), name: Some(format!("web {id}")) };
        entry.deliveries[0].subject = subject;
        within(append(&journal, entry).await).await;
    }
    let reader = reader(&folder);
    for (filter, expected) in [
        (Filter::default(), 3),
        (only(&[RowState::Waiting]), 1),
        (Filter { action: Some("b".into()), ..Filter::default() }, 0),
        (Filter { key: Some("k".into()), ..Filter::default() }, 2),
        (Filter { key: Some("k".into()), ..only(&[RowState::Ready]) }, 1),
        (one(DeliveryId::parse("3.0").unwrap()), 1),
        (Filter { since: Some(SystemTime::now()), ..Filter::default() }, 0),
        (Filter { event: Some(2), ..Filter::default() }, 1),
        (Filter { phases: vec![Phase::Waiting], ..Filter::default() }, 1),
        (Filter { phases: vec![Phase::Ready], key: Some("K".into()), ..Filter::default() }, 1),
        (Filter { phases: Phase::named("pending").unwrap(), ..Filter::default() }, 3),
        (about("2"), 1),
        (about("2.0"), 1),
        (about("ID 3"), 1),
        (about("Web 2"), 1),
        (about("l"), 1),
        (about("nobody"), 0),
    ] {
        let rows = reader.list(&Filter::default(), &ListPage::default()).unwrap();
        let all: u64 = reader.count(&filter).unwrap().iter().map(|(.., count)| count).sum();
        assert_eq!(all, expected, "{filter:?}");
        assert_eq!(reader.list(&filter, &ListPage::default()).unwrap().len() as u64, expected, "{filter:?}");
        assert_eq!(rows.iter().filter(|row| filter.matches(row)).count() as u64, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn the_recent_deliveries_are_those_since_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for n in 0..40_u64 {
        let mut new = entry(&n.to_string(), &format!("k{n}"), false);
        Arc::make_mut(&mut new.received).origin.received =
            std::time::UNIX_EPOCH + Duration::from_secs(1_000_000 + 100 * n);
        if n % 3 == 0 {
            new.deliveries.push(NewDelivery::new("s", "b", None));
        }
        within(append(&journal, new).await).await;
    }
    for n in [0, 1, 17, 39, 40] {
        let since = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000 + 100 * n);
        let mut seen = Vec::new();
        reader(&folder).recent(since, |row| seen.push((row.action, row.key))).unwrap();
        let mut expected = Vec::new();
        for n in n..40 {
            expected.push(("a".to_owned(), format!("k{n}")));
            if n % 3 == 0 {
                expected.push(("b".to_owned(), format!("{n}#0")));
            }
        }
        assert_eq!(seen, expected, "{n}");
    }
}

#[tokio::test]
async fn events_of_a_run_with_a_slow_clock_hide_no_recent_one_before_them() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let at = |seconds| std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    for n in 0..30_u64 {
        let mut new = entry(&n.to_string(), &n.to_string(), false);
        let slow = if (20..25).contains(&n) { 10_000 } else { 0 };
        Arc::make_mut(&mut new.received).origin.received = at(1_000_000 + 100 * n - slow);
        within(append(&journal, new).await).await;
    }
    let mut seen = Vec::new();
    reader(&folder).recent(at(1_001_500), |row| seen.push(row.key)).unwrap();
    let expected: Vec<_> = (15..20).chain(25..30).map(|n| n.to_string()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_rate_of_the_last_day_counts_what_was_pruned_and_needs_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    let now = std::time::UNIX_EPOCH + Duration::from_secs(100 * 86_400);
    let begin = now - Duration::from_secs(2 * 86_400);
    let reader = reader(&folder);
    assert_eq!(reader.rate(now).unwrap(), None, "no event");
    let mut receipts = Vec::new();
    // An event of two deliveries every two minutes, for two days.
    for n in 0..2 * 720 {
        let mut entry = entry(&n.to_string(), &n.to_string(), false);
        Arc::make_mut(&mut entry.received).origin.received = begin + Duration::from_secs(120 * n);
        entry.deliveries.push(NewDelivery::new("s", "b", None));
        receipts.push(append(&journal, entry).await);
    }
    within(futures_util::future::join_all(receipts)).await;
    let found = reader.rate(now).unwrap().unwrap();
    assert_eq!(found.events, 720);
    let file = SqliteJournal::bytes(journal.file());
    assert!((300..file / 1440).contains(&found.bytes), "{found:?} of {file}");
    tamper(&journal, "DELETE FROM event WHERE id % 7 = 3; DELETE FROM delivery WHERE (id >> 16) % 7 = 3")
        .await;
    assert_eq!(reader.rate(now).unwrap().unwrap().events, 720);
    assert_eq!(reader.rate(now + Duration::from_secs(2 * 86_400)).unwrap(), None, "nothing in the last day");
    tamper(&journal, "DELETE FROM event WHERE id < 1430").await;
    assert_eq!(reader.rate(now).unwrap(), None, "less than an hour");
}

/// Each attempt is a second earlier than the one before it, by the system clock.
#[tokio::test]
async fn attempts_have_the_order_in_which_they_were_made_although_the_clock_goes_back() {
    for (made, expected) in [(3, "1 2 3".to_owned()), (20, all(1..=20)), (25, format!("1 {}", all(7..=25)))] {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder);
        keep(&journal, "1", "k").await;
        let id = claim(&journal, "a", 1).await[0].id;
        for n in 1..=made {
            journal.attempted(id, attempts(n), &n.to_string());
        }
        let due = Instant::now() + Duration::from_secs(60);
        let (used, answer) = (attempts(made), String::new());
        journal.retry_at(id, AttemptRetry { due, used, is_charged: false, answer });
        claim(&journal, "a", 0).await;
        tamper(&journal, "UPDATE attempt SET at = 1000 * (100 - answer)").await;
        let reader = reader(&folder);
        let tries = reader.show(id).unwrap().unwrap().tries;
        let answers: Vec<&str> = tries.iter().map(|one| one.answer.as_str()).collect();
        assert_eq!(answers.join(" "), expected);
        let failing = reader.failing_keys("a").unwrap().remove(0);
        let first = std::time::UNIX_EPOCH + Duration::from_secs(99);
        assert_eq!((failing.answer, failing.since), (made.to_string(), first));
        tamper(&journal, "UPDATE delivery SET state = 3").await;
        let answer = reader.latest_dead("a").unwrap().unwrap().answer;
        assert_eq!(answer, Some(made.to_string()));
    }
}

fn all(numbers: std::ops::RangeInclusive<u32>) -> String {
    numbers.map(|n| n.to_string()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn copies_of_kept_messages_and_of_ones_before_in_the_list_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    let reader = reader(&folder);
    for (ids, copies) in
        [(&["2"][..], 0), (&["1"], 1), (&["2", "2"], 1), (&["2", "3"], 0), (&["1", "2", "1", "3", "2"], 3)]
    {
        let entries = ids.iter().map(|id| entry(id, "k", false));
        let messages: Vec<_> = entries.map(|entry| (entry.received, entry.notification)).collect();
        assert_eq!(reader.keeps(&messages).unwrap(), copies, "{ids:?}");
    }
}
