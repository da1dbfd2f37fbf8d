use std::time::Duration;

use futures_util::FutureExt as _;
use osnl_core::received::ReceivedMessage;
use tokio::time::Instant;

use super::{PLACES, StoreRig, append, attempts, claim, entry, names, within};
use crate::{AttemptRetry, ClaimLimits, JournalState, NewDelivery, Outcome, Permit, Settle};

pub(crate) async fn a_receipt_completes_when_everything_is_safe(open: impl Fn() -> StoreRig) {
    let rig = open();
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

pub(crate) async fn an_unreadable_message_is_acknowledged_once_it_is_kept(open: impl Fn() -> StoreRig) {
    let rig = open();
    let receipt = rig.journal.set_aside(ReceivedMessage::sample("\u{1}", false), "no JSON".into());
    assert_eq!(within(receipt).await, Settle::Acknowledge);
    assert_eq!(rig.counters.quarantined.get(), 1);
}

pub(crate) async fn places_are_bounded_and_come_back(open: impl Fn() -> StoreRig) {
    let rig = open();
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
    assert_eq!(within(journal.reserve(&actions, 100)).await.places(), 1);
}

pub(crate) async fn closing_leaves_unsafe_messages_to_the_broker(open: impl Fn() -> StoreRig) {
    let rig = open();
    let journal = &*rig.journal;
    assert_eq!(*journal.state().borrow(), JournalState::Working);
    let before = append(journal, entry("1", "k", false)).await;
    within(journal.close()).await;
    assert_eq!(within(before).await, if rig.durable { Settle::Acknowledge } else { Settle::Leave });
    let after = append(journal, entry("2", "k", false)).await;
    assert_eq!(within(after).await, Settle::Leave);
}

pub(crate) async fn an_action_that_is_gone_returns_what_the_broker_keeps(open: impl Fn() -> StoreRig) {
    let rig = open();
    let journal = &*rig.journal;
    let mut receipts = Vec::new();
    for (id, key) in [("1", "k"), ("2", "k"), ("3", "other"), ("4", "third")] {
        receipts.push(append(journal, entry(id, key, false)).await);
    }
    let claimed = within(journal.claim("a", ClaimLimits::in_order(2))).await;
    // The last attempt ends after the loop returned everything else: the next of its lane has no loop.
    journal.end(claimed[0].id, Outcome::Delivered.into());
    let retry = AttemptRetry {
        due: Instant::now() + Duration::from_secs(60),
        used: attempts(1),
        is_charged: false,
        answer: String::new(),
    };
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
    if rig.durable {
        journal.due_now("a");
        assert_eq!(claim(journal, "a", 3).await.len(), 3);
    } else {
        assert_eq!(within(append(journal, entry("5", "k", false)).await).await, Settle::Requeue);
        assert_eq!(claim(journal, "a", 0).await.len(), 0);
        let _receipt = append(journal, entry("6", "new", false)).await;
        assert_eq!(names(&claim(journal, "a", 1).await), ["6"]);
    }
}
