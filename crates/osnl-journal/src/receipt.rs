//! Receipts, by which the listener learns that a message may be settled.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

/// The listener's step with a message once the journal has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Everything that the message asked for is safe.
    Acknowledge,
    /// The message returns to its queue, and is delivered again.
    Requeue,
    /// The message stays unsettled, and the broker redelivers it after the connection ends.
    Leave,
}

/// The promise that a message may be settled: the only way from the journal back to the listener.
#[derive(Debug)]
pub struct Receipt {
    settled: oneshot::Receiver<Settle>,
    deliveries: usize,
}

impl Receipt {
    /// Returns a receipt and its sender, whose drop completes it as [`Settle::Leave`].
    #[must_use]
    pub fn open() -> (oneshot::Sender<Settle>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self { settled: receiver, deliveries: 0 })
    }

    #[must_use]
    pub fn with_deliveries(self, deliveries: usize) -> Self {
        Self { deliveries, ..self }
    }

    /// Returns the number of the message's deliveries, which take memory until the message may be settled.
    #[must_use]
    pub fn deliveries(&self) -> usize {
        self.deliveries
    }

    #[must_use]
    pub fn complete(settle: Settle) -> Self {
        let (sender, receipt) = Self::open();
        let _ = sender.send(settle);
        receipt
    }
}

impl Future for Receipt {
    type Output = Settle;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Settle> {
        Pin::new(&mut self.settled).poll(context).map(|settle| settle.unwrap_or(Settle::Leave))
    }
}
