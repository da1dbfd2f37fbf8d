//! One request, one answer.
//!
//! A request is sent twice only if a kept connection ended before a byte of an answer: servers close idle connections
//! when they like, and each such race would hold a target that is well.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::http::Extensions;
use hyper::{HeaderMap, Method, StatusCode, Uri};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

use crate::answer::Answer;
use crate::connector::{self, Connector, Traffic};
use crate::failure::{self, Failure, FailureClass};
use crate::options::{HttpError, HttpOptions};
use crate::tls::HttpTls;
use crate::url::{Scheme, Url};

/// A request to a target.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST` and the like.
    pub method: Method,
    /// The URL of the target.
    pub url: Url,
    /// In the order in which they are sent; `Host` and `Content-Length` are added if they are not there. A value that
    /// is a secret is marked as sensitive.
    pub headers: HeaderMap,
    /// Empty for none.
    pub body: Bytes,
    /// The most bytes of the reply that are read, without its headers.
    pub reply_limit: usize,
    /// Whether it does no harm if the target sees it twice. Then it is sent once more, at once and over a new connection, if
    /// the connection was one that had been kept and ended before there was a byte of an answer: a server closes idle
    /// connections when it likes, also just then.
    pub repeatable: bool,
}

impl Request {
    /// Without headers and body, with a reply of 64 KiB; repeatable if its method is idempotent.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        let repeatable = method.is_idempotent();
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self { method, url, headers, body, reply_limit: 64 * 1024, repeatable }
    }
}

/// A pool of connections. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    connections: Connections<Connector, Full<Bytes>>,
    /// Without kept ones.
    fresh: Connections<Connector, Full<Bytes>>,
    connector: Connector,
    /// For requests at once.
    places: Arc<Semaphore>,
}

impl Client {
    /// A client for the host and port of this URL; certificates are read only if it is `https`. It can be sent elsewhere
    /// with the same scheme.
    ///
    /// # Errors
    /// No certificates where they should be, or a proxy that cannot be used.
    pub fn to(options: &HttpOptions, target: &Url) -> Result<Self, HttpError> {
        let proxy = options.proxies.toward(target.scheme(), target.authority())?;
        if let Some(proxy) = &proxy {
            let target = target.authority();
            tracing::info!(
                http.target = target,
                http.proxy = %proxy,
                "requests go through a proxy",
            );
        }
        let tls = match target.scheme() {
            Scheme::Http => HttpTls::without("this client was made for a target without TLS"),
            Scheme::Https => HttpTls::to(options, target)?,
        };
        Ok(Self::with(options, tls))
    }

    /// A client for any URL. A system without CA certificates is no error before an `https` target is called.
    ///
    /// # Errors
    /// Certificates that were named and cannot be read.
    pub fn anywhere(options: &HttpOptions) -> Result<Self, HttpError> {
        let tls = match HttpTls::new(options) {
            Ok(tls) => tls,
            Err(error @ HttpError::NoRoots { .. }) => HttpTls::without(&error.to_string()),
            Err(error) => return Err(error),
        };
        Ok(Self::with(options, tls))
    }

    fn with(options: &HttpOptions, tls: HttpTls) -> Self {
        let connector = Connector::new(options, tls);
        // The pool would keep what has no time until it is looked at.
        let kept = if options.pool.idle.is_zero() { 0 } else { options.pool.idle_per_target };
        let pool = |kept: usize| {
            Connections::builder(TokioExecutor::new())
                // Python's http.client writes names this way, and byte for byte is what was promised for K2HR3.
                .http1_title_case_headers(true)
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(options.pool.idle)
                .pool_max_idle_per_host(kept)
                .build(connector.clone())
        };
        let (connections, fresh) = (pool(kept), pool(0));
        Self { connections, fresh, connector, places: Arc::new(Semaphore::new(options.pool.requests)) }
    }

    /// Returns the last second, since 1970, in which the certificate counts that a target showed last.
    #[must_use]
    pub fn certificate_ends(&self) -> Option<i64> {
        self.connector.certificate.get()
    }

    /// Makes one attempt, and another one only as [`Request::repeatable`] says: an answer with any status, whose body came whole or up to the limit, or an error. Redirects
    /// are not followed. Has no time limit of its own.
    ///
    /// # Errors
    /// There is no answer, or its body broke off.
    pub async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let (scheme, authority) = (request.url.scheme(), request.url.authority());
        let proxy = self.connector.proxy(scheme, authority);
        let proxy = proxy.map_err(|error| Failure::new(FailureClass::Connect, error.to_string()))?;
        let proxy = proxy.filter(|_| scheme == Scheme::Http);
        let (limit, repeatable) = (request.reply_limit, request.repeatable);
        let mut message = message(request)?;
        if let Some(login) = proxy.as_ref().and_then(|proxy| proxy.authorization()) {
            message.headers_mut().insert(PROXY_AUTHORIZATION, login.clone());
        }
        // Until the reply is there; nobody closes it.
        let _place = self.places.acquire().await;
        let again = repeatable.then(|| message.clone());
        let connection = capture_connection(&mut message);
        let answer = match (self.connections.request(message).await, again) {
            (Err(_), Some(again)) if ended_unanswered(&connection) => self.fresh.request(again).await,
            (answer, _) => answer,
        };
        let answer = answer.map_err(|error| failure::of(&error, &self.connector.remedies))?;
        let (head, body) = answer.into_parts();
        if proxy.is_some() && head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            // The target never saw the request: this is no answer of its.
            return Err(Failure::new(FailureClass::Connect, connector::LOGIN_WANTED));
        }
        let (body, whole) = read(body, limit).await?;
        Ok(Answer { status: head.status, headers: head.headers, body, whole })
    }
}

/// Whether the request went over a connection that had been kept, and that ended before it had a byte of an answer.
fn ended_unanswered(connection: &CaptureConnection) -> bool {
    let mut extras = Extensions::new();
    if let Some(connected) = connection.connection_metadata().as_ref() {
        connected.get_extras(&mut extras);
    }
    extras.get::<Traffic>().is_some_and(Traffic::ended_unanswered)
}

/// As the library sends it.
fn message(request: Request) -> Result<hyper::Request<Full<Bytes>>, Failure> {
    let unsendable = |error: &dyn std::fmt::Display| {
        Failure::new(FailureClass::Unsendable, format!("no valid request: {error}"))
    };
    let uri: Uri = request.url.to_string().parse().map_err(|error| unsendable(&error))?;
    let mut message = hyper::Request::new(Full::new(request.body));
    *message.method_mut() = request.method;
    *message.uri_mut() = uri;
    *message.headers_mut() = request.headers;
    if !message.headers().contains_key(HOST) {
        let host = HeaderValue::from_str(request.url.authority()).map_err(|error| unsendable(&error))?;
        message.headers_mut().insert(HOST, host);
    }
    Ok(message)
}

/// The first bytes of a body, and whether they are all.
async fn read(mut body: Incoming, limit: usize) -> Result<(Bytes, bool), Failure> {
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Failure::new(FailureClass::Reset, format!("the reply broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let room = limit - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((kept.freeze(), false));
        }
    }
    Ok((kept.freeze(), true))
}
