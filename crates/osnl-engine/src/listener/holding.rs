//! An endpoint for tests that holds each message open.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use osnl_model::Head;
use osnl_transport::BoxFuture;
use tokio::sync::oneshot;

use crate::intake::Intake;
use osnl_core::metrics::QueuedMessages;
use osnl_core::received::ReceivedMessage;
use osnl_journal::{Obstacle, Receipt, Settle};

/// An intake that settles a message when a test says so.
#[derive(Default)]
pub(super) struct HoldingEndpoint {
    pub(super) open: Mutex<Vec<oneshot::Sender<Settle>>>,
    /// The messages that may be open; `None` for any number.
    pub(super) places: Option<usize>,
    pub(super) deliveries: AtomicUsize,
    /// The milliseconds that a message takes.
    pub(super) takes: AtomicU64,
    /// Whether a rate delays the end of the messages.
    pub(super) is_paced: AtomicBool,
    /// The latest counts of the broker.
    pub(super) queued: Mutex<Option<QueuedMessages>>,
}

impl Intake for HoldingEndpoint {
    fn reserve(&self, at_most: usize) -> BoxFuture<'_, usize> {
        Box::pin(async move {
            let free = self.places.map_or(at_most, |places| places - self.open.lock().unwrap().len());
            if free == 0 { std::future::pending().await } else { free.min(at_most) }
        })
    }

    fn keep(&self, _: usize) {}

    fn obstacle(&self) -> Option<Obstacle> {
        None
    }

    fn is_paced(&self) -> bool {
        self.is_paced.load(Ordering::Relaxed)
    }

    fn queued(&self, _: &str, messages: QueuedMessages) {
        *self.queued.lock().unwrap() = Some(messages);
    }

    fn wants(&self, _: &Head<'_>) -> bool {
        true
    }

    fn notify(&self, _: ReceivedMessage) -> Receipt {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(self.takes.load(Ordering::Relaxed)) {
            std::hint::spin_loop();
        }
        let (sender, receipt) = Receipt::open();
        self.open.lock().unwrap().push(sender);
        receipt.with_deliveries(self.deliveries.load(Ordering::Relaxed))
    }

    fn unreadable(&self, _: ReceivedMessage, _: String) -> Receipt {
        Receipt::complete(Settle::Acknowledge)
    }
}
