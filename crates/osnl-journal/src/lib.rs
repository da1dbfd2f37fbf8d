//! Between the broker's acknowledgement and the target's answer stands the journal.
//!
//! The way of an entry: [`reserve`](Journal::reserve) a place *before* anything is read from the
//! broker, [`append`](Journal::append) what a rule wants and get a [`Receipt`], hand the deliveries
//! out to the delivery loop by [`claim`](Journal::claim), take each [`End`] back. When everything
//! the message asked for is safe the receipt completes, and the listener settles the message.
//!
//! The store chooses the meaning of *safe*, which is the only difference between stores. With [`memory`] (`memory://`)
//! it is the last outcome; with a durable store, [`sqlite`], it is the commit.
//!
//! **Order**: per action and resource key, in the order of the appends. Only the oldest delivery of a
//! key is ever claimed; its outcome makes the next one claimable. A delivery that waits for its retry waits in the
//! journal with its due time ([`retry_at`](Journal::retry_at)): claims hold what runs, and what can run now.

mod begin;
#[cfg(test)]
mod conformance;
pub mod files;
mod identity;
pub mod in_hand;
pub mod memory;
pub mod sqlite;
pub mod state_dir;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use osnl_core::event::{Enriched, Event};
use osnl_core::received::{Change, Received};
use osnl_transport::BoxFuture;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

pub use self::begin::Begin;

/// A store of entries and their deliveries. See the [module](self). No method has a default body: a journal around
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
    fn set_aside(&self, received: Received, reason: String) -> Receipt;

    /// Claims deliveries of this action that may be attempted now, as many of each kind as are given by its [limits](ClaimLimits). Waits until
    /// there is one. Cancel-safe: a claim that was not answered claims nothing.
    ///
    /// It may answer with none once when a claim has been [withdrawn](Journal::withdrawn).
    ///
    /// The journal never sleeps: the caller asks again at [`next_due`](Journal::next_due).
    fn claim<'a>(&'a self, action: &'a str, wanted: ClaimLimits) -> BoxFuture<'a, Vec<Claimed>>;

    /// Returns when the next retry of this action becomes due, if one waits in the journal and a claim is of use then.
    fn next_due(&self, action: &str) -> Option<Instant>;

    /// Takes note of an attempt that failed: what is used up by now, so that a later claim knows, and what the
    /// target said.
    fn attempted(&self, delivery: DeliveryId, used: Used, answer: &str);

    /// Ends a claim whose attempt failed and will be repeated. The delivery keeps its place in its lane, and nothing of
    /// its lane overtakes it. A durable store keeps the moment too; after a restart the retry is due after at most the
    /// pause that was meant.
    fn retry_at(&self, delivery: DeliveryId, retry: Retry);

    /// Makes everything of this action that waits for a retry due now: its settings have changed.
    fn due_now(&self, action: &str);

    /// Ends a claimed delivery. For a durable store, whose message is acknowledged already,
    /// [`Outcome::Returned`] means: back into the journal, claimable again.
    ///
    /// A delivery that is given up and handed to another action ends and is made anew in one step: both are there or
    /// neither. It is made once: none if its rule has had one of that action for this resource of the event already.
    fn end(&self, delivery: DeliveryId, end: End);

    /// Keeps what was asked for a claimed delivery, for all its attempts, and what is worth knowing later; it is written
    /// in the order of the calls, and completes when that is safe.
    fn enriched(&self, delivery: DeliveryId, enriched: &Enriched, learnt: Learnt) -> BoxFuture<'static, ()>;

    /// Returns the JSON kept last for an object that an enrichment has asked about (`kind:id`).
    fn known<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Option<String>>;

    /// Returns the claimed deliveries whose message the broker has waited for too long: each should end with
    /// [`Outcome::Returned`] unless an attempt is under way. What is not claimed, the journal ends by itself. Durable
    /// stores have none.
    fn overdue(&self, action: &str) -> Vec<DeliveryId>;

    /// Returns the claims that the operator has discarded, held or moved meanwhile: each should end with
    /// [`Outcome::Returned`] before another attempt. Only then does what was asked take effect and does the lane go on.
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
    fn paused(&self) -> watch::Receiver<Paused>;

    /// No outcome will come any more: completes when everything it was told is safe. Receipts that are still
    /// open then end as [`Settle::Leave`].
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Facts that one delivery found and others use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// Facts about objects that are useful once the objects are gone: `kind:id` and JSON.
    pub objects: Vec<(String, String)>,
    /// Other facts about resources that were seen.
    pub changes: Vec<Change>,
}

/// Paused actions, and since when each is.
pub type Paused = BTreeMap<String, SystemTime>;

/// Whether a journal can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalState {
    /// It can.
    Working,
    /// It has reached its size and nothing in it may leave: intake stops, deliveries go on.
    Full {
        /// The bound that is reached, and the remedy.
        reason: String,
        /// Since when.
        since: SystemTime,
    },
    /// It cannot: intake stops, no attempt begins, outcomes wait in memory. It is tried each second.
    Failed {
        /// The problem, and the remedy.
        reason: String,
        /// Since when.
        since: SystemTime,
    },
}

impl JournalState {
    /// Whether outcomes can be kept.
    #[must_use]
    pub fn takes_outcomes(&self) -> bool {
        match self {
            Self::Working | Self::Full { .. } => true,
            Self::Failed { .. } => false,
        }
    }

    /// Whether entries can be kept.
    #[must_use]
    pub fn takes_entries(&self) -> bool {
        match self {
            Self::Working => true,
            Self::Full { .. } | Self::Failed { .. } => false,
        }
    }
}

/// The reason that the journal can't keep an entry, or that its message can't end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The journal has reached its size.
    Full {
        /// As [`JournalState::Full`] has it.
        reason: String,
    },
    /// The journal cannot be written.
    Failed {
        /// As [`JournalState::Failed`] has it.
        reason: String,
    },
    /// An action has as many deliveries as it may.
    ActionFull {
        /// Its name.
        action: Arc<str>,
        /// Deliveries that are pending; further places may be promised.
        pending: u64,
        /// `max_pending`.
        most: u64,
    },
    /// Entries are in memory only, and their messages wait with the broker for their end.
    NoPlace {
        /// The number of open messages.
        open: usize,
        /// The number of deliveries that have ended so far: as long as it stays the same, there is no progress.
        ended: u64,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { reason } => write!(f, "the journal is full: {reason}"),
            Self::Failed { reason } => write!(f, "the journal cannot be written: {reason}"),
            Self::ActionFull { action, pending, most } => {
                let deliveries = if *pending == 1 { "delivery" } else { "deliveries" };
                write!(
                    f,
                    "action {action} has {pending} {deliveries} pending and no place for another (max_pending is {most})"
                )
            }
            Self::NoPlace { open, .. } => {
                let messages = if *open == 1 { "message waits" } else { "messages wait" };
                write!(f, "{open} {messages} for the end of their deliveries, and none of them ends")
            }
        }
    }
}

/// Places that were reserved; unused ones go back when it is dropped.
#[derive(Debug, Default)]
pub struct Permit {
    places: usize,
    from: Option<Arc<dyn Places>>,
}

/// The store that gives out a permit's places and takes them back.
pub(crate) trait Places: fmt::Debug + Send + Sync {
    fn give_back(&self, places: usize);
}

impl Permit {
    pub(crate) fn new(places: usize, from: Arc<dyn Places>) -> Self {
        Self { places, from: Some(from) }
    }

    /// Returns the number of entries that it has places for.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places
    }

    /// Adds the places of another permit of the same journal, for the same actions.
    pub fn merge(&mut self, mut other: Self) {
        if self.places == 0 {
            std::mem::swap(self, &mut other);
        } else {
            self.places += std::mem::take(&mut other.places);
        }
    }

    /// Gives back what is beyond so many.
    pub fn keep(&mut self, at_most: usize) {
        if let (surplus @ 1.., Some(from)) = (self.places.saturating_sub(at_most), &self.from) {
            self.places = at_most;
            from.give_back(surplus);
        }
    }

    pub(crate) fn take_one(&mut self) -> Option<Self> {
        self.places = self.places.checked_sub(1)?;
        Some(Self { places: 1, from: self.from.clone() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let (places @ 1.., Some(from)) = (self.places, &self.from) {
            from.give_back(places);
        }
    }
}

/// An entry to append: a message and its deliveries.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The message.
    pub received: Arc<Received>,
    /// The same, read.
    pub notification: Arc<osnl_model::Notification>,
    /// One delivery per rule and action, never empty.
    pub deliveries: Vec<NewDelivery>,
}

/// One rule's wish.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// The rule that fired.
    pub rule: Arc<str>,
    /// The action it wants.
    pub action: Arc<str>,
    /// Deliveries of one action with the same key keep their order; `None` is a key of its own.
    pub key: Option<String>,
    /// Which of the event's resources it is about, where a bulk request has several; `None` is the event.
    pub resource: Option<u32>,
    /// Whether it waits for those of its action and key that came before it.
    pub ordered: bool,
    /// Facts known from the beginning, beside the event: the reason why the action before it gave up.
    pub told: Option<Arc<Enriched>>,
    /// The state in which it begins.
    pub begin: Begin,
    /// The resource that it is about, for an operator.
    pub subject: Subject,
}

/// A resource by the words that an operator knows it by; empty where the message does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

impl NewDelivery {
    /// One about the whole event, to be delivered.
    pub fn new(rule: impl Into<Arc<str>>, action: impl Into<Arc<str>>, key: Option<String>) -> Self {
        Self {
            rule: rule.into(),
            action: action.into(),
            key,
            resource: None,
            ordered: true,
            told: None,
            begin: Begin::Live,
            subject: Subject::default(),
        }
    }
}

/// The action that gets a delivery when another action gives it up.
#[derive(Clone, Debug)]
pub struct Handover {
    /// The action.
    pub action: Arc<str>,
    /// As [`NewDelivery::ordered`].
    pub ordered: bool,
    /// As [`NewDelivery::told`].
    pub told: Option<Arc<Enriched>>,
}

impl Handover {
    /// To this action, in its order, and without a word.
    pub fn to(action: impl Into<Arc<str>>) -> Self {
        Self { action: action.into(), ordered: true, told: None }
    }
}

/// A delivery's number; a later append has a larger one. With `sqlite` it prints as `EVENT.N`, the event's
/// number and which of its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub u64);

/// The number of deliveries of each kind that a claim takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Those that have never failed, in order of arrival.
    pub oldest: usize,
    /// Those that have never failed, newest first. They are taken before the oldest.
    pub newest: usize,
    /// The newest must be newer than this one.
    pub newer_than: Option<DeliveryId>,
    /// Those whose retry is due, longest due first.
    pub due: usize,
}

impl ClaimLimits {
    /// So many in order of arrival, and as many whose retry is due.
    #[must_use]
    pub fn in_order(most: usize) -> Self {
        Self { oldest: most, due: most, ..Self::default() }
    }

    /// Whether a claim takes anything.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.oldest > 0 || self.newest > 0 || self.due > 0
    }
}

/// A delivery handed to the delivery loop.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Its number.
    pub id: DeliveryId,
    /// The resource key, for order; `None` is a key of its own.
    pub key: Option<String>,
    /// The event to deliver.
    pub event: Event,
    /// Attempts and time used before this claim.
    pub used: Used,
    /// Whether it was claimed as one of the newest.
    pub newest: bool,
}

/// The attempts and the time that a delivery has used of its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Attempts on answers.
    pub attempts: u32,
    /// Time since its first attempt, without the time in which its target was held.
    pub age: Duration,
    /// Attempts made that failed, of any class: above none, its resource has failed before.
    pub made: u32,
}

/// An attempt that failed and will be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// When it may be attempted again.
    pub due: Instant,
    /// Attempts and time used so far.
    pub used: Used,
    /// The target's answer.
    pub answer: String,
}

/// The end of a claim.
#[derive(Clone, Debug)]
pub struct End {
    /// The outcome.
    pub outcome: Outcome,
    /// The effect in words, for a listing; a store that lists nothing drops them.
    pub done: Option<String>,
    /// The kind of failure that it is given up over: dead letters of one kind are bounded together.
    pub cause: Option<String>,
    /// The action that does instead what is given up.
    pub to: Option<Handover>,
}

impl End {
    /// The same, and what was done.
    #[must_use]
    pub fn saying(self, done: impl Into<String>) -> Self {
        Self { done: Some(done.into()), ..self }
    }

    /// The same, and the kind of failure.
    #[must_use]
    pub fn caused_by(self, cause: Option<String>) -> Self {
        Self { cause, ..self }
    }

    /// The same, handed to another action if it is given up.
    #[must_use]
    pub fn handed_to(self, to: Handover) -> Self {
        Self { to: Some(to), ..self }
    }
}

impl From<Outcome> for End {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, done: None, cause: None, to: None }
    }
}

/// The outcome of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The effect is there.
    Delivered,
    /// The event asked for nothing.
    NothingToDo,
    /// Given up, and why.
    Dead(String),
    /// The same, and the later deliveries of its key wait until the operator retries or discards it. In `memory://`,
    /// where the operator can do neither, it is [`Outcome::Dead`].
    DeadHoldingKey(String),
    /// The message goes back to the broker, and with it everything of the same key behind it.
    Returned,
}

impl Outcome {
    /// Why it is given up, if it is.
    #[must_use]
    pub fn given_up(&self) -> Option<&str> {
        match self {
            Self::Dead(reason) | Self::DeadHoldingKey(reason) => Some(reason),
            Self::Delivered | Self::NothingToDo | Self::Returned => None,
        }
    }
}

/// The listener's next step for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Everything it asked for is safe.
    Acknowledge,
    /// The broker shall deliver it again.
    Requeue,
    /// Neither: it stays unsettled, and goes back when the connection ends.
    Leave,
}

/// Completes when the message may be settled.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Settle>);

impl Receipt {
    /// A receipt and what completes it. Dropping the sender completes it as [`Settle::Leave`].
    #[must_use]
    pub fn open() -> (oneshot::Sender<Settle>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// A receipt that is complete already.
    #[must_use]
    pub fn complete(settle: Settle) -> Self {
        let (sender, receipt) = Self::open();
        // The receiving half is right here.
        let _ = sender.send(settle);
        receipt
    }
}

impl Future for Receipt {
    type Output = Settle;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Settle> {
        Pin::new(&mut self.0).poll(context).map(|settle| settle.unwrap_or(Settle::Leave))
    }
}
