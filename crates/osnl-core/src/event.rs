//! One event for one action: the message, the rule that fired, and the values that were found for it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use osnl_model::{Notification, bulk_part};
use osnl_template::Names;
use serde_json::Value;

use super::fence::Fence;
use super::received::ReceivedMessage;

/// The name of [`Event::failure`] in templates.
pub const FAILURE: &str = "failure";
/// The name under which a delivery keeps the changes for an oss_watcher plug-in; no section has such a name.
pub const HAPPENED: &str = "oss:happened";
/// The name of the number of calls that are done.
pub const DONE: &str = "oss:done";

/// The values that were found for a delivery, by the names of the enrichments.
pub type EnrichedValues = BTreeMap<String, Value>;

/// The number of an event's calls that are done. Clones share it: calls count even if their attempt fails or runs out
/// of time. The delivery loop keeps it in the journal.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU32>);

/// The values that were found for one delivery of a message.
#[derive(Clone, Debug)]
pub struct AskedFor {
    /// The rule that matched.
    pub rule: String,
    /// The action.
    pub action: String,
    /// The index of its resource in a bulk request.
    pub resource: Option<u32>,
    /// By the names of the enrichments.
    pub found: EnrichedValues,
}

/// One notification for one action.
#[derive(Clone, Debug)]
pub struct Event {
    /// The message as it came.
    pub received: Arc<ReceivedMessage>,
    /// The message, decoded.
    pub notification: Arc<Notification>,
    /// The rule that matched.
    pub rule: Arc<str>,
    /// The action, by its name in the configuration.
    pub action: Arc<str>,
    /// The index of its resource in a bulk request; `None` is the whole event.
    pub resource: Option<u32>,
    /// The values of its enrichments, by their names, and [`Event::failure`]; `None` before that, and without either.
    pub enriched: Option<Arc<EnrichedValues>>,
    /// The number of its calls that are done, if it needs several.
    pub progress: Progress,
    /// The fence of its claim, where several daemons share the journal.
    pub fence: Option<Fence>,
    /// When the attempt under way began; `None` without one.
    pub began: Option<SystemTime>,
    /// The number of the delivery that the attempt under way is for, as operators write it; for log lines.
    pub delivery: Option<Arc<str>>,
}

impl Event {
    /// An event that concerns the whole message, before its first attempt, without enrichments.
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
            enriched: None,
            progress: Progress::default(),
            fence: None,
            began: None,
            delivery: None,
        }
    }

    /// The payload as far as this event concerns it: of a bulk request the one resource, in the form in which a
    /// request about it alone has it.
    #[must_use]
    pub fn payload(&self) -> Cow<'_, Value> {
        let part = self.resource.and_then(|n| bulk_part(&self.notification, n as usize));
        part.map_or(Cow::Borrowed(&self.notification.payload), Cow::Owned)
    }

    /// The failure of the action before, if this one is its `on_failure`: `action`, `reason`, `attempts`, `answer`,
    /// `at`, and the same of the one before that as `before`.
    #[must_use]
    pub fn failure(&self) -> Option<&Value> {
        self.enriched.as_ref()?.get(FAILURE)
    }

    /// The values of its enrichments, by their names; `None` without enrichments.
    pub fn asked(&self) -> Option<EnrichedValues> {
        let mut asked = EnrichedValues::clone(self.enriched.as_ref()?);
        asked.retain(|name, _| ![FAILURE, HAPPENED, DONE].contains(&name.as_str()));
        (!asked.is_empty()).then_some(asked)
    }

    /// The names for templates: the notification as far as this event concerns it, and the values of enrichments.
    #[must_use]
    pub fn names(&self) -> Names {
        let names = match self.resource {
            None => Names::new(self.notification.clone()),
            Some(_) => Names::of_part(self.notification.clone(), self.payload().into_owned()),
        };
        let enriched = self.enriched.iter().flat_map(|enriched| enriched.iter());
        enriched.fold(names, |names, (name, value)| match name.as_str() {
            FAILURE => names.with(name, value.clone()),
            // What is kept for the action itself is no name.
            HAPPENED | DONE => names,
            _ => names.with_found(name, value.clone()),
        })
    }

    /// The id of its message, if it has one: [`Notification::id`].
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.notification.id()
    }

    /// The same in every attempt, and another for every other effect that is wanted: the message's id, or the
    /// digest of its bytes if it has none, the rule, the action, and which of several resources. A receiver that remembers
    /// them can tell a repeated request from a second one.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        let digest = || self.received.digest().to_string();
        idempotency_key(&self.notification, &self.rule, &self.action, self.resource, digest)
    }
}

/// The progress of an event that needs several calls.
///
/// Calls that are done are counted and not made deliveries of their own. The attempt shares the count, so that one
/// that ran out of time has it too.
impl Event {
    /// The number of its calls that are done, from the first on.
    #[must_use]
    pub fn done(&self) -> usize {
        usize::try_from(self.kept().max(self.progress.0.load(Ordering::Acquire))).unwrap_or(usize::MAX)
    }

    /// Counts one more as done.
    pub fn one_is_done(&self) {
        let done = u32::try_from(self.done()).unwrap_or(u32::MAX);
        self.progress.0.store(done.saturating_add(1), Ordering::Release);
    }

    /// The values to keep with the delivery so that a later attempt continues from there; `None` if they are kept.
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

/// [`Event::idempotency_key`], of a message without an id with this digest.
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

    /// Finding 24: two rules that fire one action for one event have two effects, and one precedence of ids holds.
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
