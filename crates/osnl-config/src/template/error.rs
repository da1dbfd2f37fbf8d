use minijinja::ErrorKind;
use osnl_model::did_you_mean;

use super::foreign_syntax;
use super::limits::{FUEL, LONGEST_OUTPUT, TOO_LONG, TOO_MUCH, WORK};
use super::names::{Aliases, Names};

/// The fault for which a template or an expression cannot be compiled, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}{}{}", .allowed.as_ref().map(|allowed| format!("; {allowed}")).unwrap_or_default(), did_you_mean(.suggestion.as_deref()))]
pub struct TemplateError {
    pub at: usize,
    pub line: u32,
    pub column: u32,
    pub problem: String,
    pub allowed: Option<String>,
    pub suggestion: Option<String>,
    pub unknown: Option<String>,
}

impl TemplateError {
    pub(super) fn new(at: usize, problem: impl Into<String>, allowed: impl Into<String>) -> Self {
        let allowed = Some(allowed.into()).filter(|allowed: &String| !allowed.is_empty());
        Self { at, line: 1, column: 1, problem: problem.into(), allowed, suggestion: None, unknown: None }
    }

    pub fn at_begin(problem: &str, allowed: &str) -> Self {
        Self::new(0, problem, allowed)
    }

    pub(super) fn placed(self, source: &str) -> Self {
        let before = source.get(..self.at).unwrap_or_default();
        let number = |count: usize| u32::try_from(count.saturating_add(1)).unwrap_or(u32::MAX);
        let line = number(before.matches('\n').count());
        let column = number(before.rsplit('\n').next().unwrap_or_default().chars().count());
        Self { line, column, ..self }
    }

    pub(super) fn syntax(source: &str, error: &minijinja::Error) -> Self {
        let at = error.range().map_or(0, |range| range.start).min(source.len());
        let at = source.floor_char_boundary(at);
        let hint = foreign_syntax::near(source, at);
        let what = error.detail().unwrap_or("it cannot be read");
        Self::new(at, format!("cannot be read: {what}"), hint)
    }

    pub(super) fn syntax_in_brackets(source: &str, error: &minijinja::Error) -> Self {
        let at = error.range().map_or(0, |range| range.start.saturating_sub(1)).min(source.len());
        Self::new(source.floor_char_boundary(at), "cannot be read from here on", "")
    }
}

/// The reasons for which a template or an expression has no result for an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    #[error("the event has no {name}")]
    Lacks { name: String },
    #[error("it took more than {} steps", FUEL)]
    Fuel,
    #[error("it looks at more than {} values, of which a long text counts as several; compare fewer", WORK)]
    Work,
    #[error("it makes a text of more than {} bytes", LONGEST_OUTPUT)]
    TooLong,
    /// Values of the wrong type, a division by zero and the like. Repeats no value of the notification.
    #[error("{problem}, at \"{near}\"")]
    Failed { problem: String, near: String },
}

impl EvalError {
    pub(super) fn from_engine(
        source: &str,
        error: &minijinja::Error,
        aliases: &Aliases,
        names: &Names,
    ) -> Self {
        match missing(error, aliases) {
            Some(name) => Self::lacks(Some(name), aliases, names),
            None => Self::failed(source, error, aliases),
        }
    }

    /// Returns the missing name; if the engine does not know it, the first missing name of the source.
    pub(super) fn lacks(name: Option<String>, aliases: &Aliases, names: &Names) -> Self {
        let known = name.filter(|name| !name.contains("(...)"));
        let name = known.or_else(|| aliases.first_missing(names));
        Self::Lacks { name: name.unwrap_or_else(|| "value that it looks at".to_owned()) }
    }

    /// Where the failing piece reads a secret, repeats neither the source nor the engine's detail, which may have a
    /// value of the event.
    fn failed(source: &str, error: &minijinja::Error, aliases: &Aliases) -> Self {
        if error.kind() == ErrorKind::OutOfFuel {
            return Self::Fuel;
        }
        match error.detail() {
            Some(TOO_LONG) => return Self::TooLong,
            Some(TOO_MUCH) => return Self::Work,
            Some(_) | None => {}
        }
        let near = error.range().and_then(|range| source.get(range)).unwrap_or(source);
        // A variable of a statement may hold a secret from elsewhere in the template.
        let judged = if source.contains("{%") { source } else { near };
        if aliases.read_secret(judged) {
            return Self::Failed { problem: error.kind().to_string(), near: "***".to_owned() };
        }
        let near: String = near.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect();
        let problem = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        Self::Failed { problem, near }
    }
}

/// Returns the missing name as written, if that caused the failure; with `(...)` if the engine does not know
/// which.
fn missing(error: &minijinja::Error, aliases: &Aliases) -> Option<String> {
    let detail = error.detail().unwrap_or_default();
    let named = detail.split_once("` is undefined").map(|(before, _)| before);
    let named = named.and_then(|before| before.rsplit_once('`')).map(|(_, name)| name);
    match (named, error.kind()) {
        (Some(name), _) => Some(aliases.written(name)),
        (None, ErrorKind::UndefinedError) if !detail.is_empty() => Some(detail.to_owned()),
        (None, ErrorKind::UndefinedError) => Some("(...)".to_owned()),
        (None, _) => None,
    }
}
