//! `method`: constant, or by template, so that one action may create and delete, in the order of
//! the events.

use std::fmt;

use osnl_config::template::{Names, Template};
use osnl_core::misfit::Misfit;
use osnl_net::http::Method;

/// The option `method`.
#[derive(Clone, Debug)]
pub(super) enum HttpVerb {
    Written(Method),
    Template(Template),
}

impl HttpVerb {
    pub(super) fn render(&self, names: &Names) -> Result<Method, Misfit> {
        match self {
            Self::Written(method) => Ok(method.clone()),
            Self::Template(template) => {
                let text = template.render(names).map_err(|error| Misfit::in_option("method", error))?;
                // The text may contain values of the event, so the error does not repeat it.
                usable(text.trim())
                    .ok_or_else(|| Misfit::in_option("method", "the rendered template is not an HTTP method"))
            }
        }
    }
}

impl fmt::Display for HttpVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(method) => method.fmt(f),
            Self::Template(template) => f.write_str(&template.shown()),
        }
    }
}

/// Returns a method in capitals; `CONNECT` and `TRACE` are refused as useless for an action.
pub(super) fn usable(text: &str) -> Option<Method> {
    let capitals = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase());
    let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| capitals)?;
    (method != Method::CONNECT && method != Method::TRACE).then_some(method)
}
