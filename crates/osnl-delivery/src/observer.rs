use osnl_journal::{ClaimedDelivery, DeliveryId, End, Outcome};

use super::DeliveryLoop;

/// A part that must know the outcome of each claimed delivery, such as the log of the `k2hr3_osnl` drop-in.
pub trait DeliveryObserver: Send + Sync {
    fn claimed(&self, claimed: &ClaimedDelivery);

    fn retried(&self, delivery: DeliveryId);

    fn ended(&self, delivery: DeliveryId, outcome: &Outcome);
}

impl DeliveryLoop {
    /// Ends a claim with its outcome, for the observer and the journal. Every outcome of the loop passes here.
    pub(super) fn end_claim(&self, delivery: DeliveryId, end: End) {
        if let Some(observer) = &self.observer {
            observer.ended(delivery, &end.outcome);
        }
        self.journal.end(delivery, end);
    }
}
