//! The page for the operator on call: HTML from the daemon, for a browser with or without JavaScript.
//!
//! Every text from outside is one line without control characters, has a bounded length, and is escaped by
//! the templates. Nothing is loaded from other sites. The one script is a file of this endpoint, and every page works
//! without it.
//!
//! A form that changes something carries the session's secret number, which no other site can know. The
//! request is refused if the browser reports another site as its origin.

mod action;
mod action_change;
mod change;
mod configuration;
mod deliveries;
mod explain;
mod frame;
mod incident;
mod live;
mod login;
mod overview;
mod plot;
mod plots;
mod quarantine;
mod rules;
mod session;
mod text;
mod unmatched;

use std::sync::Arc;

use askama::Template;
use bytes::Bytes;
use hyper::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE, X_FRAME_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use osnl::control::{Code, ControlHandler, ControlRequest, RequestRefusal};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use self::frame::{Frame, SharedStanding, Standing};
use self::session::Sessions;
use crate::access::{Access, Denial, named, site};
use crate::answer::{self, AdminAnswer};
use crate::history::SharedHistory;

const SCRIPT: &str = include_str!("../templates/page.js");
const CSS: &str = include_str!("../templates/page.css");
const LONGEST_FORM: usize = 64 * 1024;
/// The form encoding may write each byte as three, and a broker's messages have up to some hundred KiB.
const LONGEST_EVENT: usize = 1024 * 1024;
static FORMS: [(Page, usize); 7] = [
    (Page::Login, LONGEST_FORM),
    (Page::Logout, LONGEST_FORM),
    (Page::ActionChange, LONGEST_FORM),
    (Page::Change, LONGEST_FORM),
    (Page::QuarantineChange, LONGEST_FORM),
    (Page::Reload, LONGEST_FORM),
    (Page::Explain, LONGEST_EVENT),
];
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(crate) struct Pages {
    sessions: Arc<Sessions>,
    pub(crate) history: SharedHistory,
    standing: SharedStanding,
    ends: CancellationToken,
    environment: String,
}

#[derive(Clone, Copy)]
pub(crate) struct PageContext<'a> {
    pub(crate) handler: &'a ControlHandler,
    pub(crate) access: &'a Access,
    pub(crate) is_tls: bool,
    pub(crate) by: &'a str,
}

#[derive(Clone, Copy)]
struct PageVisit<'a> {
    handler: &'a ControlHandler,
    access: &'a Access,
    history: &'a SharedHistory,
    environment: &'a str,
    caller: &'a PageCaller,
    by: &'a str,
    standing: Standing,
    query: &'a str,
    form: Option<&'a [u8]>,
}

type PageAnswer = Result<AdminAnswer, RequestRefusal>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Css,
    Script,
    Login,
    Logout,
    Overview,
    Action(String),
    ActionChange,
    Deliveries,
    Change,
    Delivery(String),
    Live,
    LiveEvents,
    Plots,
    Rules,
    Unmatched,
    Explain,
    Quarantine,
    Quarantined(String),
    QuarantineChange,
    Configuration,
    Reload,
    /// A browser asks for an address that no page has.
    Missing,
}

#[derive(Template, Default)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    title: &'a str,
    message: String,
    onward: Option<String>,
    login: Option<String>,
    back: &'a str,
}

struct PageCaller {
    csrf: String,
    has_session: bool,
    owner: Arc<str>,
}

pub(crate) fn find(path: &str) -> Option<Page> {
    Some(match path {
        "/" => Page::Overview,
        "/page.css" => Page::Css,
        "/login" => Page::Login,
        "/logout" => Page::Logout,
        "/actions/change" => Page::ActionChange,
        "/deliveries" => Page::Deliveries,
        "/deliveries/change" => Page::Change,
        "/page.js" => Page::Script,
        "/live" => Page::Live,
        "/live/events" => Page::LiveEvents,
        "/plots" => Page::Plots,
        "/rules" => Page::Rules,
        "/unmatched" => Page::Unmatched,
        "/explain" => Page::Explain,
        "/quarantine" => Page::Quarantine,
        "/quarantine/change" => Page::QuarantineChange,
        "/configuration" => Page::Configuration,
        "/configuration/reload" => Page::Reload,
        _ => match path.split_at_checked(path.rfind('/')? + 1)? {
            ("/actions/", name) if !name.is_empty() => Page::Action(name.to_owned()),
            ("/deliveries/", id) if !id.is_empty() => Page::Delivery(id.to_owned()),
            ("/quarantine/", id) if !id.is_empty() => Page::Quarantined(id.to_owned()),
            _ => return None,
        },
    })
}

/// Returns the page for an address, or the one that says that there is none, if a browser asks: the others get JSON.
pub(crate) fn find_for(head: &Parts) -> Option<Page> {
    let path = head.uri.path();
    let is_api = path == "/metrics" || path == "/api" || path.starts_with("/api/");
    find(path).or((is_for_browser(head) && !is_api).then_some(Page::Missing))
}

fn is_for_browser(head: &Parts) -> bool {
    let accept = head.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.contains("text/html") && matches!(head.method, Method::GET | Method::HEAD)
}

/// Returns the answer to a request with the name of another host: a page, if a browser asks.
pub(crate) fn other_host(head: &Parts, denial: Denial) -> AdminAnswer {
    let answer = answer::denied(denial);
    if is_for_browser(head) { refusal_page(answer.status(), answer::reason(denial)) } else { answer }
}

impl Pages {
    pub(crate) fn new(environment: String) -> Result<Self, ring::error::Unspecified> {
        Ok(Self {
            sessions: Arc::new(Sessions::new()?),
            history: SharedHistory::default(),
            standing: SharedStanding::default(),
            ends: CancellationToken::new(),
            environment,
        })
    }

    pub(crate) fn longest_form(&self, page: &Page, access: &Access, head: &Parts) -> Option<usize> {
        let is_known = || self.has_session(head) || access.token(head).is_ok();
        let (_, longest) = FORMS.iter().find(|(taking, _)| taking == page)?;
        Some(if is_known() { *longest } else { LONGEST_FORM })
    }

    pub(crate) fn has_session(&self, head: &Parts) -> bool {
        self.sessions.find(head).is_some()
    }

    pub(crate) fn end(&self) {
        self.ends.cancel();
    }

    pub(crate) async fn answer(
        &self,
        page: &Page,
        place: PageContext<'_>,
        head: &Parts,
        body: &[u8],
    ) -> AdminAnswer {
        let is_post = head.method == Method::POST;
        match page {
            Page::Css => return with_policy(answer::body(StatusCode::OK, "text/css; charset=utf-8", CSS)),
            Page::Script => {
                return with_policy(answer::body(StatusCode::OK, "text/javascript; charset=utf-8", SCRIPT));
            }
            Page::Login => return login::answer(self, place, head, body),
            _ => {}
        }
        let caller = match self.caller(place, head) {
            Ok(caller) => caller,
            // A script reads this stream, so the refusal is no page.
            Err(_) if *page == Page::LiveEvents => return answer::denied(Denial::Token),
            Err(refused) => return *refused,
        };
        if is_post && !place.access.is_own_form(head) {
            return foreign_form();
        }
        if is_post && !is_of_session(body, &caller) {
            return refusal_page(
                StatusCode::FORBIDDEN,
                "This form is from another page or session; load it again.",
            );
        }
        let visit = PageVisit {
            handler: place.handler,
            access: place.access,
            history: &self.history,
            environment: &self.environment,
            caller: &caller,
            by: &named(&caller.owner, place.by),
            standing: match page {
                // These pages ask for the status.
                Page::Overview | Page::Action(_) | Page::LiveEvents => Standing::default(),
                _ => self.standing.get(|| place.handler.status()).await,
            },
            query: head.uri.query().unwrap_or_default(),
            form: is_post.then_some(body),
        };
        let made = match page {
            Page::Logout if is_post => {
                self.sessions.end(head);
                return with_cookie(to("/login"), "", 0, place);
            }
            Page::Logout | Page::Css | Page::Script | Page::Login => return to("/"),
            Page::ActionChange => action_change::page(visit).await,
            Page::Reload => configuration::reload(visit).await,
            Page::Missing => Err(RequestRefusal {
                code: Code::NotFound,
                message: format!("There is no page {}.", head.uri.path()),
            }),
            Page::Overview => overview::page(visit).await,
            Page::Action(name) => action::page(visit, name).await,
            Page::Deliveries => deliveries::list(visit).await,
            Page::Change => change::page(visit).await,
            Page::Delivery(id) => deliveries::one(visit, id).await,
            Page::Live => live::page(visit),
            Page::LiveEvents => return live::stream(self, visit, head),
            Page::Plots => plots::page(visit),
            Page::Rules => rules::page(visit).await,
            Page::Unmatched => unmatched::page(visit).await,
            Page::Explain => explain::page(visit).await,
            Page::Configuration => configuration::page(visit).await,
            Page::Quarantine => quarantine::list(visit).await,
            Page::QuarantineChange => quarantine::change(visit).await,
            Page::Quarantined(id) => quarantine::one(visit, id).await,
        };
        if is_post {
            self.standing.forget();
        }
        made.unwrap_or_else(|refusal| refusal_page(answer::status(refusal.code), answer::message(&refusal)))
    }

    fn caller(&self, place: PageContext<'_>, head: &Parts) -> Result<PageCaller, Box<AdminAnswer>> {
        if let Err(denial) = place.access.api(false) {
            return Err(denied(denial).into());
        }
        if let Some((csrf, owner)) = self.sessions.find(head) {
            return Ok(PageCaller { csrf, has_session: true, owner });
        }
        if let Ok(owner) = place.access.token(head) {
            return Ok(PageCaller { csrf: self.sessions.own_csrf.clone(), has_session: false, owner });
        }
        let here = head.uri.path_and_query().map_or("/", |here| here.as_str());
        let here = if login::is_path(here) { here } else { "/" };
        if head.method != Method::GET && head.method != Method::HEAD {
            return Err(refusal_page(StatusCode::FORBIDDEN, "The session has ended: log in again.").into());
        }
        // A link from another site carries no cookie (`SameSite`); the next request, from this page, does.
        if site(head) == Some("cross-site") {
            let page = MessagePage {
                title: "One moment",
                onward: Some(here.to_owned()),
                back: here,
                ..MessagePage::default()
            };
            return Err(html(StatusCode::OK, &page).into());
        }
        Err(to(&format!("/login?next={}", text::query(here))).into())
    }
}

async fn ask<T: DeserializeOwned>(
    visit: PageVisit<'_>,
    request: &ControlRequest,
) -> Result<T, RequestRefusal> {
    let value = visit.handler.answer(request).await?;
    serde_json::from_value(value).map_err(|error| bad(error.to_string()))
}

fn after<'a, T>(
    all: &'a [T],
    query: &str,
    most: usize,
    key: impl Fn(&T) -> &str,
) -> (&'a [T], Option<String>) {
    let after = text::field(query.as_bytes(), "after");
    let begin = after.and_then(|after| all.iter().position(|one| key(one) == after));
    let rest = &all[begin.map_or(0, |at| at + 1)..];
    let shown = &rest[..rest.len().min(most)];
    let last = shown.last().filter(|_| rest.len() > shown.len());
    (shown, last.map(|one| format!("after={}", text::query(key(one)))))
}

fn bad(message: impl Into<String>) -> RequestRefusal {
    RequestRefusal { code: Code::BadRequest, message: message.into() }
}

fn is_of_session(body: &[u8], caller: &PageCaller) -> bool {
    let csrf = text::field(body, "csrf");
    csrf.is_some_and(|given| session::digest(&given) == session::digest(&caller.csrf))
}

fn foreign_form() -> AdminAnswer {
    refusal_page(
        StatusCode::FORBIDDEN,
        "This form is from a page of another site. Behind a reverse proxy, pass the Host header on, or add its name to \
         [admin] host_names.",
    )
}

pub(crate) fn too_long(longest: usize) -> AdminAnswer {
    let most = text::size(longest as u64);
    let message = format!("The form is longer than {most}. Use osnl explain for a large event.");
    refusal_page(StatusCode::PAYLOAD_TOO_LARGE, &message)
}

fn refusal_page(status: StatusCode, message: &str) -> AdminAnswer {
    let page = MessagePage {
        title: status.canonical_reason().unwrap_or("Refused"),
        message: text::line(message),
        back: "/",
        ..MessagePage::default()
    };
    html(status, &page)
}

fn shown(page: &impl Template) -> PageAnswer {
    Ok(html(StatusCode::OK, page))
}

fn html(status: StatusCode, page: &impl Template) -> AdminAnswer {
    match page.render() {
        Ok(text) => with_policy(answer::body(status, "text/html; charset=utf-8", Bytes::from(text))),
        Err(error) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error.to_string()),
    }
}

fn with_policy(mut answer: AdminAnswer) -> AdminAnswer {
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

fn to(path: &str) -> AdminAnswer {
    let mut answer = with_policy(answer::body(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", ""));
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    answer.headers_mut().insert(LOCATION, path);
    answer
}

/// Sets the session's cookie for some seconds. The end of a session also keeps the browser from showing
/// cached pages.
fn with_cookie(mut answer: AdminAnswer, value: &str, life: u64, place: PageContext<'_>) -> AdminAnswer {
    let secure = if place.is_tls { "; Secure" } else { "" };
    let cookie =
        format!("{}={value}; Path=/; Max-Age={life}; HttpOnly; SameSite=Strict{secure}", session::NAME);
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

fn denied(denial: Denial) -> AdminAnswer {
    refusal_page(StatusCode::FORBIDDEN, answer::reason(denial))
}
