use std::path::PathBuf;

/// The level from which log lines are written, by the names of Python's `logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
    /// Without its own level, the level above counts, which is warn.
    Notset,
}

impl Level {
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word {
            "debug" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "warn" | "warning" => Some(Self::Warn),
            "error" => Some(Self::Error),
            "notset" => Some(Self::Notset),
            _ => None,
        }
    }

    /// Returns the level of an argument of `-d` or `-l`: debug, info, warn, error, and critical, which acts
    /// as warn, as in k2hr3_osnl.
    pub fn from_flag(word: &str) -> Option<Self> {
        match word {
            "debug" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "warn" | "critical" => Some(Self::Warn),
            "error" => Some(Self::Error),
            _ => None,
        }
    }

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

/// The place of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFile {
    Stderr,
    /// Any other word is a path; `sys.stdout` too is a file of that name.
    Path(PathBuf),
}
