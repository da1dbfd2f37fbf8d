use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const MOST: usize = 64 * 1024;

pub(super) struct DemoRequest {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

pub(super) struct Requests {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Requests {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

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
    pub(super) fn line(&self) -> Option<(&str, &str)> {
        let mut words = self.head.lines().next()?.split(' ');
        Some((words.next()?, words.next()?))
    }
}

fn lengths(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(Some(0), |length| length.trim().parse().ok())?;
    (buffer.len() >= head + length).then_some((head, length))
}
