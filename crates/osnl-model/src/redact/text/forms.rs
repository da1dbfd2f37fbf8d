//! Secrets with a recognisable form: tokens, private keys, logins of URLs. The time is linear.

use super::super::urls::{CutLogins, may_hold_password};
use super::{Mask, run};

pub(super) fn tokens(text: &str) -> Option<String> {
    if !text.contains("gAAAAA") && !text.contains("eyJ") {
        return None;
    }
    let mut mask = Mask::new(text);
    let mut next = 0;
    let in_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    for (at, byte) in text.bytes().enumerate() {
        if at < next {
            continue;
        }
        if byte == b'g' && text.as_bytes()[at..].starts_with(b"gAAAAA") {
            let length = run(text, at, |byte| in_token(byte) || byte == b'=');
            next = at + length;
            if length >= 46 {
                mask.hide(at, next);
            }
        } else if byte == b'e' && text.as_bytes()[at..].starts_with(b"eyJ") {
            next = match jwt(text, at, in_token) {
                Ok(end) => {
                    mask.hide(at, end);
                    end
                }
                Err(next) => next,
            };
        }
    }
    mask.finish()
}

fn jwt(text: &str, at: usize, in_part: impl Fn(u8) -> bool) -> Result<usize, usize> {
    let dot = |end: usize| text.as_bytes().get(end) == Some(&b'.');
    let first = at + run(text, at, &in_part);
    if !dot(first) {
        return Err(first);
    }
    let second = first + 1 + run(text, first + 1, &in_part);
    if second == first + 1 || !dot(second) {
        return Err(first + 1);
    }
    let mut end = second;
    for _ in 0..3 {
        if dot(end) {
            let part = run(text, end + 1, &in_part);
            if part == 0 {
                break;
            }
            end += 1 + part;
        }
    }
    Ok(end)
}

pub(super) fn bearers(text: &str) -> Option<String> {
    const LONGEST_WORD: usize = 15;
    let in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let mut mask = Mask::new(text);
    for (at, found) in text.match_indices("earer ") {
        let from = at + found.len();
        let is_scheme = matches!(text.as_bytes().get(at.wrapping_sub(1)), Some(b'B' | b'b'));
        let length = if is_scheme { run(text, from, in_token) } else { 0 };
        let token = text.get(from..from + length).unwrap_or_default();
        if length > LONGEST_WORD && token.bytes().any(|byte| byte.is_ascii_digit()) {
            mask.hide(from, from + length);
        }
    }
    mask.finish()
}

pub(super) fn private_keys(text: &str) -> Option<String> {
    if !text.contains("PRIVATE KEY") {
        return None;
    }
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    let mut mask = Mask::new(text);
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find(BEGIN)) {
        let begin = at + found;
        at = begin + BEGIN.len();
        let Some(body) = label(text, at) else { continue };
        at = body;
        let end = loop {
            match text.get(at..).and_then(|rest| rest.find(END)) {
                None => break text.len(),
                Some(found) => at += found + END.len(),
            }
            if let Some(end) = label(text, at) {
                break end;
            }
        };
        mask.hide(begin, end);
        at = end;
    }
    mask.finish()
}

fn label(text: &str, at: usize) -> Option<usize> {
    let end = at + run(text, at, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
    let is_one = text.get(at..end)?.contains("PRIVATE KEY") && text.get(end..)?.starts_with("-----");
    is_one.then_some(end + 5)
}

/// Masks `user:password@` and `token@` of URLs. The last `@` ends the login: that of the authority, or that of the word
/// if a sign in the password cuts the authority.
pub(super) fn logins(text: &str) -> Option<String> {
    if !text.contains("://") || !text.contains('@') {
        return None;
    }
    let (mut mask, mut cut) = (Mask::new(text), CutLogins::new());
    let mut next = 0;
    for (at, _) in text.match_indices("://") {
        let scheme = text.as_bytes().get(at.wrapping_sub(1)).copied().unwrap_or_default();
        if at < next || !(scheme.is_ascii_alphanumeric() || matches!(scheme, b'+' | b'.' | b'-')) {
            continue;
        }
        let from = at + 3;
        let rest = text.get(from..).unwrap_or_default();
        let length = rest.find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#'));
        let authority = length.and_then(|length| rest.get(..length)).unwrap_or(rest);
        next = from + authority.len();
        let whole = cut.find(authority, rest, char::is_whitespace);
        let Some(login) = whole.or_else(|| Some(authority.rsplit_once('@')?.0)) else { continue };
        let end = from + login.len();
        next = next.max(end);
        match login.find(':') {
            Some(colon) if may_hold_password(&login[..colon], true) => mask.hide(from, end),
            Some(colon) => mask.hide(from + colon + 1, end),
            // After a quote the URL has ended, so the `@` belongs to other text.
            None if login.is_empty() || login.contains(['"', '\'', '\\', '<', '>', ',']) => {}
            None => mask.hide(from, end),
        }
    }
    mask.finish()
}
