//! Counts the bytes of a connection's unsettled message bodies, buffered by the client library or in work.
//!
//! `prefetch` bounds messages and not bytes, and the client library buffers all that the broker pushes. So
//! the reader of the connection counts a body at its content header, and beyond [`BodyBounds::in_hand`] bytes
//! stops reading while a complete message can be settled. The broker's flow control holds back the rest.
//! Meanwhile osnl feeds heartbeats to the client library, which would take the pause for a silent broker.
//!
//! A lower prefetch is no alternative: `basic.qos` applies to later consumers only, and a new consumer would
//! return all unsettled messages, which quorum queues count against the delivery limit.
//!
//! A body above [`BodyBounds::whole`] is never assembled, so a connection needs at
//! most `in_hand`, one body of `whole`, and the client library's two buffers of 4 MiB.
//!
//! A tap has no settlements: a body's share ends when its last copy is dropped. The answers to a tap's questions
//! follow the pushed messages. So everything is read meanwhile, and bodies beyond the bound are cut, to at most
//! `prefetch` times [`BodyBounds::HEAD`].
//!
//! Once no message is wanted, all bodies are cut, since the broker's last answers follow the pushed messages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::bodies::{BodyBounds, Cut};

/// The count of one connection, which its reader and its consumer share.
#[derive(Debug)]
pub struct BodyFlow {
    /// The [`FlowPhase`].
    phase: AtomicU8,
    /// The bytes in hand beyond which nothing more is read.
    most: AtomicUsize,
    /// The longest body that is not cut, in bytes.
    whole: AtomicUsize,
    /// The bytes in hand.
    bytes: AtomicUsize,
    /// The complete messages in hand; without one, reading goes on, since nothing could be settled.
    messages: AtomicUsize,
    /// The awaited answers to questions, for which reading goes on beyond the bound.
    answers: AtomicUsize,
    /// The times at which the reader has stopped reading.
    pauses: AtomicUsize,
    /// Whether the reader must feed a heartbeat to the client library.
    beat: AtomicBool,
    /// Cut bodies by channel and delivery tag, until the message is taken. Nearly always empty.
    cuts: Mutex<BTreeMap<(u16, u64), Cut>>,
    /// Wakes the reader when there is room again.
    reader: AtomicWaker,
}

/// The part of a connection's life, which decides whether bodies count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlowPhase {
    /// Nothing is subscribed, so no body is counted.
    Before,
    Counting,
    /// No message is wanted any more: all bodies are cut, and none is handed over.
    Over,
}

/// The bytes of one body in hand, which are free again on drop.
#[derive(Debug)]
pub struct BodyShare {
    of: Arc<BodyFlow>,
    bytes: usize,
}

/// An awaited answer of the broker, until it is dropped.
#[derive(Debug)]
pub(crate) struct Question(Arc<BodyFlow>);

impl Default for BodyFlow {
    fn default() -> Self {
        Self {
            phase: AtomicU8::new(FlowPhase::Before as u8),
            most: AtomicUsize::new(usize::MAX),
            whole: AtomicUsize::new(usize::MAX),
            bytes: AtomicUsize::default(),
            messages: AtomicUsize::default(),
            answers: AtomicUsize::default(),
            pauses: AtomicUsize::default(),
            beat: AtomicBool::default(),
            cuts: Mutex::default(),
            reader: AtomicWaker::new(),
        }
    }
}

impl BodyFlow {
    /// Begins to count.
    pub fn begin(&self, bounds: BodyBounds) {
        self.most.store(bounds.in_hand, Ordering::SeqCst);
        self.whole.store(bounds.whole, Ordering::SeqCst);
        self.enter(FlowPhase::Counting);
    }

    pub fn end(&self) {
        // First, so that no body is handed over that is cut only because of the end.
        self.enter(FlowPhase::Over);
        self.whole.store(0, Ordering::SeqCst);
        self.reader.wake();
    }

    /// Returns whether cut messages must not be handed over, since the broker redelivers them.
    pub(crate) fn is_over(&self) -> bool {
        self.is_in(FlowPhase::Over)
    }

    fn enter(&self, phase: FlowPhase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    fn is_in(&self, phase: FlowPhase) -> bool {
        self.phase.load(Ordering::SeqCst) == phase as u8
    }

    pub(crate) fn cuts(&self, bytes: u64) -> bool {
        let most = match self.answers.load(Ordering::SeqCst) > 0 && self.exceeds() {
            true => BodyBounds::HEAD,
            false => self.whole.load(Ordering::SeqCst),
        };
        bytes > most as u64
    }

    pub(crate) fn was_cut(&self, channel: u16, tag: u64, cut: Cut) {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).insert((channel, tag), cut);
    }

    pub(crate) fn cut(&self, channel: u16, tag: u64) -> Option<Cut> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).remove(&(channel, tag))
    }

    pub fn comes(&self, bytes: usize) {
        if self.is_in(FlowPhase::Counting) {
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
        }
    }

    pub fn is_complete(&self) {
        if self.is_in(FlowPhase::Counting) {
            self.messages.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub fn has_brought(&self, messages: usize, bytes: usize) {
        if self.is_in(FlowPhase::Counting) {
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
            self.messages.fetch_add(messages, Ordering::SeqCst);
        }
    }

    /// Returns the share of a counted body.
    pub fn share(self: &Arc<Self>, bytes: usize) -> BodyShare {
        BodyShare { of: Arc::clone(self), bytes }
    }

    pub(crate) fn asks(self: &Arc<Self>) -> Question {
        self.answers.fetch_add(1, Ordering::SeqCst);
        self.reader.wake();
        Question(Arc::clone(self))
    }

    /// Returns the bytes of the bodies that have begun and have no share yet, and of the shares.
    pub(crate) fn in_hand(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.exceeds() && self.answers.load(Ordering::SeqCst) == 0
    }

    pub(crate) fn exceeds(&self) -> bool {
        self.is_in(FlowPhase::Counting)
            && self.messages.load(Ordering::SeqCst) > 0
            && self.in_hand() > self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn beat(&self) {
        self.beat.store(true, Ordering::SeqCst);
        self.reader.wake();
    }

    pub(crate) fn takes_beat(&self) -> bool {
        self.beat.swap(false, Ordering::SeqCst)
    }

    pub fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        if !self.is_full() {
            return Poll::Ready(());
        }
        self.reader.register(context.waker());
        // A share may have ended before the waker was registered, so the check is repeated.
        if !self.is_full() {
            return Poll::Ready(());
        }
        self.pauses.fetch_add(1, Ordering::SeqCst);
        Poll::Pending
    }

    /// Returns the number of times at which the reader stopped: an unchanged number means that it always read.
    pub(crate) fn pauses(&self) -> usize {
        self.pauses.load(Ordering::SeqCst)
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        subtract(&self.of.bytes, self.bytes);
        subtract(&self.of.messages, 1);
        self.of.reader.wake();
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.0.answers.fetch_sub(1, Ordering::SeqCst);
    }
}

fn subtract(from: &AtomicUsize, bytes: usize) {
    let _ = from.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(now.saturating_sub(bytes)));
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const MOST: usize = BodyBounds::DEFAULT.in_hand;

    fn has_room(flow: &BodyFlow) -> bool {
        flow.poll_room(&Context::from_waker(Waker::noop())).is_ready()
    }

    fn comes(flow: &Arc<BodyFlow>, bytes: usize) -> BodyShare {
        flow.comes(bytes);
        flow.is_complete();
        flow.share(bytes)
    }

    #[test]
    fn reading_stops_beyond_the_bound_and_goes_on_when_something_is_settled() {
        let flow = Arc::new(BodyFlow::default());
        flow.begin(BodyBounds::DEFAULT);
        let mut shares: Vec<BodyShare> = Vec::new();
        while has_room(&flow) {
            assert_eq!(flow.pauses(), 0);
            shares.push(comes(&flow, 1 << 20));
        }
        assert_eq!((shares.len(), flow.pauses()), (65, 1), "one more than fits");
        shares.pop();
        assert!(has_room(&flow));
        flow.comes(2 * MOST);
        assert!(!has_room(&flow));
        drop(shares);
        assert!(has_room(&flow));
        flow.is_complete();
        let large = flow.share(2 * MOST);
        assert!(!has_room(&flow));
        drop(large);
        assert!(has_room(&flow));
    }

    #[test]
    fn only_what_somebody_settles_is_counted() {
        let flow = Arc::new(BodyFlow::default());
        flow.comes(2 * MOST);
        assert!(has_room(&flow), "not begun");
        flow.begin(BodyBounds::DEFAULT);
        let share = comes(&flow, 2 * MOST);
        assert!(!has_room(&flow));
        flow.end();
        assert!(has_room(&flow), "nothing more is wanted");
        drop(share);
        assert!(has_room(&flow));
    }
}
