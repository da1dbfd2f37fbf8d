//! Options of a log: its level and its file.

use std::path::PathBuf;

/// The least severity that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Everything.
    Debug,
    /// Normal operation.
    Info,
    /// Conditions that may need attention.
    Warn,
    /// Failures.
    Error,
    /// No level of its own: the one above counts, which is warn.
    Notset,
}

impl Level {
    /// The level a word of the file stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "debug" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "warn" | "warning" => Some(Self::Warn),
            "error" => Some(Self::Error),
            "notset" => Some(Self::Notset),
            _ => None,
        }
    }

    /// The level that the argument of `-d` or `-l` stands for: debug, info, warn, error, and critical, which
    /// acts as warn as it did in k2hr3_osnl.
    pub fn from_flag(word: &str) -> Option<Self> {
        match word {
            "debug" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "warn" | "critical" => Some(Self::Warn),
            "error" => Some(Self::Error),
            _ => None,
        }
    }

    /// The word as k2hr3_osnl writes it in a file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Notset => "notset",
        }
    }
}

/// The destination of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFile {
    /// The word `sys.stderr`.
    Stderr,
    /// Anything else is a path; `sys.stdout` too is a file of that name.
    Path(PathBuf),
}
