//! The contract of an action: one attempt, and the outcome that it reports.

use std::sync::Arc;
use std::time::Duration;

use osnl_net::http::{Expiry, Failure, FailureClass};
use osnl_transport::{BoxFuture, Remedy};
use tokio_util::sync::CancellationToken;

use super::event::Event;
use super::misfit::Misfit;

/// The most bytes of a failed attempt's answer that a store keeps and the status shows: a value of the event may be in
/// it.
pub const LONGEST_ANSWER: usize = 1000;

/// A driver: it makes the attempts, and never decides about a retry.
pub trait Action: Send + Sync {
    /// Makes one attempt for each event, and returns one verdict each in the same order.
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>>;

    /// Returns the target for the log and `osnl status`, without secrets.
    fn target(&self) -> String;

    /// Returns `host:port` of an attempt, if the event names the host. `None` if the configuration names the target.
    fn host(&self, event: &Event) -> Option<Arc<str>> {
        let _ = event;
        None
    }

    /// Returns the request for the record of a failed attempt, with secrets masked.
    fn request(&self, event: &Event) -> Option<String> {
        let _ = event;
        None
    }

    /// Starts long-running parts, so that an error shows at the start and not with the first event. After a failure an
    /// attempt starts the part again.
    fn open(&self) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Returns how often a long-running part has been started again; `None` without such a part.
    fn restarts(&self) -> Option<u64> {
        None
    }

    /// Returns the last valid second, since 1970, of the certificate that the target showed last.
    fn certificate_ends(&self) -> Option<i64> {
        None
    }

    /// Returns the expiry times of the credentials in use, and of the certificates of their issuers.
    fn expiries(&self) -> Vec<Expiry> {
        Vec::new()
    }

    /// Ends the long-running parts after the last attempt, at once if `abort` is cancelled.
    fn close<'a>(&'a self, abort: &'a CancellationToken) -> BoxFuture<'a, ()> {
        let _ = abort;
        Box::pin(std::future::ready(()))
    }
}

/// The success of an attempt, with its effect in words for the log and listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion {
    Delivered(String),
    /// The target needs no change, such as an object that is gone already.
    NothingToDo(String),
}

/// The failure of an attempt: its class decides about a retry, its words are for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", self.kind())]
pub struct ActionError {
    /// The kind of failure, which alone decides about a retry.
    pub class: ErrorClass,
    /// The failure in words, with secrets masked.
    pub reason: String,
    /// The pause that the target asks for; `None` if it names none.
    pub retry_after: Option<Duration>,
    /// The service that did not answer; `Some` only for [`ErrorClass::Dependency`].
    pub dependency: Option<Arc<str>>,
    /// Whether an operator must act before the dependency answers, as it refuses the login, or is not there.
    pub needs_operator: bool,
    /// The template without a usable result for the event.
    pub misfit: Option<Box<Misfit>>,
    /// A name for the kind of failure, where the name of its class misleads.
    pub own_kind: Option<&'static str>,
    /// A hint for the operator, where the hint of its class misleads.
    pub own_remedy: Option<Remedy>,
}

impl ActionError {
    pub fn new(class: ErrorClass, reason: impl Into<String>) -> Self {
        Self {
            class,
            reason: reason.into(),
            retry_after: None,
            dependency: None,
            needs_operator: false,
            misfit: None,
            own_kind: None,
            own_remedy: None,
        }
    }

    /// Returns the error of a template without a usable result for this event. No retry helps.
    pub fn template(misfit: Misfit) -> Self {
        let reason = misfit.to_string();
        Self { misfit: Some(Box::new(misfit)), ..Self::new(ErrorClass::Content, reason) }
    }

    /// Returns the error of a file that cannot be written, which counts as a target that is down.
    pub fn unwritable(reason: impl Into<String>) -> Self {
        Self {
            own_kind: Some("cannot write"),
            own_remedy: Some(
                "check that its folder exists, that osnl's user may write there, and that the disk has room"
                    .into(),
            ),
            ..Self::new(ErrorClass::Connect, reason)
        }
    }

    /// Returns the error of a program that cannot start or ends too early, which counts as a target that is down.
    pub fn unrunnable(reason: impl Into<String>) -> Self {
        Self {
            own_kind: Some("cannot run"),
            own_remedy: Some(
                "run the command as osnl's user, and look at what it writes to standard error".into(),
            ),
            ..Self::new(ErrorClass::Connect, reason)
        }
    }

    /// Returns the error of a target that answers and cannot be used, which counts as a target that is down. `kind` names
    /// the failure.
    pub fn unusable(kind: &'static str, reason: impl Into<String>) -> Self {
        Self { own_kind: Some(kind), ..Self::new(ErrorClass::Connect, reason) }
    }

    /// Returns the error of an answer that cannot be read. The effect may be done, so another attempt might be a second one:
    /// an operator decides.
    pub fn unreadable(kind: &'static str, reason: impl Into<String>, remedy: &'static str) -> Self {
        debug_assert!(UNREADABLE.contains(&kind), "the cause of the dead letter is known");
        Self {
            own_kind: Some(kind),
            own_remedy: Some(remedy.into()),
            ..Self::new(ErrorClass::Rejected, reason)
        }
    }

    pub fn dependency(name: impl Into<Arc<str>>, reason: impl Into<String>) -> Self {
        Self { dependency: Some(name.into()), ..Self::new(ErrorClass::Dependency, reason) }
    }

    /// Returns a hint for the operator. `None` if the reason already names the remedy, or the failure gives no clue.
    #[must_use]
    pub fn remedy(&self) -> Option<Remedy> {
        self.own_remedy.clone().or_else(|| self.usual_remedy())
    }

    fn usual_remedy(&self) -> Option<Remedy> {
        let to_configure = |advice: &'static str| Some(Remedy::ConfigurationAdvice(advice.into()));
        let advice = match self.class {
            ErrorClass::Content if self.misfit.is_some() => {
                "correct the template, then run osnl check, osnl reload, and osnl deliveries retry"
            }
            // A name of its own means that the target was reached.
            ErrorClass::Connect if self.own_kind.is_some() => return None,
            ErrorClass::Connect => "check that the target is running and that host and port are right",
            ErrorClass::Timeout => "look at the target's load and log, or increase the action's timeout",
            ErrorClass::Status(401 | 403 | 407) => return to_configure("check the action's credentials"),
            ErrorClass::Status(404 | 405) => {
                return to_configure("check the path and the method of the action");
            }
            ErrorClass::Status(400 | 415 | 422) => {
                return to_configure("correct what the action sends: body, headers, url");
            }
            ErrorClass::Status(500..600) | ErrorClass::Reset => "the target's own log tells why",
            _ => return None,
        };
        Some(advice.into())
    }

    /// Returns the kind of the failure, and the option of a template: dead letters of one kind are bounded together, and
    /// [`Uncorrected`] reads it.
    #[must_use]
    pub fn cause(&self) -> String {
        match self.misfit.as_ref().map(|misfit| &misfit.option) {
            Some(Some(option)) => format!("{TEMPLATE}: {option}"),
            Some(None) => TEMPLATE.to_owned(),
            None => match self.own_kind {
                Some(kind) if UNREADABLE.contains(&kind) => kind.to_owned(),
                Some(_) | None => self.class.to_string(),
            },
        }
    }

    fn kind(&self) -> String {
        if self.misfit.is_some() {
            return MISFIT.to_owned();
        }
        self.own_kind.map_or_else(|| self.class.to_string(), str::to_owned)
    }
}

/// The kind of failure of a template, at the beginning of its words.
const MISFIT: &str = "the action's template does not fit this event";

/// The kind of a template's failure in [`ActionError::cause`], before the option.
const TEMPLATE: &str = "template";

/// The kinds of an answer that cannot be read.
const UNREADABLE: [&str; 2] = ["unreadable reply", "unreadable verdict"];

/// The kind of a dead letter that a limit has made, beside those of [`ActionError::cause`].
pub const TARGET_HELD: &str = "the target was down for longer than hold_max";
/// As [`TARGET_HELD`], of an event that is a dead letter from the start.
pub const TOO_OLD: &str = "the event was too old, or came after a newer one";

/// The part that an operator corrects or looks at before a retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uncorrected {
    /// A template: an option of the action such as `url`, or one of an enrichment such as `[enrich:port] id`. `None` if the
    /// fault is not that of one option.
    Template(Option<String>),
    /// The event, for this action, or for its target.
    Event,
    /// The effect, which may be done: the answer could not be read.
    Effect,
}

impl Uncorrected {
    /// Reads [`ActionError::cause`], as a journal keeps it. `None` if a retry may succeed.
    #[must_use]
    pub fn from_cause(cause: &str) -> Option<Self> {
        match cause.split_once(": ") {
            Some((TEMPLATE, option)) => Some(Self::Template(Some(option.to_owned()))),
            None if cause == TEMPLATE => Some(Self::Template(None)),
            None if UNREADABLE.contains(&cause) => Some(Self::Effect),
            Some(_) | None => [ErrorClass::Content, ErrorClass::Rejected]
                .into_iter()
                .any(|class| cause == class.to_string())
                .then_some(Self::Event),
        }
    }

    /// Returns the part of an [`ActionError`]'s words that is the same for each action that the event does not fit.
    #[must_use]
    pub fn problem<'a>(&self, reason: &'a str) -> &'a str {
        let own = match self {
            Self::Template(Some(option)) => format!("{MISFIT}: {option}: "),
            Self::Template(None) => format!("{MISFIT}: "),
            Self::Event | Self::Effect => return reason,
        };
        reason.strip_prefix(&*own).unwrap_or(reason)
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

/// The kind of a failure, from which the retry policy and the breaker decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// No connection: the request was not sent.
    Connect,
    /// The TLS handshake failed: the request was not sent.
    Tls,
    /// There was no answer in time; the effect may be done.
    Timeout,
    /// The connection ended, or the answer was incomplete; the effect may be done.
    Reset,
    /// The target answered with an HTTP status outside 2xx. 408, 425, 429 and 5xx mean that the target is unable now;
    /// any other status is a refusal.
    Status(u16),
    /// The target is busy: a plug-in cannot reach its own target, or the configuration gives the HTTP status this
    /// meaning.
    Busy(Option<u16>),
    /// A program ended with an error, or the configuration gives the HTTP status this meaning: a retry may help.
    Refused(Option<u16>),
    /// The target refuses this event for good; no retry can succeed.
    Rejected,
    /// No request can be made of this event; no retry can succeed.
    Content,
    /// A needed service that is not the target is unreachable.
    Dependency,
}

/// The names of the kinds in metrics. HTTP statuses share names, so that a target cannot create labels.
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

    /// Whether the target answers and refuses: only a change of the action or of the target ends that.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        match self {
            Self::Status(status) => !matches!(status, 408 | 425 | 429 | 500..),
            Self::Refused(_) | Self::Rejected => true,
            _ => false,
        }
    }

    /// Whether the target refuses the login of the action, or its proxy does: an HTTP status, or a mail server's code.
    /// No event is at fault then.
    #[must_use]
    pub fn is_login(self) -> bool {
        matches!(self, Self::Status(401 | 407) | Self::Refused(Some(530 | 534 | 535 | 538)))
    }

    /// Returns whether the delivery becomes a dead letter at once, because no retry can succeed.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Rejected | Self::Content)
    }

    /// Whether a failed attempt has the cause for which its host is down, and not one of its event: the host is unable
    /// now, or refuses with this status.
    #[must_use]
    pub fn is_of_host(self, down: Self) -> bool {
        match self {
            Self::Content | Self::Dependency => false,
            _ if self.is_refusal() => self == down,
            _ => !down.is_refusal(),
        }
    }

    /// Returns the word by which a journal keeps the kind, with the status.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Status(status) => format!("status {status}"),
            Self::Busy(Some(status)) => format!("busy {status}"),
            Self::Refused(Some(status)) => format!("refused {status}"),
            _ => CLASSES[self.place()].to_owned(),
        }
    }

    /// Reads a [`word`](Self::word); `None` if a later version wrote it.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        use ErrorClass::{Busy, Connect, Content, Dependency, Refused, Rejected, Reset, Timeout, Tls};
        let status = word.split_once(' ').map(|(_, status)| status.parse::<u16>()).transpose().ok()?;
        let kinds =
            [Connect, Tls, Timeout, Reset, Busy(status), Refused(status), Rejected, Content, Dependency];
        status.map(Self::Status).into_iter().chain(kinds).find(|class| class.word() == word)
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

    #[test]
    fn the_cause_of_a_failure_tells_what_is_corrected_before_a_retry() {
        let template = |option: &str| ActionError::template(Misfit::in_option(option, "no: x"));
        let of = |class| ActionError::new(class, "url: x");
        let in_option = |option: &str| Some(Uncorrected::Template(Some(option.to_owned())));
        for (error, expected, problem) in [
            (template("url"), in_option("url"), "no: x"),
            (template("header.X-Name"), in_option("header.X-Name"), "no: x"),
            (template("[enrich:port] id"), in_option("[enrich:port] id"), "no: x"),
            (template("field.a: b"), in_option("field.a: b"), "no: x"),
            (
                ActionError::template(Misfit::other("url: none")),
                Some(Uncorrected::Template(None)),
                "url: none",
            ),
            (of(ErrorClass::Content), Some(Uncorrected::Event), "unusable notification: url: x"),
            (of(ErrorClass::Rejected), Some(Uncorrected::Event), "refused for good: url: x"),
            (
                ActionError::unreadable("unreadable reply", "url: x", ""),
                Some(Uncorrected::Effect),
                "unreadable reply: url: x",
            ),
            (of(ErrorClass::Status(404)), None, ""),
            (of(ErrorClass::Connect), None, ""),
        ] {
            let (found, reason) = (Uncorrected::from_cause(&error.cause()), error.to_string());
            assert_eq!(found.as_ref().map_or("", |found| found.problem(&reason)), problem);
            assert_eq!(found, expected, "{reason}");
        }
    }

    #[test]
    fn an_answer_to_what_the_configuration_says_needs_a_reload() {
        let remedy = |status| ActionError::new(ErrorClass::Status(status), "x").remedy().unwrap();
        for status in [400, 401, 404, 405, 415, 422] {
            assert!(matches!(remedy(status), Remedy::ConfigurationAdvice(_)), "{status}");
        }
        assert!(matches!(remedy(500), Remedy::Advice(_)));
    }

    #[test]
    fn a_word_of_the_journal_is_the_kind_with_its_status() {
        use ErrorClass::*;
        let plain = [Connect, Tls, Timeout, Reset, Rejected, Content, Dependency, Busy(None), Refused(None)];
        let with_status = [Status(404), Status(503), Busy(Some(503)), Refused(Some(530))];
        for class in plain.into_iter().chain(with_status) {
            assert_eq!(ErrorClass::from_word(&class.word()), Some(class), "{}", class.word());
        }
        assert_eq!([Status(404).word(), Refused(Some(530)).word()], ["status 404", "refused 530"]);
        for word in ["", "status", "status x", "connect 1", "of a later version"] {
            assert_eq!(ErrorClass::from_word(word), None, "{word}");
        }
    }

    /// The hints for a network would send the operator to a host and a port that do not exist.
    #[test]
    fn a_file_and_a_program_have_words_of_their_own() {
        let check = |error: ActionError, words: &str, remedy: &str| {
            assert_eq!((error.class, error.to_string()), (ErrorClass::Connect, words.to_owned()));
            assert!(error.remedy().unwrap().contains(remedy), "{:?}", error.remedy());
        };
        check(ActionError::unwritable("/a: gone"), "cannot write: /a: gone", "folder exists");
        check(ActionError::unrunnable("x has ended"), "cannot run: x has ended", "standard error");
        check(ActionError::new(ErrorClass::Connect, "h: no"), "cannot connect: h: no", "host and port");
        let offers = ActionError::unusable("no login is possible", "h: offers GSSAPI");
        assert_eq!((&*offers.to_string(), offers.remedy()), ("no login is possible: h: offers GSSAPI", None));
    }
}
