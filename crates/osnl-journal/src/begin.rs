//! Counts and log lines of new entries, the same for every store.

use osnl_core::metrics::Counters;
use osnl_core::quarantine;
use osnl_core::received::{Origin, ReceivedMessage};
use tracing::field::display;

use crate::DeliveryId;
use crate::entry::{Begin, Entry};
use crate::identity::MessageIdentity;

/// Counts and logs deliveries that do not begin as live; called once for a kept entry. `ids` returns the
/// numbers of deliveries, if the store has any; `is_back` is whether the entry was kept before, and has returned to the
/// broker.
pub(crate) fn announce(
    entry: &Entry,
    ids: impl Fn(usize) -> Option<DeliveryId>,
    is_back: bool,
    counters: &Counters,
) {
    counters.series.listener(&entry.received.origin.listener).appended(&entry.notification);
    let message = entry.notification.message_id.as_deref().unwrap_or("-");
    for (n, new) in entry.deliveries.iter().enumerate() {
        let id = ids(n).map(display);
        let (rule, action, key) = (&*new.rule, &*new.action, new.key.as_deref().unwrap_or("-"));
        match &new.begin {
            Begin::Live => counters.series.action(action).backlog.begun.increment(),
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
            // Counted when it was first kept.
            Begin::Held(_) if is_back => {}
            Begin::Held(hold) => {
                let id = ids(n);
                HeldByGuard { id, rule, action, key, message, reason: &hold.why }.announce(counters);
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

/// The facts about a delivery that a guard holds, for the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldByGuard<'a> {
    pub id: Option<DeliveryId>,
    pub rule: &'a str,
    pub action: &'a str,
    pub key: &'a str,
    pub message: &'a str,
    pub reason: &'a str,
}

impl HeldByGuard<'_> {
    pub(crate) fn announce(&self, counters: &Counters) {
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

pub(crate) fn count_copy(received: &ReceivedMessage, identity: &MessageIdentity, counters: &Counters) {
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

pub(crate) fn count_unreadable(received: &ReceivedMessage, reason: &str, counters: &Counters) {
    counters.quarantined.increment();
    counters.series.listener(&received.origin.listener).quarantined.increment();
    quarantine::say(received, reason);
}

/// Logs dead letters of a new entry in a store that keeps such letters; `memory://` logs each with its event.
pub(crate) fn announce_dead(entry: &Entry, ids: impl Fn(usize) -> Option<DeliveryId>) {
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
