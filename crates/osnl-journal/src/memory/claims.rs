use osnl_core::event::Event;
use tokio::time::Instant;

use super::{ActionLanes, MemoryState, OpenEntry, PendingDelivery};
use crate::store::weight::OF_ACTION;
use crate::{AttemptRetry, ClaimLimits, ClaimedDelivery, DeliveryId};

impl OpenEntry {
    pub(super) fn event(&self, pending: &PendingDelivery) -> Event {
        let (received, notification) = (self.received.clone(), self.notification.whole(&self.received));
        Event {
            resource: pending.resource,
            enriched: pending.enriched.clone(),
            ..Event::new(received, notification, pending.rule.clone(), pending.action.clone())
        }
    }
}

impl MemoryState {
    pub(super) fn claim(&mut self, action: &str, wanted: ClaimLimits) -> Vec<ClaimedDelivery> {
        self.retired.remove(action);
        let mut claimed = Vec::new();
        let now = Instant::now();
        while claimed.len() < wanted.due
            && let Some(lanes) = self.with_room(action, OF_ACTION / 2)
            && lanes.waiting.first().is_some_and(|(due, _)| *due <= now)
            && let Some((_, id)) = lanes.waiting.pop_first()
        {
            claimed.extend(self.take(id, false));
        }
        for _ in 0..wanted.newest {
            let Some(lanes) = self.with_room(action, OF_ACTION / 4) else { break };
            let ends = lanes.claimable.first().copied().zip(lanes.claimable.last().copied());
            let from = ends.and_then(|(first, last)| wanted.newest_from(first, last, lanes.claimable.len()));
            let Some(id) = from.and_then(|from| lanes.claimable.range(from..).next().copied()) else { break };
            lanes.claimable.remove(&id);
            claimed.extend(self.take(id, true));
        }
        let mut oldest = 0;
        while let Some(lanes) = self.with_room(action, 0)
            && lanes.claimable.first().is_some_and(|id| wanted.takes_oldest(oldest, *id))
            && let Some(id) = lanes.claimable.pop_first()
        {
            claimed.extend(self.take(id, false));
            oldest += 1;
        }
        claimed
    }

    /// Whether the loop of an action has to learn of withdrawn claims.
    pub(super) fn calls_back(&mut self, action: &str) -> bool {
        self.actions.get_mut(action).is_some_and(|lanes| std::mem::take(&mut lanes.calls_back))
    }

    fn with_room(&mut self, action: &str, spare: usize) -> Option<&mut ActionLanes> {
        self.actions.get_mut(action).filter(|lanes| lanes.weights.room(spare) > 0 || lanes.weights.is_empty())
    }

    fn take(&mut self, id: DeliveryId, newest: bool) -> Option<ClaimedDelivery> {
        let pending = self.deliveries.get_mut(&id)?;
        let open = self.entries.get(&pending.entry)?;
        let lanes = self.actions.get_mut(&pending.action)?;
        debug_assert!(pending.claimed.is_none(), "a delivery has one claim at a time");
        let event = open.event(pending);
        pending.claimed = Some(lanes.weights.weigh(&event));
        pending.due = None;
        let (key, since) = (pending.key.clone(), Some(pending.since));
        Some(ClaimedDelivery { id, key, event, used: pending.used, since, began: None, newest })
    }

    pub(super) fn wait(&mut self, id: DeliveryId, retry: &AttemptRetry) {
        let Some(pending) = self.deliveries.get_mut(&id).filter(|pending| pending.claimed.is_some()) else {
            return;
        };
        pending.used = retry.used;
        pending.claimed = None;
        pending.due = Some(retry.due);
        pending.charged_until = retry.is_charged.then_some(retry.due);
        if let Some(lanes) = self.actions.get_mut(&pending.action) {
            lanes.waiting.insert((retry.due, id));
        }
    }
}
