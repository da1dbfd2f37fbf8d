//! The key of a delivery's lane, from the rule's option `key`: the resource, a value of the event, or none.

use std::fmt;

use osnl_config::shown;
use osnl_config::template::{Expression, Names, TemplateError};
use osnl_model::{BodyDigest, bounded_id, is_secret_path};
use serde_json::Value;

/// The order of the deliveries of a rule: with one action and one key, each waits for the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeySource {
    #[default]
    Resource,
    None,
    /// A value of the event. A delivery whose value is missing, or is no text, number or boolean, waits for no other.
    Value(Path),
}

/// A path as `when` reads it: `payload.port.fixed_ips.0.ip_address`, `context.project_id`, `resource.addresses.0.address`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Path(String);

impl Path {
    const ROOTS: [&str; 3] = ["payload", "context", "resource"];

    /// Reads a path with dots, or with brackets where these mean the same: `payload.ports[0]["nova_object.data"]`.
    fn parse(text: &str) -> Option<Self> {
        let (mut path, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, inside)) = rest.split_once('[') {
            let (key, after) = match inside.chars().next()? {
                quote @ ('"' | '\'') => {
                    let (key, after) = inside[1..].split_once(quote)?;
                    (key, after.strip_prefix(']')?)
                }
                _ => {
                    let (number, after) = inside.split_once(']')?;
                    (number, Some(after).filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?)
                }
            };
            path.extend([before, ".", key]);
            rest = after;
            if !(rest.is_empty() || rest.starts_with(['.', '['])) {
                return None;
            }
        }
        path.push_str(rest);
        let (root, below) = path.split_once('.')?;
        let is_key =
            |key: &str| !key.is_empty() && key.trim() == key && key != "*" && !key.contains([']', '"']);
        (Self::ROOTS.contains(&root) && below.split('.').all(is_key)).then_some(Self(path))
    }

    /// Returns the path within the payload, if it begins there.
    #[must_use]
    pub fn in_payload(&self) -> Option<&str> {
        self.0.strip_prefix("payload.")
    }

    /// Returns whether the value is the same for all parts of a bulk request.
    #[must_use]
    pub fn is_of_message(&self) -> bool {
        self.0.starts_with("context.")
    }
}

impl KeySource {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        match text {
            "resource" => return Ok(Self::Resource),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let path = Path::parse(text).ok_or_else(|| {
            let problem = format!("{} names nothing to order by", shown(text));
            let allowed = "allowed: resource, none, or a path such as payload.port.fixed_ips.0.ip_address, \
                           resource.project, or context.project_id";
            TemplateError::at_begin(&problem, allowed)
        })?;
        // The fields of a resource are known.
        if let Some(field) = path.0.strip_prefix("resource.") {
            Expression::new(&path.0)?;
            let is_value = match field.split_once('.') {
                None => field != "addresses",
                Some((list, item)) => list == "addresses" && item.split('.').count() == 2,
            };
            if !is_value {
                let problem = format!("{} is never a string to order by", path.0);
                let allowed = "write a field of it, such as resource.project or resource.addresses.0.address";
                return Err(TemplateError::at_begin(&problem, allowed));
            }
        }
        Ok(Self::Value(path))
    }

    /// Returns the key of a delivery. `of_resource` and `names` are evaluated only if the key uses them. A long key,
    /// and one that is a secret, is replaced by its digest, because each delivery stores the key and shows it.
    #[must_use]
    pub fn delivery_key(
        &self,
        of_resource: impl FnOnce() -> Option<String>,
        names: impl FnOnce() -> Names,
    ) -> Option<String> {
        let key = match self {
            Self::Resource => of_resource(),
            Self::None => None,
            Self::Value(Path(path)) => text(names().json(path)?).map(|value| match is_secret_path(path) {
                true => BodyDigest::new(value.as_bytes()).to_string(),
                false => value,
            }),
        };
        key.map(|key| bounded_id(key).into_owned())
    }

    /// Explains why a delivery of this event has no key.
    #[must_use]
    pub fn why_none(&self, names: &Names) -> String {
        match self {
            Self::Resource => "the event names no resource".to_owned(),
            Self::None => "the rule has key = none".to_owned(),
            Self::Value(Path(path)) if names.json(path).is_none() => format!("the event has no {path}"),
            Self::Value(Path(path)) => format!("{path} is empty, or no text, number, or boolean"),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource => f.write_str("resource"),
            Self::None => f.write_str("none"),
            Self::Value(Path(path)) => f.write_str(path),
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
mod tests;
