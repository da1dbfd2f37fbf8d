use std::fmt;

use osnl_config::template::EvalError;

/// The reason why an action can make no request of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The option of the action, such as `header.x-id`; `None` if the fault is not that of one option.
    pub option: Option<String>,
    pub cause: MisfitCause,
}

/// The fault in the value that an option has for an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MisfitCause {
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error("{problem}{place}")]
    NotJson {
        problem: String,
        /// The place in the rendered text, which differs from event to event.
        place: String,
    },
    #[error("{0}")]
    Other(String),
}

impl Misfit {
    pub fn in_option(option: impl Into<String>, cause: impl Into<MisfitCause>) -> Self {
        Self { option: Some(option.into()), cause: cause.into() }
    }

    /// Returns a fault that is not that of one option.
    pub fn other(reason: impl fmt::Display) -> Self {
        Self { option: None, cause: MisfitCause::Other(reason.to_string()) }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.option.iter().try_for_each(|option| write!(f, "{option}: "))?;
        self.cause.fmt(f)
    }
}

impl From<Misfit> for String {
    fn from(misfit: Misfit) -> Self {
        misfit.to_string()
    }
}

impl MisfitCause {
    #[must_use]
    pub fn not_json(what: &str, error: &serde_json::Error) -> Self {
        let words = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        match words.strip_suffix(&place) {
            Some(words) => Self::NotJson { problem: format!("{what}: {words}"), place },
            None => Self::NotJson { problem: format!("{what}: {words}"), place: String::new() },
        }
    }

    /// Returns the words that are the same for each event with this fault.
    #[must_use]
    pub fn without_place(&self) -> String {
        match self {
            Self::NotJson { problem, .. } => problem.clone(),
            Self::Eval(_) | Self::Other(_) => self.to_string(),
        }
    }
}

impl From<String> for MisfitCause {
    fn from(reason: String) -> Self {
        Self::Other(reason)
    }
}

impl From<&str> for MisfitCause {
    fn from(reason: &str) -> Self {
        Self::Other(reason.to_owned())
    }
}
