//! The thread of one consumer: it alone polls the client library, and so it runs the callbacks.
//!
//! It fetches what there is room for, finishes by itself what the [`Prefilter`](crate::Prefilter) rejects, commits a few times a
//! second what was settled, and reads again what was given back.
//! Leaving the group, and the commit before it, are its last steps, also after the end of the subscription: the next member
//! gets the partitions only then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use osnl_model::BodyDigest;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::topic_partition_list::Offset;
use tokio::sync::oneshot;

use super::context::{Context, commit};
use super::failure::{is_topic_gone, lost};
use super::flow::{Flow, Room, Turn};
use super::names::Plan;
use super::offsets::Admission;
use super::shared::{AssignmentId, FetchedMessage, SharedState};
use crate::TransportError;
use crate::bodies::{BodyBounds, Cut};
use crate::message::{MessageView, Properties};

/// The longest wait for a message before commands are looked at.
const POLL: Duration = Duration::from_millis(50);
/// The shortest time between two commits of a running subscription.
const COMMIT_EVERY: Duration = Duration::from_millis(100);
/// The longest time that the last commit may take.
const LAST_COMMIT: Duration = Duration::from_secs(5);
/// The most messages that are taken at once: of a backlog, with one in a hundred that matches, each wake-up of the listener then
/// brings about two. Without a backlog, what is there is taken.
const BATCH: usize = 256;
/// The bytes of messages after which no further one is taken at once.
const BATCH_BYTES: usize = 1 << 20;
/// The longest time that the end of the assignment may take.
const GIVEN_BACK: Duration = Duration::from_secs(2);
/// The longest wait for each answer of the broker.
const ANSWER: Duration = Duration::from_secs(10);

/// The thread's own part.
pub(super) struct Worker {
    pub(super) consumer: BaseConsumer<Context>,
    pub(super) shared: Arc<SharedState>,
    pub(super) group: Arc<str>,
    pub(super) plan: Arc<Plan>,
    pub(super) bodies: BodyBounds,
    /// Topics that were there when the subscription began, or have come since.
    pub(super) known: Vec<String>,
    pub(super) flow: Flow,
    pub(super) committed_at: Instant,
}

/// Ends the subscription when the thread ends, however it does.
struct EndGuard(Arc<SharedState>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end(lost("the thread of the Kafka client has ended".to_owned()));
        self.0.left();
    }
}

impl Worker {
    /// Runs until the consumer closes or ends; `done` is dropped when the group was left.
    pub(super) fn run(mut self, done: oneshot::Sender<()>) {
        let guard = EndGuard(self.shared.clone());
        while self.step() {}
        self.commit_finally();
        self.give_partitions_back();
        let Self { consumer, .. } = self;
        // Leaves the group.
        drop(consumer);
        drop(guard);
        drop(done);
    }

    /// Commits before the group is left. After a lost connection the library connects again meanwhile; where that takes too long,
    /// what was settled last is delivered again.
    fn commit_finally(&self) {
        let until = Instant::now() + LAST_COMMIT;
        self.shared.lock().doubt(|_| true);
        while !commit(&self.consumer, &self.shared, CommitMode::Sync, |_| true) && Instant::now() < until {
            let _ = self.consumer.poll(POLL);
        }
    }

    /// Ends the assignment before the client closes: closing in the middle of one may end the whole process, by an assertion of
    /// the library (confluentinc/librdkafka issue 4792).
    pub(super) fn give_partitions_back(&self) {
        self.consumer.unsubscribe();
        let until = Instant::now() + GIVEN_BACK;
        let has_some = || self.consumer.assignment().is_ok_and(|assignment| assignment.count() > 0);
        while has_some() && Instant::now() < until {
            let _ = self.consumer.poll(POLL);
        }
    }

    /// `false` at the end.
    fn step(&mut self) -> bool {
        let (is_over, again) = {
            let mut state = self.shared.lock();
            (state.is_closing || state.ended.is_some(), state.again())
        };
        if is_over {
            return false;
        }
        self.read_again(&again);
        self.commit_when_due();
        match self.flow.turn(self.shared.room(), Instant::now()) {
            Turn::Wait => self.shared.wait_for_room(POLL),
            Turn::Serve => {
                if std::mem::take(&mut self.shared.lock().has_new) {
                    self.paused(true);
                }
                self.poll();
            }
            Turn::Take => self.poll(),
            Turn::Pause => self.paused(true),
            Turn::Resume => self.paused(false),
        }
        true
    }

    /// Polls once, and takes what else is there without waiting. The messages are kept together: each lock and each wake-up of
    /// the listener costs as much as several messages.
    ///
    /// A rebalance between two messages of a batch changes what their partitions are to this consumer, so the assignment of
    /// each is looked up at once.
    pub(super) fn poll(&self) {
        let most = self.shared.space().clamp(1, BATCH);
        let mut batch: Vec<(AssignmentId, BorrowedMessage<'_>)> = Vec::with_capacity(most);
        let mut lookup = AssignmentLookup::default();
        // What the consumer has not been told of does not wait for more.
        let mut wait = if self.shared.lock().has_untold() { Duration::ZERO } else { POLL };
        let (mut bytes, mut polls, mut is_idle) = (0, 0, false);
        loop {
            let Some(polled) = self.consumer.poll(wait) else {
                is_idle = true;
                break;
            };
            wait = Duration::ZERO;
            polls += 1;
            match polled {
                Ok(message) => {
                    bytes += message.payload().map_or(0, <[u8]>::len);
                    if let Some(assignment) = lookup.of(&self.shared, &message) {
                        batch.push((assignment, message));
                    }
                }
                Err(error) => self.shared_error(&error),
            }
            // The rest of the step has its turn too.
            if polls >= most || bytes >= BATCH_BYTES {
                break;
            }
        }
        self.keep(&batch, is_idle);
    }

    /// Keeps messages that were fetched, unless they are known, and finishes those that are not wanted. `is_idle`: no further
    /// message is there.
    fn keep(&self, batch: &[(AssignmentId, BorrowedMessage<'_>)], is_idle: bool) {
        let shared = &*self.shared;
        let admitted: Vec<Admission> = {
            let mut state = shared.lock();
            batch.iter().map(|(assignment, message)| state.admit(*assignment, message.offset())).collect()
        };
        // Without the lock: the consumer's side goes on meanwhile. Only this thread moves partitions.
        let (mut rejected, mut fetched) = (Vec::with_capacity(batch.len()), Vec::new());
        let received = SystemTime::now();
        for ((assignment, message), admission) in batch.iter().zip(admitted) {
            let Admission::Open { redelivered } = admission else { continue };
            match self.judge(*assignment, message, redelivered, received) {
                Some(wanted) => fetched.push(wanted),
                None => rejected.push((*assignment, message.offset())),
            }
        }
        let (messages, bytes) = (fetched.len(), fetched.iter().map(|fetched| fetched.body.len()).sum());
        let mut state = shared.lock();
        for (assignment, offset) in rejected {
            state.reject(assignment, offset);
        }
        fetched.into_iter().for_each(|fetched| state.keep(fetched));
        // Before any of them can be taken, and so leave.
        shared.body_flow.has_brought(messages, bytes);
        // Without room, no further message is asked for.
        let is_last = is_idle || shared.room_of(&state) != Room::Free;
        let tells = state.tells(is_last, Instant::now());
        drop(state);
        if tells {
            shared.arrived.notify_waiters();
        }
    }

    /// Copies a message out of the library's buffer, unless it is not wanted.
    fn judge(
        &self,
        assignment: AssignmentId,
        message: &BorrowedMessage<'_>,
        redelivered: bool,
        received: SystemTime,
    ) -> Option<FetchedMessage> {
        let payload = message.payload().unwrap_or_default();
        let (offset, properties) = (message.offset(), properties(message));
        let is_whole = payload.len() <= self.bodies.whole;
        if is_whole && self.is_rejected(message.topic(), payload, &properties, received) {
            return None;
        }
        let cut = (!is_whole).then(|| Cut { bytes: payload.len() as u64, digest: BodyDigest::of(payload) });
        let body = Bytes::copy_from_slice(match cut {
            Some(_) => &payload[..BodyBounds::HEAD.min(payload.len())],
            None => payload,
        });
        let share = self.shared.body_flow.share(body.len());
        Some(FetchedMessage { assignment, offset, redelivered, body, cut, properties, share })
    }

    fn is_rejected(&self, topic: &str, body: &[u8], properties: &Properties, received: SystemTime) -> bool {
        let Some(prefilter) = self.shared.prefilter.get() else { return false };
        let exchange = self.plan.exchange(topic);
        let received = Some(received);
        let view =
            MessageView { body, queue: &self.group, exchange, routing_key: topic, properties, received };
        // A panic belongs to the listener, which meets the message next and knows what to do.
        catch_unwind(AssertUnwindSafe(|| prefilter.rejects(&view))).unwrap_or(false)
    }

    fn paused(&mut self, is_paused: bool) {
        let done = self.consumer.assignment().and_then(|all| match is_paused {
            true => self.consumer.pause(&all),
            false => self.consumer.resume(&all),
        });
        if let Err(error) = done {
            tracing::debug!(error = error.to_string(), "partitions were not paused or resumed");
        }
    }

    fn commit_when_due(&mut self) {
        if self.committed_at.elapsed() < COMMIT_EVERY || !std::mem::take(&mut self.shared.lock().is_dirty) {
            return;
        }
        self.committed_at = Instant::now();
        commit(&self.consumer, &self.shared, CommitMode::Async, |_| true);
    }

    fn read_again(&self, again: &[(Arc<str>, i32, i64)]) {
        for (topic, number, offset) in again {
            // A seek may take a while, and what was fetched does not wait for it.
            self.shared.arrived.notify_waiters();
            if let Err(error) = self.consumer.seek(topic, *number, Offset::Offset(*offset), ANSWER) {
                self.shared.end(lost(format!(
                    "messages that were given back to topic \"{topic}\" can't be read again: {error}"
                )));
            }
        }
    }

    fn shared_error(&self, error: &KafkaError) {
        let group = &self.group;
        if let KafkaError::MessageConsumptionFatal(code) = error {
            self.shared.end(lost(format!("group \"{group}\": {code}")));
            return;
        }
        if is_topic_gone(error) {
            if let Some(topic) = self.known.iter().find(|topic| is_gone(&self.consumer, topic)) {
                self.shared.end(lost(format!(
                    "topic \"{topic}\", which group \"{group}\" reads, is not there any more: it was deleted, or made anew"
                )));
            }
            return;
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.shared.end(lost("no broker of the cluster is connected".to_owned()));
            }
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                self.shared.end(lost(format!(
                    "an offset of group \"{group}\" is not there any more: messages were deleted before they were read"
                )));
            }
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => self.shared.end(TransportError::Refused {
                what: format!("read as group \"{group}\""),
                reason: error.to_string(),
                code: None,
            }),
            // The library tries again by itself.
            _ => tracing::debug!(error = error.to_string(), "the Kafka client reports an error"),
        }
    }
}

/// Whether the broker says that a topic is not there; silence is no answer.
pub(super) fn is_gone(consumer: &BaseConsumer<Context>, topic: &str) -> bool {
    let Ok(metadata) = consumer.fetch_metadata(Some(topic), ANSWER) else { return false };
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    found.is_none_or(|found| {
        let error = found.error().map(|error| KafkaError::Global(error.into()));
        error.is_some_and(|error| is_topic_gone(&error))
    })
}

/// The assignment of the partition of the latest message: messages of a partition come in runs.
#[derive(Default)]
struct AssignmentLookup {
    /// The number of assignments so far, the partition, and its assignment.
    latest: Option<(u64, (String, i32), AssignmentId)>,
}

impl AssignmentLookup {
    fn of(&mut self, shared: &SharedState, message: &BorrowedMessage<'_>) -> Option<AssignmentId> {
        let (topic, number, changes) = (message.topic(), message.partition(), shared.changes());
        if let Some((at, (known, of), assignment)) = &self.latest
            && (*at, known.as_str(), *of) == (changes, topic, number)
        {
            return Some(*assignment);
        }
        let assignment = shared.lock().assignment(topic, number)?;
        self.latest = Some((changes, (topic.to_owned(), number), assignment));
        Some(assignment)
    }
}

/// The headers that tell how a body is to be read. oslo.messaging sends none: its bodies are JSON in UTF-8.
fn properties(message: &BorrowedMessage<'_>) -> Properties {
    let Some(headers) = message.headers() else { return Properties::default() };
    let header = |name: &str| {
        let found = headers.iter().find(|header| header.key == name)?;
        Some(String::from_utf8_lossy(found.value?).into_owned())
    };
    Properties {
        content_type: header("content_type").map(Into::into),
        content_encoding: header("content_encoding").map(Into::into),
        compression: header("compression"),
    }
}
