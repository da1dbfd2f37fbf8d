use osnl_core::event::Event;
use osnl_journal::{ClaimedDelivery, DeliveryId, Outcome};

use super::DeliveryLoop;

impl DeliveryLoop {
    /// Returns the claimed deliveries that may be attempted. A durable journal holds suspects from the start, so these
    /// suspects are messages that the broker redelivers.
    pub(super) fn without_suspects(&self, claimed: Vec<ClaimedDelivery>) -> Vec<ClaimedDelivery> {
        let (mut left, mut keys) = (Vec::with_capacity(claimed.len()), Vec::with_capacity(claimed.len()));
        for claimed in claimed {
            let key = self.key(claimed.id, &claimed.event);
            match self.in_hand.is_suspect(key) {
                None => {
                    keys.push(key);
                    left.push(claimed);
                }
                Some(why) => {
                    let message = claimed.event.notification.message_id.as_deref().unwrap_or("-");
                    tracing::error!(
                        action.name = &*self.name,
                        delivery.id = %claimed.id,
                        rule.name = &*claimed.event.rule,
                        message.id = message,
                        reason = why.as_str(),
                        "given up: dead letter"
                    );
                    self.end_claim(claimed.id, Outcome::Dead(why).into());
                }
            }
        }
        self.in_hand.claimed(&keys);
        left
    }

    /// Returns the key of a delivery that is stable across restarts.
    pub(super) fn key(&self, id: DeliveryId, event: &Event) -> u64 {
        self.in_hand.key_of(id, &event.received.body, &event.rule, &event.action, event.resource)
    }
}
