//! Keys, from the bytes of a terminal.
//!
//! Sequences are those of xterm and of the Linux console, which all others speak; what is not known is skipped. A lone
//! escape byte is the escape key once nothing follows it for a moment.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Enter,
    Escape,
    Tab,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    /// Ctrl-U: what was typed is to go.
    Clear,
    /// Ctrl-L
    Redraw,
    /// Ctrl-Z
    Suspend,
}

/// The result of waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// These keys; none if the time was over.
    Keys(Vec<Key>),
    /// The terminal has gone.
    Gone,
}

/// The wait for the rest of a sequence.
const REST: Duration = Duration::from_millis(40);
/// Longer than any sequence.
const LONGEST: usize = 16;

/// The keys of the terminal on stdin.
#[derive(Debug, Default)]
pub(crate) struct Keyboard {
    /// The beginning of a sequence.
    begun: Vec<u8>,
}

impl Keyboard {
    /// Waits until something is typed, at most this long.
    pub(crate) fn wait(&mut self, time: Duration) -> Input {
        let mut keys = Vec::new();
        let mut patience = time;
        loop {
            match self.read(patience) {
                Ok(true) => {}
                Ok(false) if self.begun.is_empty() => return Input::Keys(keys),
                Ok(false) => {
                    let (rest, _) = parse(&self.begun, true);
                    self.begun.clear();
                    keys.extend(rest);
                    return Input::Keys(keys);
                }
                Err(_) => return Input::Gone,
            }
            let (found, used) = parse(&self.begun, false);
            self.begun.drain(..used);
            keys.extend(found);
            if self.begun.is_empty() {
                return Input::Keys(keys);
            }
            patience = REST;
        }
    }

    /// Whether there was something to read in time. An error: there will never be again.
    fn read(&mut self, time: Duration) -> io::Result<bool> {
        let stdin = io::stdin();
        let nanoseconds = i64::from(time.subsec_nanos());
        let timeout =
            Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: nanoseconds };
        let mut descriptors = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut descriptors, Some(&timeout)) {
            // A signal: whoever waits looks again.
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut bytes = [0; 256];
        match rustix::io::read(&stdin, &mut bytes) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.begun.extend_from_slice(&bytes[..count]);
                Ok(true)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The keys, and how many bytes they were. `all`: nothing more comes for what has begun.
fn parse(bytes: &[u8], all: bool) -> (Vec<Key>, usize) {
    let (mut keys, mut at) = (Vec::new(), 0);
    while let Some(&first) = bytes.get(at) {
        let rest = &bytes[at..];
        let (key, used) = match first {
            0x1b => match sequence(rest) {
                Some(found) => found,
                None if rest.len() > LONGEST => (None, rest.len()),
                None if all => (Some(Key::Escape), 1),
                None => break,
            },
            b'\r' | b'\n' => (Some(Key::Enter), 1),
            b'\t' => (Some(Key::Tab), 1),
            0x7f | 0x08 => (Some(Key::Backspace), 1),
            0x0c => (Some(Key::Redraw), 1),
            0x15 => (Some(Key::Clear), 1),
            0x1a => (Some(Key::Suspend), 1),
            0..0x20 => (None, 1),
            _ => match character(rest) {
                Some(found) => found,
                None if all => (None, rest.len()),
                None => break,
            },
        };
        keys.extend(key);
        at += used;
    }
    (keys, at)
}

/// A sequence that begins with escape; `None` if it is not complete.
fn sequence(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    match bytes.get(1)? {
        // Keys with modifiers have numbers before the letter.
        b'[' => {
            let end = 2 + bytes[2..].iter().position(|byte| (0x40..0x7f).contains(byte))?;
            let numbers = &bytes[2..end];
            let number = numbers.split(|byte| *byte == b';').next().unwrap_or_default();
            Some((control(bytes[end], number), end + 1))
        }
        b'O' => Some((control(*bytes.get(2)?, b""), 3)),
        0x1b => Some((Some(Key::Escape), 1)),
        // Alt and a key: the key does not count.
        _ => Some((None, 2)),
    }
}

fn control(letter: u8, number: &[u8]) -> Option<Key> {
    match (letter, number) {
        (b'A', _) => Some(Key::Up),
        (b'B', _) => Some(Key::Down),
        (b'C', _) => Some(Key::Right),
        (b'D', _) => Some(Key::Left),
        (b'H', _) | (b'~', b"1" | b"7") => Some(Key::Home),
        (b'F', _) | (b'~', b"4" | b"8") => Some(Key::End),
        (b'~', b"5") => Some(Key::PageUp),
        (b'~', b"6") => Some(Key::PageDown),
        _ => None,
    }
}

/// A character of any number of bytes; `None` if it is not complete.
fn character(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    let length = match bytes[0] {
        0..0x80 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf8 => 4,
        _ => return Some((None, 1)),
    };
    let one = bytes.get(..length)?;
    match std::str::from_utf8(one) {
        Ok(text) => Some((text.chars().next().filter(|c| !c.is_control()).map(Key::Char), length)),
        Err(_) => Some((None, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_keys() {
        use Key::*;
        let check = |bytes: &[u8], all: bool, expected: &[Key], used: usize| {
            let (keys, count) = parse(bytes, all);
            assert_eq!((&*keys, count), (expected, used), "{}", bytes.escape_ascii());
        };
        check(
            b"q/\r\n\t\x7f\x08",
            false,
            &[Char('q'), Char('/'), Enter, Enter, Tab, Backspace, Backspace],
            7,
        );
        check(b"\x1b[A\x1b[B\x1bOC\x1b[1;5D", false, &[Up, Down, Right, Left], 15);
        check(
            b"\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[5~\x1b[6~",
            false,
            &[Home, End, Home, End, PageUp, PageDown],
            22,
        );
        check(b"\x0c\x15\x1a\x01", false, &[Redraw, Clear, Suspend], 4);
        check("é仮".as_bytes(), false, &[Char('é'), Char('仮')], 5);
        // What is not complete is waited for; what is not known is skipped.
        check(b"a\x1b", false, &[Char('a')], 1);
        check(b"a\x1b", true, &[Char('a'), Escape], 2);
        check(b"\x1b[1;", false, &[], 0);
        check(b"\x1b\x1b", true, &[Escape, Escape], 2);
        check(b"\xe4\xbb", false, &[], 0);
        check(b"\xe4\xbb", true, &[], 2);
        check(b"\xff\xc3q", false, &[Char('q')], 3);
        check(b"\x1b[200~x\x1bf\x1b[M", false, &[Char('x')], 12);
        check(&[b"\x1b[".as_slice(), &[b'1'; 40]].concat(), false, &[], 42);
    }
}
