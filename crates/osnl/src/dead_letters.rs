//! The dead letter queues of `memory://`, filled by the daemon, and read and changed by operators' commands.
//!
//! A listener that reads a quorum queue of its own (`pool`, or a queue that is only read) has the queue `POOL.dead` on
//! the same broker. One program at a time reads that queue; another waits a few seconds, then fails as busy.
//!
//! The queue also has the deliveries that wait for an operator
//! ([`WaitingLetter`](crate::journal::dead_letters::WaitingLetter)). A command publishes copies of these letters, and
//! the daemon removes a letter when the delivery made of its copy has ended. A letter that waited only behind another
//! one is carried out by the daemon without a copy.
//!
//! The daemon decides in `osnl-journal/src/memory/letters.rs` which letter of a resource is carried out first.
//! `copies_of` decides it for a command, which also works without a daemon or beside the daemon of another machine.
//! `osnl-cli/tests/cli/dead_letters.rs` tests both.
//!
//! `osnl-delivery/src/schedule/report.rs` decides that a delivery is dead, `intake.rs` decides about one that can't
//! begin.

mod queries;
mod queue;
mod reading;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use osnl_transport::dead_letters::{MOST_READ, dead_letter_queue};
use osnl_transport::{BoxFuture, QueueType, QueuedMessage, Transport, TransportError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub(crate) use self::queries::{MemoryAndQueues, row_of, unread};
use self::queue::{DeadLetterQueue, QueueVisit};
use self::reading::ReaderKind;
use crate::daemon::ServiceTask;
use crate::intake::LiveRules;
use crate::journal::Settle;
use crate::journal::dead_letters::{carried_out, id_of};
use crate::journal::memory::{Burial, LetterVisit, MemoryJournal, QueueWork};
use crate::native::{JournalConf, ListenerConf, Native};
use crate::numbers::grouped;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const COUNTED: Duration = Duration::from_secs(10);
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait of a visit for letters that are put first.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The most letters of one listener that are carried out at once.
const IN_HAND: usize = 500;
/// After so long, a queue that others read is in trouble: no command takes that time.
const BUSY_FOR_LONG: Duration = Duration::from_secs(60);
/// The time within which a copy that was published is on its way. Later, the letter may be back without its copy.
const ON_ITS_WAY: Duration = Duration::from_secs(60);

/// The dead letter queues of all listeners, which the daemon serves, and commands read and change.
#[derive(Default)]
pub struct DeadLetterQueues {
    /// The queue of each listener that has one.
    queues: Mutex<BTreeMap<Arc<str>, DeadLetterQueue>>,
    /// The letters of which commands have published copies lately: a second command publishes none.
    sent: Mutex<HashMap<u64, Instant>>,
    /// Wakes the task that serves the queues after a reload has added one.
    added: Notify,
}

/// The obstacle of a visit by the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VisitObstacle {
    /// A command reads the queue.
    Busy,
    Trouble,
}

/// A dead letter queue as `osnl status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterQueueState {
    pub queue: String,
    pub count: Option<u64>,
    pub trouble: Option<(SystemTime, String)>,
}

/// The reason for which a dead letter queue cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    #[error(
        "the dead letter queue \"{0}\" is busy: another command or daemon reads it; ask again in a few seconds"
    )]
    Busy(String),
    #[error("the dead letter queue \"{queue}\" cannot be used: {error}")]
    Transport { queue: String, error: TransportError },
}

/// The change that a command makes to the letters that it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadLetterChange {
    Retry,
    /// Carries out what a guard holds.
    Release,
    Discard,
}

/// The letters that a command has changed.
#[derive(Debug, Default)]
pub(crate) struct ChangedLetters {
    pub(crate) ids: Vec<u64>,
    /// Letters that were meant, and wait behind another letter that was not: this and that one.
    pub(crate) behind: Vec<(u64, u64)>,
    /// Whether letters wait that the last reading did not show.
    pub(crate) has_more: bool,
}

impl ChangedLetters {
    /// Sorts what waits. A letter that did not fit into an earlier reading is no hindrance.
    fn arrange(&mut self) {
        let ids: HashSet<u64> = self.ids.iter().copied().collect();
        self.behind.retain(|(id, _)| !ids.contains(id));
        self.behind.sort_unstable();
        self.behind.dedup();
    }
}

impl std::fmt::Debug for DeadLetterQueues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.states()).finish()
    }
}

impl ListenerConf {
    pub(crate) fn decide_dead_letters(&mut self, journal: &JournalConf) {
        let is_quorum = self.queue.queue_type == QueueType::Quorum && self.driver().has_queues();
        self.keeps_dead_letters = is_quorum && self.pool.is_some() && matches!(journal, JournalConf::Memory);
    }

    pub(crate) fn dead_letter_queue(&self) -> Option<String> {
        self.pool.as_deref().filter(|_| self.keeps_dead_letters).map(dead_letter_queue)
    }
}

impl Native {
    /// Returns the queues without connecting; none unless the journal is `memory://`.
    #[must_use]
    pub fn dead_letter_queues(&self) -> DeadLetterQueues {
        let queues = DeadLetterQueues::default();
        for (listener, _) in self.heard() {
            if let Ok(transport) = listener.transport() {
                queues.serve(listener, transport.into(), None);
            }
        }
        queues
    }
}

impl DeadLetterQueues {
    /// Serves the queue of a listener from now on, if the listener has one, in place of a former queue.
    pub(crate) fn serve(
        &self,
        listener: &ListenerConf,
        transport: Arc<dyn Transport>,
        rules: Option<Arc<LiveRules>>,
    ) -> bool {
        let (Some(name), Some(source)) = (listener.dead_letter_queue(), listener.pool.clone()) else {
            return false;
        };
        let mut queues = self.lock();
        let is_same =
            |known: &DeadLetterQueue| known.name == name && Arc::ptr_eq(&known.transport, &transport);
        if let Some(known) = queues.get_mut(&listener.name).filter(|known| is_same(known)) {
            known.rules = rules;
            return true;
        }
        let (count, trouble, busy, expected, refused) = Default::default();
        let changed = queues.get(&listener.name).map_or_else(Default::default, |known| known.changed.clone());
        let turn = queues
            .get(&listener.name)
            .map_or_else(|| Arc::new(tokio::sync::Mutex::new(Instant::now())), |known| known.turn.clone());
        let queue = DeadLetterQueue {
            name,
            source,
            transport,
            rules,
            count,
            trouble,
            busy,
            expected,
            refused,
            changed,
            turn,
        };
        queue.changed.notify_one();
        queues.insert(listener.name.clone(), queue);
        self.added.notify_one();
        true
    }

    /// Serves no longer the queues of listeners that are not among these.
    pub(crate) fn forget_others<'a>(&self, listeners: impl Iterator<Item = &'a Arc<str>>) {
        let listeners: HashSet<&Arc<str>> = listeners.collect();
        self.lock().retain(|listener, _| listeners.contains(listener));
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, DeadLetterQueue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_sent(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_sent(&self, letters: HashSet<u64>) {
        let mut sent = self.lock_sent();
        for letter in letters {
            sent.entry(letter).or_insert_with(Instant::now);
        }
    }

    /// Returns the letters that are under way by an earlier command. A retry that fails leaves the number as it was, and
    /// may be repeated at once.
    fn sent_before(&self, change: DeadLetterChange) -> HashSet<u64> {
        match change {
            DeadLetterChange::Release => self.lately_sent(),
            DeadLetterChange::Retry | DeadLetterChange::Discard => HashSet::new(),
        }
    }

    fn lately_sent(&self) -> HashSet<u64> {
        let mut sent = self.lock_sent();
        sent.retain(|_, at| at.elapsed() < ON_ITS_WAY);
        sent.keys().copied().collect()
    }

    #[must_use]
    pub fn states(&self) -> Vec<DeadLetterQueueState> {
        let state = |queue: DeadLetterQueue| DeadLetterQueueState {
            queue: queue.name,
            count: queue.count,
            trouble: queue.trouble,
        };
        self.each().into_iter().map(state).collect()
    }

    /// Returns the listeners whose queues have letters by the latest count.
    fn with_letters(&self) -> Vec<Arc<str>> {
        let queues = self.lock();
        let with_letters = queues.iter().filter(|(_, queue)| queue.count.is_some_and(|count| count > 0));
        with_letters.map(|(listener, _)| listener.clone()).collect()
    }

    fn each(&self) -> Vec<DeadLetterQueue> {
        let mut seen = HashSet::new();
        let queues = self.lock().values().cloned().collect::<Vec<_>>().into_iter();
        queues.filter(|queue| seen.insert((queue.transport.location(), queue.name.clone()))).collect()
    }

    pub(crate) fn keep(self: Arc<Self>, journal: Arc<MemoryJournal>) -> ServiceTask {
        Box::new(|end: CancellationToken| {
            Box::pin(async move {
                tokio::select! {
                    () = end.cancelled() => {}
                    () = self.serve_for_ever(&journal) => {}
                }
            }) as BoxFuture<'static, ()>
        })
    }

    async fn serve_for_ever(&self, journal: &MemoryJournal) {
        let mut serving = FuturesUnordered::new();
        let mut served = HashSet::new();
        loop {
            let listeners: Vec<Arc<str>> = self.lock().keys().cloned().collect();
            for listener in listeners {
                if served.insert(listener.clone()) {
                    serving.push(self.serve_one(journal, listener));
                }
            }
            tokio::select! {
                Some(listener) = serving.next() => {
                    served.remove(&listener);
                }
                () = self.added.notified() => {}
            }
        }
    }

    /// Serves the queue of one listener until the listener has none, and returns the listener.
    ///
    /// Letters are put before the queue is visited, and between two visits, whatever becomes of these: messages wait for
    /// the putting, and a visit may fail for as long as commands read the queue. Visits take at most half of the time,
    /// since a visit reads all letters, and puts none.
    async fn serve_one(&self, journal: &MemoryJournal, listener: Arc<str>) -> Arc<str> {
        let mut pause = FIRST_PAUSE;
        let mut counted: Option<Instant> = None;
        let mut next_visit = Instant::now();
        let (mut visit_pause, mut has_just_visited) = (FIRST_PAUSE, false);
        let mut in_hand = FuturesUnordered::new();
        let refused = journal.refused_letters();
        loop {
            let changed = self.lock().get_mut(&listener).map(|queue| {
                queue.refused = refused.clone();
                queue.changed.clone()
            });
            let Some(changed) = changed else { return listener };
            if counted.is_none_or(|at| at.elapsed() >= COUNTED) {
                self.count_one(&listener).await;
                counted = Some(Instant::now());
            }
            self.look_for_changes(journal, &listener);
            let QueueWork { burials, visit } = tokio::select! {
                // All that has ended makes room before the next visit.
                biased;
                () = changed.notified() => {
                    counted = None;
                    continue;
                }
                Some((letter, settle)) = in_hand.next() => {
                    if settle != Settle::Acknowledge {
                        journal.came_back(letter);
                    }
                    continue;
                }
                work = journal.queue_work(&listener) => work,
                () = sleep(COUNTED) => continue,
            };
            if let Some(visit) = &visit
                && self.is_answered_by_count(&listener, visit).await
            {
                journal.counted(&listener, visit);
                continue;
            }
            let room = IN_HAND - in_hand.len().min(IN_HAND);
            let visit = visit.filter(|visit| room > 0 || visit.is_more_than_carrying_out());
            let now = Instant::now();
            let is_long_due = now >= next_visit + LONGEST_WAIT && !has_just_visited;
            match visit {
                Some(visit) if is_long_due || (burials.is_empty() && now >= next_visit) => {
                    has_just_visited = true;
                    match self.visit(&listener, &visit, room).await {
                        Ok(QueueVisit { done, found, begun, has_more, .. }) => {
                            let is_done = done.remove == visit.remove || has_more && done.has_changed();
                            visit_pause = if is_done { FIRST_PAUSE } else { after(visit_pause) };
                            let rest = if is_done { now.elapsed() } else { visit_pause };
                            next_visit = Instant::now() + rest.max(BUSY_PAUSE);
                            journal.visited(&listener, &done, found, has_more);
                            in_hand.extend(self.carry_out(&listener, begun));
                        }
                        Err(VisitObstacle::Busy) => next_visit = Instant::now() + FIRST_PAUSE,
                        Err(VisitObstacle::Trouble) => {
                            next_visit = Instant::now() + visit_pause;
                            visit_pause = after(visit_pause);
                        }
                    }
                }
                // The visit is not due yet, or as many letters as may be are carried out.
                Some(_) | None if burials.is_empty() => sleep(BUSY_PAUSE).await,
                Some(_) | None => {
                    has_just_visited = false;
                    if self.bury(&listener, &burials).await {
                        journal.buried(&burials);
                        pause = FIRST_PAUSE;
                    } else {
                        sleep(pause).await;
                        pause = after(pause);
                    }
                }
            }
        }
    }

    /// Asks for a visit of a queue with another number of messages than the daemon has left there: an operator has
    /// changed it, perhaps by another daemon.
    fn look_for_changes(&self, journal: &MemoryJournal, listener: &Arc<str>) {
        let Some(queue) = self.lock().get(listener).cloned() else { return };
        let has_changed = queue.count.is_some_and(|count| Some(count) != queue.expected);
        let is_new = queue.expected.is_none() && queue.count == Some(0);
        if has_changed && !is_new && journal.follows_letters(listener, queue.expected.is_none()) {
            journal.ask_for_letters(listener);
        }
    }

    /// Whether a count shows what a visit is for: that no other daemon has changed the letters.
    async fn is_answered_by_count(&self, listener: &Arc<str>, visit: &LetterVisit) -> bool {
        let expected = self.lock().get(listener).and_then(|queue| queue.expected);
        let Some(expected) = expected.filter(|expected| visit.is_answered_by(*expected)) else {
            return false;
        };
        self.count_one(listener).await == Some(expected)
    }

    /// Begins with letters, and returns the number of each with what settles its message.
    fn carry_out(
        &self,
        listener: &Arc<str>,
        letters: Vec<QueuedMessage>,
    ) -> Vec<BoxFuture<'static, (u64, Settle)>> {
        let Some(queue) = self.lock().get(listener).cloned() else { return Vec::new() };
        let begin = |letter: QueuedMessage| {
            let received = carried_out(&letter, listener, &queue.source);
            let receipt = queue.rules.as_ref().map(|rules| rules.carry_out(received));
            let number = id_of(&letter);
            let settled = async move {
                let settle = match receipt {
                    Some(receipt) => receipt.await,
                    None => Settle::Leave,
                };
                (number, settle)
            };
            Box::pin(settled) as BoxFuture<'static, (u64, Settle)>
        };
        letters.into_iter().map(begin).collect()
    }

    /// Removes letters from a queue, and returns the letters that wait there now and those that are carried out, at most as
    /// many as there is room for.
    async fn visit(
        &self,
        listener: &Arc<str>,
        visit: &LetterVisit,
        room: usize,
    ) -> Result<QueueVisit, VisitObstacle> {
        let Some(queue) = self.lock().get(listener).cloned() else { return Err(VisitObstacle::Trouble) };
        let begun = Instant::now();
        let visited = queue.visit(visit, room).await;
        if !self.still_serves(listener, &queue) {
            return Err(VisitObstacle::Trouble);
        }
        let is_busy = matches!(visited, Err(DeadLetterError::Busy(_)));
        let busy = is_busy.then(|| queue.busy.unwrap_or(begun));
        if let Some(queue) = self.lock().get_mut(listener) {
            queue.busy = busy;
        }
        let trouble = match &visited {
            // A command reads it for a moment.
            Err(_) if busy.is_some_and(|since| since.elapsed() < BUSY_FOR_LONG) => None,
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        self.note_trouble(listener, &queue, trouble, visit.remove.len());
        let visited = visited.map_err(|error| match error {
            DeadLetterError::Busy(_) => VisitObstacle::Busy,
            DeadLetterError::Transport { .. } => VisitObstacle::Trouble,
        })?;
        if let Some(queue) = self.lock().get_mut(listener) {
            queue.count = visited.left.or(queue.count);
            queue.expected = queue.count;
        }
        Ok(visited)
    }

    async fn bury(&self, listener: &Arc<str>, burials: &[Burial]) -> bool {
        let Some(queue) = self.lock().get(listener).cloned() else { return false };
        let messages: Vec<QueuedMessage> = burials.iter().map(|burial| burial.message.clone()).collect();
        let kept = match queue.transport.queue_access() {
            Some(access) => access.put(&queue.name, true, &messages).await,
            None => return false,
        };
        // After a reload, letters go to the queue that commands read now; the former may have them too.
        if !self.still_serves(listener, &queue) {
            return false;
        }
        let trouble = kept.as_ref().err().map(|error| words(&queue.name, error));
        // Letters can be put while nobody can read them.
        if trouble.is_some() || queue.busy.is_none() {
            self.note_trouble(listener, &queue, trouble, burials.len());
        }
        if let (Ok(()), Some(queue)) = (&kept, self.lock().get_mut(listener)) {
            for messages in [&mut queue.count, &mut queue.expected] {
                *messages = messages.map(|messages| messages + burials.len() as u64);
            }
        }
        kept.is_ok()
    }

    /// Whether no reload has given a listener another queue meanwhile.
    fn still_serves(&self, listener: &Arc<str>, queue: &DeadLetterQueue) -> bool {
        let is_same =
            |now: &DeadLetterQueue| now.name == queue.name && Arc::ptr_eq(&now.transport, &queue.transport);
        self.lock().get(listener).is_none_or(is_same)
    }

    fn note_trouble(
        &self,
        listener: &Arc<str>,
        before: &DeadLetterQueue,
        trouble: Option<String>,
        deliveries: usize,
    ) {
        if let (Some(reason), None) = (&trouble, &before.trouble) {
            tracing::error!(
                listener.name = &**listener,
                queue.name = before.name,
                deliveries,
                reason,
                "the dead letter queue cannot be used: what concerns it stays with the broker until it can"
            );
        }
        if let (None, Some(_)) = (&trouble, &before.trouble) {
            tracing::info!(
                listener.name = &**listener,
                queue.name = before.name,
                "the dead letter queue can be used again"
            );
        }
        if let Some(queue) = self.lock().get_mut(listener) {
            let since = |reason| (queue.trouble.take().map_or_else(SystemTime::now, |(at, _)| at), reason);
            queue.trouble = trouble.map(since);
        }
    }

    /// Counts the messages of all queues.
    pub(crate) async fn count(&self) {
        let listeners: Vec<Arc<str>> = self.lock().keys().cloned().collect();
        join_all(listeners.iter().map(|listener| self.count_one(listener))).await;
    }

    /// Counts the messages of a queue; `None` if the broker does not tell.
    async fn count_one(&self, listener: &Arc<str>) -> Option<u64> {
        let queue = self.lock().get(listener).cloned()?;
        let count = queue.transport.queue_access()?.depth(&queue.name).await.ok()?;
        let count = u64::from(count.unwrap_or_default());
        self.lock().get_mut(listener)?.count = Some(count);
        Some(count)
    }

    /// Returns each dead letter once, oldest first, and whether more wait than fit. Bodies are included where
    /// `wants_body` holds.
    pub(crate) async fn read(
        &self,
        wants_body: impl Fn(&QueuedMessage) -> bool + Send + Sync,
    ) -> Result<(Vec<QueuedMessage>, bool), DeadLetterError> {
        let (mut found, mut has_more) = (Vec::new(), false);
        for queue in self.each() {
            let Some(reader) = queue.take(&wants_body, ReaderKind::Command).await? else { continue };
            let messages = reader.messages().iter().enumerate();
            found.extend(
                messages
                    .filter(|(at, _)| reader.copies().is_current(*at))
                    .map(|(_, message)| message.clone()),
            );
            has_more |= reader.has_more();
            reader.end().await.map_err(|error| queue.failed(error))?;
        }
        Ok((found, has_more))
    }

    /// Returns what [`change`](Self::change) would do, as far as one reading of each queue shows it.
    pub(crate) async fn foresee(
        &self,
        change: DeadLetterChange,
        is_meant: impl Fn(&QueuedMessage) -> bool + Send + Sync,
    ) -> Result<ChangedLetters, DeadLetterError> {
        let mut changed = ChangedLetters::default();
        for queue in self.each() {
            queue.foresee(change, &is_meant, &mut changed, &self.sent_before(change)).await?;
        }
        changed.arrange();
        Ok(changed)
    }

    /// Changes dead letters, and returns their numbers. The broker confirms a message put back before its dead letter
    /// is removed, so none is lost.
    pub(crate) async fn change(
        &self,
        change: DeadLetterChange,
        is_meant: impl Fn(&QueuedMessage) -> bool + Send + Sync,
        changed: &mut ChangedLetters,
    ) -> Result<(), DeadLetterError> {
        let mut result = Ok(());
        for queue in self.each() {
            let mut sent = self.sent_before(change);
            let mut former = None;
            result = loop {
                match queue.change(change, &is_meant, changed, (&mut sent, &mut former)).await {
                    Ok(true) => {}
                    Ok(false) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            if change == DeadLetterChange::Release {
                self.note_sent(sent);
            }
            if result.is_err() {
                break;
            }
        }
        changed.arrange();
        for queue in self.lock().values_mut() {
            queue.expected = None;
            queue.changed.notify_one();
        }
        result
    }
}

/// Restricts an answer about a missing letter to the letters of one reading, if more wait.
pub(crate) fn missing_letter(why: String, has_more: bool) -> String {
    if !has_more {
        return why;
    }
    let most = grouped(MOST_READ as u64);
    format!(
        "{why}; osnl reads the first {most} letters of each queue, and more wait: retry or discard some of these first"
    )
}

fn after(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

fn words(queue: &str, error: &TransportError) -> String {
    match error {
        TransportError::NotTaken { .. } => format!(
            "the dead letter queue \"{queue}\" is full (1 GiB, or the limit of a policy): retry or discard dead letters (osnl deliveries)"
        ),
        TransportError::Unroutable { .. } => {
            format!("the dead letter queue \"{queue}\" is gone, and is made anew")
        }
        error => format!("the dead letter queue \"{queue}\": {error}"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
