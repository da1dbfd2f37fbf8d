//! The thread of one tap: it alone polls the client library.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use osnl_model::BodyDigest;
use rdkafka::Message;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Map, Value};

use super::super::connect::{LookContext, connect};
use super::super::ends::ends;
use super::super::failure::lost;
use super::super::offsets::PartitionKey;
use super::super::options::KafkaOptions;
use super::super::settings::{Settings, of_group, unusable};
use super::{SharedTap, TapRequest, counted, groups};
use crate::memory::key_matches;
use crate::tap::{TapMessage, TapOpening, TapOptions, TapProperties};
use crate::{BodyBounds, Cut, TransportError};

/// The longest wait for a message before requests are looked at.
const POLL: Duration = Duration::from_millis(50);
/// The interval at which new topics and partitions are looked for.
const LOOK: Duration = Duration::from_secs(5);
/// The longest wait for each answer of the broker.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// The group that the library needs to have; nothing is asked or stored under it.
const NO_GROUP: &str = "osnl-tap";

pub(super) struct TapWorker {
    client: BaseConsumer<LookContext>,
    settings: Settings,
    options: TapOptions,
    shared: Arc<SharedTap>,
    /// The next offset of each partition that is read.
    next: BTreeMap<PartitionKey, Offset>,
    /// Topics that were there when the tap was opened, and could not be read.
    old: BTreeSet<String>,
    looked_at: Instant,
}

/// The place from which partitions are read that were not read before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FirstPlace {
    /// Behind the messages that are there.
    End,
    /// Before the first one: the tap was open before it.
    Beginning,
}

impl TapWorker {
    pub(super) fn open(
        (settings, of_kafka): (Settings, &KafkaOptions),
        options: TapOptions,
        shared: Arc<SharedTap>,
    ) -> Result<(Self, TapOpening), TransportError> {
        let config = settings.client(&of_group(of_kafka, NO_GROUP, false));
        let client = BaseConsumer::from_config_and_context(&config, LookContext::default())
            .map_err(|error| unusable(&error))?;
        let (host, _) = connect(&client, &client.context().errors, &settings, None)?;
        let (next, old) = (BTreeMap::new(), BTreeSet::new());
        let mut worker = Self { client, settings, options, shared, next, old, looked_at: Instant::now() };
        let remarks = worker.read_more(FirstPlace::End)?;
        let bound: BTreeSet<String> = worker.next.keys().map(|(topic, _)| topic.to_string()).collect();
        let mut missing: Vec<String> = Vec::new();
        for pattern in worker.options.bindings.iter().map(|binding| &binding.routing_key) {
            if !bound.iter().any(|topic| key_matches(pattern, topic)) && !missing.contains(pattern) {
                missing.push(pattern.clone());
            }
        }
        let tapped = TapOpening {
            host,
            user: worker.settings.user.clone().unwrap_or_default(),
            bound: bound.into_iter().collect(),
            missing,
            counts_dropped: true,
            has_topics: true,
            remarks,
            ..TapOpening::default()
        };
        Ok((worker, tapped))
    }

    pub(super) fn run(mut self) {
        while self.step() {}
        self.shared.end(super::ended());
    }

    /// `false` at the end.
    fn step(&mut self) -> bool {
        let requests = {
            let mut state = self.shared.lock();
            if state.is_closing || state.ended.is_some() {
                return false;
            }
            std::mem::take(&mut state.requests)
        };
        for request in requests {
            match request {
                TapRequest::Look(pattern, answer) => drop(answer.send(self.look_for(&pattern))),
                TapRequest::Topics(names, answer) => {
                    let topics = self.next.keys().cloned().collect::<Vec<_>>();
                    drop(answer.send(groups::look(&self.client, &self.settings, &topics, names)));
                }
            }
        }
        if self.looked_at.elapsed() >= LOOK {
            match self.read_more(FirstPlace::Beginning) {
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "new topics were not looked for"),
            }
        }
        let state = self.shared.lock();
        let is_full =
            state.ready.len() >= usize::from(self.options.prefetch) || self.shared.body_flow.is_full();
        if is_full {
            drop(self.shared.wake.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner));
            return true;
        }
        drop(state);
        self.poll();
        true
    }

    fn look_for(&mut self, pattern: &str) -> Result<bool, TransportError> {
        if self.looked_at.elapsed() >= LOOK {
            self.read_more(FirstPlace::Beginning)?;
        }
        Ok(self.next.keys().any(|(topic, _)| key_matches(pattern, topic)))
    }

    /// Reads partitions of the bindings' topics that are not read yet. Returns remarks about those that can't be.
    fn read_more(&mut self, from: FirstPlace) -> Result<Vec<String>, TransportError> {
        self.looked_at = Instant::now();
        let failed = |error: KafkaError| lost(format!("the topics are not known: {error}"));
        let metadata = self.client.fetch_metadata(None, ANSWER).map_err(failed)?;
        let is_wanted = |name: &str| {
            !name.starts_with("__") && self.options.bindings.iter().any(|b| key_matches(&b.routing_key, name))
        };
        let (broken, wanted): (Vec<_>, Vec<_>) = metadata
            .topics()
            .iter()
            .filter(|topic| is_wanted(topic.name()))
            .partition(|t| t.error().is_some());
        if from == FirstPlace::End {
            self.old = broken.iter().map(|topic| topic.name().to_owned()).collect();
        }
        let keys = wanted.into_iter().flat_map(|topic| {
            let name: Arc<str> = topic.name().into();
            topic.partitions().iter().map(move |partition| (name.clone(), partition.id()))
        });
        let new: Vec<PartitionKey> = keys.filter(|key| !self.next.contains_key(key)).collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let mut remarks = Vec::new();
        match from {
            FirstPlace::Beginning => {
                let old = &self.old;
                self.next.extend(new.into_iter().map(|key| {
                    let offset = if old.contains(&*key.0) { Offset::End } else { Offset::Beginning };
                    (key, offset)
                }));
            }
            FirstPlace::End => {
                for (key, end) in ends(&self.client, &new, Instant::now() + ANSWER) {
                    // The end when it can be read is not that of now.
                    let offset = end.as_ref().map_or(Offset::End, |end| Offset::Offset(*end));
                    if let Err(reason) = end {
                        remarks.push(format!("topic {}, partition {}: {reason}", key.0, key.1));
                    }
                    self.next.insert(key, offset);
                }
            }
        }
        let mut list = TopicPartitionList::with_capacity(self.next.len());
        for ((topic, number), offset) in &self.next {
            list.add_partition_offset(topic, *number, *offset).map_err(failed)?;
        }
        self.client.assign(&list).map_err(failed)?;
        Ok(remarks)
    }

    /// Polls once, and takes what else is there without waiting.
    fn poll(&mut self) {
        let mut wait = POLL;
        for _ in 0..64 {
            let Some(polled) = self.client.poll(wait) else { return };
            wait = Duration::ZERO;
            match polled {
                Ok(message) => {
                    let key = (Arc::from(message.topic()), message.partition());
                    self.next.insert(key, Offset::Offset(message.offset().saturating_add(1)));
                    let taken = tapped(&self.shared, &self.options, &message);
                    self.shared.lock().ready.push_back(taken);
                    self.shared.arrived.notify_waiters();
                }
                Err(error) => {
                    if let Some(error) = end_of(&error) {
                        self.shared.end(error);
                        return;
                    }
                }
            }
        }
    }
}

/// Returns the end that an error of the library means; the others it mends by itself.
fn end_of(error: &KafkaError) -> Option<TransportError> {
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::AllBrokersDown => Some(lost("no broker of the cluster is connected".to_owned())),
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
            Some(lost("messages were deleted before they were read here".to_owned()))
        }
        RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition => Some(lost(format!("a topic is not there any more: {error}"))),
        RDKafkaErrorCode::TopicAuthorizationFailed => Some(TransportError::Refused {
            what: "read the topics".to_owned(),
            reason: format!("{error}; the user needs the permission Read on them (kafka-acls.sh)"),
            code: None,
        }),
        _ => None,
    }
}

fn tapped(shared: &SharedTap, options: &TapOptions, message: &BorrowedMessage<'_>) -> TapMessage {
    let payload = message.payload().unwrap_or_default();
    let whole = options.bodies.whole;
    let cut =
        (payload.len() > whole).then(|| Cut { bytes: payload.len() as u64, digest: BodyDigest::of(payload) });
    let body = match cut {
        Some(_) => &payload[..BodyBounds::HEAD.min(payload.len())],
        None => payload,
    };
    shared.body_flow.comes(body.len());
    shared.body_flow.is_complete();
    let share = shared.body_flow.share(body.len());
    TapMessage {
        exchange: exchange(options, message.topic()),
        routing_key: message.topic().to_owned(),
        body: counted(body, share),
        cut,
        properties: properties(message),
    }
}

/// Returns the exchange of the bindings with this topic, if it is one: Kafka does not tell it.
fn exchange(options: &TapOptions, topic: &str) -> String {
    let of = options.bindings.iter().filter(|binding| key_matches(&binding.routing_key, topic));
    let exchanges: BTreeSet<&str> = of.map(|binding| binding.exchange.as_str()).collect();
    match exchanges.len() {
        1 => exchanges.into_iter().collect(),
        _ => "-".to_owned(),
    }
}

fn properties(message: &BorrowedMessage<'_>) -> TapProperties {
    let mut properties = TapProperties {
        timestamp: message.timestamp().to_millis().and_then(|ms| u64::try_from(ms / 1000).ok()),
        ..TapProperties::default()
    };
    let mut headers = Map::new();
    for header in message.headers().into_iter().flat_map(Headers::iter) {
        let text = header.value.map(|value| String::from_utf8_lossy(value).into_owned());
        match header.key {
            "content_type" => properties.content_type = text,
            "content_encoding" => properties.content_encoding = text,
            name => drop(headers.insert(name.to_owned(), text.map_or(Value::Null, Value::from))),
        }
    }
    properties.headers = headers;
    properties
}
