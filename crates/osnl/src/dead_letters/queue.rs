//! One dead letter queue at its broker: a reading by the daemon or a command, and what it changes.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use osnl_transport::dead_letters::MOST_READ;
use osnl_transport::{QueuedMessage, Transport, TransportError};
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::reading::{ReaderKind, Reading, ReadingTurn};
use super::{BUSY_PAUSE, ChangedLetters, DeadLetterChange, DeadLetterError, LONGEST_PAUSE};
use crate::intake::LiveRules;
use crate::journal::dead_letters::{
    LetterCopies, LetterWait, RefusedLetters, WaitingLetter, again, bytes_of, id_of,
};
use crate::journal::memory::LetterVisit;

/// Bytes of bodies that one reading holds in memory.
const BODIES: u64 = 64 << 20;
/// The limit of messages put back with one wait for the broker.
const TOGETHER: usize = 100;
/// The longest wait of a visit for a command that reads the queue: letters wait meanwhile.
pub(super) const VISIT_PATIENCE: Duration = Duration::from_secs(3);
/// The wait for another reader, which usually takes a second or two.
const BUSY: Duration = Duration::from_secs(5);

/// One queue with what the daemon knows about it.
#[derive(Clone)]
pub(super) struct DeadLetterQueue {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) transport: Arc<dyn Transport>,
    /// The rules of the listener, by which letters are carried out; `None` in a command without a daemon.
    pub(super) rules: Option<Arc<LiveRules>>,
    pub(super) count: Option<u64>,
    pub(super) trouble: Option<(SystemTime, String)>,
    /// The begin of the first of the daemon's latest visits that have found the queue busy; `None` after one that has not.
    pub(super) busy: Option<Instant>,
    /// The number of messages after the daemon's latest visit; `None` if a command may have changed it since.
    pub(super) expected: Option<u64>,
    /// The letters that the daemon alone knows to be dead.
    pub(super) refused: RefusedLetters,
    /// Wakes the service of the queue after a command has changed it.
    pub(super) changed: Arc<Notify>,
    /// The readings of this program, one at a time. The time is that from which a command may read.
    pub(super) turn: Arc<tokio::sync::Mutex<Instant>>,
}

/// The result of a reading of a queue by the daemon.
pub(super) struct QueueVisit {
    pub(super) done: LetterVisit,
    pub(super) found: Vec<WaitingLetter>,
    /// The letters that are carried out now, in their places.
    pub(super) begun: Vec<QueuedMessage>,
    pub(super) has_more: bool,
    pub(super) left: Option<u64>,
}

impl DeadLetterQueue {
    /// Consumes from the queue exclusively, once no other consumer does. `wants_body` sees each message with its body,
    /// and after a check of its headers.
    pub(super) async fn take(
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
        let copies = Mutex::new(LetterCopies::new(self.refused.clone()));
        let wants = |message: &mut QueuedMessage| {
            copies.lock().unwrap_or_else(PoisonError::into_inner).admit(message);
            wants_body(message)
        };
        loop {
            let tried = Instant::now();
            match access.take(&self.name, &wants).await {
                Ok(reader) => {
                    turn.begins(tried);
                    let copies = std::mem::take(&mut *copies.lock().unwrap_or_else(PoisonError::into_inner));
                    return Ok(reader.map(|reader| Reading::new(reader, copies, turn)));
                }
                Err(error) if error.is_locked() && Instant::now() < deadline => sleep(BUSY_PAUSE).await,
                Err(error) if error.is_locked() => return Err(DeadLetterError::Busy(self.name.clone())),
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    pub(super) async fn turn(&self, kind: ReaderKind) -> OwnedMutexGuard<Instant> {
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

    pub(super) fn failed(&self, error: TransportError) -> DeadLetterError {
        DeadLetterError::Transport { queue: self.name.clone(), error }
    }

    /// Changes the messages of one reading, and returns whether there are more. `sent` has the letters of which copies
    /// have been published, also by an earlier command; `former` the number of messages that have waited since the command
    /// began, which come first: what has come back since is left alone.
    pub(super) async fn change(
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
            let repeated = reader.messages()[..known].iter().enumerate().filter(|(at, message)| {
                let id = id_of(message);
                reader.copies().is_current(*at)
                    && sent.contains(&id)
                    && is_meant(message)
                    && !changed.ids.contains(&id)
            });
            let repeated: Vec<u64> = repeated.map(|(_, message)| id_of(message)).collect();
            changed.ids.extend(repeated);
            let letters = reader.messages()[..known]
                .iter()
                .enumerate()
                .filter(|(at, _)| reader.copies().is_current(*at));
            let copies = copies_of(letters, (is_meant, is_whole), sent, &mut changed.behind);
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
        let newer: HashSet<usize> = (known..read).map(|at| reader.copies().current_of(at)).collect();
        let meant: Vec<usize> = (0..known)
            .filter(|at| {
                let current = reader.copies().current_of(*at);
                let message = &reader.messages()[current];
                let goes = match change {
                    DeadLetterChange::Discard => true,
                    DeadLetterChange::Retry => is_whole(message) && WaitingLetter::read(message).is_none(),
                    DeadLetterChange::Release => false,
                };
                !newer.contains(&current) && goes && is_meant(message)
            })
            .collect();
        for some in meant.chunks(TOGETHER) {
            let new =
                some.iter().filter(|at| reader.copies().is_current(**at)).map(|at| &reader.messages()[*at]);
            let new: Vec<QueuedMessage> = new.cloned().collect();
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
        let goes_on = changed.ids.len() > before && is_more;
        changed.has_more |= is_more && !goes_on;
        reader.end().await.map_err(|error| self.failed(error))?;
        Ok(goes_on)
    }

    /// Adds what a change would do with the letters of one reading.
    pub(super) async fn foresee(
        &self,
        change: DeadLetterChange,
        is_meant: &(impl Fn(&QueuedMessage) -> bool + Send + Sync),
        changed: &mut ChangedLetters,
        sent: &HashSet<u64>,
    ) -> Result<(), DeadLetterError> {
        let wants_body = |_: &QueuedMessage| false;
        let Some(reader) = self.take(&wants_body, ReaderKind::Command).await? else { return Ok(()) };
        foresee(&reader, change, is_meant, changed, sent);
        changed.has_more |= reader.has_more();
        reader.end().await.map_err(|error| self.failed(error))
    }

    pub(super) async fn put_back(&self, messages: &[QueuedMessage]) -> Result<(), DeadLetterError> {
        match self.transport.queue_access() {
            Some(access) if !messages.is_empty() => {
                access.put(&self.source, false, messages).await.map_err(|error| self.failed(error))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) async fn visit(
        &self,
        visit: &LetterVisit,
        room: usize,
    ) -> Result<QueueVisit, DeadLetterError> {
        let bodies = AtomicU64::new(0);
        let wants_body = |message: &QueuedMessage| {
            visit.carry_out.contains_key(&id_of(message))
                && WaitingLetter::read(message).is_some_and(|letter| visit.begins_with(&letter))
                && bodies.fetch_add(message.body.len() as u64, Ordering::Relaxed) <= BODIES
        };
        let mut done = visit.clone();
        let Some(mut reader) = self.take(&wants_body, ReaderKind::Daemon).await? else {
            done.carry_out.clear();
            let (found, begun) = Default::default();
            return Ok(QueueVisit { done, found, begun, has_more: false, left: Some(0) });
        };
        if reader.has_more() && reader.messages().len() < MOST_READ {
            let reason = format!("of queue \"{}\" not all messages have arrived", self.name);
            return Err(self.failed(TransportError::Lost { reason }));
        }
        let read = |(at, message)| Some((at, WaitingLetter::read(message)?));
        let letters: Vec<(usize, WaitingLetter)> =
            reader.messages().iter().enumerate().filter_map(read).collect();
        let mut begun: Vec<&(usize, WaitingLetter)> = letters
            .iter()
            .filter(|(at, letter)| {
                let message = &reader.messages()[*at];
                visit.begins_with(letter) && reader.copies().is_waiting(*at) && is_whole(message)
            })
            .collect();
        begun.sort_by_key(|(_, letter)| letter.place);
        begun.truncate(room);
        done.carry_out = begun.iter().map(|(_, letter)| (letter.id, letter.why)).collect();
        let mut begun: Vec<QueuedMessage> =
            begun.iter().map(|(at, _)| reader.messages()[*at].clone()).collect();
        let (mut found, mut removed) = (Vec::new(), HashSet::new());
        let (messages, mut acknowledged) = (reader.messages().len() as u64, 0);
        for (at, letter) in letters {
            let is_current = reader.copies().is_waiting(at);
            match visit.remove.get(&letter.id) {
                Some(is_replaced) if !(*is_replaced && is_current) => {
                    reader.acknowledge(at).await.map_err(|error| self.failed(error))?;
                    removed.insert(letter.id);
                    acknowledged += 1;
                }
                Some(_) | None if is_current => found.push(letter),
                // The current one tells its state, and leaves with it.
                Some(_) | None => {}
            }
        }
        let has_more = reader.has_more();
        if has_more {
            // A letter that was not read is still there. The newer one of a letter that is replaced is so in any case.
            done.remove.retain(|id, is_replaced| *is_replaced || removed.contains(id));
        }
        reader.end().await.map_err(|error| self.failed(error))?;
        if visit.by_copy {
            let copies: Vec<QueuedMessage> = begun.iter().map(again).collect();
            self.put_back(&copies).await?;
            begun.clear();
        }
        let left = (!has_more).then_some(messages - acknowledged);
        Ok(QueueVisit { done, found, begun, has_more, left })
    }
}

/// Whether all bytes of the body are in memory; others are not put back.
fn is_whole(message: &QueuedMessage) -> bool {
    message.body.len() as u64 == bytes_of(message)
}

fn foresee(
    reader: &Reading,
    change: DeadLetterChange,
    is_meant: &impl Fn(&QueuedMessage) -> bool,
    changed: &mut ChangedLetters,
    sent: &HashSet<u64>,
) {
    let letters = reader.messages().iter().enumerate().filter(|(at, _)| reader.copies().is_current(*at));
    let letters: Vec<(usize, &QueuedMessage)> = letters.collect();
    let copies: HashSet<usize> = match change {
        DeadLetterChange::Discard => HashSet::new(),
        // Bodies are read by a change alone.
        DeadLetterChange::Retry | DeadLetterChange::Release => {
            let is_whole = |_: &QueuedMessage| true;
            let letters = letters.iter().copied();
            copies_of(letters, (is_meant, is_whole), sent, &mut changed.behind).into_iter().collect()
        }
    };
    let goes = |at: &usize, message: &QueuedMessage| match change {
        DeadLetterChange::Discard => true,
        _ if copies.contains(at) || sent.contains(&id_of(message)) => true,
        DeadLetterChange::Retry => WaitingLetter::read(message).is_none(),
        DeadLetterChange::Release => false,
    };
    let meant = letters.iter().filter(|(at, message)| is_meant(message) && goes(at, message));
    changed.ids.extend(meant.map(|(_, message)| id_of(message)));
}

/// Returns the letters of which copies are published, in the order in which they are carried out. The
/// meant letters of a resource end with the first letter that holds it and is not meant; `behind` names further letters.
fn copies_of<'a>(
    messages: impl Iterator<Item = (usize, &'a QueuedMessage)>,
    (is_meant, is_whole): (impl Fn(&QueuedMessage) -> bool, impl Fn(&QueuedMessage) -> bool),
    sent: &HashSet<u64>,
    behind: &mut Vec<(u64, u64)>,
) -> Vec<usize> {
    /// The letters of one lane by their places: where each is in the queue, and why it waits.
    type Lane<'a> = BTreeMap<(u64, u64), (usize, &'a QueuedMessage, LetterWait)>;
    let mut lanes: BTreeMap<(Arc<str>, Option<String>, u64), Lane<'_>> = BTreeMap::new();
    for (at, message) in messages {
        if let Some(letter) = WaitingLetter::read(message) {
            // Without a key, each letter is a lane of its own.
            let alone = if letter.key.is_some() { 0 } else { letter.id };
            let lane = lanes.entry((letter.action, letter.key, alone)).or_default();
            lane.insert((letter.place, letter.id), (at, message, letter.why));
        }
    }
    let mut copies: Vec<(u64, usize)> = Vec::new();
    for lane in lanes.into_values() {
        let mut held_by: Option<u64> = None;
        let mut has_meant = false;
        for ((place, id), (at, message, why)) in lane {
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
