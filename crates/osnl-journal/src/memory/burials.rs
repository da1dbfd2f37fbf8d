//! Dead letters that wait for the broker's confirm of a dead letter queue.
//!
//! Until then a given-up delivery keeps its place in its lane, and its message stays unacknowledged. A full
//! or missing queue delays everything behind it; nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use osnl_core::received::ReceivedMessage;
use osnl_model::BodyDigest;
use osnl_transport::QueuedMessage;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::dead::log_dead_letter;
use super::{MemoryJournal, MemoryState};
use crate::dead_letters::{self, GivenUp};
use crate::{DeliveryId, End, Entry, Receipt, Settle};

/// The most dead letters of one listener that are handed out together.
const TOGETHER: usize = 100;
/// The most bytes of their bodies, unless one alone has more: a group whose connection breaks is published again, and a
/// small one leaves few copies.
const TOGETHER_BYTES: usize = 1 << 20;
/// The time that the end of a daemon waits for the broker to confirm the last ones.
const LAST: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct Burial {
    pub ticket: u64,
    pub listener: Arc<str>,
    pub message: QueuedMessage,
}

#[derive(Debug)]
pub(super) struct PendingBurial {
    burial: Burial,
    then: AfterBurial,
}

#[derive(Debug)]
enum AfterBurial {
    Delivery(DeliveryId, End),
    /// A delivery of this entry was a dead letter from the start.
    Entry(u64),
    Receipt(oneshot::Sender<Settle>, BodyDigest),
}

impl MemoryJournal {
    pub fn keep_dead_letters_of(&self, listener: Arc<str>) {
        self.with_queue.lock().unwrap_or_else(PoisonError::into_inner).insert(listener);
    }

    pub(super) fn has_queue(&self, listener: &str) -> bool {
        self.with_queue.lock().unwrap_or_else(PoisonError::into_inner).contains(listener)
    }

    /// Waits until dead letters are to be put into queues, and returns the oldest of each listener: at most 100, and at
    /// most 1 MiB unless one alone has more. Each is returned again until it is [buried](Self::buried). Cancel-safe.
    pub async fn burials(&self) -> BTreeMap<Arc<str>, Vec<Burial>> {
        loop {
            let another = self.to_bury.notified();
            let mut waiting: BTreeMap<Arc<str>, Vec<Burial>> = BTreeMap::new();
            let mut full = BTreeSet::new();
            for PendingBurial { burial, .. } in &self.lock().burials {
                if full.contains(&burial.listener) {
                    continue;
                }
                let of = waiting.entry(burial.listener.clone()).or_default();
                let bytes: usize = of.iter().map(|other| other.message.body.len()).sum();
                let fits = bytes + burial.message.body.len() <= TOGETHER_BYTES && of.len() < TOGETHER;
                if fits || of.is_empty() {
                    of.push(burial.clone());
                } else {
                    full.insert(burial.listener.clone());
                }
            }
            if !waiting.is_empty() {
                return waiting;
            }
            another.await;
        }
    }

    pub fn buried(&self, burials: &[Burial]) {
        let mut state = self.lock();
        for Burial { ticket, .. } in burials {
            let at = state.burials.iter().position(|pending| pending.burial.ticket == *ticket);
            let Some(PendingBurial { then, .. }) = at.and_then(|at| state.burials.remove(at)) else {
                continue;
            };
            match then {
                AfterBurial::Delivery(delivery, end) => self.finish_in(&mut state, delivery, &end, true),
                AfterBurial::Entry(entry) => state.settle_one(entry, None),
                // If the connection is gone, the broker redelivers the message, which is kept a second time.
                AfterBurial::Receipt(receipt, _) => drop(receipt.send(Settle::Acknowledge)),
            }
        }
        drop(state);
        self.claimable.notify_waiters();
        self.has_buried.notify_waiters();
    }

    fn unburied(&self) -> usize {
        self.lock().burials.len()
    }

    pub(super) async fn last_burials(&self) {
        if self.unburied() == 0 {
            return;
        }
        let confirmed = async {
            loop {
                let another = self.has_buried.notified();
                if self.unburied() == 0 {
                    return;
                }
                another.await;
            }
        };
        // Messages of unconfirmed dead letters return to the broker.
        let _ = timeout(LAST, confirmed).await;
    }

    pub(super) fn puts_off(&self, state: &mut MemoryState, delivery: DeliveryId, end: &End) -> bool {
        let Some(pending) = state.deliveries.get(&delivery) else { return false };
        if pending.is_given_up {
            return true;
        }
        let (Some(reason), Some(open)) = (end.outcome.given_up(), state.entries.get(&pending.entry)) else {
            return false;
        };
        let listener = open.received.origin.listener.clone();
        if !self.has_queue(&listener) {
            return false;
        }
        let given_up = GivenUp {
            received: &open.received,
            head: open.notification.head(),
            rule: &pending.rule,
            action: &pending.action,
            key: pending.key.as_deref(),
            resource: pending.resource,
            subject: &pending.subject,
            used: pending.used,
            reason,
        };
        let message = given_up.message();
        if let Some(pending) = state.deliveries.get_mut(&delivery) {
            pending.is_given_up = true;
        }
        self.put_in_line(state, listener, message, AfterBurial::Delivery(delivery, end.clone()));
        true
    }

    pub(super) fn bury_from_the_start(&self, state: &mut MemoryState, number: u64, entry: &Entry) -> usize {
        let (received, notification) = (&entry.received, &entry.notification);
        let listener = &received.origin.listener;
        let mut waiting = 0;
        for new in &entry.deliveries {
            let Some(reason) = new.begin.dead_letter() else { continue };
            log_dead_letter(&new.rule, &new.action, &received.origin, notification, reason);
            if !self.has_queue(listener) {
                self.bury(state, received.clone(), reason.to_owned());
                continue;
            }
            let message = GivenUp::from_the_start(received, notification, new, reason).message();
            self.put_in_line(state, listener.clone(), message, AfterBurial::Entry(number));
            waiting += 1;
        }
        waiting
    }

    /// Queues an unreadable message for burial. A redelivered copy replaces the first.
    pub(super) fn bury_unreadable(&self, received: &ReceivedMessage, reason: &str) -> Receipt {
        let mut state = self.lock();
        let (sender, receipt) = Receipt::open();
        let digest = received.digest();
        let waits = |pending: &&mut PendingBurial| {
            let same = matches!(&pending.then, AfterBurial::Receipt(first, of) if first.is_closed() && *of == digest);
            received.origin.redelivered && same
        };
        if let Some(pending) = state.burials.iter_mut().find(waits) {
            pending.then = AfterBurial::Receipt(sender, digest);
            return receipt;
        }
        let message = dead_letters::unreadable(received, reason);
        let listener = received.origin.listener.clone();
        self.put_in_line(&mut state, listener, message, AfterBurial::Receipt(sender, digest));
        receipt
    }

    fn put_in_line(
        &self,
        state: &mut MemoryState,
        listener: Arc<str>,
        message: QueuedMessage,
        then: AfterBurial,
    ) {
        let ticket = state.next();
        state.burials.push_back(PendingBurial { burial: Burial { ticket, listener, message }, then });
        self.to_bury.notify_waiters();
    }
}
