//! The steps within one transaction of the writer: appends, attempts, ends, promotions.
//!
//! Nothing is visible outside before the commit: results for later are returned, or kept in
//! [`Work::promoted`] and [`Work::tally`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use osnl_core::attempt::{ErrorClass, LONGEST_ANSWER, TOO_OLD};
use osnl_core::clock::{Due, whole_millis};
use osnl_core::received::RowChange;
use osnl_model::{BodyDigest, Notification, cut};
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::blocks::{BlockFact, BlockNotes};
use super::lane::{DeferredChange, LaneEntry, LaneKey};
use super::rows::{self, identity_number, is, millis};
use crate::identity::MessageIdentity;
use crate::query::RowState;
use crate::{Begin, DeliveryId, End, Entry, NewDelivery, Outcome, SentRequest, UsedLimits};

/// The number of failed attempts that are kept: the first, which tells since when a delivery fails, and the latest.
const ATTEMPTS: u32 = 20;
const _: () = assert!(ATTEMPTS == 20, "rows::as_made has the places of this many attempts");
const REQUEST: usize = 4096;
/// The longest reason of a state: a value of the event, or the words of a target, may be in it.
const REASON: usize = 4096;
/// The number of latest failed attempts whose request is kept.
const REQUESTS: u32 = 3;

/// One transaction of the writer: applies commands to rows, and gathers what memory learns after the commit.
pub(super) struct Work<'a> {
    /// The transaction.
    pub(super) connection: &'a Connection,
    /// The time of the transaction, in milliseconds since 1970.
    pub(super) now: i64,
    /// The number of the next event.
    pub(super) next_event: i64,
    /// The changes of the number of deliveries, by action and state.
    pub(super) tally: HashMap<(String, RowState), i64>,
    /// The claimed deliveries, which an operator's change defers; empty in other transactions.
    pub(super) claimed: HashSet<DeliveryId>,
    /// Deliveries that have become claimable, each with its action.
    pub(super) promoted: Vec<(String, DeliveryId)>,
    /// Events without an id whose message the broker will redeliver.
    pub(super) unsettled: &'a BTreeSet<i64>,
    /// Unsettled events whose message was redelivered in this transaction.
    pub(super) adopted: Vec<i64>,
    /// The facts for searches.
    pub(super) blocks: BlockNotes,
}

static NONE: BTreeSet<i64> = BTreeSet::new();

/// The change of the number of pending deliveries, by action.
pub(super) type PendingChange = Vec<(String, i64)>;

/// The effect of an append.
#[derive(Debug)]
pub(super) enum AppendResult {
    /// The entry is kept; `ready` are the first of each key among its deliveries.
    New { event: i64, ready: Vec<usize> },
    /// The message is a copy of a kept one: nothing is added, and it can be acknowledged.
    Copy,
}

/// The effect of the end of a claim.
#[derive(Debug)]
pub(super) enum EndResult {
    /// The delivery has ended already, or is gone.
    Nothing,
    /// The delivery is claimable again.
    Returned { action: String },
    /// The delivery waits for its retry.
    Waits { action: String, due: i64 },
    /// The delivery has ended; `made` is whether one of another action replaces it, `retried` the number of earlier dead
    /// letters for which it has given way.
    Over { action: String, made: bool, retried: i64 },
    /// A deferred change of the operator was applied instead.
    Fulfilled(PendingChange),
}

impl<'a> Work<'a> {
    pub(super) fn new(connection: &'a Connection, now: i64, next_event: i64) -> Self {
        Self {
            connection,
            now,
            next_event,
            tally: HashMap::new(),
            claimed: HashSet::new(),
            promoted: Vec::new(),
            unsettled: &NONE,
            adopted: Vec::new(),
            blocks: BlockNotes::default(),
        }
    }

    pub(super) fn append(&mut self, entry: &Entry, identity: &MessageIdentity) -> Result<AppendResult> {
        let (received, notification) = (&entry.received, &entry.notification);
        let (origin, properties) = (&received.origin, &received.properties);
        let number = identity_number(identity);
        if identity.may_be_copy(origin.redelivered)
            && let Some(event) = same(self.connection, number, identity)?
            && (identity.id.is_some() || self.comes_again(event)?)
        {
            let mut seen =
                self.connection.prepare_cached("UPDATE event SET copies = copies + 1 WHERE id = ?")?;
            seen.execute([event])?;
            return Ok(AppendResult::Copy);
        }
        let event = self.next_event;
        self.next_event += crate::reserved_numbers(entry.deliveries.len());
        self.blocks.took(event, self.next_event);
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO event (id, identity, received, redelivered, deliveries, listener, queue, exchange, \
             routing_key, content_type, content_encoding, compression, message_id, unique_id, event_type, body, noted) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        )?;
        insert.execute(params![
            event,
            number,
            millis(origin.received),
            origin.redelivered,
            i64::try_from(entry.deliveries.len()).unwrap_or(i64::MAX),
            &*origin.listener,
            &*origin.queue,
            origin.exchange,
            origin.routing_key,
            properties.content_type.as_deref(),
            properties.content_encoding.as_deref(),
            properties.compression,
            notification.message_id,
            notification.unique_id,
            notification.event_type,
            &received.body[..],
            received.noted.happened.as_deref(),
        ])?;
        self.record_seen(&received.noted.changes)?;
        let mut ready = Vec::new();
        for (n, new) in entry.deliveries.iter().enumerate() {
            let state = self.append_delivery(DeliveryId::from_event(event, n).row(), new, notification)?;
            if state == RowState::Ready {
                ready.push(n);
            }
        }
        Ok(AppendResult::New { event, ready })
    }

    fn append_delivery(
        &mut self,
        id: i64,
        new: &NewDelivery,
        notification: &Notification,
    ) -> Result<RowState> {
        let key = new.key.as_deref().filter(|_| new.ordered);
        let lane = key.map(|key| rows::lane(&new.action, key));
        let (state, reason, cause) = match &new.begin {
            Begin::Live => (self.on_arrival(lane)?, None, None),
            Begin::Shadow => (RowState::Shadow, None, None),
            Begin::Held(hold) => (RowState::Held, Some(&hold.why), Some(hold.guard.section())),
            Begin::Dead(why) => (RowState::Dead, Some(why), None),
            Begin::TooOld(why) => (RowState::Dead, Some(why), Some(TOO_OLD.to_owned())),
        };
        let reason = reason.map(|why| cut(why, REASON));
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO delivery (id, rule, action, key, state, ended, reason, resource, lane, ordered, guarded, \
             message, resource_id, resource_name, cause) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?;
        insert.execute(params![
            id,
            &*new.rule,
            &*new.action,
            new.key,
            state,
            (!state.is_open()).then_some(self.now),
            reason,
            new.resource,
            lane.filter(|_| state.is_open()),
            new.ordered,
            state == RowState::Held,
            notification.message_id.as_deref().map(rows::message_number),
            new.subject.id,
            new.subject.name,
            cause,
        ])?;
        self.blocks.note(id, BlockFact::Rule(&new.rule));
        if let Some(event_type) = &notification.event_type {
            self.blocks.note(id, BlockFact::EventType(event_type));
        }
        self.blocks.note(id, BlockFact::Action(&new.action));
        self.blocks.note(id, BlockFact::State(state));
        self.blocks.note_answer(id, reason.unwrap_or_default());
        self.write_enriched(id, new.enriched.as_deref())?;
        self.count(&new.action, state, 1);
        Ok(state)
    }

    /// Returns whether a message without an id is this event's: the event is open or unsettled. Otherwise
    /// another message has the same bytes.
    fn comes_again(&mut self, event: i64) -> Result<bool> {
        if self.unsettled.contains(&event) {
            self.adopted.push(event);
            return Ok(true);
        }
        let (from, to) = (DeliveryId::from_event(event, 0).row(), DeliveryId::from_event(event + 1, 0).row());
        self.connection.prepare_cached(IS_OPEN)?.exists([from, to])
    }

    pub(super) fn record_seen(&self, changes: &[RowChange]) -> Result<()> {
        for RowChange { name, row } in changes {
            match row {
                Some(row) => {
                    let sql = "INSERT OR REPLACE INTO seen (name, at, row) VALUES (?1, ?2, ?3)";
                    self.connection.prepare_cached(sql)?.execute(params![name, self.now, row])?;
                }
                None => {
                    self.connection.prepare_cached("DELETE FROM seen WHERE name = ?")?.execute([name])?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn attempted(&mut self, id: DeliveryId, used: UsedLimits, answer: &str) -> Result<()> {
        let mut update = self
            .connection
            .prepare_cached("UPDATE delivery SET attempts = ?2, aged = ?3, tries = ?4 WHERE id = ?1")?;
        let found = update.execute(params![id.row(), used.attempts, whole_millis(used.age), used.made])?;
        if found > 0 && !answer.is_empty() { self.answered(id, used.made, answer) } else { Ok(()) }
    }

    pub(super) fn retry(
        &mut self,
        id: DeliveryId,
        due: Due,
        used: UsedLimits,
        answer: &str,
    ) -> Result<EndResult> {
        let mut update = self.connection.prepare_cached(RETRY)?;
        let found: Option<(String, bool)> = update
            .query_row(
                params![id.row(), used.attempts, whole_millis(used.age), used.made, due.at, due.pause],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let Some((action, is_deferred)) = found else { return Ok(EndResult::Nothing) };
        // Without an answer there was no attempt.
        if !answer.is_empty() {
            self.answered(id, used.made, answer)?;
        }
        if is_deferred
            && let Some(found) = self.find(id)?
            && let Some(deferred) = &found.deferred
        {
            return Ok(EndResult::Fulfilled(self.fulfil(&found, deferred)?));
        }
        Ok(EndResult::Waits { action, due: due.at })
    }

    /// Ends a claim. A deferred change of the operator is applied now, unless already in effect. A delivery that is
    /// given up and has to give way to earlier dead letters stays dead: the operator asked for retries of those only.
    pub(super) fn end_claim(&mut self, id: DeliveryId, end: &End) -> Result<EndResult> {
        let Some(found) = self.find(id)? else { return Ok(EndResult::Nothing) };
        if !found.state.is_open() {
            return Ok(EndResult::Nothing);
        }
        let done = end.done.as_deref();
        let (state, reason) = match (&end.outcome, &found.deferred) {
            (Outcome::Delivered, _) => (RowState::Delivered, done),
            (Outcome::NothingToDo, _) => (RowState::NothingToDo, done),
            (
                Outcome::Dead(reason) | Outcome::DeadHoldingKey(reason),
                None | Some(DeferredChange::GiveWay { .. }),
            ) => (RowState::Dead, Some(reason.as_str())),
            (Outcome::Dead(_) | Outcome::DeadHoldingKey(_) | Outcome::Returned, Some(deferred)) => {
                return Ok(EndResult::Fulfilled(self.fulfil(&found, deferred)?));
            }
            (Outcome::Returned, None) => return Ok(EndResult::Returned { action: found.action }),
        };
        let cause = end.cause.as_deref().filter(|_| state == RowState::Dead);
        self.set_state_over(&found, state, reason, cause, end.took)?;
        let retried = match &found.deferred {
            Some(DeferredChange::GiveWay { to }) if state == RowState::Dead => self.retry_earlier(to)?,
            Some(_) | None => 0,
        };
        match (&end.outcome, found.lane) {
            (Outcome::DeadHoldingKey(_), Some(lane)) => self.hold_lane(id, lane)?,
            (
                Outcome::Delivered
                | Outcome::NothingToDo
                | Outcome::Dead(_)
                | Outcome::DeadHoldingKey(_)
                | Outcome::Returned,
                _,
            ) => self.next_after(&found)?,
        }
        let made = match &end.to {
            Some(to) if state == RowState::Dead => self.fall_back(id, to)?,
            Some(_) | None => false,
        };
        Ok(EndResult::Over { action: found.action, made, retried })
    }

    /// Makes retries due, a bounded number at once; returns whether there may be more.
    pub(super) fn due_now(&self, action: &str, now: i64) -> Result<bool> {
        let mut update = self.connection.prepare_cached(DUE_NOW)?;
        Ok(update.execute(params![action, now, DUE_AT_ONCE])? == DUE_AT_ONCE as usize)
    }

    fn answered(&mut self, id: DeliveryId, made: u32, answer: &str) -> Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO attempt (delivery, slot, at, answer) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let answer = cut(answer, LONGEST_ANSWER);
        self.blocks.note(id.row(), BlockFact::Failed);
        self.blocks.note_answer(id.row(), answer);
        insert.execute(params![id.row(), slot(made), self.now, answer])?;
        Ok(())
    }

    pub(super) fn sent(&self, id: DeliveryId, made: u32, sent: &SentRequest) -> Result<()> {
        let request = sent.request.as_deref().map(|text| cut(text, REQUEST));
        let class = sent.class.map(ErrorClass::word);
        self.connection
            .prepare_cached(
                "UPDATE attempt SET request = ?3, took = ?4, class = ?5, host = ?6 WHERE delivery = ?1 AND slot = ?2",
            )?
            .execute(params![id.row(), slot(made), request, whole_millis(sent.took), class, sent.host])?;
        if made > REQUESTS {
            self.connection
                .prepare_cached("UPDATE attempt SET request = NULL WHERE delivery = ?1 AND slot = ?2")?
                .execute(params![id.row(), slot(made - REQUESTS)])?;
        }
        Ok(())
    }

    pub(super) fn next_after(&mut self, found: &LaneEntry) -> Result<()> {
        match found.lane {
            Some(lane) => self.lane_turn(LaneKey::Shared(lane)),
            None => Ok(()),
        }
    }

    pub(super) fn find(&self, id: DeliveryId) -> Result<Option<LaneEntry>> {
        let mut select = self.connection.prepare_cached(FIND)?;
        select
            .query_row([id.row()], |row| {
                Ok(LaneEntry {
                    id,
                    action: row.get(0)?,
                    key: row.get(1)?,
                    state: row.get(2)?,
                    lane: row.get(3)?,
                    ordered: row.get(4)?,
                    deferred: DeferredChange::read(row, 5)?,
                })
            })
            .optional()
    }

    /// Sets a state. An ended state gets its time, and a reason where there is one. The open states that are
    /// set here are waiting and held.
    pub(super) fn set_state(&mut self, was: &LaneEntry, state: RowState, reason: Option<&str>) -> Result<()> {
        self.set_state_over(was, state, reason, None, None)
    }

    fn set_state_over(
        &mut self,
        was: &LaneEntry,
        state: RowState,
        reason: Option<&str>,
        cause: Option<&str>,
        took: Option<Duration>,
    ) -> Result<()> {
        debug_assert_ne!(state, RowState::Ready, "the turn decides");
        let reason = reason.map(|reason| cut(reason, REASON));
        let ended = (!state.is_open()).then_some(self.now);
        let mut update = self.connection.prepare_cached(END)?;
        // An ended delivery must not block its lane.
        let lane = if state.is_open() { was.shared_lane() } else { None };
        update.execute(params![was.id.row(), state, ended, reason, lane, cause, took.map(whole_millis)])?;
        self.blocks.note(was.id.row(), BlockFact::State(state));
        self.blocks.note_answer(was.id.row(), reason.unwrap_or_default());
        self.count(&was.action, was.state, -1);
        self.count(&was.action, state, 1);
        Ok(())
    }

    /// Opens a delivery. Its wait for the target begins now, also if its message arrived long ago.
    pub(super) fn open_again(&mut self, was: &LaneEntry) -> Result<()> {
        self.set_state(was, RowState::Waiting, None)?;
        self.connection
            .prepare_cached("UPDATE delivery SET ended = ?2 WHERE id = ?1")?
            .execute([was.id.row(), self.now])?;
        self.lane_turn(was.own_lane())
    }

    fn hold_lane(&self, id: DeliveryId, lane: i64) -> Result<()> {
        self.connection
            .prepare_cached("UPDATE delivery SET holds_key = 1, lane = ?2 WHERE id = ?1")?
            .execute(params![id.row(), lane])?;
        Ok(())
    }

    pub(super) fn count(&mut self, action: &str, state: RowState, by: i64) {
        // Searched first, so that the name is copied only once per transaction.
        match self.tally.iter_mut().find(|((a, s), _)| a == action && *s == state) {
            Some((_, count)) => *count += by,
            None => {
                self.tally.insert((action.to_owned(), state), by);
            }
        }
    }

    /// Returns the change of the number of deliveries that wait behind another of their key.
    pub(super) fn waiting_change(&self) -> i64 {
        self.tally.iter().filter(|((_, state), _)| *state == RowState::Waiting).map(|(_, by)| by).sum()
    }

    /// Writes the counts and the facts of the blocks; the last step before the commit.
    pub(super) fn finish(&self) -> Result<()> {
        self.write_blocks()?;
        self.write_tally()
    }

    fn write_tally(&self) -> Result<()> {
        for ((action, state), by) in self.tally.iter().filter(|(_, by)| **by != 0) {
            let mut upsert = self.connection.prepare_cached(
                "INSERT INTO tally (action, state, count) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (action, state) DO UPDATE SET count = count + excluded.count",
            )?;
            upsert.execute(params![action, state, by])?;
        }
        Ok(())
    }
}

pub(super) fn same(connection: &Connection, number: i64, identity: &MessageIdentity) -> Result<Option<i64>> {
    let mut select = connection.prepare_cached(SAME)?;
    let mut rows = select.query([number])?;
    while let Some(row) = rows.next()? {
        let found = MessageIdentity {
            queue: row.get::<_, String>(1)?.into(),
            id: row.get(2)?,
            digest: BodyDigest::new(row.get_ref(3)?.as_blob().unwrap_or_default()),
        };
        if found == *identity {
            return row.get(0).map(Some);
        }
    }
    Ok(None)
}

/// Returns the place of a failed attempt, counted from 1. The first keeps its place, and the others share the rest.
fn slot(made: u32) -> u32 {
    if made < 2 { made } else { 2 + (made - 2) % (ATTEMPTS - 1) }
}

/// The index `event_identity` answers this query.
pub(super) const SAME: &str = "SELECT id, queue, coalesce(nullif(unique_id, ''), nullif(message_id, '')), body FROM event WHERE identity = ?";

const IS_OPEN: &str =
    concat!("SELECT 1 FROM delivery WHERE id >= ?1 AND id < ?2 AND ", is!(open), " LIMIT 1");

const FIND: &str =
    "SELECT action, key, state, lane, ordered, deferred, deferred_text FROM delivery WHERE id = ?";

/// Clears the due time and the deferred change, so that a reopened delivery begins anew. An open one keeps the
/// beginning of its wait.
pub(super) const END: &str = "UPDATE delivery SET state = ?2, ended = coalesce(?3, ended), reason = ?4, lane = ?5, due = 0, deferred = NULL, deferred_text = NULL, cause = ?6, took = ?7 \
     WHERE id = ?1";

/// The rest of a pause that the age includes leaves the age.
pub(super) const DUE_NOW: &str = concat!(
    "UPDATE delivery SET aged = CASE WHEN pause > 0 THEN max(aged - min(due - ?2, pause), 0) ELSE aged END, due = ?2, \
     pause = 0 WHERE id IN (SELECT id FROM delivery WHERE action = ?1 AND ",
    is!(Ready),
    " AND due > ?2 LIMIT ?3)"
);

const DUE_AT_ONCE: u32 = 1000;

const RETRY: &str = concat!(
    "UPDATE delivery SET attempts = ?2, aged = ?3, tries = ?4, due = ?5, pause = ?6 WHERE id = ?1 AND ",
    is!(Ready),
    " RETURNING action, deferred IS NOT NULL"
);

/// The index names the candidates, and only rows that wait for a retry are looked up.
pub(super) const CLAMP_DUE: &str = concat!(
    "UPDATE delivery INDEXED BY delivery_ready SET due = ?1 + abs(pause) WHERE ",
    is!(Ready),
    " AND due > ?1 AND due > ?1 + abs(pause)"
);
