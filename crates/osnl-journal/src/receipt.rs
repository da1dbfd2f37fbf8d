//! Receipts: they tell the listener that a message may be settled.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

/// The listener's next step for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Everything it asked for is safe.
    Acknowledge,
    /// The broker shall deliver it again.
    Requeue,
    /// Neither: it stays unsettled, and goes back when the connection ends.
    Leave,
    /// Neither, and nothing more of this subscription is kept: the listener ends it, which gives the message back, and
    /// subscribes again, so that the broker chooses who reads.
    Resubscribe,
}

/// Completes when the message may be settled.
#[derive(Debug)]
pub struct Receipt {
    settled: oneshot::Receiver<Settle>,
    deliveries: usize,
}

impl Receipt {
    /// A receipt and what completes it. Dropping the sender completes it as [`Settle::Leave`].
    #[must_use]
    pub fn open() -> (oneshot::Sender<Settle>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self { settled: receiver, deliveries: 0 })
    }

    /// The same, of a message with so many deliveries.
    #[must_use]
    pub fn with_deliveries(self, deliveries: usize) -> Self {
        Self { deliveries, ..self }
    }

    /// Returns the number of deliveries that the message has: memory that it takes until it may be settled.
    #[must_use]
    pub fn deliveries(&self) -> usize {
        self.deliveries
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
        Pin::new(&mut self.settled).poll(context).map(|settle| settle.unwrap_or(Settle::Leave))
    }
}
