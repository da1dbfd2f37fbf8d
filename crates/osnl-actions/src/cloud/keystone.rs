//! The tokens of Keystone for `driver = http`.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use osnl_action::ActionError;
use osnl_action::driver::{ActionDriver, DriverEntry, Probe, ProbeContext, SharedValues};
use osnl_action::http_request::{Authorization, FetchedLogin, HttpConf, MissingAnswer, TOKEN};
use osnl_config::sections::SectionReader;
use osnl_delivery::enrich::EnrichError;
use osnl_model::Scrubber;
use osnl_net::http::header::{HeaderName, HeaderValue};
use osnl_net::http::{Answer, Expiry, HttpError, HttpOptions, Url};
use osnl_openstack::{ApiError, Cloud, CloudConf, NotFound, below, not_found};
use osnl_transport::BoxFuture;

use super::login::read;
use super::logins::Logins;
use super::probe::{certificate_of_cloud, cloud_probe};

/// The driver `http` with logins to Keystone.
pub const HTTP: DriverEntry = DriverEntry {
    table: HttpConf::TABLE,
    read: |reader| Some(ActionDriver::new(HttpConf::TABLE, HttpConf::read(reader, login)?)),
};

/// The limit of one request to Keystone, besides the attempt's own time-out.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

fn login(reader: &mut SectionReader<'_>) -> Option<Arc<dyn FetchedLogin>> {
    Some(Arc::new(KeystoneLogin(read(reader)?)))
}

#[derive(Debug)]
struct KeystoneLogin(CloudConf);

impl FetchedLogin for KeystoneLogin {
    fn authorization(
        &self,
        http: &HttpOptions,
        shared: &SharedValues,
    ) -> Result<Arc<dyn Authorization>, HttpError> {
        let cloud = shared.value::<Logins>().cloud(&self.0, http, LOGIN_TIMEOUT)?;
        Ok(Arc::new(Keystone { cloud, last: Mutex::new(None) }))
    }

    fn account(&self) -> String {
        format!("{} at {}", self.0.shown(), self.0.auth_url)
    }

    fn url(&self) -> Option<&Url> {
        Some(&self.0.auth_url)
    }

    fn service(&self, service: &str) -> String {
        let region = self.0.region.as_ref().map(|region| format!(" in region {region}"));
        let region = region.unwrap_or_default();
        format!("the {} URL of {service}{region} in Keystone's catalogue", self.0.interface)
    }

    fn probe<'a>(
        &'a self,
        context: ProbeContext<'a>,
        service: Option<&'a str>,
    ) -> BoxFuture<'a, (Vec<Probe>, Option<String>)> {
        async move {
            let ProbeContext { section, http, deadline } = context;
            let (probe, found) = cloud_probe(section, &self.0, http, service, deadline).await;
            let certificate = certificate_of_cloud(section, &self.0);
            (std::iter::once(probe).chain(certificate).collect(), found)
        }
        .boxed()
    }

    fn is_same(&self, other: &dyn FetchedLogin) -> bool {
        (other as &dyn Any).downcast_ref::<Self>().is_some_and(|other| other.0 == self.0)
    }
}

struct Keystone {
    cloud: Cloud,
    last: Mutex<Option<HeaderValue>>,
}

impl Keystone {
    fn last(&self) -> Option<HeaderValue> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, error: ApiError) -> ActionError {
        let own_remedy = self.cloud.remedy(&error).map(Into::into);
        let EnrichError { class, reason, retry_after, .. } = error.into();
        ActionError { retry_after, own_remedy, ..ActionError::new(class, reason) }
    }
}

impl Authorization for Keystone {
    /// Returns the token's header. A refused login holds the target, as a wrong password is not the
    /// event's fault.
    fn header(&self) -> BoxFuture<'_, Result<(HeaderName, HeaderValue), ActionError>> {
        Box::pin(async move {
            let (name, value) = self.cloud.token().await.map_err(|error| self.failed(error))?;
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
            found.map_err(|error| self.failed(error))
        })
    }

    fn below(&self, endpoint: &str, path: &str) -> String {
        below(endpoint, path)
    }

    fn missing(&self, service: &str, answer: &Answer) -> MissingAnswer {
        match not_found(service, answer) {
            NotFound::Object | NotFound::Hidden => MissingAnswer::Object,
            NotFound::Path => MissingAnswer::Path,
            NotFound::Unknown => MissingAnswer::Unknown,
        }
    }

    fn misplaced(&self, service: &str) {
        self.cloud.misplaced(service);
    }

    fn expiries(&self) -> Vec<Expiry> {
        self.cloud.expiries()
    }

    fn shown(&self) -> (HeaderName, String) {
        (TOKEN, "***".to_owned())
    }

    fn secrets(&self) -> Scrubber {
        self.cloud.secrets()
    }
}

impl fmt::Debug for Keystone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystone").field("cloud", &self.cloud.shown()).finish_non_exhaustive()
    }
}
