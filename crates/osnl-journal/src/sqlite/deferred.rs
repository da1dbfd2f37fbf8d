use rusqlite::{Result, params};

use super::blocks::BlockFact;
use super::lane::{DeferredChange, LaneEntry};
use super::rows::{delivery_id, is};
use super::work::{PendingChange, Work};
use crate::DeliveryId;
use crate::query::RowState;

impl Work<'_> {
    /// Stores a change for the end of the claim, in place of an earlier one.
    pub(super) fn defer(&self, id: DeliveryId, deferred: &DeferredChange) -> Result<()> {
        self.connection
            .prepare_cached("UPDATE delivery SET deferred = ?2, deferred_text = ?3 WHERE id = ?1")?
            .execute(params![id.row(), deferred.number(), deferred.text()])?;
        Ok(())
    }

    pub(super) fn cancel_deferred(&self, id: DeliveryId) -> Result<()> {
        let sql = "UPDATE delivery SET deferred = NULL, deferred_text = NULL WHERE id = ?1";
        self.connection.prepare_cached(sql)?.execute([id.row()])?;
        Ok(())
    }

    pub(super) fn fulfil(&mut self, found: &LaneEntry, deferred: &DeferredChange) -> Result<PendingChange> {
        match deferred {
            DeferredChange::Discard { by } => {
                self.set_state(found, RowState::Discarded, Some(&format!("discarded by {by}")))?;
                self.next_after(found)?;
                let was_open = found.state.is_open();
                Ok(if was_open { vec![(found.action.clone(), -1)] } else { Vec::new() })
            }
            DeferredChange::Hold { why } => {
                self.set_state(found, RowState::Held, Some(why))?;
                self.next_after(found)?;
                Ok(Vec::new())
            }
            DeferredChange::Move { to } => self.move_to(found, to),
            DeferredChange::GiveWay { to } => self.give_way(found, to),
        }
    }

    /// Places a delivery that had no effect behind the earlier dead letters that are retried.
    fn give_way(&mut self, found: &LaneEntry, earlier: &str) -> Result<PendingChange> {
        self.set_state(found, RowState::Waiting, None)?;
        let retried = self.retry_earlier(earlier)?;
        self.next_after(found)?;
        Ok(vec![(found.action.clone(), retried)])
    }

    /// Retries the dead letters of a list, and returns how many.
    pub(super) fn retry_earlier(&mut self, earlier: &str) -> Result<i64> {
        let mut retried = 0;
        for row in earlier.split(' ').filter_map(|row| row.parse().ok()) {
            // An operator may have decided otherwise meanwhile.
            if let Some(letter) = self.find(delivery_id(row))?.filter(|letter| letter.state == RowState::Dead)
            {
                self.retry_dead(&letter)?;
                retried += 1;
            }
        }
        Ok(retried)
    }

    pub(super) fn retry_dead(&mut self, found: &LaneEntry) -> Result<()> {
        self.connection
            .prepare_cached("UPDATE delivery SET attempts = 0, aged = 0, holds_key = 0 WHERE id = ?")?
            .execute([found.id.row()])?;
        self.open_again(found)
    }

    fn move_to(&mut self, found: &LaneEntry, to: &str) -> Result<PendingChange> {
        let reason: Option<String> = self
            .connection
            .prepare_cached(concat!(
                "UPDATE delivery SET action = ?2, ",
                is!(Waiting),
                ", lane = NULL WHERE id = ?1 RETURNING reason"
            ))?
            .query_row(params![found.id.row(), to], |row| row.get(0))?;
        self.count(&found.action, found.state, -1);
        self.blocks.note(found.id.row(), BlockFact::Action(to));
        self.count(to, RowState::Waiting, 1);
        self.next_after(found)?;
        let moved =
            LaneEntry { action: to.to_owned(), lane: None, state: RowState::Waiting, ..found.clone() };
        if found.state == RowState::Held {
            self.set_state(&moved, RowState::Held, reason.as_deref())?;
        } else {
            self.open_again(&moved)?;
        }
        Ok(vec![(found.action.clone(), -1), (to.to_owned(), 1)])
    }

    /// Applies the changes from before a restart, when nothing is claimed.
    pub(super) fn fulfil_all(&mut self) -> Result<usize> {
        let mut ids: Vec<i64> = {
            let mut select = self.connection.prepare(DEFERRED)?;
            let rows = select.query_map([], |row| row.get(0))?;
            rows.collect::<Result<_>>()?
        };
        ids.sort_unstable();
        for id in &ids {
            let Some(found) = self.find(delivery_id(*id))? else { continue };
            if let (Some(deferred), true) = (&found.deferred, found.state.is_open()) {
                self.fulfil(&found, deferred)?;
            }
        }
        Ok(ids.len())
    }
}

/// The index `delivery_deferred` alone answers this query.
pub(super) const DEFERRED: &str =
    "SELECT id FROM delivery INDEXED BY delivery_deferred WHERE deferred IS NOT NULL";
