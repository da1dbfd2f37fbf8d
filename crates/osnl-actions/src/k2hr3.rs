//! The action `k2hr3`: on the deletion of a port or an instance, sends `DELETE` for its host to
//! K2HR3.
//!
//! The request equals k2hr3_osnl 1.0.8's byte for byte but for `User-Agent` and `Connection`
//! (`fixtures/k2hr3/requests.json`). [`HostParameters::from_payload`] turns a payload into
//! parameters, [`target`](HostParameters::request_target) turns parameters into the request target.
//! K2HR3 answers 204 if there is nothing to do, so a retry is safe; it has no place for an
//! idempotency key.

mod conf;
mod deletions;
mod parameters;

use std::fmt;
use std::sync::Arc;

use osnl_action::http_request::request_text;
use osnl_action::{Action, ActionError, Completion, ErrorClass, Event};
use osnl_config::written_secrets;
use osnl_model::Scrubber;
use osnl_net::http::Url as ApiUrl;
use osnl_net::http::header::{ACCEPT_ENCODING, HOST, HeaderValue, USER_AGENT};
use osnl_net::http::{Client, HttpError, HttpOptions, Method, Request, Url};
use osnl_transport::BoxFuture;
use serde_json::Value;

pub use self::conf::K2hr3Conf;
pub(crate) use self::conf::api_url;
pub use self::deletions::{DELETIONS, K2hr3Events};
pub use self::parameters::{HostParameters, Unusable};

type PayloadToParameters =
    dyn Fn(&Value) -> BoxFuture<'static, Result<HostParameters, Unusable>> + Send + Sync;

type ReadObserver = dyn Fn(&Event, Option<&HostParameters>) + Send + Sync;

/// The treatment of a deleted port without addresses: K2HR3 applies a request without addresses to
/// *all* addresses of the instance. Deletions of instances always mean all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddresses {
    /// Sends nothing, because the instance may have other ports.
    Skip,
    /// Makes K2HR3 forget every address of the instance, as k2hr3_osnl does, with a warning each
    /// time.
    All,
}

#[derive(Clone)]
pub struct K2hr3 {
    client: Client,
    api_url: ApiUrl,
    /// The reader in place of [`HostParameters::from_payload`], if there is one.
    parameters: Option<Arc<PayloadToParameters>>,
    observer: Option<Arc<ReadObserver>>,
    no_addresses: NoAddresses,
    events: K2hr3Events,
}

impl K2hr3 {
    pub fn new(api_url: ApiUrl, options: &HttpOptions) -> Result<Self, HttpError> {
        let mut options = options.clone();
        options.remedies.trust =
            "put the CA's certificate into SSL_CERT_FILE, the system's store, or set allow_self_signed_cert";
        let client = Client::to(&options, &api_url)?;
        let (no_addresses, events) = (NoAddresses::All, K2hr3Events::All);
        Ok(Self { client, api_url, parameters: None, observer: None, no_addresses, events })
    }

    /// Reads hosts by `parameters`, whose time is part of an attempt's.
    #[must_use]
    pub fn with_parameters<F>(mut self, parameters: impl Fn(&Value) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<HostParameters, Unusable>> + Send + 'static,
    {
        let checked = move |payload: &Value| -> BoxFuture<'static, Result<HostParameters, Unusable>> {
            let found = parameters(payload);
            Box::pin(async move { found.await?.checked() })
        };
        self.parameters = Some(Arc::new(checked));
        self
    }

    /// Calls `observer` in each attempt with the host of the event, before its request.
    #[must_use]
    pub fn with_observer(
        mut self,
        observer: impl Fn(&Event, Option<&HostParameters>) + Send + Sync + 'static,
    ) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    #[must_use]
    pub fn with_no_addresses(mut self, choice: NoAddresses) -> Self {
        self.no_addresses = choice;
        self
    }

    #[must_use]
    pub fn with_events(mut self, events: K2hr3Events) -> Self {
        self.events = events;
        self
    }

    async fn delete(&self, event: &Event) -> Result<Completion, ActionError> {
        if let Some(why) = self.events.refuses(&event.notification) {
            return Ok(Completion::NothingToDo(why));
        }
        let payload = event.payload();
        let asked = match &self.parameters {
            None => asked_for(&payload, self.no_addresses),
            Some(read) => read(&payload).await.and_then(|found| narrowed(found, &payload, self.no_addresses)),
        };
        if let Some(observer) = &self.observer {
            observer(event, asked.as_ref().ok());
        }
        let parameters = match asked {
            Ok(parameters) => parameters,
            Err(Unusable::NothingToDo(why)) => return Ok(Completion::NothingToDo(why)),
            Err(Unusable::Unreadable(why)) => return Err(ActionError::new(ErrorClass::Content, why)),
        };
        if parameters.addresses.is_empty() && is_about_a_port(&payload) {
            tracing::warn!(
                action.name = &*event.action,
                delivery.id = event.delivery.as_deref(),
                instance.id = parameters.cuk,
                "the deleted port has no addresses: K2HR3 is asked to forget every address of the instance"
            );
        }
        let answer = self.client.send(self.made(&parameters)?).await?;
        if !answer.status.is_success() {
            // K2HR3 may repeat the request in its answer.
            let secrets = written_secrets::parameters(&self.api_url.to_string());
            let mut failure = answer.failure(&Scrubber::new(secrets.iter().map(String::as_str)));
            if failure.class == osnl_net::http::FailureClass::Status(400) {
                failure.reason.push_str(
                    "; is the address of this host registered in K2HR3's delhost role, and its storage up?",
                );
            }
            return Err(failure.into());
        }
        let (url, status) = (shown(&self.api_url), answer.status.as_u16());
        Ok(Completion::Delivered(format!("DELETE {url} {parameters}: {status}")))
    }

    fn made(&self, parameters: &HostParameters) -> Result<Request, ActionError> {
        let invalid = |error: &dyn fmt::Display| {
            ActionError::new(ErrorClass::Content, format!("no valid request: {error}"))
        };
        let url = request_url(&self.api_url, parameters);
        let mut request = Request::new(Method::DELETE, Url::parse(&url).map_err(|error| invalid(&error))?);
        // Not repeated on a new connection: `retries` counts the requests that reach K2HR3, as in
        // k2hr3_osnl, which kept no connection.
        request.repeatable = false;
        let host = HeaderValue::from_str(self.api_url.authority()).map_err(|error| invalid(&error))?;
        request.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        request.headers.insert(HOST, host);
        request
            .headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("osnl/", env!("CARGO_PKG_VERSION"))));
        Ok(request)
    }
}

pub fn shown(url: &ApiUrl) -> String {
    written_secrets::masked_url(&url.to_string())
}

fn asked_for(payload: &Value, no_addresses: NoAddresses) -> Result<HostParameters, Unusable> {
    HostParameters::from_payload(payload).and_then(|found| narrowed(found, payload, no_addresses))
}

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

fn request_url(api_url: &ApiUrl, parameters: &HostParameters) -> String {
    format!(
        "{}://{}{}",
        api_url.scheme(),
        api_url.authority(),
        parameters.request_target(api_url.path_and_query())
    )
}

fn is_about_a_port(payload: &Value) -> bool {
    payload.get("port").is_some() || payload.get("device_id").is_some()
}

impl fmt::Debug for K2hr3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("K2hr3").field("api_url", &shown(&self.api_url)).finish_non_exhaustive()
    }
}

impl Action for K2hr3 {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(async move {
            let mut verdicts = Vec::with_capacity(events.len());
            for event in events {
                verdicts.push(self.delete(event).await);
            }
            verdicts
        })
    }

    fn target(&self) -> String {
        format!("K2HR3 at {}", shown(&self.api_url))
    }

    fn request(&self, event: &Event) -> Option<String> {
        // A reader of one's own may take its time, which only an attempt limits.
        if self.events.refuses(&event.notification).is_some() || self.parameters.is_some() {
            return None;
        }
        let parameters = asked_for(&event.payload(), self.no_addresses).ok()?;
        let request = self.made(&parameters).ok()?;
        Some(request_text(&request, &shown(&request.url)))
    }

    fn certificate_ends(&self) -> Option<i64> {
        self.client.certificate_ends()
    }
}
