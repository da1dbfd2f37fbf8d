//! Levels, and the threshold below which no notification is sent.

use super::VersionedEnum;
use osnl_model::Priority;

/// The severity of a notification; ironic's `NotificationLevel`, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, osnl_derive::VersionedEnum)]
#[versioned(name = "NotificationLevel")]
pub enum Level {
    /// The level `debug` of ironic.
    Debug,
    /// The level `info` of ironic.
    Info,
    /// The level `warning`, which is sent as priority `warn`.
    Warning,
    /// The level `error` of ironic.
    Error,
    /// The level `critical` of ironic.
    Critical,
}

/// The level of a notification.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a level of a notification",
    note = "a notification's `level` is osnl_notify::versioned::Level; with nova's name `priority` it is \
            osnl_notify::versioned::nova::NotificationPriority"
)]
pub trait Severity: Copy {
    /// Returns the level that the threshold is compared with.
    fn level(self) -> Level;

    /// Returns the priority, which is the routing key's suffix, and in capitals in the body.
    fn priority(self) -> Priority;
}

impl Severity for Level {
    fn level(self) -> Level {
        self
    }

    fn priority(self) -> Priority {
        match self {
            Self::Debug => Priority::Debug,
            Self::Info => Priority::Info,
            Self::Warning => Priority::Warn,
            Self::Error => Priority::Error,
            Self::Critical => Priority::Critical,
        }
    }
}

/// The notifications that are sent: ironic's option `notification_level`, or nova's `notification_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Threshold {
    /// No notification is sent: `notification_level` is not set.
    #[default]
    Never,
    /// Notifications of at least this severity are sent.
    AtLeast(Level),
    /// Notifications of every level are sent.
    Always,
}

/// A value that `notification_level` does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("notification_level: {0}; leave the option out to send nothing")]
pub struct ThresholdError(super::UnlistedValue);

impl Threshold {
    /// Reads the option `notification_level` of a configuration; without it no notification is sent.
    ///
    /// # Errors
    /// Any other word than the five levels in lower case.
    pub fn from_option(notification_level: Option<&str>) -> Result<Self, ThresholdError> {
        match notification_level {
            None => Ok(Self::Never),
            Some(text) => Level::parse(text).map(Self::AtLeast).map_err(ThresholdError),
        }
    }

    /// Whether notifications of this level are sent.
    pub fn passes(self, severity: impl Severity) -> bool {
        match self {
            Self::Never => false,
            Self::AtLeast(least) => severity.level() >= least,
            Self::Always => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_read_as_ironic_reads_it() {
        let check = |option: Option<&str>, expected: Threshold| {
            assert_eq!(Threshold::from_option(option), Ok(expected), "{option:?}");
        };
        check(None, Threshold::Never);
        check(Some("warning"), Threshold::AtLeast(Level::Warning));
        for text in ["", "INFO", "notice", "warn"] {
            assert!(Threshold::from_option(Some(text)).is_err(), "{text}");
        }
        assert_eq!(
            Threshold::from_option(Some("notice")).unwrap_err().to_string(),
            "notification_level: \"notice\" is no NotificationLevel; its values are debug, info, warning, error, \
             critical; leave the option out to send nothing"
        );
    }
}
