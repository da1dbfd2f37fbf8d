//! CADF events: keystone's, magnum's, those of the audit middleware. A message is one by its `typeURI`.

use std::borrow::Cow;

use serde_json::Value;

use super::Resource;
use super::fields::{data, first, first_id, text};

pub(super) fn read<'a>(event_type: &'a str, payload: &'a Value) -> Option<Resource<'a>> {
    text(payload, "typeURI")?;
    let initiator = payload.get("initiator").unwrap_or(&Value::Null);
    let target = payload.get("target").unwrap_or(&Value::Null);
    let kind = kind(event_type, target);
    // The target of these has an id that is made up for the event.
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

/// `identity.project.created` is about a project, `magnum.cluster.create` about a cluster; the audit
/// middleware's `audit.http.request` about whatever its target's type ends in.
fn kind<'a>(event_type: &'a str, target: &'a Value) -> Cow<'a, str> {
    let mut words = event_type.split('.');
    let (service, kind) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if service == "audit" || kind.is_empty() {
        let uri = text(target, "typeURI").unwrap_or_default();
        return Cow::Borrowed(uri.rsplit('/').next().unwrap_or_default());
    }
    // `OS-TRUST:trust`
    Cow::Borrowed(kind.rsplit(':').next().unwrap_or(kind))
}

/// The object that magnum attaches to the target: the cluster.
fn attached(target: &Value) -> Option<&Value> {
    target.get("attachments")?.get(0)?.get("content").map(data)
}
