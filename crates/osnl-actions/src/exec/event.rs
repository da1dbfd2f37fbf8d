//! An event as a child receives it: one JSON object on one line. `docs/exec.md` repeats this page
//! for authors of programs.
//!
//! | key | value |
//! | --- | --- |
//! | `id` | the first key: a number that the verdict repeats, different in each attempt |
//! | `idempotency_key` | the same in each attempt, so that a program can skip finished work |
//! | `rule`, `action`, `listener` | the names in the configuration |
//! | `event_type`, `publisher_id`, `priority`, `message_id`, `timestamp` | as the service wrote them, or null |
//! | `received` | the time of receipt, RFC 3339 in UTC |
//! | `queue`, `exchange`, `routing_key`, `redelivered` | the origin on the broker |
//! | `resource` | the resource, in one form for all services, or null: `kind`, `id`, `project`, `user`, `name`, `host`, `state`, `addresses`, `created_at`, `updated_at`, `launched_at`, `deleted_at` |
//! | `context`, `payload` | as the service wrote them; of a bulk request the one resource |
//! | `enrichments` | the answers of the action's enrichments by name; absent without enrichments |
//! | `failure` | the failure of an earlier action: `action`, `reason`, `attempts`, `answer`, `at`, `before`; else absent |

use jiff::Timestamp;
use osnl_action::Event;
use osnl_core::event::EnrichedValues;
use osnl_model::{Resource, mask_secrets, resource_at};
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
struct EventLine<'a> {
    id: u64,
    idempotency_key: String,
    rule: &'a str,
    action: &'a str,
    listener: &'a str,
    event_type: Option<&'a str>,
    publisher_id: Option<&'a str>,
    priority: Option<&'a str>,
    message_id: Option<&'a str>,
    timestamp: Option<&'a str>,
    received: Option<String>,
    queue: &'a str,
    exchange: &'a str,
    routing_key: &'a str,
    redelivered: bool,
    resource: Option<&'a Resource<'a>>,
    context: &'a Value,
    payload: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrichments: Option<EnrichedValues>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Value>,
}

pub(super) fn line(id: u64, event: &Event, mask: bool) -> Vec<u8> {
    let (n, origin) = (&event.notification, &event.received.origin);
    let payload = event.payload();
    let context = Value::Object(n.context.clone());
    let masked = mask.then(|| (mask_secrets(&context), mask_secrets(&payload)));
    let enriched = event.asked().map(|found| -> EnrichedValues {
        found
            .into_iter()
            .map(|(name, value)| (name, if mask { mask_secrets(&value) } else { value }))
            .collect()
    });
    let (context, payload) = masked.as_ref().map_or((&context, &*payload), |(c, p)| (c, p));
    let resource = resource_of(event);
    let line = EventLine {
        id,
        idempotency_key: event.idempotency_key(),
        rule: &event.rule,
        action: &event.action,
        listener: &origin.listener,
        event_type: n.event_type.as_deref(),
        publisher_id: n.publisher_id.as_deref(),
        priority: n.priority.as_ref().map(|priority| priority.as_str()),
        message_id: n.message_id.as_deref(),
        timestamp: n.timestamp.as_deref(),
        received: Timestamp::try_from(origin.received).ok().map(|at| at.to_string()),
        queue: &origin.queue,
        exchange: &origin.exchange,
        routing_key: &origin.routing_key,
        redelivered: origin.redelivered,
        resource: resource.as_ref(),
        context,
        payload,
        enrichments: enriched,
        failure: event.failure(),
    };
    // All keys are texts and all numbers are valid in JSON, so serialization cannot fail.
    let mut text = serde_json::to_vec(&line).unwrap_or_default();
    text.push(b'\n');
    text
}

pub(super) fn resource_of(event: &Event) -> Option<Resource<'_>> {
    resource_at(&event.notification, event.resource.unwrap_or(0) as usize)
}

/// Returns the environment of a process for one event: the values for shell scripts without JSON.
/// Texts with a NUL byte cannot be in an environment, and texts of more than 4096 bytes are left
/// out to save its space.
pub(super) fn variables(event: &Event) -> Vec<(&'static str, String)> {
    const LONGEST: usize = 4096;
    let n = &event.notification;
    let resource = resource_of(event);
    let of_resource = |text: Option<&str>| text.map(str::to_owned);
    let found = [
        ("OSNL_ACTION", Some(event.action.to_string())),
        ("OSNL_RULE", Some(event.rule.to_string())),
        ("OSNL_EVENT_TYPE", n.event_type.clone()),
        ("OSNL_PUBLISHER_ID", n.publisher_id.clone()),
        ("OSNL_PRIORITY", n.priority.as_ref().map(|priority| priority.as_str().to_owned())),
        ("OSNL_MESSAGE_ID", n.message_id.clone()),
        ("OSNL_IDEMPOTENCY_KEY", Some(event.idempotency_key())),
        ("OSNL_RESOURCE_KIND", of_resource(resource.as_ref().map(|r| &*r.kind))),
        ("OSNL_RESOURCE_ID", of_resource(resource.as_ref().and_then(|r| r.id.as_deref()))),
    ];
    let usable = |text: &String| text.len() <= LONGEST && !text.contains('\0');
    found.into_iter().filter_map(|(name, text)| Some((name, text.filter(usable)?))).collect()
}

#[cfg(test)]
mod tests {
    use osnl_core::received::ReceivedMessage;
    use osnl_model::Notification;

    use super::*;

    #[test]
    fn a_value_that_no_environment_should_hold_has_no_variable() {
        let check = |event_type: Option<String>, expected: bool| {
            let length = event_type.as_ref().map(String::len);
            let n = Notification { event_type, ..Notification::default() };
            let event = Event::new(ReceivedMessage::sample(Vec::new(), false), n, "r", "a");
            let found = variables(&event).iter().any(|(name, _)| *name == "OSNL_EVENT_TYPE");
            assert_eq!(found, expected, "{length:?}");
        };
        check(None, false);
        check(Some("x".repeat(4096)), true);
        check(Some("x".repeat(4097)), false);
        check(Some("a\0b".to_owned()), false);
    }
}
