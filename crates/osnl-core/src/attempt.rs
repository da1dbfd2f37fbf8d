//! One attempt at the outside world: the contract of an action, and the outcome that it reports.

use std::sync::Arc;
use std::time::Duration;

use osnl_http::{Expiry, Failure, FailureClass};
use osnl_transport::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::event::Event;

/// A call on the outside world.
pub trait Action: Send + Sync {
    /// Makes one attempt for each event and answers one verdict each, in their order.
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>>;

    /// The target's name, for people: no secret.
    fn target(&self) -> String;

    /// The host that an attempt for this event calls, where the event names it: `host:port`. `None` where the
    /// configuration names the target, and where the event names none.
    fn host(&self, event: &Event) -> Option<Arc<str>>;

    /// Returns the request of an attempt for this event as text, for the record of an attempt that failed: secrets are
    /// masked. `None` where there is no request to show.
    fn request(&self, event: &Event) -> Option<String> {
        let _ = event;
        None
    }

    /// Called once, before the first attempt: starts what the action keeps running, so that what is wrong with it
    /// is said at the start and not with the first event. A failure changes nothing else: an attempt starts it again.
    fn open(&self) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Returns the number of times that what it keeps running was started again after it had ended. `None` for an
    /// action that keeps nothing running.
    fn restarts(&self) -> Option<u64> {
        None
    }

    /// Returns the last second, since 1970, in which the certificate counts that the target showed last. `None` before
    /// it has shown one, and where events name the target.
    fn certificate_ends(&self) -> Option<i64> {
        None
    }

    /// Returns the ends of the credentials that its attempts use, and of the certificates of those that gave them.
    fn expiries(&self) -> Vec<Expiry> {
        Vec::new()
    }

    /// Called once, after the last attempt: ends what the action keeps running, at once if `abort` is cancelled.
    fn close<'a>(&'a self, abort: &'a CancellationToken) -> BoxFuture<'a, ()> {
        let _ = abort;
        Box::pin(std::future::ready(()))
    }
}

/// An attempt that needs no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The effect is there; what was done, for the log.
    Delivered(String),
    /// The event asks for nothing; why, for the log.
    NothingToDo(String),
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", self.kind())]
pub struct ActionError {
    /// The kind of failure.
    pub class: ErrorClass,
    /// The failure in the target's words. No secret.
    pub reason: String,
    /// The pause that the target asked for.
    pub retry_after: Option<Duration>,
    /// The service that could not be asked, of [`ErrorClass::Dependency`]. No secret.
    pub dependency: Option<Arc<str>>,
    /// Whether a template of the action is the cause, and not the event.
    pub is_template: bool,
    /// The words for the kind of failure, where those of its class mislead.
    pub own_kind: Option<&'static str>,
    /// The remedy that the failed part knows; else that of the kind of failure ([`ActionError::remedy`]).
    pub own_remedy: Option<&'static str>,
}

impl ActionError {
    /// A failure of this kind.
    pub fn new(class: ErrorClass, reason: impl Into<String>) -> Self {
        Self {
            class,
            reason: reason.into(),
            retry_after: None,
            dependency: None,
            is_template: false,
            own_kind: None,
            own_remedy: None,
        }
    }

    /// A template of the action has no usable result for this event; no attempt will change that.
    pub fn template(reason: impl Into<String>) -> Self {
        Self { is_template: true, ..Self::new(ErrorClass::Content, reason) }
    }

    /// A file that cannot be opened or written: a target that is down.
    pub fn unwritable(reason: impl Into<String>) -> Self {
        Self {
            own_kind: Some("cannot write"),
            own_remedy: Some(
                "check that its folder exists, that osnl's user may write there, and that the disk has room",
            ),
            ..Self::new(ErrorClass::Connect, reason)
        }
    }

    /// A program that cannot be started, or that ends before it has done anything: a target that is down.
    pub fn unrunnable(reason: impl Into<String>) -> Self {
        Self {
            own_kind: Some("cannot run"),
            own_remedy: Some("run the command as osnl's user, and look at what it writes to standard error"),
            ..Self::new(ErrorClass::Connect, reason)
        }
    }

    /// A service that this delivery needs, and that is not its target, cannot be asked now.
    pub fn dependency(name: impl Into<Arc<str>>, reason: impl Into<String>) -> Self {
        Self { dependency: Some(name.into()), ..Self::new(ErrorClass::Dependency, reason) }
    }

    /// Returns what the operator looks at first; `None` where the reason names it, or the failure does not tell.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        if self.own_remedy.is_some() {
            return self.own_remedy;
        }
        match self.class {
            ErrorClass::Content if self.is_template => {
                Some("correct the template, then run osnl check, osnl reload, and osnl deliveries retry")
            }
            ErrorClass::Connect => Some("check that the target is running and that host and port are right"),
            ErrorClass::Timeout => {
                Some("look at the target's load and log, or increase the action's timeout")
            }
            ErrorClass::Status(401 | 403) => {
                Some("check the action's credentials; then: osnl reload (a file:// is read again without it)")
            }
            ErrorClass::Status(404 | 405) => Some("check the path and the method of the action"),
            ErrorClass::Status(500..600) | ErrorClass::Reset => Some("the target's own log tells why"),
            ErrorClass::Tls
            | ErrorClass::Status(_)
            | ErrorClass::Busy(_)
            | ErrorClass::Refused(_)
            | ErrorClass::Rejected
            | ErrorClass::Content
            | ErrorClass::Dependency => None,
        }
    }

    fn kind(&self) -> String {
        if self.is_template {
            return "the action's template does not fit this event".to_owned();
        }
        self.own_kind.map_or_else(|| self.class.to_string(), str::to_owned)
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

/// The kinds of failure that a retry policy distinguishes.
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
    /// The target is busy: a plug-in whose own target is away, or a target for which this HTTP status means that,
    /// whatever it means elsewhere.
    Busy(Option<u16>),
    /// It did not work, and nothing says whether it ever will: a program that ended with an error, or a target that refuses
    /// with this HTTP status, whatever it means elsewhere.
    Refused(Option<u16>),
    /// A final refusal of a plug-in or a target.
    Rejected,
    /// The event cannot be turned into a request; no attempt will change that.
    Content,
    /// A service that the delivery needs before its attempt cannot be asked now. It says nothing about the target.
    Dependency,
}

/// The names of the kinds in metrics: as many as there are, whatever a target answers.
pub const CLASSES: [&str; 12] = [
    "connect",
    "tls",
    "timeout",
    "reset",
    "status_4xx",
    "status_5xx",
    "status_other",
    "busy",
    "refused",
    "rejected",
    "content",
    "dependency",
];

impl ErrorClass {
    /// Returns the index of its name in [`CLASSES`].
    #[must_use]
    pub fn place(self) -> usize {
        match self {
            Self::Connect => 0,
            Self::Tls => 1,
            Self::Timeout => 2,
            Self::Reset => 3,
            Self::Status(400..500) => 4,
            Self::Status(500..600) => 5,
            Self::Status(_) => 6,
            Self::Busy(_) => 7,
            Self::Refused(_) => 8,
            Self::Rejected => 9,
            Self::Content => 10,
            Self::Dependency => 11,
        }
    }

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
            Self::Reset => f.write_str("incomplete answer"),
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

    /// The words for a network would send the operator to a host and a port that there are not.
    #[test]
    fn a_file_and_a_program_have_words_of_their_own() {
        let check = |error: ActionError, words: &str, remedy: &str| {
            assert_eq!((error.class, error.to_string()), (ErrorClass::Connect, words.to_owned()));
            assert!(error.remedy().unwrap().contains(remedy), "{:?}", error.remedy());
        };
        check(ActionError::unwritable("/a: gone"), "cannot write: /a: gone", "folder exists");
        check(ActionError::unrunnable("x has ended"), "cannot run: x has ended", "standard error");
        check(ActionError::new(ErrorClass::Connect, "h: no"), "cannot connect: h: no", "host and port");
    }
}
