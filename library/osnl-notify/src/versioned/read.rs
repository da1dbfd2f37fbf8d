//! Reads JSON into a typed object, or into a lossless unknown one.
//!
//! The contract is the one of services towards consumers, not the stricter one of oslo.versionedobjects' own
//! decoder (which refuses a newer minor version): the same major version is read, and unknown fields are kept
//! beside the object. Another major version, another class, or an unreadable field gives an
//! [`UnknownObject`].

use serde::ser::{Serialize as _, Serializer};

use super::{FieldError, FieldKind, FieldType, Json, JsonObject, ObjectVersion, VersionedObject};
use super::{object, version::ObjectVersionError};
use osnl_model::{JsonKind, Notification};

/// The result of reading an object.
#[derive(Clone, Debug, PartialEq)]
pub enum WireObject<T> {
    /// An object of the class and a readable version.
    Known(ReadObject<T>),
    /// An object that could not be read.
    Unknown(UnknownObject),
}

/// A typed object and its wire form.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadObject<T> {
    /// The fields of the class. An absent nullable field is null here; `raw` shows the difference.
    pub object: T,
    /// The written version, which may be older or newer than `T`'s.
    pub version: ObjectVersion,
    /// The whole wire form, at every depth and in order.
    pub raw: JsonObject,
}

/// An object that could not be read as the requested class.
#[derive(Clone, Debug, PartialEq)]
pub struct UnknownObject {
    /// The namespace in the object, if there is one.
    pub namespace: Option<String>,
    /// The class in the object, if there is one.
    pub name: Option<String>,
    /// The version in the object, as written.
    pub version: Option<String>,
    /// The reason that reading failed.
    pub reason: NotReadable,
    /// The whole form on the wire.
    pub raw: Json,
}

/// The reason that an object is not of a class.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotReadable {
    /// The JSON is not an object with a key that ends in `_object.name`.
    #[error("this is {0}, not the form of a versioned object")]
    NotVersioned(JsonKind),
    /// A key is missing, or has other JSON.
    #[error("the form of a versioned object has {key} with {expected}")]
    Incomplete {
        /// The name of the key.
        key: String,
        /// The kind that is declared.
        expected: &'static str,
    },
    /// The object is of another class.
    #[error("the class is {found}, not {expected}")]
    OtherClass {
        /// Namespace and name of the requested class.
        expected: String,
        /// Namespace and name in the object.
        found: String,
    },
    /// The object has another major version.
    #[error("version {found} of {class} cannot be read by a program that knows {known}")]
    OtherMajor {
        /// The name of the class.
        class: &'static str,
        /// The version that this program knows.
        known: ObjectVersion,
        /// The version in the object.
        found: ObjectVersion,
    },
    /// The version is malformed, such as `x`.
    #[error(transparent)]
    Version(#[from] ObjectVersionError),
    /// A field that cannot be read.
    #[error("field {0}")]
    Field(#[from] FieldError),
}

/// A received notification whose payload is read as a versioned object.
pub trait ReadVersioned {
    /// Reads the payload as an object of a class. Another class, another major version, and a payload without
    /// a class are [`WireObject::Unknown`], with all of their content.
    ///
    /// ```
    /// use osnl_notify::Notification;
    /// use osnl_notify::versioned::{ReadVersioned as _, ironic::ChassisCRUDPayload};
    ///
    /// let body = br#"{"event_type": "baremetal.chassis.create.end", "payload": {
    ///     "ironic_object.name": "ChassisCRUDPayload", "ironic_object.namespace": "ironic", "ironic_object.version": "1.0",
    ///     "ironic_object.data": {"uuid": "1910f669", "extra": {}}}}"#;
    /// let received = Notification::decode(body)?.versioned::<ChassisCRUDPayload>();
    /// assert_eq!(received.known().map(|chassis| chassis.uuid.as_str()), Some("1910f669"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn versioned<T: VersionedObject>(&self) -> WireObject<T>;
}

impl ReadVersioned for Notification {
    /// The keys of [`ReadObject::raw`] are sorted; [`read_text`] keeps their order.
    fn versioned<T: VersionedObject>(&self) -> WireObject<T> {
        read(self.payload.clone().into())
    }
}

impl<T> ReadObject<T> {
    /// Returns the fields that this program does not know: those of a newer minor version.
    pub fn unknown_fields(&self) -> impl Iterator<Item = (&str, &Json)>
    where
        T: VersionedObject,
    {
        let [_, _, _, data, _] = T::INFO.keys;
        let data = self.raw.get(data).and_then(Json::as_object);
        data.into_iter().flat_map(JsonObject::iter).filter(|(name, _)| T::INFO.field(name).is_none())
    }

    /// Returns the names of the fields marked as changed, sorted, since their order on the wire has no
    /// meaning.
    pub fn changes(&self) -> Vec<&str>
    where
        T: VersionedObject,
    {
        let [_, _, _, _, changes] = T::INFO.keys;
        let mut names: Vec<&str> = match self.raw.get(changes) {
            Some(Json::Array(names)) => names.iter().filter_map(Json::as_text).collect(),
            Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Object(_)) | None => {
                Vec::new()
            }
        };
        names.sort_unstable();
        names
    }
}

impl<T> WireObject<T> {
    /// Returns the typed object, if reading succeeded.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(read) => Some(&read.object),
            Self::Unknown(_) => None,
        }
    }
}

impl<T: VersionedObject> From<T> for WireObject<T> {
    fn from(object: T) -> Self {
        Self::Known(ReadObject { object, version: T::INFO.version, raw: JsonObject::new() })
    }
}

/// Reads an object of a class without losing content.
///
/// ```
/// use osnl_notify::versioned::{WireObject, ironic::ChassisCRUDPayload, read_text};
///
/// let newer = r#"{"ironic_object.name": "ChassisCRUDPayload", "ironic_object.namespace": "ironic",
///     "ironic_object.version": "1.10", "ironic_object.data": {"description": "row 3", "extra": {},
///     "uuid": "f9d2c6e1-5a6c-4b52-9d0a-6b8f1f3f6a11", "rack": 7}}"#;
/// match read_text::<ChassisCRUDPayload>(newer).expect("it is JSON") {
///     WireObject::Known(read) => {
///         assert_eq!(read.object.description.as_deref(), Some("row 3"));
///         assert_eq!(read.unknown_fields().map(|(name, _)| name).collect::<Vec<_>>(), ["rack"]);
///     }
///     WireObject::Unknown(unknown) => panic!("{}", unknown.reason),
/// }
/// ```
pub fn read<T: VersionedObject>(raw: Json) -> WireObject<T> {
    match try_read::<T>(&raw) {
        Ok((object, version)) => match raw {
            Json::Object(raw) => WireObject::Known(ReadObject { object, version, raw }),
            // Only an object can have been read.
            raw @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Array(_)) => {
                WireObject::Unknown(unknown(NotReadable::NotVersioned(raw.kind()), raw))
            }
        },
        Err(reason) => WireObject::Unknown(unknown(reason, raw)),
    }
}

/// Reads JSON text as [`read`] does.
///
/// # Errors
/// The text is not JSON.
pub fn read_text<T: VersionedObject>(text: &str) -> Result<WireObject<T>, serde_json::Error> {
    Ok(read(osnl_model::parse_python_json_as(text)?))
}

fn try_read<T: VersionedObject>(raw: &Json) -> Result<(T, ObjectVersion), NotReadable> {
    let (version, data) = head_of::<T>(raw)?;
    Ok((T::read_data(data)?, version))
}

fn unknown(reason: NotReadable, raw: Json) -> UnknownObject {
    let text = |key: &str| {
        let prefix = prefix(raw.as_object()?)?;
        raw.as_object()?.get(&format!("{prefix}{key}"))?.as_text().map(str::to_owned)
    };
    let (namespace, name, version) = (text("namespace"), text("name"), text("version"));
    UnknownObject { namespace, name, version, reason, raw }
}

/// Returns `ironic_object.`, from the first key that ends in `_object.name`.
pub(super) fn prefix(object: &JsonObject) -> Option<&str> {
    object.iter().find(|(key, _)| key.ends_with("_object.name")).and_then(|(key, _)| key.strip_suffix("name"))
}

/// Returns version and fields of an object, if `T` can read the version.
pub(super) fn head_of<T: VersionedObject>(raw: &Json) -> Result<(ObjectVersion, &JsonObject), NotReadable> {
    let object = raw.as_object().ok_or_else(|| NotReadable::NotVersioned(raw.kind()))?;
    let prefix = prefix(object).ok_or_else(|| NotReadable::NotVersioned(raw.kind()))?;
    let text = |key: &str| {
        let key = format!("{prefix}{key}");
        object.get(&key).and_then(Json::as_text).ok_or(NotReadable::Incomplete { key, expected: "a text" })
    };
    let (name, namespace) = (text("name")?, text("namespace")?);
    if (name, namespace) != (T::INFO.name, T::INFO.namespace)
        || prefix.strip_suffix('.') != Some(T::INFO.serial_namespace)
    {
        return Err(NotReadable::OtherClass {
            expected: format!("{}.{}", T::INFO.namespace, T::INFO.name),
            found: format!("{namespace}.{name}"),
        });
    }
    let version: ObjectVersion = text("version")?.parse()?;
    if !T::INFO.version.reads(version) {
        let known = T::INFO.version;
        return Err(NotReadable::OtherMajor { class: T::INFO.name, known, found: version });
    }
    Ok((version, data_of(object, prefix)?))
}

pub(super) fn data_of<'a>(object: &'a JsonObject, prefix: &str) -> Result<&'a JsonObject, NotReadable> {
    let key = format!("{prefix}data");
    let data = object.get(&key).and_then(Json::as_object);
    data.ok_or(NotReadable::Incomplete { key, expected: "an object" })
}

/// A nested object with its own version: the outer object is readable even if the nested one is not.
impl<T: VersionedObject> FieldType for WireObject<T> {
    const KIND: FieldKind = T::KIND;
    const MASKS: bool = T::MASKS;

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(read) => object::write_nested(&read.object, serializer),
            Self::Unknown(unknown) => unknown.raw.serialize(serializer),
        }
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        Ok(read(value.clone()))
    }

    fn has_changes(&self) -> bool {
        self.known().is_some_and(T::has_changes)
    }

    fn mask_field(&mut self) {
        match self {
            Self::Known(read) => read.object.mask(),
            Self::Unknown(_) => {}
        }
    }

    fn hide_field(&mut self) {
        match self {
            Self::Known(read) => read.object.hide_field(),
            Self::Unknown(_) => {}
        }
    }
}
