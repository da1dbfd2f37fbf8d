use std::borrow::Cow;

use serde_json::Value;

use super::Resource;
use super::fields::{data, first, first_id, text};

pub(super) fn read<'a>(event_type: &'a str, payload: &'a Value) -> Option<Resource<'a>> {
    text(payload, "typeURI")?;
    let initiator = payload.get("initiator").unwrap_or(&Value::Null);
    let target = payload.get("target").unwrap_or(&Value::Null);
    let kind = kind(event_type, target);
    let is_audit = is_audit(event_type);
    // The target of these events has an id that the service makes up for the event; the audit middleware's is the
    // service's endpoint.
    let id = match kind.as_ref() {
        _ if is_audit => None,
        "authenticate" => first_id(initiator, &["user_id", "id"]),
        "role_assignment" => first_id(payload, &["user", "group"]),
        _ => first_id(payload, &["resource_info"]).or_else(|| first_id(target, &["id"])),
    };
    let attached = attached(target);
    Some(Resource {
        id,
        // The request and its response have the same.
        order: text(payload, "id").filter(|_| is_audit),
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
    let kind = event_type.split('.').nth(1).unwrap_or_default();
    if is_audit(event_type) || kind.is_empty() {
        let uri = text(target, "typeURI").unwrap_or_default();
        return Cow::Borrowed(uri.rsplit('/').next().unwrap_or_default());
    }
    Cow::Borrowed(kind.rsplit(':').next().unwrap_or(kind))
}

fn is_audit(event_type: &str) -> bool {
    event_type.starts_with("audit.")
}

fn attached(target: &Value) -> Option<&Value> {
    target.get("attachments")?.get(0)?.get("content").map(data)
}
