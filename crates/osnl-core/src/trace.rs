//! The trace of an event (W3C Trace Context), which targets receive in the header `traceparent`.
//!
//! Ids are digests, so all requests of an event name the same trace across restarts, and nothing has to be stored. Each
//! attempt is a span: a digest of the idempotency key and the moment.
//!
//! - **Trace.** The trace of the notification, if its request context has a valid `traceparent`. Otherwise sixteen
//!   bytes of a digest of the message's id. OpenStack's `request_id` and `global_request_id` are no trace: their form
//!   differs and they have no parent.
//! - **Flags.** The flags of the notification, otherwise `01`: with `00` targets would stop tracing.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use osnl_model::{BodyDigest, Notification};
use serde_json::Value;

use crate::event::Event;
use crate::received::ReceivedMessage;

pub const TRACEPARENT: &str = "traceparent";

/// The trace that all requests of one event share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Its id, 32 hexadecimal digits.
    pub trace: String,
    /// Two hexadecimal digits; the last bit is set if the trace is recorded.
    pub flags: String,
}

/// The id of one attempt within its trace, 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanId(String);

impl TraceContext {
    #[must_use]
    pub fn from_notification(notification: &Notification, received: &ReceivedMessage) -> Self {
        let context = notification.context.get(TRACEPARENT).and_then(Value::as_str);
        context.and_then(read).unwrap_or_else(|| Self {
            trace: hex(&message(notification, received).as_bytes()[..16]),
            flags: "01".to_owned(),
        })
    }

    #[must_use]
    pub fn traceparent(&self, span: &SpanId) -> String {
        format!("00-{}-{span}-{}", self.trace, self.flags)
    }
}

impl SpanId {
    #[must_use]
    pub fn for_attempt(key: &str, began: SystemTime) -> Self {
        let start = began.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self::digest(&format!("{key} {start}"))
    }

    fn digest(text: &str) -> Self {
        Self(hex(&BodyDigest::new(text.as_bytes()).as_bytes()[..8]))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Event {
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        TraceContext::from_notification(&self.notification, &self.received)
    }
}

fn message(notification: &Notification, received: &ReceivedMessage) -> BodyDigest {
    notification.id().map_or_else(|| received.digest(), |id| BodyDigest::new(id.as_bytes()))
}

fn read(text: &str) -> Option<TraceContext> {
    let mut parts = text.trim().split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_set = |text: &str| text.bytes().any(|byte| byte != b'0');
    let is_valid = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && is_hex(trace, 32)
        && is_set(trace)
        && is_hex(parent, 16)
        && is_set(parent)
        && is_hex(flags, 2);
    is_valid.then(|| TraceContext { trace: trace.to_owned(), flags: flags.to_owned() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_parent_is_followed() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let valid = format!("00-{trace}-00f067aa0ba902b7-00");
        let found = read(&valid).unwrap();
        assert_eq!((found.trace.as_str(), found.flags.as_str()), (trace, "00"));
        assert_eq!(read(&format!("01-{trace}-00f067aa0ba902b7-01-more")).unwrap().flags, "01");
        for wrong in [
            "req-9e1a2b3c-4d5e-6f70-8192-a3b4c5d6e7f8",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            &valid.to_uppercase(),
            &format!("{valid}-more"),
            &format!("ff-{trace}-00f067aa0ba902b7-01"),
            "",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
