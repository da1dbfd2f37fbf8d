//! `driver = http`: what follows from its options.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use osnl_http::header::{HeaderName, HeaderValue};
use osnl_http::{Client, HttpError, HttpOptions, Pool, Scheme, Verification};
use osnl_model::Notification;
use osnl_openstack::Cloud;
use osnl_transport::BoxFuture;

use super::HttpAction;
use super::authorization::Authorization;
use super::conf::{HttpConf, Login};
use super::keystone::Keystone;
use super::message::About;
use crate::action::Action;
use crate::native::driver::{
    BuildContext, DriverConf, Probe, ProbeContext, Wanted, login_probe, target_probe,
};
use crate::native::{BuildError, Preview};
use crate::template::readable;

/// For one request to Keystone; the time of the whole attempt counts too.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

impl HttpConf {
    /// How its own target is reached.
    fn http(&self, http: &HttpOptions) -> HttpOptions {
        let mut http = self.0.tls.http(http);
        http.certificate.clone_from(&self.0.certificate);
        http.pool = Pool { idle: self.0.idle, ..Pool::default() };
        http.remedies.trust =
            "name the CA's certificate in ca_file, put it into the system's store, or set verify = false";
        http.remedies.renewed = "ca_file or the system's store";
        http.remedies.identity = "; name one in client_certificate, if there is none";
        http
    }

    /// What makes the attempts; `authorization` instead of the configured login, if there is one.
    ///
    /// # Errors
    /// Certificates or a proxy that cannot be used.
    pub fn build(
        &self,
        http: &HttpOptions,
        authorization: Option<Arc<dyn Authorization>>,
    ) -> Result<HttpAction, HttpError> {
        let own = self.http(http);
        let away = HttpOptions { certificate: None, guard: Some(self.0.guard.clone()), ..own.clone() };
        let (own, away) = match self.0.message.target.origin() {
            Some(origin) => {
                if own.verification == Verification::None && origin.scheme() == Scheme::Https {
                    tracing::warn!(
                        action.name = %self.0.name,
                        "verify = false: neither the certificate of {} nor the name in it is checked; whoever answers \
                         there is believed",
                        origin.authority()
                    );
                }
                let away = if self.0.redirects > 0 { Some(Client::anywhere(&away)?) } else { None };
                (Client::to(&own, origin)?, away)
            }
            None => {
                let client = Client::anywhere(&away)?;
                (client.clone(), Some(client))
            }
        };
        let authorization = match (authorization, &self.0.login) {
            (Some(other), _) => Some(other),
            (None, None) => None,
            (None, Some(Login::Fixed(login))) => Some(Arc::new(login.clone()) as Arc<dyn Authorization>),
            (None, Some(Login::Keystone(cloud))) => {
                let cloud = Cloud::new((**cloud).clone(), http, LOGIN_TIMEOUT)?;
                Some(Arc::new(Keystone::new(cloud)) as Arc<dyn Authorization>)
            }
        };
        Ok(HttpAction::new(self, own, away, authorization))
    }

    /// What a URL stands for before there is an event, for people.
    pub(super) fn shown_target(&self) -> String {
        self.0.message.target.source().to_owned()
    }
}

impl DriverConf for HttpConf {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, BuildError> {
        let error = |error| BuildError::Http { action: context.name.clone(), error };
        Ok(Arc::new(self.build(context.http, None).map_err(error)?))
    }

    fn does(&self) -> String {
        format!("{} {}", self.0.message.method, self.shown_target())
    }

    fn explain(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        if let Some(login) = &self.0.login {
            let (name, value) = login.shown();
            lines.push(("login", format!("{}: {value}", as_sent(&name))));
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
            last => format!(", never over {last}"),
        };
        lines.push(("done", format!("over {}; later over {}{last}", judgement.success, judgement.retry)));
        if self.0.redirects > 0 {
            lines.push(("redirects", format!("at most {} are followed", self.0.redirects)));
        }
        if self.0.message.target.origin().is_none() {
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

    fn preview(&self, wanted: &Wanted<'_>) -> Preview {
        let key = wanted.idempotency_key(&self.0.name);
        let names = wanted.names(Notification::clone(wanted.notification));
        let as_written = |text: String| readable(text, names.unknown());
        let about = About { rule: wanted.rule, action: &self.0.name, key: &key, resource: wanted.resource };
        match self.0.message.shown(&names, &about) {
            Err(why) => Preview::Unusable { why },
            Ok(request) => {
                let header = |(name, value): (&HeaderName, &HeaderValue)| {
                    (as_sent(name), String::from_utf8_lossy(value.as_bytes()).into_owned())
                };
                let mut headers: Vec<(String, String)> = request.headers.iter().map(header).collect();
                if let Some(login) = &self.0.login {
                    let (name, value) = login.shown();
                    headers.push((as_sent(&name), value));
                }
                let body = as_written(String::from_utf8_lossy(&request.body).into_owned());
                Preview::Request {
                    method: request.method.to_string(),
                    url: as_written(request.url.to_string()),
                    headers,
                    body: Some(body).filter(|body| !body.is_empty()),
                }
            }
        }
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        async move {
            let mut probes = vec![match self.0.message.target.origin() {
                Some(origin) => {
                    let http = self.http(context.http);
                    target_probe(context.section, "url", origin, &http, context.deadline).await
                }
                None => {
                    let what = format!("target {}", self.shown_target());
                    let probe = Probe::of(context.section.to_owned(), what);
                    probe.fine("its host comes out of the event, and is not tried")
                }
            }];
            if let Some(Login::Keystone(cloud)) = &self.0.login {
                probes.push(login_probe(context.section, cloud, context.http, context.deadline).await);
            }
            probes
        }
        .boxed()
    }
}

/// `Idempotency-Key`: names are sent with capitals.
fn as_sent(name: &HeaderName) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    name.as_str().split('-').map(word).collect::<Vec<_>>().join("-")
}
