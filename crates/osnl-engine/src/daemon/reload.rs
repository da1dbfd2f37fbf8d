//! The changes that a reload makes to a running daemon.
//!
//! New parts are built ([`Reload::prepare`]) while the daemon continues, then put into force at once. A refused
//! configuration changes nothing.

use std::sync::Arc;

use osnl_transport::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::listener::{Listener, QueueExit};
use osnl_delivery::{DeliveryLoop, Setup};

/// The extent of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadScope {
    Configuration,
    /// Only the files of secrets that the present configuration names.
    Secrets,
    /// The configuration, which is compared and not built, so that nothing can be applied.
    Preview,
}

/// Reads a changed configuration and applies it to the running daemon.
pub trait Reload: Send {
    /// Prepares a change without applying it. Reading files may take time, since the daemon continues.
    fn prepare(
        self: Box<Self>,
        scope: ReloadScope,
    ) -> BoxFuture<'static, (Box<dyn Reload>, Result<ReloadChanges, ReloadRefusal>)>;

    /// Applies the last preparation; must not wait.
    fn commit(&mut self);
}

/// The parts that a prepared reload ends, begins, and replaces.
#[derive(Default)]
pub struct ReloadChanges {
    /// The listeners to end.
    pub leave: Vec<Arc<str>>,
    /// The queues of these that are emptied first.
    pub exits: Vec<QueueExit>,
    /// The listeners to start.
    pub begin: Vec<Listener>,
    /// The actions whose loops end.
    pub retire: Vec<Arc<str>>,
    /// The actions that go on with other settings.
    pub setups: Vec<(Arc<str>, Setup)>,
    /// The delivery loops to start.
    pub deliveries: Vec<DeliveryLoop>,
    /// The names of all listeners and actions, in the order of the configuration.
    pub order: (Vec<Arc<str>>, Vec<Arc<str>>),
    /// The changes in words.
    pub told: ReloadSummary,
}

/// The changes of a reload in words, for its caller and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadSummary {
    pub changes: Vec<SectionChange>,
    pub warnings: Vec<String>,
}

/// A section that a reload changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SectionChange {
    pub section: String,
    /// Whether the section is new, removed, or has other values.
    pub what: SectionChangeKind,
    /// The names of changed options, never values, which may be secrets.
    pub options: Vec<String>,
    /// The consequence of the change for the daemon.
    pub effect: String,
}

/// The kind of a section's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SectionChangeKind {
    Added,
    Removed,
    Changed,
}

impl SectionChangeKind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

impl std::fmt::Display for SectionChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { section, what, options, effect } = self;
        write!(f, "[{section}] {}", what.name())?;
        if !options.is_empty() {
            write!(f, " ({})", options.join(", "))?;
        }
        write!(f, ": {effect}")
    }
}

/// The refusal of a reload, after which the former configuration stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadRefusal {
    pub reason: ReloadRefusalReason,
    pub errors: Vec<String>,
}

/// The kind of a refused reload, by which a caller knows what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReloadRefusalReason {
    Configuration,
    NeedsRestart,
    Unusable,
    QueueNotEmpty,
    Unsupported,
}

/// The end of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    Done(ReloadSummary),
    Refused(ReloadRefusal),
}

/// A caller's reload, which the daemon answers.
pub(crate) struct ReloadRequest {
    pub(crate) by: String,
    pub(crate) scope: ReloadScope,
    pub(crate) answer: Option<oneshot::Sender<ReloadOutcome>>,
}
