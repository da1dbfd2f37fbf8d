//! The `traceparent` of a request (W3C Trace Context), by which a target's tracing finds what belongs to one event.
//!
//! - **Trace.** That of the notification, if its request context has a valid `traceparent`. OpenStack's own
//!   `request_id` and `global_request_id` are not one: they have another form and no parent. Else sixteen bytes of a
//!   digest over the id of the message: all deliveries of an event, and all of their attempts, have one trace.
//! - **Parent.** Eight bytes of a digest over the delivery's idempotency key and the moment: another one for each attempt.
//! - **Flags.** Those of the notification's; else `01`, since with `00` targets that trace everything would stop to.

use std::time::SystemTime;

use osnl_http::header::HeaderValue;
use osnl_model::BodyDigest;
use serde_json::Value;

use super::Event;

/// The header's name.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Returns the header's value for an attempt that begins now.
pub(crate) fn traceparent(event: &Event, key: &str, now: SystemTime) -> Option<HeaderValue> {
    let context = event.notification.context.get(TRACEPARENT).and_then(Value::as_str);
    let (trace, flags) = match context.and_then(read) {
        Some(found) => found,
        None => {
            let own = event.id().map_or_else(|| event.received.digest(), |id| BodyDigest::of(id.as_bytes()));
            (hex(&own.as_bytes()[..16]), "01".to_owned())
        }
    };
    let moment = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let parent = BodyDigest::of(format!("{key} {moment}").as_bytes());
    HeaderValue::from_str(&format!("00-{trace}-{}-{flags}", hex(&parent.as_bytes()[..8]))).ok()
}

/// Trace and flags of a valid value.
fn read(text: &str) -> Option<(String, String)> {
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
    is_valid.then(|| (trace.to_owned(), flags.to_owned()))
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
        assert_eq!(read(&valid), Some((trace.to_owned(), "00".to_owned())));
        assert!(read(&format!("01-{trace}-00f067aa0ba902b7-01-more")).is_some());
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
