//! States of deliveries in the tables, and whose turn a lane is.
//!
//! The numbers are those of [`RowState`], and one more: a delivery that has *arrived* is in no lane yet. Only the owner
//! of its partition admits it, behind everything of its lane, and only the owner makes one of a lane claimable: the
//! first that waits, unless one is claimable or claimed already, a dead letter holds the lane, or a held one is before
//! it.
//!
//! The order of a lane is that of the numbers of its deliveries, which within a queue is the order of its readers' epochs and
//! of the messages in each. Between queues there is none.

use std::collections::HashSet;

use osnl_journal::Begin;
use osnl_journal::query::RowState;

use crate::delivery::{ArrivedDelivery, Promotion, delivery};
use crate::partition::PartitionNumber;
use crate::transaction::{CommitFailure, Transaction};

/// Deliveries that are admitted in one transaction.
pub(crate) const AT_ONCE: i64 = 1000;

pub(crate) const ARRIVED: i16 = -1;
pub(crate) const WAITING: i16 = RowState::Waiting as i16;
pub(crate) const READY: i16 = RowState::Ready as i16;
pub(crate) const DEAD: i16 = RowState::Dead as i16;

/// The number of a beginning in the tables.
pub(crate) fn begins(begin: &Begin) -> i16 {
    match begin {
        Begin::Live => WAITING,
        Begin::Held(_) => RowState::Held as i16,
        Begin::Dead(_) | Begin::TooOld(_) => DEAD,
        Begin::Shadow => RowState::Shadow as i16,
    }
}

/// The result of an admission.
#[derive(Debug, Default)]
pub(crate) struct LaneAdmission {
    /// The lanes to look at.
    pub(crate) lanes: Vec<i64>,
    /// Those that are claimable already.
    pub(crate) ready: Vec<Promotion>,
}

/// Deliveries that have arrived in these partitions, so many.
pub(crate) const ARRIVALS: &str = "SELECT id, partition, lane FROM osnl_delivery WHERE state = -1 AND partition = ANY($1) \
     ORDER BY id LIMIT $2";
/// One without a lane waits for none; nor does the first of a lane in which nothing is. The sum keeps the planner from the
/// index of what has arrived, all of which it would look at for each number.
const ADMIT: &str = "UPDATE osnl_delivery d SET \
       state = CASE WHEN d.begins = 0 AND (d.lane IS NULL OR n.is_first AND NOT EXISTS ( \
         SELECT 1 FROM osnl_delivery o WHERE o.lane = d.lane AND o.state BETWEEN 0 AND 3)) THEN 1 ELSE d.begins END, \
       lane = CASE WHEN d.begins <= 2 THEN d.lane END, \
       ended = CASE WHEN d.begins > 2 THEN $3::bigint END \
     FROM unnest($1::bigint[], $2::boolean[]) AS n (id, is_first) \
     WHERE d.id = n.id AND d.state + 0 = -1 RETURNING d.id, d.partition, d.action, d.state, d.lane";
const TURN: &str = "UPDATE osnl_delivery d SET state = 1 \
     FROM (SELECT DISTINCT ON (lane) lane, id FROM osnl_delivery WHERE lane = ANY($1) AND state = 0 ORDER BY lane, id) w \
     WHERE d.id = w.id AND d.state = 0 AND NOT EXISTS ( \
       SELECT 1 FROM osnl_delivery o WHERE o.lane = w.lane AND (o.state IN (1, 3) OR o.state = 2 AND o.id < w.id)) \
     RETURNING d.id, d.partition, d.action";

impl Transaction<'_> {
    /// Admits what the member knows to have arrived in its partitions.
    ///
    /// It was read with the COMMIT before this transaction. Only the owner changes what has arrived, and what it has changed
    /// since is left out; what has arrived since is admitted by the next transaction.
    pub(crate) async fn admit(&mut self) -> Result<LaneAdmission, CommitFailure> {
        let mut admitted = LaneAdmission::default();
        let (mut ids, mut partitions): (Vec<i64>, Vec<PartitionNumber>) = (Vec::new(), Vec::new());
        let (mut lanes, mut are_first): (HashSet<i64>, Vec<bool>) = (HashSet::new(), Vec::new());
        let member = self.member;
        let is_own = |new: &&ArrivedDelivery| member.leases.held.contains_key(&new.partition);
        for new in member.arrived.iter().filter(is_own) {
            ids.push(new.id);
            partitions.push(new.partition);
            are_first.push(new.lane.is_some_and(|lane| lanes.insert(lane)));
        }
        if ids.is_empty() {
            return Ok(admitted);
        }
        self.own(partitions).await?;
        let now = self.now;
        for row in self.query(ADMIT, &[&ids, &are_first, &now]).await? {
            let (partition, action, state): (PartitionNumber, String, i16) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            self.count(partition, &action, state, 1);
            let lane: Option<i64> = row.try_get(4)?;
            admitted.lanes.extend(lane.filter(|_| state == WAITING));
            if state == READY {
                admitted.ready.push(Promotion::new(delivery(row.try_get(0)?), action));
            }
        }
        Ok(admitted)
    }

    /// Makes the delivery claimable whose turn each of these lanes is. Their partitions are this member's.
    pub(crate) async fn turn(&mut self, mut lanes: Vec<i64>) -> Result<Vec<Promotion>, CommitFailure> {
        lanes.sort_unstable();
        lanes.dedup();
        let mut promoted = Vec::new();
        if lanes.is_empty() {
            return Ok(promoted);
        }
        for row in self.query(TURN, &[&lanes]).await? {
            let (partition, action): (PartitionNumber, String) = (row.try_get(1)?, row.try_get(2)?);
            self.count(partition, &action, WAITING, -1);
            self.count(partition, &action, READY, 1);
            promoted.push(Promotion::new(delivery(row.try_get(0)?), action));
        }
        Ok(promoted)
    }
}
