//! The caller follows redirects step by step: it counts the steps and chooses the client of the
//! next request (with an [`AddressGuard`](crate::http::AddressGuard), since the target has chosen the
//! address).
//!
//! - 307 and 308 repeat the request. 301, 302, and 303 do so for `GET` and `HEAD` only. Browsers follow them with `GET`
//!   after any other method, and the answer to that would say nothing about the request: a page for logins has 200.
//! - A redirect from `https` to `http` is never followed.
//! - Another scheme, host or port receives only headers that describe the body and the accepted
//!   types, because any other header may hold a secret.

use hyper::Method;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, HOST,
    HeaderName, HeaderValue, LOCATION, USER_AGENT,
};

use crate::http::answer::Answer;
use crate::http::client::Request;
use crate::http::url::{Scheme, Url};

const HARMLESS: [HeaderName; 7] =
    [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, USER_AGENT];

/// The request to which an answer redirects.
#[derive(Clone, Debug)]
pub struct Redirect {
    pub request: Request,
    pub elsewhere: bool,
}

/// The reasons for which a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    #[error("it has no Location that is a URL of http or https")]
    NoTarget,
    #[error("it leads from https to http")]
    Downgrade,
    #[error("only 307 and 308 repeat another method than GET and HEAD")]
    OtherMethod,
}

pub fn redirected(request: &Request, answer: &Answer) -> Result<Option<Redirect>, RedirectError> {
    let is_repeated = match answer.status.as_u16() {
        301..=303 => request.method == Method::GET || request.method == Method::HEAD,
        307 | 308 => true,
        _ => return Ok(None),
    };
    // Some servers do not escape the characters of a path.
    let location = answer.headers.get(LOCATION).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    let url = location.and_then(|location| join(&request.url, location)).ok_or(RedirectError::NoTarget)?;
    if !is_repeated {
        return Err(RedirectError::OtherMethod);
    }
    if request.url.scheme() == Scheme::Https && url.scheme() == Scheme::Http {
        return Err(RedirectError::Downgrade);
    }
    let elsewhere = !url.is_same_place(&request.url);
    let mut next = Request { url, ..request.clone() };
    let goes = |name: &HeaderName| *name != HOST && (!elsewhere || HARMLESS.contains(name));
    next.headers = request.headers.iter().filter(|(name, _)| goes(name)).map(owned).collect();
    Ok(Some(Redirect { request: next, elsewhere }))
}

fn owned((name, value): (&HeaderName, &HeaderValue)) -> (HeaderName, HeaderValue) {
    (name.clone(), value.clone())
}

fn join(base: &Url, reference: &str) -> Option<Url> {
    let mut joined = ::url::Url::parse(&base.to_string()).ok()?.join(reference).ok()?;
    joined.set_fragment(None);
    joined.set_username("").ok()?;
    joined.set_password(None).ok()?;
    Url::parse(joined.as_str()).ok()
}

#[cfg(test)]
mod tests;
