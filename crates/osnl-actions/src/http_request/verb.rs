//! `method`: written out, or by template, so that one action may create and delete, in the order of the events.

use std::fmt;

use osnl_http::Method;
use osnl_template::{Names, Template};

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) enum HttpVerb {
    /// The same for all events.
    Written(Method),
    /// By the event.
    Template(Template),
}

impl HttpVerb {
    /// The method for an event.
    ///
    /// # Errors
    /// The problem of the event, in words.
    pub(super) fn render(&self, names: &Names) -> Result<Method, String> {
        match self {
            Self::Written(method) => Ok(method.clone()),
            Self::Template(template) => {
                let text = template.render(names).map_err(|error| format!("method: {error}"))?;
                // The text may be the event's: it is not repeated.
                usable(text.trim())
                    .ok_or_else(|| "method: the rendered template is not an HTTP method".to_owned())
            }
        }
    }
}

impl fmt::Display for HttpVerb {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(method) => method.fmt(f),
            Self::Template(template) => f.write_str(template.source()),
        }
    }
}

/// A method in capitals; `CONNECT` and `TRACE` are none that an action has a use for.
pub(super) fn usable(text: &str) -> Option<Method> {
    let capitals = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase());
    let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| capitals)?;
    (method != Method::CONNECT && method != Method::TRACE).then_some(method)
}
