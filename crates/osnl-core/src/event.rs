//! An event: one notification for one action, with the rule that fired and the values of its enrichments.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use osnl_config::template::Names;
use osnl_model::{Notification, bulk_part};
use serde_json::Value;

use super::received::ReceivedMessage;

pub const FAILURE: &str = "failure";
/// The name by which templates read the payload of an event about an incident of osnl.
pub const INCIDENT: &str = "incident";
/// The beginning of the event types of such events.
pub const OF_INCIDENT: &str = "osnl.incident.";
/// The name of the number of finished calls.
const DONE: &str = "osnl:done";

/// Values by the name of their enrichment, and the action's own by a name with a colon.
pub type EnrichedValues = BTreeMap<String, Value>;

/// The number of finished calls of an event. Clones share the number, so it survives an attempt that fails or times
/// out. The delivery loop keeps the number in the journal.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU32>);

/// The enrichments that are kept with one delivery, for a listing.
#[derive(Clone, Debug)]
pub struct AskedFor {
    pub rule: String,
    pub action: String,
    pub resource: Option<u32>,
    pub found: EnrichedValues,
}

/// All that an action needs for one attempt: the message, the rule, and the values found for it.
#[derive(Clone, Debug)]
pub struct Event {
    /// The message as received, shared by all of its deliveries.
    pub received: Arc<ReceivedMessage>,
    /// The decoded message.
    pub notification: Arc<Notification>,
    /// The name of the rule that fired.
    pub rule: Arc<str>,
    /// The name of the action's section.
    pub action: Arc<str>,
    /// The index of the resource in a bulk request; `None` for the whole event.
    pub resource: Option<u32>,
    /// The key by which its delivery is ordered; `None` before the delivery is claimed, or if it has none.
    pub order_key: Option<Arc<str>>,
    /// The values of its enrichments and [`Event::failure`]. `None` before the enrichments, or if there are none.
    pub enriched: Option<Arc<EnrichedValues>>,
    /// The finished calls of an action that needs several.
    pub progress: Progress,
    /// The beginning of the attempt; `None` before the first, and if a preparation decides.
    pub began: Option<SystemTime>,
    /// The number of the delivery, as operators write it, for log lines.
    pub delivery: Option<Arc<str>>,
}

impl Event {
    #[must_use]
    pub fn new(
        received: impl Into<Arc<ReceivedMessage>>,
        notification: impl Into<Arc<Notification>>,
        rule: impl Into<Arc<str>>,
        action: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            received: received.into(),
            notification: notification.into(),
            rule: rule.into(),
            action: action.into(),
            resource: None,
            order_key: None,
            enriched: None,
            progress: Progress::default(),
            began: None,
            delivery: None,
        }
    }

    /// Returns the payload for this event: in a bulk request, the one resource in the form of a single request.
    #[must_use]
    pub fn payload(&self) -> Cow<'_, Value> {
        let part = self.resource.and_then(|n| bulk_part(&self.notification, n as usize));
        part.map_or(Cow::Borrowed(&self.notification.payload), Cow::Owned)
    }

    /// Returns the failure of the action before, if this action is its `on_failure`. The object has `action`, `reason`,
    /// `attempts`, `answer`, `at`, and the failure before that as `before`.
    #[must_use]
    pub fn failure(&self) -> Option<&Value> {
        self.enriched.as_ref()?.get(FAILURE)
    }

    pub fn asked(&self) -> Option<EnrichedValues> {
        let mut asked = EnrichedValues::clone(self.enriched.as_ref()?);
        asked.retain(|name, _| name != FAILURE && !is_of_action(name));
        (!asked.is_empty()).then_some(asked)
    }

    #[must_use]
    pub fn names(&self) -> Names {
        let names = match self.resource {
            None => Names::new(self.notification.clone()),
            Some(_) => Names::for_part(self.notification.clone(), self.payload().into_owned()),
        };
        let event_type = self.notification.event_type.as_deref().unwrap_or_default();
        let names = match event_type.starts_with(OF_INCIDENT) {
            true => names.with(INCIDENT, self.notification.payload.clone()),
            false => names,
        };
        let enriched = self.enriched.iter().flat_map(|enriched| enriched.iter());
        enriched.filter(|(name, _)| !is_of_action(name)).fold(names, |names, (name, value)| {
            match name.as_str() {
                FAILURE => names.with(name, value.clone()),
                _ => names.with_found(name, value.clone()),
            }
        })
    }

    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.notification.id()
    }

    /// Returns a key that is equal in every attempt, so that a receiver recognises a repeated request. The key has the
    /// message's id (or the digest of its bytes), the rule, the action, and the index of the resource. Effects of two
    /// bodies under one `message_id`, without `_unique_id`, have the same key.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        let digest = || self.received.digest().to_string();
        idempotency_key(&self.notification, &self.rule, &self.action, self.resource, digest)
    }
}

/// The progress of an event that needs several calls.
///
/// Finished calls are counted instead of being deliveries of their own. The attempt shares the count, so the count
/// survives a timeout.
impl Event {
    #[must_use]
    pub fn done(&self) -> usize {
        usize::try_from(self.kept().max(self.progress.0.load(Ordering::Acquire))).unwrap_or(usize::MAX)
    }

    pub fn one_is_done(&self) {
        let done = u32::try_from(self.done()).unwrap_or(u32::MAX);
        self.progress.0.store(done.saturating_add(1), Ordering::Release);
    }

    /// Returns the values to keep with the delivery, so that a later attempt continues after the finished calls. `None`
    /// if the journal has the values already.
    pub fn progressed(&self) -> Option<Arc<EnrichedValues>> {
        let done = self.progress.0.load(Ordering::Acquire);
        if done <= self.kept() {
            return None;
        }
        let mut enriched = self.enriched.as_deref().cloned().unwrap_or_default();
        enriched.insert(DONE.to_owned(), done.into());
        Some(Arc::new(enriched))
    }

    fn kept(&self) -> u32 {
        let kept = self.enriched.as_ref().and_then(|kept| kept.get(DONE)?.as_u64());
        kept.and_then(|done| u32::try_from(done).ok()).unwrap_or_default()
    }
}

/// Whether a kept value serves the action itself, so that templates and operators do not see the value. No section, and
/// so no enrichment, can have a name with a colon.
fn is_of_action(name: &str) -> bool {
    name.contains(':')
}

pub fn idempotency_key(
    notification: &Notification,
    rule: &str,
    action: &str,
    resource: Option<u32>,
    digest: impl FnOnce() -> String,
) -> String {
    let message = notification.id().map_or_else(digest, str::to_owned);
    match resource {
        Some(n) => format!("{message}/{rule}/{action}/{n}"),
        None => format!("{message}/{rule}/{action}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_serves_the_action_is_no_answer_of_an_enrichment() {
        let received = ReceivedMessage::sample(Vec::new(), false);
        let kept = ["cmdb", FAILURE, "oss:happened", DONE].map(|name| (name.to_owned(), Value::from(1)));
        let event = Event {
            enriched: Some(Arc::new(kept.into())),
            ..Event::new(received, Notification::default(), "r", "a")
        };
        assert_eq!(event.asked(), Some(EnrichedValues::from([("cmdb".to_owned(), 1.into())])));
        assert_eq!(event.done(), 1);
    }

    /// Two rules that fire one action for one event have two effects, so their keys differ.
    #[test]
    fn a_key_names_message_rule_action_and_resource() {
        let notification = |unique: Option<&str>, message: Option<&str>| Notification {
            unique_id: unique.map(str::to_owned),
            message_id: message.map(str::to_owned),
            ..Notification::default()
        };
        let digest = || "DIGEST".to_owned();
        let check = |unique, message, rule: &str, resource, expected: &str| {
            let notification = notification(unique, message);
            assert_eq!(idempotency_key(&notification, rule, "a", resource, digest), expected);
        };
        check(Some("u"), Some("m"), "r", None, "u/r/a");
        check(Some("u"), Some("m"), "other", None, "u/other/a");
        check(None, Some("m"), "r", Some(2), "m/r/a/2");
        check(Some(""), Some("m"), "r", None, "m/r/a");
        check(Some("u"), None, "r", None, "u/r/a");
        check(None, None, "r", Some(0), "DIGEST/r/a/0");
        check(Some(""), Some(""), "r", None, "DIGEST/r/a");
    }
}
