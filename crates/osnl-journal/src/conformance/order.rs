use super::{StoreRig, append, claim, entry, given_up, names, number, within};
use crate::{Begin, NewDelivery, Outcome, Settle};

pub(crate) async fn order_within_a_key_and_none_between_keys(open: impl Fn() -> StoreRig) {
    let rig = open();
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

pub(crate) async fn deliveries_without_a_key_and_other_actions_do_not_wait(open: impl Fn() -> StoreRig) {
    let rig = open();
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

pub(crate) async fn a_shadow_delivery_is_done_at_once_and_holds_no_lane(open: impl Fn() -> StoreRig) {
    let rig = open();
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
    assert_eq!(within(append(journal, shadow).await).await, Settle::Acknowledge);
    assert_eq!((rig.counters.shadow.get(), rig.counters.duplicates.get()), (2, 1));
    assert_eq!(names(&claim(journal, "a", 0).await), [""; 0]);
}

/// Nothing waits for an undecided rule's or an old event's delivery, and a copy makes no second one.
pub(crate) async fn a_delivery_that_begins_as_a_dead_letter_holds_no_lane(open: impl Fn() -> StoreRig) {
    for (begin, too_old) in [(Begin::Dead("why".into()), 0), (Begin::TooOld("why".into()), 1)] {
        let rig = open();
        let journal = &*rig.journal;
        let mut dead = entry("1", "k", false);
        dead.deliveries[0].begin = begin;
        assert_eq!(within(append(journal, dead.clone()).await).await, Settle::Acknowledge);
        assert_eq!(within(append(journal, dead).await).await, Settle::Acknowledge);
        let _receipt = append(journal, entry("2", "k", false)).await;
        assert_eq!(names(&claim(journal, "a", 1).await), ["2"]);
        let counters = &rig.counters;
        assert_eq!((counters.dead.get(), counters.too_old.get(), counters.duplicates.get()), (1, too_old, 1));
    }
}

/// A retry of an earlier dead letter goes before the delivery that is under way, and asks for no other attempt of that.
pub(crate) async fn a_delivery_that_gives_up_during_a_retry_before_it_has_ended(open: impl Fn() -> StoreRig) {
    let rig = open();
    let journal = &*rig.journal;
    let _receipts =
        (append(journal, entry("1", "k", false)).await, append(journal, entry("2", "k", false)).await);
    let first = claim(journal, "a", 1).await;
    journal.end(first[0].id, given_up("first"));
    let second = claim(journal, "a", 1).await;
    assert_eq!(names(&second), ["2"]);
    (rig.retry)(first[0].id, entry("1", "k", false)).await;
    journal.end(second[0].id, given_up("second"));
    let retried = claim(journal, "a", 1).await;
    assert_eq!(names(&retried), ["1"]);
    journal.end(retried[0].id, Outcome::Delivered.into());
    assert_eq!(names(&claim(journal, "a", 0).await), [""; 0], "the second stays a dead letter");
    assert_eq!(rig.counters.dead.get(), 2);
}
