//! Values that several dialects have, and what is said when they are wrong.

use osnl_model::PatternError;

use super::ValueError;

/// What is wrong with a value; its place is added by whoever knows it. Repeats no secret.
#[derive(Debug)]
pub struct Refusal {
    pub problem: String,
    pub allowed: String,
    pub suggestion: Option<String>,
}

impl Refusal {
    pub fn new(problem: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { problem: problem.into(), allowed: allowed.into(), suggestion: None }
    }
}

impl From<ValueError> for Refusal {
    fn from(error: ValueError) -> Self {
        let ValueError { problem, allowed, suggestion } = error;
        Self { problem, allowed, suggestion }
    }
}

/// The items of a list as oslo.config's `ListOpt` takes them: separated by commas, without the blanks around them;
/// commas at the end are no items.
pub fn list(text: &str) -> Vec<String> {
    match text.trim_matches(super::ini::is_space).trim_end_matches(',') {
        "" => Vec::new(),
        text => text.split(',').map(|item| item.trim_matches(super::ini::is_space).to_owned()).collect(),
    }
}

/// Not `PatternError`'s own Display: that repeats the pattern, and a secret may have got into it.
pub fn bad_pattern(of: &str, error: &PatternError) -> Refusal {
    let place = error.position.map(|position| format!(" at character {}", position + 1)).unwrap_or_default();
    let message = error.message.split_whitespace().collect::<Vec<_>>().join(" ");
    // As a shell has them.
    let allowed = match error.pattern.starts_with('*') {
        true => "the syntax is that of Python's re, where any text is .* and a dot is \\.",
        false => "the syntax is that of Python's re",
    };
    Refusal::new(format!("bad regular expression{of}{place}: {message}"), allowed)
}
