//! Which deliveries make the next call, and when: one each, or as many as are gathered within a while.
//!
//! Deliveries that have never failed go before those that have. While all calls may be made, every fourth call is one of the
//! latter, and these never take the last quarter of the calls, so that neither kind waits for the other. While the target
//! is held, probes take the oldest and the newest delivery in turn.

use tokio::time::Instant;

use super::{Call, DeliveryId, Item, Schedule};

/// Of so many calls one is for deliveries that have failed before, if some are due.
const SHARE: usize = 4;

impl Schedule {
    /// The deliveries of the next call, if one may begin now; they count as under way. Each has another key, and all call
    /// the same host.
    pub(in crate::delivery) fn next(&mut self, now: Instant) -> Option<Vec<DeliveryId>> {
        if self.items.len() == self.under_way.len() || self.pace.next_at(now).is_some() {
            return None;
        }
        let probe = !self.breaker.is_closed();
        let ids = if probe { self.probe(now)? } else { self.gather(now)? };
        let first = self.items.get(ids.first()?)?;
        let (host, again) = (first.host.clone(), self.again.contains(ids.first()?));
        self.pace.begin(now);
        self.last_call += 1;
        self.turn = if again { 0 } else { self.turn + 1 };
        let probe = match &host {
            Some(host) => self.hosts.breaker(host).is_some_and(|breaker| !breaker.is_closed()),
            None => probe,
        };
        match &host {
            Some(host) => self.hosts.begin(host, now),
            None => self.breaker.begin(),
        }
        let call =
            Call { deliveries: ids.len(), left: ids.len(), again, probe, settings: self.settings, host };
        self.calls.insert(self.last_call, call);
        let then = self.closed.at(now);
        for id in &ids {
            self.fresh.remove(id);
            self.again.remove(id);
            self.under_way.insert(*id, self.last_call);
            if let Some(item) = self.items.get_mut(id) {
                item.aging = Some(then);
            }
        }
        Some(ids)
    }

    /// While the target is held: one delivery, or one digest.
    fn probe(&mut self, now: Instant) -> Option<Vec<DeliveryId>> {
        // What was begun with the settings before says nothing about these.
        let under_way = self.calls.values().filter(|call| call.settings == self.settings).count();
        let may = |fresh| self.breaker.allowance(now, under_way, fresh) > 0;
        if !(may(false) || (may(true) && !self.fresh.is_empty())) {
            return None;
        }
        let newest = self.newest;
        let ids = if self.batch.whole {
            self.whole()
        } else {
            let of = if self.fresh.is_empty() { &self.again } else { &self.fresh };
            let id = if newest { of.last() } else { of.first() };
            id.into_iter().copied().collect()
        };
        self.newest = !newest;
        Some(ids)
    }

    fn gather(&mut self, now: Instant) -> Option<Vec<DeliveryId>> {
        if self.breaker.allowance(now, self.calls.len(), true) == 0 {
            return None;
        }
        if self.batch.whole {
            return self.gather_whole(now);
        }
        let may_again = !self.again.is_empty() && self.may_again();
        if may_again && self.turn + 1 >= SHARE && self.breaker.is_at_full_pace() {
            return self.gather_again(now).or_else(|| self.gather_fresh(now));
        }
        self.gather_fresh(now).or_else(|| if may_again { self.gather_again(now) } else { None })
    }

    /// Whether one more call may go to deliveries that have failed before.
    fn may_again(&self) -> bool {
        let most = self.concurrency - (self.concurrency / SHARE).max(1).min(self.concurrency - 1);
        self.calls.values().filter(|call| call.again).count() < most
    }

    /// The oldest that has failed before, alone: whoever failed with others shows for itself what is at fault.
    fn gather_again(&mut self, now: Instant) -> Option<Vec<DeliveryId>> {
        let id = self.first_of(false, now)?;
        Some(vec![id])
    }

    fn gather_fresh(&mut self, now: Instant) -> Option<Vec<DeliveryId>> {
        let first = self.first_of(true, now)?;
        if self.batch.most <= 1 {
            return Some(vec![first]);
        }
        let host = &self.items.get(&first)?.host;
        let same = |id: &&DeliveryId| self.items.get(id).is_some_and(|item| item.host == *host);
        let ids: Vec<_> = self.fresh.iter().filter(same).take(self.batch.most).copied().collect();
        let waited = self.gathered_at().is_none_or(|at| at <= now);
        (ids.len() >= self.batch.most || waited).then_some(ids)
    }

    /// The oldest of a kind whose host may be called.
    fn first_of(&mut self, fresh: bool, now: Instant) -> Option<DeliveryId> {
        let ids = if fresh { &self.fresh } else { &self.again };
        if !self.has_hosts {
            return ids.first().copied();
        }
        let mut ids = ids.iter().filter_map(|id| self.items.get(id));
        let hosts = &mut self.hosts;
        let may = |item: &&Item| item.host.as_ref().is_none_or(|host| hosts.may_begin(host, fresh, now));
        ids.find(may).map(|item| item.claimed.id)
    }

    /// A digest: whatever is ready, old and new.
    fn whole(&self) -> Vec<DeliveryId> {
        let mut ids: Vec<_> = self.fresh.iter().chain(&self.again).copied().collect();
        ids.retain(|id| !self.is_alone(id));
        ids.sort_unstable();
        ids.truncate(self.batch.most.max(1));
        match ids.is_empty() {
            true => self.fresh.iter().chain(&self.again).min().copied().into_iter().collect(),
            false => ids,
        }
    }

    fn gather_whole(&self, now: Instant) -> Option<Vec<DeliveryId>> {
        let ids = self.whole();
        let waited = self.gathered_at().is_none_or(|at| at <= now);
        if ids.len() >= self.batch.most || waited {
            return Some(ids).filter(|ids| !ids.is_empty());
        }
        // What must go alone does not wait for the others.
        self.fresh.iter().chain(&self.again).find(|id| self.is_alone(id)).map(|id| vec![*id])
    }

    fn is_alone(&self, id: &DeliveryId) -> bool {
        self.items.get(id).is_some_and(|item| item.alone)
    }

    /// When what is being gathered goes, however little it is.
    fn gathered_at(&self) -> Option<Instant> {
        let again = self.again.iter().filter(|_| self.batch.whole);
        let waiting = self.fresh.iter().chain(again).filter_map(|id| self.items.get(id));
        waiting.filter(|item| !item.alone).map(|item| item.ready_since).min()?.checked_add(self.batch.wait)
    }

    /// When something becomes due without any report, given that nothing may begin now; `None` while nothing waits.
    pub(in crate::delivery) fn wake_at(&mut self, now: Instant) -> Option<Instant> {
        if self.items.len() == self.under_way.len() {
            return None;
        }
        let paced = self.pace.next_at(now);
        let next = if self.breaker.is_closed() {
            if self.breaker.allowance(now, self.calls.len(), true) == 0 {
                return None;
            }
            let gathered = if self.batch.most > 1 { self.gathered_at() } else { None };
            [gathered, self.hosts_at(now), paced].into_iter().flatten().filter(|at| *at > now).min()
        } else {
            let under_way = self.calls.values().any(|call| call.settings == self.settings);
            let fresh = !self.fresh.is_empty();
            self.breaker.opens_at(fresh).filter(|_| !under_way)
        };
        next.map(|at| paced.map_or(at, |paced| at.max(paced)))
    }

    /// When the first host may be called again.
    fn hosts_at(&mut self, now: Instant) -> Option<Instant> {
        if !self.has_hosts {
            return None;
        }
        let (items, hosts) = (&self.items, &mut self.hosts);
        let ready = self.fresh.iter().map(|id| (id, true)).chain(self.again.iter().map(|id| (id, false)));
        ready
            .filter_map(|(id, fresh)| hosts.next_at(items.get(id)?.host.as_deref()?, fresh, now))
            .filter(|at| *at > now)
            .min()
    }

    /// A delivery is back: the call that it was part of.
    pub(super) fn returned(&mut self, id: DeliveryId) -> Option<Back> {
        let number = self.under_way.remove(&id)?;
        let call = self.calls.get_mut(&number)?;
        let several = (call.deliveries > 1).then_some(number);
        let back = Back { several, probe: call.probe, current: call.settings == self.settings };
        call.left -= 1;
        if call.left == 0
            && let Some(call) = self.calls.remove(&number)
            && let Some(host) = &call.host
        {
            self.hosts.ended(host);
        }
        Some(back)
    }
}

/// How a delivery was called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Back {
    /// The call, if it had several.
    pub(super) several: Option<u64>,
    pub(super) probe: bool,
    /// It was made with the settings that count now.
    pub(super) current: bool,
}
