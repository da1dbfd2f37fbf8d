use super::{Filter, RowState};
use crate::{DeliveryId, PauseNote};

/// An operator's change of deliveries or of an action.
#[derive(Clone, Debug)]
pub enum Change {
    /// Attempts dead letters again; `out_of_order` accepts that a later delivery of the key was delivered.
    Retry {
        which: Filter,
        out_of_order: bool,
    },
    /// Ends deliveries without an attempt.
    Discard {
        which: Filter,
        by: String,
    },
    /// Holds open deliveries, and the deliveries behind them in their lanes, until the release.
    Hold {
        which: Filter,
        why: String,
    },
    /// Releases held deliveries, and claimed deliveries that were to be held.
    Release {
        which: Filter,
    },
    /// Gives open deliveries to another action.
    Move {
        which: Filter,
        to: String,
    },
    /// Lets no attempt of an action begin until it is resumed.
    Pause {
        action: String,
        note: PauseNote,
    },
    Resume {
        action: String,
    },
}

impl Change {
    #[must_use]
    pub fn which(&self) -> Option<(&Filter, &'static [RowState])> {
        Some(match self {
            Self::Retry { which, .. } => (which, &[RowState::Dead]),
            Self::Discard { which, .. } => {
                (which, &[RowState::Waiting, RowState::Ready, RowState::Held, RowState::Dead])
            }
            Self::Hold { which, .. } => (which, &[RowState::Waiting, RowState::Ready]),
            Self::Release { which } => (which, &[RowState::Held]),
            Self::Move { which, .. } => (which, &[RowState::Waiting, RowState::Ready, RowState::Held]),
            Self::Pause { .. } | Self::Resume { .. } => return None,
        })
    }

    #[must_use]
    pub(crate) fn is_out_of_order(&self) -> bool {
        matches!(self, Self::Retry { out_of_order: true, .. })
    }

    #[must_use]
    pub fn selection(&self) -> Option<Filter> {
        let (which, states) = self.which()?;
        let states: Vec<RowState> = match &which.states[..] {
            [] => states.to_vec(),
            asked => states.iter().copied().filter(|state| asked.contains(state)).collect(),
        };
        (!states.is_empty()).then(|| Filter { states, ..which.clone() })
    }
}

/// The reason for which a change leaves a delivery as it is. It names no delivery, so that equal refusals are one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefusal {
    /// A later delivery of the resource had an effect, which the retry could undo.
    #[error(
        "a later delivery of the same resource was delivered, and a late retry could undo it: retry with --out-of-order \
         nevertheless, or discard"
    )]
    Overtaken,
    /// Whether a later delivery of the resource had an effect is unknown.
    #[error(
        "deliveries that ended since it came have left the journal (retention), and whether one was of the same \
         resource is not known: a late retry could undo it; --out-of-order does it nevertheless"
    )]
    Forgotten,
    /// A later delivery of the resource waits for another change of an operator.
    #[error(
        "a later delivery of the same resource is about to be changed by an operator: ask again in a moment"
    )]
    Changing,
    /// The delivery is of the action that it is to move to.
    #[error("it is of {0} already")]
    SameAction(String),
}

impl ChangeRefusal {
    /// Whether a retry was refused for the order alone, so that a retry out of order is not.
    #[must_use]
    pub fn is_for_order(&self) -> bool {
        match self {
            Self::Overtaken | Self::Forgotten => true,
            Self::Changing | Self::SameAction(_) => false,
        }
    }
}

/// The effect of a change on each delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeOutcome {
    pub changed: Vec<DeliveryId>,
    /// Deliveries that cannot be changed, each with the reason.
    pub refused: Vec<(DeliveryId, ChangeRefusal)>,
    /// Claimed deliveries, which change at the end of their attempt unless it succeeds.
    pub under_way: Vec<DeliveryId>,
}

impl ChangeOutcome {
    pub(crate) fn add(&mut self, other: Self) {
        self.changed.extend(other.changed);
        self.refused.extend(other.refused);
        self.under_way.extend(other.under_way);
    }
}

/// The reason why a change could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("the journal is closed")]
    Closed,
    #[error("the journal cannot be read: {0}")]
    Unreadable(String),
}
