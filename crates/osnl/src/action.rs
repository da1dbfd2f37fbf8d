//! What is done about a notification. An action *reports what happened*; what that means, another
//! attempt or a dead letter, is decided by the retry policy (see [`crate::delivery`]). Actions never
//! sleep, never retry and never count; the delivery loop gives each attempt its deadline.

pub mod driver;
pub mod dump;
pub(crate) mod event_names;
pub mod exec;
pub mod file;
pub mod http_request;
pub mod k2hr3;
pub mod k2hr3_register;
pub mod mail;
mod progress;
pub mod publish;
pub mod syslog;
mod wire;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

pub use osnl_http as http;

pub use self::progress::Progress;
use osnl_http::{Failure, FailureClass};
use osnl_model::{Notification, bulk_part};
use osnl_template::Names;
use osnl_transport::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::enrich::Enriched;
use crate::oss::{DONE, HAPPENED};
use crate::received::Received;

/// The name of [`Event::failure`] in templates.
pub(crate) const FAILURE: &str = "failure";

/// One notification for one action.
#[derive(Clone, Debug)]
pub struct Event {
    /// The message as it came.
    pub received: Arc<Received>,
    /// The same, read.
    pub notification: Arc<Notification>,
    /// The rule that fired.
    pub rule: Arc<str>,
    /// The action, by its name in the configuration.
    pub action: Arc<str>,
    /// Which of the notification's resources it is about, where a bulk request has several; `None` is the event.
    pub resource: Option<u32>,
    /// What was asked for it ([`crate::enrich`]), by the names of the enrichments, and [`Event::failure`]; `None` before
    /// that, and where there is none of either.
    pub enriched: Option<Arc<Enriched>>,
    /// How many of its calls are done, where it asks for several.
    pub progress: Progress,
}

impl Event {
    /// The payload as far as this event concerns it: of a bulk request the one resource, in the form in which a
    /// request about it alone has it.
    #[must_use]
    pub fn payload(&self) -> Cow<'_, Value> {
        let part = self.resource.and_then(|n| bulk_part(&self.notification, n as usize));
        part.map_or(Cow::Borrowed(&self.notification.payload), Cow::Owned)
    }

    /// Why the action before gave it up, where this one is its `on_failure`: `action`, `reason`, `attempts`, `answer`,
    /// `at`, and the same of the one before that as `before`.
    #[must_use]
    pub fn failure(&self) -> Option<&Value> {
        self.enriched.as_ref()?.get(FAILURE)
    }

    /// What was asked for it, by the names of the enrichments; `None` where nothing was.
    pub(crate) fn asked(&self) -> Option<Enriched> {
        let mut asked = Enriched::clone(self.enriched.as_ref()?);
        asked.retain(|name, _| ![FAILURE, HAPPENED, DONE].contains(&name.as_str()));
        (!asked.is_empty()).then_some(asked)
    }

    /// What a template can name of it: the notification as far as this event concerns it, and what was asked for it.
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

    /// The id of its message, if that has one: as [`Notification::id`], and of what was kept before keys had rules
    /// the message id first, so that each attempt says the same.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self.received.noted.key {
            KeyForm::WithRule => self.notification.id(),
            KeyForm::WithoutRule => former_id(&self.notification),
        }
    }

    /// The same in every attempt, and another for every other effect that is wanted: the message's id, or the
    /// digest of its bytes if it has none, the rule, the action, and which of several resources. A receiver that remembers
    /// them can tell a repeated request from a second one.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        let digest = || self.received.digest().to_string();
        match self.received.noted.key {
            KeyForm::WithRule => {
                idempotency_key(&self.notification, &self.rule, &self.action, self.resource, digest)
            }
            KeyForm::WithoutRule => former_key(&self.notification, &self.action, self.resource, digest),
        }
    }
}

/// Of what an idempotency key is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyForm {
    /// `MESSAGE/RULE/ACTION`: two rules that fire one action for one event have two effects.
    #[default]
    WithRule,
    /// `MESSAGE/ACTION`, by the message id first: what was kept before keys had rules has been sent with this one.
    WithoutRule,
}

/// [`Event::idempotency_key`], of a message without an id with this digest.
pub(crate) fn idempotency_key(
    notification: &Notification,
    rule: &str,
    action: &str,
    resource: Option<u32>,
    digest: impl FnOnce() -> String,
) -> String {
    let message = notification.id().map_or_else(digest, str::to_owned);
    keyed(&format!("{message}/{rule}/{action}"), resource)
}

fn former_key(
    notification: &Notification,
    action: &str,
    resource: Option<u32>,
    digest: impl FnOnce() -> String,
) -> String {
    let message = former_id(notification).map_or_else(digest, str::to_owned);
    keyed(&format!("{message}/{action}"), resource)
}

fn former_id(notification: &Notification) -> Option<&str> {
    notification.message_id.as_deref().or(notification.unique_id.as_deref())
}

fn keyed(key: &str, resource: Option<u32>) -> String {
    match resource {
        Some(n) => format!("{key}/{n}"),
        None => key.to_owned(),
    }
}

/// A call on the outside world.
pub trait Action: Send + Sync {
    /// Makes one attempt for each event and answers one verdict each, in their order.
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Done, ActionError>>>;

    /// What it talks to, for people: no secret.
    fn target(&self) -> String;

    /// The host that an attempt for this event calls, where the event names it: `host:port`. `None` where the
    /// configuration names the target, and where the event names none.
    fn host(&self, event: &Event) -> Option<Arc<str>> {
        let _ = event;
        None
    }

    /// Called once, before the first attempt: starts what the action keeps running, so that what is wrong with it
    /// is said at the start and not with the first event. A failure changes nothing else: an attempt starts it again.
    fn open(&self) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Called once, after the last attempt: ends what the action keeps running, at once if `abort` is cancelled.
    fn close<'a>(&'a self, abort: &'a CancellationToken) -> BoxFuture<'a, ()> {
        let _ = abort;
        Box::pin(std::future::ready(()))
    }
}

/// An attempt that needs no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The effect is there; what was done, for the log.
    Delivered(String),
    /// The event asks for nothing; why, for the log.
    NothingToDo(String),
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{class}: {reason}")]
pub struct ActionError {
    /// What kind of failure.
    pub class: ErrorClass,
    /// What happened, in the words of whoever said so. No secret.
    pub reason: String,
    /// How long the target asked us to wait.
    pub retry_after: Option<Duration>,
    /// The service that could not be asked, of [`ErrorClass::Dependency`]. No secret.
    pub dependency: Option<Arc<str>>,
}

impl ActionError {
    /// A failure of this kind.
    pub fn new(class: ErrorClass, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into(), retry_after: None, dependency: None }
    }

    /// A service that this delivery needs, and that is not its target, cannot be asked now.
    pub fn dependency(name: impl Into<Arc<str>>, reason: impl Into<String>) -> Self {
        Self { dependency: Some(name.into()), ..Self::new(ErrorClass::Dependency, reason) }
    }
}

impl From<Failure> for ActionError {
    fn from(failure: Failure) -> Self {
        let class = match failure.class {
            FailureClass::Connect => ErrorClass::Connect,
            FailureClass::Tls => ErrorClass::Tls,
            FailureClass::Reset => ErrorClass::Reset,
            FailureClass::Status(status) => ErrorClass::Status(status),
            FailureClass::Forbidden | FailureClass::Unsendable => ErrorClass::Content,
        };
        Self { retry_after: failure.retry_after, ..Self::new(class, failure.reason) }
    }
}

/// The kinds of failure that a retry policy tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Refused, unresolved, unreachable.
    Connect,
    /// The TLS handshake or the certificate failed.
    Tls,
    /// No answer in time. Whether the effect is there is unknown.
    Timeout,
    /// The connection ended, or what came was no whole answer. Whether the effect is there is unknown.
    Reset,
    /// An answer with this HTTP status, none of 2xx. 408, 425, 429 and 5xx say that the target cannot now; any other
    /// refuses.
    Status(u16),
    /// Not now, says whoever was asked: a plug-in whose own target is away, or a target for which this HTTP status means
    /// that, whatever it means elsewhere.
    Busy(Option<u16>),
    /// It did not work, and nothing says whether it ever will: a program that ended with an error, or a target that refuses
    /// with this HTTP status, whatever it means elsewhere.
    Refused(Option<u16>),
    /// Whoever was asked will never do it, and says so: a final refusal, of a plug-in or a target.
    Rejected,
    /// The event cannot be turned into a request; no attempt will change that.
    Content,
    /// A service that the delivery needs before its attempt cannot be asked now. It says nothing about the target.
    Dependency,
}

impl ErrorClass {
    /// Whether no further attempt can change it: a dead letter at once, whatever else is configured.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Rejected | Self::Content => true,
            Self::Connect
            | Self::Tls
            | Self::Timeout
            | Self::Reset
            | Self::Status(_)
            | Self::Busy(_)
            | Self::Refused(_)
            | Self::Dependency => false,
        }
    }
}

impl std::fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect => f.write_str("cannot connect"),
            Self::Tls => f.write_str("TLS failed"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Reset => f.write_str("no whole answer"),
            Self::Status(status) | Self::Busy(Some(status)) | Self::Refused(Some(status)) => {
                write!(f, "status {status}")
            }
            Self::Rejected => f.write_str("refused for good"),
            Self::Content => f.write_str("unusable notification"),
            Self::Dependency => f.write_str("a dependency is down"),
            Self::Busy(None) => f.write_str("not now"),
            Self::Refused(None) => f.write_str("failed"),
        }
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
        let check = |unique, message, rule: &str, resource, new: &str, former: &str| {
            let notification = notification(unique, message);
            assert_eq!(idempotency_key(&notification, rule, "a", resource, digest), new);
            assert_eq!(former_key(&notification, "a", resource, digest), former);
        };
        check(Some("u"), Some("m"), "r", None, "u/r/a", "m/a");
        check(Some("u"), Some("m"), "other", None, "u/other/a", "m/a");
        check(None, Some("m"), "r", Some(2), "m/r/a/2", "m/a/2");
        check(Some(""), Some("m"), "r", None, "m/r/a", "m/a");
        check(Some("u"), None, "r", None, "u/r/a", "u/a");
        check(None, None, "r", Some(0), "DIGEST/r/a/0", "DIGEST/a/0");
        check(Some(""), Some(""), "r", None, "DIGEST/r/a", "/a");
    }
}
