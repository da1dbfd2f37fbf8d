//! Makes a delivery of a fallback action for a given-up delivery, in the transaction of its end.

use rusqlite::{OptionalExtension as _, Result, params};

use super::blocks::BlockFact;
use super::lane::LaneKey;
use super::rows::{self, delivery_id, event_of};
use super::work::Work;
use crate::query::RowState;
use crate::{DeliveryId, Handover};

impl Work<'_> {
    /// Makes a delivery of another action for rule, resource and key of `from`, at the end of that action's
    /// lane. Returns whether the delivery is new. The rule may have had one for this event, from its start or
    /// from an end of `from` before a retry.
    pub(super) fn fall_back(&mut self, from: DeliveryId, how: &Handover) -> Result<bool> {
        let to = &*how.action;
        let event = event_of(self.connection, from)?;
        let first = DeliveryId::from_event(event, 0).row();
        let count: Option<u32> = self
            .connection
            .prepare_cached("SELECT deliveries FROM event WHERE id = ?")?
            .query_row([event], |row| row.get(0))
            .optional()?;
        let Some(count) = count else { return Ok(false) };
        let next = DeliveryId::from_event(event, count as usize).row();
        let mut there = self.connection.prepare_cached(
            "SELECT 1 FROM delivery d JOIN delivery f ON f.id = ?1 \
             WHERE d.id >= ?2 AND d.id < ?3 AND d.action = ?4 AND d.rule = f.rule AND d.resource IS f.resource",
        )?;
        if there.exists(params![from.row(), first, next, to])? {
            return Ok(false);
        }
        if !self.has_number(event, count as usize + 1)? {
            tracing::error!(action.name = to, delivery.id = %from, "no fallback delivery can be created for a dead letter");
            return Ok(false);
        }
        let key: Option<String> = self
            .connection
            .prepare_cached("SELECT key FROM delivery WHERE id = ?")?
            .query_row([from.row()], |row| row.get(0))?;
        let lane = key.as_deref().filter(|_| how.ordered).map(|key| rows::lane(to, key));
        self.connection
            .prepare_cached(
                "INSERT INTO delivery (id, rule, action, key, state, ended, resource, lane, ordered, message, \
                 resource_id, resource_name) \
                 SELECT ?2, rule, ?3, key, ?4, ?7, resource, ?5, ?6, message, resource_id, resource_name \
                 FROM delivery WHERE id = ?1",
            )?
            .execute(params![from.row(), next, to, RowState::Waiting, lane, how.ordered, self.now])?;
        self.connection
            .prepare_cached("UPDATE event SET deliveries = deliveries + 1 WHERE id = ?")?
            .execute([event])?;
        self.write_enriched(next, how.enriched.as_deref())?;
        self.blocks.note(next, BlockFact::Action(to));
        self.count(to, RowState::Waiting, 1);
        self.lane_turn(lane.map_or(LaneKey::Alone(delivery_id(next)), LaneKey::Shared))?;
        Ok(true)
    }

    /// Whether an event has numbers for so many deliveries. The next numbers may be another event's, if an
    /// older osnl reserved none or a delivery has more fallbacks than reserved.
    fn has_number(&mut self, event: i64, deliveries: usize) -> Result<bool> {
        let end = event + crate::claim::numbers(deliveries);
        if end == event + 1 {
            return Ok(true);
        }
        let mut taken = self.connection.prepare_cached("SELECT 1 FROM event WHERE id > ?1 AND id < ?2")?;
        if taken.exists([event, end])? {
            return Ok(false);
        }
        if self.next_event < end {
            self.blocks.took(self.next_event, end);
            self.next_event = end;
        }
        Ok(true)
    }
}
