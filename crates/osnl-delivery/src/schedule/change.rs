use std::time::Duration;

use tokio::time::Instant;

use super::{Consequence, Schedule};
use crate::DeliverySettings;
use crate::limits::Hold;

impl Schedule {
    /// Applies other settings. Used attempts stay used, and deliveries that wait for a retry are due. A held target is
    /// probed at once and its hold starts anew. No delivery is given up before that probe has ended.
    pub(crate) fn change(&mut self, settings: &DeliverySettings, now: Instant, out: &mut Vec<Consequence>) {
        // The hold of a host starts anew too, and forgets how long it has kept deliveries waiting.
        self.save_ages(Duration::ZERO, now, out);
        self.settings += 1;
        self.policy = settings.policy;
        self.when_exhausted = settings.when_exhausted;
        self.concurrency = settings.concurrency;
        self.limits = settings.limits;
        self.batch = settings.batch;
        self.pace.change(settings.rate);
        self.breaker.change(settings.concurrency, now);
        self.hosts.change(settings.hosts, settings.concurrency, now);
        self.outages.change(now);
        self.exhausted.clear();
        if self.hold.is_some() {
            self.hold = Some(Hold::begin(now));
            self.probe_owed = true;
        }
        out.push(Consequence::DueNow);
    }
}
