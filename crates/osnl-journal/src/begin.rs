//! Counts and log lines of what a store takes in, the same for every store.

use osnl_core::metrics::Counters;
use osnl_core::quarantine;
use osnl_core::received::{Origin, ReceivedMessage};
use tracing::field::display;

use crate::DeliveryId;
use crate::entry::{Begin, Entry};
use crate::identity::MessageIdentity;

/// Counts and says what does not begin as usual; called once for an entry that is kept. `ids` are the numbers of its
/// deliveries, of a store that keeps them.
pub fn announce(entry: &Entry, ids: impl Fn(usize) -> Option<DeliveryId>, counters: &Counters) {
    counters.series.listener(&entry.received.origin.listener).appended(&entry.notification);
    let message = entry.notification.message_id.as_deref().unwrap_or("-");
    for (n, new) in entry.deliveries.iter().enumerate() {
        let id = ids(n).map(display);
        let (rule, action, key) = (&*new.rule, &*new.action, new.key.as_deref().unwrap_or("-"));
        match &new.begin {
            Begin::Live => {}
            Begin::Shadow => {
                counters.shadow.increment();
                tracing::info!(
                    delivery.id = id,
                    rule.name = rule,
                    action.name = action,
                    message.id = message,
                    resource.id = key,
                    "shadow: recorded as done, nothing is called"
                );
            }
            Begin::Held(why) => {
                let id = ids(n);
                HeldByGuard { id, rule, action, key, message, reason: why }.announce(counters);
            }
            Begin::Dead(_) | Begin::TooOld(_) => {
                let is_too_old = matches!(new.begin, Begin::TooOld(_));
                counters.too_old.add(u64::from(is_too_old));
                counters.dead.increment();
                counters.series.action(action).dead.increment();
            }
        }
    }
}

/// A delivery that begins held by a guard.
#[derive(Clone, Copy, Debug)]
pub struct HeldByGuard<'a> {
    /// Its number, where the store keeps it.
    pub id: Option<DeliveryId>,
    /// The rule that fired.
    pub rule: &'a str,
    /// Its action.
    pub action: &'a str,
    /// Its resource, or `-`.
    pub key: &'a str,
    /// The id of its message, or `-`.
    pub message: &'a str,
    /// The reason that the guard gives.
    pub reason: &'a str,
}

impl HeldByGuard<'_> {
    /// Counts it and says so. The guard itself has said why.
    pub fn announce(&self, counters: &Counters) {
        counters.guarded.increment();
        tracing::debug!(
            delivery.id = self.id.map(display),
            rule.name = self.rule,
            action.name = self.action,
            message.id = self.message,
            resource.id = self.key,
            reason = self.reason,
            "a guard holds the delivery"
        );
    }
}

/// Counts a copy of a message that is there already, and says so if the broker did not deliver it again itself.
pub fn count_copy(received: &ReceivedMessage, identity: &MessageIdentity, counters: &Counters) {
    let Origin { listener, redelivered, .. } = &received.origin;
    counters.series.listener(listener).duplicates.increment();
    if *redelivered {
        counters.deduplicated.increment();
    } else {
        counters.duplicates.increment();
        tracing::info!(
            queue.name = &*identity.queue,
            message.id = identity.id.as_deref().unwrap_or("-"),
            message.digest = %identity.digest,
            "a second copy of the same message is acknowledged and ignored",
        );
    }
}

/// Counts a message that cannot be read, and says so.
pub fn count_unreadable(received: &ReceivedMessage, reason: &str, counters: &Counters) {
    counters.quarantined.increment();
    counters.series.listener(&received.origin.listener).quarantined.increment();
    quarantine::say(received, reason);
}

/// Says what begins as a dead letter, where the store keeps it; what is in memory only is logged with its event.
pub fn announce_dead(entry: &Entry, ids: impl Fn(usize) -> Option<DeliveryId>) {
    let message = entry.notification.message_id.as_deref().unwrap_or("-");
    for (n, new) in entry.deliveries.iter().enumerate() {
        if let Some(reason) = new.begin.dead_letter() {
            let key = new.key.as_deref().unwrap_or("-");
            tracing::error!(
                delivery.id = ids(n).map(display),
                rule.name = &*new.rule,
                action.name = &*new.action,
                message.id = message,
                resource.id = key,
                reason,
                "dead letter from the beginning"
            );
        }
    }
}
