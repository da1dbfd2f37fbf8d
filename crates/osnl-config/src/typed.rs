//! Values that several dialects share, and the reasons to refuse them.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use osnl_model::{PatternError, nearest};

use super::option::listed;
use super::{duration, shown, size, unknown_value};

/// The reason of a refusal, without its place and without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {allowed}")]
pub struct ValueRefusal {
    pub problem: String,
    pub allowed: String,
    pub suggestion: Option<String>,
}

impl ValueRefusal {
    pub fn new(problem: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { problem: problem.into(), allowed: allowed.into(), suggestion: None }
    }

    pub(crate) fn advised(self, advice: Option<&str>) -> Self {
        Self { allowed: advice.map_or(self.allowed, str::to_owned), ..self }
    }
}

/// Returns the items of a list as oslo.config's `ListOpt` reads them: separated by commas, without
/// surrounding spaces. Trailing commas are no items.
pub fn list(text: &str) -> Vec<String> {
    match text.trim_matches(super::ini::is_space).trim_end_matches(',') {
        "" => Vec::new(),
        text => text.split(',').map(|item| item.trim_matches(super::ini::is_space).to_owned()).collect(),
    }
}

pub(crate) fn out_of_range(value: impl Display, least: impl Display, most: impl Display) -> ValueRefusal {
    ValueRefusal::new(format!("{value} is out of range"), format!("allowed: {least} to {most}"))
}

pub(crate) fn number(text: &str, least: i64, most: i64) -> Result<i64, ValueRefusal> {
    match text.trim().parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Ok(number) => Err(out_of_range(number, least, most)),
        Err(_) => Err(ValueRefusal::new(
            format!("{} is not a whole number", shown(text)),
            format!("allowed: {least} to {most}"),
        )),
    }
}

pub fn path(text: &str, allowed: &str) -> Result<PathBuf, ValueRefusal> {
    match text {
        "" => Err(ValueRefusal::new("is empty", allowed)),
        path if path.contains('\0') => {
            Err(ValueRefusal::new("has a NUL character, which no path can have", allowed))
        }
        path => Ok(path.into()),
    }
}

/// The longest duration that a 31-bit count of milliseconds holds.
pub(crate) const LONGEST: Duration = Duration::from_secs(2_147_483);

pub(crate) fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, ValueRefusal> {
    match duration::parse(text) {
        Some(duration) if (least..=most).contains(&duration) => Ok(duration),
        Some(_) => Err(out_of_range(shown(text), duration::shown(least), duration::shown(most))),
        None => Err(ValueRefusal::new(
            format!("{} is not a duration", shown(text)),
            "write 30, 30s, 500ms, 5m, 24h or 7d",
        )),
    }
}

pub(crate) fn size(text: &str, least: u64, most: u64) -> Result<u64, ValueRefusal> {
    match size::parse(text) {
        Some(bytes) if (least..=most).contains(&bytes) => Ok(bytes),
        Some(_) => Err(out_of_range(shown(text), size::shown(least), size::shown(most))),
        None => {
            Err(ValueRefusal::new(format!("{} is not a size", shown(text)), "write 65536, 64KiB or 5MiB"))
        }
    }
}

pub fn word<'a, T>(text: &str, words: impl IntoIterator<Item = (&'a str, T)>) -> Result<T, ValueRefusal> {
    let mut words: Vec<(&str, T)> = words.into_iter().collect();
    if let Some(at) = words.iter().position(|(word, _)| *word == text) {
        return Ok(words.swap_remove(at).1);
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Err(ValueRefusal {
        suggestion: nearest(text, names.iter().copied()).map(str::to_owned),
        ..ValueRefusal::new(unknown_value(&shown(text)), format!("allowed: {}", listed(&names)))
    })
}

pub fn word_in_any_case<T, const N: usize>(text: &str, words: [(&str, T); N]) -> Result<T, ValueRefusal> {
    let written = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim()));
    let written = written.map(|(word, _)| *word);
    word(written.unwrap_or(text), words)
}

pub fn names(text: &str) -> Result<Vec<String>, ValueRefusal> {
    let items = list(text);
    if items.is_empty() || items.iter().any(String::is_empty) {
        return Err(ValueRefusal::new("has an empty item", "write names with commas between them"));
    }
    let twice = items.iter().enumerate().find(|(n, item)| items[..*n].contains(item));
    match twice {
        Some((_, item)) => Err(ValueRefusal::new(format!("names {} twice", shown(item)), "name it once")),
        None => Ok(items),
    }
}

/// Explains a bad regular expression without `PatternError`'s Display, which repeats the pattern and might
/// show a secret.
pub fn bad_pattern(of: &str, error: &PatternError) -> ValueRefusal {
    let place = error.position.map(|position| format!(" at character {}", position + 1)).unwrap_or_default();
    let message = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
    // A pattern in a shell's syntax.
    let allowed = match error.pattern.starts_with('*') {
        true => "the syntax is that of Python's re, where any text is .* and a dot is \\.",
        false => "the syntax is that of Python's re",
    };
    ValueRefusal::new(format!("bad regular expression{of}{place}: {message}"), allowed)
}
