//! `url`: a template, and what is known of its target before there is an event.
//!
//! Scheme, host and port are either written out, or come out of the event in part or in whole. In the first case every
//! `{{ value }}` behind them is percent-encoded, a slash too, so that no event can make another request of it
//! than the configuration has (`|urlencode` leaves slashes alone); in the second nothing is, and the target is
//! [guarded](osnl_http::Guard).

use osnl_http::{Url, UrlError};

use crate::template::{Escape, Names, Template, TemplateError};

/// What an action may name besides the event.
pub(super) const NAMES: [&str; 5] = ["rule", "action", "idempotency_key", "secret", "failure"];

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Target {
    template: Template,
    /// The target's root, if it is written out.
    origin: Option<Url>,
}

/// Why a text is no target.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl Target {
    /// # Errors
    /// It is no template, or what is written out of it is no URL.
    pub(super) fn parse(text: &str, names: &[&str]) -> Result<Self, TargetError> {
        let written = &text[..text.find("{{").into_iter().chain(text.find("{%")).min().unwrap_or(text.len())];
        let origin = match written.split_once("://") {
            // All of it, so that a wrong character is found before there is an event.
            _ if written.len() == text.len() => Some(Url::parse(text)?),
            Some((_, rest)) if rest.contains(['/', '?']) => Some(Url::parse(written)?),
            Some(_) | None => None,
        };
        let escape = if origin.is_some() { Escape::Url } else { Escape::None };
        let template = Template::escaping(text, names, escape)?;
        let root = |url: Url| Url::parse(&format!("{}://{}/", url.scheme(), url.authority()));
        Ok(Self { template, origin: origin.map(root).transpose()? })
    }

    /// As it was written.
    pub(super) fn source(&self) -> &str {
        self.template.source()
    }

    /// Scheme, host and port, if they are the same for all events.
    pub(super) fn origin(&self) -> Option<&Url> {
        self.origin.as_ref()
    }

    /// The URL for an event, with these parameters behind it.
    ///
    /// # Errors
    /// What is wrong with the event, in words.
    pub(super) fn render(&self, names: &Names, query: &[(String, String)]) -> Result<Url, String> {
        let mut text = self.template.render(names).map_err(|error| error.to_string())?;
        for (key, value) in query {
            text.push(if text.contains('?') { '&' } else { '?' });
            text.push_str(&super::body::form_encoded(key));
            text.push('=');
            text.push_str(&super::body::form_encoded(value));
        }
        // The text may be the event's: it is not repeated.
        let url = Url::parse(&text).map_err(|error| error.to_string())?;
        match &self.origin {
            Some(origin) if origin.scheme() != url.scheme() || origin.authority() != url.authority() => {
                Err("the event changes the host of the URL".to_owned())
            }
            Some(_) | None => Ok(url),
        }
    }
}
