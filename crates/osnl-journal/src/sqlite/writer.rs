//! The thread that owns the connection: commits all queued commands as one transaction, then answers the
//! callers.

mod answers;
#[cfg(feature = "sample")]
mod driven;
mod failure;
mod fetching;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use osnl_config::duration;
use osnl_core::clock::{Due, SteppedClock};
use osnl_core::epoch;
use osnl_core::received::ReceivedMessage;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use tokio::sync::oneshot;
use tokio::time::Instant;

#[cfg(feature = "sample")]
pub use self::driven::DrivenWriter;
use self::failure::SavedCopy;
use super::change::{self, ChangeBatch, ChangeBatchResult};
use super::checkpoint::{self, Checkpointer};
use super::connection::{closed, connect};
use super::inspection::inspect;
use super::place::JournalLock;
use super::prune::{self, PruneResult, Pruner};
use super::rows::{is, millis};
use super::stuck::Watch;
use super::work::{self, AppendResult, EndResult, Work};
use super::{OpenError, SqliteOptions, SqliteState, paused, schema};
use crate::identity::MessageIdentity;
use crate::query::{Change, Filter, RowState};
use crate::reserved_numbers;
use crate::store::claimable::FetchKinds;
use crate::{DeliveryId, End, Entry, JournalState, LearntFacts, Outcome, SentRequest, Settle, UsedLimits};

const AT_ONCE: usize = 1000;
/// The interval at which the writer checks for the file, prunes, and retries after a failure.
const TICK: Duration = Duration::from_secs(1);
/// The approximate bytes of a row beside the body.
const ROW: u64 = 512;
/// Bounds of a group's appends once the file is full: a twentieth of its size within these two.
const LEAST_ROOM: u64 = 64 << 10;
const MOST_ROOM: u64 = 1 << 20;
const SOON: Duration = Duration::from_millis(100);
/// The longest wait of an end for the commit of the next message, so that at the rates of clouds an event costs one
/// transaction and not two. A crash repeats the effects whose end waits.
const END_WAIT: Duration = Duration::from_millis(50);
const GIB: u64 = 1 << 30;

/// A command to the writer's thread; those with a sender are answered after the commit.
pub(super) enum SqliteCommand {
    Append(NewEntry, oneshot::Sender<Settle>),
    SetAside(ReceivedMessage, String, oneshot::Sender<Settle>),
    HoldSuspects(Vec<(u64, u32)>),
    ForgetUnreadable(Vec<i64>, oneshot::Sender<usize>),
    /// Without an answer, as in a retry, there was no attempt, and the limits alone are new.
    Attempted(DeliveryId, UsedLimits, String),
    Sent(DeliveryId, u32, SentRequest),
    Retry(DeliveryId, Due, UsedLimits, String),
    DueNow(Arc<str>, i64),
    End(DeliveryId, End),
    Change(ChangeBatch, Apply, oneshot::Sender<ChangeBatchResult>),
    /// Answered with the time, after the commit of everything before.
    Barrier(oneshot::Sender<i64>),
    Enriched(DeliveryId, String, LearntFacts, oneshot::Sender<()>),
    Known(String, oneshot::Sender<Option<String>>),
    /// Fetches from the file into memory; the number is the time up to which retries are due.
    Fetch(Arc<str>, FetchKinds, i64),
    Close(Option<oneshot::Sender<()>>),
    #[cfg(any(test, feature = "sample"))]
    Do(Box<dyn FnOnce(&Connection) + Send>),
}

impl SqliteCommand {
    fn bytes(&self) -> u64 {
        let body = match self {
            Self::Append(new, _) => &new.entry.received.body,
            Self::SetAside(received, ..) => &received.body,
            _ => return 0,
        };
        ROW + body.len() as u64
    }

    /// Whether this is an end that only the next delivery of its key can wait for.
    fn is_success(&self) -> bool {
        matches!(self, Self::End(_, End { outcome: Outcome::Delivered | Outcome::NothingToDo, .. }))
    }
}

/// An entry whose identity is computed, so that the writer's thread has less to do.
pub(super) struct NewEntry {
    pub(super) entry: Entry,
    pub(super) identity: MessageIdentity,
    /// Whether the decoded message is kept, so that its deliveries need not be read back.
    pub(super) whole: bool,
}

/// Whether a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apply {
    Commit,
    /// Rolls the change back and only returns its result.
    Preview,
}

/// The effect of a command, from which callers are answered after the commit.
enum CommandResult {
    Nothing,
    Appended(AppendResult),
    /// Whether the message is new in quarantine.
    SetAside(bool),
    Forgotten(usize),
    DueNow(bool),
    Ended(EndResult),
    Changed(Box<ChangeBatchResult>),
}

/// The effects of a committed transaction.
struct CommittedBatch {
    /// One result for each command, in their order.
    results: Vec<CommandResult>,
    /// Deliveries that have become claimable, each with its action.
    promoted: Vec<(String, DeliveryId)>,
}

/// The owner of the connection: the only thread that writes the file.
pub(super) struct JournalWriter {
    /// The bounds of the file.
    pub(super) options: SqliteOptions,
    /// The largest size of the file in bytes.
    pub(super) max_size: u64,
    /// The path of the file, and its lock.
    pub(super) place: JournalLock,
    /// `None` after a failure, until the file can be opened again.
    connection: Option<Connection>,
    /// Copies the WAL to the file.
    checkpointer: Checkpointer,
    /// Publishes a disk without an answer.
    _watch: Watch,
    /// The part that callers see.
    shared: Arc<SqliteState>,
    /// The clock of ages: after a step of the system clock, nothing is older than it was.
    clock: SteppedClock,
    /// The commands of callers, in the order of their calls.
    commands: Receiver<SqliteCommand>,
    /// Commands that arrived during a failure, or that did not fit into a group.
    backlog: VecDeque<SqliteCommand>,
    /// Bytes that may be appended before the next look at the file's size.
    room: u64,
    /// Appends that wait because the file is full.
    wait_for_room: VecDeque<SqliteCommand>,
    /// The number of the next event.
    next_event: i64,
    /// The deliveries that wait behind another of their key: an end may make them claimable.
    behind: i64,
    /// The next look at the file, which also prunes.
    next_tick: Instant,
    /// The beginning of a failure, and its latest log line; `None` while the file can be written.
    failing: Option<(SystemTime, Instant)>,
    /// The failure to write a lost file anew, and when that is tried again.
    not_anew: Option<(String, Instant)>,
    /// The copy of a lost file that is not in its place yet.
    saved: Option<SavedCopy>,
    /// Whether the thread ends after the commands that are queued.
    closing: bool,
    /// Unsettled events of messages without an id: the broker delivers them again.
    unsettled: BTreeSet<i64>,
}

const UNSETTLED: usize = u16::MAX as usize;

pub(super) fn default_size(free: u64, own: u64) -> u64 {
    (free.saturating_add(own) / 2).min(10 * GIB)
}

impl JournalWriter {
    pub(super) fn open(
        options: SqliteOptions,
        shared: Arc<SqliteState>,
        commands: Receiver<SqliteCommand>,
    ) -> Result<Self, OpenError> {
        // A file that is refused stays as it is, and gets no lock beside it.
        if failure::saved_copy(&options.path).symlink_metadata().is_err() {
            inspect(&options)?;
        }
        let place = JournalLock::take(&options.path, options.bounds.allow_volatile)?;
        let copy = failure::saved_copy(&place.file);
        if copy.symlink_metadata().is_ok() {
            return Err(OpenError::NotPut(copy));
        }
        place.remove_left();
        let max_size = options.max_size();
        let mut writer = Self {
            max_size,
            connection: None,
            checkpointer: Checkpointer::start(&shared.ends, {
                let (shared, file) = (shared.clone(), place.file.clone());
                move |connection| shared.checkpoint(connection, &file)
            })?,
            _watch: Watch::start(&place.file, &shared)?,
            shared,
            clock: SteppedClock::default(),
            commands,
            backlog: VecDeque::new(),
            room: 0,
            wait_for_room: VecDeque::new(),
            next_event: 1,
            behind: 0,
            next_tick: Instant::now() + TICK,
            failing: None,
            not_anew: None,
            saved: None,
            closing: false,
            unsettled: BTreeSet::new(),
            options,
            place,
        };
        writer.reopen()?;
        writer.begin()?;
        writer.count_pending()?;
        Ok(writer)
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        let mut connection = connect(&self.place.file)?;
        schema::prepare(&mut connection)?;
        let shared = self.shared.clone();
        // Replaces SQLite's own hook, which would checkpoint within a commit.
        connection.wal_hook(Some(move |_: &mut _, pages: i32| {
            shared.wal_pages.store(pages.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }))?;
        self.next_event = next_event(&connection)?;
        self.behind = behind(&connection)?;
        self.checkpointer.set(Some(connect(&self.place.file)?));
        self.shared.left.take(&self.place.file)?;
        self.connection = Some(connection);
        self.read_paused();
        Ok(())
    }

    /// Applies pending operator changes, as nothing is claimed at the start. No retry waits longer than its
    /// pause, even if the clock has changed.
    fn begin(&mut self) -> Result<(), OpenError> {
        let now = self.shared.clock.now();
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut work = Work::new(&transaction, millis(epoch::now()), self.next_event);
        let changes = work.connection.execute(work::CLAMP_DUE, [now])? + work.fulfil_all()?;
        work.finish()?;
        let waiting = work.waiting_change();
        if changes > 0 {
            transaction.commit()?;
            self.behind += waiting;
        } else {
            transaction.rollback()?
        }
        Ok(())
    }

    fn count_pending(&self) -> Result<(), OpenError> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let mut select = connection.prepare(concat!(
            "SELECT action, sum(count) FROM tally WHERE ",
            is!(open),
            " GROUP BY action"
        ))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            self.shared.gate.changed(&row.get::<_, String>(0)?, row.get(1)?);
        }
        Ok(())
    }

    pub(super) fn run(mut self) {
        let mut waiting = Vec::new();
        loop {
            let batch = self.gather(&mut waiting, true);
            if !self.carry_out(batch) {
                break;
            }
        }
        self.end(waiting);
    }

    /// Commits a group of commands, and looks at the file if that is due; `false` at the end.
    fn carry_out(&mut self, batch: Vec<SqliteCommand>) -> bool {
        self.shared.disk_wait.begins();
        let nothing_left = batch.is_empty() && self.closing;
        let bytes: u64 = batch.iter().map(SqliteCommand::bytes).sum();
        if nothing_left || !self.commit(batch) {
            return false;
        }
        self.room = self.room.saturating_sub(bytes);
        let is_due = Instant::now() >= self.next_tick || (bytes > 0 && self.room == 0);
        if is_due && !self.closing {
            let pause = if self.tick() { SOON } else { TICK };
            self.next_tick = Instant::now() + pause;
        }
        if self.shared.disk_wait.ends() && !self.closing {
            // The tick publishes whether there is room, as the disk answers again.
            self.tick();
        }
        true
    }

    fn end(mut self, waiting: Vec<oneshot::Sender<()>>) {
        self.check_before_close();
        self.checkpointer.set(None);
        drop((self.connection, self.place));
        for waiting in waiting {
            let _ = waiting.send(());
        }
    }

    /// Takes at least one command unless the next tick is due; an operator's change is alone.
    fn gather(&mut self, closed: &mut Vec<oneshot::Sender<()>>, waits: bool) -> Vec<SqliteCommand> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let most = self.room.max((self.max_size / 20).clamp(LEAST_ROOM, MOST_ROOM));
        let is_full = self.is_full();
        let mut ends_until = None;
        while batch.len() < AT_ONCE && bytes < most {
            let next = match self.backlog.pop_front() {
                Some(command) => Ok(command),
                None if batch.is_empty() && !self.closing && waits => {
                    self.commands.recv_timeout(self.next_tick.saturating_duration_since(Instant::now()))
                }
                None => self.commands.try_recv().or_else(|_| {
                    let now = Instant::now();
                    let until = *ends_until.get_or_insert(now + END_WAIT);
                    let wait = if waits && self.may_wait(&batch) {
                        until.saturating_duration_since(now)
                    } else {
                        Duration::ZERO
                    };
                    self.commands.recv_timeout(wait)
                }),
            };
            match next {
                Ok(SqliteCommand::Close(waiting)) => {
                    self.closing = true;
                    closed.extend(waiting);
                }
                Ok(command @ SqliteCommand::Change(..)) if !batch.is_empty() => {
                    self.backlog.push_front(command);
                    break;
                }
                Ok(command @ SqliteCommand::Change(..)) => return vec![command],
                Ok(command) if is_full && command.bytes() > 0 => self.wait_for_room.push_back(command),
                Ok(command) => {
                    bytes += command.bytes();
                    batch.push(command);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    self.closing = true;
                    break;
                }
            }
        }
        batch
    }

    /// Whether the commit of these commands may wait for the next message.
    fn may_wait(&self, batch: &[SqliteCommand]) -> bool {
        batch.iter().all(SqliteCommand::is_success) && self.is_idle()
    }

    /// Whether the commit of an end would let nothing begin: no delivery is claimable or waits behind another, and no
    /// message waits for a place.
    fn is_idle(&self) -> bool {
        !self.closing
            && self.failing.is_none()
            && self.behind == 0
            && !self.shared.gate.is_waited_for()
            && !self.shared.claimable.has_any()
    }

    /// Repeats until the commit succeeds, each second; `false` if the closing writer gives up.
    fn commit(&mut self, mut batch: Vec<SqliteCommand>) -> bool {
        #[cfg(any(test, feature = "sample"))]
        for command in batch.extract_if(.., |command| matches!(command, SqliteCommand::Do(_))) {
            if let (SqliteCommand::Do(what), Some(connection)) = (command, &self.connection) {
                what(connection);
            }
        }
        let asked: Vec<SqliteCommand> = batch
            .extract_if(.., |command| matches!(command, SqliteCommand::Known(..) | SqliteCommand::Barrier(_)))
            .collect();
        let fetches: Vec<SqliteCommand> =
            batch.extract_if(.., |command| matches!(command, SqliteCommand::Fetch(..))).collect();
        if !batch.is_empty() {
            loop {
                // A message is acknowledged only if the file is unchanged by others, however much of the file is in memory.
                let ready = if self.failing.is_some() { self.ready_storage() } else { self.check_file() };
                let is_change = matches!(batch[..], [SqliteCommand::Change(..)]);
                let ended =
                    ready.and_then(|()| self.transact(&batch).map_err(|error| self.storage_error(&error)));
                let is_over = match ended {
                    Ok(CommittedBatch { results, promoted }) => {
                        self.works();
                        self.answer(std::mem::take(&mut batch), results);
                        self.offer(promoted);
                        self.relieve_wal();
                        true
                    }
                    Err(reason) => {
                        self.failed(&reason);
                        false
                    }
                };
                if is_change {
                    self.shared.claimable.resume();
                }
                if is_over {
                    break;
                }
                if !self.wait_for_storage() {
                    tracing::error!(
                        commands = batch.len() + self.backlog.len(),
                        "the journal ends without having been written: what was not acknowledged comes again, what \
                         was delivered last is delivered again after the next start",
                    );
                    return false;
                }
            }
        }
        for command in asked {
            match (command, &self.connection) {
                (SqliteCommand::Known(object, sender), Some(connection)) => {
                    // An unreadable object counts as unknown; the next commit reports the reason.
                    let _ = sender.send(super::enriched::known(connection, &object).unwrap_or_default());
                }
                (SqliteCommand::Barrier(sender), _) => {
                    let _ = sender.send(millis(epoch::now()));
                }
                _ => {}
            }
        }
        for command in fetches {
            if let SqliteCommand::Fetch(action, ask, now) = command {
                self.fetch(&action, ask, now);
            }
        }
        true
    }

    fn transact(&mut self, batch: &[SqliteCommand]) -> rusqlite::Result<CommittedBatch> {
        let Some(connection) = &mut self.connection else { return Err(closed()) };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut work = Work::new(&transaction, millis(epoch::now()), self.next_event);
        work.unsettled = &self.unsettled;
        if let [SqliteCommand::Change(..)] = batch {
            work.claimed = self.shared.claimable.suspend();
        }
        let mut results = Vec::with_capacity(batch.len());
        for command in batch {
            results.push(apply(&mut work, command)?);
        }
        work.finish()?;
        let waiting = work.waiting_change();
        let (next_event, promoted, adopted) = (work.next_event, work.promoted, work.adopted);
        if let [SqliteCommand::Change(_, Apply::Preview, _)] = batch {
            transaction.rollback()?;
            return Ok(CommittedBatch { results, promoted: Vec::new() });
        }
        let begun = Instant::now();
        transaction.commit()?;
        self.shared.counters.series.commits.observe(begun.elapsed());
        self.next_event = next_event;
        self.behind += waiting;
        for event in adopted {
            self.unsettled.remove(&event);
        }
        Ok(CommittedBatch { results, promoted })
    }

    fn relieve_wal(&self) {
        let pages = self.shared.wal_pages.load(Ordering::Relaxed);
        if pages >= checkpoint::MANY {
            self.checkpointer.ask();
        }
        if let (true, Some(connection)) = (pages >= checkpoint::TOO_MANY, &self.connection) {
            self.checkpointer.wait();
            self.shared.checkpoint(connection, &self.place.file);
        }
    }

    fn tick(&mut self) -> bool {
        if self.failing.is_some() {
            self.recover();
        } else if let Err(reason) = self.check_file() {
            self.failed(&reason);
        }
        if self.failing.is_some() {
            return false;
        }
        match self.pruner().map_or_else(|| Ok(PruneResult::default()), |mut pruner| prune::tick(&mut pruner))
        {
            Ok(pruned) => {
                // A full journal stays full until everything prunable is pruned.
                if !(pruned.more && self.is_full()) {
                    self.publish(pruned.full);
                }
                self.room = self.max_size.saturating_sub(pruned.used);
                while !self.is_full()
                    && let Some(command) = self.wait_for_room.pop_back()
                {
                    self.backlog.push_front(command);
                }
                if self.shared.wal_pages.load(Ordering::Relaxed) > 0 {
                    self.checkpointer.ask();
                }
                let outdated = self.discard_outdated();
                pruned.more || outdated
            }
            Err(error) => {
                let reason = self.storage_error(&error);
                self.failed(&reason);
                false
            }
        }
    }

    /// Queues the discard of dead letters that have reached `max_dead_age`, like that of an operator; returns whether
    /// there are any. After a failed read, the next tick looks again.
    fn discard_outdated(&mut self) -> bool {
        let Some(connection) = &self.connection else { return false };
        let mut are_any = false;
        for (action, terms) in &*self.shared.gate.terms() {
            let Some(age) = terms.max_dead_age else { continue };
            let before = millis(self.clock.earliest(age));
            let ids = prune::outdated(connection, action, before).unwrap_or_default();
            if ids.is_empty() {
                continue;
            }
            are_any = true;
            let (most, deliveries) = (duration::shown(age), ids.len());
            tracing::info!(
                action.name = &**action,
                deliveries,
                max_dead_age = most,
                "dead letters have reached max_dead_age and are discarded"
            );
            let states = vec![RowState::Dead];
            let which = Filter { action: Some(action.to_string()), states, ..Filter::default() };
            let change = Change::Discard { which, by: format!("max_dead_age ({most})") };
            let ids = ids.into_iter().map(|id| (id, None)).collect();
            let batch = ChangeBatch { change, ids, known_until: millis(epoch::now()) };
            let (unheard, _) = oneshot::channel();
            self.backlog.push_back(SqliteCommand::Change(batch, Apply::Commit, unheard));
        }
        are_any
    }

    /// Publishes the paused actions. After a failed read the known set stays; the next commit reports the
    /// reason.
    fn read_paused(&self) {
        let Some(connection) = &self.connection else { return };
        if let Ok(found) = paused::list(connection) {
            self.shared.paused.send_if_modified(|paused| {
                let changed = *paused != found;
                *paused = found;
                changed
            });
        }
    }

    fn is_full(&self) -> bool {
        matches!(*self.shared.state.borrow(), JournalState::Full { .. })
    }

    pub(super) fn pruner(&mut self) -> Option<Pruner<'_>> {
        let is_full = self.is_full();
        Some(Pruner {
            connection: self.connection.as_mut()?,
            options: &self.options,
            max_size: self.max_size,
            file: &self.place.file,
            is_full,
            next_event: self.next_event,
            cutoff: millis(self.clock.earliest(self.options.bounds.retention)),
        })
    }
}

pub(super) fn next_event(connection: &Connection) -> rusqlite::Result<i64> {
    let last: Option<(i64, usize)> = connection
        .query_row("SELECT id, deliveries FROM event ORDER BY id DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get::<_, u32>(1)? as usize))
        })
        .optional()?;
    let kept: Option<i64> = connection
        .query_row("SELECT value FROM meta WHERE name = 'next_event'", [], |row| row.get(0))
        .optional()?;
    let after_last = last.map_or(1, |(id, deliveries)| id + reserved_numbers(deliveries));
    Ok(after_last.max(kept.unwrap_or(1)))
}

fn behind(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = concat!("SELECT coalesce(sum(count), 0) FROM tally WHERE ", is!(Waiting));
    connection.query_row(sql, [], |row| row.get(0))
}

fn apply(work: &mut Work<'_>, command: &SqliteCommand) -> rusqlite::Result<CommandResult> {
    Ok(match command {
        SqliteCommand::Append(new, _) => CommandResult::Appended(work.append(&new.entry, &new.identity)?),
        SqliteCommand::SetAside(received, reason, _) => {
            CommandResult::SetAside(work.set_aside(received, reason)?)
        }
        SqliteCommand::HoldSuspects(suspects) => {
            work.hold_suspects(suspects)?;
            CommandResult::Nothing
        }
        SqliteCommand::ForgetUnreadable(ids, _) => CommandResult::Forgotten(work.forget_unreadable(ids)?),
        SqliteCommand::Attempted(id, used, answer) => {
            work.attempted(*id, *used, answer)?;
            CommandResult::Nothing
        }
        SqliteCommand::Sent(id, made, sent) => {
            work.sent(*id, *made, sent)?;
            CommandResult::Nothing
        }
        SqliteCommand::Retry(id, due, used, answer) => {
            CommandResult::Ended(work.retry(*id, *due, *used, answer)?)
        }
        SqliteCommand::DueNow(action, now) => CommandResult::DueNow(work.due_now(action, *now)?),
        SqliteCommand::End(id, end) => CommandResult::Ended(work.end_claim(*id, end)?),
        SqliteCommand::Change(change_batch, ..) => {
            CommandResult::Changed(Box::new(change::apply(work, change_batch)?))
        }
        SqliteCommand::Enriched(id, found, learnt, _) => {
            work.enriched(*id, found, learnt)?;
            CommandResult::Nothing
        }
        SqliteCommand::Known(..)
        | SqliteCommand::Barrier(_)
        | SqliteCommand::Fetch(..)
        | SqliteCommand::Close(_) => CommandResult::Nothing,
        #[cfg(any(test, feature = "sample"))]
        SqliteCommand::Do(_) => CommandResult::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use osnl_core::epoch::simulated;

    use super::super::SqliteJournal;
    use super::*;
    use crate::conformance::{append, entry, within};
    use crate::{ActionTerms, Begin, ClaimLimits, ClaimedDelivery, Journal as _, JournalTerms};

    fn turn(writer: &mut JournalWriter) {
        let batch = writer.gather(&mut Vec::new(), false);
        assert!(writer.carry_out(batch));
    }

    async fn claimed(journal: &SqliteJournal) -> ClaimedDelivery {
        within(journal.claim("a", ClaimLimits::in_order(1))).await.remove(0)
    }

    #[tokio::test]
    async fn a_success_waits_for_the_commit_of_the_next_message_unless_its_key_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let options = || {
            SqliteOptions::new(folder.path().join("journal.db"))
                .bounded(|bounds| bounds.allow_volatile = true)
        };
        let (journal, mut writer) = SqliteJournal::prepare(options(), Arc::default()).unwrap();
        for id in ["1", "2", "3"] {
            let _receipt = append(&journal, entry(id, "k", false)).await;
        }
        turn(&mut writer);
        assert_eq!(writer.behind, 2);
        drop((journal, writer));

        let (journal, mut writer) = SqliteJournal::prepare(options(), Arc::default()).unwrap();
        assert_eq!(writer.behind, 2, "known after a restart");
        assert!(journal.claim("a", ClaimLimits::in_order(1)).now_or_never().is_none());
        turn(&mut writer);
        for left in [1, 0] {
            let first = claimed(&journal).await;
            journal.end(first.id, Outcome::Delivered.into());
            assert!(!writer.is_idle(), "another of the key waits for this end");
            turn(&mut writer);
            assert_eq!(writer.behind, left);
        }
        assert!(!writer.is_idle(), "the last one can be claimed");
        let last = claimed(&journal).await;
        assert!(writer.is_idle());
        journal.end(last.id, Outcome::Delivered.into());
        let begun = Instant::now();
        let batch = writer.gather(&mut Vec::new(), true);
        assert!(begun.elapsed() >= END_WAIT, "a next message had no time to come");
        assert!(matches!(batch[..], [SqliteCommand::End(..)]));
        assert!(writer.carry_out(batch));
        journal.end(last.id, Outcome::Dead("why".into()).into());
        assert!(!writer.gather(&mut Vec::new(), false).iter().any(SqliteCommand::is_success));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_time_of_day_ages_neither_dead_letters_nor_history() {
        const DAY: Duration = Duration::from_secs(86_400);
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        simulated::set(Some(noon));
        let folder = tempfile::tempdir().unwrap();
        let terms = JournalTerms { max_dead_age: Some(DAY), ..JournalTerms::default() };
        let options = SqliteOptions {
            terms: ActionTerms::from([("a".into(), terms)]),
            ..SqliteOptions::new(folder.path().join("journal.db"))
        };
        let options = options.bounded(|bounds| (bounds.allow_volatile, bounds.retention) = (true, DAY * 7));
        let (journal, mut writer) = SqliteJournal::prepare(options, Arc::default()).unwrap();
        for (id, begin) in [("1", Begin::Shadow), ("2", Begin::Dead("why".to_owned()))] {
            let mut entry = entry(id, id, false);
            entry.deliveries[0].begin = begin;
            let _receipt = append(&journal, entry).await;
        }
        turn(&mut writer);
        simulated::set(Some(noon + DAY * 30));
        // Days that pass; the discarded one has ended by the clock after the step.
        for (days, expected) in [
            (0, vec![RowState::Dead, RowState::Shadow]),
            (1, vec![RowState::Discarded, RowState::Shadow]),
            (6, vec![RowState::Discarded]),
            (1, vec![]),
        ] {
            tokio::time::advance(DAY * days + TICK).await;
            turn(&mut writer);
            turn(&mut writer);
            let connection = writer.connection.as_ref().unwrap();
            let mut select = connection.prepare("SELECT state FROM delivery ORDER BY state").unwrap();
            let found: Vec<i64> =
                select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            let expected: Vec<i64> = expected.into_iter().map(|state| state as i64).collect();
            assert_eq!(found, expected, "{days} more days");
        }
        simulated::set(None);
    }
}
