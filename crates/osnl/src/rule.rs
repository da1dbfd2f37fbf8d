//! Which notifications fire which actions. Everything of a rule is decided before the append.

mod counts;
mod guard;
mod key;
mod set;
mod step_limits;

use std::collections::BTreeSet;
use std::sync::Arc;

use osnl_model::{Head, Mismatch, Notification, NotificationFilter, Priority, StepLimit};

pub use self::counts::{Condition, RuleCounts};
pub use self::guard::{Guards, HELD, Rate};
pub use self::key::{KeySource, Path};
pub use self::set::RuleSet;
pub(crate) use self::step_limits::StepLimits;

/// A condition and the actions it fires.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The rule's name in the configuration.
    pub name: Arc<str>,
    /// The priorities it looks at; `None` is all. A message without priority has none of them.
    pub priorities: Option<BTreeSet<Priority>>,
    /// What must match.
    pub filter: NotificationFilter,
    /// What it fires, by name.
    pub actions: Vec<Arc<str>>,
    /// By what its deliveries are kept in order.
    pub key: KeySource,
    /// Whether what it fires is called.
    pub mode: Mode,
}

/// `mode` of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    #[default]
    Live,
    /// It is recorded as done: to see what a rule would do before it does it.
    Shadow,
}

impl Rule {
    /// Whether the head lets this rule fire; the rest is not read for a rule that says no.
    #[must_use]
    pub fn wants(&self, head: &Head<'_>) -> bool {
        self.holds_for(head).unwrap_or(false)
    }

    /// The same, saying when a pattern had to be given up.
    ///
    /// # Errors
    /// A pattern needed more steps than it may: the rule does not want the message.
    pub fn holds_for(&self, head: &Head<'_>) -> Result<bool, StepLimit> {
        Ok(self.wants_priority(head.priority.as_ref()) && self.filter.holds_for(head)?)
    }

    /// Whether the rule fires.
    ///
    /// # Errors
    /// The first predicate that failed, and the value it saw.
    pub fn fires(&self, notification: &Notification) -> Result<(), RuleMismatch> {
        if !self.wants_priority(notification.priority.as_ref()) {
            return Err(RuleMismatch::Priority(notification.priority.clone()));
        }
        self.filter.matches(notification).map_err(RuleMismatch::Filter)
    }

    fn wants_priority(&self, priority: Option<&Priority>) -> bool {
        match (&self.priorities, priority) {
            (None, _) => true,
            (Some(wanted), Some(priority)) => wanted.contains(priority),
            (Some(_), None) => false,
        }
    }
}

/// Why a rule did not fire.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuleMismatch {
    /// The priority is not one of the rule's.
    #[error("priority is {}", .0.as_ref().map_or("missing", |p| p.as_str()))]
    Priority(Option<Priority>),
    /// A predicate of the filter failed.
    #[error("{0}")]
    Filter(Mismatch),
}
