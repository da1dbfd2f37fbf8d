//! The form of a versioned object of an unknown class.

use super::read::{data_of, prefix};
use super::{Json, JsonObject, NotReadable, ObjectVersion};

/// The five keys of a versioned object of any class, borrowed from the JSON.
///
/// nova and masakari have some eighty payloads, which are readable without declaring their classes:
///
/// ```
/// use osnl_notify::versioned::{ObjectForm, Json};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let payload: Json = serde_json::from_str(
///     r#"{"nova_object.name": "KeypairPayload", "nova_object.namespace": "nova", "nova_object.version": "1.0",
///         "nova_object.data": {"name": "my-key", "type": "ssh"}}"#,
/// )?;
/// let form = ObjectForm::from_json(&payload)?;
/// assert_eq!((form.namespace, form.name, form.version.to_string().as_str()), ("nova", "KeypairPayload", "1.0"));
/// assert_eq!(form.data.get("type").and_then(Json::as_text), Some("ssh"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectForm<'a> {
    /// The prefix of the keys: `nova_object`.
    pub serial_namespace: &'a str,
    /// The project, such as `nova`.
    pub namespace: &'a str,
    /// The class, such as `KeypairPayload`.
    pub name: &'a str,
    /// The version of the class.
    pub version: ObjectVersion,
    /// The fields that were set, in written order.
    pub data: &'a JsonObject,
    /// The names of the fields marked as changed, as written; their order has no meaning.
    pub changes: Option<&'a [Json]>,
}

impl<'a> ObjectForm<'a> {
    /// Whether the JSON is an object with a key that ends in `_object.name`.
    pub fn is_one(json: &Json) -> bool {
        json.as_object().is_some_and(|object| prefix(object).is_some())
    }

    /// Reads the form of any class and version.
    ///
    /// # Errors
    /// The JSON has no form of a versioned object, a key is missing, or the version is malformed.
    pub fn from_json(json: &'a Json) -> Result<Self, NotReadable> {
        let no_form = || NotReadable::NotVersioned(json.kind());
        let object = json.as_object().ok_or_else(no_form)?;
        let prefix = prefix(object).ok_or_else(no_form)?;
        let text = |key: &str| {
            let key = format!("{prefix}{key}");
            object
                .get(&key)
                .and_then(Json::as_text)
                .ok_or(NotReadable::Incomplete { key, expected: "a text" })
        };
        let changes = match object.get(&format!("{prefix}changes")) {
            Some(Json::Array(names)) => Some(names.as_slice()),
            Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Object(_)) | None => {
                None
            }
        };
        Ok(Self {
            serial_namespace: prefix.strip_suffix('.').unwrap_or(prefix),
            name: text("name")?,
            namespace: text("namespace")?,
            version: text("version")?.parse()?,
            data: data_of(object, prefix)?,
            changes,
        })
    }
}
