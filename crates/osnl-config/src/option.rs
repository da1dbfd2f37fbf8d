//! One option is one row: name, type, default, secrecy, meaning.
//!
//! A row is the only declaration of its option in any table: the row decides how files are read, which values `config
//! show` hides, and the reference.

use std::borrow::Cow;
use std::fmt;

use osnl_model::is_secret_key;

/// The declaration of an option, from which reader, checks, and reference come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptionDef {
    /// The name, or the prefix before a user's key: `payload.` of `payload.KEY`.
    pub name: &'static str,
    /// The form of its text.
    pub kind: Kind,
    /// The text if nothing sets the option; `$name` in it is replaced too.
    pub default: Option<&'static str>,
    /// Whether its value is shown nowhere.
    pub secret: bool,
    /// Whether a key that is a secret's name makes the value secret: `header.Authorization` of `header.`.
    pub secret_by_key: bool,
    /// The least value as an operator writes it; `None` without a bound.
    pub least: Option<&'static str>,
    /// The greatest value as an operator writes it; `None` without a bound.
    pub most: Option<&'static str>,
    /// Whether its section must set it.
    pub is_needed: bool,
    /// The advice of an error about it; `None` for the usual words.
    pub otherwise: Option<&'static str>,
    /// The sentence of the reference.
    pub meaning: &'static str,
}

/// The form of an option's text, for the reference and for the reader.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Text that the option's reader checks; the form is the reference's word: `duration`, `skip or all`.
    Form(&'static str),
    /// true/false, yes/no, on/off, 1/0 in any case.
    Bool,
    /// A whole number as Python's `int` reads it.
    Integer,
    /// One of these words; an empty word means none.
    Choice(&'static [&'static str]),
    Dict,
}

impl OptionDef {
    /// Returns an option that has no default and is no secret. `form` is the form of its text.
    #[must_use]
    pub const fn new(name: &'static str, form: &'static str, meaning: &'static str) -> Self {
        Self::typed(name, Kind::Form(form), meaning)
    }

    #[must_use]
    pub const fn typed(name: &'static str, kind: Kind, meaning: &'static str) -> Self {
        Self {
            name: without_raw(name),
            kind,
            default: None,
            secret: false,
            secret_by_key: false,
            least: None,
            most: None,
            is_needed: false,
            otherwise: None,
            meaning,
        }
    }

    #[must_use]
    pub const fn written(self, form: &'static str) -> Self {
        self.kind(Kind::Form(form))
    }

    #[must_use]
    pub const fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    #[must_use]
    pub const fn needed(self, otherwise: &'static str) -> Self {
        Self { is_needed: true, ..self.otherwise(otherwise) }
    }

    #[must_use]
    pub const fn otherwise(self, advice: &'static str) -> Self {
        Self { otherwise: Some(advice), ..self }
    }

    #[must_use]
    pub const fn at_least(self, least: &'static str) -> Self {
        Self { least: Some(least), ..self }
    }

    #[must_use]
    pub const fn within(self, least: &'static str, most: &'static str) -> Self {
        Self { least: Some(least), most: Some(most), ..self }
    }

    pub(crate) fn bounds<T>(&self, read: impl Fn(&'static str) -> Option<T>) -> (Option<T>, Option<T>) {
        (self.least.and_then(&read), self.most.and_then(&read))
    }

    #[must_use]
    pub fn form(&self) -> String {
        let kind = self.kind.shown();
        match (self.least, self.most) {
            (Some(least), Some(most)) => format!("{kind}, {least} to {most}"),
            (Some(least), None) => format!("{kind}, at least {least}"),
            (None, _) => kind.into_owned(),
        }
    }

    #[must_use]
    pub const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    #[must_use]
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    #[must_use]
    pub const fn secret_by_key(self) -> Self {
        Self { secret_by_key: true, ..self }
    }

    #[must_use]
    pub fn is_secret(&self, option: &str) -> bool {
        let by_key = || option.strip_prefix(self.name).is_some_and(is_secret_key);
        self.secret || (self.secret_by_key && by_key())
    }

    #[must_use]
    pub fn has_key(&self, option: &str) -> bool {
        option.len() > self.name.len() && option.starts_with(self.name)
    }
}

const fn without_raw(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', rest @ ..] => match std::str::from_utf8(rest) {
            Ok(name) => name,
            Err(_) => name,
        },
        _ => name,
    }
}

impl Kind {
    #[must_use]
    pub fn shown(self) -> Cow<'static, str> {
        match self {
            Self::Form(form) => form.into(),
            Self::Bool => "boolean".into(),
            Self::Integer => "whole number".into(),
            Self::Choice(words) => {
                let words: Vec<&str> = words.iter().filter(|word| !word.is_empty()).copied().collect();
                match &words[..] {
                    [words @ .., last] if !words.is_empty() => {
                        format!("{} or {last}", words.join(", ")).into()
                    }
                    words => words.concat().into(),
                }
            }
            Self::Dict => "name:value,name:value".into(),
        }
    }
}

pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(", ")
}

/// The place that has set an option, for errors and `osnl config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueOrigin {
    Default,
    File { path: String, line: u32 },
    Environment { variable: String },
    CommandLine { flag: &'static str },
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::CommandLine { flag } => write!(f, "command line {flag}"),
        }
    }
}
