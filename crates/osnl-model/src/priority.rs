use std::fmt;

/// The priority of a notification. Bodies write priorities in capitals, routing keys in lower case;
/// both are the same priority. oslo drops a message of unknown priority; here it is kept as
/// [`Priority::Other`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    Audit,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
    Sample,
    Other(String),
}

impl Priority {
    pub const ALL: [Self; 7] =
        [Self::Audit, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Critical, Self::Sample];

    pub fn parse(text: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(text))
            .unwrap_or_else(|| Self::Other(text.to_lowercase()))
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Audit => "audit",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Sample => "sample",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_priority_reads_back_in_any_case() {
        for priority in Priority::ALL {
            assert_eq!(Priority::parse(priority.as_str()), priority);
            assert_eq!(Priority::parse(&priority.to_string().to_uppercase()), priority);
        }
    }

    #[test]
    fn an_unknown_priority_is_kept_in_lower_case() {
        let check = |text: &str, kept: &str| {
            assert_eq!(Priority::parse(text), Priority::Other(kept.to_owned()));
            assert_eq!(Priority::parse(text).as_str(), kept);
        };
        check("Warning", "warning");
        check("", "");
        check(" info", " info");
        check("ÄRGER", "ärger");
    }
}
