//! Values that several dialects share, and the reasons to refuse them.

use osnl_model::PatternError;

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
}

/// Returns the items of a list as oslo.config's `ListOpt` reads them: separated by commas, without
/// surrounding spaces. Trailing commas are no items.
pub fn list(text: &str) -> Vec<String> {
    match text.trim_matches(super::ini::is_space).trim_end_matches(',') {
        "" => Vec::new(),
        text => text.split(',').map(|item| item.trim_matches(super::ini::is_space).to_owned()).collect(),
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
