//! The HTTP client: connections that are kept and dropped in time, redirects, answers within limits.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::http::Extensions;
use hyper::{HeaderMap, Method, StatusCode, Uri};
use hyper_util::client::legacy::Client as Connections;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::http::answer::{Answer, AnswerEnd};
use crate::http::connector::{self, Connector, Traffic};
use crate::http::expiry::Expiry;
use crate::http::failure::{self, Failure, FailureClass};
use crate::http::options::{HttpError, HttpOptions};
use crate::http::tls::HttpTls;
use crate::http::url::{Scheme, Url};

/// The time that a body has after its status, which has said what became of the request.
pub const BODY_WAIT: Duration = Duration::from_secs(5);

/// The most bytes of an answer's head: a longer one fails the attempt. All headers together, as other programs allow.
const MOST_HEAD: usize = 64 * 1024;

/// One HTTP request as it is sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    /// The headers in the order of sending; `Host` and `Content-Length` are added if missing. A
    /// secret value is marked as sensitive.
    pub headers: HeaderMap,
    pub body: Bytes,
    pub reply_limit: usize,
    /// The longest wait for the body of the answer, from its status on; `None` for the caller's own limit.
    pub reply_wait: Option<Duration>,
    /// Whether the target may receive the request twice. Then it is repeated once, at once, over a
    /// new connection, if a kept connection ended before a byte of an answer. Servers close idle
    /// connections at any time, and each such race would otherwise hold a healthy target.
    pub repeatable: bool,
}

impl Request {
    /// Creates a request without headers and body, with a reply of 64 KiB; repeatable if its method
    /// is idempotent. The reply to an unsafe method has five seconds.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        let repeatable = method.is_idempotent();
        let reply_wait = (!method.is_safe()).then_some(BODY_WAIT);
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self { method, url, headers, body, reply_limit: 64 * 1024, reply_wait, repeatable }
    }
}

/// Sends requests over kept connections; all actions with the same TLS settings share one.
#[derive(Clone, Debug)]
pub struct Client {
    connections: Connections<Connector, Full<Bytes>>,
    fresh: Connections<Connector, Full<Bytes>>,
    connector: Connector,
    idle: Duration,
    places: Arc<Semaphore>,
}

impl Client {
    /// Creates a client for the host and port of this URL. Certificates are read only for `https`;
    /// other URLs must have the same scheme.
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
        let idle = connector::idle_time(options.pool.idle);
        // The pool would keep an expired connection until its next use.
        let kept = if idle.is_zero() { 0 } else { options.pool.idle_per_target };
        let pool = |kept: usize| {
            Connections::builder(TokioExecutor::new())
                // Python's http.client writes names in title case, and requests to K2HR3 equal its
                // requests byte for byte.
                .http1_title_case_headers(true)
                .http1_max_buf_size(MOST_HEAD)
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(idle)
                .pool_max_idle_per_host(kept)
                .build(connector.clone())
        };
        let (connections, fresh) = (pool(kept), pool(0));
        let places = Arc::new(Semaphore::new(options.pool.requests));
        Self { connections, fresh, connector, idle, places }
    }

    /// Returns the last valid second, since 1970, of the certificate that a target showed last.
    #[must_use]
    pub fn certificate_ends(&self) -> Option<i64> {
        self.connector.certificates.latest()
    }

    /// Returns the last valid second, since 1970, of the certificate that each target showed last, by authority.
    #[must_use]
    pub fn certificates_end(&self) -> Vec<(String, i64)> {
        self.connector.certificates.all()
    }

    /// Returns the end of the client certificate that this client shows.
    #[must_use]
    pub fn own_expiry(&self) -> Option<Expiry> {
        match &self.connector.tls {
            HttpTls::With(_, expiry) => expiry.clone(),
            HttpTls::Without(_) => None,
        }
    }

    /// Makes one attempt, plus one as [`Request::repeatable`] allows: returns an answer with any
    /// status, even if its body has no end ([`AnswerEnd`]). A body in gzip or deflate is decoded. Redirects are not
    /// followed. There is no time limit up to the status.
    pub async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let (scheme, authority) = (request.url.scheme(), request.url.authority());
        let proxy = self.connector.proxy(scheme, authority);
        let proxy = proxy.map_err(|error| Failure::new(FailureClass::Connect, error.to_string()))?;
        let proxy = proxy.filter(|_| scheme == Scheme::Http);
        let (limit, wait, repeatable) = (request.reply_limit, request.reply_wait, request.repeatable);
        let mut message = message(request)?;
        if let Some(login) = proxy.as_ref().and_then(|proxy| proxy.authorization()) {
            message.headers_mut().insert(PROXY_AUTHORIZATION, login.clone());
        }
        // Held until the reply is complete; the semaphore is never closed.
        let _place = self.places.acquire().await;
        let again = repeatable.then(|| message.clone());
        let asked = AskedConnection::for_message(&mut message);
        let answer = match (self.connections.request(message).await, again) {
            (Err(_), Some(mut again)) if asked.ended_unanswered() => {
                let _asked = AskedConnection::for_message(&mut again);
                self.fresh.request(again).await
            }
            (answer, _) => answer,
        };
        let answer = answer.map_err(|error| failure::classify(&error, &self.connector.remedies))?;
        let (head, body) = answer.into_parts();
        if proxy.is_some() && head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            // The target never received the request, so this answer is the proxy's.
            return Err(Failure::new(FailureClass::Connect, connector::LOGIN_WANTED));
        }
        let (body, end) = read(body, limit, wait).await;
        if let Some(connected) = asked.0.connection_metadata().as_ref()
            && traffic(connected).is_some_and(|traffic| traffic.is_old_after(self.idle))
        {
            connected.poison();
        }
        Ok(Answer { status: head.status, headers: head.headers, body, end }.decoded(limit))
    }
}

/// The connection that carries a request, known once there is one. Its address is judged at the end of the request,
/// also if the caller's time is over.
struct AskedConnection(CaptureConnection);

impl AskedConnection {
    fn for_message(message: &mut hyper::Request<Full<Bytes>>) -> Self {
        Self(capture_connection(message))
    }

    fn traffic(&self) -> Option<Traffic> {
        self.0.connection_metadata().as_ref().and_then(traffic)
    }

    fn ended_unanswered(&self) -> bool {
        self.traffic().is_some_and(|traffic| traffic.ended_unanswered())
    }
}

impl Drop for AskedConnection {
    fn drop(&mut self) {
        if let Some(traffic) = self.traffic() {
            traffic.judge();
        }
    }
}

fn traffic(connected: &Connected) -> Option<Traffic> {
    let mut extras = Extensions::new();
    connected.get_extras(&mut extras);
    extras.get().cloned()
}

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

async fn read(mut body: Incoming, limit: usize, wait: Option<Duration>) -> (Bytes, AnswerEnd) {
    let mut kept = BytesMut::new();
    let reading = async {
        while let Some(frame) = body.frame().await {
            let data = match frame.map(|frame| frame.into_data()) {
                Ok(Ok(data)) => data,
                Ok(Err(_)) => continue,
                Err(error) => return AnswerEnd::BrokenOff(error.to_string().into()),
            };
            let room = limit - kept.len();
            kept.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return AnswerEnd::TooLong;
            }
        }
        AnswerEnd::Whole
    };
    let end = match wait {
        Some(wait) => timeout(wait, reading).await.unwrap_or(AnswerEnd::Late(wait)),
        None => reading.await,
    };
    (kept.freeze(), end)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use osnl_testkit::{Reply, Sink};

    use super::*;

    #[tokio::test]
    async fn an_address_is_avoided_if_it_left_a_request_without_a_byte() {
        let options = HttpOptions::default();
        let check = async |reply: Option<Reply>, is_avoided: bool| {
            let sink = Sink::start();
            let target = Url::parse(&sink.url("/")).unwrap();
            let client = Client::to(&options, &target).unwrap();
            match &reply {
                // As a pool's connection in advance, whose request took another one that became free.
                None => drop(client.connector.clone().connect(sink.url("/").parse().unwrap()).await.unwrap()),
                Some(reply) => {
                    sink.reply_with(reply.clone());
                    let request = Request::new(Method::GET, target);
                    let most = if matches!(reply, Reply::Hang) { 500 } else { 30_000 };
                    let _ = timeout(Duration::from_millis(most), client.send(request)).await;
                }
            }
            let address = SocketAddr::from(([127, 0, 0, 1], sink.port()));
            assert_eq!(crate::dial::is_avoided(address), is_avoided, "{reply:?}");
        };
        check(None, false).await;
        check(Some(Reply::Status(503)), false).await;
        check(Some(Reply::ShortBody), false).await;
        for served_nothing in [Reply::CloseWithoutReply, Reply::Reset, Reply::Hang] {
            check(Some(served_nothing), true).await;
        }
    }
}
