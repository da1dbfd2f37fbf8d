//! An event, a broker or a target may contain escape sequences that move the cursor or rename the
//! window, line ends that split a record, and characters that reverse the text. Such characters are
//! written as escapes.

use std::borrow::Cow;
use std::fmt::Write as _;

#[must_use]
pub fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) || !text.chars().any(is_dangerous) {
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

#[must_use]
pub fn one_line_with_tabs(text: &str) -> Cow<'_, str> {
    if !text.contains('\t') {
        return one_line(text);
    }
    Cow::Owned(text.split('\t').map(one_line).collect::<Vec<_>>().join("\t"))
}

/// Escapes dangerous characters in written JSON as `\uXXXX`, since JSON permits several of these
/// unescaped. Line ends between values stay.
#[must_use]
pub fn one_line_json(written: String) -> String {
    let breaks_lines = |c: char| c != '\n' && is_dangerous(c);
    if written.is_ascii() && !written.contains('\x7f') || !written.contains(breaks_lines) {
        return written;
    }
    let mut cleaned = String::with_capacity(written.len() + 8);
    for c in written.chars() {
        if breaks_lines(c) {
            let _ = write!(cleaned, "\\u{:04x}", u32::from(c));
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
        check("\r\n\t\x0b\x0c\u{85}\u{2028}\u{2029}", "\\r\\n\\t\\x0b\\x0c\\u{85}\\u{2028}\\u{2029}");
        assert_eq!(one_line_with_tabs("a\tb\x1b\tc\n"), "a\tb\\x1b\tc\\n");
        let json = one_line_json("{\"a\": \"\u{85}\u{7f}\u{202e}\"}\n".to_owned());
        assert_eq!(json, "{\"a\": \"\\u0085\\u007f\\u202e\"}\n");
    }
}
