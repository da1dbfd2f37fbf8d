//! Claims and retries, as every store must keep them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use osnl_core::received::ReceivedMessage;
use tokio::time::Instant;

use super::{PLACES, StoreRig, append, attempts, claim, entry, given_up, names, waits_since, within};
use crate::store::weight::{OF_ACTION, bytes_of};
use crate::{AttemptRetry, ClaimLimits, DeliveryId, Entry, NewDelivery, Outcome, Settle, UsedLimits};

pub(crate) async fn a_claim_that_was_not_answered_claims_nothing(open: impl Fn() -> StoreRig) {
    let rig = open();
    let journal = &*rig.journal;
    let mut unanswered = journal.claim("a", ClaimLimits::in_order(10));
    assert!((&mut unanswered).now_or_never().is_none());
    let _receipt = append(journal, entry("1", "k", false)).await;
    within(journal.set_aside(ReceivedMessage::sample("barrier", false), "barrier".into())).await;
    // The claim is woken, and dropped before it looks.
    drop(unanswered);
    assert_eq!(names(&claim(journal, "a", 1).await), ["1"]);
}

pub(crate) async fn a_claim_takes_as_many_of_each_kind_as_it_may(open: impl Fn() -> StoreRig) {
    let rig = open();
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
        journal.retry_at(
            claimed.id,
            AttemptRetry { due, used: attempts(1), is_charged: false, answer: String::new() },
        );
    }
    let mut seen = Vec::new();
    let (newest, newer_than) = (1, Some(claimed[3].id));
    for limits in [
        ClaimLimits { due: 2, ..ClaimLimits::default() },
        ClaimLimits { newest, newer_than, ..ClaimLimits::default() },
        ClaimLimits { oldest: 1, newest, ..ClaimLimits::default() },
        ClaimLimits { older_than: Some(DeliveryId(u64::MAX)), ..ClaimLimits::default() },
        ClaimLimits { due: 9, ..ClaimLimits::default() },
    ] {
        let some = within(journal.claim("a", limits)).await;
        assert!(some.iter().all(|one| one.used.made == u32::from(limits.due > 0)), "{some:?}");
        assert_eq!(some.iter().filter(|one| one.newest).count(), limits.newest, "{some:?}");
        seen.push(names(&some).join(" "));
    }
    assert_eq!(seen, ["1 3", "7", "6 4", "5", "2 0"], "durable {}", rig.durable);
    journal.end(claimed[0].id, Outcome::Returned.into());
    let newer_than = Some(DeliveryId(u64::MAX));
    for beyond_all in [
        ClaimLimits { newest, newer_than, ..ClaimLimits::default() },
        ClaimLimits { older_than: Some(claimed[0].id), ..ClaimLimits::default() },
    ] {
        assert!(journal.claim("a", beyond_all).now_or_never().is_none(), "{beyond_all:?}");
    }
}

pub(crate) async fn attempts_outlive_the_way_round(open: impl Fn() -> StoreRig) {
    let rig = open();
    let journal = &*rig.journal;
    let receipt = append(journal, entry("1", "k", false)).await;
    let first = claim(journal, "a", 1).await;
    assert_eq!(first[0].used.attempts, 0);
    journal.attempted(first[0].id, attempts(3), "status 409: no");
    let used = UsedLimits { age: Duration::from_millis(1500), ..attempts(3) };
    journal.aged(first[0].id, used);
    journal.end(first[0].id, Outcome::Returned.into());
    let settle = within(receipt).await;
    assert_eq!(settle, if rig.durable { Settle::Acknowledge } else { Settle::Requeue });
    let _again = (!rig.durable).then(|| entry("1", "k", true));
    let _receipt = match _again {
        Some(again) => Some(append(journal, again).await),
        None => None,
    };
    assert_eq!(claim(journal, "a", 1).await[0].used, used);
}

pub(crate) async fn a_delivery_knows_its_action_its_resource_and_what_it_has_used_up(
    open: impl Fn() -> StoreRig,
) {
    let rig = open();
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
    // The first claim reads a file, which knows the beginning of a wait by the system clock alone.
    let _later = append(journal, entry("2", "later", false)).await;
    assert!(claim(journal, "a", 1).await[0].since.is_some());
    let used = UsedLimits { attempts: 2, age: Duration::from_millis(1500), made: 5 };
    journal.attempted(claimed[1].id, used, "status 500: no");
    journal.end(claimed[1].id, Outcome::Returned.into());
    if rig.durable {
        let again = claim(journal, "a", 1).await;
        assert_eq!((again[0].used, again[0].event.resource), (used, Some(1)));
    }
}

pub(crate) async fn a_retry_waits_in_the_journal_and_nothing_of_its_lane_overtakes_it(
    open: impl Fn() -> StoreRig,
) {
    let hour = Duration::from_secs(3600);
    let rig = open();
    let journal = &*rig.journal;
    let mut receipts = Vec::new();
    for (id, key) in [("1", "k"), ("2", "k"), ("3", "other")] {
        receipts.push(append(journal, entry(id, key, false)).await);
    }
    let first = claim(journal, "a", 2).await;
    assert_eq!(first[0].used.made, 0);
    assert_eq!(journal.next_due("a"), None);
    let used = UsedLimits { attempts: 1, age: Duration::from_secs(7), made: 3 };
    let due = Instant::now() + hour;
    journal.retry_at(
        first[0].id,
        AttemptRetry { due, used, is_charged: false, answer: "status 409: no".into() },
    );
    // Known at once, before any write, since the caller sleeps until then.
    let next = journal.next_due("a").expect("a retry waits");
    assert!(next <= due && due - next < Duration::from_millis(2), "{:?}", due - next);
    assert_eq!(names(&claim(journal, "a", 0).await), [""; 0], "2 is behind it");
    assert!(journal.next_due("a").is_some() && journal.next_due("b").is_none());
    journal.due_now("a");
    let again = claim(journal, "a", 1).await;
    assert_eq!((names(&again), again[0].id, again[0].used), (vec!["1"], first[0].id, used));
    assert_eq!(journal.next_due("a"), None);
    journal.retry_at(
        again[0].id,
        AttemptRetry { due: Instant::now(), used, is_charged: false, answer: "no".into() },
    );
    let again = claim(journal, "a", 1).await;
    journal.end(again[0].id, Outcome::Delivered.into());
    assert_eq!(names(&claim(journal, "a", 1).await), ["2"]);
}

/// After `Retry-After: 3600`, a reload may make the retry due within the minute.
pub(crate) async fn a_pause_that_ends_early_ages_a_delivery_by_what_was_waited(open: impl Fn() -> StoreRig) {
    let (hour, before) = (Duration::from_secs(3600), Duration::from_secs(7));
    let rig = open();
    let journal = &*rig.journal;
    let _receipts =
        [append(journal, entry("1", "k", false)).await, append(journal, entry("2", "other", false)).await];
    for one in claim(journal, "a", 2).await {
        let is_charged = one.key.as_deref() == Some("k");
        let age = if is_charged { before + hour } else { before };
        let (due, used) = (Instant::now() + hour, UsedLimits { age, ..attempts(1) });
        journal.retry_at(one.id, AttemptRetry { due, used, is_charged, answer: "status 429: no".into() });
    }
    // The second time finds nothing to take back.
    journal.due_now("a");
    journal.due_now("a");
    for one in claim(journal, "a", 2).await {
        let age = one.used.age;
        let is_charged = one.key.as_deref() == Some("k");
        assert!(age >= before && age < before + hour / 2, "{age:?}");
        assert!(is_charged || age == before, "the pause was not in the age: {age:?}");
    }
}

/// The target may have been down for longer than `hold_max`, which ended the delivery.
pub(crate) async fn the_wait_of_a_retried_dead_letter_begins_at_its_retry(open: impl Fn() -> StoreRig) {
    let rig = open();
    let journal = &*rig.journal;
    let _receipt = append(journal, entry("1", "k", false)).await;
    let first = claim(journal, "a", 1).await;
    journal.end(first[0].id, given_up("the target was down"));
    assert_eq!(names(&claim(journal, "a", 0).await), [""; 0]);
    let asked = (Instant::now(), SystemTime::now());
    assert!(!waits_since(&first[0], asked));
    (rig.retry)(first[0].id, entry("1", "k", false)).await;
    let retried = claim(journal, "a", 1).await;
    assert!(waits_since(&retried[0], asked), "{retried:?}");
    let retry =
        AttemptRetry { due: Instant::now(), used: attempts(1), is_charged: false, answer: "no".into() };
    journal.retry_at(retried[0].id, retry);
    let again = claim(journal, "a", 1).await;
    assert_eq!((again[0].since, again[0].began), (retried[0].since, retried[0].began), "it waits on");
}

/// Each message of 260 kB takes 24 MiB decoded, so three exceed [`OF_ACTION`]. Claims continue when one has
/// ended.
pub(crate) async fn what_is_claimed_is_bounded_in_bytes(open: impl Fn() -> StoreRig) {
    let rig = open();
    let journal = &*rig.journal;
    let objects = vec![r#"{"":0}"#; 37_000].join(",");
    let ids: Vec<String> = (0..PLACES).map(|n| n.to_string()).collect();
    let mut receipts = Vec::new();
    for id in &ids {
        let body = format!(r#"{{"_unique_id": "{id}", "event_type": "e", "payload": [{objects}]}}"#);
        let received = ReceivedMessage::sample(body, false);
        let notification = received.decode().expect("a notification");
        assert!((OF_ACTION / 3..OF_ACTION / 2).contains(&bytes_of(&received, &notification)));
        let deliveries = vec![NewDelivery::new("r", "a", Some(id.clone()))];
        let entry = Entry { received: Arc::new(received), notification: Arc::new(notification), deliveries };
        receipts.push(append(journal, entry).await);
    }
    let mut claimed = claim(journal, "a", 3).await;
    assert_eq!(names(&claimed), ["0", "1", "2"]);
    let mut seen = vec!["0".to_owned(), "1".to_owned(), "2".to_owned()];
    while let Some(one) = claimed.pop() {
        journal.end(one.id, Outcome::Delivered.into());
        drop(one);
        if seen.len() < PLACES {
            let more = claim(journal, "a", 1).await;
            assert_eq!(more.len(), 1, "{:?}", names(&more));
            seen.extend(names(&more).iter().map(ToString::to_string));
            claimed.extend(more);
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ids);
}
