//! Other settings while deliveries are in work: nothing is forgotten, and nothing waits for what is mended.

use tokio::time::Instant;

use super::Schedule;
use crate::delivery::DeliverySettings;
use crate::journal::DeliveryId;

impl Schedule {
    /// Goes on with these settings. What has been used up stays used up; a held target is probed at once, and
    /// deliveries that wait for their next attempt are ready, but for those that are only to leave.
    pub(in crate::delivery) fn change(&mut self, settings: &DeliverySettings, now: Instant) {
        self.policy = settings.policy;
        self.when_exhausted = settings.when_exhausted;
        self.limits = settings.limits;
        self.batch = settings.batch;
        self.pace.change(settings.rate);
        self.breaker.change(settings.concurrency, now);
        for (due, id) in std::mem::take(&mut self.waiting) {
            match self.items.get_mut(&id) {
                Some(item) if !item.exhausted => {
                    item.holds = 0;
                    item.ready_since = now;
                    self.ready.insert(id);
                }
                Some(_) => drop(self.waiting.insert((due, id))),
                None => {}
            }
        }
    }

    /// Lets go of everything that is not under way, in its order.
    pub(in crate::delivery) fn release_all(&mut self) -> Vec<DeliveryId> {
        let mut idle: Vec<_> =
            self.items.keys().filter(|id| !self.under_way.contains_key(id)).copied().collect();
        idle.sort_unstable();
        idle.iter().for_each(|id| self.forget(*id));
        idle
    }
}
