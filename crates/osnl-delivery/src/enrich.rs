//! The values that an event lacks, asked of the OpenStack APIs: a server by its id, the flavor of that, and so on.
//!
//! | file | what it decides |
//! | --- | --- |
//! | [`conf`](EnrichConf) | `[enrich:NAME]`, checked |
//! | `cache` | [`Enricher`]: one answer for all deliveries that ask, for a while; the rate of questions to a source |
//! | [`foreseen`](Ask) | what would be asked, for `osnl explain`; pure |
//! | `subject` | which object an event is about, and what the event itself says of it; pure |
//! | [`steps`](Enrichments) | the questions of one action about one event, and the value if there is no answer |
//!
//! It is done at the delivery, before the first attempt: a rule is decided before the event is journalled, and no API
//! call may delay that. So a rule's `when` cannot look at an enrichment, and an action's templates can. What was found is
//! journalled with the delivery before the attempt begins, and every further attempt, after a restart too, sees
//! the same.
//!
//! If an object is already gone, its value is the first of these: the event's own description of it; an earlier
//! description in the journal (of the API, or of an event); the configured default, which is null unless the operator
//! sets one.
//!
//! If the API cannot be asked, the delivery waits for this dependency ([`ErrorClass::Dependency`]). That costs no
//! attempt and says nothing about the action's target, so deliveries that do not need the API are sent. A service that
//! cannot be reached is asked again after a growing pause, by one delivery for all ([`Enricher`]). A refusal (403) is
//! an answer about one object, and costs attempts. `on_error = default` does neither: an object that cannot be asked
//! for counts as gone.
//!
//! A failed question is a failure of a dependency and not of the target: most deliveries of an action may need none.
//! The enricher remembers an unreachable service and lets one delivery ask at a time.

mod cache;
mod conf;
mod foreseen;
mod steps;
mod subject;

use std::sync::Arc;
use std::time::Duration;

use osnl_core::attempt::{ActionError, ErrorClass};
pub use osnl_core::event::EnrichedValues;
use osnl_http::{Expiry, FailureClass};
pub use osnl_openstack as openstack;
pub use osnl_openstack::Kind;
use osnl_openstack::{ApiError, Cloud};
use osnl_transport::BoxFuture;
use serde_json::Value;

pub use self::cache::{Enricher, Limits};
pub use self::conf::{EnrichConf, OnError};
pub use self::foreseen::foresee;
pub use self::foreseen::{AnswerForecast, Ask};
pub use self::steps::EnrichmentStep;
pub use self::steps::Enrichments;

/// A source of objects by their ids: a cloud, a cache of its answers, or a test.
pub trait Lookup: Send + Sync {
    /// Returns one object, as its service describes it.
    fn fetch<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<LookupAnswer, EnrichError>>;

    /// Describes the source that it asks, for people: no secret.
    fn target(&self) -> String;

    /// Identifies the objects behind it: two sources of one place describe the same ones. No secret.
    fn place(&self) -> String {
        self.target()
    }

    /// Returns the ends of the certificates and credentials that it uses.
    fn expiries(&self) -> Vec<Expiry> {
        Vec::new()
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum LookupAnswer {
    /// The object, as its service describes it, without what it is wrapped in.
    There(Arc<Value>),
    /// There is none of this id; not any more, or not for us.
    Gone,
}

/// The reason why there is no answer. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EnrichError {
    /// The meaning for a delivery that needs the answer.
    pub class: ErrorClass,
    /// The failure, in the words of its source, with the URL that was called.
    pub reason: String,
    /// The wait that the service asked for.
    pub retry_after: Option<Duration>,
    /// The remedy, where the reason does not name it.
    pub remedy: Option<&'static str>,
}

impl EnrichError {
    /// The failure of a delivery that needs the answer; `name` is the section's, `target` whom it asks.
    #[must_use]
    pub fn of_delivery(&self, name: &str, target: &str) -> ActionError {
        let reason = format!("[enrich:{name}] {}", self.reason);
        let error = match self.class {
            ErrorClass::Connect
            | ErrorClass::Tls
            | ErrorClass::Timeout
            | ErrorClass::Reset
            | ErrorClass::Busy(_)
            | ErrorClass::Dependency => ActionError::dependency(dependency(name, target), reason),
            // An answer about the one object.
            ErrorClass::Status(_) | ErrorClass::Refused(_) | ErrorClass::Rejected | ErrorClass::Content => {
                ActionError::new(self.class, reason)
            }
        };
        ActionError { retry_after: self.retry_after, own_remedy: self.remedy, ..error }
    }

    /// Whether there was no answer at all.
    pub(crate) fn is_unreachable(&self) -> bool {
        match self.class {
            ErrorClass::Connect | ErrorClass::Tls | ErrorClass::Timeout => true,
            ErrorClass::Reset
            | ErrorClass::Busy(_)
            | ErrorClass::Dependency
            | ErrorClass::Status(_)
            | ErrorClass::Refused(_)
            | ErrorClass::Rejected
            | ErrorClass::Content => false,
        }
    }
}

/// The name of a section's service, for status and log.
pub fn dependency(name: &str, target: &str) -> Arc<str> {
    format!("[enrich:{name}] {target}").into()
}

impl From<ApiError> for EnrichError {
    /// A question that the API cannot answer now is no fault of the event's, whatever its status: only a refusal is
    /// about the one object.
    fn from(error: ApiError) -> Self {
        let class = match &error {
            ApiError::Forbidden { .. } => ErrorClass::Refused(Some(403)),
            ApiError::TimedOut { .. } => ErrorClass::Timeout,
            // A catalogue without the service, which somebody has to add or to configure.
            ApiError::Catalog(_) => ErrorClass::Connect,
            ApiError::Answer { .. } => ErrorClass::Reset,
            ApiError::Gone(_)
            | ApiError::NotTheApi { .. }
            | ApiError::Login { .. }
            | ApiError::Status { .. }
            | ApiError::Unreachable { .. } => match error.class() {
                Some(FailureClass::Tls) => ErrorClass::Tls,
                Some(FailureClass::Reset) => ErrorClass::Reset,
                Some(FailureClass::Status(status)) => ErrorClass::Busy(Some(status)),
                Some(FailureClass::Connect | FailureClass::Forbidden | FailureClass::Unsendable) | None => {
                    ErrorClass::Connect
                }
            },
        };
        Self { class, reason: error.to_string(), retry_after: error.retry_after(), remedy: None }
    }
}

impl Lookup for Cloud {
    fn fetch<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<LookupAnswer, EnrichError>> {
        Box::pin(async move {
            match self.get(kind, id).await {
                Ok(object) => Ok(LookupAnswer::There(Arc::new(object))),
                Err(error) if error.is_gone() => Ok(LookupAnswer::Gone),
                Err(error) => {
                    let remedy = self.remedy(&error);
                    Err(EnrichError { remedy, ..error.into() })
                }
            }
        })
    }

    fn target(&self) -> String {
        self.shown()
    }

    fn place(&self) -> String {
        Self::place(self)
    }

    fn expiries(&self) -> Vec<Expiry> {
        Self::expiries(self)
    }
}

#[cfg(test)]
mod tests;
