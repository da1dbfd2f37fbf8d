use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use crate::client::RunningEndpoint;

const TOKEN: &str = "0123456789abcdef-secret";
const HOST: &str = "Host: localhost\r\n";

async fn say(running: &RunningEndpoint, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    // The endpoint may close the connection before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection stays open after {:?}", String::from_utf8_lossy(bytes));
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.split("HTTP/1.").skip(1);
    lines.map(|line| line[2..5].parse().unwrap()).collect()
}

/// The second request of each is hidden in bytes that another reader may take for the body of the first.
#[tokio::test]
async fn where_a_request_ends_is_never_a_matter_of_opinion() {
    let running = RunningEndpoint::start("listen = 127.0.0.1:0").await;
    let hidden = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = hidden.len();
    for (head, expected) in [
        (format!("Content-Length: {length}\r\n"), &[200][..]),
        (format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"), &[200]),
        ("Content-Length: 0\r\nContent-Length: 5\r\n".to_owned(), &[400]),
        ("Content-Length: +5\r\n".to_owned(), &[400]),
        ("Content-Length: 5, 6\r\n".to_owned(), &[400]),
        ("Content-Length: -1\r\n".to_owned(), &[400]),
        ("Transfer-Encoding: identity\r\n".to_owned(), &[400]),
        ("Transfer-Encoding: chunked, identity\r\n".to_owned(), &[400]),
        ("Transfer-Encoding : chunked\r\n".to_owned(), &[400]),
        ("X: a\r\n folded\r\n".to_owned(), &[400]),
        ("X: a\0b\r\n".to_owned(), &[400]),
        ("X\u{e9}: a\r\n".to_owned(), &[400]),
    ] {
        let request = format!("GET /livez HTTP/1.1\r\n{HOST}Connection: close\r\n{head}\r\n{hidden}");
        let answer = say(&running, request.as_bytes()).await;
        assert_eq!(statuses(&answer), expected, "{head}: {answer}");
        assert!(!answer.contains("osnl_build_info"), "{head}: {answer}");
    }
    for start in
        ["GET /livez", "GET /livez HTTP/2.0", "PRI * HTTP/2.0", "GET  /livez HTTP/1.1", "\u{16}\u{3}\u{1}\0"]
    {
        let answer = say(&running, format!("{start}\r\n{HOST}\r\n").as_bytes()).await;
        assert_eq!(statuses(&answer), [400], "{start}: {answer}");
    }
    running.end().await;
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_a_row() {
    let running = RunningEndpoint::start("listen = 127.0.0.1:0").await;
    let requests = format!(
        "GET /livez HTTP/1.1\r\n{HOST}\r\nGET /nothing HTTP/1.1\r\n{HOST}\r\nHEAD /metrics HTTP/1.1\r\n{HOST}\r\n\
         GET /readyz HTTP/1.1\r\n{HOST}Connection: close\r\n\r\nGET /livez HTTP/1.1\r\n{HOST}\r\n"
    );
    let answer = say(&running, requests.as_bytes()).await;
    assert_eq!(statuses(&answer), [200, 404, 200, 503], "{answer}");
    assert!(!answer.contains("osnl_build_info"), "HEAD has no body: {answer}");
    running.end().await;
}

#[tokio::test]
async fn an_address_is_one_spelling_and_a_host_is_named_once() {
    let running = RunningEndpoint::start("listen = 127.0.0.1:0").await;
    for (start, host, expected) in [
        ("GET /livez?x=1 HTTP/1.1", HOST, 200),
        ("GET /livez/ HTTP/1.1", HOST, 404),
        ("GET //livez HTTP/1.1", HOST, 404),
        ("GET /%6civez HTTP/1.1", HOST, 404),
        ("GET /api/v1/../../livez HTTP/1.1", HOST, 404),
        ("GET /api/v1 HTTP/1.1", HOST, 404),
        ("GET /api/v1status HTTP/1.1", HOST, 404),
        ("OPTIONS * HTTP/1.1", HOST, 404),
        ("OPTIONS /metrics HTTP/1.1", HOST, 405),
        ("TRACE /livez HTTP/1.1", HOST, 405),
        ("CONNECT localhost:80 HTTP/1.1", HOST, 421),
        ("GET http://evil.example.com/livez HTTP/1.1", HOST, 421),
        ("GET http://localhost/livez HTTP/1.1", "Host: evil.example.com\r\n", 421),
        ("GET /livez HTTP/1.1", "", 421),
        ("GET /livez HTTP/1.0", "", 200),
        ("GET /readyz HTTP/1.0", "", 503),
        ("GET /metrics HTTP/1.0", "", 421),
        ("GET / HTTP/1.0", "", 421),
        ("GET /api/v1/status HTTP/1.0", "", 421),
        ("GET /livez HTTP/1.0", "Host: evil.example.com\r\n", 421),
        ("GET /livez HTTP/1.0", "Host: \u{e9}\r\n", 421),
        ("GET http://evil.example.com/livez HTTP/1.0", "", 421),
        ("GET /livez HTTP/1.1", "Host: \r\n", 421),
        ("GET /livez HTTP/1.1", "Host: localhost@evil.example.com\r\n", 421),
        ("GET /livez HTTP/1.1", "Host: evil.example.com\r\nX-Forwarded-Host: localhost\r\n", 421),
        ("GET /livez HTTP/1.1", "Host: localhost.\r\n", 421),
        ("GET /livez HTTP/1.1", "Host: localhost\r\nUpgrade: websocket\r\n", 200),
        ("GET /livez HTTP/1.1", "Host: \u{ff4c}ocalhost\r\n", 421),
    ] {
        let request =
            format!("{start}\r\n{host}Connection: close\r\nOrigin: http://evil.example.com\r\n\r\n");
        let answer = say(&running, request.as_bytes()).await;
        assert_eq!(statuses(&answer), [expected], "{start} {host}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("access-control"), "{answer}");
    }
    running.end().await;
}

#[tokio::test]
async fn a_body_is_bounded_whatever_it_says_of_its_length() {
    let running =
        RunningEndpoint::start(&format!("listen = 127.0.0.1:0\ntoken = {TOKEN}\nallow_changes = yes")).await;
    let head = format!(
        "POST /api/v1/actions/none/pause HTTP/1.1\r\n{HOST}Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Connection: close\r\n"
    );
    let most = osnl::control::LONGEST_REQUEST;
    let long = "x".repeat(most + 1);
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    for (rest, expected) in [
        (format!("Content-Length: {}\r\n\r\n{long}", long.len()), &[413][..]),
        // Refused by its length, without a read of the body.
        ("Content-Length: 99999999999\r\n\r\n".to_owned(), &[413]),
        (format!("Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(5)), &[413]),
        ("Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n".to_owned(), &[400]),
        ("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}".to_owned(), &[400]),
        (format!("Content-Length: 200000\r\n\r\n{}{}", "[".repeat(100_000), "]".repeat(100_000)), &[400]),
        ("Content-Length: 8\r\n\r\n{\"by\":1}".to_owned(), &[400]),
        // The only honest request: there is no such action.
        ("Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_owned(), &[404]),
    ] {
        let answer = say(&running, format!("{head}{rest}").as_bytes()).await;
        assert_eq!(statuses(&answer), expected, "{}: {answer}", &rest[..rest.len().min(60)]);
    }
    running.end().await;
}
