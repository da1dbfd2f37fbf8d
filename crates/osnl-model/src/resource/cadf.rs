use std::borrow::Cow;

use serde_json::Value;

use super::Resource;
use super::fields::{data, first, first_id, text};

pub(super) fn read<'a>(event_type: &'a str, payload: &'a Value) -> Option<Resource<'a>> {
    text(payload, "typeURI")?;
    let initiator = payload.get("initiator").unwrap_or(&Value::Null);
    let target = payload.get("target").unwrap_or(&Value::Null);
    let kind = kind(event_type, target);
    // The target of these events has an id that the service makes up for the event.
    let id = match kind.as_ref() {
        "authenticate" => first_id(initiator, &["user_id", "id"]),
        "role_assignment" => first_id(payload, &["user", "group"]),
        _ => first_id(payload, &["resource_info"]).or_else(|| first_id(target, &["id"])),
    };
    let attached = attached(target);
    Some(Resource {
        id,
        project: match kind.as_ref() {
            "role_assignment" => text(payload, "project"),
            _ => attached.and_then(|object| first(object, &["project_id"])),
        },
        user: attached.and_then(|object| first(object, &["user_id"])),
        name: attached.and_then(|object| first(object, &["name"])).or_else(|| first(target, &["name"])),
        state: attached.and_then(|object| first(object, &["status"])),
        kind,
        ..Resource::default()
    })
}

/// Returns the kind: `project` for `identity.project.created`, `cluster` for
/// `magnum.cluster.create`, and the end of the target's type for the audit middleware's
/// `audit.http.request`.
fn kind<'a>(event_type: &'a str, target: &'a Value) -> Cow<'a, str> {
    let mut words = event_type.split('.');
    let (service, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if service == "audit" || kind.is_empty() {
        let uri = text(target, "typeURI").unwrap_or_default();
        return Cow::Borrowed(uri.rsplit('/').next().unwrap_or_default());
    }
    Cow::Borrowed(kind.rsplit(':').next().unwrap_or(kind))
}

fn attached(target: &Value) -> Option<&Value> {
    target.get("attachments")?.get(0)?.get("content").map(data)
}
