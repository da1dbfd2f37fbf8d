//! The server: listens, serves each connection in a task of its own, and answers.
//!
//! On the control socket root and the daemon's own user have a share of the connections of their own, so that other users
//! never keep them out. In each share the oldest idle connection gives way to a new one ([`Connections`]); while all are
//! being answered, the new one is refused.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
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
use osnl::control::routes::{BASE, RouteLookup, Sender, find};
use osnl::control::{
    ControlHandler, ControlSocket, JOURNAL_HEADER, LINES, LONGEST_REQUEST, RequestRefusal, SocketPlace,
    bind_private, may_ask,
};
use osnl::daemon::Daemon;
use osnl::group::SystemGroup;
use osnl::native::{AdminAddress, AdminConf};
use percent_encoding::percent_decode;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Caller, Rights};
use crate::answer::{self, AdminAnswer, AnswerBody};
use crate::api::openapi;
use crate::history::sample;
use crate::lines::AnswerLines;
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
/// Connections to the control socket of other users than root and the daemon's own, at once.
const OTHERS: usize = 16;
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
    Control(ControlSocket, Option<SystemGroup>),
}

/// The parts that each connection uses.
struct EndpointParts {
    handler: Arc<ControlHandler>,
    access: Access,
    /// None on the control socket.
    pages: Option<Pages>,
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
        Ok(BoundEndpoint { socket, shared: EndpointParts::new(handler, access, Some(pages), tls) })
    }
}

/// Adds the server on the control socket, for a daemon that has a place for one. If the socket cannot be had, the daemon runs
/// without, and the log has the reason.
#[must_use]
pub fn serve_control_socket(daemon: Daemon, handler: Arc<ControlHandler>) -> Daemon {
    let Some(place) = handler.socket().cloned() else { return daemon };
    daemon.serving("control socket", Box::new(|end| Box::pin(answer_on(place, handler, end))))
}

/// Answers on a control socket until told to stop.
pub async fn answer_on(place: SocketPlace, handler: Arc<ControlHandler>, stop: CancellationToken) {
    match place.bind() {
        Ok(socket) => {
            let shared = EndpointParts::new(handler, Access::of_control_socket(), None, None);
            BoundEndpoint { socket: Socket::Control(socket, place.group), shared }.run(stop).await;
        }
        Err(error) => {
            tracing::warn!(
                path = %place.path().display(),
                error = error.to_string(),
                "no control socket: osnl status and deliveries cannot ask this process"
            );
        }
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
            Socket::Unix(..) | Socket::Control(..) => None,
        }
    }

    /// Answers until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let EndpointParts { handler, access, pages, .. } = &*self.shared.clone();
        let sampling = async {
            // Where no page is read, no history is needed.
            if let Some(pages) = pages
                && access.api(false).is_ok()
            {
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
            (None, Socket::Tcp(_) | Socket::Control(..)) => {}
        }
        let server = self.socket.name();
        let mut shares = Shares::new();
        let (mut fails, pace) = (false, Pace::new());
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = shares.ended() => continue,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, caller)) => {
                    if std::mem::take(&mut fails) {
                        tracing::info!("{server} accepts connections again");
                    }
                    let is_own = caller.is_own();
                    shares.add(self.shared.clone(), stream, caller, stop.clone());
                    // On the control socket the owner does not wait for others.
                    if !is_own {
                        tokio::select! {
                            () = stop.cancelled() => break,
                            () = pace.turn() => {}
                        }
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut fails, true) {
                        tracing::warn!(%error, "{server} cannot accept connections");
                    }
                    let _ = timeout(PAUSE, stop.cancelled()).await;
                }
            }
        }
        // A stream of events would go on.
        self.shared.pages.iter().for_each(Pages::end);
        let _ = timeout(GRACE, shares.finish()).await;
        if let Socket::Unix(_, path) = &self.socket {
            // The next daemon replaces a socket that is left.
            let _ = std::fs::remove_file(path);
        }
    }
}

trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

impl Socket {
    /// A name for the log.
    fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) | Self::Unix(..) => "the admin endpoint",
            Self::Control(..) => "the control socket",
        }
    }

    /// A connection and its client.
    async fn accept(&self) -> io::Result<(Box<dyn ByteStream>, Caller)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                let by = format!("the admin endpoint for {}", peer.ip());
                let caller = Caller::new(by, Rights::AsConfigured, &stream);
                Ok((Box::new(stream), caller))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let by = format!("the admin endpoint for {}", user(&stream));
                let caller = Caller::new(by, Rights::AsConfigured, &stream);
                Ok((Box::new(stream), caller))
            }
            Self::Control(socket, group) => {
                let (stream, _) = socket.listener().accept().await?;
                // Beside root and the owner, the socket's mode lets in the group alone.
                let rights = match (stream.peer_cred(), group) {
                    (Ok(peer), _) if may_ask(peer.uid()) => Rights::All,
                    (Ok(_), Some(group)) => Rights::Reads(group.name.clone()),
                    (Ok(_), None) | (Err(_), _) => Rights::Nothing,
                };
                let caller = Caller::new(user(&stream), rights, &stream);
                Ok((Box::new(stream), caller))
            }
        }
    }
}

fn user(stream: &UnixStream) -> String {
    stream.peer_cred().map_or("a user".to_owned(), |peer| format!("user {}", peer.uid()))
}

/// The connections that are open.
struct Shares {
    /// Those of the admin endpoint; on the control socket those of root and the daemon's own user.
    first: Connections,
    /// Those of other users.
    others: Connections,
    /// Those that are told to come again.
    late: Connections,
}

impl Shares {
    fn new() -> Self {
        let [others, late] = [OTHERS, OTHERS].map(Connections::at_most);
        Self { first: Connections::at_most(MOST), others, late }
    }

    fn add(
        &mut self,
        shared: Arc<EndpointParts>,
        stream: Box<dyn ByteStream>,
        mut caller: Caller,
        stop: CancellationToken,
    ) {
        let share = match caller.rights {
            Rights::AsConfigured | Rights::All => &mut self.first,
            Rights::Reads(_) | Rights::Nothing | Rights::Later => &mut self.others,
        };
        let share = if caller.is_own() && !share.make_room() {
            caller.rights = Rights::Later;
            &mut self.late
        } else {
            share
        };
        share.add(move |busy| Box::pin(serve(shared, stream, caller, busy, stop)));
    }

    /// Waits until one has ended.
    async fn ended(&mut self) {
        tokio::select! {
            () = self.first.ended() => {}
            () = self.others.ended() => {}
            () = self.late.ended() => {}
        }
    }

    /// Waits until all have ended.
    async fn finish(&mut self) {
        tokio::join!(self.first.finish(), self.others.finish(), self.late.finish());
    }
}

/// One connection, until it ends.
async fn serve(
    shared: Arc<EndpointParts>,
    stream: Box<dyn ByteStream>,
    caller: Caller,
    busy: Busy,
    stop: CancellationToken,
) {
    let is_own = caller.is_own();
    let stream: Box<dyn ByteStream> = match &shared.tls {
        None => stream,
        Some(tls) => match timeout(HEAD, TlsAcceptor::from(tls.config()).accept(stream)).await {
            Ok(Ok(stream)) => Box::new(stream),
            Ok(Err(error)) => return tracing::debug!(%error, "a client of the admin endpoint failed in TLS"),
            Err(_) => return,
        },
    };
    let caller = Arc::new(caller);
    let answers = service_fn(move |request: Request<Incoming>| {
        let (shared, caller, busy) = (shared.clone(), caller.clone(), busy.clone());
        async move {
            busy.set(true);
            if caller.rights != Rights::All {
                shared.pace.turn().await;
            }
            let answer = shared.answer(request, &caller, &busy).await;
            busy.set(answer::is_under_way(&answer));
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
        // A change of a million deliveries takes longer.
        () = tokio::time::sleep(LIFE), if !is_own => finish(connection).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client is gone");
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
    fn new(
        handler: Arc<ControlHandler>,
        access: Access,
        pages: Option<Pages>,
        tls: Option<CurrentTls>,
    ) -> Arc<Self> {
        let (metrics, readiness) = Default::default();
        Arc::new(Self { handler, access, pages, tls, metrics, readiness, pace: Pace::new() })
    }

    async fn answer(&self, request: Request<Incoming>, caller: &Caller, busy: &Busy) -> AdminAnswer {
        if let Err(refusal) = caller.may_ask() {
            return answer::refused(&refusal);
        }
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
            _ if let (Some(pages), Some(page)) = (&self.pages, page::find(path)) => {
                self.page(pages, &page, &head, body, &caller.name, busy).await
            }
            _ => match self.access.token(&head) {
                Err(denied) => answer::denied(denied),
                Ok(()) if path == "/metrics" => self.metrics(&head).await,
                Ok(()) if path == "/api/v1/openapi.json" => {
                    answer::body(StatusCode::OK, "application/json", openapi())
                }
                Ok(()) => {
                    // While a body is read the connection may give way.
                    busy.set(false);
                    self.api(&head, body, caller, busy).await
                }
            },
        }
    }

    /// Without the token only whether, not why.
    async fn readiness(&self, head: &Parts) -> AdminAnswer {
        let (is_ready, why) = match self.is_ready().await {
            Ok(readiness) => readiness,
            Err(refusal) => return answer::refused(&answer::in_public(refusal)),
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

    async fn page(
        &self,
        pages: &Pages,
        page: &Page,
        head: &Parts,
        body: Incoming,
        by: &str,
        busy: &Busy,
    ) -> AdminAnswer {
        let form = match (&head.method, pages.longest_form(page, &self.access, head)) {
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
        pages.answer(page, place, head, &form).await
    }

    async fn api(&self, head: &Parts, body: Incoming, caller: &Caller, busy: &Busy) -> AdminAnswer {
        let Some(path) = head.uri.path().strip_prefix(BASE) else { return nothing() };
        let (route, members) = match find(&head.method, path) {
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
        let is_own = caller.is_own();
        let request = match route.read(members, query, &body, Sender { name: &caller.name, is_own }) {
            Ok(request) => request,
            Err(error) => return answer::error(StatusCode::BAD_REQUEST, "bad-request", &error),
        };
        // The owner reads in the answer what others find in the log.
        let words = if is_own { std::convert::identity } else { answer::in_public };
        if let Err(refusal) = caller.may(&request) {
            return answer::refused(&refusal);
        }
        if let Some(journal) = head.headers.get(JOURNAL_HEADER) {
            let path: Vec<u8> = percent_decode(journal.as_bytes()).collect();
            if let Err(refusal) = self.handler.is_of(Path::new(OsStr::from_bytes(&path))).await {
                return answer::refused(&words(refusal));
            }
        }
        if route.changes() && caller.has_gone() {
            tracing::info!("a change was asked for by a client that has gone; it is not made");
            return answer::error(StatusCode::REQUEST_TIMEOUT, "bad-request", "the client has gone");
        }
        if head.headers.get(ACCEPT).is_some_and(|accepted| accepted == LINES) {
            return answer::lines(AnswerLines::new(self.handler.clone(), request, words, busy.clone()));
        }
        match self.handler.answer(&request).await {
            Ok(value) => answer::json(StatusCode::OK, &value),
            Err(refusal) => answer::refused(&words(refusal)),
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
