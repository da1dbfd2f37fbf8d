//! The contract of a store: reserve, append, claim, end.
//!
//! A store also implements `JournalQueries`, runs `conformance!` as its tests, and is a variant of `JournalConf`
//! (`osnl/src/native.rs`), which `assembly/build.rs` and the commands match.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use osnl_core::event::EnrichedValues;
use osnl_core::received::{ReceivedMessage, RowChange};
use osnl_model::Notification;
use osnl_transport::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::claim::{AttemptRetry, ClaimLimits, ClaimedDelivery, DeliveryId, SentRequest, UsedLimits};
use crate::entry::Entry;
use crate::outcome::End;
use crate::permit::Permit;
use crate::receipt::Receipt;
use crate::state::{JournalState, Obstacle};

/// A store of entries and their deliveries. See the [crate]. No method has a default body, so that a journal
/// around another must forward each.
pub trait Journal: Send + Sync {
    /// Waits for room for at least one entry, and holds up to `at_most` places. A full action delays only callers
    /// that name it.
    fn reserve<'a>(&'a self, actions: &'a [Arc<str>], at_most: usize) -> BoxFuture<'a, Permit>;

    /// Returns the reason why the journal cannot take an entry for these actions now, or cannot end open
    /// messages.
    fn obstacle(&self, actions: &[Arc<str>]) -> Option<Obstacle>;

    /// Returns the first arrival of a redelivered message that this process has returned, or still holds. Its waits
    /// count from there. A durable store never returns a message, so it has none.
    fn first_arrival(&self, received: &ReceivedMessage, notification: &Notification) -> Option<SystemTime>;

    /// Returns whether the action gets no further delivery until one of its own ends. A digest does not wait for more
    /// then.
    fn is_crowded(&self, action: &str) -> bool;

    /// Notes that a listener has subscribed, with the most messages that may be open: another daemon may have read its queue
    /// before. `memory://` reads the dead letter queue again before it keeps the next message; a file needs nothing.
    fn subscribed(&self, listener: &str, prefetch: u16);

    /// Notes that the session of a listener has ended: the broker hands its messages to this daemon again, or to another one.
    /// `memory://` lets go of what waits in the dead letter queue, with which the other daemon may begin; a file needs
    /// nothing.
    fn unsubscribed(&self, listener: &str);

    /// Notes that a subscribed listener is the one that its queue's messages go to, which a standby is not. `memory://` reads
    /// the dead letter queue for the status, and goes on with what waits there; a file needs nothing.
    fn active(&self, listener: &str);

    /// Keeps an entry in one of the permit's places. The order of the calls is the order of delivery.
    fn append(&self, permit: &mut Permit, entry: Entry) -> Receipt;

    /// Keeps an unreadable message with its bytes, and logs it once.
    fn set_aside(&self, received: ReceivedMessage, reason: String) -> Receipt;

    /// Claims deliveries of this action that may be attempted now, within the [limits](ClaimLimits). Waits
    /// until one can be claimed. Cancel-safe: a claim without an answer claims nothing.
    ///
    /// The answer may be empty once after a [withdrawal](Journal::withdrawn). The journal has no timer: the
    /// caller claims again at [`next_due`](Journal::next_due).
    fn claim<'a>(&'a self, action: &'a str, wanted: ClaimLimits) -> BoxFuture<'a, Vec<ClaimedDelivery>>;

    /// Returns the time of the next retry of this action, if a claim is of use then.
    fn next_due(&self, action: &str) -> Option<Instant>;

    /// Records a failed attempt: the used limits, for a later claim, and the target's answer.
    fn attempted(&self, delivery: DeliveryId, used: UsedLimits, answer: &str);

    /// Records the used limits of a claimed delivery that has aged without an attempt.
    fn aged(&self, delivery: DeliveryId, used: UsedLimits);

    /// Records the facts about the latest failed attempt, before the claim ends. The journal keeps requests of
    /// the latest few attempts; see [`SentRequest`].
    fn sent(&self, delivery: DeliveryId, made: u32, sent: SentRequest);

    /// Ends a claim whose attempt failed and will be repeated. The delivery keeps its place, and nothing
    /// overtakes it in its lane. A durable store keeps the time too; after a restart the pause is at most the
    /// one meant.
    fn retry_at(&self, delivery: DeliveryId, retry: AttemptRetry);

    /// Makes all retries of this action due now, since its settings have changed. The rest of a pause that an age includes
    /// is taken back.
    fn due_now(&self, action: &str);

    /// Ends a claimed delivery. A durable store has acknowledged the message already, so
    /// [`Outcome::Returned`](crate::Outcome::Returned) makes the delivery claimable again.
    ///
    /// A delivery that is given up for another action ends and is made anew atomically. No second one is made
    /// for the same rule, action, and resource of the event.
    fn end(&self, delivery: DeliveryId, end: End);

    /// Keeps the enrichments for all attempts of a claimed delivery, with learnt facts. Writes follow the order of
    /// the calls; the future completes when the data is safe.
    fn enriched(
        &self,
        delivery: DeliveryId,
        enriched: &EnrichedValues,
        learnt: LearntFacts,
    ) -> BoxFuture<'static, ()>;

    /// Returns the latest JSON kept for an object of an enrichment (`kind:id`).
    fn known<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Option<String>>;

    /// Returns the claimed deliveries whose message the broker has waited for too long. Each should end with
    /// [`Outcome::Returned`](crate::Outcome::Returned) unless an attempt is under way. The journal itself
    /// ends unclaimed deliveries. Durable stores return none.
    fn overdue(&self, action: &str) -> Vec<DeliveryId>;

    /// Returns the claims that the operator has discarded, held or moved, and those of `memory://` that may be another
    /// daemon's since a session has ended. Each should end with
    /// [`Outcome::Returned`](crate::Outcome::Returned) before another attempt; only then does the change
    /// apply and the lane continue. An attempt under way ends first, and its success is recorded.
    fn withdrawn(&self, action: &str) -> Vec<DeliveryId>;

    /// Notes that the action has no delivery loop any more. If the broker keeps the messages, all unclaimed
    /// deliveries return to the broker.
    fn retired(&self, action: &str);

    /// Returns whether the journal can be written, as it changes. While failed, nothing is reserved or
    /// claimed, and no attempt should begin.
    fn state(&self) -> watch::Receiver<JournalState>;

    /// Returns the paused actions, as the set changes. No delivery of a paused action is attempted or ages;
    /// new deliveries wait.
    fn paused(&self) -> watch::Receiver<PausedActions>;

    /// Completes when all recorded outcomes are safe; the caller sends no more. Receipts that are still open
    /// end as [`Settle::Leave`](crate::Settle::Leave).
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Facts that one delivery has found and later events need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearntFacts {
    /// Facts about objects that are useful after their deletion: `kind:id` and JSON.
    pub objects: Vec<(String, String)>,
    /// Rows of a driver's memory of resources, for the next start.
    pub changes: Vec<RowChange>,
}

/// The pause of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub since: SystemTime,
    /// The operator, and the reason; `None` if an older program has not kept them.
    pub note: Option<PauseNote>,
}

/// The operator who pauses an action, and the reason for the next operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PauseNote {
    pub by: String,
    pub reason: Option<String>,
}

/// The actions that operators have paused.
pub type PausedActions = BTreeMap<String, Pause>;
