//! Rules: conditions on notifications, and the actions that they fire. Rules are decided before the append.
//!
//! Rules are asked in order, cheap conditions first: priority, patterns on the head, patterns on context and payload,
//! then `when`. A rule that fires with `stop` is the last.

mod condition;
mod counts;
mod decide;
mod event_order;
mod guard;
mod key;
mod nested;
mod set;
mod step_limits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use osnl_config::template::{Expression, Names};
use osnl_model::{Head, Mismatch, NotificationFilter, Observed, Pattern, Priority, StepLimit};

pub use self::condition::holds;
pub use self::condition::{WhenFalse, WhenMismatch};
pub use self::counts::{Condition, RuleCounts};
pub use self::decide::{Decisions, RuleDecision};
pub use self::event_order::{EventOrder, TimedEvent};
pub use self::guard::{GuardHold, GuardKind, GuardName, Guards, GuardsInForce};
pub use self::key::{KeySource, Path};
pub use self::nested::PathPattern;
pub use self::set::RuleSet;
pub use self::step_limits::StepLimits;
use crate::fallback::Fallback;

/// A condition and the actions that it fires. Equal rules decide alike: a reload compares rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The name of the rule's section.
    pub name: Arc<str>,
    /// The priorities that match; `None` matches all. A message without a priority matches no set.
    pub priorities: Option<BTreeSet<Priority>>,
    /// The patterns of oslo.messaging's filter, on the head and on top-level keys.
    pub filter: NotificationFilter,
    /// The patterns on paths below top-level keys.
    pub nested: Vec<PathPattern>,
    /// The condition on the whole message, asked last; `None` if there is none.
    pub when: Option<Expression>,
    /// Whether no later rule is asked after this one has fired.
    pub stop: bool,
    /// The actions that it fires, in order.
    pub actions: Vec<Arc<str>>,
    /// The `when` of each action that the event alone decides.
    pub conditions: BTreeMap<Arc<str>, Expression>,
    /// Actions that get deliveries which the rule's actions give up. The journal must have room for them too.
    pub fallbacks: Vec<Arc<str>>,
    /// The fallback of each action that has one.
    pub on_failure: BTreeMap<Arc<str>, Fallback>,
    /// Actions whose deliveries are not ordered, whatever the key: a digest is one call for many events.
    pub unordered: BTreeSet<Arc<str>>,
    /// The source of the key that orders its deliveries.
    pub key: KeySource,
    /// Whether its actions are called.
    pub mode: Mode,
    /// The [age](crate::age) beyond which a matched event becomes a dead letter; `None` for no limit.
    pub max_event_age: Option<Duration>,
    /// Whether an event ends as a dead letter if a newer one of its key came before it, by this rule or another with it.
    pub order_by_event_time: bool,
}

/// Whether a rule acts, or only shows what it would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Live,
    /// Deliveries are recorded as done, to show the rule's effect before it is live.
    Shadow,
}

osnl_config::words!(Mode: "live" => Mode::Live, "shadow" => Mode::Shadow);

impl Rule {
    /// Returns whether the rule may match a message with this head. If not, the rest is not read. A pattern that is
    /// given up may match.
    #[must_use]
    pub fn wants(&self, head: &Head<'_>) -> bool {
        self.holds_for(head).unwrap_or(true)
    }

    pub fn holds_for(&self, head: &Head<'_>) -> Result<bool, StepLimit> {
        Ok(self.wants_priority(head.priority.as_ref()) && self.filter.holds_for(head)?)
    }

    /// # Errors
    /// Returns the first predicate that failed with the value it saw, or that the rule is undecided.
    pub fn fires(&self, names: &Names) -> Result<(), RuleMismatch> {
        let notification = &**names.notification();
        if !self.wants_priority(notification.priority.as_ref()) {
            return Err(RuleMismatch::Priority(notification.priority.clone()));
        }
        self.filter.matches(notification).map_err(RuleMismatch::from_mismatch)?;
        for nested in &self.nested {
            nested.matches(notification).map_err(RuleMismatch::from_mismatch)?;
        }
        self.when.as_ref().map_or(Ok(()), |when| holds(when, names)).map_err(RuleMismatch::When)
    }

    #[must_use]
    pub fn is_decided_by_head(&self) -> bool {
        let NotificationFilter { publisher_id: _, event_type: _, context, metadata, payload } = &self.filter;
        self.when.is_none()
            && self.nested.is_empty()
            && [context, metadata, payload].into_iter().all(BTreeMap::is_empty)
    }

    /// Returns the actions that need a free place, fallbacks included. In shadow no delivery waits.
    pub fn takes_places_of(&self) -> impl Iterator<Item = &Arc<str>> {
        let is_live = match self.mode {
            Mode::Live => true,
            Mode::Shadow => false,
        };
        self.actions.iter().chain(&self.fallbacks).filter(move |_| is_live)
    }

    /// Returns the paths that the conditions on the whole message read. Patterns on top-level keys match only text.
    pub fn condition_paths(&self) -> impl Iterator<Item = String> {
        let nested = self.nested.iter().map(|nested| nested.predicate.to_string());
        nested.chain(self.when.iter().flat_map(Expression::paths).map(str::to_owned))
    }

    /// Compiles the patterns, which the check of a configuration does not need.
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
    fn from_mismatch(mismatch: Mismatch) -> Self {
        match mismatch.observed {
            Observed::StepLimit { .. } => Self::GivenUp(mismatch),
            Observed::Absent | Observed::NotText(_) | Observed::NoKeys(_) | Observed::Text(_) => {
                Self::Filter(mismatch)
            }
        }
    }
}

/// The reason why a rule did not fire, for `osnl explain` and the counts of conditions.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuleMismatch {
    #[error("priority is {}", .0.as_ref().map_or("missing", |p| p.as_str()))]
    Priority(Option<Priority>),
    #[error("{0}")]
    Filter(Mismatch),
    /// A pattern exceeded its steps, so the rule is undecided and makes dead letters.
    #[error("the pattern \"{}\" cannot be decided: {} is {}", .0.shown_pattern(), .0.predicate, .0.observed)]
    GivenUp(Mismatch),
    #[error("{0}")]
    When(WhenMismatch),
    #[error("rule {by} matched before it, with stop = true")]
    Stopped { by: Arc<str> },
}
