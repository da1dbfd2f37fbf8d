//! The values that an event lacks, fetched from the OpenStack APIs: a server by its id, then its flavor, and so on.
//!
//! Enrichment happens before the first attempt and not before the append, because no API call may delay a
//! rule. So a rule's `when` cannot use an enrichment, and an action's templates can. The values are
//! journalled before the attempt, so that every further attempt sees the same, after a restart too.
//!
//! If an object is gone, its value is the event's own description, else an earlier description in the
//! journal, else the configured default, which is null unless set.
//!
//! If the API is unreachable, the delivery waits for this dependency ([`ErrorClass::Dependency`]), which
//! costs no attempt and does not blame the target, so deliveries that do not need the API are sent. One
//! delivery at a time asks again, after a growing pause ([`Enricher`]). A refusal (403) is an answer about
//! one object and costs attempts. With `on_error = default` a failed question counts as a missing object.

mod ask;
mod cache;
mod kind;
mod steps;
mod subject;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_core::attempt::{ActionError, ErrorClass};
pub use osnl_core::event::EnrichedValues;
use osnl_net::http::Expiry;
use osnl_transport::BoxFuture;
use serde_json::Value;

pub use self::ask::{AnswerForecast, Ask};
pub use self::cache::{Enricher, Limits};
pub use self::kind::{Kind, NoKind};
pub use self::steps::{EnrichmentStep, Enrichments, OnError, brought_by};
pub use self::subject::default_id;

/// A source of descriptions of objects, such as a cloud. A failure has a class, which decides whether the delivery waits.
pub trait Lookup: Send + Sync {
    fn fetch<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<LookupAnswer, EnrichError>>;

    fn target(&self) -> String;

    /// Returns an id of the place, without secrets. Two sources with the same place describe the same objects.
    fn place(&self) -> String {
        self.target()
    }

    fn expiries(&self) -> Vec<Expiry> {
        Vec::new()
    }

    fn failed_at(&self) -> Option<SystemTime> {
        None
    }
}

/// The answer about one object, which is cached and shared.
#[derive(Clone, Debug, PartialEq)]
pub enum LookupAnswer {
    There(Arc<Value>),
    /// The object may also be invisible to this login.
    Gone,
}

/// The failure of a question: its class decides whether the delivery waits or uses up an attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EnrichError {
    pub class: ErrorClass,
    pub reason: String,
    pub retry_after: Option<Duration>,
    pub remedy: Option<&'static str>,
}

impl EnrichError {
    /// Returns the error of a delivery that needs the answer: it waits for the dependency, or uses up an attempt.
    #[must_use]
    pub fn to_action_error(&self, name: &str, target: &str) -> ActionError {
        let reason = format!("[enrich:{name}] {}", self.reason);
        let error = match self.class {
            ErrorClass::Connect
            | ErrorClass::Tls
            | ErrorClass::Timeout
            | ErrorClass::Reset
            | ErrorClass::Busy(_)
            | ErrorClass::Dependency => ActionError::dependency(dependency(name, target), reason),
            ErrorClass::Status(_) | ErrorClass::Refused(_) | ErrorClass::Rejected | ErrorClass::Content => {
                ActionError::new(self.class, reason)
            }
        };
        let needs_operator = matches!(self.class, ErrorClass::Tls | ErrorClass::Busy(Some(401 | 403 | 404)));
        let own_remedy = self.remedy.map(Into::into);
        ActionError { retry_after: self.retry_after, needs_operator, own_remedy, ..error }
    }

    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self.class, ErrorClass::Connect | ErrorClass::Tls | ErrorClass::Timeout)
    }
}

pub fn dependency(name: &str, target: &str) -> Arc<str> {
    format!("[enrich:{name}] {target}").into()
}

#[cfg(test)]
mod tests;
