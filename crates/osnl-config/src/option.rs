//! One option is one row: name, type, default, secret or not, meaning.
//!
//! Every table is made of these rows: `osnl run`, its drivers, oslo.messaging's rabbit driver, `k2hr3_osnl.conf`, and
//! `oss.conf`. A row is the only declaration of its option. Files are read by it, `config show` hides by it, and the
//! reference is made from it.

use std::borrow::Cow;
use std::fmt;

use osnl_model::is_secret_key;

use crate::secret_file::SCHEME;

/// One option: `OptionDef::new("url", "URL", "Where …. Must be set.").secret()`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptionDef {
    /// Its name, or its prefix before a key of the user's: `payload.` of `payload.KEY`.
    pub name: &'static str,
    /// The type of a value.
    pub kind: Kind,
    /// The text that counts when nothing sets it; `$name` in it is replaced like in any other.
    pub default: Option<&'static str>,
    /// No message repeats its value.
    pub secret: bool,
    /// The same for an option whose key is the name of a secret: `header.Authorization` of `header.`.
    pub secret_by_key: bool,
    /// The same for a value that is a URL with a login, or that names a file with one.
    pub secret_by_login: bool,
    /// Its meaning, in sentences.
    pub meaning: &'static str,
}

/// The type of an option's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Text in a form that the reader of the option checks, in the words of the reference: `duration`, `skip or all`.
    Form(&'static str),
    /// true/false, yes/no, on/off, 1/0 in any case.
    Bool,
    /// A whole number as Python's `int` reads it.
    Integer,
    /// A whole number within these limits.
    Range(i64, i64),
    /// A number of seconds within these limits, with or without a fraction.
    Seconds(f64, f64),
    /// One of these words, exactly.
    Choice(&'static [&'static str]),
    /// One of these words, in any case; the empty one is none.
    Word(&'static [&'static str]),
    /// `name:value,name:value`.
    Dict,
}

impl OptionDef {
    /// An option without a default that is not a secret. `form` is the form of its text.
    #[must_use]
    pub const fn new(name: &'static str, form: &'static str, meaning: &'static str) -> Self {
        Self::typed(name, Kind::Form(form), meaning)
    }

    /// The same of another type than text.
    #[must_use]
    pub const fn typed(name: &'static str, kind: Kind, meaning: &'static str) -> Self {
        Self {
            name,
            kind,
            default: None,
            secret: false,
            secret_by_key: false,
            secret_by_login: false,
            meaning,
        }
    }

    /// With the text that counts when nothing sets it.
    #[must_use]
    pub const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// A value that no message repeats.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Secret where the key behind its name is the name of a secret.
    #[must_use]
    pub const fn secret_by_key(self) -> Self {
        Self { secret_by_key: true, ..self }
    }

    /// Secret where its value is a URL with a login, or names a file that holds one.
    #[must_use]
    pub const fn secret_by_login(self) -> Self {
        Self { secret_by_login: true, ..self }
    }

    /// Whether a text of it is a secret, whatever its name.
    #[must_use]
    pub fn is_secret_text(&self, text: &str) -> bool {
        let has_login = || text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
        self.secret || self.secret_by_login && (text.starts_with(SCHEME) || has_login())
    }

    /// Whether this option of its row, which may end in a key, is a secret.
    #[must_use]
    pub fn is_secret(&self, option: &str) -> bool {
        let by_key = || option.strip_prefix(self.name).is_some_and(is_secret_key);
        self.secret || (self.secret_by_key && by_key())
    }

    /// Whether it is a row of options with a key, and `option` is one of them.
    #[must_use]
    pub fn has_key(&self, option: &str) -> bool {
        option.len() > self.name.len() && option.starts_with(self.name)
    }
}

impl Kind {
    /// The type as the reference shows it.
    #[must_use]
    pub fn shown(self) -> Cow<'static, str> {
        match self {
            Self::Form(form) => form.into(),
            Self::Bool => "boolean".into(),
            Self::Integer => "whole number".into(),
            Self::Range(least, most) => format!("whole number, {least} to {most}").into(),
            Self::Seconds(least, most) => format!("seconds, {least} to {most}").into(),
            Self::Choice(words) | Self::Word(words) => format!("one of {}", listed(words)).into(),
            Self::Dict => "name:value,name:value".into(),
        }
    }
}

/// The words of a choice, without the empty one.
pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(", ")
}

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueOrigin {
    /// Nothing set it.
    Default,
    /// A line of a file.
    File {
        /// The file as it was named to us.
        path: String,
        /// The line of the key, counted from 1.
        line: u32,
    },
    /// A variable of the environment.
    Environment {
        /// Its name, `OS_<GROUP>__<OPTION>`.
        variable: String,
    },
    /// An argument of the command line.
    CommandLine {
        /// The flag, such as `--debug`.
        flag: &'static str,
    },
}

impl fmt::Display for ValueOrigin {
    /// `FILE:LINE`, `environment NAME`, `command line --FLAG` or `default`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::CommandLine { flag } => write!(f, "command line {flag}"),
        }
    }
}
