//! What an event does not say, asked of the OpenStack APIs: a server by its id, the flavor of that, and so on.
//!
//! | file | what it decides |
//! | --- | --- |
//! | [`conf`](EnrichConf) | `[enrich:NAME]`, checked |
//! | `cache` | [`Enricher`]: one answer for all who ask, for a while; who is asked how often |
//! | [`foreseen`](Ask) | what would be asked, for `osnl explain`; pure |
//! | `subject` | which object an event is about, and what the event itself says of it; pure |
//! | [`steps`](Enrichments) | what one action wants to know of one event, and what counts when nobody knows it |
//!
//! It is done at the delivery, before the first attempt: a rule is decided before the event is journalled, and no API
//! call may delay that. So a rule's `when` cannot look at an enrichment, and an action's templates can. What was found is
//! journalled with the delivery before the attempt begins, and every further attempt, after a restart too, sees
//! the same.
//!
//! Where an object is already gone, what counts is, in this order: what the event itself says of it; what was seen of it
//! earlier and is kept in the journal (what the API said, or an event); the stated default, which is null
//! unless somebody has stated one.
//!
//! Where it cannot be asked, the delivery waits for this dependency ([`ErrorClass::Dependency`]): that costs no attempt,
//! and says nothing about the action's target, so that deliveries which need nothing of it go out. A service that cannot
//! be reached is asked again after a growing pause, by one delivery for all ([`Enricher`]). What is forbidden (403) is an
//! answer about one object, and costs attempts. `on_error = default` asks for neither: what cannot be asked counts as gone.
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

use osnl_http::FailureClass;
use osnl_openstack::{ApiError, Cloud};
use osnl_transport::BoxFuture;
use serde_json::Value;

pub use osnl_openstack as openstack;
pub use osnl_openstack::Kind;

pub use self::cache::{Enricher, Limits};
pub use self::conf::{EnrichConf, OnError};
pub(crate) use self::foreseen::foresee;
pub use self::foreseen::{Ask, Foreseen};
pub use self::steps::Enrichments;
pub(crate) use self::steps::Step;
use crate::action::{ActionError, ErrorClass};
pub use osnl_core::event::Enriched;

/// Somebody who knows objects by their ids: a cloud, what remembers its answers, or a test.
pub trait Lookup: Send + Sync {
    /// What is known of one object, as its service describes it.
    fn fetch<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<Found, EnrichError>>;

    /// Whom it asks, for people: no secret.
    fn target(&self) -> String;
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The object, as its service describes it, without what it is wrapped in.
    There(Arc<Value>),
    /// There is none of this id; not any more, or not for us.
    Gone,
}

/// Why there is no answer. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EnrichError {
    /// What it means for a delivery that needs the answer.
    pub class: ErrorClass,
    /// What happened, in the words of whoever said so, with the URL that was called.
    pub reason: String,
    /// How long the service asked us to wait.
    pub retry_after: Option<Duration>,
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
        ActionError { retry_after: self.retry_after, ..error }
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
pub(crate) fn dependency(name: &str, target: &str) -> Arc<str> {
    format!("[enrich:{name}] {target}").into()
}

impl From<ApiError> for EnrichError {
    /// What the API cannot answer now is no fault of the event's, whatever its status: only what is forbidden is about the
    /// one object.
    fn from(error: ApiError) -> Self {
        let class = match &error {
            ApiError::Forbidden { .. } => ErrorClass::Refused(Some(403)),
            ApiError::TimedOut { .. } => ErrorClass::Timeout,
            // A catalogue without the service, which somebody has to add or to configure.
            ApiError::Catalog(_) => ErrorClass::Connect,
            ApiError::Answer { .. } => ErrorClass::Reset,
            ApiError::Gone(_)
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
        Self { class, reason: error.to_string(), retry_after: error.retry_after() }
    }
}

impl Lookup for Cloud {
    fn fetch<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<Found, EnrichError>> {
        Box::pin(async move {
            match self.get(kind, id).await {
                Ok(object) => Ok(Found::There(Arc::new(object))),
                Err(error) if error.is_gone() => Ok(Found::Gone),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn target(&self) -> String {
        self.shown()
    }
}

#[cfg(test)]
mod tests;
