use osnl_journal::{ClaimedDelivery, DeliveryId, End, Outcome};

use super::DeliveryLoop;

/// A part that must know the outcome of each claimed delivery, such as the log of the `k2hr3_osnl` drop-in.
pub trait DeliveryObserver: Send + Sync {
    fn claimed(&self, claimed: &ClaimedDelivery);

    fn retried(&self, delivery: DeliveryId);

    fn ended(&self, delivery: DeliveryId, outcome: &Outcome);
}

impl DeliveryLoop {
    pub(super) fn close(&self, delivery: DeliveryId, end: End) {
        if let Some(observer) = &self.observer {
            observer.ended(delivery, &end.outcome);
        }
        self.journal.end(delivery, end);
    }
}
