//! The promises of every journal, each a short test that runs on every store.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use osnl_core::metrics::Counters;
use osnl_core::received::Received;
use osnl_model::Notification;
use tempfile::TempDir;
use tokio::time::Instant;

use super::memory::{MemoryJournal, MemoryLimits};
use super::sqlite::{SqliteJournal, SqliteOptions};
use super::{
    Begin, ClaimLimits, Claimed, DeliveryId, End, Entry, Handover, Journal, JournalState, NewDelivery,
    Outcome, Permit, Receipt, Retry, Settle, Used,
};

/// Entries that each store here has places for.
const PLACES: usize = 8;

/// One store to tell the story to.
pub(super) struct Rig {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) counters: Arc<Counters>,
    /// Its receipts complete with the commit; else with the last outcome.
    durable: bool,
    _folder: Option<TempDir>,
}

fn rigs() -> [Rig; 2] {
    let counters: Arc<Counters> = Arc::default();
    let limits = MemoryLimits::for_prefetch(u16::try_from(PLACES / 2).unwrap());
    let journal = Arc::new(MemoryJournal::new(limits, counters.clone()));
    let memory = Rig { journal, counters, durable: false, _folder: None };
    let folder = tempfile::tempdir().unwrap();
    let counters: Arc<Counters> = Arc::default();
    let options = SqliteOptions { max_pending: PLACES as u64, allow_volatile: true, ..options(&folder) };
    let journal = Arc::new(SqliteJournal::open(options, counters.clone()).unwrap());
    [memory, Rig { journal, counters, durable: true, _folder: Some(folder) }]
}

pub(super) fn options(folder: &TempDir) -> SqliteOptions {
    SqliteOptions { allow_volatile: true, ..SqliteOptions::new(folder.path().join("journal.db")) }
}

/// Longer than anything here takes.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("in time")
}

/// A message named `id` about the resource `key`, for the action `a`.
pub(super) fn entry(id: &str, key: &str, redelivered: bool) -> Entry {
    let received = Received::sample(body(id, key), redelivered);
    let notification = received.decode().unwrap();
    let deliveries = vec![NewDelivery::new("r", "a", Some(key.to_owned()))];
    Entry { received: Arc::new(received), notification: Arc::new(notification), deliveries }
}

pub(super) fn body(id: &str, key: &str) -> String {
    format!(
        r#"{{"_unique_id": "{id}", "message_id": "m{id}", "event_type": "port.delete.end", "payload": {{"device_id": "{key}", "password": "hunter2"}}}}"#
    )
}

/// So many attempts used up, and no time.
pub(super) fn attempts(attempts: u32) -> Used {
    Used { attempts, age: Duration::ZERO, made: attempts }
}

fn given_up(why: &str) -> End {
    Outcome::Dead(why.into()).into()
}

pub(super) async fn append(journal: &dyn Journal, entry: Entry) -> Receipt {
    let mut permit = within(journal.reserve(&["a".into(), "b".into()], 1)).await;
    journal.append(&mut permit, entry)
}

/// Claims so many, and sees that no more are claimable.
pub(super) async fn claim(journal: &dyn Journal, action: &str, expected: usize) -> Vec<Claimed> {
    let mut claimed = Vec::new();
    while claimed.len() < expected {
        claimed.extend(within(journal.claim(action, ClaimLimits::in_order(10))).await);
    }
    if let Some(more) = journal.claim(action, ClaimLimits::in_order(10)).now_or_never() {
        claimed.extend(more);
    }
    // What was asked for before has been looked for when this is done.
    within(journal.set_aside(Received::sample("barrier", false), "barrier".into())).await;
    claimed.extend(journal.claim(action, ClaimLimits::in_order(10)).now_or_never().unwrap_or_default());
    claimed
}

pub(super) fn names(claimed: &[Claimed]) -> Vec<&str> {
    claimed.iter().map(|c| c.event.notification.unique_id.as_deref().unwrap_or("-")).collect()
}

fn number(claimed: &[Claimed], name: &str) -> DeliveryId {
    claimed.iter().find(|c| c.event.notification.unique_id.as_deref() == Some(name)).unwrap().id
}

#[tokio::test]
async fn order_within_a_key_and_none_between_keys() {
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut receipts = Vec::new();
        for (id, key) in [("1", "k"), ("2", "k"), ("3", "other"), ("4", "k")] {
            receipts.push(append(journal, entry(id, key, false)).await);
        }
        let first = claim(journal, "a", 2).await;
        assert_eq!(names(&first), ["1", "3"]);
        journal.end(number(&first, "3"), Outcome::Delivered.into());
        assert_eq!(names(&claim(journal, "a", 0).await), [""; 0]);
        // A dead letter frees its key as an effect does.
        journal.end(number(&first, "1"), Outcome::Dead("why".into()).into());
        let second = claim(journal, "a", 1).await;
        assert_eq!(names(&second), ["2"]);
        journal.end(second[0].id, Outcome::NothingToDo.into());
        assert_eq!(names(&claim(journal, "a", 1).await), ["4"]);
        assert_eq!(rig.counters.dead.get(), 1);
    }
}

#[tokio::test]
async fn what_has_no_key_waits_for_nobody_and_actions_do_not_wait_for_each_other() {
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut receipts = Vec::new();
        for id in ["1", "2"] {
            let mut entry = entry(id, "k", false);
            entry.deliveries[0].key = None;
            entry.deliveries.push(NewDelivery::new("s", "b", Some("k".into())));
            receipts.push(append(journal, entry).await);
        }
        assert_eq!(names(&claim(journal, "a", 2).await), ["1", "2"]);
        let b = claim(journal, "b", 1).await;
        assert_eq!((names(&b), &*b[0].event.rule), (vec!["1"], "s"));
        assert_eq!(names(&claim(journal, "c", 0).await), [""; 0]);
    }
}

#[tokio::test]
async fn a_receipt_completes_when_everything_is_safe() {
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut two = entry("1", "k", false);
        two.deliveries.push(NewDelivery::new("r", "b", None));
        let mut receipt = append(journal, two).await;
        if rig.durable {
            assert_eq!(within(&mut receipt).await, Settle::Acknowledge);
        }
        let a = claim(journal, "a", 1).await;
        let b = claim(journal, "b", 1).await;
        if !rig.durable {
            journal.end(a[0].id, Outcome::Delivered.into());
            assert_eq!((&mut receipt).now_or_never(), None);
            journal.end(b[0].id, Outcome::Dead("why".into()).into());
            assert_eq!(within(receipt).await, Settle::Acknowledge);
        }
    }
}

#[tokio::test]
async fn a_claim_that_was_not_answered_claims_nothing() {
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut unanswered = journal.claim("a", ClaimLimits::in_order(10));
        assert!((&mut unanswered).now_or_never().is_none());
        let _receipt = append(journal, entry("1", "k", false)).await;
        within(journal.set_aside(Received::sample("barrier", false), "barrier".into())).await;
        // It has been woken, and ends before it looked.
        drop(unanswered);
        assert_eq!(names(&claim(journal, "a", 1).await), ["1"]);
    }
}

#[tokio::test]
async fn copies_of_a_message_are_one_event_and_other_messages_are_not() {
    /// A message as the broker hands it over: id, body, queue, whether it was delivered before.
    type Message = (Option<&'static str>, &'static str, &'static str, bool);
    async fn told(message: Message, done_before: bool, rig: &Rig, entries: &mut Vec<Receipt>) {
        let (id, body, queue, redelivered) = message;
        let mut received = Received::sample(format!(r#"{{"payload": {{"x": "{body}"}}}}"#), redelivered);
        received.origin.queue = queue.into();
        let notification = Notification { unique_id: id.map(str::to_owned), ..Notification::default() };
        let deliveries = vec![NewDelivery::new("r", "a", None)];
        let entry = Entry { received: received.into(), notification: notification.into(), deliveries };
        entries.push(append(&*rig.journal, entry).await);
        if done_before {
            for claimed in claim(&*rig.journal, "a", 1).await {
                rig.journal.end(claimed.id, Outcome::Delivered.into());
            }
        }
    }
    let first: Message = (Some("1"), "x", "q", false);
    for (first, second, is_copy) in [
        (first, (Some("1"), "x", "q", true), true),
        (first, (Some("1"), "x", "q", false), true),
        (first, (Some("1"), "y", "q", true), false),
        (first, (Some("2"), "x", "q", true), false),
        (first, (Some("1"), "x", "q2", true), false),
        ((None, "x", "q", false), (None, "x", "q", true), true),
        ((None, "x", "q", false), (None, "x", "q", false), false),
        ((None, "x", "q", false), (None, "y", "q", true), false),
    ] {
        for done_before in [false, true] {
            for rig in rigs() {
                let mut receipts = Vec::new();
                told(first, done_before, &rig, &mut receipts).await;
                told(second, false, &rig, &mut receipts).await;
                // Without an id, what is done and settled was another message.
                let is_copy = is_copy && (first.0.is_some() || !done_before);
                let left = usize::from(!done_before) + usize::from(!is_copy);
                let claimed = claim(&*rig.journal, "a", left).await;
                let story = format!("{first:?} {second:?} done {done_before} durable {}", rig.durable);
                assert_eq!(claimed.len(), left, "{story}");
                let counted = (rig.counters.adopted.get(), rig.counters.duplicates.get());
                let redelivered = u64::from(is_copy && second.3);
                assert_eq!(counted, (redelivered, u64::from(is_copy) - redelivered), "{story}");
                for claimed in claimed {
                    rig.journal.end(claimed.id, Outcome::Delivered.into());
                }
                // Every receipt completes.
                for receipt in receipts {
                    assert_eq!(within(receipt).await, Settle::Acknowledge, "{story}");
                }
            }
        }
    }
}

#[tokio::test]
async fn attempts_outlive_the_way_round() {
    for rig in rigs() {
        let journal = &*rig.journal;
        let receipt = append(journal, entry("1", "k", false)).await;
        let first = claim(journal, "a", 1).await;
        assert_eq!(first[0].used.attempts, 0);
        journal.attempted(first[0].id, attempts(3), "status 409: no");
        journal.end(first[0].id, Outcome::Returned.into());
        let settle = within(receipt).await;
        assert_eq!(settle, if rig.durable { Settle::Acknowledge } else { Settle::Requeue });
        let _again = (!rig.durable).then(|| entry("1", "k", true));
        let _receipt = match _again {
            Some(again) => Some(append(journal, again).await),
            None => None,
        };
        let again = claim(journal, "a", 1).await;
        assert_eq!(again[0].used.attempts, 3);
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_acknowledged_once_it_is_kept() {
    for rig in rigs() {
        let receipt = rig.journal.set_aside(Received::sample("\u{1}", false), "no JSON".into());
        assert_eq!(within(receipt).await, Settle::Acknowledge);
        assert_eq!(rig.counters.unreadable.get(), 1);
    }
}

#[tokio::test]
async fn places_are_bounded_and_come_back() {
    for rig in rigs() {
        let journal = &*rig.journal;
        let actions = ["a".into()];
        let mut permit: Permit = within(journal.reserve(&actions, 100)).await;
        assert_eq!(permit.places(), PLACES);
        let mut receipts: Vec<_> = (0..PLACES)
            .map(|n| journal.append(&mut permit, entry(&n.to_string(), &n.to_string(), false)))
            .collect();
        assert_eq!(permit.places(), 0);
        drop(permit);
        if rig.durable {
            for receipt in &mut receipts {
                within(receipt).await;
            }
        }
        assert!(journal.reserve(&actions, 1).now_or_never().is_none());
        let claimed = claim(journal, "a", PLACES).await;
        journal.end(claimed[0].id, Outcome::Delivered.into());
        let one = within(journal.reserve(&actions, 100)).await;
        assert_eq!(one.places(), 1);
        drop(one);
        // Unused, it can be had again.
        assert_eq!(within(journal.reserve(&actions, 100)).await.places(), 1);
    }
}

#[tokio::test]
async fn closing_leaves_to_the_broker_what_is_not_safe() {
    for rig in rigs() {
        let journal = &*rig.journal;
        assert_eq!(*journal.state().borrow(), JournalState::Working);
        let before = append(journal, entry("1", "k", false)).await;
        within(journal.close()).await;
        assert_eq!(within(before).await, if rig.durable { Settle::Acknowledge } else { Settle::Leave });
        let after = append(journal, entry("2", "k", false)).await;
        assert_eq!(within(after).await, Settle::Leave);
    }
}

#[tokio::test]
async fn what_a_shadow_rule_wants_is_done_at_once_and_in_nobodys_way() {
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut shadow = entry("1", "k", false);
        shadow.deliveries[0].begin = Begin::Shadow;
        assert_eq!(within(append(journal, shadow.clone()).await).await, Settle::Acknowledge);
        let _receipt = append(journal, entry("2", "k", false)).await;
        assert_eq!(names(&claim(journal, "a", 1).await), ["2"]);
        let mut mixed = entry("3", "other", false);
        mixed.deliveries.push(NewDelivery { begin: Begin::Shadow, ..NewDelivery::new("s", "a", None) });
        let _mixed = append(journal, mixed).await;
        assert_eq!(names(&claim(journal, "a", 1).await), ["3"]);
        // A copy is none of its own.
        assert_eq!(within(append(journal, shadow).await).await, Settle::Acknowledge);
        assert_eq!((rig.counters.shadowed.get(), rig.counters.duplicates.get()), (2, 1));
        assert_eq!(names(&claim(journal, "a", 0).await), [""; 0]);
    }
}

/// A rule that could not be decided: nothing waits for it, and a copy is none of its own.
#[tokio::test]
async fn what_begins_as_a_dead_letter_is_settled_and_in_nobodys_way() {
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut dead = entry("1", "k", false);
        dead.deliveries[0].begin = Begin::Dead("why".into());
        assert_eq!(within(append(journal, dead.clone()).await).await, Settle::Acknowledge);
        assert_eq!(within(append(journal, dead).await).await, Settle::Acknowledge);
        let _receipt = append(journal, entry("2", "k", false)).await;
        assert_eq!(names(&claim(journal, "a", 1).await), ["2"]);
        assert_eq!((rig.counters.dead.get(), rig.counters.duplicates.get()), (1, 1));
    }
}

#[tokio::test]
async fn a_delivery_knows_its_action_its_resource_and_what_it_has_used_up() {
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut several = entry("1", "k", false);
        several.deliveries[0].resource = Some(0);
        several
            .deliveries
            .push(NewDelivery { resource: Some(1), ..NewDelivery::new("r", "a", Some("other".into())) });
        let _receipt = append(journal, several).await;
        let claimed = claim(journal, "a", 2).await;
        let keys: Vec<_> = claimed.iter().map(|c| c.event.idempotency_key()).collect();
        assert_eq!(keys, ["1/r/a/0", "1/r/a/1"]);
        let used = Used { attempts: 2, age: Duration::from_millis(1500), made: 5 };
        journal.attempted(claimed[1].id, used, "status 500: no");
        journal.end(claimed[1].id, Outcome::Returned.into());
        if rig.durable {
            let again = claim(journal, "a", 1).await;
            assert_eq!((again[0].used, again[0].event.resource), (used, Some(1)));
        }
    }
}

/// The message is settled when the other action is done too, where receipts wait for outcomes.
#[tokio::test]
async fn what_is_given_up_is_made_a_delivery_of_another_action_once() {
    let fallback = Handover::to("b");
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut several = entry("1", "k", false);
        several.deliveries[0].resource = Some(0);
        several.deliveries.push(NewDelivery { resource: Some(1), ..NewDelivery::new("r", "a", None) });
        // This one has the other action anyway.
        several.deliveries.push(NewDelivery::new("s", "a", Some("other".into())));
        several.deliveries.push(NewDelivery::new("s", "b", Some("other".into())));
        let receipt = append(journal, several).await;
        let _behind = append(journal, entry("2", "k", false)).await;
        let claimed = claim(journal, "a", 3).await;
        for claimed in &claimed {
            journal.end(claimed.id, given_up("why").handed_to(fallback.clone()));
            // Its outcome is taken once.
            journal.end(claimed.id, given_up("why").handed_to(fallback.clone()));
        }
        let made = claim(journal, "b", 3).await;
        let about: Vec<_> =
            made.iter().map(|c| (&*c.event.rule, c.key.as_deref(), c.event.resource, c.used)).collect();
        let new = Used::default();
        let mut about_sorted = about.clone();
        about_sorted.sort_by_key(|(rule, _, resource, _)| (*rule, *resource));
        let expected =
            [("r", Some("k"), Some(0), new), ("r", None, Some(1), new), ("s", Some("other"), None, new)];
        assert_eq!(about_sorted, expected);
        assert!(made.iter().all(|c| &*c.event.action == "b" && c.event.idempotency_key().contains("/b")));
        assert_eq!(names(&claim(journal, "a", 1).await), ["2"], "the key is free");
        for made in made {
            journal.end(made.id, Outcome::Delivered.into());
        }
        assert_eq!(within(receipt).await, Settle::Acknowledge);
        assert_eq!(rig.counters.dead.get(), 3);
        // What is done is not given up, and what has gone back is not either.
        journal.end(claimed[0].id, given_up("late").handed_to(fallback.clone()));
        assert_eq!(names(&claim(journal, "b", 0).await), [""; 0]);
    }
}

/// The delivery waits behind all that the other action has of that key, from any rule.
#[tokio::test]
async fn what_is_made_of_a_failure_keeps_the_order_of_the_other_action() {
    let fallback = Handover::to("b");
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut first = entry("1", "k", false);
        first.deliveries[0].action = "b".into();
        let _receipts = (append(journal, first).await, append(journal, entry("2", "k", false)).await);
        let failing = claim(journal, "a", 1).await;
        journal
            .end(failing[0].id, End::from(Outcome::DeadHoldingKey("why".into())).handed_to(fallback.clone()));
        let b = claim(journal, "b", 1).await;
        assert_eq!(names(&b), ["1"]);
        journal.end(b[0].id, Outcome::Delivered.into());
        assert_eq!(names(&claim(journal, "b", 1).await), ["2"]);
    }
}

/// A claim that ends with a retry is no claim; its delivery keeps its place and is claimed again when it is due.
#[tokio::test]
async fn a_retry_waits_in_the_journal_and_nothing_of_its_lane_overtakes_it() {
    let hour = Duration::from_secs(3600);
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut receipts = Vec::new();
        for (id, key) in [("1", "k"), ("2", "k"), ("3", "other")] {
            receipts.push(append(journal, entry(id, key, false)).await);
        }
        let first = claim(journal, "a", 2).await;
        assert_eq!(first[0].used.made, 0);
        assert_eq!(journal.next_due("a"), None);
        let used = Used { attempts: 1, age: Duration::from_secs(7), made: 3 };
        let due = Instant::now() + hour;
        journal.retry_at(first[0].id, Retry { due, used, answer: "status 409: no".into() });
        // Known at once: the caller sleeps until then, whenever it is written down.
        let next = journal.next_due("a").unwrap();
        assert!(next <= due && due - next < Duration::from_millis(2), "{:?}", due - next);
        assert_eq!(names(&claim(journal, "a", 0).await), [""; 0], "2 is behind it");
        assert!(journal.next_due("a").is_some() && journal.next_due("b").is_none());
        journal.due_now("a");
        let again = claim(journal, "a", 1).await;
        assert_eq!((names(&again), again[0].id, again[0].used), (vec!["1"], first[0].id, used));
        assert_eq!(journal.next_due("a"), None);
        // One that is due already waits for a claim only.
        journal.retry_at(again[0].id, Retry { due: Instant::now(), used, answer: "no".into() });
        let again = claim(journal, "a", 1).await;
        journal.end(again[0].id, Outcome::Delivered.into());
        assert_eq!(names(&claim(journal, "a", 1).await), ["2"]);
    }
}

#[tokio::test]
async fn a_claim_takes_as_many_of_each_kind_as_it_may() {
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut receipts = Vec::new();
        for n in 0..PLACES {
            receipts.push(append(journal, entry(&n.to_string(), &n.to_string(), false)).await);
        }
        let claimed = within(journal.claim("a", ClaimLimits::in_order(4))).await;
        let claimed = if claimed.len() == 4 { claimed } else { panic!("{}", claimed.len()) };
        // A store's clock may count whole milliseconds.
        let now = Instant::now();
        let dues = [1, 4, 2, 3].map(|n| now.checked_sub(Duration::from_millis(5 * n)).unwrap_or(now));
        for (claimed, due) in claimed.iter().zip(dues) {
            journal.retry_at(claimed.id, Retry { due, used: attempts(1), answer: String::new() });
        }
        let mut seen = Vec::new();
        let (newest, newer_than) = (1, Some(claimed[3].id));
        for limits in [
            ClaimLimits { due: 2, ..ClaimLimits::default() },
            ClaimLimits { newest, newer_than, ..ClaimLimits::default() },
            ClaimLimits { oldest: 1, newest, ..ClaimLimits::default() },
            ClaimLimits { oldest: 9, ..ClaimLimits::default() },
            ClaimLimits { due: 9, ..ClaimLimits::default() },
        ] {
            let some = within(journal.claim("a", limits)).await;
            assert!(some.iter().all(|one| one.used.made == u32::from(limits.due > 0)), "{some:?}");
            assert_eq!(some.iter().filter(|one| one.newest).count(), limits.newest, "{some:?}");
            seen.push(names(&some).join(" "));
        }
        // Of those that failed the longest due comes first.
        assert_eq!(seen, ["1 3", "7", "6 4", "5", "2 0"], "durable {}", rig.durable);
        let newer_than = Some(DeliveryId(u64::MAX));
        journal.end(claimed[0].id, Outcome::Returned.into());
        assert!(
            journal
                .claim("a", ClaimLimits { newest, newer_than, ..ClaimLimits::default() })
                .now_or_never()
                .is_none()
        );
    }
}

/// Nothing can be done about it here any more.
#[tokio::test]
async fn an_action_that_is_gone_returns_what_the_broker_keeps() {
    for rig in rigs() {
        let journal = &*rig.journal;
        let mut receipts = Vec::new();
        for (id, key) in [("1", "k"), ("2", "k"), ("3", "other"), ("4", "third")] {
            receipts.push(append(journal, entry(id, key, false)).await);
        }
        let claimed = within(journal.claim("a", ClaimLimits::in_order(2))).await;
        // The last attempt ends after the loop has let go of everything else: the next of its lane has no loop.
        journal.end(claimed[0].id, Outcome::Delivered.into());
        let retry =
            Retry { due: Instant::now() + Duration::from_secs(60), used: attempts(1), answer: String::new() };
        journal.retry_at(claimed[1].id, retry);
        journal.retired("a");
        let mut settled = Vec::new();
        for receipt in receipts {
            settled.push(within(receipt).await);
        }
        let expected = match rig.durable {
            true => [Settle::Acknowledge; 4],
            false => [Settle::Acknowledge, Settle::Requeue, Settle::Requeue, Settle::Requeue],
        };
        assert_eq!(settled, expected);
        // With a loop again, it goes on.
        if rig.durable {
            journal.due_now("a");
            assert_eq!(claim(journal, "a", 3).await.len(), 3);
        } else {
            assert_eq!(within(append(journal, entry("5", "k", false)).await).await, Settle::Requeue);
            assert_eq!(claim(journal, "a", 0).await.len(), 0);
            let _receipt = append(journal, entry("6", "k", false)).await;
            assert_eq!(names(&claim(journal, "a", 1).await), ["6"]);
        }
    }
}

/// It was kept, and the connection was gone before it could be settled.
#[tokio::test]
async fn a_message_without_an_id_that_nobody_settled_is_one_event_when_it_comes_again() {
    let message = |redelivered| {
        let received = Received::sample(r#"{"payload": {}}"#, redelivered);
        let deliveries = vec![NewDelivery::new("r", "a", None)];
        Entry { received: received.into(), notification: Notification::default().into(), deliveries }
    };
    for rig in rigs() {
        let journal = &*rig.journal;
        drop(append(journal, message(false)).await);
        let first = claim(journal, "a", 1).await;
        journal.end(first[0].id, Outcome::Delivered.into());
        let again = append(journal, message(true)).await;
        assert_eq!(within(again).await, Settle::Acknowledge);
        assert_eq!(claim(journal, "a", 0).await.len(), 0, "durable {}", rig.durable);
        // It is settled now: what comes later with the same bytes is another.
        let _another = append(journal, message(true)).await;
        assert_eq!(claim(journal, "a", 1).await.len(), 1, "durable {}", rig.durable);
    }
}
