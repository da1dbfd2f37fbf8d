//! The state that the consumer's side and the thread of the client library share: partitions, fetched messages, tags.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::failure::lost;
use super::flow::Room;
use super::offsets::{Admission, Ends, NO_LEADER, Offsets, PartitionKey, Position};
use super::start::Place;
use crate::bodies::Cut;
use crate::message::{AssignedPartition, Prefilter, Properties};
use crate::rabbit::{BodyFlow, BodyShare};
use crate::settle::{Settlement, Window};
use crate::{LostPosition, PartitionSeen, TransportError};

/// The longest time that the caller waits for the group to be left after an end.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(8);
/// The longest time that the consumer does not hear of rejected messages while more of them come.
const TELL_EVERY: Duration = Duration::from_millis(20);
/// The same if some were fetched, and the number of those that are not held back.
const TELL_WANTED: Duration = Duration::from_millis(2);
const MOST_UNTOLD: usize = 32;

/// One assignment of a partition; a later one of the same partition has another number.
pub(super) type AssignmentId = u64;

/// A partition of this consumer.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
    /// The same for those who read its messages.
    pub(super) assigned: Arc<AssignedPartition>,
    pub(super) offsets: Offsets,
    /// The group's position in it, as far as is known.
    pub(super) committed: Option<Position>,
    /// Whether its messages are held back: another member is to have it.
    pub(super) is_leaving: bool,
    /// The offset after its last message, and when the broker said so.
    end: Option<(i64, SystemTime)>,
    /// The reason why the broker did not answer the latest question about it.
    unknown: Option<String>,
    /// The position of the group that did not exist any more.
    lost: Option<LostPosition>,
    /// Whether the group has committed a position, or a message was handed out.
    pub(super) has_read: bool,
}

impl Partition {
    fn hand_out(&mut self, offset: i64) {
        self.offsets.hand_out(offset);
        self.has_read = true;
    }
}

/// A message that was fetched and not handed out.
#[derive(Debug)]
pub(super) struct FetchedMessage {
    pub(super) assignment: AssignmentId,
    pub(super) offset: i64,
    pub(super) redelivered: bool,
    pub(super) body: Bytes,
    pub(super) cut: Option<Cut>,
    pub(super) properties: Properties,
    pub(super) share: BodyShare,
}

/// The state behind the lock.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) partitions: BTreeMap<AssignmentId, Partition>,
    last_assignment: AssignmentId,
    pub(super) fetched: VecDeque<FetchedMessage>,
    /// Messages that the prefilter has rejected and the consumer has not heard of.
    pub(super) rejected: usize,
    /// When the first message came of which the consumer has not been told.
    untold_since: Option<Instant>,
    /// Messages that were handed out and are unfinished, by tag.
    open: BTreeMap<u64, (AssignmentId, i64)>,
    last_tag: u64,
    /// The most messages that are fetched or open.
    pub(super) most: usize,
    /// Partitions were assigned since the thread has looked: they are not paused.
    pub(super) has_new: bool,
    /// Messages were given back, and some may have to be read again.
    gave_back: bool,
    /// Settlements came since the last commit.
    pub(super) is_dirty: bool,
    /// Whether nothing new is to be handed out.
    pub(super) is_quiet: bool,
    /// Whether the consumer closes, or was dropped.
    pub(super) is_closing: bool,
    /// The end of the subscription: nothing more is handed out or settled.
    pub(super) ended: Option<TransportError>,
    /// When it ended.
    ended_at: Option<Instant>,
    /// Whether the group was left after the end, so that the caller may begin again.
    pub(super) has_left: bool,
    /// The group's memory in this process.
    pub(super) handed: GroupMemory,
}

/// The memory of a group in this process, by topic and partition: the offset below which messages were handed out, since the
/// broker may not have the latest after a lost connection, and the latest position that did not exist any more.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupMemory(Arc<Mutex<BTreeMap<(String, i32), PartitionMemory>>>);

type PartitionMemory = (i64, Option<LostPosition>);

impl GroupMemory {
    fn get(&self, topic: &str, number: i32) -> Option<PartitionMemory> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(topic.to_owned(), number)).copied()
    }

    fn note(&self, topic: &str, number: i32, memory: PartitionMemory) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((topic.to_owned(), number), memory);
    }

    /// Whether the group has read nothing in this process.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// The shared state, and the means to wait for its changes.
#[derive(Debug, Default)]
pub(super) struct SharedState {
    state: Mutex<State>,
    /// Wakes the thread of the client library.
    wake: Condvar,
    /// Wakes the consumer: a message is there, or the end.
    pub(super) arrived: Notify,
    pub(super) body_flow: Arc<BodyFlow>,
    pub(super) prefilter: OnceLock<Arc<dyn Prefilter>>,
    /// The number of changes of the assignment.
    changes: AtomicU64,
}

impl SharedState {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the thread of the client library.
    pub(super) fn tell<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.wake.notify_all();
        result
    }

    /// Waits for room, at most this long.
    pub(super) fn wait_for_room(&self, longest: Duration) {
        self.wait_until(longest, |state| self.room_of(state) != Room::Full);
    }

    /// Waits until this holds, at most this long; returns whether it does. The consumer hears of everything before.
    pub(super) fn wait_until(&self, longest: Duration, holds: impl Fn(&State) -> bool) -> bool {
        self.arrived.notify_waiters();
        let waited = self.wake.wait_timeout_while(self.lock(), longest, |state| !holds(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        holds(&state)
    }

    /// Ends the subscription, unless it has ended.
    pub(super) fn end(&self, error: TransportError) {
        {
            let mut state = self.lock();
            state.ended.get_or_insert(error);
            state.ended_at.get_or_insert_with(Instant::now);
            state.fetched.clear();
            state.remember(|_| true);
        }
        self.wake.notify_all();
        self.arrived.notify_waiters();
    }

    /// Waits for a message or the end; after the end only for a moment, since leaving the group has a limit.
    pub(super) async fn news(&self, arrived: Notified<'_>) {
        let has_ended = self.lock().ended.is_some();
        match has_ended {
            true => drop(tokio::time::timeout(Duration::from_millis(100), arrived).await),
            false => arrived.await,
        }
    }

    /// Tells the caller the end.
    pub(super) fn left(&self) {
        let mut state = self.lock();
        state.has_left = true;
        state.remember(|_| true);
        drop(state);
        self.arrived.notify_waiters();
    }

    /// Returns the number of messages that may be fetched now.
    pub(super) fn space(&self) -> usize {
        let state = self.lock();
        match self.room_of(&state) {
            Room::Free => state.most.saturating_sub(state.in_hand()),
            Room::Full | Room::Closed => 0,
        }
    }

    /// Takes note that the assignment has changed.
    pub(super) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of changes of the assignment so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    pub(super) fn room(&self) -> Room {
        self.room_of(&self.lock())
    }

    pub(super) fn room_of(&self, state: &State) -> Room {
        match state.is_quiet || state.is_closing || state.ended.is_some() {
            true => Room::Closed,
            false if state.in_hand() >= state.most || self.body_flow.is_full() => Room::Full,
            false => Room::Free,
        }
    }
}

impl State {
    /// Returns the end for the caller: after the group was left, or a new member would get the partitions before the last commit;
    /// or when that takes too long.
    pub(super) fn told_end(&self) -> Option<TransportError> {
        let waited = self.ended_at.is_some_and(|at| at.elapsed() >= LEAVE_TIMEOUT);
        self.ended.clone().filter(|_| self.has_left || waited)
    }

    /// Adds a partition that was assigned.
    pub(super) fn assigned(&mut self, place: &Place) {
        self.last_assignment += 1;
        let Place { topic, partition: number, position: start, is_committed, end, lost } = place;
        let mut offsets = Offsets::resume(start);
        let mut lost = *lost;
        // Offsets of a topic that is gone say nothing about a new one.
        if lost.is_none()
            && let Some((handed, before)) = self.handed.get(topic, *number)
        {
            offsets.seen(handed);
            lost = before;
        }
        let (name, assignment) = (format!("{topic}/{number}").into(), self.last_assignment);
        let assigned = AssignedPartition { name, assignment };
        let partition = Partition {
            topic: topic.as_str().into(),
            number: *number,
            assigned: Arc::new(assigned),
            offsets,
            committed: is_committed.then(|| start.clone()),
            is_leaving: false,
            end: end.map(|end| (end, SystemTime::now())),
            unknown: end.is_none().then(|| NO_LEADER.to_owned()),
            lost,
            has_read: *is_committed,
        };
        self.is_dirty |= !is_committed;
        self.has_new = true;
        self.partitions.insert(self.last_assignment, partition);
    }

    /// Returns the assignment of a partition.
    pub(super) fn assignment(&self, topic: &str, number: i32) -> Option<AssignmentId> {
        let found = self.partitions.iter().find(|(_, p)| p.number == number && *p.topic == *topic);
        found.map(|(id, _)| *id)
    }

    /// Decides about a message that was fetched.
    pub(super) fn admit(&mut self, assignment: AssignmentId, offset: i64) -> Admission {
        let partition = self.partitions.get_mut(&assignment);
        let admitted = partition.filter(|partition| !partition.is_leaving).map(|p| p.offsets.admit(offset));
        // A gap may have moved the lowest unfinished offset.
        self.is_dirty |= admitted == Some(Admission::Known);
        admitted.unwrap_or(Admission::Known)
    }

    /// Finishes a message that was admitted and is not wanted.
    pub(super) fn reject(&mut self, assignment: AssignmentId, offset: i64) {
        self.rejected += 1;
        if let Some(partition) = self.partitions.get_mut(&assignment) {
            partition.offsets.pass(offset);
            partition.has_read = true;
            self.is_dirty = true;
        }
    }

    /// Keeps a message that was admitted until the consumer takes it.
    pub(super) fn keep(&mut self, fetched: FetchedMessage) {
        if let Some(partition) = self.partitions.get_mut(&fetched.assignment) {
            partition.offsets.keep(fetched.offset);
        }
        self.fetched.push_back(fetched);
    }

    /// Whether there are messages that the consumer has not been told of.
    pub(super) fn has_untold(&self) -> bool {
        self.untold_since.is_some()
    }

    /// Whether the consumer is to hear of fetched and rejected messages now: it is when no further message is there. Of a backlog
    /// it hears of several at once, since waking it costs as much as several messages: after [`TELL_WANTED`], or
    /// [`TELL_EVERY`] if none is wanted.
    pub(super) fn tells(&mut self, is_idle: bool, now: Instant) -> bool {
        if self.rejected == 0 && self.fetched.is_empty() {
            self.untold_since = None;
            return false;
        }
        let since = *self.untold_since.get_or_insert(now);
        let patience = if self.fetched.is_empty() { TELL_EVERY } else { TELL_WANTED };
        let tells = is_idle || self.fetched.len() >= MOST_UNTOLD || now.duration_since(since) >= patience;
        if tells {
            self.untold_since = None;
        }
        tells
    }

    fn hand_out(&mut self, assignment: AssignmentId, offset: i64) {
        if let Some(partition) = self.partitions.get_mut(&assignment) {
            partition.hand_out(offset);
            // The mark of what was handed out is in the commit.
            self.is_dirty = true;
        }
    }

    /// Takes the next message to hand out, with its tag.
    pub(super) fn take(&mut self) -> Option<(FetchedMessage, u64)> {
        if self.is_quiet {
            return None;
        }
        let fetched = self.fetched.pop_front()?;
        self.hand_out(fetched.assignment, fetched.offset);
        self.last_tag += 1;
        self.open.insert(self.last_tag, (fetched.assignment, fetched.offset));
        Some((fetched, self.last_tag))
    }

    /// Settles what the window has gathered. A message of a partition that has left is forgotten.
    pub(super) fn settle(&mut self, window: &mut Window) {
        for settlement in window.settlements(0) {
            match settlement {
                Settlement::AcknowledgeThrough(tag) => {
                    let rest = self.open.split_off(&(tag + 1));
                    for (assignment, offset) in std::mem::replace(&mut self.open, rest).into_values() {
                        self.finish(assignment, offset);
                    }
                }
                Settlement::Acknowledge(tag) => {
                    if let Some((assignment, offset)) = self.open.remove(&tag) {
                        self.finish(assignment, offset);
                    }
                }
                Settlement::Requeue(tag) => {
                    if let Some((assignment, offset)) = self.open.remove(&tag)
                        && let Some(partition) = self.partitions.get_mut(&assignment)
                    {
                        partition.offsets.give_back(offset);
                        self.gave_back = true;
                    }
                }
            }
        }
    }

    fn finish(&mut self, assignment: AssignmentId, offset: i64) {
        if let Some(partition) = self.partitions.get_mut(&assignment) {
            partition.offsets.finish(offset);
            self.is_dirty = true;
        }
    }

    /// Holds the messages of these partitions back: what was not handed out is dropped.
    pub(super) fn leave(&mut self, leaving: &[AssignmentId]) {
        for id in leaving {
            if let Some(partition) = self.partitions.get_mut(id) {
                partition.is_leaving = true;
            }
        }
        self.fetched.retain(|fetched| !leaving.contains(&fetched.assignment));
    }

    /// Whether a message of these partitions is open.
    pub(super) fn is_open(&self, assignments: &[AssignmentId]) -> bool {
        self.open.values().any(|(assignment, _)| assignments.contains(assignment))
    }

    /// Forgets these partitions, and with them their open messages: another member reads them again.
    pub(super) fn forget(&mut self, gone: &[AssignmentId]) {
        self.remember(|id| gone.contains(&id));
        self.partitions.retain(|id, _| !gone.contains(id));
        self.open.retain(|_, (assignment, _)| !gone.contains(assignment));
        self.fetched.retain(|fetched| !gone.contains(&fetched.assignment));
    }

    /// Keeps for the next assignment in this process what was handed out of these partitions.
    fn remember(&self, of: impl Fn(AssignmentId) -> bool) {
        for (_, partition) in self.partitions.iter().filter(|(id, p)| p.has_read && of(**id)) {
            let memory = (partition.offsets.handed(), partition.lost);
            self.handed.note(&partition.topic, partition.number, memory);
        }
    }

    /// Returns the partitions with messages that have to be read again, and the first of them.
    pub(super) fn again(&mut self) -> Vec<(Arc<str>, i32, i64)> {
        if !self.gave_back {
            return Vec::new();
        }
        // Until all of them have been read again, or have left with their partition.
        self.gave_back = self.partitions.values().any(|p| p.offsets.first_again().is_some());
        let of = |p: &Partition| Some((p.topic.clone(), p.number, p.offsets.first_again()?));
        self.partitions.values().filter(|p| !p.is_leaving).filter_map(of).collect()
    }

    /// Returns the positions that the group does not have yet, of these partitions.
    pub(super) fn uncommitted(
        &self,
        of: impl Fn(AssignmentId) -> bool,
    ) -> Vec<(AssignmentId, Arc<str>, i32, Position)> {
        let partitions = self.partitions.iter().filter(|(id, _)| of(**id));
        let positions = partitions.map(|(id, p)| (id, p, p.offsets.position()));
        positions
            .filter(|(_, p, position)| p.committed.as_ref() != Some(position))
            .map(|(id, p, position)| (*id, p.topic.clone(), p.number, position))
            .collect()
    }

    /// Forgets that these positions were committed: the answer may be on its way, and be a refusal, or got lost.
    pub(super) fn doubt(&mut self, of: impl Fn(AssignmentId) -> bool) {
        let doubted = self.partitions.iter_mut().filter(|(id, _)| of(**id));
        doubted.for_each(|(_, partition)| partition.committed = None);
    }

    /// Returns the partitions that are read.
    pub(super) fn partition_keys(&self) -> Vec<PartitionKey> {
        self.partitions.values().map(|p| (p.topic.clone(), p.number)).collect()
    }

    /// Takes note of the ends of partitions.
    pub(super) fn saw(&mut self, ends: &Ends) {
        let now = SystemTime::now();
        for partition in self.partitions.values_mut() {
            match ends.get(&(partition.topic.clone(), partition.number)) {
                Some(Ok(end)) => (partition.end, partition.unknown) = (Some((*end, now)), None),
                Some(Err(reason)) => partition.unknown = Some(reason.clone()),
                None => {}
            }
        }
    }

    /// Returns the number of messages that wait up to these ends, those that are open not counted.
    ///
    /// # Errors
    /// A partition that is read has no end among them.
    pub(super) fn waiting(&self, ends: &Ends) -> Result<u64, TransportError> {
        let mut waiting = 0;
        for (id, partition) in &self.partitions {
            let Partition { topic, number, .. } = partition;
            let end = match ends.get(&(topic.clone(), *number)) {
                Some(Ok(end)) => *end,
                Some(Err(reason)) => {
                    return Err(lost(format!("topic \"{topic}\", partition {number}: {reason}")));
                }
                // It was assigned meanwhile.
                None => continue,
            };
            waiting += partition.offsets.unfinished(end).saturating_sub(self.open_of(*id));
        }
        Ok(waiting)
    }

    /// Returns what is known of the partitions that are read.
    pub(super) fn seen(&self) -> Vec<PartitionSeen> {
        let of = |p: &Partition| PartitionSeen {
            topic: p.topic.clone(),
            partition: p.number,
            next: p.offsets.low(),
            end: p.end,
            unknown: p.unknown.clone(),
            lost: p.lost,
        };
        let mut seen: Vec<PartitionSeen> = self.partitions.values().map(of).collect();
        seen.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        seen
    }

    /// Messages that were fetched or are open.
    fn in_hand(&self) -> usize {
        self.fetched.len() + self.open.len()
    }

    /// Open messages of a partition.
    fn open_of(&self, assignment: AssignmentId) -> u64 {
        self.open.values().filter(|(of, _)| *of == assignment).count() as u64
    }
}

#[cfg(test)]
mod tests;
