use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::{
    MessagePage, PageContext, Pages, foreign_form, html, refusal_page, session, text, to, with_cookie,
};
use crate::answer::AdminAnswer;
use crate::guesses::TokenWay;

pub(super) fn answer(pages: &Pages, place: PageContext<'_>, head: &Parts, body: &[u8]) -> AdminAnswer {
    if let Err(denial) = place.access.api(false) {
        return super::denied(denial);
    }
    let query = head.uri.query().unwrap_or_default();
    let is_form = head.method == Method::POST;
    let given = if is_form { body } else { query.as_bytes() };
    let next = text::field(given, "next").filter(|next| is_path(next)).unwrap_or_else(|| "/".to_owned());
    if !is_form {
        return match pages.sessions.find(head) {
            Some(_) => to(&next),
            None => form(StatusCode::OK, String::new(), next),
        };
    }
    if !place.access.is_own_form(head) {
        return foreign_form();
    }
    let Some(owner) = text::field(body, "token").and_then(|token| place.access.owner(&token)) else {
        let mut answer = form(StatusCode::FORBIDDEN, "This is not a token of [admin].".to_owned(), next);
        answer.extensions_mut().insert(place.access.wrong.count(TokenWay::Login, place.by));
        return answer;
    };
    let Ok(value) = pages.sessions.begin(owner) else {
        return refusal_page(
            StatusCode::SERVICE_UNAVAILABLE,
            "The operating system gives no random numbers.",
        );
    };
    with_cookie(to(&next), &value, session::LIFE.as_secs(), place)
}

fn form(status: StatusCode, message: String, next: String) -> AdminAnswer {
    let title = "Log in to osnl";
    html(status, &MessagePage { title, message, login: Some(next), ..MessagePage::default() })
}

/// Whether a path is this endpoint's: `//host` and `/\host` lead to another host.
pub(super) fn is_path(next: &str) -> bool {
    let mut bytes = next.bytes();
    bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && next.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::is_path;

    #[test]
    fn a_login_leads_nowhere_else() {
        for (next, expected) in [
            ("/", true),
            ("/deliveries?action=a%20b", true),
            ("//evil.example.com", false),
            ("/\\evil.example.com", false),
            ("https://evil.example.com", false),
            ("/\t/evil.example.com", false),
            ("/\r\nSet-Cookie: a=b", false),
            ("", false),
        ] {
            assert_eq!(is_path(next), expected, "{next}");
        }
    }
}
