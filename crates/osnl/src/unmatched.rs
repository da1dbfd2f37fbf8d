//! The trace of unmatched messages: a ring of the last heads, for [`explain`](crate::explain).
//!
//! An unmatched message is acknowledged whether its trace is kept or not. Noting copies a few short strings into a
//! reused slot. With a journal on disk, a thread appends new entries once a second to a file beside the journal,
//! without `fsync`: a crash of the machine may lose the file, a crash of the process its last second. At most one
//! ring's worth is written at a time, whatever the rate.
//!
//! `explain` derives failed conditions on the head. For conditions on the payload the ring stores the reason, since
//! payloads are kept only if bodies are configured. The [counts](crate::rule::RuleCounts) of all rules are always kept.

mod counts;
mod file;
mod line;
mod store;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use osnl_model::{Budget, Head, Notification, cut, cut_marked};
use osnl_transport::{IncomingMessage, Properties};
use serde::{Deserialize, Serialize};

pub use self::counts::{RuleMatches, RuleTotals, counts};
pub use self::file::read;
use self::store::UnmatchedStore;
use crate::ends::EndReports;
use crate::native::KeepUnmatched;
use crate::received::ReceivedMessage;
use crate::rule::{Condition, Rule, RuleMismatch, RuleSet};

/// Bytes of all kept bodies, in equal shares.
const BODIES: usize = 64 << 20;

/// The limit of failed rules per message: with a thousand rules on payloads, the reasons would exceed all heads
/// together.
pub(crate) const REASONS: usize = 32;

const LONGEST_REASON: usize = 500;

/// The most bytes of a text, since a head's text may be as long as its body.
const LONGEST_TEXT: usize = 1024;

/// A remembered message that matched no rule.
#[derive(Clone, Debug, Default)]
pub struct UnmatchedMessage {
    /// Its number in the ring of this process; not in the file.
    pub number: u64,
    pub received: Option<SystemTime>,
    pub listener: Arc<str>,
    pub queue: Arc<str>,
    pub exchange: String,
    pub routing_key: String,
    pub event_type: Option<String>,
    pub publisher_id: Option<String>,
    pub priority: Option<String>,
    pub message_id: Option<String>,
    pub failed: Vec<FailedBehind>,
    pub body: Option<(Bytes, Properties)>,
}

/// A condition that failed when the message was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedBehind {
    pub rule: String,
    pub condition: String,
    pub reason: String,
}

/// The latest messages that matched no rule, and the counts of each rule.
pub struct Ring {
    shared: Arc<UnmatchedState>,
    /// The writer, which writes everything when the ring is dropped.
    _store: Option<UnmatchedStore>,
    ends: EndReports,
}

struct UnmatchedState {
    keep: KeepUnmatched,
    slots: Mutex<Slots>,
    rules: Mutex<Vec<(Arc<str>, Arc<RuleSet>)>>,
    started: SystemTime,
}

#[derive(Debug, Default)]
struct Slots {
    /// Entry number n is in slot n modulo their count.
    places: Vec<UnmatchedMessage>,
    noted: u64,
}

impl Ring {
    #[must_use]
    pub fn new(keep: KeepUnmatched) -> Self {
        Self { shared: Arc::new(UnmatchedState::new(keep)), _store: None, ends: EndReports::default() }
    }

    /// Creates a ring that is also written beside a journal. A failed write is only logged.
    #[must_use]
    pub fn beside(keep: KeepUnmatched, journal: &Path) -> Self {
        let shared = Arc::new(UnmatchedState::new(keep));
        let ends = EndReports::default();
        let store = UnmatchedStore::start(shared.clone(), journal, &ends);
        Self { shared, _store: store, ends }
    }

    #[must_use]
    pub fn ends(&self) -> EndReports {
        self.ends.clone()
    }

    #[must_use]
    pub fn keep(&self) -> KeepUnmatched {
        self.shared.keep
    }

    #[must_use]
    pub fn started(&self) -> SystemTime {
        self.shared.started
    }

    pub fn watch(&self, listener: &Arc<str>, rules: &Arc<RuleSet>) {
        let mut watched = locked(&self.shared.rules);
        match watched.iter_mut().find(|(name, _)| name == listener) {
            Some((_, before)) => *before = rules.clone(),
            // Sorted by name, because listeners begin in no particular order.
            None => {
                let at = watched.partition_point(|(name, _)| name < listener);
                watched.insert(at, (listener.clone(), rules.clone()));
            }
        }
    }

    pub fn unwatch(&self, listener: &str) {
        locked(&self.shared.rules).retain(|(name, _)| **name != *listener);
    }

    pub(crate) fn head(&self, message: &IncomingMessage, listener: &Arc<str>, head: &Head<'_>) {
        self.shared.note(|slot, keep| {
            slot.place(listener, &message.queue, &message.exchange, &message.routing_key);
            slot.received = Some(SystemTime::now());
            slot.head(head);
            set(&mut slot.message_id, None);
            slot.failed.clear();
            slot.body = keep
                .body(message.body.len(), || message.body.clone())
                .map(|body| (body, message.properties.clone()));
        });
    }

    pub fn event(
        &self,
        received: &ReceivedMessage,
        notification: &Notification,
        failed: &[(&Rule, RuleMismatch)],
    ) {
        self.shared.note(|slot, keep| {
            let origin = &received.origin;
            slot.place(&origin.listener, &origin.queue, &origin.exchange, &origin.routing_key);
            slot.received = Some(origin.received);
            slot.head(&notification.head());
            set(&mut slot.message_id, notification.message_id.as_deref());
            let of_head = |(rule, _): &&(&Rule, RuleMismatch)| {
                rule.filter.event_type.is_some() || rule.filter.publisher_id.is_some()
            };
            let others = failed.iter().filter(|failed| !of_head(failed));
            let kept = failed.iter().filter(of_head).chain(others).take(REASONS);
            slot.failed = kept.map(FailedBehind::from_mismatch).collect();
            slot.body = keep
                .body(received.body.len(), || received.body.clone())
                .map(|body| (body, received.properties.clone()));
        });
    }

    /// Returns the kept messages, oldest first.
    #[must_use]
    pub fn latest(&self) -> Vec<UnmatchedMessage> {
        self.shared.since(0).1
    }

    /// Returns a message by its number, which is valid while it is kept.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<UnmatchedMessage> {
        let slots = locked(&self.shared.slots);
        slots.places.get(self.shared.keep.slot(number)).filter(|found| found.number == number).cloned()
    }
}

impl FailedBehind {
    fn from_mismatch((rule, mismatch): &(&Rule, RuleMismatch)) -> Self {
        let reason = cut_marked(&mismatch.to_string(), LONGEST_REASON);
        let condition = Condition::from(mismatch).to_string();
        Self { rule: rule.name.to_string(), condition, reason }
    }
}

impl KeepUnmatched {
    fn body(&self, bytes: usize, body: impl FnOnce() -> Bytes) -> Option<Bytes> {
        (self.bodies && bytes <= self.longest_body()).then(body)
    }

    fn longest_body(&self) -> usize {
        BODIES / (self.heads.max(1) as usize)
    }

    fn slot(&self, number: u64) -> usize {
        (number % u64::from(self.heads.max(1))) as usize
    }
}

impl UnmatchedState {
    fn new(keep: KeepUnmatched) -> Self {
        Self { keep, slots: Mutex::default(), rules: Mutex::default(), started: SystemTime::now() }
    }

    fn note(&self, write: impl FnOnce(&mut UnmatchedMessage, &KeepUnmatched)) {
        let most = self.keep.heads as usize;
        if most == 0 {
            return;
        }
        let mut slots = locked(&self.slots);
        let number = slots.noted;
        let at = self.keep.slot(number);
        slots.noted += 1;
        if slots.places.len() < most && at == slots.places.len() {
            slots.places.push(UnmatchedMessage::default());
        }
        if let Some(slot) = slots.places.get_mut(at) {
            slot.number = number;
            write(slot, &self.keep);
        }
    }

    fn since(&self, seen: u64) -> (u64, Vec<UnmatchedMessage>) {
        let slots = locked(&self.slots);
        let first = seen.max(slots.noted.saturating_sub(u64::from(self.keep.heads)));
        let kept = |n: u64| slots.places.get(self.keep.slot(n)).cloned();
        (slots.noted, (first..slots.noted).filter_map(kept).collect())
    }
}

impl UnmatchedMessage {
    #[must_use]
    pub fn decoded(&self) -> Option<Notification> {
        let (body, properties) = self.body.as_ref()?;
        let plain = Budget::MOST.plain_body(body, &properties.content_info()).ok()?;
        Budget::MOST.decode(&plain).ok()
    }

    fn place(&mut self, listener: &Arc<str>, queue: &Arc<str>, exchange: &str, routing_key: &str) {
        set_name(&mut self.listener, listener);
        set_name(&mut self.queue, queue);
        exchange.clone_into(&mut self.exchange);
        routing_key.clone_into(&mut self.routing_key);
    }

    fn head(&mut self, head: &Head<'_>) {
        set(&mut self.event_type, head.event_type.as_deref());
        set(&mut self.publisher_id, head.publisher_id.as_deref());
        set(&mut self.priority, head.priority.as_ref().map(|priority| priority.as_str()));
    }
}

/// Compares first, because the name rarely changes and its reference counter is shared by threads.
fn set_name(slot: &mut Arc<str>, name: &Arc<str>) {
    if !Arc::ptr_eq(slot, name) {
        slot.clone_from(name);
    }
}

/// Reuses existing memory; a long text is cut and marked by `…`.
fn set(slot: &mut Option<String>, text: Option<&str>) {
    let Some(text) = text else {
        *slot = None;
        return;
    };
    let slot = slot.get_or_insert_default();
    if text.len() <= LONGEST_TEXT {
        text.clone_into(slot);
    } else {
        cut(text, LONGEST_TEXT).clone_into(slot);
        slot.push('…');
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
