use rusqlite::{Result, Row};

use super::rows::{self};
use crate::DeliveryId;
use crate::query::RowState;

/// The lane of a delivery: shared ones have the number of action and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneKey {
    Shared(i64),
    Alone(DeliveryId),
}

/// A row of a delivery, as far as the order of its lane needs it.
#[derive(Clone, Debug)]
pub(super) struct LaneEntry {
    pub(super) id: DeliveryId,
    pub(super) action: String,
    pub(super) key: Option<String>,
    pub(super) state: RowState,
    pub(super) ordered: bool,
    /// The lane in which it stands; `None` once ended, or if it has none.
    pub(super) lane: Option<i64>,
    /// An operator's change that applies at the end of the claim; `None` without one.
    pub(super) deferred: Option<DeferredChange>,
}

impl LaneEntry {
    pub(super) fn own_lane(&self) -> LaneKey {
        self.shared_lane().map_or(LaneKey::Alone(self.id), LaneKey::Shared)
    }

    pub(super) fn shared_lane(&self) -> Option<i64> {
        let key = self.key.as_deref().filter(|_| self.ordered);
        self.lane.or_else(|| key.map(|key| rows::lane(&self.action, key)))
    }
}

/// An operator's change of a claimed delivery, kept until the claim ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeferredChange {
    Discard {
        by: String,
    },
    Hold {
        why: String,
    },
    Move {
        to: String,
    },
    /// Waits behind earlier dead letters of its lane, which are retried first. The text has their rows.
    GiveWay {
        to: String,
    },
}

impl DeferredChange {
    pub(super) const HOLD: i64 = 2;

    pub(super) fn number(&self) -> i64 {
        match self {
            Self::Discard { .. } => 1,
            Self::Hold { .. } => Self::HOLD,
            Self::Move { .. } => 3,
            Self::GiveWay { .. } => 4,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Discard { by: text }
            | Self::Hold { why: text }
            | Self::Move { to: text }
            | Self::GiveWay { to: text } => text,
        }
    }

    pub(super) fn read(row: &Row<'_>, from: usize) -> Result<Option<Self>> {
        let text = || row.get(from + 1);
        Ok(match row.get::<_, Option<i64>>(from)? {
            Some(1) => Some(Self::Discard { by: text()? }),
            Some(Self::HOLD) => Some(Self::Hold { why: text()? }),
            Some(3) => Some(Self::Move { to: text()? }),
            Some(4) => Some(Self::GiveWay { to: text()? }),
            Some(_) | None => None,
        })
    }
}
