//! Publishing: a send ends when all replicas in sync have the message.
//!
//! One producer of the client library, made by the first send and kept. It connects again by itself, and repeats what was lost
//! on the way without doubling it. A message that it can't place within [`CONFIRMED`] is an error.
//!
//! A topic is looked for before the first message to it, and again after a failure: an unreachable cluster, a missing topic,
//! and a refused login are told at once, and not after the wait.
//!
//! A message looks as oslo.messaging's: without headers, unless its body is something else than JSON in UTF-8. With a
//! resource it has a key, and keeps its place among those of the resource.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use osnl_model::{Priority, Target};
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::connect::missing;
use super::context::log;
use super::names::topic_of;
use super::settings::{of_producer, unusable};
use super::{KafkaTransport, failure};
use crate::message::Properties;
use crate::outgoing::OutgoingMessage;
use crate::topology::Declare;
use crate::{Transport, TransportError};

/// The longest wait for the confirm of a message.
const CONFIRMED: Duration = Duration::from_secs(30);
/// The longest wait for another answer of the brokers.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest wait for confirms when the producer is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Sends that may wait for their confirms at the same time.
const IN_FLIGHT: usize = 1000;
/// KiB of bodies that may wait for their confirms: what the client library has room for.
const KIB_IN_FLIGHT: u32 = 256 << 10;
/// Topics remembered as found; beyond them all are looked for again.
const MAX_TOPICS: usize = 4096;

type ConfirmingProducer = ThreadedProducer<Confirms>;
type Confirm = oneshot::Sender<Result<(), KafkaError>>;

/// See the [module](self).
pub(super) struct Publisher {
    /// Held until a message is with the client library, so that messages keep the order in which sends were begun.
    turn: tokio::sync::Mutex<PublisherState>,
    /// Looks for a topic that have ended. A send that waited while one found no broker shares its failure.
    looks: AtomicU64,
    room: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

#[derive(Default)]
struct PublisherState {
    producer: Option<ConfirmingProducer>,
    /// Topics that were there.
    found: HashSet<String>,
    /// Why the last look found no broker.
    failure: Option<TransportError>,
}

impl Default for Publisher {
    fn default() -> Self {
        Self {
            turn: tokio::sync::Mutex::default(),
            looks: AtomicU64::new(0),
            room: Arc::new(Semaphore::new(IN_FLIGHT)),
            bytes: Arc::new(Semaphore::new(KIB_IN_FLIGHT as usize)),
        }
    }
}

impl Publisher {
    /// See [`Transport::send`].
    pub(super) async fn send(
        &self,
        transport: &KafkaTransport,
        to: &Target,
        priority: &Priority,
        message: OutgoingMessage,
    ) -> Result<(), TransportError> {
        let topic = topic_of(to, priority)?;
        let seen = self.looks.load(Ordering::Relaxed);
        let mut state = self.turn.lock().await;
        let places = self.places(message.body.len()).await;
        if !state.found.contains(&topic) {
            self.look(&mut state, seen, transport, &topic, message.declare).await?;
        }
        let producer = state.producer(transport)?;
        let context = producer.context().clone();
        let (confirm, confirmed) = oneshot::channel();
        let record = BaseRecord::<[u8], [u8], Box<Confirm>> {
            topic: &topic,
            partition: None,
            payload: Some(&message.body),
            key: message.key.as_deref().map(str::as_bytes),
            timestamp: None,
            headers: headers(&message.properties),
            delivery_opaque: Box::new(confirm),
        };
        let at = Instant::now();
        let begun = producer.send(record).map_err(|(error, _)| error);
        drop(state);
        let confirmed = match begun {
            Ok(()) => confirmed.await.unwrap_or(Err(KafkaError::Canceled)),
            Err(error) => Err(error),
        };
        // Before the turn is asked for: the send that has it may wait for this place.
        drop(places);
        let Err(error) = confirmed else { return Ok(()) };
        // The next one finds out whether there is a broker, and the topic.
        self.turn.lock().await.found.clear();
        Err(failed(transport, &topic, &error, (at.elapsed(), context.last())))
    }

    /// Closes the producer in good order, if there is one.
    pub(super) async fn close(&self) {
        let Some(producer) = std::mem::take(&mut *self.turn.lock().await).producer else { return };
        let closed = tokio::task::spawn_blocking(move || {
            if let Err(error) = producer.flush(CLOSE_TIMEOUT) {
                tracing::debug!(
                    error = error.to_string(),
                    "messages were not confirmed before the producer closed"
                );
            }
        });
        let _ = closed.await;
    }

    /// Waits for the places of a message with a body of this length.
    async fn places(&self, length: usize) -> [Option<OwnedSemaphorePermit>; 2] {
        let kib = u32::try_from(length >> 10).unwrap_or(u32::MAX).saturating_add(1).min(KIB_IN_FLIGHT);
        // They are never closed.
        let bytes = self.bytes.clone().acquire_many_owned(kib).await.ok();
        [bytes, self.room.clone().acquire_owned().await.ok()]
    }

    /// Looks for a topic. `seen` is how many looks had ended when the send was begun.
    async fn look(
        &self,
        state: &mut PublisherState,
        seen: u64,
        transport: &KafkaTransport,
        topic: &str,
        declare: Declare,
    ) -> Result<(), TransportError> {
        if self.looks.load(Ordering::Relaxed) != seen
            && let Some(failure) = &state.failure
        {
            return Err(failure.clone());
        }
        let creates = match declare {
            Declare::Create => true,
            Declare::Passive | Declare::Nothing => false,
        };
        let (settings, wanted) = (transport.settings.clone(), vec![topic.to_owned()]);
        let producer = state.producer.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let look = missing(&settings, &wanted, creates)?;
            // The producer's own view of the topic may be an old refusal.
            if let Some(producer) = producer {
                let _ = producer.client().fetch_metadata(wanted.first().map(String::as_str), ANSWER);
            }
            Ok(look)
        })
        .await;
        let looked = looked.unwrap_or_else(|error| Err(failure::lost(error.to_string())));
        self.looks.fetch_add(1, Ordering::Relaxed);
        state.failure = looked.as_ref().err().filter(|error| error.is_unreachable()).cloned();
        if !looked?.missing.is_empty() {
            return Err(transport.no_topic(topic, creates));
        }
        if state.found.len() >= MAX_TOPICS {
            state.found.clear();
        }
        state.found.insert(topic.to_owned());
        Ok(())
    }
}

impl PublisherState {
    /// Returns the producer, or a new one: the library's is of no use after a fatal error.
    fn producer(&mut self, transport: &KafkaTransport) -> Result<&ConfirmingProducer, TransportError> {
        end(self.producer.take_if(|producer| producer.client().fatal_error().is_some()));
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => {
                let config = transport.settings.client(&of_producer(&transport.options, CONFIRMED));
                ConfirmingProducer::from_config_and_context(&config, Confirms::default())
                    .map_err(|error| unusable(&error))?
            }
        };
        Ok(self.producer.insert(producer))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        end(self.turn.get_mut().producer.take());
    }
}

/// Ends a producer by a thread of its own, since that blocks.
fn end(producer: Option<ConfirmingProducer>) {
    let Some(producer) = producer else { return };
    let ending = std::thread::Builder::new().name("kafka producer".to_owned()).spawn(|| drop(producer));
    if let Err(error) = ending {
        tracing::debug!(error = error.to_string(), "no thread for the end of a Kafka producer");
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

/// The context of the producer: hands each confirm to its send.
#[derive(Default)]
struct Confirms(Mutex<Option<(Instant, String)>>);

impl Confirms {
    /// The library's last words about a failure, if they are about the wait that has just ended.
    fn last(&self) -> Option<String> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.as_ref().filter(|(at, _)| at.elapsed() <= CONFIRMED).map(|(_, words)| words.clone())
    }

    fn note(&self, words: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), words.to_owned()));
    }
}

impl ClientContext for Confirms {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            self.note(message);
        }
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.note(reason);
        }
    }
}

impl ProducerContext<NoCustomPartitioner> for Confirms {
    type DeliveryOpaque = Box<Confirm>;

    fn delivery(&self, result: &DeliveryResult<'_>, confirm: Box<Confirm>) {
        // A send may have been given up.
        let _ = confirm.send(result.as_ref().map(drop).map_err(|(error, _)| error.clone()));
    }
}

/// The headers of a message; none for JSON in UTF-8, as oslo.messaging writes it.
fn headers(properties: &Properties) -> Option<OwnedHeaders> {
    let Properties { content_type, content_encoding, compression } = properties;
    let is_plain = content_type.as_deref().is_none_or(|kind| kind == "application/json")
        && content_encoding.as_deref().is_none_or(|encoding| encoding.eq_ignore_ascii_case("utf-8"))
        && compression.is_none();
    if is_plain {
        return None;
    }
    let all = [
        ("content_type", content_type.as_deref()),
        ("content_encoding", content_encoding.as_deref()),
        ("compression", compression.as_deref()),
    ];
    let with = |headers: OwnedHeaders, (key, value)| match value {
        Some(value) => headers.insert(Header { key, value: Some(value) }),
        None => headers,
    };
    Some(all.into_iter().fold(OwnedHeaders::new(), with))
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
        TransportError::Refused { what: self.publishing(topic), reason, code: None }
    }

    fn publishing(&self, topic: &str) -> String {
        format!("publish to topic \"{topic}\" of {}", self.location())
    }
}

/// Returns the error of a message that was not confirmed in this time; `noted` are the library's last words about its connections.
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
    let refused = |remedy: &str| TransportError::Refused {
        what: transport.publishing(topic),
        reason: format!("{error}{remedy}"),
        code: None,
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
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            refused("; the user needs the permission Write on the topic (kafka-acls.sh)")
        }
        Some(RDKafkaErrorCode::ClusterAuthorizationFailed) => {
            refused("; the user needs the permission IdempotentWrite on the cluster (kafka-acls.sh)")
        }
        Some(
            RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::PolicyViolation,
        ) => refused(""),
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
