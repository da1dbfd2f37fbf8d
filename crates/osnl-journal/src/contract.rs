//! The contract of every store.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_core::event::EnrichedValues;
use osnl_core::received::{ReceivedMessage, RowChange};
use osnl_transport::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::claim::{AttemptRetry, ClaimLimits, ClaimedDelivery, DeliveryId, SentRequest, UsedLimits};
use crate::entry::Entry;
use crate::outcome::End;
use crate::permit::Permit;
use crate::receipt::Receipt;
use crate::state::{JournalState, Obstacle};

/// A store of entries and their deliveries. See the [crate]. No method has a default body: a journal around
/// another forwards each of them.
pub trait Journal: Send + Sync {
    /// Waits until the journal can keep at least one entry for these actions, and holds up to `at_most` places. An
    /// action whose bound is reached delays only callers that name it.
    fn reserve<'a>(&'a self, actions: &'a [Arc<str>], at_most: usize) -> BoxFuture<'a, Permit>;

    /// Returns the obstacle that keeps the journal from taking an entry for these actions now, or open messages from
    /// ending; `None` if there is none.
    fn obstacle(&self, actions: &[Arc<str>]) -> Option<Obstacle>;

    /// Keeps an entry in one of the permit's places. The order of the calls is the order of delivery.
    fn append(&self, permit: &mut Permit, entry: Entry) -> Receipt;

    /// Keeps a message that cannot be read, with its bytes, and says so once in the log.
    fn set_aside(&self, received: ReceivedMessage, reason: String) -> Receipt;

    /// Claims deliveries of this action that may be attempted now, as many of each kind as are given by its [limits](ClaimLimits). Waits until
    /// there is one. Cancel-safe: a claim that was not answered claims nothing.
    ///
    /// It may answer with none once when a claim has been [withdrawn](Journal::withdrawn).
    ///
    /// The journal never sleeps: the caller asks again at [`next_due`](Journal::next_due).
    ///
    /// In a journal that daemons share, each delivery that is in an order has a [fence](crate::Fence), which is larger than
    /// those of all earlier claims of its action and resource. No attempt under an earlier claim has a [term](Journal::term)
    /// by then. A journal of one daemon gives none.
    fn claim<'a>(&'a self, action: &'a str, wanted: ClaimLimits) -> BoxFuture<'a, Vec<ClaimedDelivery>>;

    /// Returns when the next retry of this action becomes due, if one waits in the journal and a claim is of use then.
    fn next_due(&self, action: &str) -> Option<Instant>;

    /// Takes note of an attempt that failed: what is used up by now, so that a later claim knows, and what the
    /// target said.
    fn attempted(&self, delivery: DeliveryId, used: UsedLimits, answer: &str);

    /// Takes note of the request of the failed attempt that was told last by [`attempted`](Journal::attempted), and of its
    /// duration, before the claim ends. Requests are kept of the latest few attempts of a delivery; see [`SentRequest`].
    fn sent(&self, delivery: DeliveryId, made: u32, sent: SentRequest);

    /// Ends a claim whose attempt failed and will be repeated. The delivery keeps its place in its lane, and nothing of
    /// its lane overtakes it. A durable store keeps the moment too; after a restart the retry is due after at most the
    /// pause that was meant.
    fn retry_at(&self, delivery: DeliveryId, retry: AttemptRetry);

    /// Makes everything of this action that waits for a retry due now: its settings have changed.
    fn due_now(&self, action: &str);

    /// Ends a claimed delivery. For a durable store, whose message is acknowledged already,
    /// [`Outcome::Returned`](crate::Outcome::Returned) means: back into the journal, claimable again.
    ///
    /// A delivery that is given up and handed to another action ends and is made anew in one step: both are there or
    /// neither. It is made once: none if its rule has had one of that action for this resource of the event already.
    fn end(&self, delivery: DeliveryId, end: End);

    /// Keeps what was asked for a claimed delivery, for all its attempts, and what is worth knowing later; it is written
    /// in the order of the calls, and completes when that is safe.
    fn enriched(
        &self,
        delivery: DeliveryId,
        enriched: &EnrichedValues,
        learnt: LearntFacts,
    ) -> BoxFuture<'static, ()>;

    /// Returns the JSON kept last for an object that an enrichment has asked about (`kind:id`).
    fn known<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Option<String>>;

    /// Returns the claimed deliveries whose message the broker has waited for too long: each should end with
    /// [`Outcome::Returned`](crate::Outcome::Returned) unless an attempt is under way. What is not claimed, the journal ends by itself. Durable
    /// stores have none.
    fn overdue(&self, action: &str) -> Vec<DeliveryId>;

    /// Returns the claims that the operator has discarded, held or moved meanwhile: each should end with
    /// [`Outcome::Returned`](crate::Outcome::Returned) before another attempt. Only then does what was asked take effect and does the lane go on.
    /// An attempt under way ends first; if it succeeded, that is recorded.
    fn withdrawn(&self, action: &str) -> Vec<DeliveryId>;

    /// The action has no delivery loop any more. Where the broker keeps the messages, everything of the action that is
    /// not claimed goes back to it.
    fn retired(&self, action: &str);

    /// Whether it can be written, as it changes. While it has failed nothing is reserved or claimed, and no
    /// attempt should begin.
    fn state(&self) -> watch::Receiver<JournalState>;

    /// The actions that are paused, as that changes. No attempt of theirs begins and nothing of theirs ages; what is
    /// appended for them waits.
    fn paused(&self) -> watch::Receiver<PausedActions>;

    /// Returns the term of claimed deliveries, where another daemon may take them over; an attempt looks at it before it
    /// does anything.
    fn term(&self, deliveries: &[DeliveryId]) -> Option<Arc<dyn AttemptTerm>>;

    /// The number of running daemons that make its deliveries, as it changes: each has its part of the rate of an action. At
    /// least 1, and always 1 of a journal of one daemon.
    fn daemons(&self) -> watch::Receiver<usize>;

    /// No outcome will come any more: completes when everything it was told is safe. Receipts that are still
    /// open then end as [`Settle::Leave`](crate::Settle::Leave).
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The time for which claimed deliveries are this daemon's alone.
pub trait AttemptTerm: Send + Sync + fmt::Debug {
    /// Returns the rest of it, by a clock that counts while the machine is suspended; zero when it has ended.
    fn left(&self) -> Duration;
}

/// Facts that one delivery found and others use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearntFacts {
    /// Facts about objects that are useful once the objects are gone: `kind:id` and JSON.
    pub objects: Vec<(String, String)>,
    /// Other facts about resources that were seen; a shared journal keeps none.
    pub changes: Vec<RowChange>,
}

/// Paused actions, and since when each is.
pub type PausedActions = BTreeMap<String, SystemTime>;
