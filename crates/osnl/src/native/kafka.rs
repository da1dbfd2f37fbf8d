//! The options of oslo.messaging's Kafka driver: the section, overridden by the URL's query.

use osnl_config::sections::SectionReader;
use osnl_model::{Priority, TransportUrl};
use osnl_transport::{FirstOffset, KAFKA_OPTIONS, KafkaOptions, effect_of};

use super::{ListenerConf, rabbit};
use crate::transport_url;

pub(super) const DRIVER: &str = "kafka";

pub(super) fn section(reader: &mut SectionReader<'_>) -> Option<KafkaOptions> {
    let mut options = KafkaOptions::default();
    rabbit::lay(reader, &KAFKA_OPTIONS, |name, text| options.set(name, text)).then_some(options)
}

/// Reads a listener's options, and checks their combination.
pub(super) fn of_listener(
    reader: &mut SectionReader<'_>,
    section: &KafkaOptions,
    url: Option<&TransportUrl>,
) -> Option<KafkaOptions> {
    let mut options = section.clone();
    let Some(url) = url.filter(|url| url.driver() == DRIVER) else { return Some(options) };
    // Errors of the query were reported with the URL.
    options.set_from_query(url).ok()?;
    match options.check() {
        Ok(()) => Some(options),
        Err(error) => reader.refused("", transport_url::option_refusal(&error)),
    }
}

pub(super) fn explain(listener: &ListenerConf) -> Vec<String> {
    let priorities: Vec<&str> = listener.priorities.iter().map(|priority| priority.as_str()).collect();
    let topics = listener.topics.iter().map(|topic| format!("{topic}.{{{}}}", priorities.join(",")));
    let mut lines = vec![format!("topics     {}", topics.collect::<Vec<_>>().join(", "))];
    let group = listener.pool.as_deref().unwrap_or_else(|| listener.kafka.group());
    let first = match listener.kafka.first_offset() {
        FirstOffset::Latest => "the next message",
        FirstOffset::Earliest => "the oldest message that is kept",
    };
    lines.push(format!("group      {group}; a new one begins with {first}"));
    if listener.has_canary {
        let topic = format!("{}.{}", super::canary::TOPIC, Priority::Info.as_str());
        lines.push(format!(
            "canary     topic {topic}, which must exist with one partition; the user needs Write on it"
        ));
    }
    lines.push(format!("prefetch   at most {} unfinished messages", listener.prefetch));
    let set = listener.kafka.set_options();
    lines.extend(
        set.map(|(option, value)| format!("option     {} = {value} {}", option.name, effect_of(option))),
    );
    lines
}
