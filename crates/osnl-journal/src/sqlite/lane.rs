//! A delivery as the steps of a transaction see it: its lane, and the change that waits for the end of its claim.

use rusqlite::{Result, Row};

use super::rows::{self, RowState};
use crate::DeliveryId;

/// The lane in which a delivery waits for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneKey {
    /// With all others of this lane.
    Shared(i64),
    /// It waits for none.
    Alone(DeliveryId),
}

/// A delivery as far as its order is concerned.
#[derive(Clone, Debug)]
pub(super) struct LaneEntry {
    pub(super) id: DeliveryId,
    pub(super) action: String,
    pub(super) key: Option<String>,
    pub(super) state: RowState,
    /// Whether it waits for those of its action and key that came before it.
    pub(super) ordered: bool,
    /// The lane that it stands in now.
    pub(super) lane: Option<i64>,
    /// The change to make when its claim has ended.
    pub(super) wish: Option<DeferredChange>,
}

impl LaneEntry {
    /// Returns the lane in which it waits once it is open.
    pub(super) fn own_lane(&self) -> LaneKey {
        self.shared_lane().map_or(LaneKey::Alone(self.id), LaneKey::Shared)
    }

    pub(super) fn shared_lane(&self) -> Option<i64> {
        let key = self.key.as_deref().filter(|_| self.ordered);
        self.lane.or_else(|| key.map(|key| rows::lane(&self.action, key)))
    }
}

/// A change to make when a claim has ended; it is in the columns `wish` and `wish_text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DeferredChange {
    /// It ends without an effect, discarded by the operator.
    Discard { by: String },
    /// It waits until it is released.
    Hold { why: String },
    /// It becomes another action's.
    Move { to: String },
}

impl DeferredChange {
    /// The number of a wish to hold.
    pub(super) const HOLD: i64 = 2;

    pub(super) fn number(&self) -> i64 {
        match self {
            Self::Discard { .. } => 1,
            Self::Hold { .. } => Self::HOLD,
            Self::Move { .. } => 3,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Discard { by: text } | Self::Hold { why: text } | Self::Move { to: text } => text,
        }
    }

    /// The columns at `from` and behind it.
    pub(super) fn read(row: &Row<'_>, from: usize) -> Result<Option<Self>> {
        let text = || row.get(from + 1);
        Ok(match row.get::<_, Option<i64>>(from)? {
            Some(1) => Some(Self::Discard { by: text()? }),
            Some(Self::HOLD) => Some(Self::Hold { why: text()? }),
            Some(3) => Some(Self::Move { to: text()? }),
            Some(_) | None => None,
        })
    }
}
