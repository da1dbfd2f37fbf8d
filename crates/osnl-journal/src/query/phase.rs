//! The words for the state of a delivery, defined only here and used by screens, JSON, filters, and the
//! glossary.
//!
//! A phase combines the [`RowState`] that a store keeps with facts of the moment: whether an attempt runs or has
//! failed, and whether the action is configured. SQL and `DeliveryListRow::phase` decide alike.

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, Outcome};

/// The state of a delivery. The numbers are those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowState {
    /// Behind an older delivery of its key.
    Waiting = 0,
    /// The delivery has the turn of its lane: it can be claimed, is claimed, or waits for its retry. [`Phase`] tells these
    /// apart.
    Ready = 1,
    /// Held by the operator or a guard, as are the deliveries behind it.
    Held = 2,
    Dead = 3,
    Delivered = 4,
    NothingToDo = 5,
    Discarded = 6,
    /// Wanted by a shadow rule: recorded as done, and nothing was called.
    Shadow = 7,
}

impl RowState {
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Ready,
        Self::Held,
        Self::Dead,
        Self::Delivered,
        Self::NothingToDo,
        Self::Discarded,
        Self::Shadow,
    ];

    #[must_use]
    pub fn is_open(self) -> bool {
        self <= Self::Held
    }
}

/// The state of a delivery as an operator sees it. JSON has the [`word`](Phase::word).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// First of its resource, without a failed attempt.
    Ready,
    Running,
    Retrying,
    /// Behind another delivery of its resource.
    Waiting,
    /// Waits for an operator: a guard's limit was exceeded, or osnl ended unexpectedly three times during its attempts.
    #[serde(rename = "waiting for release")]
    ForRelease,
    /// Open, and its action is not configured.
    Orphaned,
    Dead,
    Delivered,
    #[serde(rename = "no action needed")]
    NoActionNeeded,
    Shadow,
    Discarded,
}

impl Phase {
    pub const ALL: [Self; 11] = [
        Self::Ready,
        Self::Running,
        Self::Retrying,
        Self::Waiting,
        Self::ForRelease,
        Self::Orphaned,
        Self::Dead,
        Self::Delivered,
        Self::NoActionNeeded,
        Self::Shadow,
        Self::Discarded,
    ];

    /// In the order of who must act: an operator, then osnl; last the phases that are over.
    pub const BY_URGENCY: [Self; 11] = [
        Self::Dead,
        Self::ForRelease,
        Self::Orphaned,
        Self::Retrying,
        Self::Ready,
        Self::Waiting,
        Self::Running,
        Self::Delivered,
        Self::NoActionNeeded,
        Self::Shadow,
        Self::Discarded,
    ];

    pub const GROUPS: [(&'static str, &'static [Self]); 3] = [
        ("pending", &[Self::Ready, Self::Running, Self::Retrying, Self::Waiting, Self::Orphaned]),
        (
            "open",
            &[Self::Ready, Self::Running, Self::Retrying, Self::Waiting, Self::ForRelease, Self::Orphaned],
        ),
        ("done", &[Self::Delivered, Self::NoActionNeeded, Self::Shadow]),
    ];

    pub const NAMES: [&'static str; 14] = [
        "ready",
        "running",
        "retrying",
        "waiting",
        "waiting-for-release",
        "orphaned",
        "dead",
        "delivered",
        "no-action-needed",
        "shadow",
        "discarded",
        "pending",
        "open",
        "done",
    ];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Waiting => "waiting",
            Self::ForRelease => "waiting for release",
            Self::Orphaned => "orphaned",
            Self::Dead => "dead",
            Self::Delivered => "delivered",
            Self::NoActionNeeded => "no action needed",
            Self::Shadow => "shadow",
            Self::Discarded => "discarded",
        }
    }

    #[must_use]
    pub fn named(name: &str) -> Option<Vec<Self>> {
        let name = name.trim().to_ascii_lowercase();
        if let Some((_, group)) = Self::GROUPS.into_iter().find(|(group, _)| *group == name) {
            return Some(group.to_vec());
        }
        let name = name.replace(['-', '_'], " ");
        Self::ALL.into_iter().find(|phase| phase.word() == name).map(|phase| vec![phase])
    }

    #[must_use]
    pub fn word_of(state: RowState) -> &'static str {
        Self::from_state(state).word()
    }

    pub(super) fn from_state(state: RowState) -> Self {
        match state {
            RowState::Waiting => Self::Waiting,
            RowState::Ready => Self::Ready,
            RowState::Held => Self::ForRelease,
            RowState::Dead => Self::Dead,
            RowState::Delivered => Self::Delivered,
            RowState::NothingToDo => Self::NoActionNeeded,
            RowState::Discarded => Self::Discarded,
            RowState::Shadow => Self::Shadow,
        }
    }

    #[must_use]
    pub fn after(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::NothingToDo => Self::NoActionNeeded,
            Outcome::Dead(_) | Outcome::DeadHoldingKey(_) => Self::Dead,
            Outcome::Returned => Self::Ready,
        }
    }

    pub(crate) fn states(self) -> &'static [RowState] {
        match self {
            Self::Ready | Self::Running | Self::Retrying => &[RowState::Ready],
            Self::Waiting => &[RowState::Waiting],
            Self::ForRelease => &[RowState::Held],
            Self::Orphaned => &[RowState::Waiting, RowState::Ready, RowState::Held],
            Self::Dead => &[RowState::Dead],
            Self::Delivered => &[RowState::Delivered],
            Self::NoActionNeeded => &[RowState::NothingToDo],
            Self::Shadow => &[RowState::Shadow],
            Self::Discarded => &[RowState::Discarded],
        }
    }

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| *phase as i64 == number)
    }
}

/// The facts about deliveries that only the daemon has, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryContext {
    pub running: Vec<DeliveryId>,
    pub configured: Option<Vec<String>>,
}

impl QueryContext {
    pub(crate) fn is_configured(&self, action: &str) -> bool {
        self.configured.as_ref().is_none_or(|known| known.iter().any(|known| known == action))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_and_each_word_is_understood() {
        let check = |name: &str, expected: &[Phase]| {
            assert_eq!(Phase::named(name).as_deref(), Some(expected), "{name}");
        };
        for phase in Phase::ALL {
            check(phase.word(), &[phase]);
        }
        check("no-action-needed", &[Phase::NoActionNeeded]);
        check("Waiting_For_Release", &[Phase::ForRelease]);
        for state in RowState::ALL {
            let phases = Phase::named(Phase::word_of(state)).unwrap_or_default();
            assert!(phases.iter().any(|phase| phase.states().contains(&state)), "{state:?}");
        }
        let pending = Phase::named("pending").unwrap();
        assert!(pending.contains(&Phase::Retrying) && !pending.contains(&Phase::ForRelease));
        assert_eq!(Phase::named("dedd"), None);
        for phase in Phase::ALL {
            assert!(Phase::NAMES.contains(&phase.word().replace(' ', "-").as_str()), "{phase:?}");
        }
        for name in Phase::NAMES {
            assert!(Phase::named(name).is_some(), "{name}");
        }
    }
}
