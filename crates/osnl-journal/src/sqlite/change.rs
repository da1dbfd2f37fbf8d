//! Applies the operator's changes to deliveries: retry, discard, hold, release, move.
//!
//! A connection that only reads looks the deliveries up ([`super::selection`]). Batches then change them, each a
//! transaction of the writer, so that appends continue in between.
//!
//! A claimed delivery stays with its loop. A [`DeferredChange`] written beside the delivery takes effect at
//! the end of the claim, unless obsolete then. Until then its lane does not continue.
//!
//! A dry run makes the change in transactions that are rolled back, so that its result cannot differ.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use osnl_core::epoch;
use rusqlite::{OptionalExtension as _, Result, params};

use super::lane::{DeferredChange, LaneEntry};
use super::rows::{delivery_id, is};
use super::work::Work;
use super::{paused, prune};
use crate::DeliveryId;
use crate::query::{Change, ChangeOutcome, ChangeRefusal, RowState};

/// The most bytes of the numbers of deliveries to which a later one gives way.
const MOST_WAYS: usize = 4096;
/// The longest time for which a batch may delay appends.
const AT_MOST: Duration = Duration::from_millis(100);

/// A part of an operator's change, made in one transaction.
#[derive(Debug)]
pub(super) struct ChangeBatch {
    pub(super) change: Change,
    /// The deliveries, each with the last known effective delivery of its action and resource.
    pub(super) ids: Vec<(DeliveryId, Option<DeliveryId>)>,
    pub(super) known_until: i64,
}

/// The effect of one batch, and what memory has to learn of it.
#[derive(Debug, Default)]
pub(super) struct ChangeBatchResult {
    /// The effect on each delivery.
    pub(super) changed: ChangeOutcome,
    /// The deliveries of the batch that were tried before its time was over.
    pub(super) processed: usize,
    /// Effective deliveries since the selection, by action and key.
    pub(super) effects: Vec<(String, String, DeliveryId)>,
    /// The time until which `effects` are complete, in milliseconds since 1970.
    pub(super) known_until: i64,
    /// Deliveries of guards that are released.
    pub(super) released: Vec<DeliveryId>,
    /// Claims that must end before the change applies.
    pub(super) withdrawn: Vec<(String, DeliveryId)>,
    /// Claims that were to end for a change, and go on after a release.
    pub(super) left: Vec<(String, DeliveryId)>,
    /// The change of the number of pending deliveries, by action.
    pub(super) pending: HashMap<String, i64>,
}

pub(super) fn apply(work: &mut Work<'_>, batch: &ChangeBatch) -> Result<ChangeBatchResult> {
    let mut answer = ChangeBatchResult { known_until: work.now, ..ChangeBatchResult::default() };
    let which = match &batch.change {
        Change::Pause { action, note } => {
            paused::pause(work.connection, action, note, work.now)?;
            return Ok(answer);
        }
        Change::Resume { action } => {
            paused::resume(work.connection, action)?;
            return Ok(answer);
        }
        change @ (Change::Retry { .. }
        | Change::Discard { .. }
        | Change::Hold { .. }
        | Change::Release { .. }
        | Change::Move { .. }) => match change.selection() {
            Some(which) => which,
            None => return Ok(answer),
        },
    };
    let begun = Instant::now();
    let forgotten = prune::forgotten_number(work.connection)?;
    let effects = match batch.change {
        Change::Retry { out_of_order: false, .. } => effects_since(work, batch.known_until)?,
        Change::Retry { .. }
        | Change::Discard { .. }
        | Change::Hold { .. }
        | Change::Release { .. }
        | Change::Move { .. }
        | Change::Pause { .. }
        | Change::Resume { .. } => Vec::new(),
    };
    for (id, later) in &batch.ids {
        if answer.processed > 0 && epoch::has_taken(begun, AT_MOST) {
            break;
        }
        answer.processed += 1;
        // The lookup was a while ago, so the delivery may have left.
        let Some(found) = work.find(*id)? else { continue };
        let is_asked = which.action.as_ref().is_none_or(|action| *action == found.action);
        if is_asked && leave(work, &found, &batch.change, &mut answer)? {
            continue;
        }
        if !is_asked || !which.states.contains(&found.state) {
            continue;
        }
        let refused = match &batch.change {
            Change::Retry { out_of_order, .. } => {
                let later = match out_of_order {
                    true => Later::None,
                    false => latest(work, &found, *later, &effects, forgotten)?,
                };
                retry(work, &found, later, &mut answer)?
            }
            Change::Discard { by, .. } => {
                ask(work, &found, DeferredChange::Discard { by: by.clone() }, &mut answer)?;
                None
            }
            Change::Hold { why, .. } => {
                ask(work, &found, DeferredChange::Hold { why: why.clone() }, &mut answer)?;
                None
            }
            Change::Release { .. } => {
                release(work, &found, &mut answer)?;
                None
            }
            Change::Move { to, .. } if found.action == *to => Some(ChangeRefusal::SameAction(to.clone())),
            Change::Move { to, .. } => {
                ask(work, &found, DeferredChange::Move { to: to.clone() }, &mut answer)?;
                None
            }
            Change::Pause { .. } | Change::Resume { .. } => None,
        };
        if let Some(why) = refused {
            answer.changed.refused.push((*id, why));
        } else if answer.changed.under_way.last() != Some(id) {
            answer.changed.changed.push(*id);
        }
    }
    answer.effects = effects;
    Ok(answer)
}

fn ask(
    work: &mut Work<'_>,
    found: &LaneEntry,
    deferred: DeferredChange,
    answer: &mut ChangeBatchResult,
) -> Result<()> {
    if work.claimed.contains(&found.id) {
        work.defer(found.id, &deferred)?;
        answer.changed.under_way.push(found.id);
    } else {
        for (action, by) in work.fulfil(found, &deferred)? {
            *answer.pending.entry(action).or_default() += by;
        }
    }
    answer.withdrawn.push((found.action.clone(), found.id));
    Ok(())
}

/// Releases a claimed delivery that was to be held; returns whether it was.
fn leave(
    work: &mut Work<'_>,
    found: &LaneEntry,
    change: &Change,
    answer: &mut ChangeBatchResult,
) -> Result<bool> {
    let (Change::Release { .. }, Some(DeferredChange::Hold { .. })) = (change, &found.deferred) else {
        return Ok(false);
    };
    if found.state.is_open() {
        work.cancel_deferred(found.id)?;
        answer.left.push((found.action.clone(), found.id));
        answer.changed.changed.push(found.id);
    }
    Ok(found.state.is_open())
}

fn release(work: &mut Work<'_>, found: &LaneEntry, answer: &mut ChangeBatchResult) -> Result<()> {
    // A guard must not hold the delivery again after a restart.
    let sql = "UPDATE delivery SET guarded = 0 WHERE id = ?1 AND guarded = 1";
    if work.connection.prepare_cached(sql)?.execute([found.id.row()])? > 0 {
        answer.released.push(found.id);
    }
    work.open_again(found)
}

fn retry(
    work: &mut Work<'_>,
    found: &LaneEntry,
    later: Later,
    answer: &mut ChangeBatchResult,
) -> Result<Option<ChangeRefusal>> {
    match later {
        Later::None => {}
        Later::Effect => return Ok(Some(ChangeRefusal::Overtaken)),
        Later::Unknown => return Ok(Some(ChangeRefusal::Forgotten)),
        Later::Open(later) => {
            // Without an effect so far, it goes behind the retried delivery.
            answer.withdrawn.push((found.action.clone(), later.id));
            if work.claimed.contains(&later.id) {
                return give_way_later(work, found, &later, answer);
            }
            work.set_state(&later, RowState::Waiting, None)?;
        }
    }
    work.retry_dead(found)?;
    *answer.pending.entry(found.action.clone()).or_default() += 1;
    Ok(None)
}

/// Defers the retry to the end of the claim of a later delivery: an attempt of that may be under way.
fn give_way_later(
    work: &Work<'_>,
    found: &LaneEntry,
    later: &LaneEntry,
    answer: &mut ChangeBatchResult,
) -> Result<Option<ChangeRefusal>> {
    let row = found.id.row();
    let to = match &later.deferred {
        None => row.to_string(),
        Some(DeferredChange::GiveWay { to }) if to.split(' ').any(|other| other == row.to_string()) => {
            to.clone()
        }
        Some(DeferredChange::GiveWay { to }) if to.len() > MOST_WAYS => {
            return Ok(Some(ChangeRefusal::Changing));
        }
        Some(DeferredChange::GiveWay { to }) => format!("{to} {row}"),
        Some(DeferredChange::Discard { .. } | DeferredChange::Hold { .. } | DeferredChange::Move { .. }) => {
            return Ok(Some(ChangeRefusal::Changing));
        }
    };
    work.defer(later.id, &DeferredChange::GiveWay { to })?;
    answer.changed.under_way.push(found.id);
    Ok(None)
}

/// The later deliveries of a lane, which decide whether a dead letter can be retried in order.
#[derive(Clone, Debug)]
enum Later {
    None,
    Effect,
    /// One that can be claimed, or is claimed.
    Open(Box<LaneEntry>),
    Unknown,
}

/// Looks for a later delivery that had an effect, or may have one soon. A held delivery, or one behind this one, has had
/// none yet. Without a lane there is no order.
fn latest(
    work: &Work<'_>,
    found: &LaneEntry,
    known: Option<DeliveryId>,
    effects: &[(String, String, DeliveryId)],
    forgotten: Option<i64>,
) -> Result<Later> {
    let (Some(key), true) = (&found.key, found.ordered) else { return Ok(Later::None) };
    if known.is_some() {
        return Ok(Later::Effect);
    }
    let is_later = |(action, of, id): &(String, String, DeliveryId)| {
        *id > found.id && *action == found.action && of == key
    };
    if effects.iter().any(is_later) {
        return Ok(Later::Effect);
    }
    // A later effect may be among the later deliveries that have left. One that holds its lane has none.
    if found.lane.is_none() && forgotten.is_some_and(|number| found.id.row() < number) {
        return Ok(Later::Unknown);
    }
    let Some(lane) = found.shared_lane() else { return Ok(Later::None) };
    let mut select = work.connection.prepare_cached(READY_BEHIND)?;
    let ready =
        select.query_row(params![lane, found.id.row()], |row| row.get(0).map(delivery_id)).optional()?;
    let ready = ready.map(|id| work.find(id)).transpose()?.flatten();
    Ok(ready.map_or(Later::None, |ready| Later::Open(Box::new(ready))))
}

fn effects_since(work: &Work<'_>, since: i64) -> Result<Vec<(String, String, DeliveryId)>> {
    let mut select = work.connection.prepare_cached(EFFECTS)?;
    let rows = select.query_map([since], |row| Ok((row.get(0)?, row.get(1)?, delivery_id(row.get(2)?))))?;
    rows.collect()
}

/// The index `delivery_lane` answers this query alone.
pub(super) const READY_BEHIND: &str =
    concat!("SELECT id FROM delivery WHERE lane = ?1 AND ", is!(Ready), " AND id > ?2 LIMIT 1");

/// The index `delivery_done` finds the rows.
pub(super) const EFFECTS: &str = concat!(
    "SELECT action, key, id FROM delivery WHERE ",
    is!(done),
    " AND ended >= ?1 AND ",
    is!(with_effect),
    " AND key IS NOT NULL"
);
