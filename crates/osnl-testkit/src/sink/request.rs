use std::time::Instant;

#[derive(Debug, Clone)]
pub struct SinkRequest {
    pub method: String,
    pub target: String,
    pub version: String,
    /// Names and values in the order and case of the wire, without one blank after the colon.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub head: Vec<u8>,
    pub at: Instant,
    pub connection: usize,
}

impl SinkRequest {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Reads a request from the beginning of `bytes` and returns its length; `None` while the request is incomplete.
    /// Bytes that are not HTTP become a request too, because the sink must record everything.
    pub(super) fn parse(bytes: &[u8], connection: usize) -> Option<(Self, usize)> {
        let end = find(bytes, b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let mut words = lines.next().unwrap_or_default().splitn(3, ' ').map(str::to_owned);
        let [method, target, version] = [(); 3].map(|()| words.next().unwrap_or_default());
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap_or((line, "")))
            .map(|(name, value)| (name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned()))
            .collect();

        let rest = &bytes[end..];
        let chunked =
            header(&headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let (body, used) = if chunked {
            chunks(rest)?
        } else {
            let length =
                header(&headers, "content-length").and_then(|value| value.trim().parse().ok()).unwrap_or(0);
            (rest.get(..length)?.to_vec(), length)
        };
        let head = bytes[..end].to_vec();
        let at = Instant::now();
        Some((Self { method, target, version, headers, body, head, at, connection }, end + used))
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = find(bytes.get(at..)?, b"\r\n")?;
        let size = usize::from_str_radix(String::from_utf8_lossy(&bytes[at..at + line]).trim(), 16).ok()?;
        at += line + 2;
        body.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        bytes.get(at..at + 2)?;
        at += 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_complete_or_not_yet() {
        let check = |bytes: &[u8], expected: Option<(&[u8], usize)>| {
            let found = SinkRequest::parse(bytes, 1);
            let found = found.as_ref().map(|(request, length)| (request.body.as_slice(), *length));
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(bytes));
        };
        check(b"", None);
        check(b"DELETE /a HTTP/1.1\r\nHost: x\r\n", None);
        check(b"DELETE /a HTTP/1.1\r\nHost: x\r\n\r\n", Some((b"", 31)));
        check(b"DELETE /a HTTP/1.1\r\n\r\nGET", Some((b"", 22)));
        check(b"PUT / HTTP/1.1\r\ncontent-LENGTH: 3\r\n\r\nab", None);
        check(b"PUT / HTTP/1.1\r\ncontent-LENGTH: 3\r\n\r\nabcd", Some((b"abc", 40)));
        let chunked =
            b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n";
        check(chunked, Some((b"ab0123456789", chunked.len())));
        check(&chunked[..chunked.len() - 1], None);
    }

    #[test]
    fn headers_keep_order_case_and_blanks() {
        let bytes = b"DELETE /r?a=b%20c HTTP/1.1\r\nZ-first: 1\r\na-SECOND:  two \r\nEmpty:\r\n\r\n";
        let (request, _) = SinkRequest::parse(bytes, 7).unwrap();
        assert_eq!(request.method, "DELETE");
        assert_eq!(request.target, "/r?a=b%20c");
        assert_eq!(request.version, "HTTP/1.1");
        assert_eq!(request.head, bytes);
        assert_eq!(request.header("A-second"), Some(" two "));
        let names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Z-first", "a-SECOND", "Empty"]);
        assert_eq!(request.connection, 7);
    }
}
