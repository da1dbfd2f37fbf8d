//! The state that [`KafkaConsumer`](super::consumer::KafkaConsumer) and the [driver](super::driver) share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use osnl_transport::parts::{BodyFlow, BodyShare};
use osnl_transport::{
    AssignedPartition, Cut, LostPosition, PartitionSeen, Properties, Settlement, TransportError, Window,
};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::client::{Ends, KafkaClient, NO_LEADER};
use super::failure::lost;
use super::offsets::{Offsets, PartitionKey, Position};
use super::start::Place;

/// The partitions that a group has read in this process, each with the offset below which messages were handed out, since
/// the broker may not have the latest after a lost connection, and the latest lost position.
pub(super) type GroupMemory = Arc<Mutex<BTreeMap<PartitionKey, (i64, Option<LostPosition>)>>>;

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) assigned: Arc<AssignedPartition>,
    offsets: Offsets,
    committed: Option<Position>,
    /// Whether the position was taken without a leader, and no message has confirmed it. If it were committed and did not
    /// exist, that would look like a lost position.
    is_guess: bool,
    /// Another member is to have the partition, so that no further message is handed out.
    is_leaving: bool,
    end: Option<(i64, Instant)>,
    unknown: Option<String>,
    lost: Option<LostPosition>,
    has_read: bool,
}

/// A fetched message stays here until it is settled, so that a requeued one need not be fetched again.
#[derive(Debug)]
pub(super) struct FetchedMessage {
    pub(super) key: PartitionKey,
    pub(super) offset: i64,
    pub(super) redelivered: bool,
    pub(super) body: Bytes,
    pub(super) cut: Option<Cut>,
    pub(super) properties: Properties,
    pub(super) _share: BodyShare,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) client: Option<Arc<KafkaClient>>,
    partitions: BTreeMap<PartitionKey, Partition>,
    pub(super) fetched: VecDeque<FetchedMessage>,
    open: BTreeMap<u64, FetchedMessage>,
    last_tag: u64,
    pub(super) prefetch: usize,
    pub(super) is_dirty: bool,
    pub(super) is_quiet: bool,
    pub(super) is_closing: bool,
    pub(super) ended: Option<TransportError>,
    pub(super) has_left: bool,
    pub(super) memory: GroupMemory,
}

#[derive(Default)]
pub(super) struct SharedState {
    state: Mutex<State>,
    pub(super) wake: Notify,
    pub(super) arrived: Notify,
    pub(super) body_flow: Arc<BodyFlow>,
}

impl SharedState {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.wake.notify_one();
        result
    }

    pub(super) async fn wait_until(&self, longest: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let waited = timeout(longest, async {
            while !holds(&self.lock()) {
                self.wake.notified().await;
            }
        });
        waited.await.is_ok()
    }

    pub(super) fn end(&self, error: TransportError) {
        self.update(|state| {
            state.ended.get_or_insert(error);
            state.fetched.clear();
        });
    }

    /// Returns the number of messages that there is room for; `None` if no more are wanted.
    pub(super) fn room(&self) -> Option<usize> {
        let state = self.lock();
        let room = match self.body_flow.is_full() {
            true => 0,
            false => state.prefetch.saturating_sub(state.fetched.len() + state.open.len()),
        };
        (!state.is_quiet && !state.is_over()).then_some(room)
    }

    pub(super) fn left(&self) {
        let mut state = self.lock();
        state.has_left = true;
        let all = state.partition_keys();
        state.forget(&all);
        drop(state);
        self.arrived.notify_one();
    }
}

impl State {
    pub(super) fn is_over(&self) -> bool {
        self.is_closing || self.ended.is_some()
    }

    /// Returns the end once the group was left. A new member before would get the partitions without the last commit.
    pub(super) fn told_end(&self) -> Option<TransportError> {
        self.ended.clone().filter(|_| self.has_left)
    }

    pub(super) fn assigned(&mut self, place: Place) {
        let is_guess = place.is_guess();
        let Place { key, position, is_committed, end, mut lost } = place;
        self.forget(std::slice::from_ref(&key));
        let mut offsets = Offsets::resume(&position);
        // Offsets of a deleted topic do not apply to a new topic of the same name.
        if lost.is_none()
            && let Some((handed, before)) = self.remembered().get(&key)
        {
            offsets.seen(*handed);
            lost = *before;
        }
        let partition = Partition {
            assigned: Arc::default(),
            offsets,
            committed: is_committed.then_some(position),
            is_guess,
            is_leaving: false,
            end: end.map(|end| (end, Instant::now())),
            unknown: end.is_none().then(|| NO_LEADER.to_owned()),
            lost,
            has_read: is_committed,
        };
        self.is_dirty |= !is_committed;
        self.partitions.insert(key, partition);
    }

    fn remembered(&self) -> MutexGuard<'_, BTreeMap<PartitionKey, (i64, Option<LostPosition>)>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_read(&self) -> bool {
        !self.remembered().is_empty()
    }

    /// Decides about a fetched message: its partition, and whether it was handed out before. Returns `None` if the message
    /// is known, or its partition leaves.
    pub(super) fn admit(&mut self, topic: &str, number: i32, offset: i64) -> Option<(PartitionKey, bool)> {
        let mut all = self.partitions.iter_mut();
        let (key, partition) = all.find(|(key, _)| key.1 == number && *key.0 == *topic)?;
        if partition.is_leaving {
            return None;
        }
        // Offsets that never come may have moved the position.
        self.is_dirty = true;
        partition.is_guess = false;
        partition.offsets.admit(offset).map(|redelivered| (key.clone(), redelivered))
    }

    pub(super) fn take(&mut self) -> Option<(u64, &Partition, &FetchedMessage)> {
        if self.is_quiet || self.ended.is_some() {
            return None;
        }
        let fetched = self.fetched.pop_front()?;
        let partition = self.partitions.get_mut(&fetched.key)?;
        partition.offsets.hand_out(fetched.offset);
        partition.has_read = true;
        self.is_dirty = true;
        self.last_tag += 1;
        Some((self.last_tag, partition, self.open.entry(self.last_tag).or_insert(fetched)))
    }

    /// Settles what the window has gathered; returns whether some message is to be handed out again. Tags of partitions
    /// that have left are unknown, and have no effect.
    pub(super) fn settle(&mut self, window: &mut Window) -> bool {
        let mut gave_back = false;
        for settlement in window.settlements(0) {
            match settlement {
                Settlement::AcknowledgeThrough(tag) => {
                    let rest = self.open.split_off(&(tag + 1));
                    std::mem::replace(&mut self.open, rest).into_values().for_each(|done| self.finish(&done));
                }
                Settlement::Acknowledge(tag) => {
                    if let Some(done) = self.open.remove(&tag) {
                        self.finish(&done);
                    }
                }
                Settlement::Requeue(tag) => {
                    if let Some(message) = self.open.remove(&tag) {
                        self.give_back(message);
                        gave_back = true;
                    }
                }
            }
        }
        gave_back
    }

    fn finish(&mut self, done: &FetchedMessage) {
        if let Some(partition) = self.partitions.get_mut(&done.key) {
            partition.offsets.finish(done.offset);
            self.is_dirty = true;
        }
    }

    /// Puts a message before all later ones of its partition.
    fn give_back(&mut self, message: FetchedMessage) {
        let is_held = self.partitions.get(&message.key).is_none_or(|partition| partition.is_leaving);
        if self.is_quiet || is_held {
            return;
        }
        let is_later = |other: &FetchedMessage| other.key == message.key && other.offset > message.offset;
        let place = self.fetched.iter().position(is_later).unwrap_or(self.fetched.len());
        self.fetched.insert(place, FetchedMessage { redelivered: true, ..message });
    }

    pub(super) fn leave(&mut self, leaving: Vec<PartitionKey>) -> Vec<PartitionKey> {
        let is_read = |key: &PartitionKey| {
            self.partitions.get_mut(key).map(|partition| partition.is_leaving = true).is_some()
        };
        let leaving: Vec<PartitionKey> = leaving.into_iter().filter(is_read).collect();
        self.fetched.retain(|fetched| !leaving.contains(&fetched.key));
        leaving
    }

    pub(super) fn is_open(&self, partitions: &[PartitionKey]) -> bool {
        self.open.values().any(|message| partitions.contains(&message.key))
    }

    /// Forgets partitions and their open messages, which another member reads again.
    pub(super) fn forget(&mut self, gone: &[PartitionKey]) {
        for key in gone {
            let Some(partition) = self.partitions.remove(key) else { continue };
            partition.assigned.revoke();
            if partition.has_read {
                self.remembered().insert(key.clone(), (partition.offsets.handed(), partition.lost));
            }
        }
        self.open.retain(|_, message| !gone.contains(&message.key));
        self.fetched.retain(|fetched| !gone.contains(&fetched.key));
    }

    pub(super) fn uncommitted(&self) -> Vec<(PartitionKey, Position)> {
        let known = self.partitions.iter().filter(|(_, partition)| !partition.is_guess);
        let positions = known.map(|(key, p)| (key, &p.committed, p.offsets.position()));
        positions
            .filter(|(_, committed, position)| committed.as_ref() != Some(position))
            .map(|(key, _, position)| (key.clone(), position))
            .collect()
    }

    pub(super) fn committed(&mut self, positions: Vec<(PartitionKey, Position)>) {
        for (key, position) in positions {
            if let Some(partition) = self.partitions.get_mut(&key) {
                partition.committed = Some(position);
                partition.has_read = true;
            }
        }
    }

    pub(super) fn partition_keys(&self) -> Vec<PartitionKey> {
        self.partitions.keys().cloned().collect()
    }

    pub(super) fn waiting(&mut self, ends: Ends) -> Result<u64, TransportError> {
        let (mut waiting, mut failed) = (0, None);
        for (key, end) in ends {
            let Some(partition) = self.partitions.get_mut(&key) else { continue };
            match end {
                Ok(end) => {
                    (partition.end, partition.unknown) = (Some((end, Instant::now())), None);
                    let open = self.open.values().filter(|message| message.key == key).count() as u64;
                    waiting += partition.offsets.unfinished(end).saturating_sub(open);
                }
                Err(reason) => {
                    let error = lost(format!("topic \"{}\", partition {}: {reason}", key.0, key.1));
                    failed.get_or_insert(error);
                    partition.unknown = Some(reason);
                }
            }
        }
        failed.map_or(Ok(waiting), Err)
    }

    pub(super) fn seen(&self) -> Vec<PartitionSeen> {
        let of = |((topic, number), p): (&PartitionKey, &Partition)| PartitionSeen {
            topic: topic.clone(),
            partition: *number,
            next: p.offsets.low(),
            end: p.end,
            unknown: p.unknown.clone(),
            lost: p.lost,
        };
        self.partitions.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> PartitionKey {
        ("t".into(), partition)
    }

    fn place(partition: i32) -> Place {
        let position = Position { offset: 0, metadata: String::new() };
        Place { key: key(partition), position, is_committed: true, end: Some(9), lost: None }
    }

    fn state(messages: &[(i32, i64)]) -> State {
        let (mut state, flow) = (State::default(), Arc::<BodyFlow>::default());
        state.assigned(place(0));
        state.assigned(place(1));
        for (number, offset) in messages {
            let (key, redelivered) = state.admit("t", *number, *offset).unwrap();
            state.fetched.push_back(FetchedMessage {
                key,
                offset: *offset,
                redelivered,
                body: Bytes::new(),
                cut: None,
                properties: Properties::default(),
                _share: flow.share(0),
            });
        }
        state
    }

    #[test]
    fn a_message_that_is_given_back_comes_before_the_later_ones_of_its_partition() {
        let mut state = state(&[(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]);
        let tags: Vec<u64> = (0..3).map(|_| state.take().unwrap().0).collect();
        for tag in [tags[2], tags[0]] {
            let message = state.open.remove(&tag).unwrap();
            state.give_back(message);
        }
        let left: Vec<_> = state.fetched.iter().map(|m| (m.key.1, m.offset, m.redelivered)).collect();
        assert_eq!(left, [(1, 1, false), (0, 0, true), (0, 1, true), (0, 2, false)]);
        assert_eq!(state.uncommitted()[0].1.offset, 0, "nothing of it is finished");
    }

    #[test]
    fn a_guessed_position_is_committed_once_a_message_confirms_it() {
        let mut state = State::default();
        state.assigned(Place { is_committed: false, end: None, ..place(0) });
        assert!(state.uncommitted().is_empty());
        assert_eq!(state.admit("t", 0, 5), Some((key(0), false)));
        let position = Position { offset: 5, metadata: "osnl1 0".to_owned() };
        assert_eq!(state.uncommitted(), [(key(0), position)]);
    }

    #[test]
    fn what_is_left_of_a_partition_that_was_taken_away_says_so_and_settles_nothing() {
        let mut state = state(&[(0, 0), (0, 1), (1, 0)]);
        let taken = state.take().unwrap().1.assigned.clone();
        assert_eq!(state.leave(vec![key(0), key(7)]), [key(0)]);
        assert!(state.admit("t", 0, 2).is_none() && state.is_open(&[key(0)]) && !taken.is_revoked());
        state.forget(&[key(0)]);
        assert!(taken.is_revoked() && !state.is_open(&[key(0)]));
        assert_eq!((state.fetched.len(), state.partition_keys()), (1, vec![key(1)]));
        // The next assignment in this process knows which messages were handed out.
        state.assigned(place(0));
        assert_eq!(state.admit("t", 0, 0), Some((key(0), true)));
        assert_eq!(state.admit("t", 0, 1), Some((key(0), false)));
    }
}
