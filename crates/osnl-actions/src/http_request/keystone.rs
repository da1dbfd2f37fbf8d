use std::fmt;
use std::sync::{Mutex, PoisonError};

use osnl_model::Scrubber;
use osnl_net::http::Expiry;
use osnl_net::http::header::{HeaderName, HeaderValue};
use osnl_net::openstack::{ApiError, Cloud};
use osnl_transport::BoxFuture;

use super::authorization::Authorization;
use crate::ActionError;
use osnl_delivery::enrich::EnrichError;

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-auth-token");

pub(super) struct Keystone {
    cloud: Cloud,
    last: Mutex<Option<HeaderValue>>,
}

impl Keystone {
    pub(super) fn new(cloud: Cloud) -> Self {
        Self { cloud, last: Mutex::new(None) }
    }

    fn last(&self) -> Option<HeaderValue> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Authorization for Keystone {
    /// Returns the token's header. A refused login holds the target, as a wrong password is not the
    /// event's fault.
    fn header(&self) -> BoxFuture<'_, Result<(HeaderName, HeaderValue), ActionError>> {
        Box::pin(async move {
            let (name, value) = self.cloud.token().await.map_err(failed)?;
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(value.clone());
            Ok((name, value))
        })
    }

    fn refused(&self) -> BoxFuture<'_, bool> {
        let last = self.last();
        if let Some(last) = &last {
            self.cloud.refused(last);
        }
        Box::pin(std::future::ready(last.is_some()))
    }

    /// Returns a service's URL. A missing service holds the target too: the operator has to add it,
    /// or to correct `region_name` or `interface`. A later attempt reads the catalogue anew.
    fn endpoint<'a>(&'a self, service: &'a str) -> BoxFuture<'a, Result<String, ActionError>> {
        Box::pin(async move {
            let found = self.cloud.endpoint(service).await;
            if let Err(ApiError::Catalog(_)) = &found {
                self.cloud.misplaced(service);
            }
            found.map_err(failed)
        })
    }

    fn misplaced(&self, service: &str) {
        self.cloud.misplaced(service);
    }

    fn expiries(&self) -> Vec<Expiry> {
        self.cloud.expiries()
    }

    fn shown(&self) -> (HeaderName, String) {
        shown()
    }

    fn secrets(&self) -> Scrubber {
        self.cloud.secrets()
    }
}

fn failed(error: ApiError) -> ActionError {
    let EnrichError { class, reason, retry_after, remedy } = error.into();
    ActionError { retry_after, own_remedy: remedy.map(Into::into), ..ActionError::new(class, reason) }
}

pub(super) fn shown() -> (HeaderName, String) {
    (HEADER, "***".to_owned())
}

impl fmt::Debug for Keystone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystone").field("cloud", &self.cloud.shown()).finish_non_exhaustive()
    }
}
