//! Words, numbers, texts and signs of a source, with their places.

use std::ops::Range;

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    Number,
    Text,
    Sign,
}

/// A token, and its place in the source.
#[derive(Clone, Debug)]
pub(super) struct LintToken {
    pub(super) kind: TokenKind,
    pub(super) at: Range<usize>,
}

pub(super) fn lex(source: &str, range: Range<usize>, tokens: &mut Vec<LintToken>) {
    let mut at = range.start;
    while at < range.end {
        at = one(source, at, tokens);
    }
}

pub(super) fn lex_until(source: &str, from: usize, close: &str, tokens: &mut Vec<LintToken>) -> usize {
    let mut at = from;
    while at < source.len() {
        if source[at..].starts_with(close) {
            return at + close.len();
        }
        at = one(source, at, tokens);
    }
    at
}

fn one(source: &str, at: usize, tokens: &mut Vec<LintToken>) -> usize {
    let rest = &source[at..];
    let Some(first) = rest.chars().next() else { return source.len() };
    let run = |holds: fn(char) -> bool| rest.find(|c: char| !holds(c)).unwrap_or(rest.len());
    let (kind, length) = match first {
        c if c.is_whitespace() => return at + c.len_utf8(),
        c if c.is_alphabetic() || c == '_' => (TokenKind::Word, run(|c| c.is_alphanumeric() || c == '_')),
        c if c.is_ascii_digit() => (TokenKind::Number, run(|c| c.is_alphanumeric() || c == '_')),
        '"' | '\'' => (TokenKind::Text, text_length(rest, first)),
        c => (TokenKind::Sign, c.len_utf8()),
    };
    tokens.push(LintToken { kind, at: at..at + length });
    at + length
}

fn text_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}
