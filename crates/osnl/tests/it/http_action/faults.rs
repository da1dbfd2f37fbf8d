use std::time::{Duration, Instant};

use osnl::action::{Completion, ErrorClass};
use osnl_testkit::{Authority, Protocols, Reply, ServerIdentity, Sink, TlsSink};
use serde_json::json;

use super::{Hook, SOON, raw, with};

#[test]
fn a_kept_connection_that_ends_unanswered_costs_no_attempt() {
    let sink = Sink::start();
    let hook = Hook::new(&format!("url = {}", sink.url("/")));
    for race in [Reply::CloseWithoutReply, Reply::Reset] {
        let before = sink.requests().len();
        sink.script(vec![Reply::Status(204), race.clone(), Reply::Status(204)]);
        hook.make().unwrap();
        hook.make().unwrap();
        let requests = &sink.requests()[before..];
        let [first, lost, again] = requests else { panic!("{race:?}: {requests:?}") };
        assert_eq!(first.connection, lost.connection, "{race:?}");
        assert_ne!(lost.connection, again.connection, "{race:?}");
        assert_eq!((&lost.head, &lost.body), (&again.head, &again.body), "{race:?}");
    }
    // A second unanswered request, on a new connection, is a failure.
    let before = sink.requests().len();
    sink.script(vec![Reply::Status(204), Reply::CloseWithoutReply, Reply::CloseWithoutReply]);
    hook.make().unwrap();
    assert_eq!(hook.refused().class, ErrorClass::Reset);
    assert_eq!(sink.requests().len() - before, 3);
    // A server that has begun to answer has received the request.
    for begun in [raw("HTTP/1.1 2"), Reply::Garbage] {
        let before = sink.requests().len();
        sink.script(vec![Reply::Status(204), begun.clone()]);
        hook.make().unwrap();
        assert_eq!(hook.refused().class, ErrorClass::Reset, "{begun:?}");
        assert_eq!(sink.requests().len() - before, 2, "{begun:?}");
    }
    // A first request on a connection cannot meet such a race.
    let hook = Hook::new(&format!("url = {}\nidle = 0s", sink.url("/")));
    let before = sink.requests().len();
    sink.script(vec![Reply::Status(204), Reply::CloseWithoutReply]);
    hook.make().unwrap();
    assert_eq!(hook.refused().class, ErrorClass::Reset);
    assert_eq!(sink.requests().len() - before, 2);
}

#[test]
fn nor_does_one_with_tls() {
    let authority = Authority::new();
    for protocols in [Protocols::Tls12, Protocols::Tls13] {
        let target = TlsSink::start(&authority.issue(&ServerIdentity::LOOPBACK), protocols);
        let ca = authority.file();
        let hook = Hook::new(&format!("url = {}\nca_file = {}", target.url("localhost", "/"), ca.display()));
        target.sink().script(vec![Reply::Status(204), Reply::CloseWithoutReply, Reply::Status(204)]);
        hook.make().unwrap();
        hook.make().unwrap();
        assert_eq!(target.sink().requests().len(), 3, "{protocols:?}");
    }
}

#[test]
fn answers_of_every_form_are_read() {
    let sink = Sink::start();
    let hook = Hook::new(&format!("url = {}\nreply_limit = 64B", sink.url("/")));
    for fine in [
        "HTTP/1.0 200 OK\r\n\r\nno length, and the end is the end",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nthe same",
        "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: t\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
        "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    ] {
        sink.script(vec![raw(fine)]);
        hook.make().unwrap_or_else(|error| panic!("{fine}: {error}"));
    }
    for cut in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    ] {
        sink.script(vec![raw(cut)]);
        let Completion::Delivered(done) = hook.make().unwrap() else { panic!("{cut}") };
        assert!(done.contains("the reply broke off: "), "{cut}: {done}");
    }
    for broken in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
    ] {
        sink.script(vec![raw(broken)]);
        assert_eq!(hook.refused().class, ErrorClass::Reset, "{broken}");
    }
    let zipped = [b"\x1f\x8b\x08\0\0".as_slice(), &[7; 40]].concat();
    let head = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        zipped.len()
    );
    sink.script(vec![Reply::Raw([head.as_bytes(), &zipped].concat())]);
    assert_eq!(hook.refused().reason, "Forbidden, reply: 45 bytes of gzip");
}

#[test]
fn what_has_no_end_is_left() {
    let sink = Sink::start();
    let hook = Hook::new(&format!("url = {}", sink.url("/")));
    let ok = b"HTTP/1.1 200 OK\r\n".to_vec();
    let ends = |reply: Reply, class: Option<ErrorClass>| {
        sink.script(vec![reply]);
        let began = Instant::now();
        assert_eq!(hook.make().err().map(|error| error.class), class);
        assert!(began.elapsed() < SOON / 2);
    };
    ends(Reply::Forever(ok.clone(), b"X-Endless: header\r\n".to_vec()), Some(ErrorClass::Reset));
    ends(Reply::Forever([&ok[..], b"X-Endless: "].concat(), vec![b'x'; 1024]), Some(ErrorClass::Reset));
    ends(Reply::Forever(b"HTTP/1.1 ".to_vec(), vec![b'2'; 1024]), Some(ErrorClass::Reset));
    ends(Reply::Forever([&ok[..], b"\r\n"].concat(), vec![b'x'; 1024]), None);
    ends(
        Reply::Forever([&ok[..], b"Transfer-Encoding: chunked\r\n\r\n"].concat(), b"1\r\nx\r\n".to_vec()),
        None,
    );
    ends(Reply::Forever([&ok[..], b"Content-Length: 9999999999999\r\n\r\n"].concat(), vec![0; 1024]), None);
    // The status counts, although the body never comes.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    ends(Reply::Tunnel(silent.local_addr().unwrap().to_string()), None);
    // Interim answers do not extend the time of the attempt.
    sink.script(vec![Reply::Forever(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())]);
    let error = hook.call(&json!({}), Duration::from_secs(1)).unwrap_err();
    assert_eq!(error.class, ErrorClass::Timeout);
    hook.make().unwrap();
}

/// A date in `Retry-After` counts from the answer's own date; seconds have the same effect.
#[test]
fn retry_after_is_read_in_both_forms() {
    let sink = Sink::start();
    let hook = Hook::new(&format!("url = {}", sink.url("/")));
    let date = ("Date", "Fri, 20 Nov 2026 06:00:00 GMT");
    for (status, headers, expected) in [
        (429, vec![("Retry-After", "30")], Some(30)),
        (429, vec![date, ("Retry-After", "Fri, 20 Nov 2026 06:00:30 GMT")], Some(30)),
        (503, vec![date, ("Retry-After", "Fri, 20 Nov 2026 05:00:00 GMT")], Some(0)),
        (503, vec![("Retry-After", "Fri, 20 Nov 2026 06:00:30 GMT")], None),
        (429, vec![("Retry-After", "999999999999999999999999")], Some(3600)),
        (503, vec![date, ("Retry-After", "Friday, 20-Nov-26 06:00:30 GMT")], Some(30)),
        (429, vec![("Retry-After", "a while")], None),
    ] {
        sink.script(vec![with(status, &headers, "")]);
        let error = hook.refused();
        let found = (error.class, error.retry_after);
        assert_eq!(found, (ErrorClass::Status(status), expected.map(Duration::from_secs)), "{headers:?}");
    }
}
