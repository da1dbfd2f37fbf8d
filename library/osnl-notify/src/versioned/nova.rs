//! The common parts of nova's notifications: event types with phases, publishers `source:host`, priorities,
//! the format.
//!
//! Payload classes of nova are not here: nova emits them, in Python. A service with nova's form derives its
//! own payloads (`namespace = "nova"`, `schema_in_fingerprint`) and uses these types as `event_type`,
//! `publisher` and `priority`.

#![expect(missing_docs, reason = "a variant without a line has the name of its value")]

use std::fmt;

use osnl_derive::{VersionedEnum, VersionedObject};

use super::{EventTypeText, Level, PublisherText, Severity, Threshold, VersionedEnum as _};
use osnl_model::Priority;

/// The phase of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VersionedEnum)]
pub enum NotificationPhase {
    Start,
    End,
    Error,
    Progress,
}

/// nova's priorities, which have no threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VersionedEnum)]
pub enum NotificationPriority {
    Audit,
    Critical,
    Debug,
    Info,
    Error,
    Sample,
    Warn,
}

impl Severity for NotificationPriority {
    /// `audit` and `sample`, which ironic does not have, count as `info`.
    fn level(self) -> Level {
        match self {
            Self::Debug => Level::Debug,
            Self::Audit | Self::Info | Self::Sample => Level::Info,
            Self::Warn => Level::Warning,
            Self::Error => Level::Error,
            Self::Critical => Level::Critical,
        }
    }

    fn priority(self) -> Priority {
        match self {
            Self::Audit => Priority::Audit,
            Self::Critical => Priority::Critical,
            Self::Debug => Priority::Debug,
            Self::Info => Priority::Info,
            Self::Error => Priority::Error,
            Self::Sample => Priority::Sample,
            Self::Warn => Priority::Warn,
        }
    }
}

/// The services of nova, as in publishers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VersionedEnum)]
pub enum NotificationSource {
    #[versioned(value = "nova-api")]
    Api,
    #[versioned(value = "nova-compute")]
    Compute,
    #[versioned(value = "nova-conductor")]
    Conductor,
    #[versioned(value = "nova-scheduler")]
    Scheduler,
    #[versioned(value = "nova-network")]
    Network,
    #[versioned(value = "nova-consoleauth")]
    Consoleauth,
    #[versioned(value = "nova-cells")]
    Cells,
    #[versioned(value = "nova-console")]
    Console,
    #[versioned(value = "nova-metadata")]
    Metadata,
}

/// The event type in the form `<object>.<action>[.<phase>]`.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "nova", version = "1.22")]
pub struct EventType {
    /// The object, such as `instance`.
    pub object: String,
    /// The action, one of nova's list, which grows with minor versions.
    pub action: NotificationAction,
    /// The phase of an action that takes a while.
    pub phase: Option<NotificationPhase>,
}

impl EventTypeText for EventType {
    fn event_type(&self) -> String {
        let (object, action) = (&self.object, self.action.as_str());
        match self.phase {
            Some(phase) => format!("{object}.{action}.{}", phase.as_str()),
            None => format!("{object}.{action}"),
        }
    }
}

/// The publisher in the form `<source>:<host>`.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "nova", version = "2.2")]
pub struct NotificationPublisher {
    pub host: String,
    pub source: NotificationSource,
}

impl PublisherText for NotificationPublisher {
    fn publisher_id(&self) -> String {
        format!("{}:{}", self.source.as_str(), self.host)
    }
}

/// The values of nova's option `[notifications] notification_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, VersionedEnum)]
pub enum NotificationFormat {
    /// Only the legacy form is sent; nova's default.
    #[default]
    Unversioned,
    /// Only the versioned form is sent.
    Versioned,
    /// Both forms are sent to consumers.
    Both,
}

impl From<NotificationFormat> for Threshold {
    /// nova's only threshold: whether versioned notifications are sent at all.
    fn from(format: NotificationFormat) -> Self {
        match format {
            NotificationFormat::Unversioned => Self::Never,
            NotificationFormat::Versioned | NotificationFormat::Both => Self::Always,
        }
    }
}

impl fmt::Display for NotificationFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The action on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VersionedEnum)]
pub enum NotificationAction {
    Update,
    Exception,
    Delete,
    Pause,
    Unpause,
    Resize,
    VolumeSwap,
    Suspend,
    PowerOn,
    Reboot,
    Shutdown,
    Snapshot,
    InterfaceAttach,
    PowerOff,
    Shelve,
    Resume,
    Restore,
    Exists,
    Rescue,
    VolumeAttach,
    VolumeDetach,
    ShareAttach,
    ShareDetach,
    Create,
    Import,
    Evacuate,
    ResizeFinish,
    LiveMigrationAbort,
    LiveMigrationPostDest,
    LiveMigrationPost,
    LiveMigrationPre,
    LiveMigrationRollback,
    LiveMigrationRollbackDest,
    Rebuild,
    InterfaceDetach,
    ResizeConfirm,
    ResizePrep,
    ResizeRevert,
    ShelveOffload,
    SoftDelete,
    TriggerCrashDump,
    Unrescue,
    Unshelve,
    AddHost,
    RemoveHost,
    AddMember,
    UpdateMetadata,
    Lock,
    Unlock,
    RebuildScheduled,
    UpdateProp,
    LiveMigrationForceComplete,
    Connect,
    Usage,
    BuildInstances,
    MigrateServer,
    RebuildServer,
    SelectDestinations,
    CacheImages,
}
