//! Answers: always with a length, never to be kept by a browser, never a page.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use osnl::control::{Code, Refusal};
use serde_json::{Value, json};

use crate::access::Denial;

pub(crate) type Answer = Response<Full<Bytes>>;

/// A body of this type.
pub(crate) fn body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

pub(crate) fn json(status: StatusCode, value: &Value) -> Answer {
    let mut text = value.to_string();
    text.push('\n');
    body(status, "application/json", text)
}

/// An error as an object: `{"error": {"code": …, "message": …}}`.
pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    json(status, &json!({"error": {"code": code, "message": message}}))
}

pub(crate) fn denied(denied: Denial) -> Answer {
    let (status, code, message) = match denied {
        Denial::Host => (
            StatusCode::MISDIRECTED_REQUEST,
            "other-host",
            "the Host of this request is not a name of this endpoint; add it to [admin] host_names",
        ),
        Denial::Token => {
            (StatusCode::UNAUTHORIZED, "unauthorized", "send Authorization: Bearer with the token of [admin]")
        }
        Denial::Anonymous => (
            StatusCode::FORBIDDEN,
            "forbidden",
            "requests about deliveries need a token: set [admin] token or client_ca_file, or listen on unix:/path",
        ),
        Denial::Change => (
            StatusCode::FORBIDDEN,
            "read-only",
            "this endpoint changes nothing; set [admin] allow_changes = true",
        ),
    };
    let mut answer = error(status, code, message);
    if denied == Denial::Token {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

pub(crate) fn refused(refusal: &Refusal) -> Answer {
    let status = match refusal.code {
        Code::BadRequest => StatusCode::BAD_REQUEST,
        Code::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::OtherJournal => StatusCode::CONFLICT,
        Code::Forbidden => StatusCode::FORBIDDEN,
    };
    json(status, &json!({"error": refusal}))
}
