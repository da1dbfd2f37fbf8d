//! Selects the deliveries of the next call, and its time. A call has one delivery, or as many as are gathered within a
//! while.
//!
//! Deliveries that have never failed have precedence, oldest first. Every fourth call is for failed deliveries, which
//! never take the last quarter of the calls. So neither kind waits for the other.
//!
//! While the target is held, probes take the oldest and the newest delivery in turn. If events may be at fault, all
//! calls do so, and half of the calls are kept for the newest. A long row of failing deliveries thus delays later
//! deliveries neither by its failures nor by its calls.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{CallKind, DeliveryId, RunningCall, Schedule};

const SHARE: usize = 4;

/// The longest time between the retries of one digest, whose pauses differ by a fifth of at most a minute.
const AGAIN_TOGETHER: Duration = Duration::from_secs(15);

impl Schedule {
    /// Selects the deliveries of a call that may begin now, and marks them as under way. Each has another key,
    /// and all call the same host.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Vec<DeliveryId>> {
        if self.items.len() == self.under_way.len() {
            return None;
        }
        let probe = !self.breaker.is_closed();
        let may_begin = if probe { self.may_probe(now) } else { self.may_call(now) };
        if !may_begin || self.pace.next_at(now).is_some() {
            return None;
        }
        let (kind, ids) = if probe { self.probe(now)? } else { self.gather(now)? };
        let host = self.items.get(ids.first()?)?.host.clone();
        self.pace.begin(now);
        self.last_call += 1;
        self.turn = if kind == CallKind::Again { 0 } else { self.turn + 1 };
        self.latest = ids.iter().copied().fold(self.latest, DeliveryId::max);
        let probe = match &host {
            Some(host) => self.hosts.breaker(host).is_some_and(|breaker| !breaker.is_closed()),
            None => probe,
        };
        match &host {
            Some(host) => self.hosts.begin(host, now),
            None => self.breaker.begin(),
        }
        let call = RunningCall {
            deliveries: ids.len(),
            left: ids.len(),
            kind,
            probe,
            settings: self.settings,
            host,
        };
        self.calls.insert(self.last_call, call);
        let then = self.closed.at(now);
        for id in &ids {
            self.fresh.remove(id);
            self.again.remove(id);
            let other_call = self.under_way.insert(*id, self.last_call);
            debug_assert_eq!(other_call, None, "a delivery has one attempt at a time");
            if let Some(item) = self.items.get_mut(id) {
                item.aging = Some(then);
            }
        }
        Some(ids)
    }

    fn may_call(&self, now: Instant) -> bool {
        self.breaker.next_at(now, self.calls.len(), true).is_some()
    }

    fn may_probe(&self, now: Instant) -> bool {
        // Calls with earlier settings prove nothing about these settings.
        let under_way = self.calls.values().filter(|call| call.settings == self.settings).count();
        let may = |fresh| self.breaker.next_at(now, under_way, fresh).is_some_and(|at| at <= now);
        may(false) || (may(true) && !self.fresh.is_empty())
    }

    fn probe(&mut self, now: Instant) -> Option<(CallKind, Vec<DeliveryId>)> {
        if self.batch.whole {
            return Some((CallKind::Oldest, self.whole()));
        }
        // A new arrival is the best probe. The others still get their turn.
        let has_come = self.fresh.last().is_some_and(|id| *id > self.latest);
        self.out_of_turn =
            has_come && !self.newest && !self.out_of_turn && self.breaker.is_event_suspect(now);
        let newest = self.newest || self.out_of_turn;
        self.newest ^= !self.out_of_turn;
        let (of, kind) = match (self.fresh.is_empty(), newest) {
            (true, _) => (&self.again, CallKind::Again),
            (false, true) => (&self.fresh, CallKind::Newest),
            (false, false) => (&self.fresh, CallKind::Oldest),
        };
        let id = if newest { of.last() } else { of.first() };
        Some((kind, vec![*id?]))
    }

    fn gather(&mut self, now: Instant) -> Option<(CallKind, Vec<DeliveryId>)> {
        if self.batch.whole {
            return self.gather_whole(now).map(|ids| (CallKind::Oldest, ids));
        }
        if !self.breaker.is_event_suspect(now) {
            return self.gather_in_order(now);
        }
        let others = self.calls.values().filter(|call| call.kind != CallKind::Newest).count();
        let may_others = others < (self.breaker.allowed() / 2).max(1);
        if (self.newest || !may_others)
            && let Some(ids) = self.gather_fresh(CallKind::Newest, now)
        {
            self.newest = false;
            return Some((CallKind::Newest, ids));
        }
        let call = if may_others { self.gather_in_order(now) } else { None };
        self.newest |= call.is_some();
        call
    }

    fn gather_in_order(&mut self, now: Instant) -> Option<(CallKind, Vec<DeliveryId>)> {
        let may_again = !self.again.is_empty() && self.may_again();
        // The oldest failed delivery is tried alone: after a common failure, each delivery must show whether it is at
        // fault.
        let again = |schedule: &mut Self| {
            let id = may_again.then(|| schedule.first_of(CallKind::Again, now)).flatten();
            id.map(|id| (CallKind::Again, vec![id]))
        };
        let oldest = |schedule: &mut Self| {
            schedule.gather_fresh(CallKind::Oldest, now).map(|ids| (CallKind::Oldest, ids))
        };
        match self.turn + 1 >= SHARE && self.breaker.is_at_full_pace() {
            true => again(self).or_else(|| oldest(self)),
            false => oldest(self).or_else(|| again(self)),
        }
    }

    fn may_again(&self) -> bool {
        let most = self.concurrency - (self.concurrency / SHARE).max(1).min(self.concurrency - 1);
        self.calls.values().filter(|call| call.kind == CallKind::Again).count() < most
    }

    fn gather_fresh(&mut self, kind: CallKind, now: Instant) -> Option<Vec<DeliveryId>> {
        let first = self.first_of(kind, now)?;
        if self.batch.most <= 1 {
            return Some(vec![first]);
        }
        let host = &self.items.get(&first)?.host;
        let same = |id: &DeliveryId| self.items.get(id).is_some_and(|item| item.host == *host);
        let ids = self.fresh.iter().copied().filter(same);
        let mut ids: Vec<_> = match kind {
            CallKind::Newest => ids.rev().take(self.batch.most).collect(),
            CallKind::Oldest | CallKind::Again => ids.take(self.batch.most).collect(),
        };
        ids.sort_unstable();
        let waited = self.has_gathered(now);
        (ids.len() >= self.batch.most || waited).then_some(ids)
    }

    fn first_of(&mut self, kind: CallKind, now: Instant) -> Option<DeliveryId> {
        let of = if kind == CallKind::Again { &self.again } else { &self.fresh };
        let (items, hosts, has_hosts) = (&self.items, &mut self.hosts, self.has_hosts);
        let may = |id: &&DeliveryId| {
            let host = if has_hosts { items.get(id).and_then(|item| item.host.as_ref()) } else { None };
            host.is_none_or(|host| hosts.may_begin(host, kind != CallKind::Again, now))
        };
        match kind {
            CallKind::Newest => of.iter().rev().find(may),
            CallKind::Oldest | CallKind::Again => of.iter().find(may),
        }
        .copied()
    }

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
        let waited = self.has_gathered(now);
        if ids.len() >= self.batch.most || waited {
            return Some(ids).filter(|ids| !ids.is_empty());
        }
        // A delivery that must be tried alone does not wait for the others.
        self.fresh.iter().chain(&self.again).find(|id| self.is_alone(id)).map(|id| vec![*id])
    }

    fn is_alone(&self, id: &DeliveryId) -> bool {
        self.items.get(id).is_some_and(|item| item.alone)
    }

    fn gathered_at(&self) -> Option<Instant> {
        let first = |of: &BTreeSet<DeliveryId>| {
            let waiting = of.iter().filter_map(|id| self.items.get(id));
            waiting.filter(|item| !item.alone).map(|item| item.since).min()
        };
        let fresh = first(&self.fresh).and_then(|since| since.checked_add(self.batch.wait));
        let again = first(&self.again).filter(|_| self.batch.whole);
        let again = again.and_then(|since| since.checked_add(self.batch.wait.min(AGAIN_TOGETHER)));
        fresh.into_iter().chain(again).min()
    }

    /// Returns whether the call can begin: its first delivery has waited long enough, or no other can arrive.
    fn has_gathered(&self, now: Instant) -> bool {
        self.is_crowded || self.gathered_at().is_none_or(|at| at <= now)
    }

    pub(crate) fn wake_at(&mut self, now: Instant) -> Option<Instant> {
        if self.items.len() == self.under_way.len() {
            return None;
        }
        let paced = self.pace.next_at(now);
        let next = if self.breaker.is_closed() {
            self.breaker.next_at(now, self.calls.len(), true)?;
            let gathered = if self.batch.most > 1 { self.gathered_at() } else { None };
            [gathered, self.hosts_at(now), paced].into_iter().flatten().filter(|at| *at > now).min()
        } else {
            let under_way = self.calls.values().filter(|call| call.settings == self.settings).count();
            self.breaker.next_at(now, under_way, !self.fresh.is_empty())
        };
        next.map(|at| paced.map_or(at, |paced| at.max(paced)))
    }

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

    pub(super) fn returned(&mut self, id: DeliveryId) -> Option<Back> {
        let number = self.under_way.remove(&id)?;
        let call = self.calls.get_mut(&number)?;
        let several = (call.deliveries > 1).then_some(number);
        let back =
            Back { several, kind: call.kind, probe: call.probe, current: call.settings == self.settings };
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

/// The facts about the call from which a delivery has come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Back {
    /// The number of the call if it had several deliveries; `None` if it had this one alone.
    pub(super) several: Option<u64>,
    pub(super) kind: CallKind,
    /// Whether the target, or the host, was held when the call began.
    pub(super) probe: bool,
    /// Whether the call began with the settings that are in force now.
    pub(super) current: bool,
}
