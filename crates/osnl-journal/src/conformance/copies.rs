use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;

use super::{StoreRig, append, claim, within};
use crate::{Entry, NewDelivery, Outcome, Receipt, Settle};

pub(crate) async fn copies_of_a_message_are_one_event_and_other_messages_are_not(
    open: impl Fn() -> StoreRig,
) {
    type Message = (Option<&'static str>, &'static str, &'static str, bool);
    async fn told(message: Message, done_before: bool, rig: &StoreRig, entries: &mut Vec<Receipt>) {
        let (id, body, queue, redelivered) = message;
        let mut received =
            ReceivedMessage::sample(format!(r#"{{"payload": {{"x": "{body}"}}}}"#), redelivered);
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
            let rig = open();
            let mut receipts = Vec::new();
            told(first, done_before, &rig, &mut receipts).await;
            told(second, false, &rig, &mut receipts).await;
            // Without an id, a settled message was another message.
            let is_copy = is_copy && (first.0.is_some() || !done_before);
            let left = usize::from(!done_before) + usize::from(!is_copy);
            let claimed = claim(&*rig.journal, "a", left).await;
            let story = format!("{first:?} {second:?} done {done_before} durable {}", rig.durable);
            assert_eq!(claimed.len(), left, "{story}");
            let counted = (rig.counters.deduplicated.get(), rig.counters.duplicates.get());
            let redelivered = u64::from(is_copy && second.3);
            assert_eq!(counted, (redelivered, u64::from(is_copy) - redelivered), "{story}");
            for claimed in claimed {
                rig.journal.end(claimed.id, Outcome::Delivered.into());
            }
            for receipt in receipts {
                assert_eq!(within(receipt).await, Settle::Acknowledge, "{story}");
            }
        }
    }
}

pub(crate) async fn an_unsettled_message_without_an_id_is_one_event_when_it_returns(
    open: impl Fn() -> StoreRig,
) {
    let message = |redelivered| {
        let received = ReceivedMessage::sample(r#"{"payload": {}}"#, redelivered);
        let deliveries = vec![NewDelivery::new("r", "a", None)];
        Entry { received: received.into(), notification: Notification::default().into(), deliveries }
    };
    let rig = open();
    let journal = &*rig.journal;
    drop(append(journal, message(false)).await);
    let first = claim(journal, "a", 1).await;
    journal.end(first[0].id, Outcome::Delivered.into());
    let again = append(journal, message(true)).await;
    assert_eq!(within(again).await, Settle::Acknowledge);
    assert_eq!(claim(journal, "a", 0).await.len(), 0, "durable {}", rig.durable);
    // The message is settled now, so a later one with the same bytes is another.
    let _another = append(journal, message(true)).await;
    assert_eq!(claim(journal, "a", 1).await.len(), 1, "durable {}", rig.durable);
}
