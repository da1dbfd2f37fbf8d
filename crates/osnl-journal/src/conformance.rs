//! The promises of every store, as tests. `conformance!(super::rig)` makes each function of the modules here a test
//! of the same name; `rig` opens an empty store as a [`StoreRig`].

pub(crate) mod claims;
pub(crate) mod copies;
pub(crate) mod handover;
pub(crate) mod order;
pub(crate) mod queries;
pub(crate) mod receipts;

use std::any::Any;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use osnl_core::epoch::millis;
use osnl_core::metrics::Counters;
use osnl_core::received::ReceivedMessage;
use osnl_transport::BoxFuture;
use tokio::time::Instant;

use crate::query::JournalQueries;
use crate::{
    ClaimLimits, ClaimedDelivery, DeliveryId, End, Entry, Journal, NewDelivery, Outcome, Receipt, UsedLimits,
};

pub(crate) const PLACES: usize = 8;

/// A store under test, with the parts that its tests observe.
pub(crate) struct StoreRig {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) queries: Arc<dyn JournalQueries>,
    pub(crate) counters: Arc<Counters>,
    /// Whether receipts complete with the commit; otherwise with the last outcome.
    pub(crate) durable: bool,
    /// Retries a dead letter, as an operator does.
    pub(crate) retry: RetryLetter,
    pub(crate) _keeps: Box<dyn Any>,
}

/// Retries the dead letter of a delivery; the entry is the one that it was made of.
pub(crate) type RetryLetter = Box<dyn Fn(DeliveryId, Entry) -> BoxFuture<'static, ()>>;

macro_rules! conformance {
    ($open:path) => {
        conformance!(
            $open;
            order::order_within_a_key_and_none_between_keys,
            order::deliveries_without_a_key_and_other_actions_do_not_wait,
            order::a_shadow_delivery_is_done_at_once_and_holds_no_lane,
            order::a_delivery_that_begins_as_a_dead_letter_holds_no_lane,
            receipts::a_receipt_completes_when_everything_is_safe,
            receipts::an_unreadable_message_is_acknowledged_once_it_is_kept,
            receipts::places_are_bounded_and_come_back,
            receipts::closing_leaves_unsafe_messages_to_the_broker,
            receipts::an_action_that_is_gone_returns_what_the_broker_keeps,
            copies::copies_of_a_message_are_one_event_and_other_messages_are_not,
            copies::an_unsettled_message_without_an_id_is_one_event_when_it_returns,
            claims::a_claim_that_was_not_answered_claims_nothing,
            claims::a_claim_takes_as_many_of_each_kind_as_it_may,
            claims::what_is_claimed_is_bounded_in_bytes,
            claims::attempts_outlive_the_way_round,
            claims::a_delivery_knows_its_action_its_resource_and_what_it_has_used_up,
            claims::a_retry_waits_in_the_journal_and_nothing_of_its_lane_overtakes_it,
            claims::a_pause_that_ends_early_ages_a_delivery_by_what_was_waited,
            claims::the_wait_of_a_retried_dead_letter_begins_at_its_retry,
            order::a_delivery_that_gives_up_during_a_retry_before_it_has_ended,
            handover::a_given_up_delivery_becomes_one_of_another_action_once,
            handover::a_fallback_delivery_keeps_the_order_of_its_action,
            queries::every_store_finds_the_same_deliveries,
            queries::a_status_is_that_of_the_target_and_not_one_that_its_answer_quotes,
            queries::pages_follow_each_other_in_every_order,
            queries::every_store_groups_what_is_not_done_alike,
            queries::what_is_held_and_dead_is_counted_by_cause,
            queries::every_store_counts_and_pauses_alike,
            queries::a_failing_resource_has_the_facts_of_its_latest_attempt,
            queries::history_and_quarantine_are_shown_or_refused,
        );
    };
    ($open:path; $($module:ident::$name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::conformance::$module::$name($open).await;
            }
        )*
    };
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("in time")
}

pub(crate) fn entry(id: &str, key: &str, redelivered: bool) -> Entry {
    let received = ReceivedMessage::sample(body(id, key), redelivered);
    let notification = received.decode().expect("a notification");
    let deliveries = vec![NewDelivery::new("r", "a", Some(key.to_owned()))];
    Entry { received: Arc::new(received), notification: Arc::new(notification), deliveries }
}

pub(crate) fn body(id: &str, key: &str) -> String {
    format!(
        r#"{{"_unique_id": "{id}", "message_id": "m{id}", "event_type": "port.delete.end", "payload": {{"device_id": "{key}", "password": "hunter2"}}}}"#
    )
}

pub(crate) fn attempts(attempts: u32) -> UsedLimits {
    UsedLimits { attempts, age: Duration::ZERO, made: attempts }
}

pub(crate) fn given_up(why: &str) -> End {
    Outcome::Dead(why.into()).into()
}

pub(crate) async fn append(journal: &dyn Journal, entry: Entry) -> Receipt {
    let mut permit = within(journal.reserve(&["a".into(), "b".into()], 1)).await;
    journal.append(&mut permit, entry)
}

pub(crate) async fn claim(journal: &dyn Journal, action: &str, expected: usize) -> Vec<ClaimedDelivery> {
    let mut claimed = Vec::new();
    while claimed.len() < expected {
        claimed.extend(within(journal.claim(action, ClaimLimits::in_order(10))).await);
    }
    if let Some(more) = journal.claim(action, ClaimLimits::in_order(10)).now_or_never() {
        claimed.extend(more);
    }
    // This append completes after all earlier requests.
    within(journal.set_aside(ReceivedMessage::sample("barrier", false), "barrier".into())).await;
    claimed.extend(journal.claim(action, ClaimLimits::in_order(10)).now_or_never().unwrap_or_default());
    claimed
}

pub(crate) fn names(claimed: &[ClaimedDelivery]) -> Vec<&str> {
    claimed.iter().map(|c| c.event.notification.unique_id.as_deref().unwrap_or("-")).collect()
}

/// Returns whether a wait began at this moment or later, by the clock that the store has.
pub(crate) fn waits_since(claimed: &ClaimedDelivery, (at, time): (Instant, SystemTime)) -> bool {
    match claimed.since {
        Some(since) => since >= at,
        None => claimed.began.is_some_and(|began| millis(began) >= millis(time)),
    }
}

pub(crate) fn number(claimed: &[ClaimedDelivery], name: &str) -> DeliveryId {
    claimed
        .iter()
        .find(|c| c.event.notification.unique_id.as_deref() == Some(name))
        .expect("it is claimed")
        .id
}
