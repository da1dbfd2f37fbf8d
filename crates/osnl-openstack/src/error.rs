//! Why nothing was read, so that a caller can tell what follows from it.

use std::fmt;
use std::time::Duration;

use osnl_http::{Answer, Failure, FailureClass, StatusCode};
use serde_json::Value;

use crate::catalog::CatalogError;
use crate::kind::Kind;

/// The most characters of a service's words in an error.
const LONGEST_WORDS: usize = 300;

/// The object that was asked for: `server 0123 of http://nova:8774/v2.1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// The service's URL.
    pub service: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.kind, self.id, self.service)
    }
}

/// Why nothing was read. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The service has none of this id; not any more, or not for us. Asking again changes nothing.
    #[error("{0}: is not there (404)")]
    Gone(ObjectRef),
    /// Something answers 404, and not as the API does about a missing object: the URL is not the API's, or another
    /// server answers there. Says nothing about the object.
    #[error(
        "{at}: status 404, which is not the answer of the {service} API about a missing object: {said}; does the \
         catalogue, or an endpoint override, name the API's URL?"
    )]
    NotTheApi {
        /// The URL that was called.
        at: String,
        /// The type of the service.
        service: &'static str,
        /// The words of the answer.
        said: String,
    },
    /// Our roles do not allow to read it.
    #[error("{asked}: forbidden (403): {said}")]
    Forbidden {
        /// The object that was asked for.
        asked: ObjectRef,
        /// The service's words.
        said: String,
    },
    /// Keystone does not let us in.
    #[error("{at}: login as {who} refused ({status}): {said}{}", login_hint(*.status))]
    Login {
        /// Keystone's URL.
        at: String,
        /// The login that was tried.
        who: String,
        /// Its status.
        status: u16,
        /// Its words.
        said: String,
    },
    /// The service cannot be reached, or broke off.
    #[error("{at}: {failure}")]
    Unreachable {
        /// The URL that was called.
        at: String,
        /// The kind of failure.
        failure: Failure,
    },
    /// There was no answer in time.
    #[error("{at}: no answer in {} s", .after.as_secs_f64())]
    TimedOut {
        /// The URL that was called.
        at: String,
        /// The time it had.
        after: Duration,
    },
    /// Another status: 5xx, 429, or an unexpected one.
    #[error("{at}: status {status}: {said}")]
    Status {
        /// The URL that was called.
        at: String,
        /// Its status.
        status: u16,
        /// Its words.
        said: String,
        /// The pause that it asked for.
        retry_after: Option<Duration>,
    },
    /// An answer that is none.
    #[error("{at}: {problem}")]
    Answer {
        /// The URL that was called.
        at: String,
        /// The problem.
        problem: String,
    },
    /// The catalogue knows no URL.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl ApiError {
    /// Whether the object is not there, for which another attempt is of no use.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Gone(_) => true,
            Self::NotTheApi { .. }
            | Self::Forbidden { .. }
            | Self::Login { .. }
            | Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Status { .. }
            | Self::Answer { .. }
            | Self::Catalog(_) => false,
        }
    }

    /// Whether the service may be elsewhere by now, so that the catalogue is worth reading anew: nothing can be reached at
    /// its URL, or something else answers there.
    #[must_use]
    pub fn is_misplaced(&self) -> bool {
        match self {
            Self::NotTheApi { .. } | Self::Answer { .. } => true,
            // nova and glance answer a wrong path with the list of their versions.
            Self::Status { status, .. } => (300..400).contains(status),
            Self::Unreachable { failure, .. } => match failure.class {
                FailureClass::Connect | FailureClass::Tls | FailureClass::Unsendable => true,
                FailureClass::Reset | FailureClass::Status(_) | FailureClass::Forbidden => false,
            },
            Self::TimedOut { .. } => true,
            Self::Gone(_) | Self::Forbidden { .. } | Self::Login { .. } | Self::Catalog(_) => false,
        }
    }

    /// The pause that the service asked for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Unreachable { failure, .. } => failure.retry_after,
            Self::Gone(_)
            | Self::NotTheApi { .. }
            | Self::Forbidden { .. }
            | Self::Login { .. }
            | Self::TimedOut { .. }
            | Self::Answer { .. }
            | Self::Catalog(_) => None,
        }
    }

    /// The kind of failure in the terms of HTTP targets; `None` where there was a good answer that is of no use.
    #[must_use]
    pub fn class(&self) -> Option<FailureClass> {
        match self {
            Self::Gone(_) | Self::NotTheApi { .. } => Some(FailureClass::Status(404)),
            Self::Forbidden { .. } => Some(FailureClass::Status(403)),
            Self::Login { status, .. } | Self::Status { status, .. } => Some(FailureClass::Status(*status)),
            Self::Unreachable { failure, .. } => Some(failure.class),
            Self::TimedOut { .. } | Self::Answer { .. } | Self::Catalog(_) => None,
        }
    }
}

/// Keystone says the same to a wrong password and to a project that is not there, by intent.
fn login_hint(status: u16) -> &'static str {
    match status {
        401 => "; user, password, project or one of their domains is wrong, or the user has no role there",
        404 => "; there is no Identity v3: auth_url should end in /v3",
        _ => "",
    }
}

/// Returns the words of a service about a refusal, on one line, cut: each wraps it in another way.
pub(crate) fn words(answer: &Answer) -> String {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let said =
        body.as_ref().and_then(message).unwrap_or_else(|| plain(&String::from_utf8_lossy(&answer.body)));
    let said: String =
        said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_WORDS).collect();
    if said.is_empty() { reason(answer.status).to_owned() } else { said }
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("no reason given")
}

/// keystone `{"error": {"message"}}`, nova `{"itemNotFound": {"message"}}`, neutron `{"NeutronError": {"message"}}`,
/// ironic `{"error_message": "{\"faultstring\": …}"}`.
fn message(body: &Value) -> Option<String> {
    let body = body.as_object()?;
    if let Some(error) = body.get("error_message") {
        let inner: Option<Value> = error.as_str().and_then(|text| serde_json::from_str(text).ok());
        let fault = inner.as_ref().unwrap_or(error).get("faultstring").and_then(Value::as_str);
        return fault.or(error.as_str()).map(str::to_owned);
    }
    body.values().find_map(|value| value.get("message")?.as_str()).map(str::to_owned)
}

/// glance and web servers answer with a page.
fn plain(page: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in page.chars().take(4096) {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            c if !inside && !c.is_control() => text.push(c),
            _ if !inside => text.push(' '),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use osnl_http::HeaderMap;

    use super::*;

    #[test]
    fn each_services_words_are_found() {
        let check = |body: &str, expected: &str| {
            let body = body.to_owned().into_bytes().into();
            let answer =
                Answer { status: StatusCode::NOT_FOUND, headers: HeaderMap::new(), body, whole: true };
            assert_eq!(words(&answer), expected);
        };
        check(
            r#"{"error": {"code": 401, "message": "The request you have made requires authentication."}}"#,
            "The request you have made requires authentication.",
        );
        check(
            r#"{"itemNotFound": {"code": 404, "message": "Instance x could not be found."}}"#,
            "Instance x could not be found.",
        );
        check(
            r#"{"NeutronError": {"type": "PortNotFound", "message": "Port p could not be found.", "detail": ""}}"#,
            "Port p could not be found.",
        );
        check(
            r#"{"error_message": "{\"faultstring\": \"Node n could not be found.\"}"}"#,
            "Node n could not be found.",
        );
        check(
            "<html><head><title>404 Not Found</title></head>\n<body>No image found</body></html>",
            "404 Not Found No image found",
        );
        check("", "Not Found");
        check("[1]", "[1]");
        check(&"x".repeat(1000), &"x".repeat(300));
    }
}
