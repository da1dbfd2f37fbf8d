//! Clients of the library, and the questions to brokers. All questions block.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use osnl_model::{BodyDigest, Scrubber};
use osnl_transport::{BodyBounds, Cut, TransportError};
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::failure::{self, is_topic_gone};
use super::offsets::PartitionKey;
use super::options::{Settings, unusable};
use super::tls;

/// The longest time until a broker has answered.
const CONNECTED: Duration = Duration::from_secs(15);
/// The longest wait for one answer of a broker that has answered before.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// The wait for an answer that only a display needs.
const SHOWN: Duration = Duration::from_secs(5);
/// The longest wait for the members of a group, which not every broker tells.
const MEMBERS: Duration = Duration::from_secs(2);
/// The time after which silent ports are asked whether they speak TLS.
const SILENT: Duration = Duration::from_secs(2);
/// The longest wait for a topic that the brokers make because it is asked for.
const MADE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(100);
/// The code with which RabbitMQ refuses what a user may not do.
pub(super) const ACCESS_REFUSED: u16 = 403;

/// The offset after the last message of each partition, or the reason why it is unknown.
pub(super) type Ends = BTreeMap<PartitionKey, Result<i64, String>>;
pub(super) const NO_LEADER: &str = "it has no leader";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaInspection {
    /// `host:port` of a broker that answered.
    pub host: String,
    pub missing: Vec<String>,
    /// The number of partitions of the topics that exist.
    pub partitions: BTreeMap<String, usize>,
}

/// The library gives no further change, and no partition to another member, until a change is answered.
pub(super) enum Rebalance {
    Assigned(TopicPartitionList),
    Revoked(TopicPartitionList),
}

#[derive(Default)]
pub(super) struct Context {
    errors: Errors,
    rebalances: Option<UnboundedSender<Rebalance>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.errors.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.errors.error(error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, client: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let rebalance = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assigned(list.clone()),
            _ => Rebalance::Revoked(list.clone()),
        };
        // Without an answer the library never closes.
        let refused = match &self.rebalances {
            None => Some(rebalance),
            Some(rebalances) => rebalances.send(rebalance).err().map(|refused| refused.0),
        };
        if let Some(rebalance) = refused {
            let _ = decline(client, &rebalance);
        }
    }
}

/// Takes no partition, or gives partitions back, as the group's protocol demands it. The library's wait for an assignment
/// ends with an assignment alone, which may be empty.
pub(super) fn decline(client: &impl Consumer<Context>, rebalance: &Rebalance) -> KafkaResult<()> {
    let is_cooperative = matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative);
    let none = TopicPartitionList::new();
    match (rebalance, is_cooperative) {
        (Rebalance::Assigned(_), true) => client.incremental_assign(&none),
        (Rebalance::Assigned(_), false) => client.assign(&none),
        (Rebalance::Revoked(list), true) => {
            // The library refuses the whole list for one partition that was declined, and then never closes.
            let held = client.assignment()?;
            let mut returned = TopicPartitionList::new();
            for of in list.elements() {
                if held.find_partition(of.topic(), of.partition()).is_some() {
                    returned.add_partition(of.topic(), of.partition());
                }
            }
            client.incremental_unassign(&returned)
        }
        (Rebalance::Revoked(_), false) => client.unassign(),
    }
}

/// The latest errors of the client library.
#[derive(Clone, Default)]
pub(super) struct Errors {
    latest: Arc<Mutex<Vec<(Instant, RDKafkaErrorCode, String)>>>,
    /// A broker may repeat the password in what the library quotes.
    password: Scrubber,
}

impl Errors {
    const MOST: usize = 16;

    pub(super) fn with_settings(&self, settings: &Settings) -> Self {
        let password = Scrubber::new(settings.config.get("sasl.password"));
        Self { latest: Arc::clone(&self.latest), password }
    }

    fn add(&self, code: RDKafkaErrorCode, reason: &str) {
        let mut errors = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() == Self::MOST {
            errors.remove(0);
        }
        errors.push((Instant::now(), code, self.password.scrub(reason).into_owned()));
    }

    fn take(&self) -> impl Iterator<Item = (RDKafkaErrorCode, String)> {
        let errors = std::mem::take(&mut *self.latest.lock().unwrap_or_else(PoisonError::into_inner));
        errors.into_iter().map(|(_, code, reason)| (code, reason))
    }

    pub(super) fn last(&self, within: Duration) -> Option<String> {
        let errors = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latest = errors.iter().rev().take_while(|(at, ..)| at.elapsed() <= within);
        latest
            .find(|(_, code, _)| *code != RDKafkaErrorCode::AllBrokersDown)
            .map(|(.., reason)| reason.clone())
    }
}

impl ClientContext for Errors {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // The failure of one broker is not reported as an error.
        if facility == "FAIL" {
            self.add(RDKafkaErrorCode::BrokerTransportFailure, message);
        }
        let said = &*self.password.scrub(message);
        tracing::debug!(kafka.level = ?level, kafka.facility = facility, kafka.said = said, "librdkafka reports");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.add(code, reason);
        }
    }
}

/// A client whose drop, which blocks, is left to a thread.
pub(super) struct KafkaClient(Option<StreamConsumer<Context>>);

impl KafkaClient {
    pub(super) fn new(settings: &Settings, own: &[(&str, String)]) -> Result<Self, TransportError> {
        Self::with_context(settings, own, Context::default())
    }

    pub(super) fn member(
        settings: &Settings,
        own: &[(&str, String)],
    ) -> Result<(Self, UnboundedReceiver<Rebalance>), TransportError> {
        let (rebalances, received) = unbounded_channel();
        let context = Context { rebalances: Some(rebalances), ..Context::default() };
        Ok((Self::with_context(settings, own, context)?, received))
    }

    fn with_context(
        settings: &Settings,
        own: &[(&str, String)],
        mut context: Context,
    ) -> Result<Self, TransportError> {
        context.errors = context.errors.with_settings(settings);
        let client = StreamConsumer::from_config_and_context(&settings.client(own), context);
        client.map(|client| Self(Some(client))).map_err(|error| unusable(&error))
    }

    /// Serves the events of a client that has no reader of messages; otherwise its errors, which are events, are never
    /// seen.
    pub(super) fn serve(&self) {
        let mut stream = self.stream();
        while stream.next().now_or_never().is_some() {}
    }

    /// Waits until the client is closed, which leaves its group.
    pub(super) async fn close(mut self) {
        let client = self.0.take();
        let _ = aside(move || drop(client)).await;
    }

    pub(super) fn connect(
        &self,
        settings: &Settings,
        topic: Option<&str>,
    ) -> Result<(String, Metadata), TransportError> {
        let begun = Instant::now();
        let mut noted = Vec::new();
        let mut is_asked = false;
        loop {
            if let Ok(metadata) = self.fetch_metadata(topic, Duration::from_millis(300)) {
                let name = metadata.orig_broker_name();
                return Ok((name.split('/').next().unwrap_or(name).to_owned(), metadata));
            }
            self.serve();
            noted.extend(self.context().errors.take());
            if !is_asked && begun.elapsed() >= SILENT {
                is_asked = true;
                if let Some(error) = tls::unexpected(settings) {
                    return Err(error);
                }
            }
            if begun.elapsed() >= CONNECTED || noted.iter().any(|(code, _)| failure::is_final(*code)) {
                let user = settings.user.as_deref().unwrap_or_default();
                let error = tls::explained(settings, failure::connect(&settings.brokers, user, &noted));
                let is_unclear = matches!(error, TransportError::Connect { .. }) && !is_asked;
                return Err(is_unclear.then(|| tls::unexpected(settings)).flatten().unwrap_or(error));
            }
        }
    }

    /// Returns the leader of each partition of a topic, with -1 for none; `None` if the brokers say that there is no such
    /// topic.
    pub(super) fn leaders(&self, topic: &str, wait: Duration) -> KafkaResult<Option<BTreeMap<i32, i32>>> {
        leaders(&self.fetch_metadata(Some(topic), wait)?, topic)
    }

    /// Whether the brokers say that there is no such topic; silence is no answer.
    pub(super) fn is_gone(&self, topic: &str) -> bool {
        matches!(self.leaders(topic, ANSWER), Ok(None))
    }

    pub(super) fn ends(&self, partitions: &[PartitionKey]) -> Ends {
        let mut ends = Ends::new();
        let mut topics = BTreeMap::new();
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for key in partitions {
            // Brokers that did not answer about one topic are not waited for again.
            let wait = if topics.values().any(Result::is_err) { AGAIN } else { SHOWN };
            let leaders = topics.entry(&key.0).or_insert_with(|| self.leaders(&key.0, wait));
            let reason = match leaders.as_ref().map(|leaders| leaders.as_ref()?.get(&key.1)) {
                // In place of a time, the end is after the last message.
                Ok(Some(0..)) => match list.add_partition_offset(&key.0, key.1, Offset::End) {
                    Ok(()) => "its broker does not name it".to_owned(),
                    Err(error) => error.to_string(),
                },
                Ok(Some(_)) => NO_LEADER.to_owned(),
                Ok(None) => "it does not exist".to_owned(),
                Err(error) => error.to_string(),
            };
            ends.insert(key.clone(), Err(reason));
        }
        let asked: Vec<PartitionKey> =
            list.elements().iter().map(|of| (of.topic().into(), of.partition())).collect();
        if asked.is_empty() {
            return ends;
        }
        match self.offsets_for_times(list, SHOWN) {
            Ok(found) => {
                for of in found.elements() {
                    if let (Offset::Offset(end), Ok(())) = (of.offset(), of.error()) {
                        ends.insert((of.topic().into(), of.partition()), Ok(end));
                    }
                }
            }
            Err(error) => ends.extend(asked.into_iter().map(|key| (key, Err(error.to_string())))),
        }
        ends
    }

    pub(super) fn members(&self, group: &str) -> Option<u32> {
        let groups = self.fetch_group_list(Some(group), MEMBERS).ok()?;
        let found = groups.groups().iter().find(|found| found.name() == group)?;
        u32::try_from(found.members().len()).ok()
    }
}

impl Deref for KafkaClient {
    type Target = StreamConsumer<Context>;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("only close and drop take it")
    }
}

impl Drop for KafkaClient {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(aside(move || drop(client)));
        }
    }
}

fn leaders(metadata: &Metadata, topic: &str) -> KafkaResult<Option<BTreeMap<i32, i32>>> {
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(|error| KafkaError::Global(error.into())) {
        Some(error) if is_topic_gone(&error) => Ok(None),
        // A topic without a leader exists, and can be waited for.
        Some(error) if error.rdkafka_error_code() != Some(RDKafkaErrorCode::LeaderNotAvailable) => Err(error),
        _ => Ok(Some(found.partitions().iter().map(|p| (p.id(), p.leader())).collect())),
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, TransportError> + Send + 'static,
) -> Result<T, TransportError> {
    let asked = tokio::task::spawn_blocking(ask).await;
    asked.unwrap_or_else(|error| Err(failure::lost(error.to_string())))
}

/// Runs in a thread of its own what may block while no broker answers, since the runtime's end waits for its threads.
pub(super) fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (done, result) = oneshot::channel();
    let run = move || drop(done.send(work()));
    if let Err(error) = std::thread::Builder::new().name("kafka".to_owned()).spawn(run) {
        tracing::debug!(error = error.to_string(), "no thread for a Kafka client");
    }
    result
}

/// Looks for topics. With `creates`, brokers that make topics by themselves make them.
pub(super) fn inspect(
    settings: &Settings,
    topics: &[String],
    creates: bool,
) -> Result<KafkaInspection, TransportError> {
    let client = KafkaClient::new(settings, &[("allow.auto.create.topics", creates.to_string())])?;
    let until = Instant::now() + if creates { MADE } else { Duration::ZERO };
    let (host, _) = client.connect(settings, topics.first().map(String::as_str))?;
    let (mut missing, mut partitions) = (Vec::new(), BTreeMap::new());
    for topic in topics {
        loop {
            let (_, metadata) = client.connect(settings, Some(topic))?;
            match leaders(&metadata, topic) {
                Ok(Some(found)) => {
                    partitions.insert(topic.clone(), found.len());
                    break;
                }
                Err(error)
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) =>
                {
                    let what = format!("look for topic \"{topic}\"");
                    return Err(TransportError::Refused {
                        what,
                        reason: error.to_string(),
                        code: Some(ACCESS_REFUSED),
                    });
                }
                Ok(None) | Err(_) if Instant::now() >= until => {
                    missing.push(topic.clone());
                    break;
                }
                Ok(None) | Err(_) => {}
            }
            let pause = timeout(AGAIN, async { while client.stream().next().await.is_some() {} });
            let _ = Handle::current().block_on(pause);
        }
    }
    Ok(KafkaInspection { host, missing, partitions })
}

pub(super) fn kept(payload: &[u8], bodies: BodyBounds) -> (&[u8], Option<Cut>) {
    match payload.len() > bodies.whole {
        true => {
            let cut = Cut { bytes: payload.len() as u64, digest: BodyDigest::new(payload) };
            (&payload[..BodyBounds::HEAD.min(payload.len())], Some(cut))
        }
        false => (payload, None),
    }
}
