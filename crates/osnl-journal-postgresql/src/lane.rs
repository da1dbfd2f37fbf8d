//! States of deliveries in the tables, and the turns of lanes.
//!
//! The numbers are those of [`RowState`], and one more: an *arrived* delivery is in no lane yet. Only the
//! owner of its partition admits the delivery, behind all others of its lane. Only the owner makes a delivery
//! of a lane claimable: the first that waits, unless a delivery of the lane is claimable or claimed already,
//! a dead letter holds the lane, or a held delivery is before it.
//!
//! A lane is ordered by the numbers of its deliveries. Within a queue, this is the order of its readers'
//! epochs and of the messages in each; between queues there is no order.

use std::collections::HashSet;

use osnl_journal::Begin;
use osnl_journal::query::RowState;

use crate::delivery::{ArrivedDelivery, Promotion, delivery};
use crate::partition::PartitionNumber;
use crate::transaction::{CommitFailure, Transaction};

pub(crate) const AT_ONCE: i64 = 1000;

pub(crate) const ARRIVED: i16 = -1;
pub(crate) const WAITING: i16 = RowState::Waiting as i16;
pub(crate) const READY: i16 = RowState::Ready as i16;
pub(crate) const DEAD: i16 = RowState::Dead as i16;

pub(crate) fn begins(begin: &Begin) -> i16 {
    match begin {
        Begin::Live => WAITING,
        Begin::Held(_) => RowState::Held as i16,
        Begin::Dead(_) | Begin::TooOld(_) => DEAD,
        Begin::Shadow => RowState::Shadow as i16,
    }
}

#[derive(Debug, Default)]
pub(crate) struct LaneAdmission {
    pub(crate) lanes: Vec<i64>,
    pub(crate) ready: Vec<Promotion>,
}

pub(crate) const ARRIVALS: &str = "SELECT id, partition, lane FROM osnl_delivery WHERE state = -1 AND partition = ANY($1) \
     ORDER BY id LIMIT $2";
/// A delivery without a lane is claimable at once, as is the first of an empty lane. The sum keeps the
/// planner from the index of arrived deliveries, which it would scan for each number.
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
    /// The arrived deliveries were read with the COMMIT before this transaction. Deliveries changed since are left
    /// out; the next transaction admits later arrivals.
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
