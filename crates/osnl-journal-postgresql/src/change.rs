//! The operator's changes to deliveries, as the owner of a partition carries them out.
//!
//! The asked member inserts a row for each delivery ([`crate::view`]). The owner of the delivery's partition finds
//! the row within 100 ms, decides, and answers in the row. Answer and change are one transaction that writes the
//! lease, so a change is made once even if a member dies. A row that the asker has withdrawn is not found, and
//! nothing is changed.
//!
//! A claimed delivery keeps its claim: the row is *under way*, the claim is recalled, and the transaction
//! that records the end of the claim makes the change, unless the attempt succeeded. If the owner dies before
//! that, the next owner makes the change.

use std::collections::{HashMap, HashSet};

use osnl_journal::DeliveryId;
use osnl_journal::query::{FORGOTTEN, RowState, overtaken, same_action};

use crate::asked::{ChangeKind, ChangeRow, RowAnswer};
use crate::delivery::{Promotion, delivery};
use crate::lane::{ARRIVED, DEAD, READY, WAITING};
use crate::partition::{PartitionNumber, lane, place};
use crate::transaction::{CommitFailure, Transaction};

pub(crate) const AT_ONCE: i64 = 500;

const HELD: i16 = RowState::Held as i16;

impl ChangeKind {
    fn takes(self, state: i16) -> bool {
        match self {
            Self::Retry => state == DEAD,
            Self::Discard => (WAITING..=DEAD).contains(&state),
            Self::Hold => (WAITING..=READY).contains(&state),
            Self::Release => state == HELD,
            Self::Move => (WAITING..=HELD).contains(&state),
        }
    }

    fn waits_for_claims(self) -> bool {
        match self {
            Self::Discard | Self::Hold | Self::Move => true,
            Self::Retry | Self::Release => false,
        }
    }
}

#[derive(Clone, Debug)]
struct FoundDelivery {
    partition: PartitionNumber,
    action: String,
    state: i16,
    lane: Option<i64>,
    key: Option<String>,
    ordered: bool,
    /// A later delivery of the same action and resource that has had an effect, or is about to.
    later: Option<DeliveryId>,
    is_forgotten: bool,
}

impl FoundDelivery {
    fn own_lane(&self) -> Option<i64> {
        self.lane.or_else(|| lane(&self.action, self.key.as_deref(), self.ordered))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ChangedDelivery {
    pub(crate) id: DeliveryId,
    pub(crate) action: String,
    pub(crate) pending: Vec<(String, i64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct ChangePass {
    pub(crate) claimed: HashSet<DeliveryId>,
    pub(crate) at_most: i64,
    pub(crate) refusal: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ChangePassResult {
    pub(crate) changed: Vec<ChangedDelivery>,
    pub(crate) under_way: Vec<(ChangeRow, String)>,
    pub(crate) promoted: Vec<Promotion>,
}

enum ChangeAnswer {
    /// The row is read again later: the delivery is in no lane yet, or an earlier change of the delivery
    /// waits.
    Later,
    Elsewhere(PartitionNumber),
    Is(RowAnswer, Option<String>),
}

const PENDING: &str = "SELECT command, delivery, partition, kind, text, action, out_of_order, is_dry_run FROM ( \
     SELECT c.*, row_number() OVER (PARTITION BY c.verdict ORDER BY c.asked, c.delivery) AS place FROM osnl_change c \
       WHERE c.partition = ANY($1) AND (c.verdict = 0 OR c.verdict = 1 AND NOT c.is_dry_run)) AS pending \
     WHERE verdict = 1 OR place <= $2 ORDER BY verdict DESC, asked, delivery";
const FIND: &str = "SELECT d.id, d.partition, d.action, d.state, d.lane, d.key, d.ordered, \
       CASE WHEN d.state = 3 AND d.ordered THEN (SELECT max(e.id) FROM osnl_delivery e \
         WHERE e.key = d.key AND e.id > d.id AND e.state BETWEEN 4 AND 5 AND e.action = d.action) END, \
       d.state = 3 AND d.ordered AND d.lane IS NULL AND EXISTS (SELECT 1 FROM osnl_forgotten f \
         WHERE f.partition = d.partition AND f.action = d.action AND f.delivery > d.id) \
     FROM osnl_delivery d WHERE d.id = ANY($1)";
const READY_BEHIND: &str = "SELECT n.id, min(o.id) FROM unnest($1::bigint[], $2::bigint[]) AS n (id, lane) \
     JOIN osnl_delivery o ON o.lane = n.lane AND o.state = 1 AND o.id > n.id GROUP BY n.id";
const ANSWER: &str = "UPDATE osnl_change c SET verdict = n.verdict, why = n.why \
     FROM unnest($1::bytea[], $2::bigint[], $3::smallint[], $4::text[]) AS n (command, delivery, verdict, why) \
     WHERE c.command = n.command AND c.delivery = n.delivery AND c.verdict <= 1 RETURNING c.command, c.delivery";
const ELSEWHERE: &str =
    "UPDATE osnl_change SET partition = $3 WHERE command = $1 AND delivery = $2 AND verdict <= 1";
const DISCARD: &str = "UPDATE osnl_delivery d SET state = 6, ended = $3, reason = n.reason, lane = NULL, due = 0, pause = 0, \
       took = NULL, cause = NULL \
     FROM unnest($1::bigint[], $2::text[]) AS n (id, reason) WHERE d.id = n.id AND d.state BETWEEN 0 AND 3";
const OPEN: &str = "UPDATE osnl_delivery d SET state = CASE WHEN n.lane IS NULL THEN 1 ELSE 0 END, lane = n.lane, ended = NULL, \
       reason = NULL, due = 0, pause = 0, took = NULL, cause = NULL, guarded = d.guarded AND d.state <> 2, \
       attempts = CASE WHEN d.state = 3 THEN 0 ELSE d.attempts END, aged = CASE WHEN d.state = 3 THEN 0 ELSE d.aged END \
     FROM unnest($1::bigint[], $2::bigint[]) AS n (id, lane) WHERE d.id = n.id AND d.state IN (2, 3)";
const HOLD: &str = "UPDATE osnl_delivery d SET state = 2, reason = n.reason, due = 0, pause = 0 \
     FROM unnest($1::bigint[], $2::text[]) AS n (id, reason) WHERE d.id = n.id AND d.state IN (0, 1)";
/// The delivery arrives in its new lane, whose owner may be another member; a digest orders nothing.
const MOVE: &str = "UPDATE osnl_delivery d SET action = n.action, lane = n.lane, partition = n.partition, ordered = n.ordered, \
       state = -1, \
       begins = CASE WHEN d.state = 2 THEN 2 ELSE 0 END, reason = CASE WHEN d.state = 2 THEN d.reason END, due = 0, pause = 0 \
     FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::smallint[], $5::boolean[]) \
       AS n (id, action, lane, partition, ordered) \
     WHERE d.id = n.id AND d.state BETWEEN 0 AND 2";

#[derive(Default)]
struct ChangeGroups {
    discards: (Vec<i64>, Vec<String>),
    opens: (Vec<i64>, Vec<Option<i64>>),
    holds: (Vec<i64>, Vec<String>),
    moves: MovedRows,
}

#[derive(Default)]
struct MovedRows {
    ids: Vec<i64>,
    actions: Vec<String>,
    lanes: Vec<Option<i64>>,
    partitions: Vec<PartitionNumber>,
    ordered: Vec<bool>,
}

impl Transaction<'_> {
    pub(crate) async fn change(&mut self, pass: &ChangePass) -> Result<ChangePassResult, CommitFailure> {
        let own = self.member.leases.partitions();
        let rows = self.pending_changes(&own, pass.at_most).await?;
        self.own(rows.iter().map(|row| row.partition)).await?;
        let found = self.find_changed(rows.iter().map(|row| row.delivery)).await?;
        let mut result = ChangePassResult::default();
        let (mut answers, mut seen) = (Vec::new(), HashSet::new());
        for row in &rows {
            let found = found.get(&row.delivery);
            let answer = match seen.insert(row.delivery) || row.is_dry_run {
                true => judge(row, found, pass.claimed.contains(&row.delivery)),
                false => ChangeAnswer::Later,
            };
            match answer {
                ChangeAnswer::Later => {}
                ChangeAnswer::Elsewhere(to) => {
                    self.execute(ELSEWHERE, &[&row.command, &row.delivery.row(), &to]).await?;
                }
                ChangeAnswer::Is(RowAnswer::Changed, _) if pass.refusal.is_some() && !row.is_dry_run => {
                    answers.push((row, RowAnswer::Refused, pass.refusal.clone()));
                }
                ChangeAnswer::Is(verdict, why) => answers.push((row, verdict, why)),
            }
        }
        let answered = self.answer(&answers).await?;
        let mut carried = Vec::new();
        for (row, verdict, _) in answers {
            let (true, false, Some(found)) = (
                answered.contains(&(row.command.clone(), row.delivery)),
                row.is_dry_run,
                found.get(&row.delivery),
            ) else {
                continue;
            };
            match verdict {
                RowAnswer::Changed => carried.push((row, found)),
                RowAnswer::UnderWay => result.under_way.push((row.clone(), found.action.clone())),
                RowAnswer::Asked | RowAnswer::Refused | RowAnswer::Left => {}
            }
        }
        let (lanes, ready) = self.carry_out(&carried).await?;
        result.promoted = ready;
        result.promoted.extend(self.turn(lanes).await?);
        result.changed = carried.iter().map(|(row, found)| changed(row, found)).collect();
        Ok(result)
    }

    pub(crate) async fn change_ended(
        &mut self,
        rows: &[&ChangeRow],
    ) -> Result<(Vec<ChangedDelivery>, Vec<i64>), CommitFailure> {
        if rows.is_empty() {
            return Ok(Default::default());
        }
        let found = self.find_changed(rows.iter().map(|row| row.delivery)).await?;
        let is_open = |row: &&&ChangeRow| found.get(&row.delivery).is_some_and(|found| found.state == READY);
        let answers: Vec<(&ChangeRow, RowAnswer, Option<String>)> =
            rows.iter().filter(is_open).map(|row| (*row, RowAnswer::Changed, None)).collect();
        let answered = self.answer(&answers).await?;
        let carried: Vec<(&ChangeRow, &FoundDelivery)> = answers
            .into_iter()
            .filter(|(row, ..)| answered.contains(&(row.command.clone(), row.delivery)))
            .filter_map(|(row, ..)| Some((row, found.get(&row.delivery)?)))
            .collect();
        let (lanes, _) = self.carry_out(&carried).await?;
        Ok((carried.iter().map(|(row, found)| changed(row, found)).collect(), lanes))
    }

    pub(crate) async fn refuse_succeeded(&mut self, rows: &[&ChangeRow]) -> Result<(), CommitFailure> {
        let why = || Some("the attempt that was under way has succeeded".to_owned());
        let answers: Vec<_> = rows.iter().map(|row| (*row, RowAnswer::Refused, why())).collect();
        self.answer(&answers).await.map(drop)
    }

    async fn pending_changes(
        &mut self,
        own: &[PartitionNumber],
        at_most: i64,
    ) -> Result<Vec<ChangeRow>, CommitFailure> {
        let mut rows = Vec::new();
        for row in self.query(PENDING, &[&own, &at_most]).await? {
            // A change of a newer program waits for an owner of that version.
            let Some(kind) = ChangeKind::of_number(row.try_get(3)?) else { continue };
            rows.push(ChangeRow {
                command: row.try_get(0)?,
                delivery: delivery(row.try_get(1)?),
                partition: row.try_get(2)?,
                kind,
                text: row.try_get(4)?,
                action: row.try_get(5)?,
                out_of_order: row.try_get(6)?,
                is_dry_run: row.try_get(7)?,
            });
        }
        Ok(rows)
    }

    async fn find_changed(
        &mut self,
        ids: impl Iterator<Item = DeliveryId>,
    ) -> Result<HashMap<DeliveryId, FoundDelivery>, CommitFailure> {
        let ids: Vec<i64> = ids.map(DeliveryId::row).collect();
        let mut all = HashMap::new();
        for row in self.query(FIND, &[&ids]).await? {
            let key: Option<Vec<u8>> = row.try_get(5)?;
            let found = FoundDelivery {
                partition: row.try_get(1)?,
                action: row.try_get(2)?,
                state: row.try_get(3)?,
                lane: row.try_get(4)?,
                key: key.map(|key| String::from_utf8_lossy(&key).into_owned()),
                ordered: row.try_get(6)?,
                later: row.try_get::<_, Option<i64>>(7)?.map(delivery),
                is_forgotten: row.try_get(8)?,
            };
            all.insert(delivery(row.try_get(0)?), found);
        }
        let dead = || all.iter().filter(|(_, found)| found.state == DEAD && found.later.is_none());
        let (ids, lanes): (Vec<i64>, Vec<i64>) =
            dead().filter_map(|(id, found)| Some((id.row(), found.own_lane()?))).unzip();
        if !ids.is_empty() {
            for row in self.query(READY_BEHIND, &[&ids, &lanes]).await? {
                if let Some(found) = all.get_mut(&delivery(row.try_get(0)?)) {
                    found.later = Some(delivery(row.try_get(1)?));
                }
            }
        }
        Ok(all)
    }

    async fn answer(
        &mut self,
        answers: &[(&ChangeRow, RowAnswer, Option<String>)],
    ) -> Result<HashSet<(Vec<u8>, DeliveryId)>, CommitFailure> {
        if answers.is_empty() {
            return Ok(HashSet::new());
        }
        let commands: Vec<&[u8]> = answers.iter().map(|(row, ..)| &row.command[..]).collect();
        let ids: Vec<i64> = answers.iter().map(|(row, ..)| row.delivery.row()).collect();
        let verdicts: Vec<i16> = answers.iter().map(|(_, verdict, _)| *verdict as i16).collect();
        let whys: Vec<Option<&str>> = answers.iter().map(|(.., why)| why.as_deref()).collect();
        let rows = self.query(ANSWER, &[&commands, &ids, &verdicts, &whys]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, delivery(row.try_get(1)?)))).collect()
    }

    async fn carry_out(
        &mut self,
        changes: &[(&ChangeRow, &FoundDelivery)],
    ) -> Result<(Vec<i64>, Vec<Promotion>), CommitFailure> {
        let (mut lanes, mut ready, mut grouped) = (Vec::new(), Vec::new(), ChangeGroups::default());
        for (row, found) in changes {
            let id = row.delivery.row();
            self.count(found.partition, &found.action, found.state, -1);
            lanes.extend(found.lane);
            let to = match row.kind {
                ChangeKind::Discard => {
                    grouped.discards.0.push(id);
                    grouped.discards.1.push(format!("discarded by {}", row.text));
                    Some(RowState::Discarded as i16)
                }
                ChangeKind::Hold => {
                    grouped.holds.0.push(id);
                    grouped.holds.1.push(row.text.clone());
                    Some(HELD)
                }
                ChangeKind::Retry | ChangeKind::Release => {
                    let lane = found.own_lane();
                    grouped.opens.0.push(id);
                    grouped.opens.1.push(lane);
                    lanes.extend(lane);
                    if lane.is_none() {
                        ready.push(Promotion::new(row.delivery, found.action.clone()));
                    }
                    Some(if lane.is_none() { READY } else { WAITING })
                }
                ChangeKind::Move => {
                    let ordered = !self.member.digests.contains(&*row.text);
                    let (lane, partition) = place(&row.text, found.key.as_deref(), ordered, row.delivery);
                    grouped.moves.ids.push(id);
                    grouped.moves.actions.push(row.text.clone());
                    grouped.moves.lanes.push(lane);
                    grouped.moves.partitions.push(partition);
                    grouped.moves.ordered.push(ordered);
                    // The new owner counts the delivery when admitting it.
                    None
                }
            };
            if let Some(to) = to {
                self.count(found.partition, &found.action, to, 1);
            }
        }
        self.write_changes(&grouped).await?;
        Ok((lanes, ready))
    }

    async fn write_changes(&mut self, grouped: &ChangeGroups) -> Result<(), CommitFailure> {
        let ChangeGroups { discards, opens, holds, moves } = grouped;
        let now = self.now;
        let mut written = 0;
        if !discards.0.is_empty() {
            written += self.execute(DISCARD, &[&discards.0, &discards.1, &now]).await?;
        }
        if !opens.0.is_empty() {
            written += self.execute(OPEN, &[&opens.0, &opens.1]).await?;
        }
        if !holds.0.is_empty() {
            written += self.execute(HOLD, &[&holds.0, &holds.1]).await?;
        }
        if !moves.ids.is_empty() {
            let MovedRows { ids, actions, lanes, partitions, ordered } = moves;
            written += self.execute(MOVE, &[ids, actions, lanes, partitions, ordered]).await?;
        }
        let asked = discards.0.len() + opens.0.len() + holds.0.len() + moves.ids.len();
        if written == asked as u64 {
            return Ok(());
        }
        // Only an owner of the partition changes deliveries, and this transaction has written the lease.
        Err(CommitFailure::Conflict("a delivery has changed within a change".to_owned()))
    }
}

fn judge(row: &ChangeRow, found: Option<&FoundDelivery>, is_claimed: bool) -> ChangeAnswer {
    let Some(found) = found else { return ChangeAnswer::Is(RowAnswer::Left, None) };
    if found.partition != row.partition {
        return ChangeAnswer::Elsewhere(found.partition);
    }
    if found.state == ARRIVED {
        return ChangeAnswer::Later;
    }
    if row.action.as_ref().is_some_and(|action| *action != found.action) || !row.kind.takes(found.state) {
        return ChangeAnswer::Is(RowAnswer::Left, None);
    }
    let refused = |why: String| ChangeAnswer::Is(RowAnswer::Refused, Some(why));
    match row.kind {
        ChangeKind::Move if found.action == row.text => return refused(same_action(&row.text)),
        ChangeKind::Retry if !row.out_of_order => {
            if let Some(later) = found.later {
                return refused(overtaken(later));
            }
            if found.is_forgotten {
                return refused(FORGOTTEN.to_owned());
            }
        }
        _ => {}
    }
    if is_claimed && found.state == READY && row.kind.waits_for_claims() {
        return ChangeAnswer::Is(RowAnswer::UnderWay, None);
    }
    ChangeAnswer::Is(RowAnswer::Changed, None)
}

fn changed(row: &ChangeRow, found: &FoundDelivery) -> ChangedDelivery {
    let was_open = found.state <= HELD;
    let pending = match row.kind {
        ChangeKind::Retry => vec![(found.action.clone(), 1)],
        ChangeKind::Discard if was_open => vec![(found.action.clone(), -1)],
        ChangeKind::Discard | ChangeKind::Hold | ChangeKind::Release => Vec::new(),
        ChangeKind::Move => vec![(found.action.clone(), -1), (row.text.clone(), 1)],
    };
    ChangedDelivery { id: row.delivery, action: found.action.clone(), pending }
}
