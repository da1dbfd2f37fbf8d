//! Applies the operator's changes to deliveries: retry, discard, hold, release, move.
//!
//! Which deliveries are meant is looked up on a connection that only reads ([`super::selection`]); then they are changed
//! in bites, each a transaction of the writer beside which appends go on. A bite costs what it changes, however long the
//! history is.
//!
//! A delivery that a loop has claimed is not taken out of its hands: what is asked is written beside it, as a [`DeferredChange`],
//! and takes effect when the claim ends, unless the effect is there by then. Until then its lane does not go on.
//!
//! A dry run is the change itself in transactions that are rolled back, so that it cannot differ from it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rusqlite::{OptionalExtension as _, Result, params};

use super::filter::Filter;
use super::lane::{DeferredChange, LaneEntry};
use super::rows::{RowState, delivery_id, event_of, is};
use super::work::Work;
use super::{paused, prune};
use crate::DeliveryId;

/// The longest time that appends may wait for a bite.
const AT_MOST: Duration = Duration::from_millis(100);

/// A change that the operator asks for.
#[derive(Clone, Debug)]
pub enum Change {
    /// Dead letters are open again, with all their attempts.
    Retry {
        /// The filter; only the dead ones it matches are retried.
        which: Filter,
        /// Even where its resource has had a later delivery since.
        out_of_order: bool,
    },
    /// Open and dead ones end; no attempt is made any more.
    Discard {
        /// The filter; only the open and the dead ones it matches end.
        which: Filter,
        /// The operator's name, for the record.
        by: String,
    },
    /// Open ones wait, and with them those behind them, until they are released.
    Hold {
        /// The filter; only the open ones it matches are held.
        which: Filter,
        /// Why, for the record.
        why: String,
    },
    /// Held ones go on, and those under way that were to be held.
    Release {
        /// The filter; only those of them that it matches are released.
        which: Filter,
    },
    /// Open ones of one action become another's, such as of one that is no longer configured.
    Move {
        /// The filter; only the open ones it matches are moved.
        which: Filter,
        /// The other action.
        to: String,
    },
    /// No attempt of an action begins, however long, and across restarts.
    Pause {
        /// The action; it need not have deliveries.
        action: String,
        /// The operator, kept with it.
        by: String,
    },
    /// Attempts of a paused action begin again.
    Resume {
        /// The action.
        action: String,
    },
}

impl Change {
    /// Which deliveries are asked for, and the states in which each can be changed; `None` of what changes none.
    #[must_use]
    pub fn which(&self) -> Option<(&Filter, &'static [RowState])> {
        Some(match self {
            Self::Retry { which, .. } => (which, &[RowState::Dead]),
            Self::Discard { which, .. } => {
                (which, &[RowState::Waiting, RowState::Ready, RowState::Held, RowState::Dead])
            }
            Self::Hold { which, .. } => (which, &[RowState::Waiting, RowState::Ready]),
            Self::Release { which } => (which, &[RowState::Held]),
            Self::Move { which, .. } => (which, &[RowState::Waiting, RowState::Ready, RowState::Held]),
            Self::Pause { .. } | Self::Resume { .. } => return None,
        })
    }

    /// Whether it is a retry that may undo what came later.
    #[must_use]
    pub fn is_out_of_order(&self) -> bool {
        matches!(self, Self::Retry { out_of_order: true, .. })
    }

    /// Returns the filter of the deliveries that it can change; `None` if there are none.
    #[must_use]
    pub fn selection(&self) -> Option<Filter> {
        let (which, states) = self.which()?;
        let states: Vec<RowState> = match &which.states[..] {
            [] => states.to_vec(),
            asked => states.iter().copied().filter(|state| asked.contains(state)).collect(),
        };
        (!states.is_empty()).then(|| Filter { states, ..which.clone() })
    }
}

/// Returns the refusal of a retry: a later delivery of the resource has had an effect, or may have one soon.
#[must_use]
pub fn overtaken(later: DeliveryId) -> String {
    format!(
        "{later} of the same resource came later: a late retry could undo it; --out-of-order does it nevertheless"
    )
}

/// The refusal of a retry of which it is not known whether a later delivery has had an effect.
pub const FORGOTTEN: &str = "deliveries that ended since it came have left the journal (retention), and whether one was of the \
     same resource is not known: a late retry could undo it; --out-of-order does it nevertheless";

/// Returns the refusal of a move to the action that a delivery has.
#[must_use]
pub fn same_action(to: &str) -> String {
    format!("it is of {to} already")
}

/// The result of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeOutcome {
    /// Deliveries changed.
    pub changed: Vec<DeliveryId>,
    /// Those that were not, and why.
    pub refused: Vec<(DeliveryId, String)>,
    /// Those that are claimed: they are changed when their attempt has ended, unless it succeeds.
    pub under_way: Vec<DeliveryId>,
}

impl ChangeOutcome {
    /// Adds what another part of the same change did.
    pub(super) fn add(&mut self, other: Self) {
        self.changed.extend(other.changed);
        self.refused.extend(other.refused);
        self.under_way.extend(other.under_way);
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The journal was closed before.
    #[error("the journal is closed")]
    Closed,
    /// The deliveries cannot be looked up.
    #[error("the journal cannot be read: {0}")]
    Unreadable(String),
}

/// One transaction of a change.
#[derive(Debug)]
pub(super) struct Bite {
    pub(super) change: Change,
    /// Each with the last delivery of its action and resource that has had an effect, as far as is known.
    pub(super) ids: Vec<(DeliveryId, Option<DeliveryId>)>,
    /// Effects since this moment are not known yet.
    pub(super) known_until: i64,
}

/// The result of a bite, with the parts that the writer reports after the commit.
#[derive(Debug, Default)]
pub(super) struct BiteResult {
    pub(super) changed: ChangeOutcome,
    /// The number of its deliveries that were looked at; another bite takes the rest.
    pub(super) bitten: usize,
    /// Effects since [`Bite::known_until`], and the moment until which they are known now.
    pub(super) effects: Vec<(String, String, DeliveryId)>,
    pub(super) known_until: i64,
    /// Deliveries that guards held and that are released.
    pub(super) released: Vec<DeliveryId>,
    pub(super) withdrawn: Vec<(String, DeliveryId)>,
    /// Claims that shall not be given back any more.
    pub(super) left: Vec<(String, DeliveryId)>,
    pub(super) pending: HashMap<String, i64>,
}

pub(super) fn apply(work: &mut Work<'_>, bite: &Bite) -> Result<BiteResult> {
    let mut answer = BiteResult { known_until: work.now, ..BiteResult::default() };
    let (which, states) = match &bite.change {
        Change::Pause { action, by } => {
            paused::pause(work.connection, action, by, work.now)?;
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
        | Change::Move { .. }) => match change.which() {
            Some(which) => which,
            None => return Ok(answer),
        },
    };
    let end = Instant::now() + AT_MOST;
    let forgotten_until = prune::forgotten_until(work.connection)?;
    let effects = match bite.change {
        Change::Retry { out_of_order: false, .. } => effects_since(work, bite.known_until)?,
        Change::Retry { .. }
        | Change::Discard { .. }
        | Change::Hold { .. }
        | Change::Release { .. }
        | Change::Move { .. }
        | Change::Pause { .. }
        | Change::Resume { .. } => Vec::new(),
    };
    for (id, later) in &bite.ids {
        if answer.bitten > 0 && Instant::now() >= end {
            break;
        }
        answer.bitten += 1;
        // It was looked up a while ago.
        let Some(found) = work.find(*id)? else { continue };
        let is_asked = which.action.as_ref().is_none_or(|action| *action == found.action);
        if is_asked && leave(work, &found, &bite.change, &mut answer)? {
            continue;
        }
        if !is_asked || !states.contains(&found.state) {
            continue;
        }
        let refused = match &bite.change {
            Change::Retry { out_of_order, .. } => {
                let later = match out_of_order {
                    true => Later::None,
                    false => latest(work, &found, *later, &effects, forgotten_until)?,
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
            Change::Move { to, .. } if found.action == *to => Some(same_action(to)),
            Change::Move { to, .. } => {
                ask(work, &found, DeferredChange::Move { to: to.clone() }, &mut answer)?;
                None
            }
            // Answered above.
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

/// Done at once, or when the claim has ended.
fn ask(work: &mut Work<'_>, found: &LaneEntry, wish: DeferredChange, answer: &mut BiteResult) -> Result<()> {
    if work.claimed.contains(&found.id) {
        work.wish(found.id, &wish)?;
        answer.changed.under_way.push(found.id);
    } else {
        for (action, by) in work.fulfil(found, &wish)? {
            *answer.pending.entry(action).or_default() += by;
        }
    }
    answer.withdrawn.push((found.action.clone(), found.id));
    Ok(())
}

/// Releases a claimed delivery that was to be held; answers whether it was.
fn leave(work: &mut Work<'_>, found: &LaneEntry, change: &Change, answer: &mut BiteResult) -> Result<bool> {
    let (Change::Release { .. }, Some(DeferredChange::Hold { .. })) = (change, &found.wish) else {
        return Ok(false);
    };
    if found.state.is_open() {
        work.unwish(found.id)?;
        answer.left.push((found.action.clone(), found.id));
        answer.changed.changed.push(found.id);
    }
    Ok(found.state.is_open())
}

fn release(work: &mut Work<'_>, found: &LaneEntry, answer: &mut BiteResult) -> Result<()> {
    // It is let through from now on, also for what a guard remembers after a restart.
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
    answer: &mut BiteResult,
) -> Result<Option<String>> {
    match later {
        Later::None => {}
        Later::This(later) => return Ok(Some(overtaken(later))),
        Later::Unknown => return Ok(Some(FORGOTTEN.to_owned())),
    }
    work.connection
        .prepare_cached("UPDATE delivery SET attempts = 0, aged = 0, holds_key = 0 WHERE id = ?")?
        .execute([found.id.row()])?;
    work.open_again(found)?;
    *answer.pending.entry(found.action.clone()).or_default() += 1;
    Ok(None)
}

/// The knowledge of later deliveries of the same action and resource that have had an effect, or may be having one.
#[derive(Clone, Copy, Debug)]
enum Later {
    None,
    This(DeliveryId),
    /// There may have been one.
    Unknown,
}

/// Looks for a later delivery. One that is held, or waits behind this one, has had no effect yet. A delivery that waits
/// for no lane has no order that could be broken, and nothing has passed one that holds its lane.
fn latest(
    work: &Work<'_>,
    found: &LaneEntry,
    known: Option<DeliveryId>,
    effects: &[(String, String, DeliveryId)],
    forgotten_until: Option<i64>,
) -> Result<Later> {
    let (Some(key), true) = (&found.key, found.ordered) else { return Ok(Later::None) };
    if let Some(known) = known {
        return Ok(Later::This(known));
    }
    let since =
        effects.iter().filter(|(action, of, id)| *id > found.id && *action == found.action && of == key);
    if let Some(latest) = since.map(|(.., id)| *id).max() {
        return Ok(Later::This(latest));
    }
    let Some(lane) = found.shared_lane() else { return Ok(Later::None) };
    let mut select = work.connection.prepare_cached(READY_BEHIND)?;
    let ready =
        select.query_row(params![lane, found.id.row()], |row| row.get(0).map(delivery_id)).optional()?;
    if let Some(ready) = ready {
        return Ok(Later::This(ready));
    }
    let (Some(until), None) = (forgotten_until, found.lane) else { return Ok(Later::None) };
    let event = event_of(work.connection, found.id)?;
    let mut select = work.connection.prepare_cached("SELECT received FROM event WHERE id = ?")?;
    let received: i64 = select.query_row([event], |row| row.get(0)).optional()?.unwrap_or_default();
    // What came later ended later.
    Ok(if received <= until { Later::Unknown } else { Later::None })
}

fn effects_since(work: &Work<'_>, since: i64) -> Result<Vec<(String, String, DeliveryId)>> {
    let mut select = work.connection.prepare_cached(EFFECTS)?;
    let rows = select.query_map([since], |row| Ok((row.get(0)?, row.get(1)?, delivery_id(row.get(2)?))))?;
    rows.collect()
}

/// Answered by the index `delivery_lane` alone.
pub(super) const READY_BEHIND: &str =
    concat!("SELECT id FROM delivery WHERE lane = ?1 AND ", is!(Ready), " AND id > ?2 LIMIT 1");

/// Found by the index `delivery_done`.
pub(super) const EFFECTS: &str = concat!(
    "SELECT action, key, id FROM delivery WHERE ",
    is!(done),
    " AND ended >= ?1 AND ",
    is!(with_effect),
    " AND key IS NOT NULL"
);
