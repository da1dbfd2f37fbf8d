//! The server: listens, serves each connection in a task of its own, and answers.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use osnl::connections::{Busy, Connections};
use osnl::control::{ControlHandler, LONGEST_REQUEST, RequestRefusal, bind_private};
use osnl::native::{AdminAddress, AdminConf};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::answer::{self, AdminAnswer, AnswerBody};
use crate::api::{self, OPENAPI, RouteLookup};
use crate::history::sample;
use crate::metrics::{MetricsFormat, ProcessNumbers, render};
use crate::pace::{MOST, Pace};
use crate::page::{self, Page, Pages};
use crate::progress::ProgressStream;
use crate::ready::ready;
use crate::tls::CurrentTls;

/// The time for a handshake, for the head of a request, and between two requests of a connection.
const HEAD: Duration = Duration::from_secs(5);
/// The time for the body of a request.
const BODY: Duration = Duration::from_secs(10);
/// The longest life of a connection; a scraper opens another one.
const LIFE: Duration = Duration::from_secs(10 * 60);
/// Bytes of the head of a request.
const HEAD_BYTES: usize = 16 * 1024;
/// After the end was asked for, answers have this long.
const GRACE: Duration = Duration::from_secs(2);
/// Metrics and readiness are made at most this often, however many ask.
const FRESH: Duration = Duration::from_millis(200);
/// A pause after a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the endpoint cannot begin. What is said follows `[admin]`.
#[derive(Debug, thiserror::Error)]
pub enum AdminStartError {
    /// The address cannot be had.
    #[error("listen: {address}: {error}; name another address, or end what listens there")]
    Listen { address: AdminAddress, error: io::Error },
    /// A file that is not a socket has the name.
    #[error("listen: {}: exists and is not a socket; move it away", .0.display())]
    NotASocket(PathBuf),
    #[error("{0}; name PEM files that this user can read")]
    Tls(String),
    #[error("the operating system gives no random numbers")]
    Random,
}

/// A bound endpoint that does not answer yet.
pub struct BoundEndpoint {
    socket: Socket,
    shared: Arc<EndpointParts>,
}

#[derive(Debug)]
pub struct AdminEndpoint;

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// The parts that each connection uses.
struct EndpointParts {
    handler: Arc<ControlHandler>,
    access: Access,
    pages: Pages,
    tls: Option<CurrentTls>,
    /// The metrics that were made last, with their format.
    metrics: Mutex<Vec<(MetricsFormat, Instant, Bytes)>>,
    readiness: Mutex<Option<(Instant, Readiness)>>,
    pace: Pace,
}

/// Whether the daemon is ready, and the answer that says why.
type Readiness = (bool, Arc<Value>);

impl AdminEndpoint {
    /// Reads the files for TLS as a start would, and binds nothing.
    ///
    /// # Errors
    /// [`AdminStartError::Tls`].
    pub fn check(conf: &AdminConf) -> Result<(), AdminStartError> {
        conf.tls.as_ref().map_or(Ok(()), crate::tls::judge).map_err(AdminStartError::Tls)
    }

    /// Binds the address.
    ///
    /// # Errors
    /// See [`AdminStartError`].
    pub async fn bind(
        conf: &AdminConf,
        handler: Arc<ControlHandler>,
    ) -> Result<BoundEndpoint, AdminStartError> {
        let access = Access::new(conf).map_err(|_| AdminStartError::Random)?;
        let pages = Pages::new().map_err(|_| AdminStartError::Random)?;
        let tls = conf
            .tls
            .clone()
            .map(|files| CurrentTls::new(files, handler.clone()))
            .transpose()
            .map_err(AdminStartError::Tls)?;
        let failed = |error| AdminStartError::Listen { address: conf.listen.clone(), error };
        let socket = match &conf.listen {
            AdminAddress::Tcp(address) => Socket::Tcp(TcpListener::bind(address).await.map_err(failed)?),
            AdminAddress::Unix(path) => {
                replace(path).map_err(failed)?;
                if path.symlink_metadata().is_ok() {
                    return Err(AdminStartError::NotASocket(path.clone()));
                }
                Socket::Unix(bind_private(path).map_err(failed)?, path.clone())
            }
        };
        let (metrics, readiness) = Default::default();
        let shared = EndpointParts { handler, access, pages, tls, metrics, readiness, pace: Pace::new() };
        Ok(BoundEndpoint { socket, shared: Arc::new(shared) })
    }
}

/// Removes a socket on which no process answers any more.
fn replace(path: &Path) -> io::Result<()> {
    let Ok(meta) = path.symlink_metadata() else { return Ok(()) };
    if !meta.file_type().is_socket() {
        return Ok(());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(_) => std::fs::remove_file(path),
    }
}

impl BoundEndpoint {
    /// Returns the address that was bound; `None` for a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix(..) => None,
        }
    }

    /// Answers until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let EndpointParts { handler, access, pages, .. } = &*self.shared.clone();
        let sampling = async {
            // Where no page is read, no history is needed.
            if access.api(false).is_ok() {
                sample(handler, &pages.history, &stop).await;
            }
        };
        tokio::join!(self.serve_all(&stop), sampling);
    }

    async fn serve_all(self, stop: &CancellationToken) {
        match (self.address(), &self.socket) {
            (Some(address), _) => tracing::info!(%address, "the admin endpoint listens"),
            (None, Socket::Unix(_, path)) => {
                tracing::info!(path = %path.display(), "the admin endpoint listens");
            }
            (None, Socket::Tcp(_)) => {}
        }
        let mut connections = Connections::at_most(MOST);
        let (mut fails, pace) = (false, Pace::new());
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = connections.ended() => continue,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, by)) => {
                    if std::mem::take(&mut fails) {
                        tracing::info!("the admin endpoint accepts connections again");
                    }
                    let (shared, end) = (self.shared.clone(), stop.clone());
                    connections.add(move |busy| Box::pin(serve(shared, stream, by, busy, end)));
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = pace.turn() => {}
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut fails, true) {
                        tracing::warn!(%error, "the admin endpoint cannot accept connections");
                    }
                    let _ = timeout(PAUSE, stop.cancelled()).await;
                }
            }
        }
        // A stream of events would go on.
        self.shared.pages.end();
        let _ = timeout(GRACE, connections.finish()).await;
        if let Socket::Unix(_, path) = &self.socket {
            // The next daemon replaces a socket that is left.
            let _ = std::fs::remove_file(path);
        }
    }
}

trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

impl Socket {
    /// A connection, and the name of its client for the log.
    async fn accept(&self) -> io::Result<(Box<dyn ByteStream>, String)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok((Box::new(stream), peer.ip().to_string()))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let user =
                    stream.peer_cred().map_or("a user".to_owned(), |peer| format!("user {}", peer.uid()));
                Ok((Box::new(stream), user))
            }
        }
    }
}

/// One connection, until it ends.
async fn serve(
    shared: Arc<EndpointParts>,
    stream: Box<dyn ByteStream>,
    by: String,
    busy: Busy,
    stop: CancellationToken,
) {
    let stream: Box<dyn ByteStream> = match &shared.tls {
        None => stream,
        Some(tls) => match timeout(HEAD, TlsAcceptor::from(tls.config()).accept(stream)).await {
            Ok(Ok(stream)) => Box::new(stream),
            Ok(Err(error)) => return tracing::debug!(%error, "a client of the admin endpoint failed in TLS"),
            Err(_) => return,
        },
    };
    let by: Arc<str> = format!("the admin endpoint for {by}").into();
    let answers = service_fn(move |request: Request<Incoming>| {
        let (shared, by, busy) = (shared.clone(), by.clone(), busy.clone());
        async move {
            busy.set(true);
            shared.pace.turn().await;
            let answer = shared.answer(request, &by, &busy).await;
            busy.set(false);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(64)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(ProgressStream::new(stream)), answers);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => finish(connection).await,
        () = tokio::time::sleep(LIFE) => finish(connection).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client of the admin endpoint is gone");
    }
}

type HttpConnection<'a, I, S> = std::pin::Pin<&'a mut hyper::server::conn::http1::Connection<I, S>>;

/// Answers the request under way, and no other.
async fn finish<I, S>(mut connection: HttpConnection<'_, I, S>) -> hyper::Result<()>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<Incoming, ResBody = AnswerBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    connection.as_mut().graceful_shutdown();
    timeout(GRACE, connection).await.unwrap_or(Ok(()))
}

impl EndpointParts {
    async fn answer(&self, request: Request<Incoming>, by: &str, busy: &Busy) -> AdminAnswer {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let is_get = head.method == Method::GET || head.method == Method::HEAD;
        if let Err(denied) = self.access.host(&head) {
            return answer::denied(denied);
        }
        match path {
            "/livez" | "/readyz" | "/metrics" | "/api/v1/openapi.json" if !is_get => {
                other_method("GET, HEAD")
            }
            "/livez" => answer::body(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
            "/readyz" => self.readiness(&head).await,
            _ if let Some(page) = page::find(path) => self.page(&page, &head, body, by, busy).await,
            _ => match self.access.token(&head) {
                Err(denied) => answer::denied(denied),
                Ok(()) if path == "/metrics" => self.metrics(&head).await,
                Ok(()) if path == "/api/v1/openapi.json" => {
                    answer::body(StatusCode::OK, "application/json", OPENAPI)
                }
                Ok(()) => {
                    // While a body is read the connection may give way.
                    busy.set(false);
                    self.api(&head, body, by, busy).await
                }
            },
        }
    }

    /// Without the token only whether, not why.
    async fn readiness(&self, head: &Parts) -> AdminAnswer {
        let (is_ready, why) = match self.is_ready().await {
            Ok(readiness) => readiness,
            Err(refusal) => return answer::refused(&refusal),
        };
        let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        match self.access.token(head) {
            Ok(()) => answer::json(code, &why),
            Err(_) => answer::json(code, &json!({"ready": is_ready})),
        }
    }

    /// Clients that need no token may ask as often as they like: the journal is looked into once for all of them.
    async fn is_ready(&self) -> Result<Readiness, RequestRefusal> {
        let mut made = self.readiness.lock().await;
        if let Some((at, readiness)) = &*made
            && at.elapsed() < FRESH
        {
            return Ok(readiness.clone());
        }
        let (is_ready, why) = ready(&self.handler.status().await?);
        let readiness = (is_ready, Arc::new(why));
        *made = Some((Instant::now(), readiness.clone()));
        Ok(readiness)
    }

    async fn metrics(&self, head: &Parts) -> AdminAnswer {
        let accept = head.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let format = MetricsFormat::accepted(accept);
        let mut made = self.metrics.lock().await;
        made.retain(|(_, at, _)| at.elapsed() < FRESH);
        let known = made.iter().find(|(known, ..)| *known == format);
        let text = match known {
            Some((_, _, text)) => text.clone(),
            None => {
                let Some(measured) = self.handler.measurements().await else {
                    return answer::error(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "unavailable",
                        "no daemon runs here",
                    );
                };
                // Megabytes of text must not keep messages waiting.
                let text =
                    spawn_blocking(move || render(&measured, ProcessNumbers::read().ok().as_ref(), format))
                        .await;
                match text {
                    Ok(text) => {
                        let text = Bytes::from(text);
                        made.push((format, Instant::now(), text.clone()));
                        text
                    }
                    Err(error) => {
                        let error = error.to_string();
                        return answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error);
                    }
                }
            }
        };
        answer::body(StatusCode::OK, format.content_type(), text)
    }

    async fn page(&self, page: &Page, head: &Parts, body: Incoming, by: &str, busy: &Busy) -> AdminAnswer {
        let form = match (&head.method, self.pages.longest_form(page, &self.access, head)) {
            (&Method::GET | &Method::HEAD, _) => Bytes::new(),
            (&Method::POST, Some(longest)) => {
                // While a body is read the connection may give way.
                busy.set(false);
                match read(head, body, "application/x-www-form-urlencoded", longest).await {
                    Ok(form) => form,
                    Err(answer) if answer.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                        return page::too_long(longest);
                    }
                    Err(answer) => return answer,
                }
            }
            (_, Some(_)) => return other_method("GET, HEAD, POST"),
            (_, None) => return other_method("GET, HEAD"),
        };
        busy.set(true);
        let place = page::PageContext {
            handler: &self.handler,
            access: &self.access,
            is_tls: self.tls.is_some(),
            by,
        };
        self.pages.answer(page, place, head, &form).await
    }

    async fn api(&self, head: &Parts, body: Incoming, by: &str, busy: &Busy) -> AdminAnswer {
        let Some(path) = head.uri.path().strip_prefix("/api/v1") else { return nothing() };
        let (route, members) = match api::find(&head.method, path) {
            RouteLookup::Route(route, members) => (route, members),
            RouteLookup::OtherMethod(methods) => return other_method(&methods),
            RouteLookup::Nothing => return nothing(),
        };
        if let Err(denied) = self.access.api(route.changes()) {
            return answer::denied(denied);
        }
        let body = match route.changes() {
            false => Bytes::new(),
            // JSON, which no form of a browser can send.
            true => match read(head, body, "application/json", LONGEST_REQUEST).await {
                Ok(body) => body,
                Err(answer) => return answer,
            },
        };
        busy.set(true);
        let query = head.uri.query().unwrap_or_default();
        let request = match route.request(members, query, &body, by) {
            Ok(request) => request,
            Err(error) => return answer::error(StatusCode::BAD_REQUEST, "bad-request", &error),
        };
        match self.handler.answer(&request).await {
            Ok(value) => answer::json(StatusCode::OK, &value),
            Err(refusal) => answer::refused(&refusal),
        }
    }
}

/// The body of a request that changes something.
async fn read(head: &Parts, body: Incoming, media_type: &str, longest: usize) -> Result<Bytes, AdminAnswer> {
    let given = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = given.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case(media_type) {
        let message = format!("send Content-Type: {media_type}");
        return Err(answer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", &message));
    }
    let too_long = || {
        let message = format!("the body is longer than {longest} bytes; ask in parts, or by a filter");
        answer::error(StatusCode::PAYLOAD_TOO_LARGE, "bad-request", &message)
    };
    if body.size_hint().lower() > longest as u64 {
        return Err(too_long());
    }
    match timeout(BODY, Limited::new(body, longest).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(error)) => {
            Err(answer::error(StatusCode::BAD_REQUEST, "bad-request", &format!("the body: {error}")))
        }
        Err(_) => {
            Err(answer::error(StatusCode::REQUEST_TIMEOUT, "bad-request", "the body did not come in time"))
        }
    }
}

fn nothing() -> AdminAnswer {
    let message = "there is nothing here; see /livez, /readyz, /metrics and /api/v1/openapi.json";
    answer::error(StatusCode::NOT_FOUND, "not-found", message)
}

fn other_method(methods: &str) -> AdminAnswer {
    let mut answer =
        answer::error(StatusCode::METHOD_NOT_ALLOWED, "method", &format!("allowed here: {methods}"));
    if let Ok(methods) = HeaderValue::from_str(methods) {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}
