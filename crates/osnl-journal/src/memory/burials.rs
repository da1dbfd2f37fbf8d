//! Dead letters that wait for the broker's confirm of a dead letter queue.
//!
//! Until then a given-up delivery keeps its place in its lane, and its message stays unacknowledged. A full
//! or missing queue delays everything behind it; nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use osnl_core::received::ReceivedMessage;
use osnl_model::BodyDigest;
use osnl_transport::QueuedMessage;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::dead::log_dead_letter;
use super::letters::LetterVisit;
use super::state::EntryItems;
use super::{Awaited, MemoryJournal, MemoryState};
use crate::dead_letters::{self, GivenUp, LetterPart, LetterWait, WaitingLetter, bytes_of};
use crate::{DeliveryId, End, Entry, Outcome, Receipt, Settle};

/// The most dead letters of one listener that are handed out together.
const TOGETHER: usize = 100;
/// The most bytes of their bodies, unless one alone has more: a group whose connection breaks is published again, and a
/// small one leaves few copies.
const TOGETHER_BYTES: usize = 1 << 20;
/// The time that the end of a daemon waits for the broker to confirm the last ones.
const LAST: Duration = Duration::from_secs(5);

/// A letter that is to be published to a dead letter queue.
#[derive(Clone, Debug)]
pub struct Burial {
    /// The number by which its confirm is reported.
    pub ticket: u64,
    pub listener: Arc<str>,
    pub message: QueuedMessage,
}

/// A letter without a confirm, and what ends with it.
#[derive(Debug)]
pub(super) struct PendingBurial {
    burial: Burial,
    /// The part from which the letter's body is made when the letter is handed out; `None` if the letter has its body.
    part: Option<LetterPart>,
    then: AfterBurial,
}

impl PendingBurial {
    fn bytes(&self) -> usize {
        let message = &self.burial.message;
        match self.part {
            Some(_) => usize::try_from(bytes_of(message)).unwrap_or(usize::MAX),
            None => message.body.len(),
        }
    }

    fn handed_out(&self) -> Burial {
        let mut burial = self.burial.clone();
        if let Some(part) = &self.part {
            burial.message.body = part.body();
        }
        burial
    }
}

/// The part of the journal that waits for the confirm of a letter.
#[derive(Debug)]
pub(super) enum AfterBurial {
    /// The delivery ends. A letter that waits is noted, and holds its resource.
    Delivery(DeliveryId, Ending, Option<Box<WaitingLetter>>),
    /// A delivery of this entry was a dead letter from the start, or the copy of this letter.
    Entry(u64, Option<u64>),
    Receipt(oneshot::Sender<Settle>, BodyDigest),
}

/// The end of a delivery whose letter is in the queue.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    End(End),
    /// The letter is made into a delivery later.
    Left,
}

/// The work for the dead letter queue of one listener.
#[derive(Clone, Debug, Default)]
pub struct QueueWork {
    /// Letters to put into the queue, in this order.
    pub burials: Vec<Burial>,
    /// The changes and the reading that the queue needs then; `None` if it needs none.
    pub visit: Option<LetterVisit>,
}

impl MemoryJournal {
    /// Waits until dead letters are to be put into the queue of a listener, or the queue is to be
    /// [visited](Self::visited). Returns the oldest letters: at most 100, and at most 1 MiB unless one alone has more.
    /// Each is returned again until it is [buried](Self::buried). Cancel-safe.
    pub async fn queue_work(&self, listener: &str) -> QueueWork {
        let to_bury = self.lock().to_bury.clone();
        loop {
            let another = to_bury.notified();
            if let Some(work) = self.queue_work_now(listener) {
                return work;
            }
            another.await;
        }
    }

    fn queue_work_now(&self, listener: &str) -> Option<QueueWork> {
        let mut state = self.lock();
        self.make_letters(&mut state);
        let visit = self.visits(&mut state).remove(listener);
        let mut bytes = 0;
        let fits = |pending: &&PendingBurial| {
            let is_first = bytes == 0;
            bytes += pending.bytes().max(1);
            is_first || bytes <= TOGETHER_BYTES
        };
        let burials = state.burials.iter().filter(|pending| *pending.burial.listener == *listener);
        let burials: Vec<Burial> =
            burials.take(TOGETHER).take_while(fits).map(PendingBurial::handed_out).collect();
        let has_work = !burials.is_empty() || visit.is_some();
        has_work.then_some(QueueWork { burials, visit })
    }

    pub fn buried(&self, burials: &[Burial]) {
        let mut state = self.lock();
        for Burial { ticket, .. } in burials {
            let at = state.burials.iter().position(|pending| pending.burial.ticket == *ticket);
            let Some(PendingBurial { then, .. }) = at.and_then(|at| state.burials.remove(at)) else {
                continue;
            };
            match then {
                AfterBurial::Delivery(delivery, ending, letter) => {
                    self.keep_letter(&mut state, delivery, ending, letter);
                }
                AfterBurial::Entry(entry, letter) => self.settle_begun_dead(&mut state, entry, letter),
                // If the connection is gone, the broker redelivers the message, which is kept a second time.
                AfterBurial::Receipt(receipt, _) => drop(receipt.send(Settle::Acknowledge)),
            }
        }
        drop(state);
        self.claimable.notify_waiters();
        self.has_buried.notify_waiters();
    }

    fn unburied(&self) -> usize {
        let state = self.lock();
        state.burials.len() + state.leaving_letters()
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

    /// Returns whether the delivery ends later: with the broker's confirm of its dead letter, or when the letter of
    /// which it is the copy has left its queue.
    pub(super) fn puts_off(&self, state: &mut MemoryState, delivery: DeliveryId, end: &End) -> bool {
        let Some(pending) = state.deliveries.get(&delivery) else { return false };
        if pending.awaits.is_some() {
            return true;
        }
        let (reason, open) = match (end.outcome.given_up(), state.entries.get(&pending.entry)) {
            (Some(reason), Some(open)) => (reason, open),
            (None, Some(_)) if end.outcome != Outcome::Returned => {
                return self.removes_letter(state, delivery, end);
            }
            (None | Some(_), _) => return false,
        };
        let listener = open.received.origin.listener.clone();
        if !state.has_queue(&listener) {
            return false;
        }
        let holds = matches!(end.outcome, Outcome::DeadHoldingKey(_)) && pending.lane_key().is_some();
        if let Some(former) = pending.letter.filter(|letter| holds && state.letters.would_hide_newer(*letter))
        {
            self.refuse(state, delivery, former, end);
            return true;
        }
        let wait = holds.then(|| (LetterWait::HoldKey, state.letters.place_for(pending.letter)));
        let part = state.letters.part_of(open, pending.resource, pending.letter);
        let on_failure = end.to.as_ref().filter(|to| !holds && open.hands_over(pending, to));
        let given_up = GivenUp {
            received: &open.received,
            part: part.as_ref(),
            head: open.notification.head(),
            rule: &pending.rule,
            action: &pending.action,
            key: pending.key.as_deref(),
            resource: pending.resource,
            subject: &pending.subject,
            used: pending.used,
            reason,
            guard: None,
            id: pending.letter,
            wait,
            on_failure: on_failure.map(|to| &*to.action),
        };
        let message = given_up.message();
        let letter = WaitingLetter::read(&message).map(Box::new);
        if let Some(pending) = state.deliveries.get_mut(&delivery) {
            pending.awaits = Some(Awaited::Ends);
        }
        let then = AfterBurial::Delivery(delivery, Ending::End(end.clone()), letter);
        self.put_in_line(state, listener, (message, part), then);
        true
    }

    pub(super) fn bury_from_the_start(&self, state: &mut MemoryState, number: u64, entry: &Entry) -> usize {
        let (received, notification) = (&entry.received, &entry.notification);
        let listener = &received.origin.listener;
        let (mut waiting, items) = (0, EntryItems::default());
        for new in &entry.deliveries {
            let Some(reason) = new.begin.dead_letter() else { continue };
            let delivery = (&*new.rule, &*new.action, new.resource);
            log_dead_letter(delivery, &received.origin, notification, reason);
            if !state.has_queue(listener) {
                self.bury(state, received.clone(), reason.to_owned());
                continue;
            }
            let part = state.letters.part_of_message(received, &items, new.resource, new.letter);
            let given_up = GivenUp::from_the_start(received, notification, new, reason);
            let message = GivenUp { part: part.as_ref(), ..given_up }.message();
            let then = AfterBurial::Entry(number, new.letter);
            self.put_in_line(state, listener.clone(), (message, part), then);
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
        self.put_in_line(&mut state, listener, (message, None), AfterBurial::Receipt(sender, digest));
        receipt
    }

    pub(super) fn put_in_line(
        &self,
        state: &mut MemoryState,
        listener: Arc<str>,
        (mut message, part): (QueuedMessage, Option<LetterPart>),
        then: AfterBurial,
    ) {
        let ticket = state.next();
        if part.is_some() {
            message.body.clear();
        }
        state.burials.push_back(PendingBurial { burial: Burial { ticket, listener, message }, part, then });
        state.to_bury.notify_waiters();
    }
}
