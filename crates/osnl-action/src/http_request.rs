//! The action `http`: a request to any API or webhook, by template.
//!
//! An attempt is one request (with `format = ndjson` for all events of the call), plus redirects, plus one more if
//! the target refuses a token and [`Authorization`] has another. After time-outs and resets the target may have
//! received it, so the idempotency key stays the same.

mod authorization;
mod body;
pub mod cloud_event;
mod conf;
mod driver;
mod literals;
mod message;
mod reply;
mod secrets;
mod sent;
mod sign;
mod target;
#[cfg(test)]
mod tests;
mod verb;

pub use self::message::key_value;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use osnl_core::trace::{SpanId, TRACEPARENT};
use osnl_model::{Scrubber, mask_text};
use osnl_net::http::header::{HeaderName, HeaderValue, LOCATION};
use osnl_net::http::{
    Answer, AnswerEnd, Client, Expiry, Failure, FailureClass, Request, StatusCode, Url, redirected,
};
use osnl_transport::BoxFuture;

pub use self::authorization::{Authorization, FetchedLogin, FixedHeader, MissingAnswer, TOKEN};
pub use self::conf::{HttpConf, LoginReader};
use self::message::{RequestParts, RequestSubject};
use self::reply::ReplyStatus;
pub use self::sent::request_text;
use super::statuses::StatusClasses;
use super::{Action, ActionError, Completion, ErrorClass, Event};

/// The action of one section: makes the requests of its events, and judges the answers.
#[derive(Clone)]
pub struct HttpAction {
    /// The parts of the request, from which each event makes its own.
    message: Arc<RequestParts>,
    /// The statuses that mean success, a retry, or a final refusal.
    judgement: StatusClasses,
    /// The expression that reads the statuses of the events from a successful reply.
    reply: Option<ReplyStatus>,
    /// The most redirects that one attempt follows.
    redirects: u32,
    /// The configured URL, without secrets.
    target: String,
    /// The client for the configured host.
    own: Client,
    /// The client for a host that an event or a redirect names: without our certificate, and
    /// guarded.
    away: Option<Client>,
    /// The login of each request; `None` for `auth = none`.
    authorization: Option<Arc<dyn Authorization>>,
    /// The secrets of the section, which no reply may bring into an outcome.
    secrets: Scrubber,
    /// Whether the body may hold a secret, so that no redirect takes it to another host.
    body_holds_secret: bool,
}

impl HttpAction {
    fn new(
        conf: &HttpConf,
        own: Client,
        away: Option<Client>,
        authorization: Option<Arc<dyn Authorization>>,
    ) -> Self {
        Self {
            secrets: conf.secrets(),
            body_holds_secret: conf.0.literals.in_body,
            message: conf.0.message.clone(),
            judgement: conf.0.judgement.clone(),
            reply: conf.0.reply.clone(),
            redirects: conf.0.redirects,
            target: conf.shown_target(),
            own,
            away,
            authorization,
        }
    }

    async fn attempt(&self, event: &Event) -> Result<Completion, ActionError> {
        let key = event.idempotency_key();
        let about = RequestSubject::for_event(event, &key);
        let names = event.names();
        let now = SystemTime::now();
        let request = self.message.request(&names, &about, now);
        let mut request = request.map_err(ActionError::template)?;
        trace(&mut request, event, &key, now);
        let shown = self.message.shown_target(&names, &about, &request);
        let answer = self.authorized(request).await?;
        self.verdicts(&shown, &answer, 1).pop().unwrap_or_else(|| Err(self.unread(&answer, "no status")))
    }

    async fn attempt_lines(&self, events: &[Event]) -> Vec<Result<Completion, ActionError>> {
        let mut body = String::new();
        let mut unusable: Vec<Option<ActionError>> = Vec::with_capacity(events.len());
        for event in events {
            let key = event.idempotency_key();
            let lines = self.message.lines(&event.names(), &RequestSubject::for_event(event, &key));
            body.push_str(lines.as_deref().unwrap_or_default());
            unusable.push(lines.err().map(ActionError::template));
        }
        let sent = unusable.iter().filter(|error| error.is_none()).count();
        let mut verdicts = match sent {
            0 => Vec::new(),
            _ => match self.send_lines(body, events).await {
                Ok((shown, answer)) => self.verdicts(&shown, &answer, sent),
                Err(error) => vec![Err(error); sent],
            },
        }
        .into_iter();
        let none = || Err(ActionError::new(ErrorClass::Reset, "the call gave no verdict"));
        let verdict = |error: Option<ActionError>| match error {
            Some(error) => Err(error),
            None => verdicts.next().unwrap_or_else(none),
        };
        unusable.into_iter().map(verdict).collect()
    }

    async fn send_lines(&self, body: String, events: &[Event]) -> Result<(String, Answer), ActionError> {
        let mut request = self.message.request_of_lines(body).map_err(ActionError::template)?;
        if let [event] = events {
            trace(&mut request, event, &event.idempotency_key(), SystemTime::now());
        }
        let shown = self.message.shown_target_of_lines(&request);
        Ok((shown, self.authorized(request).await?))
    }

    fn verdicts(&self, shown: &str, answer: &Answer, events: usize) -> Vec<Result<Completion, ActionError>> {
        let status = answer.status.as_u16();
        if let Some(class) = self.judgement.failure(status) {
            // One event may be the reason for the refusal of all, so each is then tried alone. After a 303 the target may
            // have done all of them.
            let is_of_several = events > 1 && class.is_final() && answer.status != StatusCode::SEE_OTHER;
            let class = if is_of_several { ErrorClass::Refused(Some(status)) } else { class };
            return vec![Err(self.refusal(class, answer)); events];
        }
        let cut = match &answer.end {
            AnswerEnd::Whole | AnswerEnd::TooLong => String::new(),
            end @ (AnswerEnd::BrokenOff(_) | AnswerEnd::Late(_)) => format!("; {end}"),
        };
        let answers = match &self.reply {
            None => vec![Ok(answer.clone()); events],
            Some(reply) => match reply.answers(answer, events) {
                Ok(answers) => answers,
                Err(why) => return vec![Err(self.unread(answer, &why)); events],
            },
        };
        let verdict = |of_event: &Result<Answer, String>| {
            let of_event = of_event.as_ref().map_err(|why| self.unread(answer, why))?;
            let status = of_event.status.as_u16();
            match self.judgement.failure(status) {
                None => Ok(Completion::Delivered(self.scrubbed(&format!("{shown}: {status}{cut}")))),
                Some(class) => Err(self.refusal(class, of_event)),
            }
        };
        answers.iter().map(verdict).collect()
    }

    /// The target has reported success, so another attempt might be a second effect. An operator decides.
    fn unread(&self, answer: &Answer, why: &str) -> ActionError {
        let excerpt =
            answer.excerpt(&self.secrets()).map(|excerpt| format!("; {excerpt}")).unwrap_or_default();
        let reason = self.scrubbed(&format!("status {}, but {why}{excerpt}", answer.status.as_u16()));
        let remedy = match answer.end {
            AnswerEnd::Whole => {
                "compare reply_status with the reply, and look at the target before you retry"
            }
            AnswerEnd::TooLong => {
                "increase reply_limit, then osnl reload, and look at the target before you retry"
            }
            AnswerEnd::BrokenOff(_) | AnswerEnd::Late(_) => "look at the target before you retry",
        };
        ActionError::unreadable("unreadable reply", reason, remedy)
    }

    /// Sends the request without an effect, and judges its answer like an attempt's; `None` if
    /// every request may have an effect, or its URL is not constant.
    async fn try_harmless(&self) -> Option<Result<String, ActionError>> {
        self.message.target.origin()?;
        let request = self.message.harmless()?;
        let shown = format!("{} {}", request.method, self.message.target.shown(&request.url));
        Some(match self.authorized(request).await {
            Err(error) => Err(error),
            Ok(answer) => match self.judgement.failure(answer.status.as_u16()) {
                None => Ok(self.scrubbed(&format!("{shown} answers {}", answer.status.as_u16()))),
                Some(class) => Err(self.refusal(class, &answer)),
            },
        })
    }

    async fn authorized(&self, request: Request) -> Result<Answer, ActionError> {
        let Some(authorization) = &self.authorization else { return self.placed(None, request).await };
        let answer = self.logged_in(&**authorization, request.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED || !authorization.refused().await {
            return Ok(answer);
        }
        self.logged_in(&**authorization, request).await
    }

    async fn logged_in(
        &self,
        authorization: &dyn Authorization,
        mut request: Request,
    ) -> Result<Answer, ActionError> {
        let (name, value) = authorization.header().await?;
        request.headers.insert(name, value);
        self.placed(Some(authorization), request).await
    }

    async fn placed(
        &self,
        authorization: Option<&dyn Authorization>,
        mut request: Request,
    ) -> Result<Answer, ActionError> {
        let target = &self.message.target;
        let Some(service) = target.service() else { return self.follow(request).await };
        let held = |reason: String| ActionError::unusable("no usable address", reason);
        let Some(authorization) = authorization else {
            return Err(held(format!("there is no login whose catalogue has {service}")));
        };
        let endpoint = authorization.endpoint(service).await?;
        let has_steps_of_event = target.has_steps_of_event(&request.url);
        let url = authorization.below(&endpoint, target.below_service(&request.url));
        request.url = Url::parse(&url).map_err(|error| {
            held(format!(
                "the service catalogue has {endpoint} for {service}, which cannot be called: {error}"
            ))
        })?;
        match self.follow(request).await {
            Ok(answer) => match self.judge_endpoint(authorization, service, &endpoint, &answer) {
                None => Ok(answer),
                // The event may be the reason, so that the target is not held for other events.
                Some(Some(failed)) if has_steps_of_event => {
                    Err(ActionError { class: ErrorClass::Refused(Some(404)), ..failed })
                }
                Some(failed) => {
                    authorization.misplaced(service);
                    failed.map_or(Ok(answer), Err)
                }
            },
            Err(failed) => {
                if matches!(failed.class, ErrorClass::Connect | ErrorClass::Tls | ErrorClass::Timeout) {
                    authorization.misplaced(service);
                }
                let reason = format!("{service} at {endpoint}: {}", failed.reason);
                Err(ActionError { reason, ..failed })
            }
        }
    }

    /// Judges by an answer whether the catalogue's endpoint of the service may be wrong:
    ///
    /// - `None`: no 404, or the API's own 404 about a missing object; the answer counts,
    /// - `Some(None)`: the endpoint may be wrong, so the next request reads the catalogue anew; the answer counts,
    /// - `Some(Some(failure))`: the endpoint is wrong; the failure replaces the answer and holds the target.
    ///
    /// Configured statuses keep their meaning.
    fn judge_endpoint(
        &self,
        authorization: &dyn Authorization,
        service: &str,
        endpoint: &str,
        answer: &Answer,
    ) -> Option<Option<ActionError>> {
        if answer.status != StatusCode::NOT_FOUND {
            return None;
        }
        // If 404 counts as done, only the API itself may report that the object is gone.
        let is_named = !matches!(self.judgement.failure(404), Some(ErrorClass::Status(_)) | None);
        match authorization.missing(service, answer) {
            MissingAnswer::Object => None,
            MissingAnswer::Unknown => Some(None),
            MissingAnswer::Path if is_named => Some(None),
            MissingAnswer::Path => {
                let reason = format!(
                    "{service} at {endpoint}: status 404, which is not this API's answer about a missing object: {}; \
                     does the catalogue name the API's URL?",
                    answer.failure(&self.secrets()).reason
                );
                Some(Some(ActionError::unusable("no usable address", self.scrubbed(&reason))))
            }
        }
    }

    async fn follow(&self, mut request: Request) -> Result<Answer, ActionError> {
        let mut client = &self.own;
        let mut answer = self.send(client, &request).await?;
        for _ in 0..self.redirects {
            if self.judgement.failure(answer.status.as_u16()).is_none() {
                return Ok(answer);
            }
            let next = match redirected(&request, &answer) {
                Ok(None) => return Ok(answer),
                Ok(Some(next))
                    if next.elsewhere && self.body_holds_secret && !next.request.body.is_empty() =>
                {
                    return self
                        .unfollowed(answer, "it leads to another host, and the body may hold a secret");
                }
                Ok(Some(next)) => next,
                Err(error) => return self.unfollowed(answer, &error.to_string()),
            };
            request = next.request;
            if next.elsewhere {
                client = self.away.as_ref().unwrap_or(client);
            }
            answer = match client.send(request.clone()).await {
                Ok(answer) => answer,
                Err(failure) => match failure.class {
                    // The redirected request was not sent, so the previous answer counts.
                    FailureClass::Forbidden | FailureClass::Unsendable => {
                        return self.unfollowed(answer, &failure.reason);
                    }
                    FailureClass::Connect
                    | FailureClass::Tls
                    | FailureClass::Reset
                    | FailureClass::Status(_) => {
                        let url = &request.url;
                        let reason =
                            format!("redirected to {}:{}: {}", url.host(), url.port(), failure.reason);
                        let remedy =
                            "the target has named that place: mend it, or write the right one into url";
                        let failed = self.failed(Failure { reason, ..failure });
                        // Of TLS the reason has the remedy.
                        let own_remedy = (failed.class != ErrorClass::Tls).then(|| remedy.into());
                        return Err(ActionError { own_remedy, ..failed });
                    }
                },
            };
        }
        Ok(answer)
    }

    /// Judges by the status: the event may be fine while its target is not. That also holds for a host from the
    /// event, because the guard let the request pass.
    fn unfollowed(&self, answer: Answer, why: &str) -> Result<Answer, ActionError> {
        match self.judgement.failure(answer.status.as_u16()) {
            None => Ok(answer),
            Some(class) => Err(self.refused(class, &answer, Some(why))),
        }
    }

    async fn send(&self, client: &Client, request: &Request) -> Result<Answer, ActionError> {
        client.send(request.clone()).await.map_err(|failure| self.failed(failure))
    }

    fn failed(&self, failure: Failure) -> ActionError {
        let reason = self.scrubbed(&failure.reason);
        Failure { reason, ..failure }.into()
    }

    fn refusal(&self, class: ErrorClass, answer: &Answer) -> ActionError {
        self.refused(class, answer, None)
    }

    fn refused(&self, class: ErrorClass, answer: &Answer, unfollowed: Option<&str>) -> ActionError {
        let secrets = self.secrets();
        let mut failure = answer.failure(&secrets);
        if class == ErrorClass::Rejected {
            failure.reason = format!("status {}, {}", answer.status.as_u16(), failure.reason);
        }
        if answer.status.is_redirection() {
            let why = match (answer.headers.contains_key(LOCATION), unfollowed) {
                (true, Some(why)) => format!(", and is not followed: {why}"),
                (false, Some(why)) => format!("; it is not followed: {why}"),
                (true, None) => format!(", and {}", self.followed()),
                (false, None) => String::new(),
            };
            failure.reason.push_str(&why);
        }
        ActionError { retry_after: failure.retry_after, ..ActionError::new(class, failure.reason) }
    }

    fn followed(&self) -> String {
        match self.redirects {
            0 => "no redirect is followed".to_owned(),
            1 => "no more than 1 redirect is followed".to_owned(),
            n => format!("no more than {n} redirects are followed"),
        }
    }

    fn secrets(&self) -> Scrubber {
        let login = self.authorization.as_ref().map(|login| login.secrets());
        login.iter().fold(self.secrets.clone(), Scrubber::and)
    }

    fn scrubbed(&self, text: &str) -> String {
        self.secrets().scrub(text).into_owned()
    }
}

fn trace(request: &mut Request, event: &Event, key: &str, now: SystemTime) {
    if !request.headers.contains_key(TRACEPARENT) {
        let span = SpanId::for_attempt(key, event.began.unwrap_or(now));
        let parent = HeaderValue::from_str(&event.trace().traceparent(&span));
        request.headers.extend(parent.ok().map(|parent| (HeaderName::from_static(TRACEPARENT), parent)));
    }
}

impl fmt::Debug for HttpAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpAction").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Action for HttpAction {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(async move {
            if self.message.body.is_lines() {
                return self.attempt_lines(events).await;
            }
            let mut verdicts = Vec::with_capacity(events.len());
            for event in events {
                verdicts.push(self.attempt(event).await);
            }
            verdicts
        })
    }

    fn target(&self) -> String {
        self.target.clone()
    }

    fn expiries(&self) -> Vec<Expiry> {
        let of_login = self.authorization.iter().flat_map(|login| login.expiries());
        of_login.chain(self.own.own_expiry()).collect()
    }

    fn request(&self, event: &Event) -> Option<String> {
        let key = event.idempotency_key();
        let about = RequestSubject::for_event(event, &key);
        let (url, mut request) = self.message.shown(&event.names(), &about).ok()?;
        if let Some(authorization) = &self.authorization {
            let (name, value) = authorization.shown();
            request.headers.insert(name, value.parse().ok()?);
        }
        Some(self.scrubbed(&mask_text(&request_text(&request, &url))))
    }

    fn certificate_ends(&self) -> Option<i64> {
        if self.message.target.is_event_s() { None } else { self.own.certificate_ends() }
    }

    fn host(&self, event: &Event) -> Option<Arc<str>> {
        if !self.message.target.is_event_s() {
            return None;
        }
        let key = event.idempotency_key();
        self.message.host(&event.names(), &RequestSubject::for_event(event, &key)).map(Arc::from)
    }
}
