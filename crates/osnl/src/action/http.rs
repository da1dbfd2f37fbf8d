//! The HTTP client of the actions: one attempt, and its failure told apart.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::RETRY_AFTER;
use hyper::{Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

use super::{ActionError, ErrorClass};
use crate::k2hr3::Scheme;

/// What is read of an answer's body; more ends the attempt.
const MAX_REPLY: usize = 64 * 1024;
/// Longer wishes than this are cut: the target is tried once an hour at least.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A pool of connections over HTTP and HTTPS; certificates are checked against the system's roots.
#[derive(Clone, Debug)]
pub(super) struct HttpClient(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl HttpClient {
    /// A client for targets of this scheme. The system's certificates are read only for `https`.
    ///
    /// # Errors
    /// The system's certificates cannot be read, or there are none.
    pub(super) fn for_scheme(scheme: Scheme) -> std::io::Result<Self> {
        let builder = HttpsConnectorBuilder::new();
        let builder = match scheme {
            Scheme::Https => builder.with_native_roots()?,
            Scheme::Http => builder.with_tls_config(
                ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
            ),
        };
        let connector = builder.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            // Python's http.client writes names this way, and byte for byte is what was promised.
            .http1_title_case_headers(true)
            .build(connector);
        Ok(Self(client))
    }

    /// Makes one attempt: a 2xx whose body arrives whole, or an error. Redirects are not followed.
    pub(super) async fn send(&self, request: Request<Empty<Bytes>>) -> Result<StatusCode, ActionError> {
        let response = self.0.request(request).await.map_err(|error| failure(&error))?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = Limited::new(response.into_body(), MAX_REPLY)
            .collect()
            .await
            .map_err(|error| ActionError::new(ErrorClass::Reset, format!("the reply broke off: {error}")))?;
        if status.is_success() {
            return Ok(status);
        }
        let reason = match excerpt(&body.to_bytes()) {
            Some(excerpt) => format!("{}, {excerpt}", status.canonical_reason().unwrap_or("no reason")),
            None => status.canonical_reason().unwrap_or("no reason").to_owned(),
        };
        Err(ActionError { class: ErrorClass::Status(status.as_u16()), reason, retry_after })
    }
}

/// The start of a reply, on one line.
fn excerpt(body: &[u8]) -> Option<String> {
    const CHARACTERS: usize = 120;
    let text: String = String::from_utf8_lossy(body)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(CHARACTERS)
        .collect();
    let text = text.trim();
    (!text.is_empty()).then(|| format!("reply: {text}"))
}

/// `Retry-After` in seconds. The form with a date is not read: it needs the target's clock to be right.
fn retry_after<B>(response: &Response<B>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

fn failure(error: &Error) -> ActionError {
    let reason = chain(error);
    let class = if !error.is_connect() {
        ErrorClass::Reset
    } else if caused_by_tls(error) {
        ErrorClass::Tls
    } else {
        ErrorClass::Connect
    };
    ActionError::new(class, reason)
}

fn caused_by_tls(error: &Error) -> bool {
    sources(error).any(|source| {
        source.is::<rustls::Error>()
            || source
                .downcast_ref::<std::io::Error>()
                .and_then(std::io::Error::get_ref)
                .is_some_and(|inner| inner.is::<rustls::Error>())
    })
}

fn sources(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error: &&(dyn std::error::Error + 'static)| (*error).source())
}

/// The causes, innermost last, without the outermost "client error".
fn chain(error: &Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in sources(error).map(ToString::to_string) {
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}
