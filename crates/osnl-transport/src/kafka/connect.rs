//! The first answer of a broker, and topics that are looked for with a client of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::context::{Errors, log};
use super::settings::{Settings, unusable};
use super::{failure, tls};
use crate::TransportError;

/// The longest time until a broker has answered.
const CONNECTED: Duration = Duration::from_secs(15);
/// The time after which ports that have not answered are asked whether they speak TLS.
const SILENT: Duration = Duration::from_secs(2);
/// The longest wait for a topic that the brokers make because it is asked for.
const MADE: Duration = Duration::from_secs(5);
/// The pause until a topic that the brokers make is looked for again.
const AGAIN: Duration = Duration::from_millis(100);

/// The findings of a look at the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaLook {
    /// `host:port` of a broker that answered.
    pub host: String,
    /// Topics that are not there.
    pub missing: Vec<String>,
    /// The number of partitions of those that are there.
    pub partitions: BTreeMap<String, usize>,
}

/// Looks for topics with a client of its own; none is made.
pub(super) fn look(
    settings: &Settings,
    topics: Vec<String>,
) -> impl Future<Output = Result<KafkaLook, TransportError>> + Send + use<> {
    let settings = settings.clone();
    async move {
        let asked = tokio::task::spawn_blocking(move || missing(&settings, &topics, false));
        asked.await.unwrap_or_else(|error| Err(failure::lost(error.to_string())))
    }
}

/// Waits for an answer of any broker; returns its address, and the metadata of the topic.
pub(super) fn connect<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    errors: &Errors,
    settings: &Settings,
    topic: Option<&str>,
) -> Result<(String, Metadata), TransportError> {
    let begun = Instant::now();
    let mut noted = Vec::new();
    let mut is_asked = false;
    loop {
        if let Ok(metadata) = client.fetch_metadata(topic, Duration::from_millis(300)) {
            let name = metadata.orig_broker_name();
            return Ok((name.split('/').next().unwrap_or(name).to_owned(), metadata));
        }
        // Errors come as events.
        while client.poll(Duration::ZERO).is_some() {}
        noted.extend(errors.take());
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

/// Looks for topics. With `creates` the brokers are asked to make them, if they do that by
/// themselves, and are given a moment for it.
pub(super) fn missing(
    settings: &Settings,
    topics: &[String],
    creates: bool,
) -> Result<KafkaLook, TransportError> {
    let config = settings.client(&[("allow.auto.create.topics", creates.to_string())]);
    let client = BaseConsumer::from_config_and_context(&config, LookContext::default())
        .map_err(|error| unusable(&error))?;
    let until = Instant::now() + if creates { MADE } else { Duration::ZERO };
    let (host, _) = connect(&client, &client.context().errors, settings, topics.first().map(String::as_str))?;
    let (mut missing, mut partitions) = (Vec::new(), BTreeMap::new());
    for topic in topics {
        loop {
            if let Some(count) = partitions_of(&client, settings, topic)? {
                partitions.insert(topic.clone(), count);
                break;
            }
            if Instant::now() >= until {
                missing.push(topic.clone());
                break;
            }
            let _ = client.poll(AGAIN);
        }
    }
    Ok(KafkaLook { host, missing, partitions })
}

/// Returns the number of partitions of a topic that is there.
fn partitions_of(
    client: &BaseConsumer<LookContext>,
    settings: &Settings,
    topic: &str,
) -> Result<Option<usize>, TransportError> {
    let (_, metadata) = connect(client, &client.context().errors, settings, Some(topic))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let error = found.and_then(|found| found.error()).map(|error| KafkaError::Global(error.into()));
    match error {
        Some(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            Err(TransportError::Refused {
                what: format!("look for topic \"{topic}\""),
                reason: error.to_string(),
                code: None,
            })
        }
        // One without a leader is there, for those who can wait for it.
        Some(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::LeaderNotAvailable) => {
            Ok(found.map(|found| found.partitions().len()))
        }
        Some(_) => Ok(None),
        None => Ok(found.map(|found| found.partitions().len())),
    }
}

/// The context of a client that only looks.
#[derive(Default)]
pub(super) struct LookContext {
    pub(super) errors: Errors,
}

impl ClientContext for LookContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.errors.note_line(facility, message);
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.errors.note(&error, reason);
    }
}

impl ConsumerContext for LookContext {}
