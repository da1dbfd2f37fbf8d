//! Changes to a daemon while it runs.
//!
//! The owner of the configuration reads it again, checks it, and builds new parts ([`Reload::prepare`]), while the
//! daemon continues. Only then does the daemon change, all at once and without waiting. A refused configuration changes
//! nothing.

use std::sync::Arc;

use osnl_transport::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::delivery::{DeliveryLoop, Setup};
use crate::listener::{Listener, QueueExit};
use crate::native::SectionChangeKind;

/// The files that a reload reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadScope {
    /// The configuration, with the files that it names.
    Configuration,
    /// The files of secrets that the configuration in force names.
    Secrets,
}

/// Reads a configuration again and builds what is new.
pub trait Reload: Send {
    /// Prepares a change without making it. It may take as long as reading files takes; the daemon continues meanwhile.
    fn prepare(
        self: Box<Self>,
        scope: ReloadScope,
    ) -> BoxFuture<'static, (Box<dyn Reload>, Result<ReloadChanges, ReloadRefusal>)>;

    /// Puts the last preparation into force; must not wait.
    fn commit(&mut self);
}

/// The consequences of another configuration.
#[derive(Default)]
pub struct ReloadChanges {
    /// Listeners that end, by name; those that are replaced too.
    pub leave: Vec<Arc<str>>,
    /// The queues that those leave, and no listener reads from now on.
    pub(crate) exits: Vec<QueueExit>,
    /// Listeners that begin.
    pub begin: Vec<Listener>,
    /// Actions that end.
    pub retire: Vec<Arc<str>>,
    /// Actions whose next attempt is made with something else.
    pub setups: Vec<(Arc<str>, Setup)>,
    /// Actions that begin.
    pub deliveries: Vec<DeliveryLoop>,
    /// The names of all listeners and actions, in their order from now on.
    pub order: (Vec<Arc<str>>, Vec<Arc<str>>),
    /// For people.
    pub told: ReloadSummary,
}

/// The changes, for people and scripts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadSummary {
    /// Section by section.
    pub changes: Vec<SectionChange>,
    /// The warnings for the operator.
    pub warnings: Vec<String>,
}

/// A section that a reload has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionChange {
    /// Between the brackets.
    pub section: String,
    /// Whether it is new, removed, or has other values.
    pub what: SectionChangeKind,
    /// The options that have another value; no value, which may be a secret.
    pub options: Vec<String>,
    /// The consequence.
    pub effect: String,
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

/// A refused reload: nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadRefusal {
    /// The kind of reason.
    pub reason: ReloadRefusalReason,
    /// Every error, one line each.
    pub errors: Vec<String>,
}

/// The kinds of refused reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReloadRefusalReason {
    /// The configuration is wrong.
    Configuration,
    /// It is right, and something in it cannot change while the daemon runs.
    NeedsRestart,
    /// It is right, and something that it names cannot be used here and now.
    Unusable,
    /// It is right, and a listener would leave a queue that is not known to be empty.
    QueueNotEmpty,
    /// The daemon is ending, or has no configuration that it could read again.
    Unsupported,
}

/// The result of a request to reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// The changes are in force; without any, everything continued as it was.
    Done(ReloadSummary),
    /// Nothing was changed.
    Refused(ReloadRefusal),
}

/// A request to reload.
pub(crate) struct ReloadRequest {
    /// The requester, for the log.
    pub(crate) by: String,
    pub(crate) scope: ReloadScope,
    pub(crate) answer: Option<oneshot::Sender<ReloadOutcome>>,
}
