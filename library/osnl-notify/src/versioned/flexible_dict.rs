use std::fmt;

use serde::Serialize as _;
use serde::ser::{SerializeMap as _, Serializer};

use super::{FieldError, FieldKind, FieldType, Json, JsonObject};
use osnl_model::mask_secrets;

/// An object with any JSON inside, in the order of insertion. The null of `Option<FlexibleDict>` is written
/// as `{}`, as ironic does.
#[derive(Clone, Default, PartialEq)]
pub struct FlexibleDict(pub JsonObject);

impl FlexibleDict {
    /// Reads the text of a JSON object.
    ///
    /// # Errors
    /// The text is not JSON, or not an object.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        match serde_json::from_str(text)? {
            Json::Object(object) => Ok(Self(object)),
            other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Array(_)) => {
                let found = format_args!("a JSON object is expected, not {}", other.kind()).to_string();
                Err(serde::de::Error::custom(found))
            }
        }
    }
}

impl<K: Into<String>, V: Into<Json>> FromIterator<(K, V)> for FlexibleDict {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        Self(members.into_iter().collect())
    }
}

impl FieldType for FlexibleDict {
    const KIND: FieldKind = FieldKind::named("FlexibleDict");

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        value.as_object().cloned().map(Self).ok_or_else(|| FieldError::kind("an object", value))
    }

    fn write_null<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

impl fmt::Debug for FlexibleDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", mask_secrets(&Json::Object(self.0.clone()).into_value()))
    }
}
