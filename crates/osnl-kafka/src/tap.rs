//! A tap reads partitions from their ends. A tap is in no group and commits no offset, so nothing is left behind. The
//! brokers keep unread messages, so none is dropped for a slow reader.
//!
//! The routing keys of the bindings are patterns of topics. Later partitions and topics are read from their beginning.

mod groups;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use osnl_transport::parts::{BodyFlow, BodyShare, key_matches};
use osnl_transport::{
    BoxFuture, Properties, Tap, TapBound, TapMessage, TapOpening, TapOptions, TapProperties, TopicsSeen,
    TransportError,
};
use rdkafka::Message as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Map, Value};
use tokio::time::sleep;

use super::KafkaTransport;
use super::client::{ANSWER, Ends, KafkaClient, blocking, kept};
use super::failure::{end_of, is_topic_gone, lost};
use super::offsets::PartitionKey;
use super::options::{Settings, group_settings};

const LIMITS: [&str; 2] = [
    "Kafka has no exchanges: all services that publish to a topic are shown together",
    "tap is in no consumer group: it begins with the next messages, takes none from any reader, and commits no offset",
];
const READ: &str = "; the user needs the permission Read on them (kafka-acls.sh)";
/// The interval at which new topics and partitions are looked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The pause at the bound of bodies in hand.
const FULL: Duration = Duration::from_millis(50);
/// The library demands a group; nothing is asked or stored under this one.
const NO_GROUP: &str = "osnl-tap";

pub(super) struct KafkaTap {
    reading: Arc<Reading>,
    body_flow: Arc<BodyFlow>,
    tapped: TapOpening,
}

struct Reading {
    client: KafkaClient,
    settings: Settings,
    options: TapOptions,
    places: Mutex<Places>,
}

struct Places {
    next: BTreeMap<PartitionKey, Offset>,
    /// Topics that existed when the tap was opened, and could not be read.
    old: BTreeSet<String>,
    checked_at: Instant,
}

impl KafkaTap {
    pub(super) async fn open(
        transport: &KafkaTransport,
        options: &TapOptions,
    ) -> Result<Self, TransportError> {
        let body_flow = Arc::<BodyFlow>::default();
        body_flow.begin(options.bodies);
        let (settings, options) = (transport.settings.clone(), options.clone());
        let own = group_settings(&transport.options, NO_GROUP, false);
        let (reading, tapped) = blocking(move || Reading::open(settings, &own, options)).await?;
        Ok(Self { reading: Arc::new(reading), body_flow, tapped })
    }

    fn tapped_message(&self, message: &BorrowedMessage<'_>) -> TapMessage {
        let (body, cut) = kept(message.payload().unwrap_or_default(), self.reading.options.bodies);
        self.body_flow.has_brought(1, body.len());
        let share = self.body_flow.share(body.len());
        TapMessage {
            exchange: exchange(&self.reading.options, message.topic()),
            routing_key: message.topic().to_owned(),
            body: Bytes::from_owner(CountedBody { body: body.to_vec(), _share: share }),
            cut,
            properties: properties(message),
        }
    }
}

impl Reading {
    fn open(
        settings: Settings,
        own: &[(&str, String)],
        options: TapOptions,
    ) -> Result<(Self, TapOpening), TransportError> {
        let client = KafkaClient::new(&settings, own)?;
        let (host, _) = client.connect(&settings, None)?;
        let places = Places { next: BTreeMap::new(), old: BTreeSet::new(), checked_at: Instant::now() };
        let reading = Self { client, settings, options, places: Mutex::new(places) };
        let found = reading.read_more(true)?;
        let bound: BTreeSet<String> =
            reading.places().next.keys().map(|(topic, _)| topic.to_string()).collect();
        let mut missing: Vec<String> = Vec::new();
        for pattern in reading.options.bindings.iter().map(|binding| &binding.routing_key) {
            if !bound.iter().any(|topic| key_matches(pattern, topic)) && !missing.contains(pattern) {
                missing.push(pattern.clone());
            }
        }
        let tapped = TapOpening {
            host,
            user: reading.settings.user.clone().unwrap_or_default(),
            bound: bound.into_iter().collect(),
            missing,
            counts_dropped: true,
            has_topics: true,
            remarks: LIMITS.map(str::to_owned).into_iter().chain(found).collect(),
            ..TapOpening::default()
        };
        Ok((reading, tapped))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self) -> bool {
        let mut places = self.places();
        let is_due = places.checked_at.elapsed() >= CHECK_INTERVAL;
        if is_due {
            places.checked_at = Instant::now();
        }
        is_due
    }

    /// Reads partitions of the bindings' topics that are not read yet, the first ones from their ends. Returns remarks about
    /// those that can't be read. Blocks.
    fn read_more(&self, is_first: bool) -> Result<Vec<String>, TransportError> {
        let failed = |error: KafkaError| lost(format!("the topics are not known: {error}"));
        let metadata = self.client.fetch_metadata(None, ANSWER).map_err(failed)?;
        let is_wanted = |name: &str| {
            !name.starts_with("__") && self.options.bindings.iter().any(|b| key_matches(&b.routing_key, name))
        };
        let wanted = metadata.topics().iter().filter(|topic| is_wanted(topic.name()));
        let (broken, wanted): (Vec<_>, Vec<_>) = wanted.partition(|topic| topic.error().is_some());
        let keys = wanted.into_iter().flat_map(|topic| {
            let name: Arc<str> = topic.name().into();
            topic.partitions().iter().map(move |partition| (name.clone(), partition.id()))
        });
        let new: Vec<PartitionKey> = {
            let mut places = self.places();
            if is_first {
                places.old = broken.iter().map(|topic| topic.name().to_owned()).collect();
            }
            keys.filter(|key| !places.next.contains_key(key)).collect()
        };
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let mut ends = if is_first { self.client.ends(&new) } else { Ends::new() };
        let mut remarks = Vec::new();
        let mut places = self.places();
        for key in new {
            let offset = match ends.remove(&key) {
                Some(Ok(end)) => Offset::Offset(end),
                // The end when the partition can be read may be later than the end now.
                Some(Err(reason)) => {
                    remarks.push(format!("topic {}, partition {}: {reason}", key.0, key.1));
                    Offset::End
                }
                None if places.old.contains(&*key.0) => Offset::End,
                None => Offset::Beginning,
            };
            places.next.insert(key, offset);
        }
        let mut list = TopicPartitionList::with_capacity(places.next.len());
        for ((topic, number), offset) in &places.next {
            list.add_partition_offset(topic, *number, *offset).map_err(failed)?;
        }
        self.client.assign(&list).map_err(failed)?;
        Ok(remarks)
    }
}

impl Tap for KafkaTap {
    fn tapped(&self) -> &TapOpening {
        &self.tapped
    }

    fn poll<'a>(
        &'a mut self,
        out: &'a mut Vec<TapMessage>,
        limit: usize,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let reading = self.reading.clone();
            let mut stream = reading.client.stream();
            loop {
                let reader = reading.clone();
                if reading.is_due()
                    && let Err(error) = blocking(move || reader.read_more(false)).await
                {
                    tracing::debug!(%error, "new topics were not looked for");
                }
                if self.body_flow.is_full() {
                    sleep(FULL).await;
                    continue;
                }
                let first = tokio::select! {
                    polled = stream.next() => polled,
                    () = sleep(CHECK_INTERVAL) => None,
                };
                let more = std::iter::from_fn(|| stream.next().now_or_never().flatten());
                for next in first.into_iter().chain(more) {
                    match next {
                        Ok(message) => {
                            let key = (Arc::from(message.topic()), message.partition());
                            let after = Offset::Offset(message.offset().saturating_add(1));
                            reading.places().next.insert(key, after);
                            out.push(self.tapped_message(&message));
                        }
                        Err(error) if is_topic_gone(&error) => {
                            return Err(lost(format!("a topic is not there any more: {error}")));
                        }
                        Err(error) => {
                            if let Some(end) = end_of(&error, "tap is behind", "read the topics", READ) {
                                return Err(end);
                            }
                        }
                    }
                    if out.len() >= limit || self.body_flow.is_full() {
                        break;
                    }
                }
                if !out.is_empty() {
                    return Ok(());
                }
            }
        })
    }

    fn acknowledge(&mut self) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn find<'a>(&'a mut self, pattern: &'a str) -> BoxFuture<'a, Result<TapBound, TransportError>> {
        Box::pin(async move {
            let (reading, pattern) = (self.reading.clone(), pattern.to_owned());
            blocking(move || {
                if reading.is_due() {
                    reading.read_more(false)?;
                }
                let is_bound = reading.places().next.keys().any(|(topic, _)| key_matches(&pattern, topic));
                Ok(TapBound { is_bound, refusal: None })
            })
            .await
        })
    }

    fn topics(&mut self, groups: Vec<String>) -> BoxFuture<'_, Result<Option<TopicsSeen>, TransportError>> {
        Box::pin(async move {
            let reading = self.reading.clone();
            blocking(move || {
                let topics: Vec<PartitionKey> = reading.places().next.keys().cloned().collect();
                groups::read(&reading.client, &reading.settings, &topics, groups).map(Some)
            })
            .await
        })
    }

    fn dropped(&mut self) -> BoxFuture<'_, Result<Option<u64>, TransportError>> {
        Box::pin(std::future::ready(Ok(Some(0))))
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}

/// Returns the exchange of the bindings with this topic, if there is one, because Kafka's messages have none.
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
    for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
        match header.key {
            "content_type" => properties.content_type = header.value.map(Properties::text),
            "content_encoding" => properties.content_encoding = header.value.map(Properties::text),
            name => {
                let text = header.value.map(|value| String::from_utf8_lossy(value).into_owned());
                headers.insert(name.to_owned(), text.map_or(Value::Null, Value::from));
            }
        }
    }
    properties.headers = headers;
    properties
}

/// The last copy of a body gives back its share of the bytes in hand.
struct CountedBody {
    body: Vec<u8>,
    _share: BodyShare,
}

impl AsRef<[u8]> for CountedBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}
