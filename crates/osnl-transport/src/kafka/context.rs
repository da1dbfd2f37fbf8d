//! The client library's callbacks: errors, logs, commits, and rebalances. All of them run on the thread that polls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::offsets::Position;
use super::shared::{AssignmentId, SharedState};
use super::start::{self, StartRule};

/// The facility of the library's line about a failed commit.
const COMMIT_FAILED: &str = "COMMITFAIL";
/// The pause after a commit that the broker has not taken.
const BETWEEN_COMMITS: Duration = Duration::from_millis(100);

/// The context of one consumer.
pub(super) struct Context {
    pub(super) shared: Arc<SharedState>,
    pub(super) rule: StartRule,
    /// The longest wait for open messages of partitions that another member is to have.
    pub(super) patience: Duration,
    pub(super) errors: Errors,
    /// Changed by the first assignment.
    pub(super) first: Mutex<Option<start::FoundPlaces>>,
}

/// The latest errors of the client library, each with its words.
#[derive(Debug, Default)]
pub(super) struct Errors(Mutex<Vec<(RDKafkaErrorCode, String)>>);

impl Errors {
    /// Errors that are kept: each host may have one, and the last one may be only that all are down.
    const MOST: usize = 16;

    pub(super) fn note(&self, error: &KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.add(code, reason);
        }
    }

    /// Notes a line of the log: failures of one broker come as lines alone.
    pub(super) fn note_line(&self, facility: &str, message: &str) {
        if facility == "FAIL" {
            self.add(RDKafkaErrorCode::BrokerTransportFailure, message);
        }
    }

    fn add(&self, code: RDKafkaErrorCode, reason: &str) {
        let mut errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() == Self::MOST {
            errors.remove(0);
        }
        errors.push((code, reason.to_owned()));
    }

    pub(super) fn take(&self) -> Vec<(RDKafkaErrorCode, String)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.errors.note_line(facility, message);
        // The library reports the failure of an asynchronous commit to nothing but its log, unless it has a C callback, which
        // the Rust client does not set. What was committed is then unknown, and is committed again.
        if facility == COMMIT_FAILED {
            self.shared.tell(|state| {
                state.doubt(|_| true);
                state.is_dirty = true;
            });
        }
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.errors.note(&error, reason);
    }
}

/// Passes a line of the library on. What matters of it comes as an error too, so it is for debugging.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(kafka.level = ?level, kafka.facility = facility, kafka.said = message, "librdkafka reports");
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        self.shared.changed();
        let is_cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let positions = self.assigned(consumer, partitions);
            match is_cooperative {
                true => consumer.incremental_assign(&positions),
                false => consumer.assign(&positions),
            }
        } else {
            self.revoked(consumer, partitions);
            match is_cooperative {
                true => consumer.incremental_unassign(partitions),
                false => consumer.unassign(),
            }
        };
        if let Err(error) = done {
            self.shared.end(super::failure::lost(format!("the group's assignment failed: {error}")));
        }
    }

    fn main_queue_min_poll_interval(&self) -> rdkafka::util::Timeout {
        rdkafka::util::Timeout::After(Duration::from_millis(100))
    }
}

impl Context {
    /// Decides where each partition is read from. One that has no place ends the subscription, and none is read.
    fn assigned(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        let has_read = self.rule.has_read || !self.shared.lock().handed.is_empty();
        let found = match start::positions(consumer, partitions, &self.rule, has_read) {
            Ok(found) => found,
            Err(error) => {
                self.shared.end(error);
                return list;
            }
        };
        found.places.iter().for_each(|place| self.report(place));
        let mut state = self.shared.lock();
        for place in &found.places {
            let offset = Offset::Offset(place.position.offset);
            if list.add_partition_offset(&place.topic, place.partition, offset).is_ok() {
                state.assigned(place);
            }
        }
        drop(state);
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(found);
        list
    }

    /// Logs a position that does not exist any more.
    fn report(&self, place: &start::Place) {
        let Some(lost) = &place.lost else { return };
        tracing::warn!(
            kafka.group = self.rule.group,
            kafka.topic = place.topic,
            kafka.partition = place.partition,
            offset.before = lost.before,
            offset.start = lost.start,
            reason = lost.to_string(),
            "the position of the group does not exist any more, and the partition is read from its beginning: the topic was \
             deleted and created anew, or messages expired unread"
        );
    }

    /// Waits for what is open, commits what is finished, and forgets the rest.
    fn revoked(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let leaving: Vec<AssignmentId> = self.shared.tell(|state| {
            let of = |e: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
                state.assignment(e.topic(), e.partition())
            };
            let leaving: Vec<AssignmentId> = partitions.elements().iter().filter_map(of).collect();
            state.leave(&leaving);
            leaving
        });
        if leaving.is_empty() {
            return;
        }
        if consumer.assignment_lost() {
            tracing::warn!(
                kafka.partitions = leaving.len(),
                "the group has taken partitions away without asking: what is open of them is delivered again, to another member"
            );
        } else {
            let is_over = |state: &super::shared::State| {
                state.is_closing || state.ended.is_some() || !state.is_open(&leaving)
            };
            if !self.shared.wait_until(self.patience, is_over) {
                tracing::warn!(
                    kafka.partitions = leaving.len(),
                    seconds = self.patience.as_secs(),
                    "another member of the group gets partitions before their open messages have ended: these are delivered again"
                );
            }
            self.shared.lock().doubt(|id| leaving.contains(&id));
            // While the group is between two generations, the broker takes no offsets. The time that open messages took is no
            // reason to give up: what is finished would come again.
            let (begun, most) = (Instant::now(), self.patience / 2);
            let is_leaving = |id: AssignmentId| leaving.contains(&id);
            while !commit(consumer, &self.shared, CommitMode::Sync, is_leaving) && begun.elapsed() < most {
                self.shared.wait_until(BETWEEN_COMMITS, |_| false);
            }
        }
        self.shared.tell(|state| state.forget(&leaving));
    }
}

/// Commits the positions of these partitions that the group does not have yet. `false` where another try may succeed.
pub(super) fn commit(
    consumer: &BaseConsumer<Context>,
    shared: &SharedState,
    mode: CommitMode,
    of: impl Fn(AssignmentId) -> bool,
) -> bool {
    let due = shared.lock().uncommitted(of);
    if due.is_empty() {
        return true;
    }
    let mut list = TopicPartitionList::with_capacity(due.len());
    for (_, topic, number, Position { offset, metadata }) in &due {
        let mut element = list.add_partition(topic, *number);
        if element.set_offset(Offset::Offset(*offset)).is_ok() {
            element.set_metadata(metadata);
        }
    }
    let taken = consumer.commit(&list, mode);
    let mut state = shared.lock();
    match taken {
        // Of an asynchronous one the log tells if it fails.
        Ok(()) => {
            for (id, _, _, position) in due {
                if let Some(partition) = state.partitions.get_mut(&id) {
                    partition.committed = Some(position);
                    partition.has_read = true;
                }
            }
            true
        }
        Err(error) => {
            state.is_dirty = true;
            drop(state);
            tracing::debug!(error = error.to_string(), "offsets were not committed");
            // The group goes on without us.
            let is_out = [
                RDKafkaErrorCode::UnknownMemberId,
                RDKafkaErrorCode::IllegalGeneration,
                RDKafkaErrorCode::FencedInstanceId,
            ];
            error.rdkafka_error_code().is_some_and(|code| is_out.contains(&code))
        }
    }
}
