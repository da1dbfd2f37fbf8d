use std::time::Duration;

use osnl_core::attempt::ActionError;
use osnl_journal::UsedLimits;
use tokio::time::Instant;

use super::report::{Consequence, WaitReason, delayed, retried};
use super::{Item, Schedule};

/// The seconds over which the deliveries of one host are spread, so that not all are due at once.
const SPREAD: u32 = 30;

impl Schedule {
    /// Returns the time at which deliveries of a held target are given up. `None` if the target is not held, its clock
    /// is stopped, a probe has precedence, or there is no limit.
    pub(crate) fn hold_ends(&self, now: Instant) -> Option<Instant> {
        self.hold.filter(|_| !self.probe_owed)?.reaches(self.limits.hold_max?, now)
    }

    /// Gives up what has waited for `hold_max`: for the target, or for a host that its event names. What waits for such a
    /// host ends by its age too, without a probe of its own: a host that is gone has a probe in half a minute.
    pub(crate) fn give_up_held(&mut self, now: Instant, out: &mut Vec<Consequence>) {
        let hold = self.hold.zip(self.limits.hold_max);
        let hold = hold.filter(|(hold, most)| !self.probe_owed && hold.lasted(now) >= *most);
        let waiting = self.items.len() - self.under_way.len();
        if waiting == 0 || (hold.is_none() && !self.hosts.has_held()) {
            return;
        }
        let mut over = Vec::new();
        for id in self.fresh.iter().chain(&self.again) {
            let Some(item) = self.items.get(id) else { continue };
            let found = match &item.host {
                Some(host) => self.limit_at_host(item, host, now),
                None => hold.filter(|(hold, most)| hold.kept_waiting(item.arrived, now) >= *most).map(
                    |(hold, _)| {
                        let seconds = hold.lasted(now).as_secs();
                        (format!("the target was down for {seconds} s, and hold_max is over"), None)
                    },
                ),
            };
            over.extend(found.map(|(reason, error)| (*id, reason, error)));
        }
        over.sort_unstable_by_key(|(id, ..)| *id);
        for (id, reason, error) in over {
            let Some(item) = self.forget(id) else { continue };
            let used = item.claimed.used;
            out.push(self.given_up(item, reason, used, error));
        }
    }

    /// Returns the reason for which a delivery that waits for a held host ends, with the error of the host. A probe with the
    /// settings in force precedes every end.
    fn limit_at_host(&self, item: &Item, host: &str, now: Instant) -> Option<(String, Option<ActionError>)> {
        let error = self.hosts.probed_error(host)?;
        let limit = self.reached_limit(item, self.age(item, now), true, now)?;
        Some((format!("{error} ({limit})"), Some(error.clone())))
    }

    /// Saves the age of what has waited for a held host for at least this long since the journal had it.
    pub(crate) fn save_ages(&mut self, least: Duration, now: Instant, out: &mut Vec<Consequence>) {
        if self.limits.max_age.is_none() || !self.hosts.has_held() {
            return;
        }
        let mut unsaved = Vec::new();
        for id in self.fresh.iter().chain(&self.again) {
            let Some(item) = self.items.get(id) else { continue };
            if self.waited(item, Some(item.saved), now).is_some_and(|waited| waited >= least) {
                unsaved.push((*id, self.age(item, now)));
            }
        }
        unsaved.sort_unstable();
        for (id, age) in unsaved {
            let Some(item) = self.items.get_mut(&id) else { continue };
            (item.claimed.used.age, item.saved, item.aging) = (age, now, None);
            out.push(Consequence::Aged { id, used: item.claimed.used });
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
            let answers = self.waited(&item, None, now).is_none();
            let used = UsedLimits { age: self.age(&item, now), ..item.claimed.used };
            let retry = delayed(due, used, !answers, String::new(), now);
            out.push(retried(item, retry, WaitReason::Crowded, now));
        }
    }
}
