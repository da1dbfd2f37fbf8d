//! From what a program wrote to a terminal, and when, to frames of coloured text. Pure.
//!
//! It reads what the demo's screen writes and no more: a picture begins with "home" and ends with "clear
//! below", a line ends with "clear to the right"; colours are those of one attribute at a time.

use std::time::Duration;

const LEAVE: &str = "\x1b[?1049l";
const HOME: &str = "\x1b[H";
const END: &str = "\x1b[J";
/// Pictures come faster than anybody reads them.
const SHORTEST: Duration = Duration::from_millis(230);
const BEFORE: Duration = Duration::from_millis(900);
const AFTER: Duration = Duration::from_millis(6000);

/// How a run of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Look {
    Plain,
    Dim,
    Good,
    Bad,
    Strong,
}

/// One line: runs, each with the column where it begins.
pub(super) type Line = Vec<(usize, Look, String)>;

/// What is shown for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) lines: Vec<Line>,
    pub(super) shown: Duration,
}

/// What was written so far.
#[derive(Debug, Default)]
pub(super) struct Film {
    bytes: Vec<u8>,
    pictures: Vec<(Duration, String)>,
}

impl Film {
    /// These bytes were written at this time.
    pub(super) fn take(&mut self, bytes: &[u8], at: Duration) {
        self.bytes.extend_from_slice(bytes);
        while let Some(end) = find(&self.bytes, END) {
            let picture: Vec<u8> = self.bytes.drain(..end + END.len()).collect();
            let picture = String::from_utf8_lossy(&picture);
            let picture = picture.rsplit(HOME).next().unwrap_or_default().trim_end_matches(END);
            self.pictures.push((at, picture.to_owned()));
        }
    }

    /// The frames: the command, what its screen showed, and what it left behind.
    pub(super) fn develop(self, command: &str, lines: usize) -> Vec<Frame> {
        let mut frames = vec![Frame { lines: vec![line(command)], shown: BEFORE }];
        let mut pictures: Vec<(Duration, String)> = Vec::new();
        for (at, picture) in self.pictures {
            match pictures.last_mut() {
                Some((before, _)) if at < *before + SHORTEST => {}
                Some((_, shown)) if *shown == picture => {}
                _ => pictures.push((at, picture)),
            }
        }
        for (number, (at, picture)) in pictures.iter().enumerate() {
            let until = pictures.get(number + 1).map_or(*at + SHORTEST, |(next, _)| *next);
            frames.push(Frame { lines: picture.split("\r\n").map(line).collect(), shown: until - *at });
        }
        let rest = String::from_utf8_lossy(&self.bytes);
        let rest = rest.split_once(LEAVE).map_or("", |(_, rest)| rest);
        let mut left: Vec<Line> = vec![line(command)];
        left.extend(rest.lines().map(line));
        left.truncate(lines);
        frames.push(Frame { lines: left, shown: AFTER });
        frames
    }
}

/// A line's runs; what is only space is left out.
fn line(text: &str) -> Line {
    let mut runs = Line::new();
    let (mut column, mut look) = (0, Look::Plain);
    for (number, part) in text.split("\x1b[").enumerate() {
        let text = if number == 0 {
            part
        } else {
            let (code, text) = part.split_at(part.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0));
            look = match code {
                "2" => Look::Dim,
                "32" => Look::Good,
                "31" => Look::Bad,
                "1" => Look::Strong,
                _ => Look::Plain,
            };
            text.get(1..).unwrap_or_default()
        };
        let indent = text.chars().take_while(|c| *c == ' ').count();
        let shown = text.trim();
        if !shown.is_empty() {
            runs.push((column + indent, look, shown.to_owned()));
        }
        column += text.chars().count();
    }
    runs
}

fn find(bytes: &[u8], what: &str) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &Line) -> Vec<(usize, &str)> {
        line.iter().map(|(column, _, text)| (*column, text.as_str())).collect()
    }

    #[test]
    fn runs_keep_their_columns_and_colours() {
        let plain = |column, text: &str| (column, Look::Plain, text.to_owned());
        for (written, expected) in [
            ("", vec![]),
            ("  a  b ", vec![plain(2, "a  b")]),
            (
                "a \x1b[32mgo \x1b[0m  z\x1b[K",
                vec![plain(0, "a"), (2, Look::Good, "go".into()), plain(7, "z")],
            ),
            (
                "\x1b[1m  ─► \x1b[0m\x1b[2mx\x1b[0m",
                vec![(2, Look::Strong, "─►".into()), (5, Look::Dim, "x".into())],
            ),
        ] {
            assert_eq!(line(written), expected, "{written:?}");
        }
    }

    #[test]
    fn a_film_is_cut_into_frames_however_it_arrives() {
        let ms = Duration::from_millis;
        let mut film = Film::default();
        for (bytes, at) in [
            ("\x1b[?1049h\x1b[?25l\x1b[Hone\x1b[K\r\nmo", 0),
            ("re\x1b[K\x1b[", 10),
            ("J\x1b[Htoo soon\x1b[K\x1b[J", 100),
            ("\x1b[Htwo\x1b[K\x1b[J", 400),
            ("\x1b[?25h\x1b[?1049l\nSummary\n  60  x\n", 900),
        ] {
            film.take(bytes.as_bytes(), ms(at));
        }
        let frames = film.develop("$ x", 3);
        let texts: Vec<Vec<Vec<(usize, &str)>>> =
            frames.iter().map(|frame| frame.lines.iter().map(text).collect()).collect();
        assert_eq!(
            texts,
            [
                vec![vec![(0, "$ x")]],
                vec![vec![(0, "one")], vec![(0, "more")]],
                vec![vec![(0, "two")]],
                vec![vec![(0, "$ x")], vec![], vec![(0, "Summary")]],
            ]
        );
        // It was complete with the third piece.
        assert_eq!(frames[1].shown, ms(300));
    }
}
