//! Between the broker's acknowledgement and the target's answer stands the journal.
//!
//! The way of an entry: [`reserve`](Journal::reserve) a place *before* anything is read from the
//! broker, [`append`](Journal::append) what a rule wants and get a [`Receipt`], hand the deliveries
//! out to the delivery loop by [`claim`](Journal::claim), take each [`Outcome`] back. When everything
//! the message asked for is safe the receipt completes, and the listener settles the message.
//!
//! What *safe* means is the store's choice and the only difference between stores. With
//! [`memory`] (`memory://`) it is the last outcome; with a durable store it is the commit.
//!
//! **Order**: per action and resource key, in the order of the appends. Only the oldest delivery of a
//! key is ever claimed; its outcome makes the next one claimable.

pub mod memory;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use osnl_transport::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::action::Event;
use crate::received::Received;

/// A store of entries and their deliveries. See the [module](self).
pub trait Journal: Send + Sync {
    /// Waits until at least one entry could be kept, and holds up to `at_most` places.
    fn reserve(&self, at_most: usize) -> BoxFuture<'_, Permit>;

    /// Keeps an entry in one of the permit's places. The order of the calls is the order of delivery.
    fn append(&self, permit: &mut Permit, entry: Entry) -> Receipt;

    /// Keeps a message that cannot be read, with its bytes, and says so once in the log.
    fn set_aside(&self, received: Received, reason: String) -> Receipt;

    /// Claims up to `at_most` deliveries of this action, oldest first; waits until there is one.
    /// Cancel-safe: a claim that was not answered claims nothing.
    fn claim<'a>(&'a self, action: &'a str, at_most: usize) -> BoxFuture<'a, Vec<Claimed>>;

    /// Takes note that an attempt on an answer was used up, so that a later claim knows.
    fn attempted(&self, delivery: DeliveryId, attempts: u32);

    /// Ends a claimed delivery.
    fn outcome(&self, delivery: DeliveryId, outcome: Outcome);

    /// Claimed deliveries whose message the broker has waited for too long: each should end with
    /// [`Outcome::Returned`] unless an attempt is under way. Durable stores have none.
    fn overdue(&self, action: &str) -> Vec<DeliveryId>;

    /// How many deliveries of an action may wait for a retry before far ones are returned;
    /// `None` where waiting costs the broker nothing.
    fn max_waiting(&self) -> Option<usize>;

    /// No outcome will come any more: receipts that are still open end as [`Settle::Leave`].
    fn close(&self);
}

/// Places that were reserved; unused ones go back when it is dropped.
#[derive(Debug, Default)]
pub struct Permit {
    places: Option<OwnedSemaphorePermit>,
}

impl Permit {
    pub(crate) fn new(places: OwnedSemaphorePermit) -> Self {
        Self { places: Some(places) }
    }

    /// How many entries it has places for.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Adds the places of another permit of the same journal.
    pub fn merge(&mut self, other: Self) {
        match (&mut self.places, other.places) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (mine @ None, theirs) => *mine = theirs,
            (Some(_), None) => {}
        }
    }

    pub(crate) fn take_one(&mut self) -> Option<OwnedSemaphorePermit> {
        self.places.as_mut().and_then(|places| places.split(1))
    }
}

/// What is appended: a message and what is to be done about it.
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
}

/// A delivery's number; a later append has a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub u64);

/// A delivery handed to the delivery loop.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Its number.
    pub id: DeliveryId,
    /// The resource key, for order; `None` is a key of its own.
    pub key: Option<String>,
    /// What to deliver.
    pub event: Event,
    /// Attempts on answers used up before this claim.
    pub attempts: u32,
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The effect is there.
    Delivered,
    /// The event asked for nothing.
    NothingToDo,
    /// Given up, and why.
    Dead(String),
    /// The message goes back to the broker, and with it everything of the same key behind it.
    Returned,
}

/// What the listener shall do with the message.
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
