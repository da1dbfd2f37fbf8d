//! Other settings while deliveries are in work: nothing is forgotten, and nothing waits for what is mended.

use tokio::time::Instant;

use super::{Consequence, Schedule};
use crate::DeliverySettings;
use crate::limits::Hold;

impl Schedule {
    /// Goes on with these settings. What has been used up stays used up; what waits for a retry is due. A held target is
    /// probed at once, its hold begins anew, and nothing is given up over it before that probe has ended.
    pub(crate) fn change(&mut self, settings: &DeliverySettings, now: Instant, out: &mut Vec<Consequence>) {
        self.settings += 1;
        self.policy = settings.policy;
        self.when_exhausted = settings.when_exhausted;
        self.concurrency = settings.concurrency;
        self.limits = settings.limits;
        self.batch = settings.batch;
        self.rate = settings.rate;
        self.keep_pace();
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
