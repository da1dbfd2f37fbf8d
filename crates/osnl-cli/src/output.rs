//! A closed pipe, such as of `head`, is no failure. Any other error, such as a full disk, is
//! reported and ends the command with 1, because a script must not take a partial answer for a
//! whole one.

use std::borrow::Cow;
use std::io::{self, Write as _};
use std::ops::Range;

use crate::exit::Exit;
use crate::terminal::{self, Tone};

pub(crate) type Tint = fn(&str) -> Option<(Tone, Range<usize>)>;

pub(crate) fn print(text: &str) -> Exit {
    print_bytes(for_locale(text).as_bytes())
}

/// Returns a text for people in the characters of the locale.
pub(crate) fn for_locale(text: &str) -> Cow<'_, str> {
    if is_ascii_wanted() { in_ascii(text) } else { text.into() }
}

/// Whether the locale is C or POSIX by name. Without any name it is unknown, as in most units and containers.
fn is_ascii_wanted() -> bool {
    let named =
        ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os).find(|name| !name.is_empty());
    named.is_some_and(|name| name == "C" || name == "POSIX")
}

/// Writes osnl's own signs in ASCII, for people; the same signs in names change too. Not for JSON.
fn in_ascii(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for (sign, plain) in [("×", "x"), ("…", "..."), ("–", "-"), ("→", "->"), ("↓", "v"), ("↑", "^")]
    {
        if text.contains(sign) {
            text = text.replace(sign, plain).into();
        }
    }
    text
}

pub(crate) fn print_tinted(text: &str, tint: impl Fn(&str) -> Option<(Tone, Range<usize>)>) -> Exit {
    match terminal::coloured() {
        true => print(&tinted(text, tint)),
        false => print(text),
    }
}

pub(crate) fn print_bytes(bytes: &[u8]) -> Exit {
    match put(bytes) {
        Put::Done | Put::Gone => Exit::Done,
        Put::Failed => Exit::Failed,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Done,
    Gone,
    Failed,
}

pub(crate) fn put(bytes: &[u8]) -> Put {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Put::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Put::Gone,
        Err(error) => {
            print_to_stderr(format_args!("osnl: error: standard output: {error}"));
            Put::Failed
        }
    }
}

/// Writes a line to standard error. If standard error is closed or full, the exit status still shows the failure, so the
/// command goes on; `eprintln!` would end it with a panic.
pub(crate) fn print_to_stderr(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

pub(crate) fn tinted(text: &str, tint: impl Fn(&str) -> Option<(Tone, Range<usize>)>) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        match tint(line) {
            Some((tone, part)) => {
                out.push_str(&line[..part.start]);
                out.push_str(&tone.paint(&line[part.clone()]));
                out.push_str(&line[part.end..]);
            }
            None => out.push_str(line),
        }
        out.push_str(end);
    }
    out
}

pub(crate) fn all(tone: Tone, line: &str) -> Option<(Tone, Range<usize>)> {
    Some((tone, 0..line.len()))
}

pub(crate) fn word(line: &str, words: &[(&str, Tone)]) -> Option<(Tone, Range<usize>)> {
    let mut at = 0;
    for found in line.split(' ') {
        let bare = found.trim_end_matches([',', ':', ';']);
        if let Some((_, tone)) = words.iter().find(|(word, _)| *word == bare) {
            return Some((*tone, at..at + bare.len()));
        }
        at += found.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_have_a_form_in_ascii() {
        assert_eq!(in_ascii("40 × down, web…"), "40 x down, web...");
        assert!(matches!(in_ascii("plain, naïve"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_part_of_a_line_is_painted_and_its_text_stays() {
        let tint: Tint = |line| match line.strip_prefix("! ") {
            Some(_) => all(Tone::Warn, line),
            None => word(line, &[("dead", Tone::Bad), ("down", Tone::Warn)]),
        };
        for (text, expected) in [
            ("", ""),
            ("plain\n", "plain\n"),
            ("! mind\nplain", "\x1b[38;5;3m! mind\x1b[39m\nplain"),
            ("1.0  dead  x\n\n", "1.0  \x1b[38;5;1mdead\x1b[39m  x\n\n"),
            ("roles: down, probe", "roles: \x1b[38;5;3mdown\x1b[39m, probe"),
            ("deadline", "deadline"),
        ] {
            assert_eq!(tinted(text, tint), expected);
        }
    }
}
