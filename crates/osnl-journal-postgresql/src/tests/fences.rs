//! Fences: they grow with each claim of a resource, whatever happens to its deliveries, its owner, and the database.

use osnl_journal::query::{Change, Filter, JournalChanges as _};

use super::*;
use crate::fence::CLAIMS;

/// Claims and ends one delivery, which must have this name and a larger fence than the claim before.
async fn ends(member: &PostgresJournal, name: &str, last: &mut Option<Fence>, end: Outcome) {
    let mut claimed = Vec::new();
    // A member's first claim reports a lost one.
    for _ in 0..2 {
        claimed.extend(claimable(member, "a").await);
    }
    assert_eq!(names(&claimed), [name]);
    grows(last, &claimed[0]);
    member.end(claimed[0].id, end.into());
    within(member.check()).await;
}

#[track_caller]
fn grows(last: &mut Option<Fence>, claimed: &ClaimedDelivery) {
    assert!(claimed.event.fence > *last, "{:?} after {last:?}", claimed.event.fence);
    *last = claimed.event.fence;
}

#[tokio::test]
async fn a_fence_grows_with_each_claim_of_a_resource_and_with_each_owner() {
    let stage = Stage::new();
    let (a, b) = (stage.member("a"), stage.member("b"));
    for name in ["1", "2", "3"] {
        keep(&a, name, "k").await;
    }
    let mut last = None;
    let claimed = claim(&a, "a", 1).await;
    grows(&mut last, &claimed[0]);
    // The attempt failed, and the retry has a claim of its own.
    let used = osnl_journal::conformance::attempts(1);
    a.retry_at(claimed[0].id, AttemptRetry { due: Instant::now(), used, answer: "no".into() });
    ends(&a, "1", &mut last, Outcome::Delivered).await;
    let under_way = claim(&a, "a", 1).await;
    grows(&mut last, &under_way[0]);
    let paused = pause(&a);
    stage.pass(Duration::from_secs(1));
    within(b.check()).await;
    stage.pass(LEASE);
    ends(&b, "2", &mut last, Outcome::Delivered).await;
    assert!(fence(&under_way[0]) < last.unwrap(), "what is late has the smaller one");
    drop(paused);
    within(a.check()).await;
    a.end(under_way[0].id, Outcome::Returned.into());
    within(b.close()).await;
    stage.pass(Duration::from_secs(1));
    ends(&a, "3", &mut last, Outcome::Delivered).await;
}

/// Its number in the queue is smaller than those of its successors, which the target has seen.
#[tokio::test]
async fn a_dead_letter_that_is_retried_behind_its_successors_has_a_larger_fence() {
    let stage = Stage::new();
    let a = stage.member("a");
    let mut last = None;
    for (name, end) in [("1", Outcome::Dead("no".into())), ("2", Outcome::Delivered)] {
        keep(&a, name, "k").await;
        ends(&a, name, &mut last, end).await;
    }
    let retry = Change::Retry { which: Filter::default(), out_of_order: true };
    let mut run = a.changing(retry, false);
    let changed = within(run.next()).await.unwrap().unwrap().changed;
    assert_eq!(changed.len(), 1);
    ends(&a, "1", &mut last, Outcome::Delivered).await;
}

#[tokio::test]
async fn a_delivery_that_another_action_hands_over_has_a_larger_fence() {
    let stage = Stage::new();
    let a = stage.member("a");
    keep(&a, "1", "k").await;
    let given_up = claim(&a, "a", 1).await;
    let mut late = entry("2", "k", false);
    late.deliveries = vec![NewDelivery::new("r", "b", Some("k".to_owned()))];
    assert_eq!(within(append(&a, late).await).await, Settle::Acknowledge);
    let mut last = None;
    let late = claimable(&a, "b").await;
    grows(&mut last, &late[0]);
    a.end(late[0].id, Outcome::Delivered.into());
    let end = End::from(Outcome::Dead("no".into()));
    a.end(given_up[0].id, end.handed_to(osnl_journal::Handover::to("b")));
    within(a.check()).await;
    let handed = claimable(&a, "b").await;
    assert_eq!((names(&late), names(&handed)), (vec!["2"], vec!["1"]));
    assert!(handed[0].id < late[0].id);
    grows(&mut last, &handed[0]);
}

#[tokio::test]
async fn fences_of_a_resource_grow_over_queues() {
    let stage = Stage::new();
    let a = stage.member("a");
    let mut last = None;
    for (name, queue) in [("1", "first"), ("2", "second"), ("3", "first")] {
        let mut entry = entry(name, "k", false);
        Arc::make_mut(&mut entry.received).origin.queue = queue.into();
        assert_eq!(within(append(&a, entry).await).await, Settle::Acknowledge);
        ends(&a, name, &mut last, Outcome::Delivered).await;
    }
    assert_eq!(stage.rows("SELECT string_agg(unique_id, ',' ORDER BY id) FROM osnl_arrival"), "1,3,2");
}

#[tokio::test]
async fn fences_grow_where_epochs_are_lost_and_where_the_clock_is_behind() {
    let stage = Stage::new();
    let mut last = None;
    for (name, epoch) in [("1", None), ("2", Some(0)), ("3", Some(9_000_000_000_u64)), ("4", None)] {
        if let Some(epoch) = epoch {
            stage.rows(&format!("UPDATE osnl_partition SET epoch = {epoch}"));
        }
        if epoch == Some(0) {
            let passes = format!("SELECT floor(extract(epoch FROM now())) * {} > {}", CLAIMS, last.unwrap());
            osnl_testkit::wait_until(LEASE, "the clock to go on", || stage.rows(&passes) == "t");
        }
        // Two owners within a second have different epochs.
        let member = stage.member(name);
        keep(&member, name, "k").await;
        ends(&member, name, &mut last, Outcome::Delivered).await;
        within(member.close()).await;
    }
    assert_eq!(stage.rows("SELECT DISTINCT epoch FROM osnl_partition"), "9000000002");
}

#[tokio::test]
async fn a_lease_with_very_many_claims_gets_the_next_epoch_and_keeps_them() {
    let stage = Stage::new();
    let a = stage.member("a");
    keep(&a, "1", "k").await;
    let mut last = None;
    let claimed = claim(&a, "a", 1).await;
    grows(&mut last, &claimed[0]);
    let partition: i16 = stage.rows("SELECT partition FROM osnl_delivery").parse().unwrap();
    let epochs = || stage.rows("SELECT count(DISTINCT epoch) FROM osnl_partition");
    assert_eq!(epochs(), "1");
    a.send(PostgresCommand::Do(Box::new(move |member| {
        let held = member.leases.held.get_mut(&partition).unwrap();
        (0..CLAIMS / 2).for_each(|_| _ = held.next_fence());
    })));
    stage.pass(Duration::from_secs(1));
    within(a.check()).await;
    assert_eq!(epochs(), "2");
    assert!(a.term(&[claimed[0].id]).unwrap().left() > Duration::ZERO);
    a.end(claimed[0].id, Outcome::Delivered.into());
    keep(&a, "2", "k").await;
    ends(&a, "2", &mut last, Outcome::Delivered).await;
    assert_eq!(stage.tally(), "4|2");
    assert!(last.unwrap().number() - fence(&claimed[0]).number() >= CLAIMS);
}

#[tokio::test]
async fn deliveries_without_an_order_have_no_fence() {
    let stage = Stage::new();
    let a = stage.member("a");
    let mut entry = entry("1", "k", false);
    let unordered = NewDelivery { ordered: false, ..entry.deliveries[0].clone() };
    entry.deliveries = vec![NewDelivery::new("r", "a", None), NewDelivery { rule: "s".into(), ..unordered }];
    assert_eq!(within(append(&a, entry).await).await, Settle::Acknowledge);
    let claimed = claimable(&a, "a").await;
    assert_eq!(claimed.iter().map(|claimed| claimed.event.fence).collect::<Vec<_>>(), [None, None]);
}
