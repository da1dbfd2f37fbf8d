//! The common parts of nova's notifications: event types with phases, publishers `source:host`, priorities, the
//! format.
//!
//! Payload classes of nova are not here: nova emits them, in Python. A service that speaks nova's form derives its
//! own (`namespace = "nova"`, `schema_in_fingerprint`) and takes these as `event_type`, `publisher` and `priority`.

use std::fmt;

use osnl_derive::{VersionedEnum, VersionedObject};

use super::{EventTypeText, Level, PublisherText, Severity, Threshold, VersionedEnum as _};
use osnl_model::Priority;

/// The phase of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VersionedEnum)]
pub enum NotificationPhase {
    /// `start`
    Start,
    /// `end`
    End,
    /// `error`
    Error,
    /// `progress`
    Progress,
}

/// nova's priorities. There is no threshold among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VersionedEnum)]
pub enum NotificationPriority {
    /// `audit`
    Audit,
    /// `critical`
    Critical,
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `error`
    Error,
    /// `sample`
    Sample,
    /// `warn`
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

/// nova's services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VersionedEnum)]
pub enum NotificationSource {
    /// `nova-api`
    #[versioned(value = "nova-api")]
    Api,
    /// `nova-compute`
    #[versioned(value = "nova-compute")]
    Compute,
    /// `nova-conductor`
    #[versioned(value = "nova-conductor")]
    Conductor,
    /// `nova-scheduler`
    #[versioned(value = "nova-scheduler")]
    Scheduler,
    /// `nova-network`
    #[versioned(value = "nova-network")]
    Network,
    /// `nova-consoleauth`
    #[versioned(value = "nova-consoleauth")]
    Consoleauth,
    /// `nova-cells`
    #[versioned(value = "nova-cells")]
    Cells,
    /// `nova-console`
    #[versioned(value = "nova-console")]
    Console,
    /// `nova-metadata`
    #[versioned(value = "nova-metadata")]
    Metadata,
}

/// The event type: `<object>.<action>[.<phase>]`.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "nova", version = "1.22")]
pub struct EventType {
    /// The object, such as `instance`.
    pub object: String,
    /// The action: one of nova's own list, which grows with minor versions.
    pub action: NotificationAction,
    /// The phase of the action, if it takes a while.
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

/// The publisher: `<source>:<host>`.
#[derive(Clone, PartialEq, VersionedObject)]
#[versioned(namespace = "nova", version = "2.2")]
pub struct NotificationPublisher {
    /// The host.
    pub host: String,
    /// The service.
    pub source: NotificationSource,
}

impl PublisherText for NotificationPublisher {
    fn publisher_id(&self) -> String {
        format!("{}:{}", self.source.as_str(), self.host)
    }
}

/// The option `[notifications] notification_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, VersionedEnum)]
pub enum NotificationFormat {
    /// Only the legacy form is sent; nova's default.
    #[default]
    Unversioned,
    /// Only the versioned form is sent.
    Versioned,
    /// Both are sent.
    Both,
}

impl From<NotificationFormat> for Threshold {
    /// nova's only gate: whether versioned notifications are sent at all.
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
    /// `update`
    Update,
    /// `exception`
    Exception,
    /// `delete`
    Delete,
    /// `pause`
    Pause,
    /// `unpause`
    Unpause,
    /// `resize`
    Resize,
    /// `volume_swap`
    VolumeSwap,
    /// `suspend`
    Suspend,
    /// `power_on`
    PowerOn,
    /// `reboot`
    Reboot,
    /// `shutdown`
    Shutdown,
    /// `snapshot`
    Snapshot,
    /// `interface_attach`
    InterfaceAttach,
    /// `power_off`
    PowerOff,
    /// `shelve`
    Shelve,
    /// `resume`
    Resume,
    /// `restore`
    Restore,
    /// `exists`
    Exists,
    /// `rescue`
    Rescue,
    /// `volume_attach`
    VolumeAttach,
    /// `volume_detach`
    VolumeDetach,
    /// `share_attach`
    ShareAttach,
    /// `share_detach`
    ShareDetach,
    /// `create`
    Create,
    /// `import`
    Import,
    /// `evacuate`
    Evacuate,
    /// `resize_finish`
    ResizeFinish,
    /// `live_migration_abort`
    LiveMigrationAbort,
    /// `live_migration_post_dest`
    LiveMigrationPostDest,
    /// `live_migration_post`
    LiveMigrationPost,
    /// `live_migration_pre`
    LiveMigrationPre,
    /// `live_migration_rollback`
    LiveMigrationRollback,
    /// `live_migration_rollback_dest`
    LiveMigrationRollbackDest,
    /// `rebuild`
    Rebuild,
    /// `interface_detach`
    InterfaceDetach,
    /// `resize_confirm`
    ResizeConfirm,
    /// `resize_prep`
    ResizePrep,
    /// `resize_revert`
    ResizeRevert,
    /// `shelve_offload`
    ShelveOffload,
    /// `soft_delete`
    SoftDelete,
    /// `trigger_crash_dump`
    TriggerCrashDump,
    /// `unrescue`
    Unrescue,
    /// `unshelve`
    Unshelve,
    /// `add_host`
    AddHost,
    /// `remove_host`
    RemoveHost,
    /// `add_member`
    AddMember,
    /// `update_metadata`
    UpdateMetadata,
    /// `lock`
    Lock,
    /// `unlock`
    Unlock,
    /// `rebuild_scheduled`
    RebuildScheduled,
    /// `update_prop`
    UpdateProp,
    /// `live_migration_force_complete`
    LiveMigrationForceComplete,
    /// `connect`
    Connect,
    /// `usage`
    Usage,
    /// `build_instances`
    BuildInstances,
    /// `migrate_server`
    MigrateServer,
    /// `rebuild_server`
    RebuildServer,
    /// `select_destinations`
    SelectDestinations,
    /// `cache_images`
    CacheImages,
}
