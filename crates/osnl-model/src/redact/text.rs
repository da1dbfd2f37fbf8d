//! Secrets inside of texts.
//!
//! | what | read as |
//! | --- | --- |
//! | begins with `{`, `[` or `(` and is JSON or a Python literal | a value, masked like any other, written again in its own language |
//! | so, but nested too deeply, or of more than 20,000 values | `***` |
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

/// Longer texts are not looked into. What services write of their own is far shorter.
const LONGEST: usize = 256 * 1024;

/// The values of a text that is read, and the memory they take.
const VALUES: usize = 20_000;
const MEMORY: usize = 16 * 1024 * 1024;

/// The text with its secrets as `***`.
///
/// A text that is JSON or a Python literal (as cinder's `connection_info` and a snapshot's `metadata`, as the
/// exceptions of nova's legacy form) is read, masked as [`mask_secrets`](super::mask_secrets) does, and written again in
/// its own language. In any other text, what is found by form: the login of a URL, a token of Keystone, a private key, and
/// whatever follows a secret's name and a sign between the two. A text that is too long for that is its length.
#[must_use]
pub fn mask_text(text: &str) -> Cow<'_, str> {
    masked(text, RemainingDepth::TOP)
}

/// A text at a depth.
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

/// A text that must be readable, because its secrets may be anywhere.
pub(super) fn masked_within(text: &str, depth: RemainingDepth) -> Cow<'_, str> {
    match structured(text, depth) {
        Structure::Masked(masked) if text.len() <= LONGEST => masked,
        Structure::Masked(_) | Structure::TooMuch | Structure::None => Cow::Borrowed(MASK),
    }
}

enum Structure<'a> {
    /// It is an object or a list; without its secrets.
    Masked(Cow<'a, str>),
    /// It may be one.
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

/// Sentences, configuration files, headers, commands.
pub(super) fn running(text: &str) -> Cow<'_, str> {
    let passes = [forms::tokens, forms::bearers, forms::private_keys, forms::logins, pairs::named];
    passes.iter().fold(Cow::Borrowed(text), |text, pass| match pass(&text) {
        Some(masked) => Cow::Owned(masked),
        None => text,
    })
}

/// A text with parts of it masked, from its beginning to its end.
struct Mask<'a> {
    text: &'a str,
    out: String,
    /// Everything before is in `out`, or masked.
    done: usize,
}

impl<'a> Mask<'a> {
    const fn of(text: &'a str) -> Self {
        Self { text, out: String::new(), done: 0 }
    }

    fn hide(&mut self, from: usize, to: usize) {
        self.out.push_str(self.text.get(self.done..from).unwrap_or_default());
        self.out.push_str(MASK);
        self.done = to;
    }

    /// `None` if nothing was hidden.
    fn finish(mut self) -> Option<String> {
        if self.done == 0 {
            return None;
        }
        self.out.push_str(self.text.get(self.done..).unwrap_or_default());
        Some(self.out)
    }
}

/// Returns the number of such bytes from here on.
fn run(text: &str, from: usize, is_one: impl Fn(u8) -> bool) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    rest.iter().position(|byte| !is_one(*byte)).unwrap_or(rest.len())
}
