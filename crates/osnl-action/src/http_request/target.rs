//! `url`: a template, and the properties of its target before there is an event.
//!
//! | `url` | host | values |
//! | --- | --- | --- |
//! | `https://host/path/{{ value }}` | the configuration's | percent-encoded, with slashes |
//! | `catalog:TYPE/path/{{ value }}` | the service's, from our token's catalogue | the same |
//! | `{{ value }}`, `https://{{ value }}/` | the event's, in part or in whole: [guarded](osnl_net::http::AddressGuard) | unchanged |
//!
//! If the configuration names the host, an event cannot change the request beyond its values. A segment that
//! becomes `..` or empty is refused, because servers resolve such paths: a deletion of `hosts/{{ name }}`
//! must not become a deletion of `hosts/`. A value of several steps (`vm/../../x`) is sent as
//! `vm%2F..%2F..%2Fx`, and its steps are judged like segments, because some servers decode before they
//! resolve. (`|urlencode` leaves slashes alone.)
//!
//! Credentials beside a URL of the event are refused, because the event would decide their
//! receiver. Only the configuration names a service of the catalogue.

use osnl_config::template::{Escape, Names, Template, TemplateError};
use osnl_config::written_secrets;
use osnl_core::misfit::{Misfit, MisfitCause};
use osnl_net::http::{Url, UrlError};

const CATALOG: &str = "catalog:";
/// The host of a service until the catalogue is read; it never resolves (RFC 2606).
const UNRESOLVED: &str = "http://catalog.invalid";

/// The option `url`: its template, and the host as far as it is known before an event.
#[derive(Clone, Debug)]
pub(super) struct UrlTarget {
    template: Template,
    host: RequestHost,
    /// The number of `.`, `..` and empty segments in the template; `None` where the event may add
    /// any number.
    written: Option<Segments>,
}

/// The source of the host.
#[derive(Clone, Debug)]
enum RequestHost {
    Written(Url),
    Catalog(String),
    Event,
}

/// The reason why a text is not a target.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("the type of its service is none that is written out")]
    Service,
}

impl UrlTarget {
    pub(super) fn parse(text: &str, names: &[&str]) -> Result<Self, TargetError> {
        let written = &text[..text.find("{{").into_iter().chain(text.find("{%")).min().unwrap_or(text.len())];
        let host = match (service(written), written.split_once("://")) {
            (Some((service, rest)), _) => {
                let ends = rest.is_empty() && written.len() == text.len();
                if !is_type(service) || !(ends || rest.starts_with(['/', '?'])) {
                    return Err(TargetError::Service);
                }
                Url::parse(&format!("{UNRESOLVED}{rest}"))?;
                RequestHost::Catalog(service.to_owned())
            }
            (None, _) if written.len() == text.len() => RequestHost::Written(root(&Url::parse(text)?)?),
            (None, Some((_, rest))) if rest.contains(['/', '?']) => {
                RequestHost::Written(root(&Url::parse(written)?)?)
            }
            (None, Some(_) | None) => RequestHost::Event,
        };
        let (escape, written) = match &host {
            RequestHost::Written(_) | RequestHost::Catalog(_) => (Escape::Url, Some(Segments::written(text))),
            RequestHost::Event => (Escape::None, None),
        };
        Ok(Self { template: Template::escaping(text, names, escape)?, host, written })
    }

    pub(super) fn source(&self) -> &str {
        self.template.source()
    }

    pub(super) fn origin(&self) -> Option<&Url> {
        match &self.host {
            RequestHost::Written(origin) => Some(origin),
            RequestHost::Catalog(_) | RequestHost::Event => None,
        }
    }

    pub(super) fn service(&self) -> Option<&str> {
        match &self.host {
            RequestHost::Catalog(service) => Some(service),
            RequestHost::Written(_) | RequestHost::Event => None,
        }
    }

    pub(super) fn is_event_s(&self) -> bool {
        match &self.host {
            RequestHost::Event => true,
            RequestHost::Written(_) | RequestHost::Catalog(_) => false,
        }
    }

    pub(super) fn is_event_dependent(&self) -> bool {
        self.template.paths().next().is_some()
    }

    /// Whether the URL is the same for every event; it may hold secrets.
    pub(super) fn is_fixed(&self) -> bool {
        self.template.paths().all(|path| path.starts_with("secret."))
    }

    pub(super) fn render(&self, names: &Names, query: &[(String, String)]) -> Result<Url, Misfit> {
        self.rendered(names, query).map_err(|cause| Misfit::in_option("url", cause))
    }

    fn rendered(&self, names: &Names, query: &[(String, String)]) -> Result<Url, MisfitCause> {
        let mut text = self.template.render(names)?;
        if let Some((_, rest)) = self.service().and_then(|_| service(&text)) {
            text = format!("{UNRESOLVED}{rest}");
        }
        for (key, value) in query {
            text.push(if text.contains('?') { '&' } else { '?' });
            text.push_str(&super::body::form_encoded(key));
            text.push('=');
            text.push_str(&super::body::form_encoded(value));
        }
        // The text may contain values of the event, so the error does not repeat it.
        let url = Url::parse(&text).map_err(|error| MisfitCause::Other(error.to_string()))?;
        match &self.host {
            RequestHost::Written(origin) if !origin.is_same_place(&url) => {
                return Err("the event changes the host of the URL".into());
            }
            RequestHost::Written(_) | RequestHost::Catalog(_) | RequestHost::Event => {}
        }
        match &self.written {
            Some(written) => {
                written.allow(url.path_and_query())?;
                Ok(url)
            }
            None => Ok(url),
        }
    }

    /// Whether a value has steps of its own in the path, which a router of URLs may not accept as one segment.
    pub(super) fn has_steps_of_event(&self, url: &Url) -> bool {
        let written = self.written.as_ref();
        written.is_some_and(|written| Segments::from_path(url.path_and_query()).steps > written.steps)
    }

    /// Returns a rendered URL for people: `catalog:dns/v2/zones`, without secrets in its query.
    pub(super) fn shown(&self, url: &Url) -> String {
        written_secrets::masked_url(&match &self.host {
            RequestHost::Catalog(service) => format!("{CATALOG}{service}{}", self.below_service(url)),
            RequestHost::Written(_) | RequestHost::Event => url.to_string(),
        })
    }

    /// Returns the path and query of a rendered URL that the service's own URL precedes.
    pub(super) fn below_service<'a>(&self, url: &'a Url) -> &'a str {
        let rest = url.path_and_query();
        let slash = service(self.source()).is_some_and(|(_, rest)| rest.starts_with('/'));
        if slash { rest } else { rest.trim_start_matches('/') }
    }
}

fn service(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix(CATALOG)?;
    Some(rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())))
}

fn is_type(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn root(url: &Url) -> Result<Url, UrlError> {
    Url::parse(&format!("{}://{}/", url.scheme(), url.authority()))
}

/// The steps of a path, counted to find those that a value adds.
#[derive(Clone, Copy, Debug, Default)]
struct Segments {
    steps: usize,
    dots: usize,
    /// Segments between two slashes or after the last; `None` if a `{% if … %}` of the template
    /// decides their number.
    empty: Option<usize>,
    encoded_empty: usize,
}

impl Segments {
    fn written(template: &str) -> Self {
        let (mut text, mut rest) = (String::new(), template);
        while let Some(at) = rest.find("{{") {
            text.push_str(&rest[..at]);
            text.push('x');
            rest = rest[at..].split_once("}}").map_or("", |(_, rest)| rest);
        }
        text.push_str(rest);
        let below = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
        let path = below.find(['/', '?']).map_or("", |at| &below[at..]);
        let mut all = Self::from_path(path);
        if template.contains("{%") {
            all.empty = None;
        }
        all
    }

    fn from_path(path_and_query: &str) -> Self {
        let path = path_and_query.split('?').next().unwrap_or_default();
        let path = path.strip_prefix('/').unwrap_or(path);
        let (mut all, mut dots, mut empty, mut encoded_empty) = (0, 0, 0, 0);
        for segment in path.split('/') {
            let plain =
                segment.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
            let steps = || plain.split(['/', '\\']);
            all += steps().count();
            dots += steps().filter(|step| matches!(*step, "." | "..")).count();
            match steps().count() {
                1 => empty += usize::from(segment.is_empty()),
                _ => encoded_empty += steps().filter(|step| step.is_empty()).count(),
            }
        }
        Self { steps: all, dots, empty: Some(empty), encoded_empty }
    }

    fn allow(&self, path_and_query: &str) -> Result<(), String> {
        let found = Self::from_path(path_and_query);
        if found.dots > self.dots {
            return Err("a value makes a step of the path that leads elsewhere (. or ..)".to_owned());
        }
        if found.encoded_empty > self.encoded_empty {
            return Err(
                "a value leaves a step of the path empty (it begins or ends with / or \\, or has two)"
                    .to_owned(),
            );
        }
        match (found.empty, self.empty) {
            (Some(found), Some(written)) if found > written => {
                Err("a value that is empty leaves a segment of the path empty".to_owned())
            }
            (_, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
