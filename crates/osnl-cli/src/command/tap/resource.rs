//! What an event is about, as well as the services' many forms tell.
//!
//! | form | id | name |
//! | --- | --- | --- |
//! | versioned | `uuid`, else `id`, of the object | `display_name`, else `name` |
//! | CADF (keystone, magnum) | `resource_info`, else `target.id` | none |
//! | wrapped (neutron) | `payload.port.id`; `payload.ports[].id` of a bulk | `payload.port.name` |
//! | flat (nova, cinder, glance, …) | `<word>_id` or `<word>_identity` for a word of the event type, else `id` | `display_name`, `name`, `<word>_name` |

use osnl_model::Notification;
use serde_json::{Map, Value};

/// How the payload is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Legacy,
    /// The class and its version.
    Versioned(String, String),
    Cadf,
}

impl Form {
    /// As it stands in a line: `legacy`, `InstanceActionPayload/1.8`, `CADF`.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Legacy => "legacy".to_owned(),
            Self::Versioned(class, version) => format!("{class}/{version}"),
            Self::Cadf => "CADF".to_owned(),
        }
    }
}

/// What an event is about, and who caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) form: Form,
    /// Several in a bulk, none if there is none or it was not found.
    pub(super) ids: Vec<String>,
    pub(super) name: Option<String>,
    /// The id of the project: the caller's, else the resource's.
    pub(super) project: Option<String>,
    pub(super) project_name: Option<String>,
    /// The id of the user: the caller's, else the resource's.
    pub(super) user: Option<String>,
}

/// Looks into a notification.
pub(super) fn about(n: &Notification) -> About {
    let empty = Map::new();
    let payload = n.payload.as_object().unwrap_or(&empty);
    let (form, ids, name, object) = match (versioned(payload), is_cadf(payload)) {
        (Some((class, version, data)), _) => {
            let id = first(data, &["uuid", "id"]);
            (Form::Versioned(class, version), ids(id), first(data, &["display_name", "name"]), data)
        }
        (None, true) => {
            let target = payload.get("target").and_then(|target| text(target.as_object()?, "id"));
            (Form::Cadf, ids(text(payload, "resource_info").or(target)), None, payload)
        }
        (None, false) => {
            let (ids, name, object) = legacy(n.event_type.as_deref().unwrap_or_default(), payload);
            (Form::Legacy, ids, name, object)
        }
    };
    let initiator = payload.get("initiator").and_then(Value::as_object).unwrap_or(&empty);
    let of_resource = |keys| first(object, keys).or_else(|| first(payload, keys));
    About {
        form,
        ids,
        name,
        project: first(&n.context, &["project_id", "tenant_id", "project", "tenant"])
            .or_else(|| text(initiator, "project_id"))
            .or_else(|| of_resource(&["project_id", "tenant_id", "owner"])),
        project_name: text(&n.context, "project_name"),
        user: first(&n.context, &["user_id", "user"])
            .or_else(|| first(initiator, &["user_id", "id"]))
            .or_else(|| of_resource(&["user_id"])),
    }
}

fn versioned(payload: &Map<String, Value>) -> Option<(String, String, &Map<String, Value>)> {
    let (key, class) = payload.iter().find(|(key, _)| key.ends_with("_object.name"))?;
    let prefix = key.strip_suffix("name")?;
    let data = payload.get(&format!("{prefix}data"))?.as_object()?;
    let version = text(payload, &format!("{prefix}version")).unwrap_or_default();
    Some((class.as_str()?.to_owned(), version, data))
}

fn is_cadf(payload: &Map<String, Value>) -> bool {
    payload.get("typeURI").and_then(Value::as_str).is_some_and(|uri| uri.contains("dmtf.org/cloud/audit"))
}

fn legacy<'a>(
    event_type: &str,
    payload: &'a Map<String, Value>,
) -> (Vec<String>, Option<String>, &'a Map<String, Value>) {
    let words: Vec<&str> = event_type.split('.').collect();
    let pairs = words.windows(2).map(|pair| pair.join("_"));
    for word in words.iter().map(|word| (*word).to_owned()).chain(pairs) {
        if let Some(object) = payload.get(&word).and_then(Value::as_object) {
            let id = first(object, &["id", "uuid"])
                .or_else(|| text(payload, &format!("{word}_id")))
                .or_else(|| text(payload, "id"));
            return (ids(id), first(object, &["name", "display_name"]), object);
        }
        if let Some(Value::Array(bulk)) = payload.get(&format!("{word}s")) {
            let ids = bulk.iter().filter_map(|one| text(one.as_object()?, "id")).collect();
            let only = if let [one] = &bulk[..] { one.as_object() } else { None };
            return (ids, only.and_then(|one| text(one, "name")), only.unwrap_or(payload));
        }
        if let Some(id) = first(payload, &[&format!("{word}_id"), &format!("{word}_identity")]) {
            let name = first(payload, &["display_name", "name", &format!("{word}_name")]);
            return (vec![id], name, payload);
        }
    }
    const LAST: [&str; 9] = [
        "id",
        "uuid",
        "obj_resource_id",
        "resource_info",
        "instance_id",
        "instance_uuid",
        "volume_id",
        "share_id",
        "image_id",
    ];
    (ids(first(payload, &LAST)), first(payload, &["display_name", "name"]), payload)
}

fn ids(id: Option<String>) -> Vec<String> {
    id.into_iter().collect()
}

fn first(object: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| text(object, key))
}

/// A text that says something; a number counts, as ids of old databases are.
fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    match object.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(event_type: &str, payload: Value, expected: (&str, &str, &str)) {
        let n = Notification { event_type: Some(event_type.to_owned()), payload, ..Notification::default() };
        let about = about(&n);
        let name = about.name.clone().unwrap_or_default();
        assert_eq!(
            (about.form.label().as_str(), about.ids.join(",").as_str(), name.as_str()),
            expected,
            "{event_type}"
        );
    }

    #[test]
    fn ids_and_names_are_where_each_service_has_them() {
        check(
            "instance.delete.end",
            json!({"nova_object.name": "InstanceActionPayload", "nova_object.version": "1.8",
                "nova_object.data": {"uuid": "u", "display_name": "vm"}}),
            ("InstanceActionPayload/1.8", "u", "vm"),
        );
        check(
            "identity.user.created",
            json!({"typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "resource_info": "r", "target": {"id": "t"}}),
            ("CADF", "r", ""),
        );
        check(
            "identity.authenticate",
            json!({"typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "target": {"id": "t"}}),
            ("CADF", "t", ""),
        );
        check("identity.user.created", json!({"resource_info": "r"}), ("legacy", "r", ""));
        check(
            "port.delete.end",
            json!({"port_id": "p", "port": {"id": "p", "name": "eth"}}),
            ("legacy", "p", "eth"),
        );
        check("port.delete.start", json!({"port_id": "p"}), ("legacy", "p", ""));
        check("port.update.start", json!({"id": "p", "port": {"name": "new"}}), ("legacy", "p", "new"));
        check("port.create.end", json!({"ports": [{"id": "p"}, {"id": "q"}]}), ("legacy", "p,q", ""));
        check(
            "security_group_rule.create.end",
            json!({"security_group_rules": [{"id": "p"}]}),
            ("legacy", "p", ""),
        );
        check("router.interface.create", json!({"router_interface": {"id": "r"}}), ("legacy", "r", ""));
        check(
            "compute.instance.volume.attach",
            json!({"volume_id": "v", "instance_id": "i", "display_name": "vm"}),
            ("legacy", "i", "vm"),
        );
        check(
            "snapshot.create.end",
            json!({"volume_id": "v", "snapshot_id": "s", "display_name": "n"}),
            ("legacy", "s", "n"),
        );
        check("image.create", json!({"id": "i", "name": "n"}), ("legacy", "i", "n"));
        check(
            "orchestration.stack.create.end",
            json!({"stack_identity": "s", "stack_name": "n"}),
            ("legacy", "s", "n"),
        );
        check(
            "tag.create.end",
            json!({"obj_resource": "ports", "obj_resource_id": "p"}),
            ("legacy", "p", ""),
        );
        check("x", json!("text"), ("legacy", "", ""));
        check("x", json!({"id": 7}), ("legacy", "7", ""));
    }

    #[test]
    fn who_did_it_is_the_caller_before_the_owner() {
        let check = |context: Value, payload: Value, expected: (Option<&str>, Option<&str>)| {
            let context = context.as_object().unwrap().clone();
            let n = Notification {
                event_type: Some("port.x".into()),
                context,
                payload,
                ..Notification::default()
            };
            let about = about(&n);
            assert_eq!((about.project.as_deref(), about.user.as_deref()), expected);
        };
        let owned = json!({"port": {"project_id": "owner"}, "user_id": "u2"});
        check(json!({"project_id": "p", "user_id": "u"}), owned.clone(), (Some("p"), Some("u")));
        check(json!({"project_id": null, "user": "u"}), owned.clone(), (Some("owner"), Some("u")));
        check(json!({"tenant": "t"}), owned, (Some("t"), Some("u2")));
        check(json!({}), json!({"initiator": {"user_id": "u", "project_id": "p"}}), (Some("p"), Some("u")));
        check(json!({}), json!(null), (None, None));
    }
}
