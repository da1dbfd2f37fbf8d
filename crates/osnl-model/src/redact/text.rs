//! Masking of secrets in texts.
//!
//! | text | treatment |
//! | --- | --- |
//! | begins with `{`, `[` or `(` and is JSON or a Python literal | parsed, masked, and written in its own language |
//! | the same, nested too deeply, or of more than 20,000 values | `***` |
//! | more than 256 KiB | `***` and its length |
//! | any other | [`forms`], then [`pairs`] |

mod forms;
mod pairs;

use std::borrow::Cow;

use serde_json::Value;

use super::MASK;
use super::depth::RemainingDepth;
use crate::budget::Purse;
use crate::python_literal::{LiteralError, python_repr, read_literal};

/// The longest text that is examined. Texts that services write themselves are far shorter.
const LONGEST: usize = 256 * 1024;

const VALUES: usize = 20_000;
const MEMORY: usize = 16 * 1024 * 1024;

/// Masks the value of a text that is JSON or a Python literal as [`mask_secrets`](super::mask_secrets) does,
/// and keeps its language. In any other text these are masked: the login of a URL, a token of Keystone, a
/// private key, and the value after a secret's name and a sign. A text above the limit is replaced by its
/// length.
#[must_use]
pub fn mask_text(text: &str) -> Cow<'_, str> {
    masked(text, RemainingDepth::TOP)
}

pub(super) fn masked(text: &str, depth: RemainingDepth) -> Cow<'_, str> {
    if text.len() > LONGEST {
        return Cow::Owned(format!("{MASK} (a text of {} bytes)", text.len()));
    }
    match structured(text, depth) {
        Structure::Masked(masked) => masked,
        Structure::TooMuch => Cow::Borrowed(MASK),
        Structure::None => running(text),
    }
}

pub(super) fn masked_within(text: &str, depth: RemainingDepth) -> Cow<'_, str> {
    match structured(text, depth) {
        Structure::Masked(masked) if text.len() <= LONGEST => masked,
        Structure::Masked(_) | Structure::TooMuch | Structure::None => Cow::Borrowed(MASK),
    }
}

/// The result of reading a text as JSON or as a Python literal.
enum Structure<'a> {
    Masked(Cow<'a, str>),
    TooMuch,
    None,
}

fn structured(text: &str, depth: RemainingDepth) -> Structure<'_> {
    if !text.trim_start().starts_with(['{', '[', '(']) {
        return Structure::None;
    }
    let Some(depth) = depth.in_text() else { return Structure::TooMuch };
    let purse = Purse::new(VALUES, MEMORY, depth.levels());
    let (read, write): (Value, fn(&Value) -> String) = match purse.parse(text, 0) {
        Ok(read) => (read, Value::to_string),
        Err(_) if purse.excess().is_some() => return Structure::TooMuch,
        Err(_) => match read_literal(text, depth.levels(), VALUES) {
            Ok(read) => (read, python_repr),
            Err(LiteralError::TooMuch) => return Structure::TooMuch,
            Err(LiteralError::NotOne) => return Structure::None,
        },
    };
    let masked = super::masked(&read, depth);
    Structure::Masked(if masked == read { Cow::Borrowed(text) } else { Cow::Owned(write(&masked)) })
}

pub(super) fn running(text: &str) -> Cow<'_, str> {
    let passes = [forms::tokens, forms::bearers, forms::private_keys, forms::logins, pairs::named];
    passes.iter().fold(Cow::Borrowed(text), |text, pass| match pass(&text) {
        Some(masked) => Cow::Owned(masked),
        None => text,
    })
}

/// A copy of a text in which the mask replaces some parts.
struct Mask<'a> {
    text: &'a str,
    out: String,
    done: usize,
}

impl<'a> Mask<'a> {
    const fn new(text: &'a str) -> Self {
        Self { text, out: String::new(), done: 0 }
    }

    fn hide(&mut self, from: usize, to: usize) {
        self.out.push_str(self.text.get(self.done..from).unwrap_or_default());
        self.out.push_str(MASK);
        self.done = to;
    }

    fn finish(mut self) -> Option<String> {
        if self.done == 0 {
            return None;
        }
        self.out.push_str(self.text.get(self.done..).unwrap_or_default());
        Some(self.out)
    }
}

fn run(text: &str, from: usize, is_one: impl Fn(u8) -> bool) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    rest.iter().position(|byte| !is_one(*byte)).unwrap_or(rest.len())
}
