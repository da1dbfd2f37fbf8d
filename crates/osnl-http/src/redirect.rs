//! Redirects, and the headers that may go along.
//!
//! Nothing is followed unless the caller asks for it, one step at a time: it counts the steps, and decides with which
//! client the next is made (one with an [`AddressGuard`](crate::AddressGuard), since the target has chosen the
//! address).
//!
//! - 301, 302 and 303 are followed with `GET` and without the body, as browsers do, but `HEAD` stays `HEAD`; 307 and 308 with
//!   the method and the body.
//! - Never from `https` to `http`.
//! - To another scheme, host or port goes nothing that is for the first one only: no header but those that
//!   describe the body and what is accepted. A secret may stand in any header.

use hyper::Method;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
    CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT,
};

use crate::answer::Answer;
use crate::client::Request;
use crate::url::{Scheme, Url};

/// The headers that go along to another host.
const HARMLESS: [HeaderName; 7] =
    [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, USER_AGENT];
/// The headers about the body.
const ABOUT_BODY: [HeaderName; 4] = [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE];

/// A step that a redirect asks for.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// The request to send.
    pub request: Request,
    /// Whether scheme, host or port are other ones.
    pub elsewhere: bool,
}

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// It names no target.
    #[error("it has no Location that is a URL of http or https")]
    NoTarget,
    /// It leads from `https` to `http`.
    #[error("it leads from https to http")]
    Downgrade,
}

/// The request that this answer asks for, if it is a redirect: 301, 302, 303, 307 or 308.
///
/// # Errors
/// It is one, and is not followed.
pub fn redirected(request: &Request, answer: &Answer) -> Result<Option<Redirect>, RedirectError> {
    let keeps = match answer.status.as_u16() {
        301..=303 => request.method == Method::GET || request.method == Method::HEAD,
        307 | 308 => true,
        _ => return Ok(None),
    };
    let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let url = location.and_then(|location| join(&request.url, location)).ok_or(RedirectError::NoTarget)?;
    if request.url.scheme() == Scheme::Https && url.scheme() == Scheme::Http {
        return Err(RedirectError::Downgrade);
    }
    let place = |url: &Url| (url.scheme(), url.host().to_ascii_lowercase(), url.port());
    let elsewhere = place(&url) != place(&request.url);
    let mut next = Request { url, ..request.clone() };
    let goes = |name: &HeaderName| {
        *name != HOST && (!elsewhere || HARMLESS.contains(name)) && (keeps || !ABOUT_BODY.contains(name))
    };
    next.headers = request.headers.iter().filter(|(name, _)| goes(name)).map(owned).collect();
    if !keeps {
        next.method = Method::GET;
        next.body.clear();
    }
    Ok(Some(Redirect { request: next, elsewhere }))
}

fn owned((name, value): (&HeaderName, &HeaderValue)) -> (HeaderName, HeaderValue) {
    (name.clone(), value.clone())
}

/// A reference as seen from a URL; a login in it and a fragment are dropped.
fn join(base: &Url, reference: &str) -> Option<Url> {
    let mut joined = ::url::Url::parse(&base.to_string()).ok()?.join(reference).ok()?;
    joined.set_fragment(None);
    joined.set_username("").ok()?;
    joined.set_password(None).ok()?;
    Url::parse(joined.as_str()).ok()
}

#[cfg(test)]
mod tests;
