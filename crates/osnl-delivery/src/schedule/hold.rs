use std::time::Duration;

use osnl_journal::AttemptRetry;
use tokio::time::Instant;

use super::report::{Consequence, WaitReason, retried};
use super::{DeliveryId, Schedule};

/// The seconds over which the deliveries of one host are spread, so that not all are due at once.
const SPREAD: u32 = 30;

impl Schedule {
    /// Returns the time at which deliveries of a held target are given up. `None` if the target is not held, its clock
    /// is stopped, a probe has precedence, or there is no limit.
    pub(crate) fn hold_ends(&self, now: Instant) -> Option<Instant> {
        self.hold.filter(|_| !self.probe_owed)?.reaches(self.limits.hold_max?, now)
    }

    pub(crate) fn give_up_held(&mut self, now: Instant, out: &mut Vec<Consequence>) {
        let (Some(hold), Some(most)) = (self.hold, self.limits.hold_max) else { return };
        if self.probe_owed || hold.lasted(now) < most {
            return;
        }
        let mut ids: Vec<DeliveryId> = self.fresh.iter().chain(&self.again).copied().collect();
        ids.retain(|id| {
            let item = self.items.get(id).filter(|item| item.host.is_none());
            item.is_some_and(|item| hold.kept_waiting(item.arrived, now) >= most)
        });
        ids.sort_unstable();
        let seconds = hold.lasted(now).as_secs();
        for item in ids.into_iter().filter_map(|id| self.forget(id)).collect::<Vec<_>>() {
            let reason = format!("the target was down for {seconds} s, and hold_max is over");
            let used = item.claimed.used;
            out.push(self.given_up(item, reason, used, None));
        }
    }

    /// Moves the newest deliveries of crowded hosts to the journal when they exceed half of the places, so that other
    /// hosts have places.
    pub(crate) fn make_way(&mut self, now: Instant, out: &mut Vec<Consequence>) {
        let most = self.window() / 2;
        if !self.has_hosts || self.fresh.len() + self.again.len() <= most {
            return;
        }
        let mut crowded = Vec::new();
        for (ids, fresh) in [(&self.fresh, true), (&self.again, false)] {
            for id in ids {
                let Some(host) = self.items.get(id).and_then(|item| item.host.as_ref()) else { continue };
                let next = self.hosts.next_at(host, fresh, now);
                if next.is_none_or(|at| at > now) {
                    crowded.push((*id, next));
                }
            }
        }
        crowded.sort_unstable();
        for (n, (id, next)) in (0u32..).zip(crowded.into_iter().skip(most)) {
            let Some(item) = self.forget(id) else { continue };
            let due = next.unwrap_or(now) + Duration::from_secs(1 + u64::from(n % SPREAD));
            let retry = AttemptRetry { due, used: item.claimed.used, answer: String::new() };
            out.push(retried(item, retry, WaitReason::Crowded, now));
        }
    }
}
