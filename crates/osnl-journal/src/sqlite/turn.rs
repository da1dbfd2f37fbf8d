//! The turns of lanes: only this module gives a delivery the turn ([`RowState::Ready`]), without which it is not claimed.
//! The turn stays with the delivery while it is claimed, and while it waits for its retry.
//!
//! A lane has the deliveries of one action and resource key, ordered by number. The first waiting delivery
//! has the turn, unless
//! - one of the lane has the turn already and keeps it, even if an older one is reopened meanwhile; only an
//!   operator's change takes the turn away, and from a claimed delivery only when its attempt has ended,
//! - a dead letter holds the lane,
//! - a held delivery precedes it.
//!
//! A delivery without a key, or without order, is alone in its own lane.
//!
//! An append need not look: a new delivery is the last of its lane, and [`Work::on_arrival`] predicts the
//! result of [`Work::lane_turn`]. The end of a delivery calls `lane_turn`, in the same transaction.
//!
//! A lane is eight bytes of a digest: an index on these is a third as large as on the texts. Lanes with the same
//! number share one order.
//!
//! For `memory://`, `memory.rs` and `memory/letters.rs` decide turns, since each store has transactions of its own.
//! The conformance suite keeps the stores alike.

use rusqlite::{OptionalExtension as _, Result, params};

use super::lane::LaneKey;
use super::rows::{delivery_id, is};
use super::work::Work;
use crate::DeliveryId;
use crate::query::RowState;

impl Work<'_> {
    pub(super) fn lane_turn(&mut self, lane: LaneKey) -> Result<()> {
        let next = match lane {
            LaneKey::Alone(id) => Some(id),
            LaneKey::Shared(lane) => self.next_of(lane)?,
        };
        let Some(id) = next else { return Ok(()) };
        // The row has the action, as two lanes with one number may be of two actions.
        let mut update = self.connection.prepare_cached(MAKE_READY)?;
        let action: Option<String> = update.query_row([id.row()], |row| row.get(0)).optional()?;
        if let Some(action) = action {
            self.count(&action, RowState::Waiting, -1);
            self.count(&action, RowState::Ready, 1);
            self.promoted.push((action, id));
        }
        Ok(())
    }

    fn next_of(&self, lane: i64) -> Result<Option<DeliveryId>> {
        let mut select = self.connection.prepare_cached(FIRST_WAITING)?;
        let first = select.query_row([lane], |row| row.get::<_, i64>(0)).optional()?;
        let Some(first) = first else { return Ok(None) };
        let is_taken = self.connection.prepare_cached(TAKEN)?.exists(params![lane, first])?;
        Ok((!is_taken).then(|| delivery_id(first)))
    }

    pub(super) fn on_arrival(&self, lane: Option<i64>) -> Result<RowState> {
        let Some(lane) = lane else { return Ok(RowState::Ready) };
        let is_behind_others = self.connection.prepare_cached(IN_LANE)?.exists([lane])?;
        Ok(if is_behind_others { RowState::Waiting } else { RowState::Ready })
    }
}

/// The index `delivery_lane` alone answers this query and the next two.
pub(super) const IN_LANE: &str = "SELECT 1 FROM delivery WHERE lane = ?1 LIMIT 1";

pub(super) const FIRST_WAITING: &str =
    concat!("SELECT id FROM delivery WHERE lane = ?1 AND ", is!(Waiting), " ORDER BY id LIMIT 1");

pub(super) const TAKEN: &str = concat!(
    "SELECT 1 FROM delivery WHERE lane = ?1 AND ",
    is!(Ready),
    " UNION ALL SELECT 1 FROM delivery WHERE lane = ?1 AND ",
    is!(Dead),
    " UNION ALL SELECT 1 FROM delivery WHERE lane = ?1 AND ",
    is!(Held),
    " AND id < ?2 LIMIT 1"
);

pub(super) const MAKE_READY: &str =
    concat!("UPDATE delivery SET ", is!(Ready), " WHERE id = ?1 AND ", is!(Waiting), " RETURNING action");
