//! The action `k2hr3`: on the deletion of a port or an instance, `DELETE` its host from K2HR3.
//!
//! What is sent is what k2hr3_osnl 1.0.8 sends, byte for byte but for `User-Agent` and `Connection`
//! (recorded in `fixtures/k2hr3/requests.json`): [`parameters`](HostParameters::of) turns a payload
//! into parameters, [`target`](HostParameters::request_target) turns those into the request target;
//! both are pure. K2HR3 answers 204 for whatever it has nothing to do for, so repeating is safe; it has no
//! place for an idempotency key, and is sent none.

mod conf;
mod parameters;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{ACCEPT_ENCODING, HOST, USER_AGENT};
use hyper::{Method, Request};
use osnl_transport::BoxFuture;
use serde_json::Value;

pub use self::conf::K2hr3Conf;
pub use self::parameters::{HostParameters, Unusable};
use super::http::{HttpClient, HttpError, HttpOptions};
use super::{Action, ActionError, Done, ErrorClass, Event};
use crate::k2hr3::{ApiUrl, Scheme};

/// How a payload is read; the counterpart of k2hr3_osnl's `_payload_to_params`.
type PayloadToParameters = dyn Fn(&Value) -> Result<HostParameters, Unusable> + Send + Sync;

/// What a deleted port without addresses asks for: K2HR3 takes a request without addresses for *all* of the
/// instance. Deletions of instances are not affected: they never name addresses, and mean all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddresses {
    /// Nothing: the instance may have other ports.
    Skip,
    /// That every address of the instance is forgotten, as k2hr3_osnl does it. Each such event is warned of.
    All,
}

/// See the [module](self).
#[derive(Clone)]
pub struct K2hr3 {
    client: HttpClient,
    api_url: ApiUrl,
    parameters: Arc<PayloadToParameters>,
    no_addresses: NoAddresses,
}

impl K2hr3 {
    /// An action on the role API at this URL, with k2hr3_osnl's [`NoAddresses::All`]. Warns in the log if nothing
    /// is to be verified.
    ///
    /// # Errors
    /// The URL is `https` and there are no CA certificates where they should be, or the proxy for it cannot be
    /// used.
    pub fn new(api_url: ApiUrl, options: &HttpOptions) -> Result<Self, HttpError> {
        Ok(Self {
            client: HttpClient::new(options, &api_url)?,
            api_url,
            parameters: Arc::new(HostParameters::of),
            no_addresses: NoAddresses::All,
        })
    }

    /// Reads payloads in another way than [`HostParameters::of`].
    #[must_use]
    pub fn with_parameters(
        mut self,
        parameters: impl Fn(&Value) -> Result<HostParameters, Unusable> + Send + Sync + 'static,
    ) -> Self {
        self.parameters = Arc::new(parameters);
        self
    }

    /// Makes this choice for deleted ports that have no addresses.
    #[must_use]
    pub fn with_no_addresses(mut self, choice: NoAddresses) -> Self {
        self.no_addresses = choice;
        self
    }

    async fn delete(&self, event: &Event) -> Result<Done, ActionError> {
        let payload = event.payload();
        let asked =
            (self.parameters)(&payload).and_then(|found| narrowed(found, &payload, self.no_addresses));
        let parameters = match asked {
            Ok(parameters) => parameters,
            Err(Unusable::NothingToDo(why)) => return Ok(Done::NothingToDo(why)),
            Err(Unusable::Unreadable(why)) => return Err(ActionError::new(ErrorClass::Content, why)),
        };
        if parameters.addresses.is_empty() && is_about_a_port(&payload) {
            tracing::warn!(
                "the deleted port has no addresses: K2HR3 is asked to forget every address of instance {}",
                parameters.cuk
            );
        }
        let status = self.client.send(self.request(&parameters)?).await.map_err(|mut error| {
            if error.class == ErrorClass::Status(400) {
                error.reason.push_str(
                    "; is the address of this host registered in K2HR3's delhost role, and its storage up?",
                );
            }
            error
        })?;
        Ok(Done::Delivered(format!("DELETE {} {parameters}: {}", self.api_url, status.as_u16())))
    }

    fn request(&self, parameters: &HostParameters) -> Result<Request<Empty<Bytes>>, ActionError> {
        Request::builder()
            .method(Method::DELETE)
            .uri(request_url(&self.api_url, parameters))
            .header(ACCEPT_ENCODING, "identity")
            .header(HOST, self.api_url.authority())
            .header(USER_AGENT, concat!("osnl/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| ActionError::new(ErrorClass::Content, format!("no valid request: {error}")))
    }
}

/// What a payload asks K2HR3 to forget.
///
/// # Errors
/// [`Unusable`] says whether that is as it should be.
fn asked_for(payload: &Value, no_addresses: NoAddresses) -> Result<HostParameters, Unusable> {
    HostParameters::of(payload).and_then(|found| narrowed(found, payload, no_addresses))
}

/// A deleted port without addresses asks for nothing, unless it shall mean all of them.
fn narrowed(
    parameters: HostParameters,
    payload: &Value,
    no_addresses: NoAddresses,
) -> Result<HostParameters, Unusable> {
    match no_addresses {
        NoAddresses::Skip if parameters.addresses.is_empty() && is_about_a_port(payload) => {
            Err(Unusable::NothingToDo("the port has no addresses (no_addresses = skip)".to_owned()))
        }
        NoAddresses::Skip | NoAddresses::All => Ok(parameters),
    }
}

/// Where the request goes, query and all.
fn request_url(api_url: &ApiUrl, parameters: &HostParameters) -> String {
    let scheme = match api_url.scheme() {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    format!("{scheme}://{}{}", api_url.authority(), parameters.request_target(api_url.path_and_query()))
}

fn is_about_a_port(payload: &Value) -> bool {
    payload.get("port").is_some() || payload.get("device_id").is_some()
}

impl fmt::Debug for K2hr3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("K2hr3").field("api_url", &self.api_url.to_string()).finish_non_exhaustive()
    }
}

impl Action for K2hr3 {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Done, ActionError>>> {
        Box::pin(async move {
            let mut verdicts = Vec::with_capacity(events.len());
            for event in events {
                verdicts.push(self.delete(event).await);
            }
            verdicts
        })
    }

    fn target(&self) -> String {
        format!("K2HR3 at {}", self.api_url)
    }
}
