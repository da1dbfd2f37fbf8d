//! Publishing by one producer, which the first send makes. It connects again by itself, and repeats lost messages once.
//!
//! A topic is looked for before the first message to it, and again after a failure. So an unreachable cluster, a missing
//! topic, and a refused login are reported at once instead of after [`CONFIRMED`].

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use osnl_model::{Priority, Target};
use osnl_transport::parts::NOT_FOUND;
use osnl_transport::{Declare, OutgoingMessage, Properties, Transport, TransportError};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use tokio::time::sleep;

use super::client::{ACCESS_REFUSED, ANSWER, Errors, aside, blocking, inspect};
use super::names::topic_of;
use super::options::{producer_settings, unusable};
use super::{KafkaTransport, failure};

const CONFIRMED: Duration = Duration::from_secs(30);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause until a full queue of the library is tried again.
const QUEUE_FULL: Duration = Duration::from_millis(10);
/// The time for which a topic that the brokers have not made is not asked for again.
const UNMADE: Duration = Duration::from_secs(5);
/// Topics of templates may be many.
const MAX_TOPICS: usize = 4096;

type ConfirmingProducer = FutureProducer<Errors>;

/// The state is locked until a message is with the library, so that messages keep the order in which sends began.
#[derive(Default)]
pub(super) struct Publisher(tokio::sync::Mutex<PublisherState>);

#[derive(Default)]
struct PublisherState {
    producer: Option<ConfirmingProducer>,
    errors: Errors,
    found: HashSet<String>,
    /// The topics that the brokers have not made, and when they were last waited for: others need not wait as long.
    unmade: HashMap<String, Instant>,
    /// The time at which no broker was found, and the reason. Sends that waited meanwhile share it.
    failure: Option<(Instant, TransportError)>,
}

impl Publisher {
    pub(super) async fn send(
        &self,
        transport: &KafkaTransport,
        to: &Target,
        priority: &Priority,
        message: OutgoingMessage,
    ) -> Result<(), TransportError> {
        let topic = topic_of(to, priority)?;
        let begun = Instant::now();
        let mut state = self.0.lock().await;
        if !state.found.contains(&topic) {
            state.check_topic(begun, transport, &topic, message.declare).await?;
        }
        let mut record = FutureRecord::<[u8], [u8]> {
            topic: &topic,
            partition: None,
            payload: Some(&message.body),
            key: message.key.as_deref().map(str::as_bytes),
            timestamp: None,
            headers: headers(&message.properties),
        };
        let errors = state.errors.clone();
        let producer = state.producer(transport)?;
        let at = Instant::now();
        let queued = loop {
            match producer.send_result(record) {
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => record = again,
                other => break other.map_err(|(error, _)| error),
            }
            sleep(QUEUE_FULL).await;
        };
        drop(state);
        let confirmed = match queued {
            Ok(confirm) => match confirm.await {
                Ok(confirmed) => confirmed.map(drop).map_err(|(error, _)| error),
                Err(_) => Err(KafkaError::Canceled),
            },
            Err(error) => Err(error),
        };
        let Err(error) = confirmed else { return Ok(()) };
        // The next send finds out whether there is a broker, and the topic.
        self.0.lock().await.found.clear();
        Err(failed(transport, &topic, &error, (at.elapsed(), errors.last(CONFIRMED))))
    }

    pub(super) async fn close(&self) {
        let state = std::mem::take(&mut *self.0.lock().await);
        let closed = blocking(move || {
            if let Some(Err(error)) = state.producer.as_ref().map(|producer| producer.flush(CLOSE_TIMEOUT)) {
                tracing::debug!(
                    error = error.to_string(),
                    "messages were not confirmed before the producer closed"
                );
            }
            Ok(())
        });
        drop(closed.await);
    }
}

impl PublisherState {
    async fn check_topic(
        &mut self,
        begun: Instant,
        transport: &KafkaTransport,
        topic: &str,
        declare: Declare,
    ) -> Result<(), TransportError> {
        if let Some((at, failure)) = &self.failure
            && *at >= begun
        {
            return Err(failure.clone());
        }
        let creates = match declare {
            Declare::Create => true,
            Declare::Passive | Declare::Nothing => false,
        };
        if creates && self.unmade.get(topic).is_some_and(|at| at.elapsed() < UNMADE) {
            return Err(transport.no_topic(topic, creates));
        }
        let (settings, wanted) = (transport.settings.clone(), [topic.to_owned()]);
        let producer = self.producer.clone();
        let inspected = blocking(move || {
            let inspection = inspect(&settings, &wanted, creates)?;
            // The producer may remember an old refusal of the topic.
            if let Some(producer) = producer {
                let _ = producer.client().fetch_metadata(Some(&wanted[0]), ANSWER);
            }
            Ok(inspection)
        })
        .await;
        let unreachable = inspected.as_ref().err().filter(|error| error.is_unreachable());
        self.failure = unreachable.map(|error| (Instant::now(), error.clone()));
        if !inspected?.missing.is_empty() {
            if creates {
                self.unmade.retain(|_, at| at.elapsed() < UNMADE);
                self.unmade.insert(topic.to_owned(), Instant::now());
            }
            return Err(transport.no_topic(topic, creates));
        }
        if self.found.len() >= MAX_TOPICS {
            self.found.clear();
        }
        self.found.insert(topic.to_owned());
        Ok(())
    }

    /// The library's producer is of no use after a fatal error.
    fn producer(&mut self, transport: &KafkaTransport) -> Result<&ConfirmingProducer, TransportError> {
        if let Some(broken) = self.producer.take_if(|producer| producer.client().fatal_error().is_some()) {
            drop(aside(move || drop(broken)));
        }
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => {
                let config = transport.settings.client(&producer_settings(&transport.options, CONFIRMED));
                ConfirmingProducer::from_config_and_context(
                    &config,
                    self.errors.with_settings(&transport.settings),
                )
                .map_err(|error| unusable(&error))?
            }
        };
        Ok(self.producer.insert(producer))
    }
}

impl Drop for PublisherState {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            drop(aside(move || drop(producer)));
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

/// oslo.messaging's JSON in UTF-8 has no headers.
fn headers(properties: &Properties) -> Option<OwnedHeaders> {
    let Properties { content_type, content_encoding, compression } = properties;
    let is_plain = content_type.as_deref().is_none_or(|kind| kind == "application/json")
        && content_encoding.as_deref().is_none_or(|encoding| encoding.eq_ignore_ascii_case("utf-8"))
        && compression.is_none();
    let all = [
        ("content_type", content_type.as_deref()),
        ("content_encoding", content_encoding.as_deref()),
        ("compression", compression.as_deref()),
    ];
    let set = all.into_iter().filter_map(|(key, value)| Some(Header { key, value: Some(value?) }));
    (!is_plain).then(|| set.fold(OwnedHeaders::new(), OwnedHeaders::insert))
}

impl KafkaTransport {
    fn no_topic(&self, topic: &str, creates: bool) -> TransportError {
        let reason = match creates {
            true => format!(
                "it does not exist, and the brokers do not make topics by themselves: kafka-topics.sh --bootstrap-server {} \
                 --create --topic '{topic}'",
                self.settings.brokers
            ),
            false => "it does not exist, and osnl may not create it (declare = create)".to_owned(),
        };
        TransportError::Refused { what: self.publishing(topic), reason, code: Some(NOT_FOUND) }
    }

    fn publishing(&self, topic: &str) -> String {
        format!("publish to topic \"{topic}\" of {}", self.location())
    }
}

fn failed(
    transport: &KafkaTransport,
    topic: &str,
    error: &KafkaError,
    (waited, noted): (Duration, Option<String>),
) -> TransportError {
    let not_confirmed = |reason: String, remedy: &'static str| TransportError::NotConfirmed {
        location: transport.location(),
        topic: topic.to_owned(),
        reason,
        remedy,
    };
    let refused = |code: Option<u16>, remedy: &str| TransportError::Refused {
        what: transport.publishing(topic),
        reason: format!("{error}{remedy}"),
        code,
    };
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
            TransportError::TooLarge {
                reason: format!(
                    "topic \"{topic}\" of {}: {error} (max.message.bytes of the topic)",
                    transport.location()
                ),
            }
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => refused(
            Some(ACCESS_REFUSED),
            "; the user needs the permission Write on the topic (kafka-acls.sh)",
        ),
        Some(RDKafkaErrorCode::ClusterAuthorizationFailed) => refused(
            Some(ACCESS_REFUSED),
            "; the user needs the permission IdempotentWrite on the cluster (kafka-acls.sh)",
        ),
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            refused(Some(NOT_FOUND), "")
        }
        Some(
            RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::PolicyViolation,
        ) => refused(None, ""),
        Some(RDKafkaErrorCode::MessageTimedOut) => {
            let said = |words: String| format!(" ({})", failure::shown(&transport.settings.brokers, &words));
            let why = noted.map_or_else(String::new, said);
            not_confirmed(
                format!(
                    "not confirmed within {:.0} s{why}; it may have arrived all the same",
                    waited.as_secs_f64()
                ),
                "check that the brokers run, and that enough replicas of the topic are in sync (min.insync.replicas)",
            )
        }
        _ => not_confirmed(
            format!("not confirmed: {error}; it may have arrived all the same"),
            "look at the logs of the brokers",
        ),
    }
}
