mod catalog;
mod deliveries;
mod faults;
mod pace;
mod recipes;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use osnl::action::http::header::{HeaderName, HeaderValue};
use osnl::action::http::{HttpOptions, Url};
use osnl::action::http_request::{Authorization, HttpAction, HttpConf};
use osnl::action::{Action, ActionError, Completion, ErrorClass};
use osnl::actions::k2hr3::K2hr3;
use osnl::native::{Sources, load_texts};
use osnl_testkit::{Authority, Protocols, Reply, ServerIdentity, Sink, TlsSink};
use osnl_transport::BoxFuture;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::harness::{SOON, event_of, framed, instance};

struct Hook {
    runtime: Runtime,
    action: HttpAction,
}

impl Hook {
    fn new(lines: &str) -> Self {
        Self::with(lines, None)
    }

    fn with(lines: &str, authorization: Option<Arc<dyn Authorization>>) -> Self {
        let text = format!(
            "[listener:n]\ntransport_url = rabbit://h/\nexchange = neutron\npriorities = info\n\
             pool = osnl\n[rule:r]\nactions = hook\nevent_type = ^x\n[action:hook]\ndriver = http\n{lines}\n"
        );
        let loaded = load_texts(&[("a.conf".to_owned(), text)], &Sources::default());
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors}"));
        let Some(conf) = loaded.conf.actions[0].driver.options::<HttpConf>() else {
            panic!("another driver")
        };
        let action = conf.build(&HttpOptions::default(), authorization).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, action }
    }

    fn call(&self, payload: &Value, time: Duration) -> Result<Completion, ActionError> {
        let body = framed("compute.host1", "instance.delete.end", payload);
        let events = [event_of(body, "hook")];
        self.runtime.block_on(async {
            match tokio::time::timeout(time, self.action.run(&events)).await {
                Ok(mut verdicts) => verdicts.remove(0),
                Err(_) => Err(ActionError::new(ErrorClass::Timeout, "as the delivery loop says")),
            }
        })
    }

    fn make(&self) -> Result<Completion, ActionError> {
        self.call(&json!({"id": "vm-1"}), SOON)
    }

    fn refused(&self) -> ActionError {
        self.make().unwrap_err()
    }
}

fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Reply::StatusWith { status, headers, body: body.as_bytes().to_vec() }
}

fn raw(text: &str) -> Reply {
    Reply::Raw(text.as_bytes().to_vec())
}

#[test]
fn the_request_is_what_the_templates_say_over_kept_connections() {
    let sink = Sink::start();
    let hook = Hook::new(&format!(
        "url = {}\nmethod = PUT\nheader.X-Kind = {{{{ event_type }}}}\nbody = {{\"id\": \"{{{{ payload.id }}}}\"}}\n\
         auth = basic\nusername = u\npassword = p",
        sink.url("/v1/{{ payload.id }}?q=1")
    ));
    for _ in 0..2 {
        let done = hook.make().unwrap();
        assert_eq!(done, Completion::Delivered(format!("PUT {}: 204", sink.url("/v1/vm-1?q=1"))));
    }
    let requests = sink.requests();
    assert_eq!(requests.iter().map(|request| request.connection).collect::<Vec<_>>(), [1, 1]);
    let request = &requests[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PUT", "/v1/vm-1?q=1"));
    assert_eq!(request.body, br#"{"id": "vm-1"}"#);
    assert_eq!(request.header("content-length"), Some("14"));
    assert_eq!(request.header("x-kind"), Some("instance.delete.end"));
    assert_eq!(request.header("authorization"), Some("Basic dTpw"));
    assert_eq!(request.header("host"), Some(format!("127.0.0.1:{}", sink.port()).as_str()));
    let key = request.header("idempotency-key").unwrap();
    assert!(key.ends_with("/hook"), "{key}");
}

#[test]
fn a_receiver_can_check_the_signature_and_knows_a_repeated_request() {
    let sink = Sink::start();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let hook = Hook::new(&format!("url = {}\nsigning_secret = {secret}", sink.url("/")));
    hook.make().unwrap();
    let request = &sink.requests()[0];
    let header = |name: &str| request.header(name).unwrap().to_owned();
    assert_eq!(header("webhook-id"), header("idempotency-key"));
    let sent: u64 = header("webhook-timestamp").parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(sent) < 60, "{sent}");
    let check = "import base64, hashlib, hmac, json, sys\nq = json.load(sys.stdin)\n\
        key = base64.b64decode(q['secret'][6:])\n\
        text = f\"{q['id']}.{q['time']}.{q['body']}\".encode()\n\
        print('v1,' + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode())\n";
    let asked = json!({
        "secret": secret, "id": header("webhook-id"), "time": sent,
        "body": String::from_utf8(request.body.clone()).unwrap(),
    });
    let expected = osnl_testkit::python(check, &asked.to_string());
    assert_eq!(header("webhook-signature"), expected.trim());
}

#[test]
fn answers_are_judged_by_their_status() {
    let sink = Sink::start();
    let hook = Hook::new(&format!("url = {}\nretry = 409, 503\nfinal = 410", sink.url("/")));
    let check = |reply: Reply, class: ErrorClass, reason: &str, wait: Option<u64>| {
        sink.script(vec![reply]);
        let error = hook.refused();
        let found = (error.class, error.reason.as_str(), error.retry_after);
        assert_eq!(found, (class, reason, wait.map(Duration::from_secs)));
    };
    check(
        with(429, &[("Retry-After", "7")], ""),
        ErrorClass::Refused(Some(429)),
        "Too Many Requests",
        Some(7),
    );
    check(with(503, &[], "later"), ErrorClass::Status(503), "Service Unavailable, reply: later", None);
    check(with(409, &[], ""), ErrorClass::Busy(Some(409)), "Conflict", None);
    check(with(500, &[], ""), ErrorClass::Refused(Some(500)), "Internal Server Error", None);
    check(with(410, &[], "gone"), ErrorClass::Rejected, "status 410, Gone, reply: gone", None);
    check(with(404, &[], ""), ErrorClass::Status(404), "Not Found", None);
}

#[test]
fn a_default_success_yields_to_the_statuses_that_are_written() {
    let sink = Sink::start();
    let check = |lines: &str, reply: Reply, expected: Result<(), ErrorClass>| {
        sink.script(vec![reply]);
        let found = Hook::new(&format!("url = {}\n{lines}", sink.url("/"))).make();
        assert_eq!(found.map(drop).map_err(|error| error.class), expected, "{lines}");
    };
    let later = "retry = 202, 429, 5xx";
    check(later, with(202, &[], ""), Err(ErrorClass::Busy(Some(202))));
    check(later, with(200, &[], ""), Ok(()));
    check("final = 207", with(207, &[], ""), Err(ErrorClass::Rejected));
    check("final = 207", with(202, &[], ""), Ok(()));
    let by_reply = format!("{later}\nfinal = 207\nreply_status = reply.status");
    check(&by_reply, with(200, &[], r#"{"status": 202}"#), Err(ErrorClass::Busy(Some(202))));
    check(&by_reply, with(200, &[], r#"{"status": 207}"#), Err(ErrorClass::Rejected));
    check(&by_reply, with(200, &[], r#"{"status": 201}"#), Ok(()));
}

#[test]
fn the_events_of_one_request_have_a_verdict_each() {
    let sink = Sink::start();
    let hook = Hook::new(&format!(
        "url = {}\nformat = ndjson\nbody = {{\"id\": {{{{ payload.id|tojson }}}}}}\nfinal = 400\n\
         reply_status = reply|map(attribute=\"status\")|list",
        sink.url("/")
    ));
    let call = |payloads: &[Value], reply: Reply| {
        sink.script(vec![reply]);
        let body = |payload| framed("compute.host1", "instance.delete.end", payload);
        let events: Vec<_> = payloads.iter().map(|payload| event_of(body(payload), "hook")).collect();
        let verdicts = hook.runtime.block_on(hook.action.run(&events));
        let kind = |verdict: Result<_, ActionError>| verdict.map_err(|error| error.class).map(drop);
        verdicts.into_iter().map(kind).collect::<Vec<_>>()
    };
    let (one, two, none) = (json!({"id": "vm-1"}), json!({"id": "vm-2"}), json!({}));
    let all = [one, none.clone(), two];
    let statuses = with(200, &[], r#"[{"status": 201}, {"status": 400}]"#);
    assert_eq!(call(&all, statuses), [Ok(()), Err(ErrorClass::Content), Err(ErrorClass::Rejected)]);
    let request = &sink.requests()[0];
    assert_eq!(request.body, b"{\"id\": \"vm-1\"}\n{\"id\": \"vm-2\"}\n");
    assert_eq!([request.header("idempotency-key"), request.header("traceparent")], [None, None]);
    let short = with(200, &[], r#"[{"status": 201}]"#);
    // The target may have taken all of them, so none is sent again.
    let unread = Err(ErrorClass::Rejected);
    assert_eq!(call(&all, short), [unread, Err(ErrorClass::Content), unread]);
    let down = Err(ErrorClass::Status(503));
    assert_eq!(call(&all, with(503, &[], "")), [down, Err(ErrorClass::Content), down]);
    // One event may be the reason, so several are tried alone.
    let apart = Err(ErrorClass::Refused(Some(400)));
    assert_eq!(call(&all, with(400, &[], "")), [apart, Err(ErrorClass::Content), apart]);
    assert_eq!(call(&all[..1], with(400, &[], "")), [Err(ErrorClass::Rejected)]);
    let done = || with(200, &[], r#"[{"status": 200}]"#);
    assert_eq!(call(&[none], done()), [Err(ErrorClass::Content)]);
    assert_eq!(sink.requests().len(), 5, "without a usable event nothing is sent");
    assert_eq!(call(&all[..1], done()), [Ok(())]);
    assert!(sink.requests()[5].header("traceparent").is_some());
}

#[test]
fn what_breaks_off_is_told_apart_and_what_has_no_end_is_cut() {
    let sink = Sink::start();
    let hook = Hook::new(&format!("url = {}\nreply_limit = 8KiB", sink.url("/")));
    let check = |reply: Reply, class: ErrorClass| {
        sink.script(vec![reply.clone()]);
        assert_eq!(hook.refused().class, class, "{reply:?}");
    };
    check(Reply::Reset, ErrorClass::Reset);
    check(Reply::Garbage, ErrorClass::Reset);
    check(raw("HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\nlate"), ErrorClass::Status(503));
    for cut in [Reply::ResetInBody, Reply::ShortBody] {
        sink.script(vec![cut.clone()]);
        let Completion::Delivered(done) = hook.make().unwrap() else { panic!("{cut:?}") };
        assert!(done.contains(": 200; the reply broke off: "), "{done}");
    }
    sink.script(vec![Reply::Endless]);
    hook.make().unwrap();
    let before = sink.requests().len();
    hook.make().unwrap();
    let requests = sink.requests();
    assert_ne!(requests[before].connection, requests[before - 1].connection, "the endless one is closed");
    sink.script(vec![Reply::Hang]);
    let slow = hook.call(&json!({}), Duration::from_millis(50)).unwrap_err();
    assert_eq!(slow.class, ErrorClass::Timeout);
    sink.stop();
    assert_eq!(hook.refused().class, ErrorClass::Connect);
}

#[test]
fn certificates_are_checked_and_shown() {
    let authority = Authority::new();
    let clients = Authority::new();
    let certificate = authority.issue(&ServerIdentity::LOOPBACK);
    let ours = clients.issue(&ServerIdentity::For("DNS:osnl"));
    let strange = authority.issue(&ServerIdentity::For("DNS:osnl"));
    let ca = authority.file();
    let lines = |target: &TlsSink, more: &str| {
        format!("url = {}\nca_file = {}\n{more}", target.url("localhost", "/"), ca.display())
    };
    let shows = |certificate: &osnl_testkit::Certificate| {
        let (file, key) = (certificate.file().display(), certificate.key_file().display());
        format!("client_certificate = {file}\nclient_key = {key}")
    };
    for protocols in [Protocols::Tls12, Protocols::Tls13] {
        let target = TlsSink::start_asking(&certificate, protocols, &clients);
        let hook = Hook::new(&lines(&target, &shows(&ours)));
        hook.make().unwrap();
        let ends: Vec<String> = hook.action.expiries().into_iter().map(|expiry| expiry.what).collect();
        assert_eq!(ends, [format!("the client certificate {}", ours.file().display())]);
        assert_eq!(target.sink().requests().len(), 1);
        for more in [String::new(), shows(&strange)] {
            let error = Hook::new(&lines(&target, &more)).refused();
            assert_eq!(error.class, ErrorClass::Tls, "{protocols:?} {more}: {error}");
        }
        assert_eq!(target.sink().requests().len(), 1, "who is not known reaches nothing");
    }
    let expired = TlsSink::start(&authority.issue(&ServerIdentity::Expired), Protocols::Tls13);
    let error = Hook::new(&lines(&expired, "")).refused();
    assert_eq!(error.class, ErrorClass::Tls);
    assert_eq!(error.reason, "certificate expired on 2024-02-01T00:00:00Z; renew it on the server");
    let other = Authority::new();
    let unknown = TlsSink::start(&other.issue(&ServerIdentity::LOOPBACK), Protocols::Tls13);
    let error = Hook::new(&lines(&unknown, "")).refused();
    assert!(error.reason.contains("name the CA's certificate in ca_file"), "{error}");
    Hook::new(&format!("url = {}\nverify = false", unknown.url("localhost", "/"))).make().unwrap();
}

#[test]
fn redirects_are_followed_only_if_asked_for_and_never_to_what_is_guarded() {
    let sink = Sink::start();
    let other = Sink::start();
    let url = sink.url("/first");
    let lines = |more: &str| format!("url = {url}\nauth = bearer\ntoken = hunter2\nheader.X-Key = k\n{more}");
    let moved = |status: u16, to: &str| with(status, &[("Location", to)], "");
    sink.script(vec![moved(302, "/second")]);
    let error = Hook::new(&lines("")).refused();
    assert_eq!(error.class, ErrorClass::Status(302));
    assert_eq!(error.reason, "Found; it leads to /second, and no redirect is followed");

    sink.script(vec![moved(307, "/second"), moved(308, "third")]);
    Hook::new(&lines("redirects = 2")).make().unwrap();
    let seen: Vec<_> = sink.requests().iter().map(|r| (r.method.clone(), r.target.clone())).collect();
    let pair = |method: &str, target: &str| (method.to_owned(), target.to_owned());
    assert_eq!(seen[1..], [pair("POST", "/first"), pair("POST", "/second"), pair("POST", "/third")]);
    assert!(sink.requests().iter().all(|request| request.header("authorization") == Some("Bearer hunter2")));

    for to in ["http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/", &other.url("/")] {
        sink.script(vec![moved(307, to)]);
        let error = Hook::new(&lines("redirects = 2\nallow_private = true")).refused();
        assert_eq!(error.class, ErrorClass::Status(307), "{to}: {error}");
        let start = format!("Temporary Redirect; it leads to {to}, and is not followed: ");
        assert!(error.reason.starts_with(&start), "{error}");
        assert!(error.reason.contains("allow_hosts"), "{error}");
    }
    assert_eq!(other.requests().len(), 0);

    sink.script(vec![moved(307, &other.url("/there"))]);
    Hook::new(&lines("redirects = 1\nallow_hosts = 127.0.0.1")).make().unwrap();
    let there = &other.requests()[0];
    assert_eq!((there.method.as_str(), there.target.as_str()), ("POST", "/there"));
    assert!(!there.body.is_empty());
    assert_eq!((there.header("authorization"), there.header("x-key")), (None, None));

    // The remedy is not that of the configured host, which has answered.
    let gone = format!("127.0.0.1:{}", osnl_testkit::closed_port());
    sink.script(vec![moved(307, &format!("http://{gone}/hunter2"))]);
    let error = Hook::new(&lines("redirects = 1\nallow_hosts = 127.0.0.1")).refused();
    assert_eq!(error.class, ErrorClass::Connect);
    assert!(error.reason.starts_with(&format!("redirected to {gone}: ")), "{error}");
    assert!(error.remedy().unwrap().starts_with("the target has named that place"), "{error}");

    // A redirect to another host is not followed with a configured secret in the body, but a redirect within the host
    // is.
    for body in ["{\"k\": \"{{ secret.k }}\"}", "{\"password\": \"S3CRET\"}"] {
        let lines =
            format!("url = {url}\nredirects = 1\nallow_hosts = 127.0.0.1\nsecret.k = S3CRET\nbody = {body}");
        let before = other.requests().len();
        sink.script(vec![moved(307, &other.url("/there"))]);
        let error = Hook::new(&lines).refused();
        assert_eq!(error.class, ErrorClass::Status(307));
        assert!(
            error
                .reason
                .ends_with(", and is not followed: it leads to another host, and the body may hold a secret"),
            "{error}"
        );
        assert_eq!(other.requests().len(), before, "{body}");
        sink.script(vec![moved(308, "/second")]);
        Hook::new(&lines).make().unwrap();
        assert!(String::from_utf8_lossy(&sink.requests().last().unwrap().body).contains("S3CRET"));
    }
    // A secret written out in a header is hidden even if the target repeats it.
    sink.script(vec![with(400, &[], "no Bearer S3CRETHDR here")]);
    let error = Hook::new(&format!("url = {url}\nheader.Authorization = Bearer S3CRETHDR")).refused();
    assert!(error.reason.contains("no Bearer *** here"), "{error}");

    sink.script(vec![moved(307, "/a"), moved(307, "/b")]);
    let error = Hook::new(&lines("redirects = 1")).refused();
    assert!(error.reason.ends_with("it leads to /b, and no more than 1 redirect is followed"), "{error}");
}

/// A page for logins answers `GET /login` with 200, which says nothing about the request.
#[test]
fn what_a_redirect_would_turn_into_a_get_is_a_refusal_with_its_reason() {
    let sink = Sink::start();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for (status, words, class) in [
            (301, "Moved Permanently", ErrorClass::Status(301)),
            (302, "Found", ErrorClass::Status(302)),
            // The target may have done it, and shows the result elsewhere.
            (303, "status 303, See Other", ErrorClass::Rejected),
        ] {
            let before = sink.requests().len();
            sink.script(vec![with(status, &[("Location", "/login")], "")]);
            let error =
                Hook::new(&format!("url = {}\nmethod = {method}\nredirects = 3", sink.url("/"))).refused();
            let reason = format!(
                "{words}; it leads to /login, and is not followed: only 307 and 308 repeat another method than GET and HEAD"
            );
            assert_eq!((error.class, error.reason), (class, reason), "{method} {status}");
            assert_eq!(sink.requests().len(), before + 1, "{method} {status}");
        }
    }
    let get =
        |more: &str| Hook::new(&format!("url = {}\nmethod = GET\nredirects = 3\n{more}", sink.url("/")));
    sink.script(vec![with(303, &[("Location", "/there")], "")]);
    get("").make().unwrap();
    assert_eq!(sink.requests().last().unwrap().target, "/there");
    sink.script(vec![with(303, &[("Location", "/there")], "")]);
    get("success = 2xx, 303").make().unwrap();
    assert_eq!(sink.requests().last().unwrap().target, "/");
}

/// The target has taken the event, so each reply leads to one request.
#[test]
fn a_success_whose_reply_cannot_be_judged_is_not_repeated() {
    let sink = Sink::start();
    let hook = Hook::new(&format!("url = {}\nreply_status = 200 if reply.ok else 400", sink.url("/")));
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\xca\xcf\x56\xb2\x52\x28\x29\x2a\x4d\xad\x05\x00\xc6\x19\xab\x17\x0c\x00\x00\x00";
    let headers = vec![("Content-Encoding".to_owned(), "gzip".to_owned())];
    sink.script(vec![Reply::StatusWith { status: 200, headers, body: gzip.to_vec() }]);
    hook.make().unwrap();
    assert_eq!(sink.requests()[0].header("accept-encoding"), Some("identity"));
    sink.script(vec![with(200, &[], "\u{feff}{\"ok\": true}")]);
    hook.make().unwrap();
    sink.script(vec![with(200, &[], "{\"ok\": false}")]);
    assert_eq!(hook.refused().class, ErrorClass::Status(400));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for reply in [
        with(200, &[], "taken"),
        with(200, &[("Content-Encoding", "br")], "\x0b"),
        Reply::Status(204),
        Reply::ShortBody,
        Reply::ResetInBody,
        Reply::Endless,
        // The head of an answer, and then nothing.
        Reply::Tunnel(silent.local_addr().unwrap().to_string()),
    ] {
        let before = sink.requests().len();
        sink.script(vec![reply.clone()]);
        let error = hook.refused();
        assert_eq!(error.class, ErrorClass::Rejected, "{reply:?}: {error}");
        assert!(error.to_string().starts_with("unreadable reply: status 20"), "{error}");
        assert_eq!(sink.requests().len(), before + 1, "{reply:?}");
    }
}

#[test]
fn a_redirect_that_is_not_allowed_is_a_refusal_with_its_status() {
    let sink = Sink::start();
    let url = sink.url("/first");
    let check = |lines: &str, headers: &[(&str, &str)], class: ErrorClass, reason: &str| {
        sink.script(vec![with(307, headers, "")]);
        let payload = json!({"url": url});
        let error = Hook::new(&format!("redirects = 3\n{lines}")).call(&payload, SOON).unwrap_err();
        assert_eq!(error.class, class, "{error}");
        assert!(error.reason.contains(reason), "{error}");
    };
    let own = format!("url = {url}");
    let private = [("Location", "http://10.255.255.1/")];
    let why = "Temporary Redirect; it leads to http://10.255.255.1/, and is not followed: 10.255.255.1 is 10.255.255.1, a \
        private";
    let refused = ErrorClass::Status(307);
    check(&own, &private, refused, why);
    check(&format!("{own}\nfinal = 307"), &private, ErrorClass::Rejected, why);
    check(&format!("{own}\nretry = 307"), &private, ErrorClass::Busy(Some(307)), why);
    // The request reached the event's host, so that the error is an answer of the target.
    check("url = {{ payload.url }}\nallow_hosts = 127.0.0.1", &private, refused, why);
    check(&own, &[("Location", "ftp://h/")], refused, "it leads to ftp://h/, and is not followed: it has no");
    check(&own, &[("Location", "http://[")], refused, "it leads to http://[, and is not followed: it has no");
    check(&own, &[("Location", "http://u:S3CRET@[")], refused, "it leads to http://u:***@[, and is not");
    check(&own, &[], refused, "Temporary Redirect; it is not followed: it has no Location");
    sink.script(vec![with(307, &[("Location", "/first")], ""); 4]);
    let error = Hook::new(&format!("redirects = 3\n{own}")).refused();
    assert_eq!(error.class, refused);
    assert!(error.reason.ends_with("to /first, and no more than 3 redirects are followed"), "{error}");
}

#[test]
fn a_url_of_an_event_reaches_no_address_of_this_site() {
    let sink = Sink::start();
    let guarded = Hook::new("url = {{ payload.url }}");
    let port = sink.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ] {
        let payload = json!({"url": format!("http://{host}:{port}/")});
        let error = guarded.call(&payload, SOON).unwrap_err();
        assert_eq!(error.class, ErrorClass::Content, "{host}: {error}");
        assert!(error.reason.contains("allow_hosts"), "{host}: {error}");
    }
    let metadata = json!({"url": "http://169.254.169.254/latest/meta-data/"});
    let error = guarded.call(&metadata, SOON).unwrap_err();
    assert!(
        error.reason.starts_with("169.254.169.254 is 169.254.169.254, a cloud's metadata service"),
        "{error}"
    );
    assert_eq!(sink.requests().len(), 0);
    for allowed in ["localhost", "127.0.0.0/8"] {
        let hook = Hook::new(&format!("url = {{{{ payload.url }}}}\nallow_hosts = {allowed}"));
        hook.call(&json!({"url": format!("http://localhost:{port}/")}), SOON).unwrap();
    }
    assert_eq!(sink.requests().len(), 2);
}

#[test]
fn no_secret_comes_back_in_a_reply_or_a_log_line() {
    let sink = Sink::start();
    let hook = Hook::new(&format!(
        "url = {}\nsecret.hook = hunter2\nauth = basic\nusername = u\npassword = hunter3",
        sink.url("/{{ secret.hook }}")
    ));
    assert_eq!(hook.make().unwrap(), Completion::Delivered(format!("POST {}: 204", sink.url("/***"))));
    let echo = "/hunter2 with u:hunter3, dTpodW50ZXIz";
    sink.script(vec![with(403, &[], echo), with(302, &[("Location", "/hunter2")], "")]);
    for expected in ["reply: /*** with u:***, ***", "it leads to /***"] {
        let error = hook.refused();
        assert!(error.reason.contains(expected), "{error}");
        assert!(!error.reason.contains("hunter"), "{error}");
    }
    let printed = format!("{:?} {}", hook.action, hook.action.target());
    assert!(!printed.contains("hunter"), "{printed}");
}

#[test]
fn secrets_that_come_back_encoded_or_cut_are_in_no_reason() {
    let sink = Sink::start();
    let hook = Hook::new(&format!(
        "url = {}\nsecret.hook = hunter2/a \"<x>\nauth = bearer\ntoken = hunter3\"&more\nheader.X-Api-Key = hunter4",
        sink.url("/{{ secret.hook|urlencode }}")
    ));
    let (before, far) = ("x".repeat(116), format!("http://h/{}hunter3\"&more", "x".repeat(185)));
    for (reply, expected) in [
        (with(403, &[], "at /hunter2%2Fa%20%22%3Cx%3E"), "reply: at /***"),
        (with(403, &[], "at /hunter2%2fa+%22%3cx%3e!"), "reply: at /***!"),
        (with(403, &[], r#"{"a": "Bearer hunter3\"&more"}"#), r#"{"a": "Bearer ***"}"#),
        (with(403, &[], "<pre>hunter3&quot;&amp;more</pre>"), "<pre>***</pre>"),
        (with(403, &[], "Bearer aHVudGVyMyImbW9yZQ=="), "reply: Bearer ***"),
        (with(403, &[], &format!("{before}hunter4, {before}")), "x***,"),
        (with(302, &[("Location", &far)], ""), "x***, and no redirect is followed"),
    ] {
        sink.script(vec![reply]);
        let error = hook.refused();
        assert!(error.reason.contains(expected) && !error.reason.contains("hunt"), "{error}");
    }
}

#[test]
fn a_secret_in_the_query_of_k2hr3_is_sent_and_not_shown() {
    let sink = Sink::start();
    let url = sink.url("/v1/role?token=S3CRET1&password=S3CRET2&n=1");
    let action = K2hr3::new(Url::parse(&url).unwrap(), &HttpOptions::default()).unwrap();
    let body = framed("compute.host1", "instance.delete.end", &json!({"instance_id": instance(1)}));
    let events = [event_of(body, "roles")];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run = || runtime.block_on(action.run(&events)).remove(0);
    let done = run().unwrap();
    sink.script(vec![with(403, &[], "no S3CRET1 here")]);
    let refused = run().unwrap_err();
    assert_eq!(refused.reason, "Forbidden, reply: no *** here");
    let sent =
        "/v1/role?token=S3CRET1&password=S3CRET2&n=1&extra=openstack-auto-v1&cuk=".to_owned() + &instance(1);
    assert!(sink.requests().iter().all(|request| request.target == sent));
    let request = action.request(&events[0]).unwrap();
    for shown in [format!("{done:?}"), action.target(), request, format!("{action:?}")] {
        assert!(shown.contains("?token=***&password=***&n=1") && !shown.contains("S3CRET"), "{shown}");
    }
}

/// A login that is renewed after a 401, as a token of Keystone is.
#[derive(Debug, Default)]
struct Tokens(AtomicUsize);

impl Authorization for Tokens {
    fn header(&self) -> BoxFuture<'_, Result<(HeaderName, HeaderValue), ActionError>> {
        let value = HeaderValue::from(self.0.load(Ordering::Relaxed));
        Box::pin(std::future::ready(Ok((HeaderName::from_static("x-auth-token"), value))))
    }

    fn refused(&self) -> BoxFuture<'_, bool> {
        // Only the first call returns true.
        Box::pin(std::future::ready(self.0.fetch_add(1, Ordering::Relaxed) == 0))
    }

    fn shown(&self) -> (HeaderName, String) {
        (HeaderName::from_static("x-auth-token"), "***".to_owned())
    }
}

#[test]
fn a_login_that_is_no_longer_believed_is_renewed_once() {
    let sink = Sink::start();
    let hook = Hook::with(&format!("url = {}", sink.url("/")), Some(Arc::new(Tokens::default())));
    sink.script(vec![Reply::Status(401), Reply::Status(204), Reply::Status(401)]);
    hook.make().unwrap();
    assert_eq!(hook.refused().class, ErrorClass::Status(401));
    let tokens: Vec<_> =
        sink.requests().iter().map(|r| r.header("x-auth-token").unwrap().to_owned()).collect();
    assert_eq!(tokens, ["0", "1", "1"]);
}
