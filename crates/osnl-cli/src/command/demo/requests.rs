//! Reads HTTP/1.1 requests from a client of this process, with only the features that the stand-ins
//! need.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// The largest request in bytes; a larger one closes the connection.
const MOST: usize = 64 * 1024;

pub(super) struct DemoRequest {
    /// The request line and the headers.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

pub(super) struct Requests {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Requests {
    pub(super) fn of(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Returns the next request, or `None` when the client has closed the connection or sent no
    /// HTTP.
    pub(super) async fn next(&mut self) -> Option<DemoRequest> {
        loop {
            if let Some((head, body)) = lengths(&self.buffer) {
                let mut taken: Vec<u8> = self.buffer.drain(..head + body).collect();
                let body = taken.split_off(head);
                return Some(DemoRequest { head: String::from_utf8_lossy(&taken).into_owned(), body });
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(1..) if self.buffer.len() <= MOST => {}
                Ok(_) | Err(_) => return None,
            }
        }
    }
}

impl DemoRequest {
    /// Returns method and target of the request line.
    pub(super) fn line(&self) -> Option<(&str, &str)> {
        let mut words = self.head.lines().next()?.split(' ');
        Some((words.next()?, words.next()?))
    }
}

/// Returns the lengths of head and body once the whole request is in the buffer.
fn lengths(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(Some(0), |length| length.trim().parse().ok())?;
    (buffer.len() >= head + length).then_some((head, length))
}
