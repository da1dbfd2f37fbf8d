use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use osnl::control::{Code, LINES, RequestRefusal};
use serde_json::{Value, json};

use crate::access::Denial;
use crate::lines::AnswerLines;
use crate::stream::EventStream;

pub(crate) type AnswerBody = Either<Full<Bytes>, Either<EventStream, AnswerLines>>;
pub(crate) type AdminAnswer = Response<AnswerBody>;

pub(crate) fn body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> AdminAnswer {
    whole(status, content_type, Either::Left(Full::new(body.into())))
}

pub(crate) fn events(stream: EventStream) -> AdminAnswer {
    whole(StatusCode::OK, "text/event-stream", Either::Right(Either::Left(stream)))
}

pub(crate) fn lines(lines: AnswerLines) -> AdminAnswer {
    whole(StatusCode::OK, LINES, Either::Right(Either::Right(lines)))
}

pub(crate) fn is_under_way(answer: &AdminAnswer) -> bool {
    matches!(answer.body(), Either::Right(Either::Right(_)))
}

fn whole(status: StatusCode, content_type: &'static str, body: AnswerBody) -> AdminAnswer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

pub(crate) fn json(status: StatusCode, value: &Value) -> AdminAnswer {
    let mut text = value.to_string();
    text.push('\n');
    body(status, "application/json", text)
}

pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> AdminAnswer {
    json(status, &json!({"error": {"code": code, "message": message}}))
}

pub(crate) fn reason(denial: Denial) -> &'static str {
    match denial {
        Denial::Host => {
            "the Host of this request is not a name of this endpoint; add it to [admin] host_names"
        }
        Denial::NoHost => "this request needs one Host: the address or name of this endpoint",
        Denial::Token => "send Authorization: Bearer with the token of [admin]",
        Denial::Anonymous => {
            "requests about deliveries need a token: set [admin] token or client_ca_file, or listen on unix:/path"
        }
        Denial::Change => "this endpoint changes nothing; set [admin] allow_changes = true",
    }
}

pub(crate) fn denied(denied: Denial) -> AdminAnswer {
    let (status, code) = match denied {
        Denial::Host | Denial::NoHost => (StatusCode::MISDIRECTED_REQUEST, "other-host"),
        Denial::Token => (StatusCode::UNAUTHORIZED, "unauthorized"),
        Denial::Anonymous => (StatusCode::FORBIDDEN, "forbidden"),
        Denial::Change => (StatusCode::FORBIDDEN, "read-only"),
    };
    let message = reason(denied);
    let mut answer = error(status, code, message);
    if denied == Denial::Token {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

pub(crate) fn status(code: Code) -> StatusCode {
    match code {
        Code::BadRequest => StatusCode::BAD_REQUEST,
        Code::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::OtherJournal => StatusCode::CONFLICT,
        Code::Forbidden => StatusCode::FORBIDDEN,
    }
}

pub(crate) fn refused(refusal: &RequestRefusal) -> AdminAnswer {
    json(status(refusal.code), &json!({"error": refusal}))
}

pub(crate) fn in_public(refusal: RequestRefusal) -> RequestRefusal {
    RequestRefusal { message: message(&refusal).to_owned(), ..refusal }
}

/// Returns a refusal's message for a client. An error of the journal contains SQL and paths, so only the log
/// has its text.
pub(crate) fn message(refusal: &RequestRefusal) -> &str {
    match refusal.code {
        Code::Unavailable => {
            tracing::warn!(error = refusal.message, "a request to the admin endpoint was not answered");
            "not available now; the daemon's log has the reason"
        }
        Code::BadRequest | Code::Unsupported | Code::NotFound | Code::OtherJournal | Code::Forbidden => {
            &refusal.message
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_journal_is_a_short_reason() {
        let check = |code, is_shown: bool| {
            let detail =
                "the journal /var/lib/osnl/journal.db cannot be read: near x: in SELECT d.id FROM delivery d";
            let refusal = RequestRefusal { code, message: detail.to_owned() };
            let said = message(&refusal);
            assert_eq!(said == detail, is_shown, "{said}");
            assert!(is_shown || !said.contains("SELECT") && !said.contains('/'), "{said}");
        };
        check(Code::Unavailable, false);
        // The caller can correct the cause of these refusals.
        for code in [Code::BadRequest, Code::Unsupported, Code::NotFound, Code::OtherJournal, Code::Forbidden]
        {
            check(code, true);
        }
    }
}
