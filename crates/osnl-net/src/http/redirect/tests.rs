use bytes::Bytes;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use super::*;
use crate::http::answer::AnswerEnd;

fn request(method: Method, url: &str) -> Request {
    let mut request = Request::new(method, Url::parse(url).unwrap());
    for (name, value) in [
        (HeaderName::from_static("x-api-key"), "k"),
        (AUTHORIZATION, "Bearer t"),
        (COOKIE, "c"),
        (CONTENT_TYPE, "text/plain"),
        (USER_AGENT, "osnl"),
        (HOST, "first"),
    ] {
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    request.body = Bytes::from_static(b"body");
    request
}

fn answer(status: u16, location: &str) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, HeaderValue::from_bytes(location.as_bytes()).unwrap());
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Bytes::new(),
        end: AnswerEnd::Whole,
    }
}

#[test]
fn the_target_is_found_or_refused() {
    let check = |from: &str, location: &str, expected: Result<(&str, bool), RedirectError>| {
        let next = redirected(&request(Method::GET, from), &answer(307, location));
        let found = next.map(|next| next.map(|next| (next.request.url.to_string(), next.elsewhere)).unwrap());
        assert_eq!(found, expected.map(|(url, elsewhere)| (url.to_owned(), elsewhere)), "{from} {location}");
    };
    let base = "https://a.example/x/y?q";
    check(base, "/z", Ok(("https://a.example/z", false)));
    check(base, "z", Ok(("https://a.example/x/z", false)));
    check(base, "?p", Ok(("https://a.example/x/y?p", false)));
    check(base, "/é", Ok(("https://a.example/%C3%A9", false)));
    check(base, "https://A.example:443/z#f", Ok(("https://a.example/z", false)));
    check(base, "//b.example/z", Ok(("https://b.example/z", true)));
    check(base, "https://a.example:8443/z", Ok(("https://a.example:8443/z", true)));
    check(base, "https://user:secret@b.example/z", Ok(("https://b.example/z", true)));
    check(base, "http://a.example/z", Err(RedirectError::Downgrade));
    check(base, "ftp://a.example/z", Err(RedirectError::NoTarget));
    check(base, "javascript:1", Err(RedirectError::NoTarget));
    check(base, "file:///etc/passwd", Err(RedirectError::NoTarget));
    check(base, "\\\\b.example/z", Ok(("https://b.example/z", true)));
    check(base, "/\\b.example/z", Ok(("https://b.example/z", true)));
    check(base, "https:\\b.example", Ok(("https://a.example/b.example", false)));
    check(base, "https://a.example\\@b.example/", Ok(("https://a.example/@b.example/", false)));
    check(base, "https://a.example@b.example/", Ok(("https://b.example/", true)));
    check(base, "HTTP://a.example/", Err(RedirectError::Downgrade));
    check(base, "https://a.example./z", Ok(("https://a.example./z", true)));
    check(base, "/\tz", Ok(("https://a.example/z", false)));
    check("http://a.example/", "https://a.example/", Ok(("https://a.example/", true)));
    check("http://a.example/", "http://169.254.169.254/latest", Ok(("http://169.254.169.254/latest", true)));
    // Other spellings are normalised as every client does, so that the guard judges the called
    // address.
    check("http://a.example/", "http://2852039166/", Ok(("http://169.254.169.254/", true)));
    check("http://a.example/", "http://0x7f.1/", Ok(("http://127.0.0.1/", true)));
    let mut empty = answer(301, "/");
    empty.headers.clear();
    let refused = redirected(&request(Method::GET, base), &empty).unwrap_err();
    assert_eq!(refused, RedirectError::NoTarget);
}

#[test]
fn other_answers_are_no_redirects() {
    for status in [200, 204, 300, 304, 305, 306, 400, 500] {
        let next = redirected(&request(Method::GET, "http://a/"), &answer(status, "/x")).unwrap();
        assert!(next.is_none(), "{status}");
    }
}

#[test]
fn the_request_stays_or_is_not_repeated() {
    let check = |method: Method, status: u16, expected: Result<(), RedirectError>| {
        let asked = request(method.clone(), "http://a/");
        let next = redirected(&asked, &answer(status, "/x")).map(|next| next.unwrap().request);
        assert_eq!(next.as_ref().map(drop).map_err(|error| *error), expected, "{method} {status}");
        if let Ok(next) = next {
            assert_eq!((&next.method, &next.body[..]), (&method, b"body".as_slice()));
            assert!(next.headers.contains_key(CONTENT_TYPE));
        }
    };
    for status in [301, 302, 303] {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            check(method, status, Err(RedirectError::OtherMethod));
        }
        check(Method::GET, status, Ok(()));
        check(Method::HEAD, status, Ok(()));
    }
    for status in [307, 308] {
        check(Method::POST, status, Ok(()));
        check(Method::DELETE, status, Ok(()));
    }
}

#[test]
fn nothing_that_may_be_a_secret_goes_elsewhere() {
    let names = |location: &str| {
        let next = redirected(&request(Method::POST, "https://a/"), &answer(308, location)).unwrap().unwrap();
        next.request.headers.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names("/x"), ["x-api-key", "authorization", "cookie", "content-type", "user-agent"]);
    assert_eq!(names("https://b/x"), ["content-type", "user-agent"]);
    assert_eq!(names("https://a:444/x"), ["content-type", "user-agent"]);
}
