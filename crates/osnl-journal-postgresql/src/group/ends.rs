//! Ends of claims: retries, outcomes, and deliveries of other actions that take over what is given up.

use osnl_journal::query::RowState;
use osnl_journal::store::clock::whole_millis;
use osnl_journal::{DeliveryId, End, Handover, Outcome};

use super::{ClaimEnd, clean};
use crate::command::PostgresCommand;
use crate::delivery::delivery;
use crate::lane::READY;
use crate::partition::{PartitionNumber, place};
use crate::results::GroupResult;
use crate::transaction::{CommitFailure, Transaction};

const DUE_AT_ONCE: i64 = 1000;

const RETRY: &str = "UPDATE osnl_delivery d SET due = n.due, pause = n.pause \
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (id, due, pause) \
     WHERE d.id = n.id AND d.state = 1 RETURNING d.id";
/// An ended delivery blocks no other, unless it holds its lane.
const END: &str = "UPDATE osnl_delivery d SET state = n.state, ended = $7, took = n.took, reason = n.reason, cause = n.cause, \
       lane = CASE WHEN n.holds THEN d.lane END \
     FROM (SELECT e.*, old.lane FROM unnest($1::bigint[], $2::smallint[], $3::boolean[], $4::bigint[], $5::text[], $6::text[]) \
       AS e (id, state, holds, took, reason, cause) JOIN osnl_delivery old ON old.id = e.id) n \
     WHERE d.id = n.id AND d.state = 1 RETURNING d.id, d.partition, d.action, d.state, n.lane, n.holds";
const DUE_NOW: &str = "UPDATE osnl_delivery SET due = $2, pause = 0 WHERE id IN (SELECT id FROM osnl_delivery \
     WHERE action = $1 AND state = 1 AND due > $2 AND partition = ANY($3) LIMIT $4)";
/// The first free number among the arrival's deliveries, unless its rule already had this action for the
/// resource.
const PLACE: &str = "SELECT f.arrival, f.key, (SELECT max(id) + 1 FROM osnl_delivery d \
       WHERE d.id >= a.id << 16 AND d.id < (a.id + 1 + (a.deliveries >> 16)) << 16), \
       (a.id + 1 + (a.deliveries >> 16)) << 16 \
     FROM osnl_delivery f JOIN osnl_arrival a ON a.id = f.arrival \
     WHERE f.id = $1 AND NOT EXISTS (SELECT 1 FROM osnl_delivery d \
       WHERE d.id >= a.id << 16 AND d.id < (a.id + 1 + (a.deliveries >> 16)) << 16 \
       AND d.action = $2 AND d.rule = f.rule AND d.resource IS NOT DISTINCT FROM f.resource)";
/// Reserves the arrival's next number too, unless another arrival has it: an older osnl reserved none, or a
/// delivery has more fallbacks than reserved numbers.
const GROW: &str = "UPDATE osnl_arrival a SET deliveries = ((a.deliveries >> 16) + 1) << 16 \
     WHERE a.id = $1 AND NOT EXISTS (SELECT 1 FROM osnl_arrival b WHERE b.id > a.id AND b.id <= a.id + 1 + (a.deliveries >> 16))";
const FALL_BACK: &str = "INSERT INTO osnl_delivery (id, arrival, partition, lane, state, begins, rule, action, key, ordered, \
       resource, subject_id, subject_name) \
     SELECT $2::bigint, arrival, $3::smallint, $4::bigint, -1, 0, rule, $5::text, key, $6::boolean, resource, subject_id, \
       subject_name \
     FROM osnl_delivery WHERE id = $1";
const TOLD: &str = "INSERT INTO osnl_enriched (delivery, found) VALUES ($1, $2)";

impl Transaction<'_> {
    pub(super) async fn end_claims(
        &mut self,
        over: Vec<(DeliveryId, ClaimEnd<'_>)>,
        done: &mut GroupResult,
    ) -> Result<Vec<i64>, CommitFailure> {
        let (mut retries, mut dues, mut pauses) = (Vec::new(), Vec::new(), Vec::new());
        let mut ends = Vec::new();
        for (id, over) in over {
            match over {
                ClaimEnd::Retry(due) => {
                    retries.push(id.row());
                    dues.push(due.at);
                    pauses.push(due.pause);
                }
                ClaimEnd::Outcome(end) => ends.extend(state(end).map(|state| (id, state, end))),
            }
        }
        if !retries.is_empty() {
            for row in self.query(RETRY, &[&retries, &dues, &pauses]).await? {
                done.retried.insert(delivery(row.try_get(0)?));
            }
        }
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let lanes = self.end(&ends, done).await?;
        for (id, _, end) in ends {
            if let (Some(to), Some(made)) = (&end.to, done.ended.get_mut(&id))
                && end.outcome.given_up().is_some()
            {
                *made = self.fall_back(id, to).await?;
            }
        }
        Ok(lanes)
    }

    async fn end(
        &mut self,
        ends: &[(DeliveryId, RowState, &End)],
        done: &mut GroupResult,
    ) -> Result<Vec<i64>, CommitFailure> {
        let reason = |end: &End| end.outcome.given_up().or(end.done.as_deref()).map(clean);
        let ids: Vec<i64> = ends.iter().map(|(id, ..)| id.row()).collect();
        let states: Vec<i16> = ends.iter().map(|(_, state, _)| *state as i16).collect();
        let holds: Vec<bool> =
            ends.iter().map(|(.., end)| matches!(end.outcome, Outcome::DeadHoldingKey(_))).collect();
        let took: Vec<Option<i64>> = ends.iter().map(|(.., end)| end.took.map(whole_millis)).collect();
        let reasons: Vec<Option<String>> = ends.iter().map(|(.., end)| reason(end)).collect();
        let cause = |(_, state, end): &(DeliveryId, RowState, &End)| {
            end.cause.as_deref().filter(|_| *state == RowState::Dead).map(clean)
        };
        let causes: Vec<Option<String>> = ends.iter().map(cause).collect();
        let now = self.now;
        let mut lanes = Vec::new();
        for row in self.query(END, &[&ids, &states, &holds, &took, &reasons, &causes, &now]).await? {
            let (partition, action, state): (PartitionNumber, String, i16) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            let (lane, holds): (Option<i64>, bool) = (row.try_get(4)?, row.try_get(5)?);
            self.count(partition, &action, READY, -1);
            self.count(partition, &action, state, 1);
            lanes.extend(lane.filter(|_| !holds));
            done.ended.insert(delivery(row.try_get(0)?), false);
        }
        Ok(lanes)
    }

    /// Makes a delivery of another action for the rule, resource, and key of `from`. The delivery arrives as
    /// a message's own do, because another member may own its lane. Returns whether the delivery is new.
    ///
    /// Two members that make a delivery of the same arrival at once draw the same number: one transaction is
    /// repeated and sees the other's delivery.
    async fn fall_back(&mut self, from: DeliveryId, to: &Handover) -> Result<bool, CommitFailure> {
        let action = clean(&to.action);
        let rows = self.query(PLACE, &[&from.row(), &action]).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        let (arrival, key): (i64, Option<Vec<u8>>) = (row.try_get(0)?, row.try_get(1)?);
        let (next, end): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
        let next = delivery(next);
        if next.row() >= end && self.execute(GROW, &[&arrival]).await? == 0 {
            tracing::error!(action.name = action, delivery.id = %from, arrival, "no fallback delivery can be created for a dead letter");
            return Ok(false);
        }
        let key = key.map(|key| String::from_utf8_lossy(&key).into_owned());
        let (lane, partition) = place(&action, key.as_deref(), to.ordered, next);
        self.execute(FALL_BACK, &[&from.row(), &next.row(), &partition, &lane, &action, &to.ordered]).await?;
        if let Some(told) = &to.told {
            let found = serde_json::to_string(&**told).unwrap_or_default();
            self.execute(TOLD, &[&next.row(), &found]).await?;
        }
        Ok(true)
    }

    pub(super) async fn make_due(
        &mut self,
        batch: &[PostgresCommand],
        done: &mut GroupResult,
    ) -> Result<(), CommitFailure> {
        let own = self.member.leases.partitions();
        for command in batch {
            if let PostgresCommand::DueNow(action, at) = command {
                let made = self.execute(DUE_NOW, &[&&**action, at, &own, &DUE_AT_ONCE]).await?;
                done.due_more = made == DUE_AT_ONCE.unsigned_abs();
            }
        }
        Ok(())
    }
}

/// Returns the state of a delivery after the end of its claim; `None` if the state stays.
fn state(end: &End) -> Option<RowState> {
    match &end.outcome {
        Outcome::Delivered => Some(RowState::Delivered),
        Outcome::NothingToDo => Some(RowState::NothingToDo),
        Outcome::Dead(_) | Outcome::DeadHoldingKey(_) => Some(RowState::Dead),
        Outcome::Returned => None,
    }
}
