//! What people do to deliveries: retry, discard, hold, release, move. Each in one transaction of the writer,
//! a bounded number at a time.

use std::collections::HashMap;

use rusqlite::{OptionalExtension as _, Result, params};

use super::paused;
use super::reader::{self, Filter, Page, Row};
use super::rows::State;
use super::work::{Found, Work};
use crate::journal::DeliveryId;

/// Deliveries of one change; the answer says whether there are more.
const AT_ONCE: u32 = 1000;

/// A change that somebody asks for.
#[derive(Clone, Debug)]
pub enum Change {
    /// Dead letters are open again, with all their attempts.
    Retry {
        /// Of these, the dead ones.
        which: Filter,
        /// Even where its resource has had a later delivery since.
        out_of_order: bool,
    },
    /// Open and dead ones end; no attempt is made any more.
    Discard {
        /// Of these, the open and the dead ones.
        which: Filter,
        /// Who wants it, for the record.
        by: String,
    },
    /// Open ones wait, and with them those behind them, until they are released.
    Hold {
        /// Of these, the open ones.
        which: Filter,
        /// Why, for the record.
        why: String,
    },
    /// Held ones go on.
    Release {
        /// Of these, the held ones.
        which: Filter,
    },
    /// Open ones of one action become another's, such as of one that is no longer configured.
    Move {
        /// Of these, the open ones.
        which: Filter,
        /// The other action.
        to: String,
    },
    /// No attempt of an action begins, however long, and across restarts.
    Pause {
        /// The action; it need not have deliveries.
        action: String,
    },
    /// Attempts of a paused action begin again.
    Resume {
        /// The action.
        action: String,
    },
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Deliveries changed.
    pub changed: Vec<DeliveryId>,
    /// Those that were not, and why.
    pub refused: Vec<(DeliveryId, String)>,
    /// There were more than one change takes: ask again, with this as [`Filter::after`].
    pub more: Option<DeliveryId>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The journal was closed before.
    #[error("the journal is closed")]
    Closed,
}

/// What the writer does after the commit.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) changed: Changed,
    pub(super) withdrawn: Vec<(String, DeliveryId)>,
    pub(super) pending: HashMap<String, i64>,
}

pub(super) fn apply(work: &mut Work<'_>, change: &Change) -> Result<Answer> {
    const OPEN: [State; 3] = [State::Waiting, State::Ready, State::Held];
    let (which, states): (_, &[State]) = match change {
        Change::Pause { action } => {
            paused::pause(work.connection, action, work.now)?;
            return Ok(Answer::default());
        }
        Change::Resume { action } => {
            paused::resume(work.connection, action)?;
            return Ok(Answer::default());
        }
        Change::Retry { which, .. } => (which, &[State::Dead]),
        Change::Discard { which, .. } => (which, &[State::Waiting, State::Ready, State::Held, State::Dead]),
        Change::Hold { which, .. } => (which, &[State::Waiting, State::Ready]),
        Change::Release { which } => (which, &[State::Held]),
        Change::Move { which, .. } => (which, &OPEN),
    };
    let mut which = which.clone();
    which.states = match &which.states[..] {
        [] => states.to_vec(),
        asked => states.iter().copied().filter(|state| asked.contains(state)).collect(),
    };
    let mut answer = Answer::default();
    if which.states.is_empty() {
        return Ok(answer);
    }
    let rows = reader::list(work.connection, &which, &Page { after: None, limit: AT_ONCE })?;
    if rows.len() == AT_ONCE as usize {
        answer.changed.more = rows.last().map(|row| row.id);
    }
    for row in rows {
        let Some(found) = work.find(row.id)? else { continue };
        let refused = match change {
            Change::Retry { out_of_order, .. } => retry(work, &row, &found, *out_of_order, &mut answer)?,
            Change::Discard { by, .. } => {
                work.set_state(&found, State::Discarded, Some(&format!("discarded by {by}")))?;
                work.next_after(&found)?;
                if found.state.is_open() {
                    *answer.pending.entry(row.action.clone()).or_default() -= 1;
                    answer.withdrawn.push((row.action.clone(), row.id));
                }
                None
            }
            Change::Hold { why, .. } => {
                work.set_state(&found, State::Held, Some(why))?;
                answer.withdrawn.push((row.action.clone(), row.id));
                None
            }
            Change::Release { .. } => {
                work.open_again(&found)?;
                None
            }
            Change::Move { to, .. } => move_to(work, &row, found, to, &mut answer)?,
            // Answered above.
            Change::Pause { .. } | Change::Resume { .. } => None,
        };
        match refused {
            None => answer.changed.changed.push(row.id),
            Some(why) => answer.changed.refused.push((row.id, why)),
        }
    }
    Ok(answer)
}

fn retry(
    work: &mut Work<'_>,
    row: &Row,
    found: &Found,
    out_of_order: bool,
    answer: &mut Answer,
) -> Result<Option<String>> {
    if let (false, Some(later)) = (out_of_order, later(work, row)?) {
        return Ok(Some(format!(
            "{} of the same resource came later: a late retry could undo it; --out-of-order does it nevertheless",
            later
        )));
    }
    work.connection
        .prepare_cached("UPDATE delivery SET attempts = 0, aged = 0, holds_key = 0 WHERE id = ?")?
        .execute([row.id.row()])?;
    work.open_again(found)?;
    *answer.pending.entry(row.action.clone()).or_default() += 1;
    Ok(None)
}

/// A later delivery of the same action and resource that has had an effect, or may be having one: what is held,
/// or waits behind this one, has none yet. Looked for among all that came later: somebody asks for this by hand,
/// and an index for it would cost each append.
fn later(work: &Work<'_>, row: &Row) -> Result<Option<DeliveryId>> {
    let mut select = work.connection.prepare_cached(
        "SELECT id FROM delivery NOT INDEXED WHERE id > ?1 AND action = ?2 AND key = ?3 AND state IN (1, 4, 5) LIMIT 1",
    )?;
    select
        .query_row(params![row.id.row(), row.action, row.key], |row| row.get(0).map(super::rows::delivery_id))
        .optional()
}

fn move_to(
    work: &mut Work<'_>,
    row: &Row,
    found: Found,
    to: &str,
    answer: &mut Answer,
) -> Result<Option<String>> {
    if found.action == to {
        return Ok(Some(format!("it is of {to} already")));
    }
    if work.claimed.contains(&row.id) {
        let why = format!("{} has it in work; take the action out of the configuration first", found.action);
        return Ok(Some(why));
    }
    let moved = Found { action: to.to_owned(), lane: None, state: State::Waiting, ..found.clone() };
    work.connection
        .prepare_cached("UPDATE delivery SET action = ?2, state = 0, lane = NULL WHERE id = ?1")?
        .execute(params![row.id.row(), to])?;
    work.count(&found.action, found.state, -1);
    work.count(to, State::Waiting, 1);
    work.next_after(&found)?;
    if found.state == State::Held {
        work.set_state(&moved, State::Held, row.reason.as_deref())?;
    } else {
        work.open_again(&moved)?;
    }
    answer.withdrawn.push((found.action.clone(), row.id));
    *answer.pending.entry(found.action.clone()).or_default() -= 1;
    *answer.pending.entry(to.to_owned()).or_default() += 1;
    Ok(None)
}
