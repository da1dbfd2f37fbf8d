//! Rules: conditions on notifications, and the actions that they fire. A rule is decided before the append.
//!
//! Rules are asked in their order, cheap conditions first: priority, patterns on the head, patterns on context and
//! payload, then `when`. One that fires with `stop` is the last.

mod condition;
mod counts;
mod decide;
mod guard;
mod key;
mod nested;
mod set;
mod step_limits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use osnl_model::{Head, Mismatch, NotificationFilter, Pattern, Priority, Saw, StepLimit};
use osnl_template::{Expression, Names};

pub use self::condition::holds;
pub use self::condition::{WhenFalse, WhenMismatch};
pub use self::counts::{Condition, RuleCounts};
pub use self::decide::{Decisions, RuleDecision};
pub use self::guard::{Guards, GuardsInForce};
pub use self::key::{KeySource, Path};
pub use self::nested::PathPattern;
pub use self::set::RuleSet;
pub use self::step_limits::StepLimits;
use crate::fallback::Fallback;

/// A condition and the actions it fires. The default has neither name nor condition nor action. Two that are equal decide
/// alike: a reload compares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The rule's name in the configuration.
    pub name: Arc<str>,
    /// The priorities it looks at; `None` is all. A message without priority has none of them.
    pub priorities: Option<BTreeSet<Priority>>,
    /// Patterns on the head, the context, and the payload.
    pub filter: NotificationFilter,
    /// Patterns on values inside of context and payload.
    pub nested: Vec<PathPattern>,
    /// A further condition.
    pub when: Option<Expression>,
    /// Whether the rules after it are not asked once it has fired.
    pub stop: bool,
    /// The actions that it fires, by name.
    pub actions: Vec<Arc<str>>,
    /// Conditions of those of its actions that have one of their own, by name.
    pub conditions: BTreeMap<Arc<str>, Expression>,
    /// Actions that may get what those give up: there must be room for them too.
    pub fallbacks: Vec<Arc<str>>,
    /// The fallbacks of its actions, for deliveries that cannot be begun.
    pub on_failure: BTreeMap<Arc<str>, Fallback>,
    /// Those that it fires whose deliveries wait for no other, whatever the key: a digest is one call of many events.
    pub unordered: BTreeSet<Arc<str>>,
    /// By what its deliveries are kept in order.
    pub key: KeySource,
    /// Whether what it fires is called.
    pub mode: Mode,
    /// The [age](crate::age) beyond which an event that it matches is a dead letter of its actions; `None`: no limit.
    pub max_event_age: Option<Duration>,
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
    /// Whether this rule may match a message with this head; if not, the rest is not read for it. A pattern that is
    /// given up may match.
    #[must_use]
    pub fn wants(&self, head: &Head<'_>) -> bool {
        self.holds_for(head).unwrap_or(true)
    }

    /// Like [`wants`](Self::wants), with an error for a pattern that is given up.
    ///
    /// # Errors
    /// A pattern needed more steps than it may: the rule is undecided.
    pub fn holds_for(&self, head: &Head<'_>) -> Result<bool, StepLimit> {
        Ok(self.wants_priority(head.priority.as_ref()) && self.filter.holds_for(head)?)
    }

    /// Whether the rule fires.
    ///
    /// # Errors
    /// The first predicate that failed, and the value it saw; or that it could not be decided.
    pub fn fires(&self, names: &Names) -> Result<(), RuleMismatch> {
        let notification = &**names.notification();
        if !self.wants_priority(notification.priority.as_ref()) {
            return Err(RuleMismatch::Priority(notification.priority.clone()));
        }
        self.filter.matches(notification).map_err(RuleMismatch::of)?;
        for nested in &self.nested {
            nested.matches(notification).map_err(RuleMismatch::of)?;
        }
        self.when.as_ref().map_or(Ok(()), |when| holds(when, names)).map_err(RuleMismatch::When)
    }

    /// Whether the head alone decides it: nothing of it looks at context, payload or metadata.
    #[must_use]
    pub fn is_decided_by_head(&self) -> bool {
        let NotificationFilter { publisher_id: _, event_type: _, context, metadata, payload } = &self.filter;
        self.when.is_none()
            && self.nested.is_empty()
            && [context, metadata, payload].into_iter().all(BTreeMap::is_empty)
    }

    /// Returns the actions of which a message that it may match needs a place: those that it fires and those behind them.
    /// In shadow nothing waits.
    pub fn takes_places_of(&self) -> impl Iterator<Item = &Arc<str>> {
        let is_live = match self.mode {
            Mode::Live => true,
            Mode::Shadow => false,
        };
        self.actions.iter().chain(&self.fallbacks).filter(move |_| is_live)
    }

    /// Compiles its patterns, which a mere check of a configuration does not need.
    fn prepare(&self) {
        let NotificationFilter { publisher_id, event_type, context, metadata, payload } = &self.filter;
        let keyed = [context, metadata, payload].into_iter().flat_map(|patterns| patterns.values());
        let nested = self.nested.iter().map(|nested| &nested.pattern);
        publisher_id.iter().chain(event_type).chain(keyed).chain(nested).for_each(Pattern::prepare);
        self.when.iter().chain(self.conditions.values()).for_each(Expression::prepare);
    }

    fn wants_priority(&self, priority: Option<&Priority>) -> bool {
        match (&self.priorities, priority) {
            (None, _) => true,
            (Some(wanted), Some(priority)) => wanted.contains(priority),
            (Some(_), None) => false,
        }
    }
}

impl RuleMismatch {
    fn of(mismatch: Mismatch) -> Self {
        match mismatch.saw {
            Saw::StepLimit { .. } => Self::GivenUp(mismatch),
            Saw::Absent | Saw::NotText(_) | Saw::NoKeys(_) | Saw::Text(_) => Self::Filter(mismatch),
        }
    }
}

/// The reason that a rule did not fire.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuleMismatch {
    /// The priority is not one of the rule's.
    #[error("priority is {}", .0.as_ref().map_or("missing", |p| p.as_str()))]
    Priority(Option<Priority>),
    /// A predicate of the filter failed.
    #[error("{0}")]
    Filter(Mismatch),
    /// A pattern was given up after too many steps: whether it matches is not known, so the rule is undecided.
    #[error("the pattern \"{}\" cannot be decided: {} is {}", .0.pattern, .0.predicate, .0.saw)]
    GivenUp(Mismatch),
    /// `when` does not hold.
    #[error("{0}")]
    When(WhenMismatch),
    /// A rule before it has fired and is the last that is asked.
    #[error("rule {by} matched before it, and stops")]
    Stopped {
        /// That rule.
        by: Arc<str>,
    },
}
