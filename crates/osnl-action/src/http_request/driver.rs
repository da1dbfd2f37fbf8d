//! The driver of `driver = http`: builds, explains, previews and probes the action.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use osnl_config::template::readable;
use osnl_config::written_secrets;
use osnl_model::{Notification, Scrubber, mask_text};
use osnl_net::http::header::{HeaderName, HeaderValue};
use osnl_net::http::{Client, HttpError, HttpOptions, Pool, Url};
use osnl_transport::BoxFuture;

use super::HttpAction;
use super::authorization::{Authorization, FetchedLogin};
use super::conf::{HttpConf, Login};
use super::message::RequestSubject;
use crate::Action;
use crate::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, NO_REQUEST, Preview, Probe, ProbeContext,
    ProbeVerdict, Retries, SentLogin, SharedValues, Traits, client_certificate_probe, login_at, silent,
    target_probe,
};

impl HttpConf {
    fn http(&self, http: &HttpOptions) -> HttpOptions {
        let mut http = self.0.tls.http(http);
        http.certificate.clone_from(&self.0.certificate);
        http.pool = Pool { idle: self.0.idle, ..Pool::default() };
        http.remedies.trust = "name the CA's certificate in ca_file, or put it into the system's store";
        http.remedies.renewed = "ca_file or the system's store";
        http.remedies.identity = "name one in client_certificate, if there is none";
        http
    }

    pub fn build(
        &self,
        http: &HttpOptions,
        authorization: Option<Arc<dyn Authorization>>,
    ) -> Result<HttpAction, HttpError> {
        self.built(http, &SharedValues::default(), authorization)
    }

    fn built(
        &self,
        http: &HttpOptions,
        shared: &SharedValues,
        authorization: Option<Arc<dyn Authorization>>,
    ) -> Result<HttpAction, HttpError> {
        let own = self.http(http);
        let away = HttpOptions { certificate: None, guard: Some(self.0.guard.clone()), ..own.clone() };
        let (own, away) = match self.0.message.target.origin() {
            Some(origin) => (Client::to(&own, origin)?, self.away(&away)?),
            None => match self.0.message.target.service() {
                Some(_) => (Client::anywhere(&own)?, self.away(&away)?),
                None => {
                    let client = Client::anywhere(&away)?;
                    (client.clone(), Some(client))
                }
            },
        };
        let authorization = match (authorization, &self.0.login) {
            (Some(other), _) => Some(other),
            (None, None) => None,
            (None, Some(Login::Fixed(login))) => Some(Arc::new(login.clone()) as Arc<dyn Authorization>),
            (None, Some(Login::Fetched(login))) => Some(login.authorization(http, shared)?),
        };
        Ok(HttpAction::new(self, own, away, authorization))
    }

    fn logs_in(&self) -> Option<&dyn FetchedLogin> {
        match &self.0.login {
            Some(Login::Fetched(login)) => Some(&**login),
            Some(Login::Fixed(_)) | None => None,
        }
    }

    fn away(&self, guarded: &HttpOptions) -> Result<Option<Client>, HttpError> {
        if self.0.redirects > 0 { Client::anywhere(guarded).map(Some) } else { Ok(None) }
    }

    pub(super) fn shown_target(&self) -> String {
        written_secrets::masked_url(self.0.message.target.source())
    }

    pub(super) fn secrets(&self) -> Scrubber {
        let literals = self.0.literals.words.iter().map(String::as_str);
        Scrubber::new(self.0.message.secrets.texts().chain(literals))
    }
}

impl DriverConf for HttpConf {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        let error = |error| DriverError::Http { action: context.name.clone(), error };
        Ok(Arc::new(self.built(context.http, context.shared, None).map_err(error)?))
    }

    fn does(&self) -> String {
        format!("{} {}", self.0.message.method, self.shown_target())
    }

    fn logins(&self) -> Vec<SentLogin> {
        let super::conf::HttpSettings { login, certificate, message, literals, .. } = &*self.0;
        let is_sent = login.is_some()
            || certificate.is_some()
            || !message.secrets.is_empty()
            || literals.first.is_some();
        let origin = message.target.origin().filter(|_| is_sent);
        origin.map(|origin| login_at("url", origin)).into_iter().collect()
    }

    fn urls(&self) -> Vec<(&'static str, &Url)> {
        let origin = self.0.message.target.origin().map(|origin| ("url", origin));
        let login = self.logs_in().and_then(|login| login.url()).map(|url| ("auth_url", url));
        origin.into_iter().chain(login).collect()
    }

    fn later_hosts(&self) -> Option<&'static str> {
        let target = &self.0.message.target;
        match target.service() {
            Some(_) => Some("the host from Keystone's catalogue"),
            None if target.is_event_s() => Some("hosts from events, if allow_hosts names them,"),
            None => None,
        }
    }

    fn explain(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        if let Some(login) = &self.0.login {
            let (name, value) = login.shown();
            let who = match login {
                Login::Fixed(_) => String::new(),
                Login::Fetched(login) => format!(", of {}", login.account()),
            };
            lines.push(("login", format!("{}: {value}{who}", as_sent(&name))));
        }
        if let (Some(service), Some(login)) = (self.0.message.target.service(), self.logs_in()) {
            lines.push(("service", login.service(service)));
        }
        if let Some(certificate) = &self.0.certificate {
            lines.push(("shows", format!("the certificate in {}", certificate.certificate.display())));
        }
        if let Some(signer) = &self.0.message.signer {
            let (n, s) = (signer.secrets(), if signer.secrets() == 1 { "" } else { "s" });
            lines.push(("signs", format!("with {n} secret{s}, as Standard Webhooks")));
        }
        let judgement = &self.0.judgement;
        let last = match judgement.last.to_string() {
            none if none.is_empty() => String::new(),
            last => format!("; final {last}"),
        };
        lines.push(("success", format!("status {}{last}", judgement.success)));
        if let Some(reply) = &self.0.reply {
            lines.push(("reply", format!("has the status of each event: {}", reply.shown())));
        }
        if self.0.redirects > 0 {
            lines.push(("redirects", format!("at most {} are followed", self.0.redirects)));
        }
        if self.0.message.target.is_event_s() {
            let mut allowed: Vec<String> = self.0.guard.hosts.iter().map(ToString::to_string).collect();
            if self.0.guard.private {
                allowed.push("private networks".to_owned());
            }
            let besides =
                if allowed.is_empty() { String::new() } else { format!(" and {}", allowed.join(", ")) };
            lines.push(("host", format!("the event's; only public addresses{besides}")));
        }
        lines
    }

    fn retries(&self, _refuser: &str) -> Retries {
        Retries::over_http(&self.0.judgement.retry)
    }

    fn traits(&self) -> Traits<'_> {
        Traits { hosts: self.0.hosts, ..Traits::default() }
    }

    fn has_login_of(&self, before: &dyn DriverConf) -> bool {
        let before = (before as &dyn Any).downcast_ref::<Self>();
        before.is_some_and(|before| before.logs_in() == self.logs_in())
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        let key = wanted.idempotency_key(&self.0.name);
        let names = wanted.names(Notification::clone(wanted.notification));
        let secrets = self.secrets();
        let as_written =
            |text: String| readable(secrets.scrub(&mask_text(&text)).into_owned(), names.unknown());
        let about = RequestSubject {
            rule: wanted.rule,
            action: &self.0.name,
            key: &key,
            id: wanted.notification.id(),
            resource: wanted.resource,
        };
        match self.0.message.shown(&names, &about) {
            Err(why) => Preview::Unusable { why },
            Ok((url, request)) => {
                let header = |(name, value): (&HeaderName, &HeaderValue)| {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    (as_sent(name), secrets.scrub(&value).into_owned())
                };
                let mut headers: Vec<(String, String)> = request.headers.iter().map(header).collect();
                if let Some(login) = &self.0.login {
                    let (name, value) = login.shown();
                    headers.push((as_sent(&name), value));
                }
                let body = as_written(String::from_utf8_lossy(&request.body).into_owned());
                Preview::Request {
                    method: request.method.to_string(),
                    url: as_written(url),
                    headers,
                    body: Some(body).filter(|body| !body.is_empty()),
                }
            }
        }
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        async move {
            let target = &self.0.message.target;
            let mut probes = Vec::new();
            let mut place = target.origin().cloned();
            let mut left = context.deadline;
            if let Some(login) = self.logs_in() {
                // The service that the login finds has to be reached in the same time.
                let deadline = left.mul_f64(if target.service().is_some() { 0.6 } else { 1.0 });
                let (found_out, found) =
                    login.probe(ProbeContext { deadline, ..context }, target.service()).await;
                probes.extend(found_out);
                if let Some(endpoint) = found {
                    left = left.mul_f64(0.4);
                    place = Url::parse(&endpoint).ok();
                }
            }
            let unplaced =
                || Probe::new(context.section.to_owned(), format!("target {}", self.shown_target()));
            match &place {
                Some(place) => {
                    let http = self.http(context.http);
                    let began = Instant::now();
                    let reached = target_probe(context.section, "url", place, &http, left).await;
                    let left = left.saturating_sub(began.elapsed());
                    probes.push(self.answers(reached, context.http, left).await);
                }
                None if target.is_event_s() => {
                    probes.push(unplaced().fine("its host comes from the event, and was not tried"));
                }
                None => {}
            }
            let certificate = self.0.certificate.as_ref();
            probes.extend(
                certificate.and_then(|shown| client_certificate_probe(context.section, &shown.certificate)),
            );
            probes
        }
        .boxed()
    }
}

impl HttpConf {
    async fn answers(&self, reached: Probe, http: &HttpOptions, left: Duration) -> Probe {
        let is_reached = reached.is_passive && reached.verdict != ProbeVerdict::Failed;
        let Some(action) = is_reached.then(|| self.build(http, None).ok()).flatten() else { return reached };
        match tokio::time::timeout(left, action.try_harmless()).await {
            Err(_) => silent(reached, left),
            Ok(None) => reached,
            Ok(Some(Ok(answer))) => {
                let found = reached.found.replace(NO_REQUEST, &answer);
                Probe { found, is_passive: false, ..reached }
            }
            Ok(Some(Err(error))) => {
                let probe = Probe { is_passive: false, ..reached };
                probe.failed(error.to_string(), error.remedy().as_deref())
            }
        }
    }
}

fn as_sent(name: &HeaderName) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    name.as_str().split('-').map(word).collect::<Vec<_>>().join("-")
}
