//! Credentials in the configuration are [`FixedHeader`]. A login that has to fetch a token first
//! (Keystone) is a [`FetchedLogin`], whose [`Authorization`] has the token; [`HttpConf`](super::HttpConf) gets it
//! from the program that reads the section.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use osnl_model::Scrubber;
use osnl_net::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use osnl_net::http::{Answer, Expiry, HttpError, HttpOptions, Url};
use osnl_transport::BoxFuture;

use crate::ActionError;
use crate::driver::{Probe, ProbeContext, SharedValues};

/// The header of a fetched token.
pub const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The source of the header that authorizes a request, and of the URLs of services if it has a catalogue.
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
        Box::pin(std::future::ready(Err(ActionError::unusable("no usable address", reason))))
    }

    /// Appends a path and query to the catalogue's URL of a service.
    fn below(&self, endpoint: &str, path: &str) -> String {
        format!("{}{path}", endpoint.trim_end_matches('/'))
    }

    /// Decides the meaning of a service's 404.
    fn missing(&self, _service: &str, _answer: &Answer) -> MissingAnswer {
        MissingAnswer::Unknown
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

/// The meaning of a 404 of a service from the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingAnswer {
    /// The API reports that the object is gone, or that its policy hides it.
    Object,
    /// The API has no such path, or another server has answered.
    Path,
    Unknown,
}

/// A login that fetches its token, as the options of a section describe it.
pub trait FetchedLogin: Any + fmt::Debug + Send + Sync {
    /// Makes the source of the header. Sections with the same login share its token by way of `shared`.
    fn authorization(
        &self,
        http: &HttpOptions,
        shared: &SharedValues,
    ) -> Result<Arc<dyn Authorization>, HttpError>;

    /// Names the account and the server that issues its tokens, for people.
    fn account(&self) -> String;

    /// Returns the URL of that server.
    fn url(&self) -> Option<&Url>;

    /// Describes the choice among the catalogue's URLs of a service.
    fn service(&self, service: &str) -> String;

    /// Logs in, and looks for the URL of a service. Returns no URL if a probe reports a failure, or no service was
    /// requested.
    fn probe<'a>(
        &'a self,
        context: ProbeContext<'a>,
        service: Option<&'a str>,
    ) -> BoxFuture<'a, (Vec<Probe>, Option<String>)>;

    fn is_same(&self, other: &dyn FetchedLogin) -> bool;
}

impl PartialEq for dyn FetchedLogin {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

/// A header that the configuration has in full: `Basic` or `Bearer`.
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
        Self::new("Basic", &encoded, password)
    }

    #[must_use]
    pub fn bearer(token: &str) -> Option<Self> {
        Self::new("Bearer", token, token)
    }

    pub fn value(&self) -> (HeaderName, HeaderValue) {
        (AUTHORIZATION, self.value.clone())
    }

    fn new(scheme: &'static str, sent: &str, secret: &str) -> Option<Self> {
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
