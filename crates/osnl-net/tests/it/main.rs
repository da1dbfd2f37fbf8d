#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod guard;

use std::time::Duration;

use osnl_net::http::header::{CONTENT_TYPE, HeaderValue};
use osnl_net::http::{
    AddressGuard, Answer, Client, Failure, FailureClass, HttpOptions, Method, Pool, Request, Url,
};
use osnl_testkit::{Reply, Sink};

const SOON: Duration = Duration::from_secs(60);

fn options(variables: &[(&str, &str)]) -> HttpOptions {
    HttpOptions::from_environment(variables.iter().map(|(name, value)| (name.into(), value.into())))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(SOON, future).await.unwrap() })
}

fn request(method: Method, url: &str) -> Request {
    Request::new(method, Url::parse(url).unwrap())
}

fn sent(options: &HttpOptions, request: Request) -> Result<Answer, Failure> {
    run(async { Client::anywhere(options).unwrap().send(request).await })
}

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Reply::StatusWith { status, headers, body: body.as_bytes().to_vec() }
}

#[test]
fn method_headers_and_body_go_out_and_come_back() {
    let sink = Sink::start();
    sink.reply_with(reply(201, &[("X-Subject-Token", "t")], "{\"token\": {}}"));
    let mut asked = request(Method::POST, &sink.url("/v3/auth/tokens"));
    asked.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    asked.body = "{\"auth\": {}}".into();
    let answer = sent(&HttpOptions::default(), asked).unwrap();
    assert_eq!(answer.status.as_u16(), 201);
    assert_eq!(answer.headers["x-subject-token"], "t");
    assert_eq!((&answer.body[..], answer.is_whole()), (b"{\"token\": {}}".as_slice(), true));
    let seen = &sink.requests()[0];
    assert_eq!((seen.method.as_str(), &seen.body[..]), ("POST", b"{\"auth\": {}}".as_slice()));
    let names: Vec<&str> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Content-Type", "Host", "Content-Length"]);
}

#[test]
fn a_reply_is_read_up_to_the_limit() {
    let sink = Sink::start();
    let check = |reply: Reply, limit: usize, length: usize, whole: bool| {
        sink.script(vec![reply.clone()]);
        let asked = Request { reply_limit: limit, ..request(Method::GET, &sink.url("/")) };
        let answer = sent(&HttpOptions::default(), asked).unwrap();
        assert_eq!((answer.body.len(), answer.is_whole()), (length, whole), "{reply:?} {limit}");
    };
    check(reply(200, &[], "12345"), 5, 5, true);
    check(reply(200, &[], "12345"), 4, 4, false);
    check(reply(200, &[], "12345"), 0, 0, false);
    check(reply(200, &[], ""), 0, 0, true);
    check(Reply::Endless, 100_000, 100_000, false);
}

#[test]
fn there_are_no_more_requests_at_once_than_allowed() {
    const ANSWER: Duration = Duration::from_millis(5);
    let sink = Sink::start();
    sink.reply_with(Reply::After(ANSWER, Box::new(Reply::Status(204))));
    let pool = Pool { requests: 2, ..Pool::default() };
    let options = HttpOptions { pool, ..HttpOptions::default() };
    run(async {
        let client = Client::anywhere(&options).unwrap();
        let calls = (0..8).map(|_| client.send(request(Method::GET, &sink.url("/"))));
        futures_util::future::join_all(calls).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    });
    let mut times: Vec<_> = sink.requests().iter().map(|request| request.at).collect();
    times.sort();
    assert_eq!(times.len(), 8);
    // The third request waits for the answer of one of the first two.
    assert!(times.windows(3).all(|three| three[2] - three[0] >= ANSWER), "{times:?}");
}

#[test]
fn behind_a_proxy_a_guarded_request_goes_only_to_hosts_that_are_named() {
    let proxy = Sink::start();
    let through = |guard| HttpOptions { guard: Some(guard), ..options(&[("http_proxy", &proxy.url(""))]) };
    let options = through(AddressGuard::default());
    let failure = sent(&options, request(Method::GET, "http://hook.example/")).unwrap_err();
    assert_eq!(failure.class, FailureClass::Forbidden);
    assert!(failure.reason.contains("would be called by a proxy"), "{failure}");
    for address in ["169.254.169.254", "93.184.216.34", "[2606:2800:220:1::1]", "10.1.2.3", "127.0.0.1"] {
        let failure = sent(&options, request(Method::GET, &format!("http://{address}/a"))).unwrap_err();
        assert_eq!(failure.class, FailureClass::Forbidden, "{failure}");
    }
    let private = through(AddressGuard { hosts: Vec::new(), private: true });
    sent(&private, request(Method::GET, "http://10.1.2.3/")).unwrap_err();
    assert_eq!(proxy.requests().len(), 0);
    let network = through(AddressGuard { hosts: vec!["192.0.2.0/24".parse().unwrap()], private: false });
    sent(&network, request(Method::GET, "http://192.0.2.7/")).unwrap();
    let options = through(AddressGuard { hosts: vec!["*.example".parse().unwrap()], private: false });
    sent(&options, request(Method::GET, "http://hook.example/")).unwrap();
    let called: Vec<_> = proxy.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(called, ["http://192.0.2.7/", "http://hook.example/"]);
}

#[test]
fn what_was_made_for_plain_http_says_so_over_https() {
    let sink = Sink::start();
    let plain = Url::parse(&sink.url("/")).unwrap();
    let failure = run(async {
        let client = Client::to(&HttpOptions::default(), &plain).unwrap();
        client.send(request(Method::GET, &sink.url("/").replace("http:", "https:"))).await.unwrap_err()
    });
    assert_eq!(failure.class, FailureClass::Tls);
    assert_eq!(failure.reason, "there is no TLS: this client was made for a target without TLS");
}

#[test]
fn a_request_is_sent_again_only_if_that_does_no_harm() {
    let check = |method: Method, repeatable: Option<bool>, sends: usize| {
        let sink = Sink::start();
        sink.script(vec![Reply::Status(204), Reply::CloseWithoutReply, Reply::Status(204)]);
        let answer = run(async {
            let client = Client::anywhere(&HttpOptions::default()).unwrap();
            client.send(request(Method::GET, &sink.url("/"))).await.unwrap();
            let mut asked = request(method.clone(), &sink.url("/"));
            asked.repeatable = repeatable.unwrap_or(asked.repeatable);
            client.send(asked).await
        });
        assert_eq!(sink.requests().len(), 1 + sends, "{method} {repeatable:?}");
        assert_eq!(answer.err().map(|failure| failure.class), (sends == 1).then_some(FailureClass::Reset));
    };
    check(Method::GET, None, 2);
    check(Method::DELETE, None, 2);
    check(Method::PUT, None, 2);
    check(Method::POST, None, 1);
    check(Method::PATCH, None, 1);
    check(Method::POST, Some(true), 2);
    check(Method::PUT, Some(false), 1);
}
