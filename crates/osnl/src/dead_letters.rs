//! The dead letter queues of `memory://`, filled by the daemon, and read and changed by operators' commands.
//!
//! A listener that reads a quorum queue of its own (`pool`, or a queue that is only read) has the queue `POOL.dead` on
//! the same broker. One program at a time reads that queue; another waits a few seconds, then fails as busy.
//!
//! The queue also has the deliveries that wait for an operator ([`WaitingLetter`]). A command publishes copies of
//! these letters, and the daemon removes a letter when the delivery made of its copy has ended.
//!
//! The daemon decides in `osnl-journal/src/memory/letters.rs` which letter of a resource is carried out first.
//! `copies_of` decides it for a command, which also works without a daemon or beside the daemon of another machine.
//! `osnl-cli/tests/cli/dead_letters.rs` tests both.
//!
//! `osnl-delivery/src/schedule/report.rs` decides that a delivery is dead, `intake.rs` decides about one that can't
//! begin.

mod queries;
mod reading;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use osnl_brokers::Driver;
use osnl_transport::dead_letters::{MOST_READ, dead_letter_queue};
use osnl_transport::{BoxFuture, QueueType, QueuedMessage, Transport, TransportError};
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::queries::{MemoryAndQueues, row_of, unread};
use self::reading::{ReaderKind, Reading, ReadingTurn};
use crate::daemon::ServiceTask;
use crate::journal::dead_letters::{
    LetterNumbers, LetterWait, WaitingLetter, again, bytes_of, copy_of, id_of,
};
use crate::journal::memory::{Burial, LetterVisit, MemoryJournal, QueueWork};
use crate::native::{JournalConf, ListenerConf, Native};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const COUNTED: Duration = Duration::from_secs(10);
/// The wait for another reader, which usually takes a second or two.
const BUSY: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// The longest wait of a visit for letters that are put first.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait of a visit for a command that reads the queue: letters wait meanwhile.
const VISIT_PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of bodies that one reading holds in memory.
const BODIES: u64 = 64 << 20;
/// The limit of messages put back with one wait for the broker.
const TOGETHER: usize = 100;
/// The time within which a copy that was published is on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(5 * 60);

#[derive(Default)]
pub struct DeadLetterQueues {
    /// The queue of each listener that has one.
    queues: Mutex<BTreeMap<Arc<str>, DeadLetterQueue>>,
    /// The letters of which commands have published copies lately: a second command publishes none.
    sent: Mutex<HashMap<u64, Instant>>,
    /// Wakes the task that serves the queues after a reload has added one.
    added: Notify,
}

#[derive(Clone)]
struct DeadLetterQueue {
    name: String,
    source: String,
    transport: Arc<dyn Transport>,
    count: Option<u64>,
    trouble: Option<(SystemTime, String)>,
    /// The number of messages after the daemon's latest visit; `None` if a command may have changed it since.
    expected: Option<u64>,
    /// Wakes the service of the queue after a command has changed it.
    changed: Arc<Notify>,
    /// The readings of this program, one at a time. The time is that from which a command may read.
    turn: Arc<tokio::sync::Mutex<Instant>>,
}

/// The obstacle of a visit by the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VisitObstacle {
    /// A command reads the queue.
    Busy,
    Trouble,
}

/// The result of a reading of a queue by the daemon.
struct QueueVisit {
    done: LetterVisit,
    found: Vec<WaitingLetter>,
    has_more: bool,
    left: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterQueueState {
    pub queue: String,
    pub count: Option<u64>,
    pub trouble: Option<(SystemTime, String)>,
}

#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    #[error("the dead letter queue \"{0}\" is busy: another command reads it; ask again in a few seconds")]
    Busy(String),
    #[error("the dead letter queue \"{queue}\" cannot be used: {error}")]
    Transport { queue: String, error: TransportError },
}

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
}

impl std::fmt::Debug for DeadLetterQueues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.states()).finish()
    }
}

impl ListenerConf {
    pub(crate) fn decide_dead_letters(&mut self, journal: &JournalConf) {
        let is_quorum = self.queue.queue_type == QueueType::Quorum && self.driver() != Driver::Kafka;
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
                queues.serve(listener, transport.into());
            }
        }
        queues
    }
}

impl DeadLetterQueues {
    /// Serves the queue of a listener from now on, if the listener has one, in place of a former queue.
    pub(crate) fn serve(&self, listener: &ListenerConf, transport: Arc<dyn Transport>) -> bool {
        let (Some(name), Some(source)) = (listener.dead_letter_queue(), listener.pool.clone()) else {
            return false;
        };
        let mut queues = self.lock();
        let is_same =
            |known: &DeadLetterQueue| known.name == name && Arc::ptr_eq(&known.transport, &transport);
        if queues.get(&listener.name).is_some_and(is_same) {
            return true;
        }
        let (count, trouble, expected) = Default::default();
        let changed = queues.get(&listener.name).map_or_else(Default::default, |known| known.changed.clone());
        let turn = queues
            .get(&listener.name)
            .map_or_else(|| Arc::new(tokio::sync::Mutex::new(Instant::now())), |known| known.turn.clone());
        let queue = DeadLetterQueue { name, source, transport, count, trouble, expected, changed, turn };
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
        loop {
            let queue = self.lock().get(&listener).cloned();
            let Some(DeadLetterQueue { changed, .. }) = queue else { return listener };
            if counted.is_none_or(|at| at.elapsed() >= COUNTED) {
                self.count_one(&listener).await;
                counted = Some(Instant::now());
            }
            self.look_for_changes(journal, &listener);
            let QueueWork { burials, visit } = tokio::select! {
                () = sleep(COUNTED) => continue,
                () = changed.notified() => {
                    counted = None;
                    continue;
                }
                work = journal.queue_work(&listener) => work,
            };
            let now = Instant::now();
            let is_long_due = now >= next_visit + LONGEST_WAIT && !has_just_visited;
            match visit {
                Some(visit) if is_long_due || (burials.is_empty() && now >= next_visit) => {
                    has_just_visited = true;
                    match self.visit(&listener, &visit).await {
                        Ok(QueueVisit { done, found, has_more, .. }) => {
                            let is_done = done == visit || has_more && done.has_changed();
                            visit_pause = if is_done { FIRST_PAUSE } else { after(visit_pause) };
                            let rest = if is_done { now.elapsed() } else { visit_pause };
                            next_visit = Instant::now() + rest.max(BUSY_PAUSE);
                            journal.visited(&listener, &done, found, has_more);
                        }
                        Err(VisitObstacle::Busy) => next_visit = Instant::now() + FIRST_PAUSE,
                        Err(VisitObstacle::Trouble) => {
                            next_visit = Instant::now() + visit_pause;
                            visit_pause = after(visit_pause);
                        }
                    }
                }
                Some(_) if burials.is_empty() => sleep(BUSY_PAUSE).await,
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
        if has_changed && !is_new && journal.follows_letters(listener) {
            journal.ask_for_letters(listener);
        }
    }

    /// Removes letters from a queue, publishes copies of some, and returns the letters that wait there now.
    async fn visit(&self, listener: &Arc<str>, visit: &LetterVisit) -> Result<QueueVisit, VisitObstacle> {
        let Some(queue) = self.lock().get(listener).cloned() else { return Err(VisitObstacle::Trouble) };
        let visited = queue.visit(visit).await;
        if !self.still_serves(listener, &queue) {
            return Err(VisitObstacle::Trouble);
        }
        let trouble = match &visited {
            // A command reads it for a moment.
            Ok(_) | Err(DeadLetterError::Busy(_)) => None,
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
        self.note_trouble(listener, &queue, trouble, burials.len());
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

    async fn count_one(&self, listener: &Arc<str>) {
        let Some(queue) = self.lock().get(listener).cloned() else { return };
        let Some(access) = queue.transport.queue_access() else { return };
        let Ok(count) = access.depth(&queue.name).await else { return };
        if let Some(queue) = self.lock().get_mut(listener) {
            queue.count = Some(u64::from(count.unwrap_or_default()));
        }
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
            let mut seen = HashSet::new();
            for message in reader.messages() {
                if copy_of(message).is_none_or(|copy| seen.insert(copy)) {
                    found.push(message.clone());
                }
            }
            drop(seen);
            has_more |= reader.has_more();
            reader.end().await.map_err(|error| queue.failed(error))?;
        }
        Ok((found, has_more))
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
            // A retry that fails leaves the number as it was, and may be repeated at once.
            let mut sent = match change {
                DeadLetterChange::Release => self.lately_sent(),
                DeadLetterChange::Retry | DeadLetterChange::Discard => HashSet::new(),
            };
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
        // A letter that did not fit into an earlier reading is no hindrance.
        let ids: HashSet<u64> = changed.ids.iter().copied().collect();
        changed.behind.retain(|(id, _)| !ids.contains(id));
        changed.behind.sort_unstable();
        changed.behind.dedup();
        for queue in self.lock().values_mut() {
            queue.expected = None;
            queue.changed.notify_one();
        }
        result
    }
}

impl DeadLetterQueue {
    /// Consumes from the queue exclusively, once no other consumer does. `wants_body` sees each message with its body,
    /// and after a check of its headers.
    async fn take(
        &self,
        wants_body: &(impl Fn(&QueuedMessage) -> bool + Send + Sync),
        kind: ReaderKind,
    ) -> Result<Option<Reading>, DeadLetterError> {
        let Some(access) = self.transport.queue_access() else { return Ok(None) };
        let patience = match kind {
            ReaderKind::Daemon => VISIT_PATIENCE,
            // The pause after the command before, and a visit.
            ReaderKind::Command => LONGEST_PAUSE + BUSY,
        };
        let next_command = timeout(patience, self.turn(kind)).await;
        let next_command = next_command.map_err(|_| DeadLetterError::Busy(self.name.clone()))?;
        let mut turn = ReadingTurn::new(next_command, kind);
        let deadline = Instant::now()
            + match kind {
                ReaderKind::Daemon => VISIT_PATIENCE,
                ReaderKind::Command => BUSY,
            };
        let numbers = Mutex::new(LetterNumbers::default());
        let wants = |message: &mut QueuedMessage| {
            numbers.lock().unwrap_or_else(PoisonError::into_inner).check(message);
            wants_body(message)
        };
        loop {
            let tried = Instant::now();
            match access.take(&self.name, &wants).await {
                Ok(reader) => {
                    turn.begins(tried);
                    return Ok(reader.map(|reader| Reading::new(reader, turn)));
                }
                Err(error) if error.is_locked() && Instant::now() < deadline => sleep(BUSY_PAUSE).await,
                Err(error) if error.is_locked() => return Err(DeadLetterError::Busy(self.name.clone())),
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    async fn turn(&self, kind: ReaderKind) -> OwnedMutexGuard<Instant> {
        loop {
            let turn = self.turn.clone().lock_owned().await;
            let from = *turn;
            if kind == ReaderKind::Daemon || from <= Instant::now() {
                return turn;
            }
            drop(turn);
            sleep_until(from).await;
        }
    }

    fn failed(&self, error: TransportError) -> DeadLetterError {
        DeadLetterError::Transport { queue: self.name.clone(), error }
    }

    /// Changes the messages of one reading, and returns whether there are more. `sent` has the letters of which copies
    /// have been published, also by an earlier command; `former` the number of messages that have waited since the command
    /// began, which come first: what has come back since is left alone.
    async fn change(
        &self,
        change: DeadLetterChange,
        is_meant: &(impl Fn(&QueuedMessage) -> bool + Send + Sync),
        changed: &mut ChangedLetters,
        (sent, former): (&mut HashSet<u64>, &mut Option<u64>),
    ) -> Result<bool, DeadLetterError> {
        let (bodies, left) = (AtomicU64::new(0), AtomicU64::new(0));
        let wants_body = |message: &QueuedMessage| {
            let is_open = !sent.contains(&id_of(message)) && is_meant(message);
            if change == DeadLetterChange::Discard || !is_open {
                return false;
            }
            let bytes = message.body.len() as u64;
            let is_first = bodies.fetch_add(bytes, Ordering::Relaxed) == 0;
            let fits = is_first || bodies.load(Ordering::Relaxed) <= BODIES;
            left.fetch_add(u64::from(!fits), Ordering::Relaxed);
            fits
        };
        let Some(mut reader) = self.take(&wants_body, ReaderKind::Command).await? else { return Ok(false) };
        let read = reader.messages().len();
        let former = former.get_or_insert(reader.waiting().max(read as u64));
        let known = read.min(usize::try_from(*former).unwrap_or(usize::MAX));
        let before = changed.ids.len();
        if change != DeadLetterChange::Discard {
            let repeated = reader.messages()[..known].iter().filter(|message| {
                let id = id_of(message);
                sent.contains(&id) && is_meant(message) && !changed.ids.contains(&id)
            });
            let repeated: Vec<u64> = repeated.map(id_of).collect();
            changed.ids.extend(repeated);
            let copies = copies_of(&reader.messages()[..known], is_meant, sent, &mut changed.behind);
            for some in copies.chunks(TOGETHER) {
                let back: Vec<QueuedMessage> = some.iter().map(|at| again(&reader.messages()[*at])).collect();
                self.put_back(&back).await?;
                for message in some.iter().map(|at| &reader.messages()[*at]) {
                    sent.insert(id_of(message));
                    if is_meant(message) {
                        changed.ids.push(id_of(message));
                    }
                }
            }
        }
        let meant: Vec<usize> = (0..known)
            .filter(|at| {
                let message = &reader.messages()[*at];
                let goes = match change {
                    DeadLetterChange::Discard => true,
                    DeadLetterChange::Retry => is_whole(message) && WaitingLetter::read(message).is_none(),
                    DeadLetterChange::Release => false,
                };
                goes && is_meant(message)
            })
            .collect();
        let mut seen = HashSet::new();
        for some in meant.chunks(TOGETHER) {
            let mut new: Vec<QueuedMessage> = Vec::new();
            for message in some.iter().map(|at| &reader.messages()[*at]) {
                if copy_of(message).is_none_or(|(id, key)| seen.insert((id, key.to_owned()))) {
                    new.push(message.clone());
                }
            }
            if change == DeadLetterChange::Retry {
                let back: Vec<QueuedMessage> = new.iter().map(again).collect();
                self.put_back(&back).await?;
            }
            changed.ids.extend(new.iter().map(id_of));
            for at in some {
                reader.acknowledge(*at).await.map_err(|error| self.failed(error))?;
                *former -= 1;
            }
        }
        let is_more = left.load(Ordering::Relaxed) > 0 || (reader.has_more() && known == read);
        reader.end().await.map_err(|error| self.failed(error))?;
        Ok(changed.ids.len() > before && is_more)
    }

    async fn put_back(&self, messages: &[QueuedMessage]) -> Result<(), DeadLetterError> {
        match self.transport.queue_access() {
            Some(access) if !messages.is_empty() => {
                access.put(&self.source, false, messages).await.map_err(|error| self.failed(error))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn visit(&self, visit: &LetterVisit) -> Result<QueueVisit, DeadLetterError> {
        let bodies = AtomicU64::new(0);
        let wants_body = |message: &QueuedMessage| {
            visit.send_back.contains(&id_of(message))
                && WaitingLetter::read(message).is_some()
                && bodies.fetch_add(message.body.len() as u64, Ordering::Relaxed) <= BODIES
        };
        let mut done = visit.clone();
        let Some(mut reader) = self.take(&wants_body, ReaderKind::Daemon).await? else {
            return Ok(QueueVisit { done, found: Vec::new(), has_more: false, left: Some(0) });
        };
        if reader.has_more() && reader.messages().len() < MOST_READ {
            let reason = format!("of queue \"{}\" not all messages have arrived", self.name);
            return Err(self.failed(TransportError::Lost { reason }));
        }
        let read = |(at, message)| Some((at, WaitingLetter::read(message)?));
        let letters: Vec<(usize, WaitingLetter)> =
            reader.messages().iter().enumerate().filter_map(read).collect();
        // A letter that replaces another has its number, and is behind it in the queue.
        let last: HashMap<u64, usize> = letters.iter().map(|(at, letter)| (letter.id, *at)).collect();
        let mut back: Vec<&(usize, WaitingLetter)> = letters
            .iter()
            .filter(|(at, letter)| {
                let message = &reader.messages()[*at];
                visit.send_back.contains(&letter.id) && last[&letter.id] == *at && is_whole(message)
            })
            .collect();
        back.sort_by_key(|(_, letter)| letter.place);
        done.send_back = back.iter().map(|(_, letter)| letter.id).collect();
        let copies: Vec<QueuedMessage> = back.iter().map(|(at, _)| again(&reader.messages()[*at])).collect();
        let (mut found, mut removed) = (Vec::new(), HashSet::new());
        let (messages, mut acknowledged) = (reader.messages().len() as u64, 0);
        for (at, letter) in letters {
            let is_last = last[&letter.id] == at;
            match visit.remove.get(&letter.id) {
                Some(is_replaced) if !(*is_replaced && is_last) => {
                    reader.acknowledge(at).await.map_err(|error| self.failed(error))?;
                    removed.insert(letter.id);
                    acknowledged += 1;
                }
                Some(_) | None if is_last => found.push(letter),
                Some(_) | None => {}
            }
        }
        let has_more = reader.has_more();
        if has_more {
            // A letter that was not read is still there.
            done.remove.retain(|id, _| removed.contains(id));
        }
        for some in copies.chunks(TOGETHER) {
            // The source queue may be full of messages that wait for these removals.
            if self.put_back(some).await.is_err() {
                done.send_back.clear();
                break;
            }
        }
        reader.end().await.map_err(|error| self.failed(error))?;
        let left = (!has_more).then_some(messages - acknowledged);
        Ok(QueueVisit { done, found, has_more, left })
    }
}

fn after(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

/// Whether all bytes of the body are in memory; others are not put back.
fn is_whole(message: &QueuedMessage) -> bool {
    message.body.len() as u64 == bytes_of(message)
}

/// Returns the letters of which copies are published, in the order in which they are carried out. The
/// meant letters of a resource end with the first letter that holds it and is not meant; `behind` names further letters.
fn copies_of(
    messages: &[QueuedMessage],
    is_meant: impl Fn(&QueuedMessage) -> bool,
    sent: &HashSet<u64>,
    behind: &mut Vec<(u64, u64)>,
) -> Vec<usize> {
    /// The letters of one lane by their places: where each is in the queue, and why it waits.
    type Lane = BTreeMap<(u64, u64), (usize, LetterWait)>;
    let mut lanes: BTreeMap<(Arc<str>, Option<String>, u64), Lane> = BTreeMap::new();
    for (at, message) in messages.iter().enumerate() {
        if let Some(letter) = WaitingLetter::read(message) {
            // Without a key, each letter is a lane of its own.
            let alone = if letter.key.is_some() { 0 } else { letter.id };
            let lane = lanes.entry((letter.action, letter.key, alone)).or_default();
            lane.insert((letter.place, letter.id), (at, letter.why));
        }
    }
    let mut copies: Vec<(u64, usize)> = Vec::new();
    for lane in lanes.into_values() {
        let mut held_by: Option<u64> = None;
        let mut has_meant = false;
        for ((place, id), (at, why)) in lane {
            let message = &messages[at];
            let meant = is_meant(message);
            match held_by {
                Some(first) if meant => behind.push((id, first)),
                Some(_) => {}
                None if sent.contains(&id) => has_meant = true,
                None if meant && is_whole(message) => {
                    has_meant = true;
                    copies.push((place, at));
                }
                // The daemon carries a waiting letter out by itself, and a later meant letter in its turn.
                None if has_meant && why == LetterWait::Behind => {}
                None => held_by = Some(id),
            }
        }
    }
    copies.sort_unstable();
    copies.into_iter().map(|(_, at)| at).collect()
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
mod tests;
