//! The headers of messages that osnl put back into a queue of its own: the dead letter before, and the first origin.
//!
//! They count only of a message that came by the default exchange, which takes the permission to write to that; a publisher
//! of a service can write to the exchange of the service alone, and cannot pass its message off as another's.

use lapin::message::Delivery;

use super::dead_letters::texts;
use crate::message::Marks;

/// The beginning of the names of osnl's own headers.
const OWN: &str = "osnl-";

/// Returns the headers of osnl's own; `None` of nearly all messages.
pub(super) fn of(delivery: &Delivery) -> Option<Marks> {
    if !delivery.exchange.as_str().is_empty() {
        return None;
    }
    let mut marks = texts(&delivery.properties);
    marks.retain(|name, _| name.starts_with(OWN));
    (!marks.is_empty()).then_some(marks)
}

/// Returns the exchange and the routing key with which the message was published first.
pub(super) fn origin(marks: &Marks) -> Option<(&str, &str)> {
    let text = |name| marks.get(name).map(String::as_str);
    text(crate::dead_letters::EXCHANGE).zip(text(crate::dead_letters::ROUTING_KEY))
}
