use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The deepest described path; deeper members are not described, and count as known.
const DEEPEST: usize = 4;

/// Objects whose members belong to the user, a driver or an internal object, and are not described.
const FREE: [&str; 38] = [
    "allocation_data",
    "args",
    "attributes",
    "binding:profile",
    "binding:vif_details",
    "connector",
    "driver_info",
    "driver_internal_info",
    "extra",
    "extra_properties",
    "extra_specs",
    "filter_properties",
    "glance_metadata",
    "health_status",
    "host_state",
    "image_meta",
    "info_cache",
    "initiator",
    "instance_info",
    "instance_properties",
    "instance_type",
    "labels",
    "local_link_connection",
    "meta",
    "metadata",
    "observer",
    "options",
    "orig_sys_metadata",
    "parameters",
    "properties",
    "qos",
    "request_spec",
    "resource_properties",
    "resource_request",
    "resource_type",
    "specs",
    "system_metadata",
    "volume_properties",
];

#[derive(Clone, Debug, Default)]
pub(super) struct PayloadShape {
    seen: usize,
    fields: BTreeMap<Vec<String>, PlaceStatistics>,
}

#[derive(Clone, Debug, Default)]
struct PlaceStatistics {
    seen: usize,
    types: BTreeSet<&'static str>,
}

impl PayloadShape {
    pub(super) fn add(&mut self, payload: &Value) {
        self.seen += 1;
        let mut here: BTreeMap<Vec<String>, BTreeSet<&'static str>> = BTreeMap::new();
        walk(payload, &mut Vec::new(), &mut here);
        for (path, types) in here {
            let place = self.fields.entry(path).or_default();
            place.seen += 1;
            place.types.extend(types);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.seen += other.seen;
        for (path, theirs) in &other.fields {
            let place = self.fields.entry(path.clone()).or_default();
            place.seen += theirs.seen;
            place.types.extend(&theirs.types);
        }
    }

    /// Returns `{"port/fixed_ips/*/ip_address": "text", "port/name": "text or null?"}`: types, and a `?` if some
    /// payloads lack the member.
    pub(super) fn to_json(&self) -> Value {
        let mut out = serde_json::Map::new();
        for (path, place) in &self.fields {
            let parent = path.split_last().and_then(|(_, parent)| self.fields.get(parent));
            let all = parent.filter(|_| path.len() > 1).map_or(self.seen, |parent| parent.seen);
            let types: Vec<&str> = place.types.iter().copied().collect();
            let sometimes = if place.seen < all { "?" } else { "" };
            out.insert(path.join("/"), format!("{}{sometimes}", types.join(" or ")).into());
        }
        Value::Object(out)
    }
}

fn walk(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, BTreeSet<&'static str>>) {
    if !path.is_empty() {
        found.entry(path.clone()).or_default().insert(kind(value));
    }
    let free = path.last().is_some_and(|key| FREE.contains(&key.as_str()) || key.starts_with('_'));
    if path.len() >= DEEPEST || free {
        return;
    }
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                path.push(key.clone());
                walk(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) => {
            for item in items.iter().filter(|item| item.is_object()) {
                path.push("*".to_owned());
                walk(item, path, found);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}
