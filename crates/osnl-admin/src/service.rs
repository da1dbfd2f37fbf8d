//! The answers of a server, by the path of a request.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use osnl::connections::Busy;
use osnl::control::routes::{BASE, RouteLookup, Sender, find};
use osnl::control::{ControlHandler, JOURNAL_HEADER, LINES, LONGEST_REQUEST, RequestRefusal};
use percent_encoding::percent_decode;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Access, bearer, is_probe, named};
use crate::answer::{self, AdminAnswer};
use crate::api::openapi;
use crate::caller::{Caller, Rights};
use crate::guesses::{NotBefore, TokenWay};
use crate::history::sample;
use crate::lines::AnswerLines;
use crate::metrics::{MetricsFormat, ProcessNumbers, render};
use crate::pace::Pace;
use crate::page::{self, Page, Pages};
use crate::ready::ready;
use crate::tls::CurrentTls;

const BODY: Duration = Duration::from_secs(10);
/// The shortest time between two computations of metrics or readiness, however many clients ask.
const FRESH: Duration = Duration::from_millis(200);

pub(crate) struct Service {
    handler: Arc<ControlHandler>,
    access: Access,
    /// The control socket has no pages, as no browser reaches it.
    pages: Option<Pages>,
    tls: Option<CurrentTls>,
    metrics: Mutex<Vec<(MetricsFormat, Instant, Bytes)>>,
    readiness: Mutex<Option<(Instant, Readiness)>>,
    pace: Pace,
    tasks: TaskTracker,
}

type Readiness = (bool, Arc<Value>);

impl Service {
    pub(crate) fn new(
        handler: Arc<ControlHandler>,
        access: Access,
        pages: Option<Pages>,
        tls: Option<CurrentTls>,
    ) -> Arc<Self> {
        let (metrics, readiness, tasks) = Default::default();
        Arc::new(Self { handler, access, pages, tls, metrics, readiness, pace: Pace::new(), tasks })
    }

    pub(crate) fn tls(&self) -> Option<&CurrentTls> {
        self.tls.as_ref()
    }

    pub(crate) async fn record_history(&self, stop: &CancellationToken) {
        if let Some(pages) = &self.pages
            && self.access.api(false).is_ok()
        {
            sample(&self.handler, &pages.history, stop).await;
        }
    }

    pub(crate) fn end_streams(&self) {
        self.pages.iter().for_each(Pages::end);
    }

    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Answers a request; the answer to a wrong token waits.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
        busy: &Busy,
    ) -> AdminAnswer {
        let mut answer = self.answered(request, caller, busy).await;
        if let Some(NotBefore(time)) = answer.extensions_mut().remove() {
            busy.set(false);
            sleep_until(time).await;
        }
        answer
    }

    /// Returns the owner of the request's token, or the refusal, which waits if a token was given.
    fn owner(&self, head: &Parts, by: &str) -> Result<Arc<str>, Box<AdminAnswer>> {
        self.access.token(head).map_err(|denied| {
            let mut answer = Box::new(answer::denied(denied));
            if bearer(head).is_some() {
                answer.extensions_mut().insert(self.access.wrong.count(TokenWay::Bearer, by));
            }
            answer
        })
    }

    async fn answered(&self, request: Request<Incoming>, caller: &Caller, busy: &Busy) -> AdminAnswer {
        // The first request of a connection has waited to be accepted, and a probe has a short time-out.
        let is_urgent = caller.asks_first() && is_probe(request.uri().path());
        if caller.rights != Rights::All && !is_urgent {
            self.pace.turn().await;
        }
        if let Err(refusal) = caller.may_ask(request.uri().path()) {
            return answer::refused(&refusal);
        }
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let is_get = head.method == Method::GET || head.method == Method::HEAD;
        if let Err(denied) = self.access.host(&head) {
            return page::other_host(&head, denied);
        }
        match path {
            "/livez" | "/readyz" | "/metrics" | "/api/v1/openapi.json" if !is_get => {
                other_method("GET, HEAD")
            }
            "/livez" => answer::body(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
            "/readyz" => self.readiness(&head, caller).await,
            _ if let (Some(pages), Some(page)) = (&self.pages, page::find_for(&head)) => {
                // A page asks for a login instead of refusing a wrong token.
                // A proxy may add a token of its own to the requests of a session.
                let is_known = matches!(page, Page::Css | Page::Script) || pages.has_session(&head);
                let given = bearer(&head).filter(|_| !is_known);
                let refused = given.and_then(|_| self.owner(&head, &caller.name).err());
                let answer = self.page(pages, &page, &head, body, &caller.name, busy).await;
                waiting(answer, refused)
            }
            _ => match self.owner(&head, &caller.name) {
                Err(refused) => *refused,
                Ok(_) if path == "/metrics" => self.metrics(&head).await,
                Ok(_) if path == "/api/v1/openapi.json" => {
                    answer::body(StatusCode::OK, "application/json", openapi())
                }
                Ok(owner) => {
                    // While a body is read the connection may be replaced.
                    busy.set(false);
                    self.api(&head, body, caller, &owner, busy).await
                }
            },
        }
    }

    /// Without the token the answer is only yes or no.
    async fn readiness(&self, head: &Parts, caller: &Caller) -> AdminAnswer {
        let (is_ready, why) = match self.is_ready().await {
            Ok(readiness) => readiness,
            Err(refusal) => return answer::refused(&answer::in_public(refusal)),
        };
        let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let in_brief = || answer::json(code, &json!({"ready": is_ready}));
        match self.owner(head, &caller.name) {
            Ok(_) if caller.rights == Rights::Probes => in_brief(),
            Ok(_) => answer::json(code, &why),
            Err(refused) => waiting(in_brief(), Some(refused)),
        }
    }

    /// Queries the journal once for all concurrent clients, as clients without a token may ask at any rate.
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
                // Megabytes of text must not delay messages.
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
                // While a body is read the connection may be replaced.
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

    async fn api(
        &self,
        head: &Parts,
        body: Incoming,
        caller: &Caller,
        owner: &str,
        busy: &Busy,
    ) -> AdminAnswer {
        let Some(path) = head.uri.path().strip_prefix(BASE) else { return nothing() };
        let (route, values) = match find(&head.method, path) {
            RouteLookup::Route(route, values) => (route, values),
            RouteLookup::OtherMethod(methods) => return other_method(&methods),
            RouteLookup::Nothing => return nothing(),
        };
        if let Err(denied) = self.access.api(route.changes()) {
            return answer::denied(denied);
        }
        let body = match route.changes() {
            // A filter in a body would be taken for none.
            false if !body.is_end_stream() => {
                let message = format!("{} has no body here; its options are in the query", head.method);
                return answer::error(StatusCode::BAD_REQUEST, "bad-request", &message);
            }
            false => Bytes::new(),
            // A browser's form cannot send JSON.
            true => match read(head, body, "application/json", LONGEST_REQUEST).await {
                Ok(body) => body,
                Err(answer) => return answer,
            },
        };
        busy.set(true);
        let query = head.uri.query().unwrap_or_default();
        let is_own = caller.is_own();
        let name = &*named(owner, &caller.name);
        let request = match route.read(values, query, &body, Sender { name, is_own }) {
            Ok(request) => request,
            Err(error) => return answer::error(StatusCode::BAD_REQUEST, "bad-request", &error),
        };
        // Only callers on the control socket get the full text; for other callers it is in the log.
        let words = if is_own { std::convert::identity } else { answer::in_public };
        if let Err(refusal) = caller.may(route, &request) {
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
            // A million deliveries are changed in steps, and Ctrl-C ends the change. Any other change runs
            // until its line in the log.
            let tasks = (route.changes() && request.changed_word().is_empty()).then_some(&self.tasks);
            let lines = AnswerLines::new(self.handler.clone(), request, words, busy.clone(), tasks);
            return answer::lines(lines);
        }
        match self.handler.answer(&request).await {
            Ok(value) => answer::json(StatusCode::OK, &value),
            Err(refusal) => answer::refused(&words(refusal)),
        }
    }
}

/// Returns an answer that waits as long as a refusal.
fn waiting(mut answer: AdminAnswer, refused: Option<Box<AdminAnswer>>) -> AdminAnswer {
    answer
        .extensions_mut()
        .extend(refused.map(|refused| refused.into_parts().0.extensions).unwrap_or_default());
    answer
}

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
