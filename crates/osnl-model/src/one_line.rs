//! An event, a broker or a target may contain escape sequences that move the cursor or rename the
//! window, line ends that split a record, and characters that reverse the text. Such characters are
//! written as escapes.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::look_alike::{LookAlike, look_alikes};

/// Whether a character acts, is not visible, or is a blank that looks like another one.
#[must_use]
pub fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// Writes out what acts, what is not visible, and letters of a name that read as others: `port.d\u{435}lete.end`.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let odd = look_alikes(text);
    if odd.is_empty() {
        return safe_line(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    let mut copied = 0;
    for LookAlike { at, character, .. } in odd {
        cleaned.push_str(&safe_line(&text[copied..at]));
        cleaned.extend(character.escape_unicode());
        copied = at + character.len_utf8();
    }
    cleaned.push_str(&safe_line(&text[copied..]));
    Cow::Owned(cleaned)
}

/// Writes out what acts or is not visible.
fn safe_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => cleaned.push_str("\\n"),
            '\r' => cleaned.push_str("\\r"),
            '\t' => cleaned.push_str("\\t"),
            c if c.is_ascii() && is_dangerous(c) => {
                let _ = write!(cleaned, "\\x{:02x}", u32::from(c));
            }
            c if is_dangerous(c) => cleaned.extend(c.escape_unicode()),
            c => cleaned.push(c),
        }
    }
    Cow::Owned(cleaned)
}

/// Writes out what acts or is not visible, for data: tabs and all visible letters stay.
#[must_use]
pub fn one_line_with_tabs(text: &str) -> Cow<'_, str> {
    if !text.contains('\t') {
        return safe_line(text);
    }
    Cow::Owned(text.split('\t').map(safe_line).collect::<Vec<_>>().join("\t"))
}

/// Escapes dangerous characters and look-alikes in written JSON as `\uXXXX`, since JSON permits several of these
/// unescaped. Line ends between values stay.
#[must_use]
pub fn one_line_json(written: String) -> String {
    let breaks_lines = |c: char| c != '\n' && is_dangerous(c);
    if written.is_ascii() && !written.contains('\x7f') {
        return written;
    }
    let odd: Vec<usize> = look_alikes(&written).into_iter().map(|one| one.at).collect();
    if odd.is_empty() && !written.contains(breaks_lines) {
        return written;
    }
    let mut cleaned = String::with_capacity(written.len() + 8);
    for (at, c) in written.char_indices() {
        if breaks_lines(c) || odd.binary_search(&at).is_ok() {
            // A character beyond 16 bits is a pair.
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(cleaned, "\\u{unit:04x}");
            }
        } else {
            cleaned.push(c);
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_act_is_written_out() {
        let check = |text: &str, expected: &str| assert_eq!(one_line(text), expected, "{text:?}");
        check("plain é ü 漢", "plain é ü 漢");
        check("a\x1b]0;pwned\x07b", "a\\x1b]0;pwned\\x07b");
        check("a\u{9b}31mb\u{7f}", "a\\u{9b}31mb\\x7f");
        check("a\u{202e}b\u{2066}c\u{feff}", "a\\u{202e}b\\u{2066}c\\u{feff}");
        check("port.d\u{435}lete.end\u{200b}", "port.d\\u{435}lete.end\\u{200b}");
        check("\u{441}\u{435}\u{440}\u{432}\u{435}\u{440}", "\u{441}\u{435}\u{440}\u{432}\u{435}\u{440}");
        check("a\u{a0}b\u{ad}c\u{fe0f}\u{e0041}", "a\\u{a0}b\\u{ad}c\\u{fe0f}\\u{e0041}");
        check("\r\n\t\x0b\x0c\u{85}\u{2028}\u{2029}", "\\r\\n\\t\\x0b\\x0c\\u{85}\\u{2028}\\u{2029}");
        assert_eq!(one_line_with_tabs("a\tb\x1b\tc\n"), "a\tb\\x1b\tc\\n");
        assert_eq!(one_line_with_tabs("d\u{435}lete"), "d\u{435}lete");
        let odd = "{\"d\u{435}lete\": \"\u{e0041}\"}";
        let written = one_line_json(odd.to_owned());
        assert_eq!(written, "{\"d\\u0435lete\": \"\\udb40\\udc41\"}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&written).unwrap(),
            serde_json::from_str::<serde_json::Value>(odd).unwrap()
        );
        let json = one_line_json("{\"a\": \"\u{85}\u{7f}\u{202e}\"}\n".to_owned());
        assert_eq!(json, "{\"a\": \"\\u0085\\u007f\\u202e\"}\n");
    }
}
