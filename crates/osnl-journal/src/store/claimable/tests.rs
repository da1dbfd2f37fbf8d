use futures_util::FutureExt as _;
use osnl_core::event::Event;
use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;

use super::*;
use crate::UsedLimits;

fn delivery(id: u64) -> ClaimedDelivery {
    large(id, 0)
}

fn large(id: u64, bytes: usize) -> ClaimedDelivery {
    let message = ReceivedMessage::sample(vec![b' '; bytes], false);
    let event = Event::new(message, Notification::default(), "r", "a");
    ClaimedDelivery {
        id: DeliveryId(id),
        key: None,
        event,
        used: UsedLimits::default(),
        since: None,
        began: None,
        newest: false,
    }
}

const ONE_NEWEST: ClaimLimits =
    ClaimLimits { oldest: 0, newest: 1, newer_than: None, older_than: None, due: 0 };

/// The writer leaves out deliveries in memory when its read began; dropped ones must not wait for the next start.
#[test]
fn what_is_dropped_while_the_writer_fetches_is_fetched_again() {
    let claimable = Claimable::default();
    let (_, ask) = claimable.claim("a", ONE_NEWEST, 0);
    assert!(ask.fresh && ask.newest);
    claimable.fetched_newest("a", vec![(0, delivery(8)), (0, delivery(9))], true);
    assert_eq!(claimable.known("a").len(), 2);
    claimable.claim("a", ClaimLimits::in_order(0), 0);
    claimable.fetched("a", Vec::new(), false);
    let (_, ask) = claimable.claim("a", ClaimLimits::in_order(1), 0);
    assert!(ask.fresh, "8 and 9 are in the file only");
    assert!(claimable.known("a").is_empty());
    claimable.fetched("a", vec![(0, delivery(8)), (0, delivery(9))], false);
    let (claimed, ask) = claimable.claim("a", ClaimLimits::in_order(9), 0);
    assert_eq!((claimed.map(|claimed| claimed.len()), ask.fresh), (Some(2), false));
}

#[test]
fn what_an_action_had_in_memory_is_fetched_again_when_it_comes_back() {
    let claimable = Claimable::default();
    claimable.claim("a", ClaimLimits::in_order(0), 0);
    claimable.fetched("a", vec![(0, delivery(8))], false);
    claimable.fetched_due("a", vec![(5, delivery(9))], None);
    assert_eq!(claimable.known("a").len(), 2);
    claimable.retire("a");
    claimable.fetched("a", Vec::new(), false);
    claimable.fetched_due("a", Vec::new(), None);
    let (_, ask) = claimable.claim("a", ClaimLimits::in_order(1), 10);
    assert_eq!(ask, FetchKinds { fresh: true, newest: false, due: true });
}

#[test]
fn an_old_one_that_becomes_claimable_again_is_among_the_oldest() {
    let claimable = Claimable::default();
    claimable.claim("a", ClaimLimits::in_order(0), 0);
    let piece = (1..=PIECE as u64).map(|n| (0, delivery(n * 10))).collect();
    claimable.fetched("a", piece, true);
    let end = PIECE as u64 * 10;
    assert!(!claimable.has_place("a", DeliveryId(end + 1)) && claimable.has_place("a", DeliveryId(5)));
    claimable.add("a", delivery(5));
    assert!(!claimable.known("a").contains(&DeliveryId(end)), "the piece is bounded");
    let (claimed, _) = claimable.claim("a", ClaimLimits::in_order(2), 0);
    let claimed: Vec<u64> = claimed.unwrap().iter().map(|claimed| claimed.id.0).collect();
    assert_eq!(claimed, [5, 10]);
}

/// The probe with the newest and due retries must not wait until a target recovers that is held with large
/// messages.
#[test]
fn large_messages_of_a_kind_keep_no_other_one_out() {
    let claimable = Claimable::default();
    claimable.claim("a", ClaimLimits::in_order(0), 0);
    claimable.fetched("a", vec![(0, large(1, 2 * OF_ACTION))], true);
    claimable.fetched_due("a", Vec::new(), Some(1));
    let (claimed, ask) = claimable.claim("a", ClaimLimits::in_order(1), 0);
    assert!(claimed.is_some() && !ask.fresh, "the oldest have no more room");
    let (_, ask) = claimable.claim("a", ONE_NEWEST, 1);
    assert_eq!(ask, FetchKinds { fresh: false, newest: true, due: true });
    claimable.fetched_newest("a", vec![(0, large(9, 2 * OF_ACTION))], true);
    claimable.fetched_due("a", vec![(1, large(5, 2 * OF_ACTION))], Some(1));
    let both = ClaimLimits { due: 1, ..ONE_NEWEST };
    let (claimed, ask) = claimable.claim("a", both, 1);
    assert_eq!((claimed.map(|claimed| claimed.len()), ask.is_any()), (Some(2), false), "one of each kind");
    assert_eq!(claimable.next_due("a"), None, "room for what is due wakes the claim");
    claimable.forget(Some("a"), DeliveryId(5));
    assert_eq!(claimable.next_due("a"), Some(1));
    for id in [1, 9] {
        claimable.forget(Some("a"), DeliveryId(id));
    }
    assert!(claimable.lock().by_action["a"].weights.is_empty());
}

/// Deliveries fetched for an action that leaves the configuration must not count until the end of the
/// process.
#[test]
fn nothing_of_an_action_that_has_left_is_brought_into_memory() {
    let claimable = Claimable::default();
    claimable.claim("a", ClaimLimits { due: 1, ..ONE_NEWEST }, 0);
    assert!(claimable.known("a").is_empty());
    claimable.retire("a");
    claimable.fetched_newest("a", vec![(0, delivery(3))], true);
    claimable.fetched("a", vec![(0, delivery(1))], false);
    claimable.fetched_due("a", vec![(1, delivery(2))], None);
    assert!(!claimable.expects("a") && !claimable.has_place("a", DeliveryId(4)));
    assert!(claimable.lock().by_action["a"].weights.is_empty());
    let (claimed, ask) = claimable.claim("a", ClaimLimits { due: 1, ..ONE_NEWEST }, 10);
    assert_eq!((claimed.is_none(), ask), (true, FetchKinds { fresh: true, newest: true, due: true }));
}

#[test]
fn what_leaves_memory_wakes_the_claims_of_all_actions() {
    let claimable = Claimable::default();
    let check = |leaves: &dyn Fn()| {
        claimable.claim("a", ONE_NEWEST, 0);
        claimable.fetched_newest("a", vec![(0, delivery(9))], true);
        let mut changed = Box::pin(claimable.changed.notified());
        changed.as_mut().enable();
        leaves();
        assert!(changed.now_or_never().is_some());
        assert!(!claimable.known("a").contains(&DeliveryId(9)));
    };
    check(&|| claimable.retire("a"));
    check(&|| claimable.mark_beyond("a"));
    check(&|| _ = claimable.withdraw("a", DeliveryId(9)));
    check(&|| _ = claimable.claim("a", ClaimLimits::in_order(0), 0));
    claimable.fetched("a", vec![(0, large(1, OF_ACTION))], true);
    check(&|| assert!(!claimable.has_place("a", DeliveryId(10))));
}
