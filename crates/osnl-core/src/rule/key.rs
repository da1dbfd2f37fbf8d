use std::borrow::Cow;
use std::fmt;

use osnl_model::{Notification, bounded_id};
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    #[default]
    Resource,
    None,
    /// A value of the payload. A delivery whose value is missing, or is no text, number or boolean, waits for no other.
    Payload(Path),
    Context(Path),
}

/// Keys joined by dots, such as `port.network_id`. Keys that contain dots, such as `nova_object.data.uuid`, are found
/// too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        text.split('.').all(|key| !key.is_empty() && key.trim() == key).then(|| Self(text.to_owned()))
    }

    fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        find(value, &self.0)
    }
}

fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    let dots = path.match_indices('.').map(|(at, _)| at);
    let deeper = dots.filter_map(|at| find(object.get(&path[..at])?, &path[at + 1..])).next();
    deeper.or_else(|| object.get(path))
}

impl KeySource {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "resource" => Some(Self::Resource),
            "none" => Some(Self::None),
            text => {
                let (root, path) = text.split_once('.')?;
                match root {
                    "payload" => Path::new(path).map(Self::Payload),
                    "context" => Path::new(path).map(Self::Context),
                    _ => None,
                }
            }
        }
    }

    /// Returns the key of a delivery. `of_resource` and `payload` are evaluated only if the key uses them. A long key
    /// is replaced by its digest, because each delivery stores the key.
    #[must_use]
    pub fn of<'a>(
        &self,
        notification: &Notification,
        of_resource: impl FnOnce() -> Option<String>,
        payload: impl FnOnce() -> Cow<'a, Value>,
    ) -> Option<String> {
        let key = match self {
            Self::Resource => of_resource(),
            Self::None => None,
            Self::Payload(path) => text(path.find(&payload())?),
            Self::Context(Path(path)) => {
                let first = path.split('.').next().unwrap_or_default();
                match notification.context.get(path.as_str()) {
                    Some(value) => text(value),
                    None => text(find(notification.context.get(first)?, path.get(first.len() + 1..)?)?),
                }
            }
        };
        key.map(|key| bounded_id(key).into_owned())
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource => f.write_str("resource"),
            Self::None => f.write_str("none"),
            Self::Payload(Path(path)) => write!(f, "payload.{path}"),
            Self::Context(Path(path)) => write!(f, "context.{path}"),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_found_where_the_rule_says() {
        let payload = json!({
            "port": {"id": "P", "device_id": "D", "network_id": "N", "revision": 7, "up": true, "name": "",
                     "tags": ["x"], "none": null, "long": "l".repeat(256)},
            "nova_object.data": {"uuid": "U", "nova_object.name": {"x": "deep"}},
        });
        let context =
            json!({"project_id": "Q", "a": {"b": "in"}, "c.d": "dotted"}).as_object().cloned().unwrap();
        let notification = Notification {
            event_type: Some("port.update.end".into()),
            context,
            payload: payload.clone(),
            ..Notification::default()
        };
        let check = |source: &str, expected: Option<&str>| {
            let source = KeySource::parse(source).unwrap_or_else(|| panic!("{source}"));
            let of_resource = || osnl_model::resource_key(&notification);
            let key = source.of(&notification, of_resource, || Cow::Borrowed(&payload));
            assert_eq!(key.as_deref(), expected, "{source}");
            assert_eq!(KeySource::parse(&source.to_string()), Some(source));
        };
        check("resource", Some("u"));
        check("none", None);
        check("payload.port.network_id", Some("N"));
        check("payload.port.revision", Some("7"));
        check("payload.port.up", Some("true"));
        for nothing in ["name", "tags", "none", "missing", "id.deeper"] {
            check(&format!("payload.port.{nothing}"), None);
        }
        check("payload.nova_object.data.uuid", Some("U"));
        check("payload.nova_object.data.nova_object.name.x", Some("deep"));
        check("context.project_id", Some("Q"));
        check("context.a.b", Some("in"));
        check("context.c.d", Some("dotted"));
        check("context.nothing", None);
        let digest = osnl_model::BodyDigest::of("l".repeat(256).as_bytes()).to_string();
        check("payload.port.long", Some(&digest));
        for bad in
            ["", "Resource", "payload", "payload.", "payload..x", "payload.x.", "payload. x", "port.id"]
        {
            assert_eq!(KeySource::parse(bad), None, "{bad:?}");
        }
    }
}
