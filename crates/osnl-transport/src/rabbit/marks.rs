//! The headers of messages that osnl put back into its own queue: the earlier dead letter, and the first origin.
//!
//! These headers count only for messages from the default exchange. A publisher of a service has permission only for
//! its service's exchange, so it cannot forge another origin.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::message::Marks;

const OWN: &str = "osnl-";

pub(super) fn read(delivery: &Delivery) -> Option<Marks> {
    if !delivery.exchange.as_str().is_empty() {
        return None;
    }
    let mut marks = texts(&delivery.properties);
    marks.retain(|name, _| name.starts_with(OWN));
    (!marks.is_empty()).then_some(marks)
}

pub(super) fn origin(marks: &Marks) -> Option<(&str, &str)> {
    let text = |name| marks.get(name).map(String::as_str);
    text(crate::dead_letters::EXCHANGE).zip(text(crate::dead_letters::ROUTING_KEY))
}

/// Returns the headers with texts, but the one that describes the body.
pub(super) fn texts(properties: &BasicProperties) -> BTreeMap<String, String> {
    let all = properties.headers().as_ref().map(FieldTable::inner).into_iter().flatten();
    let text = |(name, value): (&ShortString, &AMQPValue)| match value {
        AMQPValue::LongString(text) if name.as_str() != "compression" => {
            Some((name.to_string(), String::from_utf8_lossy(text.as_bytes()).into_owned()))
        }
        _ => None,
    };
    all.filter_map(text).collect()
}
