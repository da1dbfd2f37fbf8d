//! The bytes of message bodies that one connection has brought and that are not settled: those that the client library has
//! buffered, and those that are in work.
//!
//! `prefetch` bounds messages and not bytes, and the client library buffers whatever the broker pushes. So the
//! [socket](super::socket) counts a body as soon as its content header has come. While there are more than [`MOST`] bytes
//! it reads nothing, as long as one message is there whole: settling that makes room. The broker's own flow control keeps
//! the rest. The bound is exceeded by the message whose header came last, and by what one read brings; one that is larger than the bound is read alone.
//!
//! A body leaves when its message is settled or dropped. Once nothing new is wanted of the connection, it is read
//! whatever it brings: the broker's answers come behind what it has pushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// Bytes of bodies beyond which no more are read.
pub(super) const MOST: usize = 64 * 1024 * 1024;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct InHand {
    /// Only a consumer's connection brings messages that somebody settles.
    is_counting: AtomicBool,
    bytes: AtomicUsize,
    /// Messages that have come whole.
    whole: AtomicUsize,
    reader: AtomicWaker,
}

/// One message's part. Dropped with it.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<InHand>,
    bytes: usize,
}

impl InHand {
    /// From now on each message that comes is settled by somebody.
    pub(super) fn begin(&self) {
        self.is_counting.store(true, Ordering::SeqCst);
    }

    /// Nothing more is wanted: what comes is read.
    pub(super) fn end(&self) {
        self.is_counting.store(false, Ordering::SeqCst);
        self.reader.wake();
    }

    /// A content header has come, of a body of this size.
    pub(super) fn comes(&self, bytes: usize) {
        if self.is_counting.load(Ordering::SeqCst) {
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
        }
    }

    /// A body has come to its end.
    pub(super) fn is_complete(&self) {
        if self.is_counting.load(Ordering::SeqCst) {
            self.whole.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// What a message takes with it.
    pub(super) fn share(self: &Arc<Self>, bytes: usize) -> Share {
        Share { of: Arc::clone(self), bytes }
    }

    /// Whether nothing is to be read for now.
    pub(super) fn is_full(&self) -> bool {
        self.is_counting.load(Ordering::SeqCst)
            && self.whole.load(Ordering::SeqCst) > 0
            && self.bytes.load(Ordering::SeqCst) > MOST
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

impl Drop for Share {
    fn drop(&mut self) {
        subtract(&self.of.bytes, self.bytes);
        subtract(&self.of.whole, 1);
        self.of.reader.wake();
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

    fn has_room(in_hand: &InHand) -> bool {
        in_hand.poll_room(&Context::from_waker(Waker::noop())).is_ready()
    }

    /// As one message comes whole.
    fn comes(in_hand: &Arc<InHand>, bytes: usize) -> Share {
        in_hand.comes(bytes);
        in_hand.is_complete();
        in_hand.share(bytes)
    }

    #[test]
    fn reading_stops_beyond_the_bound_and_goes_on_when_something_is_settled() {
        let in_hand = Arc::new(InHand::default());
        in_hand.begin();
        let mut shares: Vec<Share> = Vec::new();
        while has_room(&in_hand) {
            shares.push(comes(&in_hand, 1 << 20));
        }
        assert_eq!(shares.len(), 65, "one more than fits");
        shares.pop();
        assert!(has_room(&in_hand));
        // One that is larger than all waits until it is alone, and is then read to its end.
        in_hand.comes(2 * MOST);
        assert!(!has_room(&in_hand));
        drop(shares);
        assert!(has_room(&in_hand));
        in_hand.is_complete();
        let large = in_hand.share(2 * MOST);
        assert!(!has_room(&in_hand));
        drop(large);
        assert!(has_room(&in_hand));
    }

    #[test]
    fn only_what_somebody_settles_is_counted() {
        let in_hand = Arc::new(InHand::default());
        in_hand.comes(2 * MOST);
        assert!(has_room(&in_hand), "not begun");
        in_hand.begin();
        let share = comes(&in_hand, 2 * MOST);
        assert!(!has_room(&in_hand));
        in_hand.end();
        assert!(has_room(&in_hand), "nothing more is wanted");
        drop(share);
        assert!(has_room(&in_hand));
    }
}
