//! The bytes of message bodies that one connection has brought and that are not settled: those that the client library has
//! buffered, and those that are in work.
//!
//! `prefetch` bounds messages and not bytes, and the client library buffers whatever the broker pushes. So the
//! [socket](super::socket) counts a body as soon as its content header has come. While there are more than
//! [`BodyBounds::in_hand`] bytes it reads nothing, as long as one message is there whole: settling that makes room. The
//! broker's own flow control keeps the rest, and the client library gets heartbeats of ours meanwhile: to it, a broker that
//! is not read is silent.
//!
//! The prefetch of a running consumer is not lowered instead: with RabbitMQ, `basic.qos` counts for consumers that begin
//! later, so it would take a new consumer, which gives back all that is unsettled, and quorum queues count that against
//! their delivery limit.
//!
//! A body above [`BodyBounds::whole`] is never assembled: see [`cut`](super::cut). So the memory of a connection is at
//! most `in_hand`, one body of `whole`, and the client library's two buffers of 4 MiB.
//!
//! A tap has no settlements: a body leaves when the last copy of it is dropped. Its questions are answered on the same
//! connection, behind what was pushed, and the code that would make room waits for the answer. So meanwhile everything is
//! read, and what exceeds the bound is cut: to at most `prefetch` times [`BodyBounds::HEAD`].
//!
//! A body leaves when its message is settled or dropped. Once nothing new is wanted of the connection, it is read
//! whatever it brings, since the broker's answers come behind what it has pushed, and every body is cut.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::bodies::{BodyBounds, Cut};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct BodyFlow {
    /// Only the connection of a consumer or a tap brings messages.
    is_counting: AtomicBool,
    /// Nothing more is wanted.
    is_over: AtomicBool,
    most: AtomicUsize,
    /// Bytes beyond which a body is cut.
    whole: AtomicUsize,
    bytes: AtomicUsize,
    /// Messages that have come whole.
    messages: AtomicUsize,
    /// Answers of the broker that are waited for.
    answers: AtomicUsize,
    /// The reader is to hand a heartbeat over.
    beat: AtomicBool,
    /// By channel and delivery tag, until the message is taken. Nearly always there is none.
    cuts: Mutex<BTreeMap<(u16, u64), Cut>>,
    reader: AtomicWaker,
}

/// One message's part. Dropped with it.
#[derive(Debug)]
pub(crate) struct BodyShare {
    of: Arc<BodyFlow>,
    bytes: usize,
}

/// An answer that is waited for: while it lives, everything is read.
#[derive(Debug)]
pub(super) struct Question(Arc<BodyFlow>);

impl Default for BodyFlow {
    fn default() -> Self {
        Self {
            is_counting: AtomicBool::default(),
            is_over: AtomicBool::default(),
            most: AtomicUsize::new(usize::MAX),
            whole: AtomicUsize::new(usize::MAX),
            bytes: AtomicUsize::default(),
            messages: AtomicUsize::default(),
            answers: AtomicUsize::default(),
            beat: AtomicBool::default(),
            cuts: Mutex::default(),
            reader: AtomicWaker::new(),
        }
    }
}

impl BodyFlow {
    /// From now on messages come and are counted, within these bounds.
    pub(crate) fn begin(&self, bounds: BodyBounds) {
        self.most.store(bounds.in_hand, Ordering::SeqCst);
        self.whole.store(bounds.whole, Ordering::SeqCst);
        self.is_counting.store(true, Ordering::SeqCst);
    }

    /// Nothing more is wanted: what comes is read, and no body is kept.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.whole.store(0, Ordering::SeqCst);
        self.is_counting.store(false, Ordering::SeqCst);
        self.reader.wake();
    }

    /// Whether what is cut now is not to be handed over: it goes back to the broker with the connection.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Whether a body of this size is cut.
    pub(super) fn cuts(&self, bytes: u64) -> bool {
        let most = match self.answers.load(Ordering::SeqCst) > 0 && self.exceeds() {
            true => BodyBounds::HEAD,
            false => self.whole.load(Ordering::SeqCst),
        };
        bytes > most as u64
    }

    /// The body of the message with this tag was cut; it follows now.
    pub(super) fn was_cut(&self, channel: u16, tag: u64, cut: Cut) {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).insert((channel, tag), cut);
    }

    /// Takes the record of the cut body of the message with this tag.
    pub(super) fn cut(&self, channel: u16, tag: u64) -> Option<Cut> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).remove(&(channel, tag))
    }

    /// A content header has come, of a body of this size.
    pub(crate) fn comes(&self, bytes: usize) {
        if self.is_counting.load(Ordering::SeqCst) {
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
        }
    }

    /// A body has come to its end.
    pub(crate) fn is_complete(&self) {
        if self.is_counting.load(Ordering::SeqCst) {
            self.messages.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whole messages have come, with so many bytes together.
    #[cfg(feature = "kafka")]
    pub(crate) fn has_brought(&self, messages: usize, bytes: usize) {
        if self.is_counting.load(Ordering::SeqCst) {
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
            self.messages.fetch_add(messages, Ordering::SeqCst);
        }
    }

    /// Makes the share of the bytes in hand that a message keeps.
    pub(crate) fn share(self: &Arc<Self>, bytes: usize) -> BodyShare {
        BodyShare { of: Arc::clone(self), bytes }
    }

    /// Begins to wait for an answer of the broker.
    pub(super) fn asks(self: &Arc<Self>) -> Question {
        self.answers.fetch_add(1, Ordering::SeqCst);
        self.reader.wake();
        Question(Arc::clone(self))
    }

    /// Whether nothing is to be read for now.
    pub(crate) fn is_full(&self) -> bool {
        self.exceeds() && self.answers.load(Ordering::SeqCst) == 0
    }

    /// Whether more than the bound is in hand, and a message is there that can leave.
    fn exceeds(&self) -> bool {
        self.is_counting.load(Ordering::SeqCst)
            && self.messages.load(Ordering::SeqCst) > 0
            && self.bytes.load(Ordering::SeqCst) > self.most.load(Ordering::SeqCst)
    }

    /// While nothing is read, the client library is to see a heartbeat.
    pub(super) fn beat(&self) {
        self.beat.store(true, Ordering::SeqCst);
        self.reader.wake();
    }

    /// Whether a heartbeat is to be handed over now.
    pub(super) fn takes_beat(&self) -> bool {
        self.beat.swap(false, Ordering::SeqCst)
    }

    /// Ready when something may be read.
    pub(super) fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        if !self.is_full() {
            return Poll::Ready(());
        }
        self.reader.register(context.waker());
        // What left in between has woken nobody.
        if self.is_full() { Poll::Pending } else { Poll::Ready(()) }
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

/// Not below zero: what came before the count began leaves too.
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

    /// As one message comes whole.
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
            shares.push(comes(&flow, 1 << 20));
        }
        assert_eq!(shares.len(), 65, "one more than fits");
        shares.pop();
        assert!(has_room(&flow));
        // One that is larger than all waits until it is alone, and is then read to its end.
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
