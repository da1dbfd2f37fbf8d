use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// The way to mend a fault, for an operator. JSON has its text alone, from which a reader makes advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Remedy {
    /// A line for a shell, which may end with a comment.
    Command(Cow<'static, str>),
    /// A sentence, which may name commands.
    Advice(Cow<'static, str>),
    /// Advice to change the configuration. Only incidents add the `osnl reload` after it.
    ConfigurationAdvice(Cow<'static, str>),
}

impl Remedy {
    #[must_use]
    pub fn command(line: impl Into<Cow<'static, str>>) -> Self {
        Self::Command(line.into())
    }
}

impl Deref for Remedy {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Command(text) | Self::Advice(text) | Self::ConfigurationAdvice(text) => text,
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl From<String> for Remedy {
    fn from(advice: String) -> Self {
        Self::Advice(advice.into())
    }
}

impl From<&'static str> for Remedy {
    fn from(advice: &'static str) -> Self {
        Self::Advice(advice.into())
    }
}

impl From<Remedy> for String {
    fn from(remedy: Remedy) -> Self {
        match remedy {
            Remedy::Command(text) | Remedy::Advice(text) | Remedy::ConfigurationAdvice(text) => {
                text.into_owned()
            }
        }
    }
}
