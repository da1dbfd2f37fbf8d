//! Errors of a read, in classes that a caller treats differently.

use std::fmt;
use std::time::Duration;

use osnl_model::{Budget, Scrubber};
use osnl_net::http::{Answer, Failure, FailureClass, StatusCode};
use serde_json::Value;

use crate::catalog::CatalogError;
use osnl_delivery::enrich::Kind;

const LONGEST_WORDS: usize = 300;
const MOST_SEARCHED: usize = 16 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    pub kind: Kind,
    pub id: String,
    pub service: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.kind, self.id, self.service)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The object is missing, or of another project and the user has no role admin. A retry changes nothing.
    #[error("{0}: is not there (404)")]
    Gone(ObjectRef),
    /// The object exists. A retry changes nothing.
    #[error("{0}: a policy of the service hides it from this user (404)")]
    Hidden(ObjectRef),
    /// The 404 does not have the API's form for a missing object: the URL is wrong, or another
    /// server answers. The object may exist.
    #[error(
        "{at}: status 404, which is not the answer of the {service} API about a missing object: {said}; does the \
         catalogue, or an endpoint override, name the API's URL?"
    )]
    NotTheApi { at: String, service: &'static str, said: String },
    #[error("{asked}: forbidden (403): {said}")]
    Forbidden { asked: ObjectRef, said: String },
    #[error("{at}: login as {who} refused ({status}): {said}{}", login_hint(*.status))]
    Login { at: String, who: String, status: u16, said: String },
    #[error("{at}: {failure}")]
    Unreachable { at: String, failure: Failure },
    #[error("{at}: no answer in {} s", .after.as_secs_f64())]
    TimedOut { at: String, after: Duration },
    #[error("{at}: status {status}: {said}")]
    Status { at: String, status: u16, said: String, retry_after: Option<Duration> },
    #[error("{at}: {problem}")]
    Answer { at: String, problem: String },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl ApiError {
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_))
    }

    /// Whether the service may have moved, so that the catalogue is worth reading anew: its URL is
    /// unreachable, or another server answers.
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
            Self::Gone(_)
            | Self::Hidden(_)
            | Self::Forbidden { .. }
            | Self::Login { .. }
            | Self::Catalog(_) => false,
        }
    }

    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Unreachable { failure, .. } => failure.retry_after,
            _ => None,
        }
    }

    #[must_use]
    pub fn class(&self) -> Option<FailureClass> {
        match self {
            Self::Gone(_) | Self::Hidden(_) | Self::NotTheApi { .. } => Some(FailureClass::Status(404)),
            Self::Forbidden { .. } => Some(FailureClass::Status(403)),
            Self::Login { status, .. } | Self::Status { status, .. } => Some(FailureClass::Status(*status)),
            Self::Unreachable { failure, .. } => Some(failure.class),
            Self::TimedOut { .. } | Self::Answer { .. } | Self::Catalog(_) => None,
        }
    }
}

/// Keystone answers the same for a wrong password and a missing project, on purpose.
fn login_hint(status: u16) -> &'static str {
    match status {
        401 => "; user, password, project or one of their domains is wrong, or the user has no role there",
        404 => "; there is no Identity v3: auth_url should end in /v3",
        _ => "",
    }
}

/// Returns what the service says, without our secrets, which a proxy or a service may repeat.
pub(crate) fn words(answer: &Answer, secrets: &Scrubber) -> String {
    let body = Budget::DEFAULT.read_json(&answer.body);
    let said = body.as_ref().and_then(message).unwrap_or_else(|| plain(&answer.text(secrets)));
    let said = brief(&said, secrets);
    let said = if said.is_empty() { reason(answer.status).to_owned() } else { said };
    match answer.leads_to(secrets) {
        Some(place) => format!("{said}; it leads to {place}"),
        None => said,
    }
}

/// Returns the beginning of a text of any length, without our secrets.
pub(crate) fn brief(text: &str, secrets: &Scrubber) -> String {
    let text: String = text.chars().take(MOST_SEARCHED).collect();
    let said = secrets.scrub(&text);
    said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_WORDS).collect()
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("no reason given")
}

fn message(body: &Value) -> Option<String> {
    let body = body.as_object()?;
    if let Some(error) = body.get("error_message") {
        let inner = error.as_str().and_then(|text| Budget::DEFAULT.read_json(text.as_bytes()));
        let fault = inner.as_ref().unwrap_or(error).get("faultstring").and_then(Value::as_str);
        return fault.or(error.as_str()).map(str::to_owned);
    }
    body.values().find_map(|value| value.get("message")?.as_str()).map(str::to_owned)
}

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
    use osnl_net::http::{AnswerEnd, HeaderMap};

    use super::*;

    #[test]
    fn a_redirect_s_place_is_among_the_words() {
        let headers = [(osnl_net::http::header::LOCATION, "https://h/v3?token=S3CRET".parse().unwrap())];
        let (status, headers) = (StatusCode::FOUND, headers.into_iter().collect());
        let answer = Answer { status, headers, body: "".into(), end: AnswerEnd::Whole };
        assert_eq!(words(&answer, &Scrubber::new(["S3CRET"])), "Found; it leads to https://h/v3?...");
    }

    #[test]
    fn each_services_words_are_found() {
        let check = |body: &str, expected: &str| {
            let body = body.to_owned().into_bytes().into();
            let answer = Answer {
                status: StatusCode::NOT_FOUND,
                headers: HeaderMap::new(),
                body,
                end: AnswerEnd::Whole,
            };
            assert_eq!(words(&answer, &Scrubber::new(["S3CRET"])), expected);
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
        let again = r#"{"$serde_json::private::RawValue": "{\"error\": {\"message\": \"no\"}}"}"#;
        check(again, again);
        check("", "Not Found");
        check("[1]", "[1]");
        check(&"x".repeat(1000), &"x".repeat(300));
        let (long, secrets) = ("y".repeat(4 << 20), Scrubber::new(["S3CRET"]));
        assert_eq!(brief(&format!("S3CRET\n{long}"), &secrets), format!("*** {}", "y".repeat(296)));
        let before = "x".repeat(297);
        for body in [format!("{before}S3CRETy"), format!(r#"{{"error": {{"message": "{before}S3CRETy"}}}}"#)]
        {
            check(&body, &format!("{before}***"));
        }
    }
}
