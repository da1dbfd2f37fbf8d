//! Reports on deliveries beside the log of their loop.

use osnl_journal::{ClaimedDelivery, DeliveryId, End, Outcome};

use super::DeliveryLoop;

/// Observes the outcomes of deliveries without changing them. It must not wait.
pub trait DeliveryObserver: Send + Sync {
    /// A delivery is about to be attempted, or looked at again.
    fn claimed(&self, claimed: &ClaimedDelivery);

    /// It waits for a retry.
    fn retried(&self, delivery: DeliveryId);

    /// It has ended.
    fn ended(&self, delivery: DeliveryId, outcome: &Outcome);
}

impl DeliveryLoop {
    /// Ends a delivery in the journal, and reports that.
    pub(super) fn close(&self, delivery: DeliveryId, end: End) {
        if let Some(observer) = &self.observer {
            observer.ended(delivery, &end.outcome);
        }
        self.journal.end(delivery, end);
    }
}
