#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use osnl_testkit::{Reply, Sink};

const SOON: Duration = Duration::from_secs(60);
const DELETE: &[u8] = b"DELETE /v1/role?cuk=a%2Fb HTTP/1.1\r\nHost: h\r\nX-odd-Case:  v\r\n\r\n";

fn connect(sink: &Sink) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", sink.port())).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn rest(stream: &mut TcpStream) -> Result<String, ErrorKind> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(|error| error.kind())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn head(stream: &mut TcpStream) -> String {
    let (mut bytes, mut one) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut one).unwrap();
        bytes.push(one[0]);
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn requests_are_recorded_byte_for_byte_over_kept_connections() {
    let sink = Sink::start();
    let mut first = connect(&sink);
    for _ in 0..2 {
        first.write_all(DELETE).unwrap();
        let reply = head(&mut first);
        assert!(reply.starts_with("HTTP/1.1 204 No Content\r\nX-Powered-By: Express\r\nDate: "), "{reply}");
        assert!(!reply.contains("Content-Length"), "{reply}");
    }
    let mut second = connect(&sink);
    // The request arrives in pieces that the sink joins.
    for piece in [&b"PUT / HTTP/1.1\r\nContent-"[..], b"Length: 4\r\nConnection: close\r\n\r\na\r", b"\n\0"] {
        second.write_all(piece).unwrap();
        second.flush().unwrap();
    }
    assert!(rest(&mut second).unwrap().starts_with("HTTP/1.1 204"));

    let requests = sink.wait_for(3, SOON);
    assert_eq!(requests[0].head, DELETE);
    assert_eq!(requests[0].target, "/v1/role?cuk=a%2Fb");
    assert_eq!(requests[0].headers[1], ("X-odd-Case".to_owned(), " v".to_owned()));
    assert_eq!(requests[2].body, b"a\r\n\0");
    let connections: Vec<_> = requests.iter().map(|request| request.connection).collect();
    assert_eq!(connections, [1, 1, 2]);
    assert!(requests[0].at <= requests[1].at);
}

#[test]
fn faults_are_what_they_say() {
    let sink = Sink::start();
    let check = |reply: Reply, expected: Result<&str, ErrorKind>| {
        sink.script(vec![reply.clone()]);
        let mut stream = connect(&sink);
        stream.write_all(DELETE).unwrap();
        let got = rest(&mut stream);
        assert_eq!(got.as_deref().map_err(|kind| *kind), expected, "{reply:?}");
    };
    check(Reply::Reset, Err(ErrorKind::ConnectionReset));
    check(Reply::CloseWithoutReply, Ok(""));
    check(Reply::Garbage, Ok("\u{16}\u{3}\u{1} this is not HTTP\r\n\r\n"));
    check(Reply::ShortBody, Ok("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"));
    check(Reply::After(Duration::from_millis(20), Box::new(Reply::CloseWithoutReply)), Ok(""));
    assert_eq!(sink.requests().len(), 5);
}

#[test]
fn replies_come_from_the_chooser_then_the_script_then_the_default() {
    let sink = Sink::start();
    sink.reply_with(Reply::Status(403));
    sink.script(vec![
        Reply::StatusWith {
            status: 503,
            headers: vec![("Retry-After".into(), "7".into())],
            body: Vec::new(),
        },
        Reply::Status(500),
    ]);
    sink.reply_when(|request| (request.method == "GET").then_some(Reply::Status(404)));
    let mut stream = connect(&sink);
    let mut ask = |method: &str| {
        stream.write_all(format!("{method} / HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        head(&mut stream)
    };
    assert_eq!(
        ask("DELETE"),
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(ask("GET").starts_with("HTTP/1.1 404 "));
    assert!(ask("DELETE").starts_with("HTTP/1.1 500 "));
    assert!(ask("DELETE").starts_with("HTTP/1.1 403 "));
}

#[test]
fn a_stopped_sink_refuses_until_it_is_restarted() {
    let sink = Sink::start();
    sink.script(vec![Reply::Hang]);
    let mut hanging = connect(&sink);
    hanging.write_all(DELETE).unwrap();
    assert_eq!(sink.wait_for(1, SOON).len(), 1);

    sink.stop();
    assert_eq!(rest(&mut hanging), Ok(String::new()));
    let refused = TcpStream::connect(("127.0.0.1", sink.port())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    sink.restart();
    let mut stream = connect(&sink);
    stream.write_all(DELETE).unwrap();
    assert!(head(&mut stream).starts_with("HTTP/1.1 204"));
    assert_eq!(sink.requests().len(), 2);
}
