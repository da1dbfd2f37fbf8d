//! Which deliveries make the next call, and when: one each, or as many as are gathered within a while.

use tokio::time::Instant;

use super::{BreakerState, DeliveryId, Item, Schedule};

impl Schedule {
    /// The deliveries of the next call, if one may begin now; they count as under way. Each has another key.
    pub(in crate::delivery) fn next(&mut self, now: Instant) -> Option<Vec<&Item>> {
        self.ripen(now);
        if self.breaker.allowance(now, self.calls.len()) == 0 || self.pace.next_at(now).is_some() {
            return None;
        }
        let ids = match self.breaker.state() {
            BreakerState::Closed => self.gather(now)?,
            BreakerState::Open { .. } | BreakerState::Probing if self.batch.whole => {
                self.ready.iter().take(self.batch.most.max(1)).copied().collect()
            }
            BreakerState::Open { .. } | BreakerState::Probing => vec![self.probe()?],
        };
        if ids.is_empty() {
            return None;
        }
        self.pace.begin(now);
        self.last_call += 1;
        self.calls.insert(self.last_call, (ids.len(), ids.len()));
        self.breaker.begin();
        self.look_at_clock(true, now);
        let then = self.closed.at(now);
        for id in &ids {
            self.take_out(*id);
            self.under_way.insert(*id, self.last_call);
            if let Some(item) = self.items.get_mut(id) {
                item.aging.get_or_insert((then, item.claimed.used.age));
            }
        }
        Some(ids.iter().filter_map(|id| self.items.get(id)).collect())
    }

    /// What the next call takes: the oldest, or what must go alone while others are still gathered.
    fn gather(&self, now: Instant) -> Option<Vec<DeliveryId>> {
        let first = *self.ready.first()?;
        let alone =
            |id: &DeliveryId| self.batch.most <= 1 || self.items.get(id).is_some_and(|item| item.alone);
        if alone(&first) {
            return Some(vec![first]);
        }
        let ids: Vec<DeliveryId> =
            self.ready.iter().filter(|id| !alone(id)).take(self.batch.most).copied().collect();
        let waited = self.gathered_at().is_none_or(|at| at <= now);
        if ids.len() >= self.batch.most || waited {
            return Some(ids);
        }
        self.ready.iter().find(|id| alone(id)).map(|id| vec![*id])
    }

    /// When what is being gathered goes, however little it is.
    fn gathered_at(&self) -> Option<Instant> {
        let waiting = self.ready.iter().filter_map(|id| self.items.get(id)).filter(|item| !item.alone);
        waiting.map(|item| item.ready_since).min()?.checked_add(self.batch.wait)
    }

    /// When something becomes due without any report; `None` while nothing waits.
    pub(in crate::delivery) fn wake_at(&mut self, now: Instant) -> Option<Instant> {
        let retry = self.waiting.first().map(|(due, _)| *due);
        let paced = self.pace.next_at(now);
        let next = match self.breaker.state() {
            // With no place for another call, a report is what wakes us.
            BreakerState::Open { until } if self.under_way.is_empty() => Some(until),
            BreakerState::Closed if self.breaker.allowance(now, self.calls.len()) > 0 => {
                // What is neither gathered nor paced has begun, or became due since.
                let gathered = if self.batch.most > 1 { self.gathered_at() } else { None };
                Some(gathered.unwrap_or(now))
            }
            BreakerState::Open { .. } | BreakerState::Closed | BreakerState::Probing => None,
        };
        let next = next.filter(|_| !self.ready.is_empty());
        let next = next.map(|at| paced.map_or(at, |paced| at.max(paced)));
        [retry, next].into_iter().flatten().min()
    }

    /// A delivery is back; its call if that had several.
    pub(super) fn returned(&mut self, id: DeliveryId) -> Option<u64> {
        let call = self.under_way.remove(&id)?;
        let (all, left) = self.calls.get_mut(&call)?;
        let several = (*all > 1).then_some(call);
        *left -= 1;
        if *left == 0 {
            self.calls.remove(&call);
        }
        several
    }
}
