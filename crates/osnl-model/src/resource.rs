//! Which resource a notification is about: notifications of one resource are handled in order.
//!
//! Read today: neutron's ports and nova's instances, in both of nova's formats. The other services follow
//! with the typed view of their payloads; until then their notifications have no key here.

use serde_json::Value;

use crate::Notification;

/// The id, in lower case, by which notifications of one resource are ordered; None if none is known.
///
/// | kind | where |
/// |---|---|
/// | neutron port | `payload.port.device_id` (the instance the port belongs to), else `payload.device_id`, else the port's id: `payload.port.id`, `payload.port_id` |
/// | nova, versioned | `payload["nova_object.data"].uuid` |
/// | nova, legacy | `payload.instance_id` |
///
/// If several are present the last one in this order counts, as in k2hr3_osnl. Empty texts count as absent:
/// an unbound port has the `device_id` `""`.
pub fn resource_key(n: &Notification) -> Option<String> {
    let payload = &n.payload;
    let legacy = || text(payload, "instance_id");
    let versioned = || text(payload.get("nova_object.data")?, "uuid");
    legacy().or_else(versioned).or_else(|| port(payload)).map(str::to_lowercase)
}

fn port(payload: &Value) -> Option<&str> {
    let port = payload.get("port").unwrap_or(&Value::Null);
    text(port, "device_id")
        // The manual of k2hr3_osnl shows the port without its wrapper.
        .or_else(|| text(payload, "device_id"))
        .or_else(|| text(port, "id"))
        .or_else(|| text(payload, "port_id"))
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_where_each_service_has_them() {
        let check = |payload: Value, expected: Option<&str>| {
            let notification = Notification { payload: payload.clone(), ..Notification::default() };
            assert_eq!(resource_key(&notification).as_deref(), expected, "{payload}");
        };
        check(json!({"port": {"id": "p", "device_id": "D-1"}, "port_id": "p"}), Some("d-1"));
        check(json!({"port": {"id": "P", "device_id": ""}, "port_id": "q"}), Some("p"));
        check(json!({"port": {"id": "p", "device_id": null}}), Some("p"));
        check(json!({"device_id": "flat", "port_id": "p"}), Some("flat"));
        check(json!({"port_id": "P"}), Some("p"));
        check(json!({"nova_object.data": {"uuid": "U"}, "port_id": "p"}), Some("u"));
        check(json!({"nova_object.data": {"uuid": "u"}, "instance_id": "I"}), Some("i"));
        check(json!({"nova_object.data": {"uuid": "u"}, "instance_id": ""}), Some("u"));
        check(json!({"instance_id": 7}), None);
        check(json!({"ports": [{"id": "p"}]}), None);
        check(json!({"port": [], "nova_object.data": "x"}), None);
        check(json!("port_id"), None);
        check(json!(null), None);
    }
}
