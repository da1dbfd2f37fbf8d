//! The HTTP client of the actions: one attempt, and its failure told apart.
//!
//! | file | what it decides |
//! | --- | --- |
//! | [`tls`](Verification) | whom an https target must be: the system's roots, an own CA, or nobody |
//! | [`proxy`](Proxies) | whether a request goes by a proxy, as Python's urllib decides it |
//! | `verifier`, `common_name` | certificates as OpenSSL judged them for k2hr3_osnl |
//! | `connector` | how a connection is made: TCP, a tunnel through a proxy, TLS |
//! | `failure` | what went wrong, in words that name the remedy |
//!
//! All of it is settled when a client is built: a wrong CA file or a wrong proxy is an error at the start,
//! not with the first message. Nothing here reads the environment; it is handed in.

mod connector;
mod failure;
mod proxy;
mod reach;
mod tls;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{HeaderValue, PROXY_AUTHORIZATION, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use self::connector::Connector;
pub use self::proxy::{Proxies, ProxyError};
pub use self::reach::{ReachError, Reached, reach};
pub use self::tls::Verification;
use super::{ActionError, ErrorClass};
use crate::k2hr3::{ApiUrl, Scheme};

/// What is read of an answer's body; more ends the attempt.
const MAX_REPLY: usize = 64 * 1024;
/// Longer wishes than this are cut: the target is tried once an hour at least.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// How long an idle connection is used again. K2HR3 runs on Node.js, which closes after five seconds: a
/// request that is sent just then is lost, and whether it was seen is unknown.
const IDLE: Duration = Duration::from_secs(4);

/// How targets are reached. The default: the system's roots, no proxy.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Whom an `https` target must be.
    pub verification: Verification,
    /// Which proxies requests go through.
    pub proxies: Proxies,
}

impl HttpOptions {
    /// What the variables of an environment ask for: `SSL_CERT_FILE` and `SSL_CERT_DIR` as in
    /// [`Verification::from_environment`], `http_proxy`, `https_proxy` and `no_proxy` as in
    /// [`Proxies::from_environment`].
    pub fn from_environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
        Self {
            verification: Verification::from_environment(&variables),
            proxies: Proxies::from_environment(&variables),
        }
    }
}

/// Why no client can be made: each is for whoever starts the program, and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A file or folder that was named for CA certificates gives none.
    #[error("CA certificates in {}: {reason}; {}", .path.display(), tls::REMEDY)]
    Ca {
        /// The file or folder; several are separated by colons.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has no CA certificates.
    #[error("this system has no CA certificates{detail}; {}", tls::REMEDY)]
    NoRoots {
        /// What was met while looking for them; empty, or begins with a blank.
        detail: String,
    },
    /// The TLS library refuses to be set up this way.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// TLS knows no such name.
    #[error("{0:?} is no name that a certificate can be for; write the name or address of the target")]
    Name(String),
    /// The proxy for the target cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// A pool of connections to one target.
#[derive(Clone, Debug)]
pub(super) struct HttpClient {
    client: Client<Connector, Empty<Bytes>>,
    /// Requests go to a proxy in absolute form.
    through_proxy: bool,
    /// The login for that proxy; marked as sensitive.
    proxy_authorization: Option<HeaderValue>,
}

impl HttpClient {
    /// A client for the host and port of this URL. Certificates are read only if it is `https`.
    ///
    /// # Errors
    /// No CA certificates where they should be, or a proxy that cannot be used.
    pub(super) fn new(options: &HttpOptions, target: &ApiUrl) -> Result<Self, HttpError> {
        let proxy = options.proxies.toward(target.scheme(), target.authority())?;
        if let Some(proxy) = &proxy {
            tracing::info!(http.proxy = %proxy, "Requests to {} go through the proxy {proxy}", target.authority());
        }
        let tls = match target.scheme() {
            Scheme::Http => None,
            Scheme::Https => Some(tls::Tls::new(&options.verification, target)?),
        };
        let through_proxy = proxy.is_some() && tls.is_none();
        let proxy_authorization = match &proxy {
            Some(proxy) if through_proxy => proxy.authorization().cloned(),
            Some(_) | None => None,
        };
        let client = Client::builder(TokioExecutor::new())
            // Python's http.client writes names this way, and byte for byte is what was promised.
            .http1_title_case_headers(true)
            .pool_idle_timeout(IDLE)
            .build(Connector::new(proxy, tls));
        Ok(Self { client, through_proxy, proxy_authorization })
    }

    /// Makes one attempt: a 2xx whose body arrives whole, or an error. Redirects are not followed.
    pub(super) async fn send(&self, mut request: Request<Empty<Bytes>>) -> Result<StatusCode, ActionError> {
        if let Some(login) = &self.proxy_authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, login.clone());
        }
        let response = self.client.request(request).await.map_err(|error| failure::of(&error))?;
        let status = response.status();
        if self.through_proxy && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            // The target never saw the request: this is no answer of its.
            return Err(ActionError::new(ErrorClass::Connect, connector::LOGIN_WANTED));
        }
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
