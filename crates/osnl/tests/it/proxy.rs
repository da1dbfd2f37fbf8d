//! Requests through proxies: the bytes that the proxy receives. Unit tests beside the code check the choice of a
//! proxy, which follows urllib.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use osnl::action::ErrorClass;
use osnl::action::http::{HttpOptions, Verification};
use osnl_testkit::{Authority, Protocols, Reply, ServerIdentity, Sink, TlsSink, fixture};

use crate::harness::{DaemonRig, SOON, bound_broker, conf, port_deleted, publish, quick};
use crate::http::{Attempts, environment};

const TARGET: &str =
    "/v1/role?extra=openstack-auto-v1&cuk=12345678-1234-5678-1234-000000000001&host=%5B%2210.0.0.1%22%5D";

#[test]
fn http_goes_to_the_proxy_as_recorded() {
    let recorded = fixture::json("k2hr3/requests.json");
    let case = recorded["transport_cases"].as_array().unwrap().iter();
    let case = case.clone().find(|case| case["case"] == "env-http_proxy (fresh process)").unwrap();

    let proxy = Sink::start();
    let http = environment(&[("http_proxy", &proxy.url(""))]);
    let conf = conf("http://localhost:1/v1/role", "");
    let broker = bound_broker(&conf);
    let daemon = DaemonRig::start_through(
        &conf,
        &http,
        quick(&conf),
        Duration::from_secs(10),
        Arc::new(broker.transport()),
    );
    publish(&broker, &port_deleted("12345678-1234-5678-1234-567812345678", "10.0.0.1"));
    let request = proxy.wait_for(1, SOON).remove(0);
    let line = format!("{} {} {}", request.method, request.target, request.version);
    assert_eq!(line, case["request_line"].as_str().unwrap());
    assert_eq!(format!("Host: {}", request.header("host").unwrap()), case["host_header"].as_str().unwrap());
    daemon.wait_until("it is delivered", |counters| counters.delivered.get() == 1);
    daemon.stop().unwrap();
}

/// The name does not resolve, and must reach the proxy complete, with its dashes.
#[test]
fn http_headers_keep_their_order_and_the_login_comes_last() {
    let proxy = Sink::start();
    let check = |login: &str, expected: &str| {
        let url = format!("http://{login}127.0.0.1:{}", proxy.port());
        let attempts =
            Attempts::at("http://k2hr3-api.in-no-dns.example/v1/role", &environment(&[("HTTP_PROXY", &url)]));
        attempts.unwrap().make().unwrap();
        let head = String::from_utf8(proxy.requests().pop().unwrap().head).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let host = "k2hr3-api.in-no-dns.example";
        assert_eq!(
            head,
            format!(
                "DELETE http://{host}{TARGET} HTTP/1.1\r\nAccept-Encoding: identity\r\nHost: {host}\r\n\
                 User-Agent: osnl/{version}\r\n{expected}\r\n"
            )
        );
    };
    check("", "");
    check("user:p%40ss@", "Proxy-Authorization: Basic dXNlcjpwQHNz\r\n");
}

#[test]
fn https_goes_through_a_tunnel_and_the_proxy_sees_no_request() {
    let authority = Authority::new();
    let certificate = authority.issue(&ServerIdentity::For("DNS:k2hr3-api.in-no-dns.example"));
    let target = TlsSink::start(&certificate, Protocols::Tls12And13);
    let proxy = Sink::start();
    let behind = format!("{}:{}", Ipv4Addr::LOCALHOST, target.port());
    proxy.reply_with(Reply::Tunnel(behind));
    let check = |login: &str, authority_in_url: &str, expected: &str| {
        let url = format!("http://{login}127.0.0.1:{}", proxy.port());
        let proxies = environment(&[("https_proxy", &url), ("http_proxy", "http://127.0.0.1:9")]).proxies;
        let verification = Verification::Ca(vec![authority.file()]);
        let attempts = Attempts::at(
            &format!("https://{authority_in_url}/v1/role"),
            &HttpOptions { verification, proxies, ..HttpOptions::default() },
        );
        let attempts = attempts.unwrap();
        attempts.make().unwrap();
        attempts.make().unwrap();
        assert_eq!(String::from_utf8(proxy.requests().pop().unwrap().head).unwrap(), expected);
        let request = target.sink().requests().pop().unwrap();
        assert_eq!(request.target, TARGET);
        assert_eq!(request.header("host"), Some(authority_in_url));
        assert_eq!(request.header("proxy-authorization"), None);
    };
    let name = "k2hr3-api.in-no-dns.example";
    check("", name, &format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n"));
    check(
        "u:p@",
        &format!("{name}:8443"),
        &format!(
            "CONNECT {name}:8443 HTTP/1.1\r\nHost: {name}:8443\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
        ),
    );
    assert_eq!(proxy.requests().len(), 2);
    assert_eq!(target.handshakes()[0].name.as_deref(), Some(name));
}

#[test]
fn a_proxy_that_fails_says_so_and_is_no_answer_of_k2hr3() {
    let proxy = Sink::start();
    let port = proxy.port();
    let login = format!("http://user:secret@127.0.0.1:{port}");
    let check = |api_url: &str, reply: Reply, class: ErrorClass, expected: &str| {
        proxy.reply_with(reply.clone());
        let http = environment(&[("http_proxy", &login), ("https_proxy", &login)]);
        let verification = Verification::None;
        let error = Attempts::at(api_url, &HttpOptions { verification, ..http }).unwrap().make().unwrap_err();
        assert_eq!((error.class, error.reason.as_str()), (class, expected), "{api_url} {reply:?}");
    };
    let wants = "the proxy requires a login: write it into http_proxy or https_proxy, as http://USER:PASSWORD@HOST:PORT";
    let (http, https) = ("http://k2hr3.example/v1/role", "https://k2hr3.example/v1/role");
    let no_way = format!("the proxy 127.0.0.1:{port} does not connect to k2hr3.example:443: ");
    check(http, Reply::Status(407), ErrorClass::Connect, wants);
    check(http, Reply::Status(502), ErrorClass::Status(502), "Bad Gateway");
    check(https, Reply::Status(407), ErrorClass::Connect, &format!("{no_way}{wants}"));
    check(https, Reply::Status(403), ErrorClass::Connect, &format!("{no_way}it answers 403 Forbidden"));
    let repeats = b"HTTP/1.1 502 no secret, dXNlcjpzZWNyZXQ=\r\n\r\n";
    let expected = format!("{no_way}it answers 502 no ***, ***");
    check(https, Reply::Raw(repeats.to_vec()), ErrorClass::Connect, &expected);
    let closed = "it closed the connection instead of answering CONNECT";
    check(https, Reply::CloseWithoutReply, ErrorClass::Connect, &format!("{no_way}{closed}"));
    check(https, Reply::Garbage, ErrorClass::Connect, &format!("{no_way}what it answers is not HTTP"));
    proxy.stop();
    let refused = format!("the proxy 127.0.0.1:{port} cannot be reached: Connection refused (os error 111)");
    check(http, Reply::Status(204), ErrorClass::Connect, &refused);
    check(https, Reply::Status(204), ErrorClass::Connect, &refused);
}

#[test]
fn a_wrong_proxy_is_an_error_at_the_start_if_it_is_needed() {
    let check = |api_url: &str, variables: &[(&str, &str)], expected: Option<&str>| {
        let error = Attempts::at(api_url, &environment(variables)).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), expected, "{api_url} {variables:?}");
    };
    let wrong = [("http_proxy", "socks5://user:secret@proxy:1080")];
    let expected = "http_proxy of the environment: only http:// proxies can be used; \
        write it as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT";
    check("http://k2hr3.example/", &wrong, Some(expected));
    check("http://k2hr3.example/", &[wrong[0], ("no_proxy", "example")], None);
    check("https://k2hr3.example/", &wrong, None);
}
