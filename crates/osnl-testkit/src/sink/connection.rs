use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use super::{Reply, SharedSink, SinkRequest};
use crate::pipe::pipe;

const USUAL_HEADERS: &str = "X-Powered-By: Express\r\nDate: Fri, 20 Nov 2026 06:00:00 GMT\r\n";

pub(super) fn serve(mut stream: TcpStream, number: usize, shared: &SharedSink) {
    let mut pending = Vec::new();
    while let Ok(Some((request, last))) = next(&mut stream, &mut pending, number) {
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let bodiless = request.method == "HEAD";
        let mut reply = shared.record(request);
        while let Reply::After(time, then) = reply {
            shared.pause(time);
            reply = *then;
        }
        if reply == Reply::Reset {
            // The last byte of the request is still unread, and closing a socket with unread bytes resets the
            // connection. `Sink::stop` holds a clone of the socket, which must be dropped first.
            shared.state.lock().unwrap().open.remove(&number);
            return;
        }
        if last.is_some() && stream.read_exact(&mut [0]).is_err() {
            return;
        }
        let resets = reply == Reply::ResetInBody;
        match answer(&mut stream, &reply, bodiless) {
            Ok(_) if resets => {
                shared.state.lock().unwrap().open.remove(&number);
                return;
            }
            Ok(true) if !close => {}
            Ok(_) | Err(_) => break,
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// Returns the next request and leaves its last byte in the socket (`Some(())`), unless the byte arrived with an
/// earlier request.
fn next(
    stream: &mut TcpStream,
    pending: &mut Vec<u8>,
    number: usize,
) -> io::Result<Option<(SinkRequest, Option<()>)>> {
    let mut buffer = [0_u8; 16 * 1024];
    loop {
        if let Some((request, length)) = SinkRequest::parse(pending, number) {
            pending.drain(..length);
            return Ok(Some((request, None)));
        }
        let peeked = stream.peek(&mut buffer)?;
        if peeked == 0 {
            return Ok(None);
        }
        let before = pending.len();
        pending.extend_from_slice(&buffer[..peeked]);
        let whole = SinkRequest::parse(pending, number);
        let take = whole.as_ref().map_or(peeked, |(_, length)| length - before - 1);
        stream.read_exact(&mut buffer[..take])?;
        if let Some((request, _)) = whole {
            pending.clear();
            return Ok(Some((request, Some(()))));
        }
    }
}

fn answer(stream: &mut TcpStream, reply: &Reply, bodiless: bool) -> io::Result<bool> {
    match reply {
        Reply::Status(status) => {
            let length = if has_body(*status) { "Content-Length: 0\r\n" } else { "" };
            let head = format!("HTTP/1.1 {}\r\n{USUAL_HEADERS}{length}\r\n", status_line(*status));
            stream.write_all(head.as_bytes())?;
            Ok(true)
        }
        Reply::StatusWith { status, headers, body } => {
            let mut head = format!("HTTP/1.1 {}\r\n", status_line(*status));
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            let given = headers.iter().any(|(name, _)| {
                name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
            });
            if !given && has_body(*status) {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            head.push_str("\r\n");
            let mut bytes = head.into_bytes();
            if !bodiless {
                bytes.extend_from_slice(body);
            }
            stream.write_all(&bytes)?;
            Ok(true)
        }
        Reply::Garbage => {
            stream.write_all(b"\x16\x03\x01 this is not HTTP\r\n\r\n")?;
            Ok(false)
        }
        Reply::ShortBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")?;
            Ok(false)
        }
        Reply::ResetInBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")?;
            // Without lingering, a close sends RST.
            rustix::net::sockopt::set_socket_linger(&*stream, Some(std::time::Duration::ZERO))?;
            Ok(false)
        }
        Reply::Endless => {
            let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
            forever(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &chunk)
        }
        Reply::Forever(first, then) => forever(stream, first, then),
        Reply::Raw(bytes) => {
            stream.write_all(bytes)?;
            Ok(false)
        }
        Reply::Hang => {
            let mut rest = [0_u8; 1024];
            while stream.read(&mut rest)? > 0 {}
            Ok(false)
        }
        Reply::Tunnel(target) => {
            let target = TcpStream::connect(target)?;
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            pipe(stream, &target)?;
            Ok(false)
        }
        Reply::CloseWithoutReply | Reply::Reset | Reply::After(..) => Ok(false),
    }
}

fn forever(stream: &mut TcpStream, first: &[u8], then: &[u8]) -> io::Result<bool> {
    stream.write_all(first)?;
    loop {
        stream.write_all(then)?;
    }
}

fn has_body(status: u16) -> bool {
    status >= 200 && status != 204 && status != 304
}

fn status_line(status: u16) -> String {
    let words = match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    };
    format!("{status} {words}")
}
