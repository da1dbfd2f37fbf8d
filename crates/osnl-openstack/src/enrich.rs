//! A cloud as the source of enrichments.

use std::sync::Arc;

use osnl_config::template::Template;
use osnl_core::attempt::ErrorClass;
use osnl_delivery::enrich::{EnrichError, Enricher, Kind, Limits, Lookup, LookupAnswer, OnError, brought_by};
use osnl_net::http::{Expiry, FailureClass, HttpError, HttpOptions};
use osnl_transport::BoxFuture;
use serde_json::Value;

use crate::cloud::Cloud;
use crate::conf::CloudConf;
use crate::error::ApiError;

#[derive(Clone, Debug)]
pub struct EnrichConf {
    pub name: Arc<str>,
    pub kind: Kind,
    pub id: Option<Template>,
    pub cloud: CloudConf,
    pub limits: Limits,
    pub default: Value,
    pub on_error: OnError,
}

impl EnrichConf {
    pub fn brings(&self, kind: Kind) -> bool {
        brought_by(kind).iter().any(|(by, _)| *by == self.kind)
    }

    #[must_use]
    pub fn enricher(&self, cloud: Cloud) -> Enricher {
        Enricher::new(Arc::new(cloud), self.limits)
    }

    pub fn cloud(&self, http: &HttpOptions) -> Result<Cloud, HttpError> {
        Cloud::new(self.cloud.clone(), http, self.limits.timeout)
    }
}

impl From<ApiError> for EnrichError {
    /// Counts a status as an outage of the dependency, except a refusal and the answers to a bad id: only these concern
    /// one object.
    fn from(error: ApiError) -> Self {
        let class = match &error {
            ApiError::Forbidden { .. } => ErrorClass::Refused(Some(403)),
            ApiError::Hidden(_) => ErrorClass::Refused(Some(404)),
            ApiError::Status { status: status @ (400 | 410 | 414), .. } => ErrorClass::Refused(Some(*status)),
            ApiError::TimedOut { .. } => ErrorClass::Timeout,
            // The catalogue lacks the service, so an operator has to add or configure it.
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
mod tests {
    use std::time::Duration;

    use osnl_net::http::Failure;

    use super::*;
    use crate::ObjectRef;

    #[test]
    fn only_what_is_forbidden_uses_attempts() {
        let at = || "http://nova".to_owned();
        let status = |status| ApiError::Status { at: at(), status, said: String::new(), retry_after: None };
        let asked = ObjectRef { kind: Kind::Server, id: "s".to_owned(), service: "http://nova".to_owned() };
        let unreachable = |class| ApiError::Unreachable { at: at(), failure: Failure::new(class, "x") };
        for (error, expected) in [
            (ApiError::Hidden(asked.clone()), ErrorClass::Refused(Some(404))),
            (ApiError::Forbidden { asked, said: String::new() }, ErrorClass::Refused(Some(403))),
            (ApiError::Login { at: at(), who: at(), status: 401, said: at() }, ErrorClass::Busy(Some(401))),
            (status(500), ErrorClass::Busy(Some(500))),
            (
                ApiError::NotTheApi { at: at(), service: "compute", said: String::new() },
                ErrorClass::Busy(Some(404)),
            ),
            (status(400), ErrorClass::Refused(Some(400))),
            (status(410), ErrorClass::Refused(Some(410))),
            (status(414), ErrorClass::Refused(Some(414))),
            (unreachable(FailureClass::Connect), ErrorClass::Connect),
            (unreachable(FailureClass::Tls), ErrorClass::Tls),
            (unreachable(FailureClass::Reset), ErrorClass::Reset),
            (ApiError::TimedOut { at: at(), after: Duration::from_secs(1) }, ErrorClass::Timeout),
        ] {
            assert_eq!(EnrichError::from(error).class, expected);
        }
    }
}
