//! Builds the request of one event, and its form for people, without input or output.

use std::sync::Arc;
use std::time::SystemTime;

use osnl_config::template::{Names, Template};
use osnl_config::written_secrets::masked_url;
use osnl_core::misfit::Misfit;
use osnl_model::{mask_secrets, mask_text};
use osnl_net::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use osnl_net::http::{BODY_WAIT, HeaderMap, Method, Request};

use super::body::{RequestBody, rendered};
use super::cloud_event::{AttributeTemplates, CloudEvent, CloudEventMode};
use super::secrets::{MASK, Secrets};
use super::sign::Signer;
use super::target::UrlTarget;
use super::verb::HttpVerb;
use crate::Event;

/// The parts of a request as the options give them, from which each event makes its own.
#[derive(Clone, Debug)]
pub(super) struct RequestParts {
    /// The method, or the template of it.
    pub(super) method: HttpVerb,
    /// The URL, or the template of it.
    pub(super) target: UrlTarget,
    /// The options `query.KEY`.
    pub(super) query: Vec<(String, Template)>,
    /// The options `header.NAME`.
    pub(super) headers: Vec<(HeaderName, Template)>,
    /// The body, or the template of it.
    pub(super) body: RequestBody,
    /// The configured content type; `None` for that of the body's format.
    pub(super) content_type: Option<HeaderValue>,
    /// The form of a CloudEvent; `None` if the event is sent as it is.
    pub(super) cloud_event: Option<CloudEventConf>,
    /// The header with the idempotency key; `None` for none.
    pub(super) idempotency: Option<HeaderName>,
    /// The options `secret.KEY`.
    pub(super) secrets: Secrets,
    /// The keys of `signing_secret`; `None` if requests are not signed.
    pub(super) signer: Option<Signer>,
    /// The most bytes of an answer that are read.
    pub(super) reply_limit: usize,
}

/// The form of the CloudEvents of an action.
#[derive(Clone, Debug)]
pub(super) struct CloudEventConf {
    pub(super) mode: CloudEventMode,
    pub(super) attributes: AttributeTemplates,
}

/// The delivery that a request is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestSubject<'a> {
    pub(super) rule: &'a str,
    pub(super) action: &'a str,
    /// The id of the message; `None` if the message has none.
    pub(super) id: Option<&'a str>,
    /// The idempotency key.
    pub(super) key: &'a str,
    /// The index of the resource in a bulk event; `None` if the event has one.
    pub(super) resource: Option<u32>,
}

const NO_SUBJECT: RequestSubject<'static> =
    RequestSubject { rule: "", action: "", id: None, key: "osnl-check", resource: None };

impl<'a> RequestSubject<'a> {
    pub(super) fn for_event(event: &'a Event, key: &'a str) -> Self {
        let Event { rule, action, resource, .. } = event;
        Self { rule, action, id: event.id(), key, resource: *resource }
    }
}

impl RequestParts {
    /// Returns the request for this event, with the payload of the one resource. It has no
    /// authorization, and a request to a service of the catalogue still lacks its place
    /// ([`UrlTarget::below_service`]).
    pub(super) fn request(
        &self,
        event: &Names,
        about: &RequestSubject<'_>,
        now: SystemTime,
    ) -> Result<Request, Misfit> {
        let names = named(event, about).with("secret", self.secrets.values());
        self.made(&names, about, Some(now), None)
    }

    pub(super) fn lines(&self, event: &Names, about: &RequestSubject<'_>) -> Result<String, Misfit> {
        self.body.render(&named(event, about).with("secret", self.secrets.values()))
    }

    pub(super) fn request_of_lines(&self, lines: String) -> Result<Request, Misfit> {
        let names = Names::new(Arc::default()).with("secret", self.secrets.values());
        self.made(&names, &NO_SUBJECT, None, Some(lines))
    }

    pub(super) fn shown(
        &self,
        event: &Names,
        about: &RequestSubject<'_>,
    ) -> Result<(String, Request), Misfit> {
        // The event's own secrets are masked in a preview too.
        let names = self.masked_names(event, about);
        let request = self.made(&names, about, None, None)?;
        let url = self.target.shown(&request.url).replace("%2A%2A%2A", MASK);
        Ok((url, request))
    }

    /// Returns the request if it is the same for every event and has no effect: a safe method (RFC
    /// 9110, 9.2.1) without a body.
    pub(super) fn harmless(&self) -> Option<Request> {
        let HttpVerb::Written(method) = &self.method else { return None };
        let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        let is_empty =
            matches!(self.body.for_method(method), RequestBody::Nothing) && self.cloud_event.is_none();
        let is_fixed = |template: &Template| template.paths().all(|path| path.starts_with("secret."));
        let mut templates =
            self.query.iter().map(|(_, value)| value).chain(self.headers.iter().map(|(_, value)| value));
        if !is_safe || !is_empty || self.target.is_event_dependent() || !templates.all(is_fixed) {
            return None;
        }
        self.request(&Names::new(Arc::default()), &NO_SUBJECT, SystemTime::now()).ok()
    }

    fn masked_names(&self, event: &Names, about: &RequestSubject<'_>) -> Names {
        named(&event.about(event.notification().masked()), about).with("secret", self.secrets.masked())
    }

    /// Returns method and URL for a log line. A URL with values of the event is rendered again from
    /// masked values.
    pub(super) fn shown_target(
        &self,
        event: &Names,
        about: &RequestSubject<'_>,
        request: &Request,
    ) -> String {
        if !self.target.is_event_dependent()
            && self.query.iter().all(|(_, value)| value.paths().next().is_none())
        {
            return format!("{} {}", request.method, self.target.shown(&request.url));
        }
        let names = self.masked_names(event, about);
        let query = rendered(&self.query, "query", &names);
        match query.and_then(|query| self.target.render(&names, &query)) {
            Ok(url) => {
                let url = self.target.shown(&url).replace("%2A%2A%2A", MASK);
                format!("{} {}", request.method, mask_text(&url))
            }
            Err(_) => format!("{} {}", request.method, masked_url(self.target.source())),
        }
    }

    pub(super) fn shown_target_of_lines(&self, request: &Request) -> String {
        self.shown_target(&Names::new(Arc::default()), &NO_SUBJECT, request)
    }

    pub(super) fn host(&self, event: &Names, about: &RequestSubject<'_>) -> Option<String> {
        let url = self.target.render(&named(event, about), &[]).ok()?;
        let (host, port) = (url.host().to_ascii_lowercase(), url.port());
        Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    }

    fn made(
        &self,
        names: &Names,
        about: &RequestSubject<'_>,
        sign: Option<SystemTime>,
        lines: Option<String>,
    ) -> Result<Request, Misfit> {
        let query = rendered(&self.query, "query", names)?;
        let url = self.target.render(names, &query)?;
        let mut request = Request::new(self.method.render(names)?, url);
        request.reply_limit = self.reply_limit;
        // Of any method, as the status has told the effect already, which a GET may have too.
        request.reply_wait = Some(BODY_WAIT);
        // Repeatable for any method: the delivery would be retried after a pause anyway, with the
        // same key.
        request.repeatable = true;
        let headers = &mut request.headers;
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("osnl/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(name) = &self.idempotency {
            headers.insert(name.clone(), key_value(about.key));
        }
        let mut body = match lines {
            Some(lines) => {
                headers.extend(self.content_type(&self.body).map(|value| (CONTENT_TYPE, value)));
                lines
            }
            None => self.body(self.body.for_method(&request.method), names, about, headers)?,
        };
        for (name, template) in &self.headers {
            let option = || format!("header.{name}");
            let value = template.render(names).map_err(|error| Misfit::in_option(option(), error))?;
            let value = header_value(&value).ok_or_else(|| {
                let why = "the rendered template has a line break or another control character";
                Misfit::in_option(option(), why)
            })?;
            headers.insert(name.clone(), value);
        }
        match (&self.signer, sign) {
            (Some(signer), Some(now)) => signer.sign(headers, &key_value(about.key), now, body.as_bytes()),
            (Some(_), None) => {
                headers.insert(super::sign::ID, super::sign::without_stops(&key_value(about.key)));
                headers.insert(super::sign::TIMESTAMP, HeaderValue::from_static(MASK));
                headers.insert(super::sign::SIGNATURE, HeaderValue::from_static(MASK));
            }
            (None, _) => {}
        }
        request.body = std::mem::take(&mut body).into();
        Ok(request)
    }

    fn content_type(&self, body: &RequestBody) -> Option<HeaderValue> {
        let format = body.format().map(|format| HeaderValue::from_static(format.content_type()));
        self.content_type.clone().or(format)
    }

    fn body(
        &self,
        body: &RequestBody,
        names: &Names,
        about: &RequestSubject<'_>,
        headers: &mut HeaderMap,
    ) -> Result<String, Misfit> {
        let content_type = self.content_type(body);
        let Some(conf) = &self.cloud_event else {
            if let Some(content_type) = content_type {
                headers.insert(CONTENT_TYPE, content_type);
            }
            return body.render(names);
        };
        let event = conf.event(names, about)?;
        let data = match body {
            RequestBody::Usual | RequestBody::Event | RequestBody::Nothing => {
                mask_secrets(&names.notification().payload).to_string()
            }
            body @ (RequestBody::Text(..) | RequestBody::Form(_)) => body.render(names)?,
        };
        let content_type = content_type.unwrap_or_else(|| HeaderValue::from_static("application/json"));
        match conf.mode {
            CloudEventMode::Structured => {
                event.structured(headers, content_type.to_str().unwrap_or_default(), &data)
            }
            CloudEventMode::Binary => {
                headers.insert(CONTENT_TYPE, content_type);
                event.headers(headers)?;
                Ok(data)
            }
        }
    }
}

impl CloudEventConf {
    fn event(&self, names: &Names, about: &RequestSubject<'_>) -> Result<CloudEvent, Misfit> {
        let id = match (about.id, about.resource) {
            (Some(id), Some(n)) => format!("{id}/{n}"),
            (Some(id), None) => id.to_owned(),
            (None, _) => about.key.to_owned(),
        };
        self.attributes.event(names, id)
    }
}

fn named(event: &Names, about: &RequestSubject<'_>) -> Names {
    let names = event.clone().with("rule", about.rule).with("action", about.action);
    names.with("idempotency_key", about.key)
}

/// Returns the idempotency key as a header. The publisher chooses the id in it, and an id with a
/// line end must not make each request a dead letter, so control characters become `%0A`.
pub fn key_value(key: &str) -> HeaderValue {
    header_value(key).unwrap_or_else(|| {
        let escaped = percent_encoding::utf8_percent_encode(key, percent_encoding::CONTROLS).to_string();
        header_value(&escaped).unwrap_or_else(|| HeaderValue::from_static("-"))
    })
}

fn header_value(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_bytes(text.trim().as_bytes()).ok()
}
