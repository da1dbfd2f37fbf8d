use bytes::{Buf, BytesMut};

#[derive(Debug)]
pub(super) struct LineBuffer {
    pub(super) buffer: BytesMut,
    limit: usize,
    scanned: usize,
    skipping: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextLine {
    Line(BytesMut),
    TooLong(BytesMut),
    More,
}

impl LineBuffer {
    pub(super) fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit, scanned: 0, skipping: false }
    }

    pub(super) fn next(&mut self) -> NextLine {
        loop {
            let feed = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n');
            if self.skipping {
                match feed {
                    Some(at) => {
                        self.buffer.advance(self.scanned + at + 1);
                        self.skipping = false;
                    }
                    None => self.buffer.clear(),
                }
                self.scanned = 0;
                if self.skipping {
                    return NextLine::More;
                }
                continue;
            }
            let end = feed.map(|at| self.scanned + at);
            if end.unwrap_or(self.buffer.len()) > self.limit {
                self.skipping = true;
                self.scanned = 0;
                return NextLine::TooLong(self.buffer.split_to(self.limit));
            }
            let Some(end) = end else {
                self.scanned = self.buffer.len();
                return NextLine::More;
            };
            let mut line = self.buffer.split_to(end + 1);
            self.scanned = 0;
            line.truncate(end);
            if line.last() == Some(&b'\r') {
                line.truncate(end - 1);
            }
            return NextLine::Line(line);
        }
    }

    pub(super) fn rest(&mut self) -> Option<BytesMut> {
        let rest = self.buffer.split();
        self.scanned = 0;
        (!rest.is_empty() && !self.skipping).then_some(rest)
    }
}

pub(super) fn tidy(text: &[u8], characters: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let mut clean: String =
        text.chars().take(characters).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(characters).is_some() {
        clean.push('…');
    }
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(chunks: &[&str]) -> Vec<String> {
        let mut lines = LineBuffer::new(4);
        let mut seen = Vec::new();
        for chunk in chunks {
            lines.buffer.extend_from_slice(chunk.as_bytes());
            loop {
                match lines.next() {
                    NextLine::Line(line) => seen.push(String::from_utf8(line.to_vec()).unwrap()),
                    NextLine::TooLong(line) => {
                        seen.push(format!("{}!", String::from_utf8(line.to_vec()).unwrap()))
                    }
                    NextLine::More => break,
                }
            }
        }
        seen.extend(lines.rest().map(|rest| format!("{}$", String::from_utf8(rest.to_vec()).unwrap())));
        seen
    }

    #[test]
    fn lines_come_whole_however_they_arrive_and_none_is_too_long() {
        for (chunks, expected) in [
            (&["a\nb\n"][..], &["a", "b"][..]),
            (&["a", "b", "\n", "c"], &["ab", "c$"]),
            (&["a\r\n\r\n"], &["a", ""]),
            (&["abcd\n"], &["abcd"]),
            (&["abcde\nf\n"], &["abcd!", "f"]),
            (&["abc", "def", "ghi", "j\nk\n"], &["abcd!", "k"]),
            (&["abcdef"], &["abcd!"]),
            (&["\n\n"], &["", ""]),
        ] {
            assert_eq!(after(chunks), expected, "{chunks:?}");
        }
    }

    #[test]
    fn what_is_said_stays_on_one_line() {
        assert_eq!(tidy(b" a\tb\x1b[1m\nc ", 20), "a b [1m c");
        assert_eq!(tidy("äöü".as_bytes(), 2), "äö…");
        assert_eq!(tidy(b"\xff", 9), "\u{fffd}");
    }
}
