//! The questions that people ask about a journal: each store has the same answers.

use std::time::{Duration, SystemTime};

use osnl_core::attempt::ErrorClass;
use osnl_core::received::ReceivedMessage;
use osnl_core::rule::{GuardHold, GuardKind, GuardName};
use tokio::time::Instant;

use super::{PLACES, StoreRig, append, attempts, claim, entry, number, within};
use crate::query::{
    About, AnswerPolicy, Bodies, CauseGroup, Filter, HeldBy, ListPage, Phase, PhaseCount, QueryContext,
    QueryError, RowOrder, RowState, UnreadableFilter,
};
use crate::{AttemptRetry, Begin, DeliveryId, NewDelivery, PauseNote, SentRequest};

async fn filled(rig: &StoreRig) {
    let journal = &*rig.journal;
    let mut third = entry("3", "L", false);
    third.deliveries[0].subject.id = Some("Port-3".to_owned());
    third.deliveries[0].subject.name = Some("web".to_owned());
    let mut fourth = entry("4", "x", false);
    fourth.deliveries = vec![NewDelivery::new("other", "b", None)];
    for entry in [entry("1", "k", false), entry("2", "k", false), third, fourth] {
        let receipt = append(journal, entry).await;
        if rig.durable {
            within(receipt).await;
        }
    }
    let claimed = claim(journal, "a", 2).await;
    let third = number(&claimed, "3");
    journal.attempted(third, attempts(1), "https://cmdb: status 409");
    let due = Instant::now() + Duration::from_secs(3600);
    journal
        .retry_at(third, AttemptRetry { due, used: attempts(1), is_charged: false, answer: String::new() });
    settled(rig).await;
}

async fn settled(rig: &StoreRig) {
    within(rig.journal.set_aside(ReceivedMessage::sample("barrier", false), "no JSON".into())).await;
}

async fn listed(rig: &StoreRig, filter: &Filter, page: ListPage) -> Vec<String> {
    let (rows, _) = within(rig.queries.list(filter.clone(), page, u64::MAX)).await.expect("a list");
    rows.into_iter().map(|row| row.message_id.unwrap_or_default()).collect()
}

fn cases() -> Vec<(Filter, &'static str)> {
    let all = Filter::default;
    let text = |text: &str| Some(text.to_owned());
    let key = |name: &str| Filter { key: text(name), ..all() };
    let about = |about: &[About]| Filter { about: about.to_vec(), ..all() };
    let named = |name: &str| About::Named(name.to_owned());
    let status = |status: &str| Filter { status: AnswerPolicy::status(status), ..all() };
    let answer = |words: &str| Filter { text: Some(AnswerPolicy::Text(words.to_owned())), ..all() };
    let phases = |name: &str| Filter { phases: Phase::named(name).unwrap_or_default(), ..all() };
    let context = QueryContext { configured: Some(vec!["a".to_owned()]), ..QueryContext::default() };
    let came = SystemTime::UNIX_EPOCH;
    let later = came + Duration::from_secs(3600);
    let hostile = "'; DROP TABLE delivery; --\u{0}%_\\";
    vec![
        (all(), "1234"),
        (Filter { action: text("a"), ..all() }, "123"),
        (Filter { rule: text("other"), ..all() }, "4"),
        (Filter { rule: text(""), ..all() }, ""),
        (Filter { action: text("a"), rule: text("other"), ..all() }, ""),
        (key("K"), "12"),
        (key("port-3"), "3"),
        (key("WEB"), "3"),
        (key("we_"), ""),
        (key(hostile), ""),
        (about(&[named("m4")]), "4"),
        (about(&[named("l")]), "3"),
        (about(&[named("M4")]), ""),
        (about(&[named(hostile)]), ""),
        (about(&[named("m1"), About::Resource("web".to_owned())]), "13"),
        (about(&[named("k")]), "12"),
        (Filter { event_type: text("port.delete.end"), ..all() }, "1234"),
        (Filter { event_type: text(hostile), ..all() }, ""),
        (Filter { states: vec![RowState::Waiting], ..all() }, "2"),
        (Filter { states: vec![RowState::Ready], ..all() }, "134"),
        (Filter { states: vec![RowState::Dead, RowState::Held], ..all() }, ""),
        (phases("waiting"), "2"),
        (phases("retrying"), "3"),
        (phases("ready"), "14"),
        (phases("pending"), "1234"),
        (phases("orphaned"), ""),
        (Filter { context: context.clone(), ..phases("orphaned") }, "4"),
        (Filter { context, ..phases("ready") }, "1"),
        (status("409"), "3"),
        (status("4xx"), "3"),
        (status("5xx"), ""),
        (answer("STATUS 4"), "3"),
        (answer("%"), ""),
        (answer(hostile), ""),
        (Filter { held_by: Some(HeldBy::Guard), ..all() }, ""),
        (Filter { since: Some(came), until: Some(later), ..all() }, "1234"),
        (Filter { since: Some(later), ..all() }, ""),
        (Filter { until: Some(came), ..all() }, ""),
    ]
}

pub(crate) async fn every_store_finds_the_same_deliveries(open: impl Fn() -> StoreRig) {
    let rig = open();
    filled(&rig).await;
    for (filter, expected) in cases() {
        let (rows, (counts, more)) =
            within(rig.queries.list(filter.clone(), ListPage::default(), u64::MAX)).await.expect("a list");
        let found: String =
            rows.iter().filter_map(|row| row.message_id.as_deref()?.strip_prefix('m')).collect();
        assert_eq!(found, expected, "{filter:?}");
        let counted: u64 = counts.iter().map(|(_, _, count)| count).sum();
        assert_eq!((counted, more), (expected.len() as u64, false), "{filter:?}");
        assert!(rows.iter().all(|row| filter.matches(row)), "{filter:?}");
    }
}

pub(crate) async fn a_status_is_that_of_the_target_and_not_one_that_its_answer_quotes(
    open: impl Fn() -> StoreRig,
) {
    let rig = open();
    let answers: [&str; PLACES] = [
        "status 500: Internal Server Error, reply: upstream: status 404",
        "refused for good: status 404, Not Found",
        "unreadable reply: status 200, but reply_status is not a status: 417",
        "a dependency is down: http://neutron/v2.0/ports/1: status 503: status 404: 418",
        "no usable address: network at http://neutron: status 404, which is not this API's answer",
        "failed: hook ended with 2: the upstream status 500: status 404",
        "POST http://oss/ web: 204; POST http://oss/ db: 409; the reply has no end within 5 s",
        "status 4é: status 404",
    ];
    for n in 0..answers.len() {
        let receipt = append(&*rig.journal, entry(&n.to_string(), &format!("k{n}"), false)).await;
        if rig.durable {
            within(receipt).await;
        }
    }
    let claimed = claim(&*rig.journal, "a", answers.len()).await;
    // Of retries due after a minute, a store in memory returns some to the broker.
    let due = Instant::now() + Duration::from_secs(30);
    for (n, answer) in answers.iter().enumerate() {
        let delivery = number(&claimed, &n.to_string());
        rig.journal.attempted(delivery, attempts(1), answer);
        rig.journal.retry_at(
            delivery,
            AttemptRetry { due, used: attempts(1), is_charged: false, answer: String::new() },
        );
    }
    settled(&rig).await;
    for (status, expected) in [
        ("500", "m0"),
        ("5xx", "m0 m3"),
        ("404", "m1 m4"),
        ("4xx", "m1 m4 m6"),
        ("40x", "m1 m4 m6"),
        ("200", "m2"),
        ("2xx", "m2 m6"),
        ("204", "m6"),
        ("409", "m6"),
        ("417", ""),
        ("418", ""),
    ] {
        let filter = Filter { status: AnswerPolicy::status(status), ..Filter::default() };
        let found = listed(&rig, &filter, ListPage::default()).await;
        assert_eq!(found.join(" "), expected, "{status}");
    }
}

async fn grouped(rig: &StoreRig, filter: &Filter, most: u64) -> Vec<CauseGroup> {
    let (groups, (counts, more)) = within(rig.queries.groups(filter.clone(), most)).await.expect("groups");
    let (_, counted) =
        within(rig.queries.list(filter.clone(), ListPage::default(), most)).await.expect("a list");
    let sum = |counts: &[PhaseCount]| counts.iter().map(|(.., count)| count).sum::<u64>();
    assert_eq!((sum(&counts), more), (sum(&counted.0), counted.1), "{filter:?}");
    groups
}

fn lines(groups: &[CauseGroup]) -> Vec<String> {
    let line = |group: &CauseGroup| {
        assert!(!group.has_more, "{group:?}");
        let CauseGroup { phase, cause, count, newest, .. } = group;
        let messages: Vec<_> = newest.iter().filter_map(|row| row.message_id.as_deref()).collect();
        format!("{count} {} {} {cause:?}: {}", phase.word(), newest[0].action, messages.join(" "))
    };
    groups.iter().map(line).collect()
}

pub(crate) async fn every_store_groups_what_is_not_done_alike(open: impl Fn() -> StoreRig) {
    let rig = open();
    let mut fourth = entry("4", "x", false);
    fourth.deliveries = vec![NewDelivery::new("other", "b", None)];
    let of_a =
        [("1", "k"), ("2", "k"), ("3", "port-3"), ("5", "port-5")].map(|(id, key)| entry(id, key, false));
    let [first, second, third, fifth] = of_a;
    for entry in [first, second, third, fourth, fifth] {
        let receipt = append(&*rig.journal, entry).await;
        if rig.durable {
            within(receipt).await;
        }
    }
    let due = Instant::now() + Duration::from_secs(3600);
    let claimed = claim(&*rig.journal, "a", 3).await;
    for id in ["3", "5"] {
        let number = number(&claimed, id);
        rig.journal.attempted(number, attempts(1), &format!("status 404: no port-{id}"));
        rig.journal.retry_at(
            number,
            AttemptRetry { due, used: attempts(1), is_charged: false, answer: String::new() },
        );
    }
    settled(&rig).await;
    let first = listed_ids(&rig).await[0];
    let context = QueryContext { running: vec![first], configured: Some(vec!["a".to_owned()]) };
    let (all, phases) = (Filter::default(), |name: &str| Filter {
        phases: Phase::named(name).unwrap_or_default(),
        ..Filter::default()
    });
    let status = |status| Filter { status: AnswerPolicy::status(status), ..Filter::default() };
    let not_found = "2 retrying a \"status 404: no #\": m5 m3";
    let (fourth, oldest, behind) = ("1 ready b \"\": m4", "1 ready a \"\": m1", "1 waiting a \"\": m2");
    for (filter, expected) in [
        (all.clone(), &[not_found, fourth, oldest, behind][..]),
        (phases("retrying"), &[not_found]),
        (phases("waiting"), &[behind]),
        (phases("dead"), &[]),
        (phases("done"), &[]),
        (status("404"), &[not_found]),
        (status("5xx"), &[]),
        (Filter { action: Some("b".to_owned()), ..all.clone() }, &[fourth]),
        (Filter { rule: Some("unknown".to_owned()), ..all.clone() }, &[]),
        (Filter { event_type: Some("port.delete.end".to_owned()), ..phases("ready") }, &[fourth, oldest]),
        (Filter { states: vec![RowState::Waiting], ..all.clone() }, &[behind]),
        (
            Filter { context: context.clone(), ..all.clone() },
            &["1 orphaned b \"\": m4", not_found, behind, "1 running a \"\": m1"],
        ),
        (Filter { context: context.clone(), ..phases("ready") }, &[]),
        (Filter { context, ..phases("orphaned") }, &["1 orphaned b \"\": m4"]),
    ] {
        assert_eq!(lines(&grouped(&rig, &filter, u64::MAX).await), expected, "{filter:?}");
    }
    // Of each action and state some are seen, and a lower bound says so.
    let groups = within(rig.queries.groups(all, 1)).await.expect("groups").0;
    for (phase, action, count) in
        [(Phase::Retrying, "a", 2), (Phase::Ready, "a", 1), (Phase::Ready, "b", 1), (Phase::Waiting, "a", 1)]
    {
        let of = groups.iter().filter(|group| group.phase == phase && group.newest[0].action == action);
        let (found, has_more) =
            of.fold((0, false), |(sum, more), group| (sum + group.count, more || group.has_more));
        assert!(found == count && !has_more || (1..count).contains(&found) && has_more, "{groups:?}");
    }
}

async fn listed_ids(rig: &StoreRig) -> Vec<DeliveryId> {
    let all = rig.queries.list(Filter::default(), ListPage::default(), u64::MAX);
    within(all).await.expect("a list").0.into_iter().map(|row| row.id).collect()
}

/// In memory, dead letters are in the log, and guards hold nothing back.
pub(crate) async fn what_is_held_and_dead_is_counted_by_cause(open: impl Fn() -> StoreRig) {
    let rig = open();
    if !rig.durable {
        assert!(within(rig.queries.numbers()).await.expect("numbers").held.is_empty());
        return;
    }
    let held =
        |kind, name: &str, exceeded: &str| Begin::Held(GuardHold::new(GuardName::new(kind, name), exceeded));
    let dead = |answer: &str| Begin::Dead(answer.to_owned());
    for (id, begin) in [
        ("1", held(GuardKind::Rule, "r", "1")),
        ("2", held(GuardKind::Action, "a", "2")),
        ("3", held(GuardKind::Rule, "s", "3")),
        ("4", held(GuardKind::Rule, "r", "1")),
        ("5", dead("status 400: no port-5")),
        ("6", dead("status 400: no port-6")),
        ("7", dead("status 500")),
    ] {
        let mut entry = entry(id, &format!("port-{id}"), false);
        entry.deliveries[0].begin = begin;
        within(append(&*rig.journal, entry).await).await;
    }
    settled(&rig).await;
    let expected = [
        "1 dead a \"status 500\": m7",
        "2 dead a \"status 400: no #\": m6 m5",
        "2 waiting for release a \"guard of rule r: 1\": m4 m1",
        "1 waiting for release a \"guard of rule s: 3\": m3",
        "1 waiting for release a \"guard of action a: 2\": m2",
    ];
    assert_eq!(lines(&grouped(&rig, &Filter::default(), u64::MAX).await), expected);
    let held = within(rig.queries.numbers()).await.expect("numbers").held;
    let found = held.iter().map(|of| {
        let section = of.guard.as_ref().map(GuardName::section).unwrap_or_default();
        (of.count, of.reason.as_deref().unwrap_or_default(), of.by, section)
    });
    let found: Vec<_> = found.collect();
    let expected = [
        (2, "guard of rule r: 1", "rule:r"),
        (1, "guard of action a: 2", "action:a"),
        (1, "guard of rule s: 3", "rule:s"),
    ];
    let expected =
        expected.map(|(count, reason, section)| (count, reason, HeldBy::Guard, section.to_owned()));
    assert_eq!(found, expected);
}

pub(crate) async fn pages_follow_each_other_in_every_order(open: impl Fn() -> StoreRig) {
    let rig = open();
    filled(&rig).await;
    let filter = Filter::default();
    for (order, expected) in
        [(RowOrder::Oldest, ["m1", "m2", "m3", "m4"]), (RowOrder::Newest, ["m4", "m3", "m2", "m1"])]
    {
        assert_eq!(listed(&rig, &filter, ListPage { order, ..ListPage::default() }).await, expected);
        let (mut page, mut seen) = (ListPage { order, after: None, limit: 1 }, Vec::new());
        loop {
            let (rows, _) = within(rig.queries.list(filter.clone(), page, u64::MAX)).await.expect("a page");
            let Some(row) = rows.last() else { break };
            page.after = Some(row.id);
            seen.extend(rows.into_iter().filter_map(|row| row.message_id));
        }
        assert_eq!(seen, expected, "{order:?}");
    }
}

pub(crate) async fn every_store_counts_and_pauses_alike(open: impl Fn() -> StoreRig) {
    let rig = open();
    filled(&rig).await;
    let numbers = within(rig.queries.numbers()).await.expect("numbers");
    let mut tally: Vec<_> = numbers.tally.iter().map(|of| (&*of.action, of.state, of.count)).collect();
    tally.sort_unstable();
    assert_eq!(tally, [("a", RowState::Waiting, 1), ("a", RowState::Ready, 2), ("b", RowState::Ready, 1)]);
    assert_eq!(numbers.oldest.keys().collect::<Vec<_>>(), ["a", "b"]);
    let paused = async || {
        let actions = within(rig.queries.paused_actions()).await.expect("paused actions");
        actions.into_keys().collect::<Vec<_>>()
    };
    let note = |by: &str, reason: Option<&str>| PauseNote { by: by.into(), reason: reason.map(Into::into) };
    let moving = note("me", Some("the target moves"));
    for one in [note("eve", None), moving.clone(), note("bob", None)] {
        within(rig.queries.set_paused("a", Some(one))).await.expect("a pause");
        assert_eq!(paused().await, ["a"]);
    }
    let kept = within(rig.queries.numbers()).await.expect("numbers").paused;
    assert_eq!(kept["a"].note, Some(moving));
    within(rig.queries.set_paused("a", None)).await.expect("a resume");
    assert_eq!(paused().await, [""; 0]);
}

pub(crate) async fn a_failing_resource_has_the_facts_of_its_latest_attempt(open: impl Fn() -> StoreRig) {
    let rig = open();
    let journal = &*rig.journal;
    let _receipts =
        [append(journal, entry("1", "k", false)).await, append(journal, entry("2", "l", false)).await];
    let claimed = claim(journal, "a", 2).await;
    let [called, not_called] = ["1", "2"].map(|name| number(&claimed, name));
    let host = Some("h1:443".to_owned());
    for (id, made, class) in [
        (called, 1, Some(ErrorClass::Connect)),
        (called, 2, Some(ErrorClass::Refused(Some(409)))),
        (not_called, 1, Some(ErrorClass::Connect)),
        (not_called, 2, None),
    ] {
        journal.attempted(id, attempts(made), "no");
        if class.is_some() {
            journal.sent(id, made, SentRequest { class, host: host.clone(), ..SentRequest::default() });
        }
    }
    let down = "a dependency is down: keystone";
    for (id, answer) in [(called, ""), (not_called, down)] {
        let due = Instant::now() + Duration::from_secs(3600);
        journal.retry_at(
            id,
            AttemptRetry { due, used: attempts(2), is_charged: false, answer: answer.to_owned() },
        );
    }
    settled(&rig).await;
    let failing = within(rig.queries.numbers()).await.expect("numbers").failing;
    let facts = failing["a"].iter().map(|of| (of.id, &*of.answer, of.class, of.host.as_deref()));
    let mut facts: Vec<_> = facts.collect();
    facts.sort_unstable_by_key(|(id, ..)| *id);
    let refused = Some(ErrorClass::Refused(Some(409)));
    assert_eq!(facts, [(called, "no", refused, Some("h1:443")), (not_called, down, None, None)]);
}

/// A store that keeps nothing refuses, and never answers with nothing.
pub(crate) async fn history_and_quarantine_are_shown_or_refused(open: impl Fn() -> StoreRig) {
    let rig = open();
    filled(&rig).await;
    let (rows, _) =
        within(rig.queries.list(Filter::default(), ListPage::default(), u64::MAX)).await.expect("rows");
    let shown = within(rig.queries.show(rows[2].id)).await;
    let missing = within(rig.queries.show(DeliveryId(u64::from(u32::MAX) << 16))).await;
    let aside = within(rig.queries.quarantined(UnreadableFilter::default(), -1, 10, Bodies::Left)).await;
    let change = within(rig.queries.clone().open_to_change()).await;
    let attempts = within(rig.queries.attempts(vec![rows[2].id])).await.expect("attempts");
    if !rig.durable {
        assert!(attempts.is_empty());
        assert!(matches!(shown, Err(QueryError::Unsupported(_))), "{shown:?}");
        assert!(matches!(aside, Err(QueryError::Unsupported(_))), "{aside:?}");
        assert!(matches!(change, Err(QueryError::Unsupported(_))));
        return;
    }
    assert!(matches!(missing, Ok(None)), "{missing:?}");
    let shown = shown.expect("a delivery").expect("the third");
    assert_eq!(attempts[&rows[2].id], shown.tries);
    let answers: Vec<_> = shown.tries.iter().map(|attempt| &*attempt.answer).collect();
    assert_eq!(
        (&*shown.row.message_id.unwrap_or_default(), &answers[..]),
        ("m3", &["https://cmdb: status 409"][..])
    );
    assert!(aside.expect("the quarantine").iter().any(|one| one.reason == "no JSON"));
    assert!(change.is_ok());
}
