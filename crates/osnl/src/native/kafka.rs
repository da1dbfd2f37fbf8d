//! The options of oslo.messaging's Kafka driver: from the section, with the URL's query laid over it.

use osnl_config::sections::Reader;
use osnl_model::TransportUrl;
use osnl_transport::{KAFKA_OPTIONS, KafkaOptions, effect_of};

use super::{ListenerConf, rabbit};
use crate::transport_url;

/// The driver of a transport URL.
pub(super) const DRIVER: &str = "kafka";

/// `[oslo_messaging_kafka]`.
pub(super) fn section(reader: &mut Reader<'_>) -> Option<KafkaOptions> {
    let mut options = KafkaOptions::default();
    rabbit::lay(reader, &KAFKA_OPTIONS, |name, text| options.set(name, text)).then_some(options)
}

/// Those of one listener; whether they fit together shows only now.
pub(super) fn of_listener(
    reader: &mut Reader<'_>,
    section: &KafkaOptions,
    url: Option<&TransportUrl>,
) -> Option<KafkaOptions> {
    let mut options = section.clone();
    let Some(url) = url.filter(|url| url.driver() == DRIVER) else { return Some(options) };
    // What is wrong with the query was said with the URL.
    options.set_from_query(url).ok()?;
    match options.check() {
        Ok(()) => Some(options),
        Err(error) => reader.refused("", transport_url::option_refusal(&error)),
    }
}

/// Returns the sentences of `osnl check` about them.
pub(super) fn explain(listener: &ListenerConf) -> Vec<String> {
    let of_kafka = listener.transport_url.driver() == DRIVER;
    let set = listener.kafka.set_options().filter(|_| of_kafka);
    set.map(|(option, value)| format!("option     {} = {value} {}", option.name, effect_of(option))).collect()
}
