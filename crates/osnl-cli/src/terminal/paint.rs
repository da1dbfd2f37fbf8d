//! Texts of a tone and a width. Pure.
//!
//! Widths are columns: a Chinese character has two, an accent that goes onto the letter before it none. Control
//! characters never get through: the caller escapes foreign text before, so that it can be seen.

use unicode_width::UnicodeWidthChar as _;

/// The colour of a text on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Dim,
    Good,
    Warn,
    Bad,
    Strong,
    /// As a selected line: foreground and background exchanged.
    Chosen,
}

/// A text in a tone.
pub(crate) type TonedText = (Tone, String);

impl Tone {
    /// The text as a terminal shows it in this tone.
    pub(crate) fn paint(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Dim => format!("\x1b[2m{text}\x1b[0m"),
            Self::Good => format!("\x1b[32m{text}\x1b[0m"),
            Self::Warn => format!("\x1b[33m{text}\x1b[0m"),
            Self::Bad => format!("\x1b[31m{text}\x1b[0m"),
            Self::Strong => format!("\x1b[1m{text}\x1b[0m"),
            Self::Chosen => format!("\x1b[7m{text}\x1b[0m"),
        }
    }
}

/// Returns the width of a text in columns.
pub(crate) fn width(text: &str) -> usize {
    // Nearly everything is ASCII, and asked for many times a second.
    if text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        return text.len();
    }
    text.chars().map(|c| c.width().unwrap_or(1)).sum()
}

/// As much of the text as fits into these columns.
pub(crate) fn clip(text: &str, columns: usize) -> &str {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += c.width().unwrap_or(1);
        if taken > columns {
            return &text[..at];
        }
    }
    text
}

/// The text, made exactly this wide; what is cut ends in `…`.
pub(crate) fn cell(text: &str, columns: usize) -> String {
    let wide = width(text);
    if wide <= columns {
        return format!("{text}{}", " ".repeat(columns - wide));
    }
    let mut cut = clip(text, columns.saturating_sub(1)).to_owned();
    if columns > 0 {
        cut.push('…');
    }
    cut.push_str(&" ".repeat(columns.saturating_sub(width(&cut))));
    cut
}

/// The text in pieces of at most this many columns; one, if it is empty.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<&str> {
    let (mut pieces, mut start, mut taken) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        let wide = c.width().unwrap_or(1);
        // A character that is wider than all there is goes through whole.
        if taken + wide > columns.max(1) && at > start {
            pieces.push(&text[start..at]);
            (start, taken) = (at, 0);
        }
        taken += wide;
    }
    pieces.push(&text[start..]);
    pieces
}

/// The line, cut at the width.
pub(crate) fn paint(spans: &[TonedText], columns: usize, colour: bool) -> String {
    let mut left = columns;
    let mut line = String::new();
    for (tone, text) in spans {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let whole = text.len();
        let text = clip(&text, left);
        // What follows what was cut is cut too.
        left = if text.len() < whole { 0 } else { left - width(text) };
        let marked = *tone == Tone::Chosen;
        line +=
            &if colour && (marked || !text.trim().is_empty()) { tone.paint(text) } else { text.to_owned() };
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_columns() {
        for (text, columns) in [("", 0), ("port", 4), ("仮想", 4), ("e\u{301}", 1), ("é…", 2)] {
            assert_eq!(width(text), columns, "{text}");
        }
        for (text, columns, expected) in [
            ("port", 6, "port  "),
            ("port", 4, "port"),
            ("port", 3, "po…"),
            ("port", 0, ""),
            ("仮想", 4, "仮想"),
            ("仮想機", 4, "仮… "),
            ("仮想", 3, "仮…"),
        ] {
            assert_eq!(cell(text, columns), expected, "{text} {columns}");
        }
        for (text, columns, expected) in [
            ("abcdef", 4, &["abcd", "ef"][..]),
            ("abcd", 4, &["abcd"]),
            ("", 4, &[""]),
            ("仮想機", 3, &["仮", "想", "機"]),
            ("仮想", 1, &["仮", "想"]),
        ] {
            assert_eq!(wrap(text, columns), expected, "{text} {columns}");
        }
    }

    #[test]
    fn a_line_is_cut_and_harmless() {
        let spans = [
            (Tone::Bad, "a\x1b[2J".to_owned()),
            (Tone::Plain, "仮想".to_owned()),
            (Tone::Dim, "x".to_owned()),
        ];
        assert_eq!(paint(&spans, 8, false), "a [2J仮");
        assert_eq!(paint(&spans, 6, true), "\x1b[31ma [2J\x1b[0m");
        assert_eq!(
            paint(&[(Tone::Good, "  ".to_owned()), (Tone::Chosen, " ".to_owned())], 9, true),
            "  \x1b[7m \x1b[0m"
        );
    }
}
