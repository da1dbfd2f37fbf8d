//! The task of one member of a group: it reads the library's stream, answers rebalances, and commits.
//!
//! Its last steps, also after the end of the subscription, are a commit and leaving the group, because the next member gets
//! the partitions only then.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use osnl_transport::{
    BodyBounds, Declare, ListenOptions, OpenQueue, Properties, Subscription, TransportError,
};
use rdkafka::Message as _;
use rdkafka::consumer::{CommitMode, Consumer as _, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::KafkaTransport;
use super::client::{ANSWER, KafkaClient, Rebalance, aside, blocking, decline, kept};
use super::failure::{end_of, is_topic_gone, lost, no_task};
use super::names::Plan;
use super::offsets::PartitionKey;
use super::options::group_settings;
use super::start::{self, FoundPlaces, Place, StartRule};
use super::state::{FetchedMessage, SharedState, State};

/// The longest wait for the first partitions; the subscription opens without them.
const JOINED: Duration = Duration::from_secs(30);
/// The longest wait for open messages of partitions that another member is to have, if `max.poll.interval.ms` allows it.
const PATIENCE: Duration = Duration::from_secs(30);
const COMMIT_EVERY: Duration = Duration::from_millis(100);
const LAST_COMMIT: Duration = Duration::from_secs(5);
/// The longest wait for the end of the assignment.
const GIVEN_BACK: Duration = Duration::from_secs(2);
/// The longest time that the consumer waits for the group to be left.
const LEFT: Duration = Duration::from_secs(8);
/// The time without room before partitions are paused. A pause drops what the library has fetched, but without it the
/// broker takes a member that reads nothing for dead (`max.poll.interval.ms`).
const FULL: Duration = Duration::from_millis(500);
/// The interval at which changes without a notification are looked for.
const POLL: Duration = Duration::from_millis(50);
/// The limits of messages that are taken before other tasks have their turn.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

pub(super) struct Driver {
    client: Arc<KafkaClient>,
    shared: Arc<SharedState>,
    rule: Arc<StartRule>,
    known: Vec<String>,
    rebalances: UnboundedReceiver<Rebalance>,
    patience: Duration,
    bodies: BodyBounds,
    committing: Option<oneshot::Receiver<bool>>,
    commit_at: Instant,
    full_since: Option<Instant>,
    is_paused: bool,
    first: Option<FoundPlaces>,
}

pub(super) struct Opening {
    pub(super) transport: KafkaTransport,
    pub(super) plan: Arc<Plan>,
    pub(super) listen: ListenOptions,
    pub(super) shared: Arc<SharedState>,
}

impl Opening {
    pub(super) async fn run(self, opened: oneshot::Sender<Result<Subscription, TransportError>>) {
        let shared = self.shared.clone();
        let _guard = EndGuard(shared.clone());
        let (mut driver, host) = match self.connect().await {
            Ok(connected) => connected,
            Err(error) => return drop(opened.send(Err(error))),
        };
        match self.join(&mut driver, host).await {
            Ok(subscription) => {
                // A caller that has gone away wants no subscription.
                if opened.send(Ok(subscription)).is_err() {
                    shared.lock().is_closing = true;
                }
                while driver.step(Instant::now() + Duration::from_secs(1)).await {}
                let _ = timeout(LEFT, driver.leave()).await;
            }
            Err(error) => {
                shared.end(error.clone());
                let _ = timeout(LEFT, driver.leave()).await;
                drop(opened.send(Err(error)));
            }
        }
    }

    async fn connect(&self) -> Result<(Driver, String), TransportError> {
        let KafkaTransport { settings, options, .. } = &self.transport;
        let group = &self.plan.group;
        let creates = match self.listen.declare {
            Declare::Create => true,
            Declare::Passive | Declare::Nothing => false,
        };
        let own = group_settings(options, group, creates);
        let interval = settings.own.get("max.poll.interval.ms").and_then(|text| text.parse().ok());
        let topics: Vec<String> = self.plan.topics().into_iter().map(str::to_owned).collect();
        let (settings, wanted) = (settings.clone(), topics.clone());
        let (client, rebalances, host, late) = blocking(move || {
            let (client, rebalances) = KafkaClient::member(&settings, &own)?;
            let (host, _) = client.connect(&settings, wanted.first().map(String::as_str))?;
            let late: BTreeSet<String> = wanted.into_iter().filter(|topic| client.is_gone(topic)).collect();
            Ok((Arc::new(client), rebalances, host, late))
        })
        .await?;
        self.shared.lock().client = Some(client.clone());
        let driver = Driver {
            client,
            shared: self.shared.clone(),
            rebalances,
            patience: PATIENCE.min(Duration::from_millis(interval.unwrap_or(300_000)) / 2),
            bodies: self.listen.bodies,
            known: topics.iter().filter(|topic| !late.contains(*topic)).cloned().collect(),
            rule: Arc::new(StartRule {
                group: group.clone(),
                first: options.first_offset(),
                has_read: self.listen.known_groups.contains(group),
                topics,
                late,
            }),
            committing: None,
            commit_at: Instant::now(),
            full_since: None,
            is_paused: false,
            first: None,
        };
        Ok((driver, host))
    }

    async fn join(&self, driver: &mut Driver, host: String) -> Result<Subscription, TransportError> {
        let refused = |error| TransportError::ListenOptions { problem: format!("topics: {error}") };
        driver.client.subscribe(&self.plan.topics()).map_err(refused)?;
        let until = Instant::now() + JOINED;
        while !driver.known.is_empty() && driver.first.is_none() && Instant::now() < until {
            if !driver.step(until).await {
                break;
            }
        }
        if let Some(error) = self.shared.lock().ended.clone() {
            return Err(error);
        }
        let (client, group) = (driver.client.clone(), self.plan.group.clone());
        let members = blocking(move || Ok(client.members(&group))).await?;
        Ok(self.subscription(driver, host, members))
    }

    fn subscription(&self, driver: &mut Driver, host: String, members: Option<u32>) -> Subscription {
        let (first, group) = (driver.first.take(), &self.plan.group);
        let mut remarks = Vec::new();
        if first.is_none() && !driver.known.is_empty() {
            remarks.push(format!(
                "group \"{group}\" has not given partitions yet: its other members have not let go of theirs",
            ));
        }
        let found = first.unwrap_or_else(|| FoundPlaces { is_shared: true, ..FoundPlaces::default() });
        let leaderless = found.places.iter().filter(|place| place.end.is_none());
        remarks.extend(leaderless.map(|place| {
            let (topic, number) = &place.key;
            let from = if place.is_guess() { " from its beginning" } else { "" };
            format!(
                "topic \"{topic}\", partition {number}: it has no leader; it is read{from} as soon as it has one"
            )
        }));
        let waiting: u64 = found.places.iter().map(Place::waiting).sum();
        let queue = OpenQueue {
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            other_consumers: match members {
                Some(members) => members.saturating_sub(1),
                None => u32::from(found.is_shared && !driver.known.is_empty()),
            },
            created: found.is_new,
            durable: Some(true),
            ..OpenQueue::named(group, None)
        };
        let bindings = self.plan.bindings.clone();
        let unbound =
            bindings.iter().filter(|b| driver.rule.late.contains(&b.routing_key)).cloned().collect();
        Subscription::new(host, (bindings, unbound), vec![queue], remarks)
    }
}

struct EndGuard(Arc<SharedState>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end(no_task());
        self.0.left();
    }
}

impl Driver {
    /// Waits until `latest` at most. Returns `false` at the end.
    async fn step(&mut self, latest: Instant) -> bool {
        let client = self.client.clone();
        let is_dirty = {
            let state = self.shared.lock();
            if state.is_over() {
                return false;
            }
            state.is_dirty
        };
        if is_dirty && self.committing.is_none() && Instant::now() >= self.commit_at {
            self.begin_commit();
        }
        let room = self.shared.room();
        self.pause_or_resume(room);
        let mut stream = client.stream();
        let reads = self.is_paused || room != Some(0);
        let commits = is_dirty && self.committing.is_none();
        tokio::select! {
            biased;
            Some(rebalance) = self.rebalances.recv() => match rebalance {
                Rebalance::Assigned(list) => self.assigned(list).await,
                Rebalance::Revoked(list) => self.revoked(list).await,
            },
            Some(first) = stream.next(), if reads => {
                let more = std::iter::from_fn(|| stream.next().now_or_never().flatten());
                let (mut errors, mut bytes) = (Vec::new(), 0);
                for next in std::iter::once(first).chain(more).take(room.unwrap_or(1).clamp(1, BATCH)) {
                    match next {
                        Ok(message) => bytes += self.keep(&message),
                        Err(error) => errors.push(error),
                    }
                    if bytes >= BATCH_BYTES {
                        break;
                    }
                }
                drop(stream);
                self.shared.arrived.notify_one();
                for error in errors {
                    self.failed(&error).await;
                }
                tokio::task::yield_now().await;
            }
            () = self.shared.wake.notified() => {}
            () = ended(&mut self.committing), if self.committing.is_some() => {}
            () = sleep_until(self.commit_at), if commits => {}
            // The end of a body's share is not notified.
            () = sleep(POLL), if room == Some(0) => {}
            () = sleep_until(latest) => {}
        }
        true
    }

    fn keep(&self, message: &BorrowedMessage<'_>) -> usize {
        let payload = message.payload().unwrap_or_default();
        let mut state = self.shared.lock();
        let admitted = state.admit(message.topic(), message.partition(), message.offset());
        let Some((key, redelivered)) = admitted else { return 0 };
        let (body, cut) = kept(payload, self.bodies);
        let body = Bytes::copy_from_slice(body);
        self.shared.body_flow.has_brought(1, body.len());
        let (offset, properties) = (message.offset(), properties(message));
        let _share = self.shared.body_flow.share(body.len());
        state.fetched.push_back(FetchedMessage { key, offset, redelivered, body, cut, properties, _share });
        payload.len()
    }

    fn pause_or_resume(&mut self, room: Option<usize>) {
        let pauses = match room {
            None => true,
            Some(0) => self.full_since.get_or_insert_with(Instant::now).elapsed() >= FULL,
            Some(_) => {
                self.full_since = None;
                false
            }
        };
        if pauses != self.is_paused {
            self.is_paused = pauses;
            self.pause(pauses);
        }
    }

    fn pause(&self, pauses: bool) {
        let done = self.client.assignment().and_then(|all| match pauses {
            true => self.client.pause(&all),
            false => self.client.resume(&all),
        });
        if let Err(error) = done {
            tracing::debug!(error = error.to_string(), "partitions were not paused or resumed");
        }
    }

    /// Decides where each partition is read from. An error ends the subscription, and nothing is read.
    async fn assigned(&mut self, list: TopicPartitionList) {
        let (client, rule) = (self.client.clone(), self.rule.clone());
        let has_read = rule.has_read || self.shared.lock().has_read();
        let found = blocking(move || start::positions(&client, &list, &rule, has_read)).await;
        let found = found.unwrap_or_else(|error| {
            self.shared.end(error);
            FoundPlaces::default()
        });
        let mut positions = TopicPartitionList::new();
        for place in &found.places {
            self.report(place);
            let (topic, number) = &place.key;
            let offset = Offset::Offset(place.position.offset);
            if positions.add_partition_offset(topic, *number, offset).is_ok() {
                self.shared.lock().assigned(place.clone());
            }
        }
        let done = match self.client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.client.incremental_assign(&positions),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.client.assign(&positions),
        };
        if let Err(error) = done {
            self.shared.end(lost(format!("the group's assignment failed: {error}")));
        }
        if self.is_paused {
            self.pause(true);
        } else if let Err(error) = self.client.resume(&positions) {
            // The library keeps the pause of a partition that was taken away.
            tracing::debug!(error = error.to_string(), "partitions were not resumed");
        }
        // Nothing of a new group's partitions is skipped if this program ends now.
        self.commit().await;
        self.first.get_or_insert(found);
    }

    fn report(&self, place: &Place) {
        let Some(lost) = &place.lost else { return };
        tracing::warn!(
            kafka.group = self.rule.group,
            kafka.topic = &*place.key.0,
            kafka.partition = place.key.1,
            offset.before = lost.before,
            offset.start = lost.start,
            reason = lost.to_string(),
            "the position of the group does not exist any more, and the partition is read from its beginning: the topic was \
             deleted and created anew, or messages expired unread"
        );
    }

    /// Waits for open messages, commits, and gives the partitions back.
    async fn revoked(&mut self, list: TopicPartitionList) {
        let keys = list.elements().iter().map(|of| (of.topic().into(), of.partition())).collect();
        let leaving: Vec<PartitionKey> = self.shared.lock().leave(keys);
        if !leaving.is_empty() && self.client.assignment_lost() {
            tracing::warn!(
                kafka.partitions = leaving.len(),
                "the group has taken partitions away without asking: what is open of them is delivered again, to another member"
            );
        } else {
            let is_over = |state: &State| state.is_over() || !state.is_open(&leaving);
            if !self.shared.wait_until(self.patience, is_over).await {
                tracing::warn!(
                    kafka.partitions = leaving.len(),
                    seconds = self.patience.as_secs(),
                    "another member of the group gets partitions before their open messages have ended: these are delivered again"
                );
            }
            // Between two generations of a group the broker refuses offsets.
            let begun = Instant::now();
            while !self.commit().await && begun.elapsed() < self.patience / 2 {
                sleep(COMMIT_EVERY).await;
            }
        }
        self.shared.lock().forget(&leaving);
        if let Err(error) = decline(&**self.client, &Rebalance::Revoked(list)) {
            self.shared.end(lost(format!("the group's assignment failed: {error}")));
        }
    }

    /// Commits now; returns `false` where another try may succeed.
    async fn commit(&mut self) -> bool {
        let _ = timeout(ANSWER, ended(&mut self.committing)).await;
        self.begin_commit();
        match self.committing.take() {
            Some(committing) => matches!(timeout(ANSWER, committing).await, Ok(Ok(true))),
            None => true,
        }
    }

    fn begin_commit(&mut self) {
        self.commit_at = Instant::now() + COMMIT_EVERY;
        let (client, shared) = (self.client.clone(), self.shared.clone());
        self.committing = Some(aside(move || commit(&client, &shared)));
    }

    async fn failed(&self, error: &KafkaError) {
        let group = &self.rule.group;
        if let KafkaError::MessageConsumptionFatal(code) = error {
            return self.shared.end(lost(format!("group \"{group}\": {code}")));
        }
        if is_topic_gone(error) {
            let (client, known) = (self.client.clone(), self.known.clone());
            let gone = blocking(move || Ok(known.into_iter().find(|topic| client.is_gone(topic)))).await;
            if let Ok(Some(topic)) = gone {
                self.shared.end(lost(format!(
                    "topic \"{topic}\", which group \"{group}\" reads, is not there any more: it was deleted, or made anew"
                )));
            }
            return;
        }
        let reader = format!("read as group \"{group}\"");
        match end_of(error, &format!("an offset of group \"{group}\" is not there any more"), &reader, "") {
            Some(end) => self.shared.end(end),
            // The library tries again by itself.
            None => tracing::debug!(error = error.to_string(), "the Kafka client reports an error"),
        }
    }

    async fn leave(mut self) {
        // The messages since the last commit would be delivered again to the next member that gets their partition.
        self.commit().await;
        self.answer_at_once();
        self.shared.lock().client = None;
        // After a lost connection the library connects again meanwhile. Otherwise, what was settled last is redelivered.
        let until = Instant::now() + LAST_COMMIT;
        while !self.commit().await && Instant::now() < until {
            self.client.serve();
            sleep(POLL).await;
        }
        // Closing during an assignment may abort the process (confluentinc/librdkafka issue 4792).
        self.client.unsubscribe();
        let until = Instant::now() + GIVEN_BACK;
        let has_some = || self.client.assignment().is_ok_and(|assignment| assignment.count() > 0);
        while has_some() && Instant::now() < until {
            self.client.serve();
            sleep(POLL / 10).await;
        }
        let client = self.client.clone();
        drop(self);
        if let Some(client) = Arc::into_inner(client) {
            client.close().await;
        }
    }

    /// A rebalance without an answer would keep the library from closing.
    fn answer_at_once(&mut self) {
        self.rebalances.close();
        while let Ok(rebalance) = self.rebalances.try_recv() {
            let _ = decline(&**self.client, &rebalance);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.answer_at_once();
    }
}

/// Waits for the end of a commit, and forgets it.
async fn ended(committing: &mut Option<oneshot::Receiver<bool>>) {
    if let Some(running) = committing {
        let _ = running.await;
    }
    *committing = None;
}

/// Commits the positions that the group does not have yet; returns `false` where another try may succeed. Blocks.
fn commit(client: &KafkaClient, shared: &SharedState) -> bool {
    let due = {
        let mut state = shared.lock();
        state.is_dirty = false;
        state.uncommitted()
    };
    if due.is_empty() {
        return true;
    }
    let mut list = TopicPartitionList::with_capacity(due.len());
    for ((topic, number), position) in &due {
        let mut element = list.add_partition(topic, *number);
        if element.set_offset(Offset::Offset(position.offset)).is_ok() {
            element.set_metadata(&position.metadata);
        }
    }
    let taken = client.commit(&list, CommitMode::Sync);
    let mut state = shared.lock();
    match taken {
        Ok(()) => {
            state.committed(due);
            true
        }
        Err(error) => {
            state.is_dirty = true;
            drop(state);
            tracing::debug!(error = error.to_string(), "offsets were not committed");
            // A member that the group has lost cannot commit any more.
            let is_out = [
                RDKafkaErrorCode::UnknownMemberId,
                RDKafkaErrorCode::IllegalGeneration,
                RDKafkaErrorCode::FencedInstanceId,
            ];
            error.rdkafka_error_code().is_some_and(|code| is_out.contains(&code))
        }
    }
}

/// oslo.messaging sends no headers: its bodies are JSON in UTF-8.
fn properties(message: &BorrowedMessage<'_>) -> Properties {
    let Some(headers) = message.headers() else { return Properties::default() };
    let header = |name: &str| {
        let found = headers.iter().find(|header| header.key == name)?;
        Some(Properties::text(found.value?))
    };
    Properties {
        content_type: header("content_type").map(Into::into),
        content_encoding: header("content_encoding").map(Into::into),
        compression: header("compression"),
    }
}
