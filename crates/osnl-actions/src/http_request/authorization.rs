//! Credentials in the configuration are [`FixedHeader`]. A login that has to fetch a token first
//! (Keystone) implements [`Authorization`] and is passed to
//! [`HttpConf::build`](super::HttpConf::build).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use osnl_model::Scrubber;
use osnl_net::http::Expiry;
use osnl_net::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use osnl_transport::BoxFuture;

use crate::{ActionError, ErrorClass};

pub trait Authorization: Send + Sync + fmt::Debug {
    /// An error is the attempt's: a class that holds (`Connect`) if the source of the credentials
    /// is unreachable.
    fn header(&self) -> BoxFuture<'_, Result<(HeaderName, HeaderValue), ActionError>>;

    /// Reports a 401 to the last header; returns true if another header is available, and the
    /// request is worth repeating once within the same attempt.
    fn refused(&self) -> BoxFuture<'_, bool>;

    /// Returns the URL of a service of this type from the token's catalogue, for targets written as
    /// `catalog:TYPE/path`. Called once for each request.
    fn endpoint<'a>(&'a self, service: &'a str) -> BoxFuture<'a, Result<String, ActionError>> {
        let reason = format!("this login has no service catalogue with {service}");
        Box::pin(std::future::ready(Err(ActionError::new(ErrorClass::Connect, reason))))
    }

    /// Reports that a service was not found or not reached at the catalogue's URL: the next request
    /// reads the catalogue anew.
    fn misplaced(&self, _service: &str) {}

    fn expiries(&self) -> Vec<Expiry> {
        Vec::new()
    }

    fn shown(&self) -> (HeaderName, String);

    fn secrets(&self) -> Scrubber {
        Scrubber::default()
    }
}

#[derive(Clone)]
pub struct FixedHeader {
    scheme: &'static str,
    value: HeaderValue,
    secrets: Scrubber,
}

impl FixedHeader {
    #[must_use]
    pub fn basic(user: &str, password: &str) -> Option<Self> {
        if user.contains(':') {
            return None;
        }
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        Self::of("Basic", &encoded, password)
    }

    #[must_use]
    pub fn bearer(token: &str) -> Option<Self> {
        Self::of("Bearer", token, token)
    }

    pub fn value(&self) -> (HeaderName, HeaderValue) {
        (AUTHORIZATION, self.value.clone())
    }

    fn of(scheme: &'static str, sent: &str, secret: &str) -> Option<Self> {
        let mut value = HeaderValue::try_from(format!("{scheme} {sent}")).ok()?;
        value.set_sensitive(true);
        Some(Self { scheme, value, secrets: Scrubber::new([sent, secret]) })
    }
}

impl Authorization for FixedHeader {
    fn header(&self) -> BoxFuture<'_, Result<(HeaderName, HeaderValue), ActionError>> {
        Box::pin(std::future::ready(Ok((AUTHORIZATION, self.value.clone()))))
    }

    fn refused(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(false))
    }

    fn shown(&self) -> (HeaderName, String) {
        (AUTHORIZATION, format!("{} ***", self.scheme))
    }

    fn secrets(&self) -> Scrubber {
        self.secrets.clone()
    }
}

impl fmt::Debug for FixedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fixed({} ***)", self.scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_it_shows_a_secret() {
        let basic = FixedHeader::basic("user", "pässword").unwrap();
        assert_eq!(basic.value, "Basic dXNlcjpww6Rzc3dvcmQ=");
        let bearer = FixedHeader::bearer("t0ken").unwrap();
        assert_eq!(bearer.value, "Bearer t0ken");
        let printed =
            format!("{basic:?} {:?} {:?} {bearer:?} {:?}", basic.value, basic.shown(), bearer.value);
        for secret in ["dXNl", "ssword", "t0ken"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert!(FixedHeader::basic("us:er", "p").is_none());
        assert!(FixedHeader::bearer("a\nb").is_none());
    }
}
