//! Values behind the names of secrets.
//!
//! | form | the value ends |
//! | --- | --- |
//! | `name=value` | at a blank, `&`, `;`, or a comma before a blank |
//! | `name: value`, also a header | with the line |
//! | `name:` or `name: \|` at the end of a line | with the last line that is indented |
//! | `"name": value`, `'name': value` | at a blank, comma or bracket |
//! | any of these forms with the value in quotes; also `"name", "value"` | with the matching quote, or the text |
//! | `--name value` | at a blank |
//! | `<name>value</name>` | at the next `<` |
//! | `name%3Dvalue`, `%22name%22%3A%22value%22` | at a delimiter, encoded or not |
//!
//! Quotes may be escaped, once or more often, or written as `&quot;`, `\u0022`, or `%22`. A name
//! may be in brackets before `=`, as in a form. The scan looks for signs, then for the name before
//! a sign, and reads a value only after a secret's name, so its time is linear in the text's
//! length. `None`, `null`, `True`, `False` and an empty value are no secrets.

use super::super::words::is_secret_key;
use super::{Mask, run};

pub(super) fn named(text: &str) -> Option<String> {
    let mut mask = Mask::new(text);
    // `since` is the end of the last sign or value: a name never extends back beyond this place.
    let (mut since, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        let found = match byte {
            b':' | b'=' | b',' => {
                let found = behind_sign(text, since, at, *byte);
                since = at + 1;
                found
            }
            b'%' if is_encoded_sign(text, at) => {
                let found = behind_sign(text, since, at, b'%');
                since = at + 3;
                found
            }
            b'<' => element(text, at),
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                let (found, end) = option(text, since, at);
                at = if found.is_some() { at } else { end.max(at + 1) - 1 };
                found
            }
            _ => None,
        };
        match found {
            Some(PairValue { from, to, next }) => {
                if from < to {
                    mask.hide(from, to);
                }
                (since, at) = (next, next);
            }
            None => at += 1,
        }
    }
    mask.finish()
}

/// The range of a value, empty if there is nothing to hide, and the place where the scan continues.
struct PairValue {
    from: usize,
    to: usize,
    next: usize,
}

const fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

const WRITTEN_QUOTES: [&str; 8] = ["&quot;", "&#34;", "&apos;", "&#39;", "\\u0022", "\\u0027", "%22", "%27"];

fn is_encoded_sign(text: &str, at: usize) -> bool {
    text.as_bytes().get(at + 1..at + 3).is_some_and(|code| matches!(code, b"3D" | b"3d" | b"3A" | b"3a"))
}

fn unquoted(before: &str) -> Option<&str> {
    let without = before.trim_end_matches(['"', '\'']);
    match without.len() < before.len() {
        true => Some(without),
        false => WRITTEN_QUOTES.iter().find_map(|quote| before.strip_suffix(quote)),
    }
}

fn behind_sign(text: &str, since: usize, at: usize, sign: u8) -> Option<PairValue> {
    let before = text.get(since..at)?.trim_end();
    // A name in brackets, as in `form[password]=x`.
    let before = if sign == b'=' { before.strip_suffix(']').unwrap_or(before).trim_end() } else { before };
    let unquoted = unquoted(before);
    let before = unquoted.unwrap_or(before).trim_end_matches('\\');
    let length = before.bytes().rev().position(|byte| !in_name(byte)).unwrap_or(before.len());
    let name = before.get(before.len() - length..)?;
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphabetic() && c != '_');
    if name.is_empty() || !is_secret_key(name) {
        return None;
    }
    if sign == b'%' {
        return encoded(text, at + 3);
    }
    let behind = text.get(at + 1..)?;
    let blanks = |c: char| c.is_whitespace() && c != '\n' && c != '\r';
    let from = text.len() - behind.trim_start_matches(blanks).len();
    match sign {
        b',' => unquoted.and_then(|_| quoted(text, from)),
        b'=' => quoted(text, from).or_else(|| bare(text, from, name)),
        _ => quoted(text, from).or_else(|| match (unquoted, block(text, from)) {
            (_, Some(value)) => Some(value),
            (Some(_), None) => scalar(text, from),
            (None, None) => line(text, from),
        }),
    }
}

fn encoded(text: &str, from: usize) -> Option<PairValue> {
    const OPENING: [&str; 4] = ["%20", "+", "%22", "%27"];
    const CLOSING: [&str; 6] = ["%22", "%27", "%26", "%2C", "%2c", "%7D"];
    let mut from = from;
    while let Some(opening) = OPENING.iter().find(|opening| text[from..].starts_with(**opening)) {
        from += opening.len();
    }
    let ends = |at: usize, c: char| {
        c.is_whitespace()
            || matches!(c, '&' | ';' | '"' | '\'' | '<' | '>' | ')' | '}' | ']')
            || c == '%' && CLOSING.iter().any(|closing| text[from + at..].starts_with(closing))
    };
    let length =
        text[from..].char_indices().find(|(at, c)| ends(*at, *c)).map_or(text.len() - from, |(at, _)| at);
    (length > 0).then(|| value(text, from, from + length, from + length))
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

/// Reads a value in quotes. An escaped opening quote is closed by a quote that is escaped as often.
fn quoted(text: &str, from: usize) -> Option<PairValue> {
    let is_prefix = |byte: &&u8| b"uUbBrRfF".contains(byte);
    let prefix = text.as_bytes().get(from..)?.iter().take(2).take_while(is_prefix).count();
    let open = from + prefix;
    let closed_by = |from: usize, quote: &str| {
        let to = text[from..].find(quote).map_or(text.len(), |at| from + at);
        Some(value(text, from, to, (to + quote.len()).min(text.len())))
    };
    let written = WRITTEN_QUOTES.iter().chain(&["\"\"\"", "'''"]);
    if let Some(quote) = written.into_iter().find(|quote| text[open..].starts_with(**quote)) {
        return closed_by(open + quote.len(), quote);
    }
    let escapes = run(text, open, |byte| byte == b'\\');
    let quote = *text.as_bytes().get(open + escapes).filter(|byte| matches!(byte, b'"' | b'\''))?;
    let from = open + escapes + 1;
    let (mut at, mut before) = (from, 0_usize);
    loop {
        match text.as_bytes().get(at) {
            // Without a closing quote the text is cut off, so the whole rest may be the secret.
            None => return Some(value(text, from, text.len(), text.len())),
            Some(b'\\') => before += 1,
            // The closing quote has as many backslashes as the opening one, after any number of
            // escaped backslashes.
            Some(byte) if *byte == quote && (before < escapes || before % (2 * (escapes + 1)) == escapes) => {
                return Some(value(text, from, at - before.min(escapes), at + 1));
            }
            Some(_) => before = 0,
        }
        at += 1;
    }
}

const SCHEMES: [&str; 6] = ["Bearer", "Basic", "Token", "Digest", "Negotiate", "AWS4-HMAC-SHA256"];
const LONGEST_SCHEME: usize = 16;

fn bare(text: &str, from: usize, name: &str) -> Option<PairValue> {
    let rest = text.get(from..)?;
    // Only a word as long as a scheme is examined, which keeps the time linear.
    let short = rest.char_indices().take(LONGEST_SCHEME + 1).find(|(_, c)| c.is_whitespace());
    let word = match short {
        Some((end, _)) => rest.get(..end),
        None => Some(rest).filter(|rest| rest.len() <= LONGEST_SCHEME),
    };
    let lower = name.to_ascii_lowercase();
    let is_scheme = word.is_some_and(|word| SCHEMES.contains(&word));
    let to_the_end = lower.contains("authorization") || lower.contains("cookie") || is_scheme;
    let blank_behind =
        |word: &str| text.as_bytes().get(from + word.len()).is_some_and(|byte| is_blank(*byte));
    if to_the_end || word.is_some_and(|word| is_nothing(word) && blank_behind(word)) {
        return line(text, from);
    }
    let mut end = 0;
    for (at, c) in rest.char_indices() {
        let ends = match c {
            '&' | ';' => true,
            ',' => {
                rest.get(at + 1..)?.chars().next().is_none_or(char::is_whitespace)
                    || is_nothing(rest.get(..at).unwrap_or_default())
            }
            c => c.is_whitespace(),
        };
        if ends {
            break;
        }
        end = at + c.len_utf8();
    }
    let word = rest.get(..end)?;
    // Brackets and quotes that were opened before the value are not part of the value.
    let word = word.trim_end_matches([')', ']', '}', '"', '\'', '\\', '>']);
    (!word.is_empty()).then(|| value(text, from, from + word.len(), from + word.len()))
}

fn scalar(text: &str, from: usize) -> Option<PairValue> {
    let length = run(text, from, |byte| {
        !matches!(byte, b',' | b'}' | b']' | b')' | b'"' | b'\'' | b'{' | b'[' | b'(' | b'<')
            && !byte.is_ascii_whitespace()
    });
    (length > 0).then(|| value(text, from, from + length, from + length))
}

fn line(text: &str, from: usize) -> Option<PairValue> {
    let rest = text.get(from..)?;
    let nothing = rest.find([',', ';', '&', ')', '}', ']', '"', '\'', '\\', '\n', '\r']);
    // The longest such word has five letters, so nothing longer is compared.
    if nothing.filter(|end| *end <= 5).is_some_and(|end| is_nothing(&rest[..end]))
        || rest.len() <= 8 && is_nothing(rest)
    {
        return None;
    }
    let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let length = rest.get(..length)?.trim_end().len();
    (length > 0).then(|| value(text, from, from + length, from + length))
}

fn block(text: &str, from: usize) -> Option<PairValue> {
    let mark = usize::from(matches!(text.as_bytes().get(from), Some(b'|' | b'>')));
    let mark = mark + if mark == 0 { 0 } else { run(text, from + 1, |byte| b"+-0123456789".contains(&byte)) };
    let mut at = from + mark;
    at += run(text, at, |byte| is_blank(byte) || byte == b'\r');
    if text.as_bytes().get(at) != Some(&b'\n') {
        return None;
    }
    let mut end = at;
    while text.as_bytes().get(at) == Some(&b'\n') {
        let indent = run(text, at + 1, |byte| is_blank(byte) || byte == b'\r');
        let line = run(text, at + 1, |byte| byte != b'\n');
        if line > indent {
            if indent == 0 && text.as_bytes().get(at + 1) != Some(&b'-') {
                break;
            }
            end = at + 1 + line;
        }
        at += 1 + line;
    }
    let inner = text.get(from + mark..end)?;
    let start = end - inner.trim_start().len();
    (start < end).then_some(PairValue { from: start, to: end, next: end })
}

fn option(text: &str, since: usize, at: usize) -> (Option<PairValue>, usize) {
    let before = at.checked_sub(1).filter(|before| *before >= since);
    if before.and_then(|before| text.as_bytes().get(before)).is_some_and(|byte| in_name(*byte)) {
        return (None, at + 1);
    }
    let end = at + run(text, at, in_name);
    let Some(name) = text.get(at + 2..end).filter(|name| !name.is_empty()) else { return (None, end) };
    let behind = text.as_bytes().get(end).copied().unwrap_or_default();
    if !is_blank(behind) || !is_secret_key(name) {
        return (None, end);
    }
    let from = end + run(text, end, is_blank);
    let found = quoted(text, from).or_else(|| {
        let length = run(text, from, |byte| !byte.is_ascii_whitespace());
        let word = text.get(from..from + length)?;
        (!word.is_empty() && !word.starts_with("--")).then(|| value(text, from, from + length, from + length))
    });
    (found, end)
}

fn element(text: &str, at: usize) -> Option<PairValue> {
    let end = at + 1 + run(text, at + 1, |byte| in_name(byte) || byte == b':');
    let name = text.get(at + 1..end)?;
    let name = name.rsplit(':').next().unwrap_or(name);
    if name.is_empty() || !is_secret_key(name) {
        return None;
    }
    let from = end + run(text, end, |byte| !matches!(byte, b'<' | b'>'));
    let is_open = text.as_bytes().get(from) == Some(&b'>') && !text.get(end..from)?.ends_with('/');
    if !is_open {
        return None;
    }
    let length = run(text, from + 1, |byte| byte != b'<');
    Some(value(text, from + 1, from + 1 + length, from + 1 + length))
}

fn value(text: &str, from: usize, to: usize, next: usize) -> PairValue {
    let to = if is_nothing(text.get(from..to).unwrap_or_default()) { from } else { to };
    PairValue { from, to, next }
}

fn is_nothing(word: &str) -> bool {
    matches!(word.trim(), "" | "None" | "null" | "True" | "False" | "true" | "false")
}
