//! The types of fields: Rust types, each with its field kind of oslo.versionedobjects.
//!
//! | Rust | kind | on the wire |
//! | --- | --- | --- |
//! | `String` | String | text |
//! | `i8` … `i64`, `u8` … `u64` | Integer | number |
//! | `f64` | Float | number |
//! | `bool` | Boolean | `true`, `false` |
//! | [`Uuid`](super::Uuid) | UUID | text as given |
//! | [`DateTime`](super::DateTime) | DateTime | text, whole seconds, `Z` |
//! | an enum with `#[derive(VersionedEnum)]` | its own name | text |
//! | `Vec<T>`, `BTreeSet<T>` | List, Set | array |
//! | [`Dict<T>`], `BTreeMap<String, T>` | Dict | object |
//! | [`FlexibleDict`](super::FlexibleDict) | FlexibleDict | object, any JSON inside; null is `{}` |
//! | a struct with `#[derive(VersionedObject)]` | Object | its whole form |
//! | `IpAddr`, `Ipv4Addr`, `Ipv6Addr` | IPV4AndV6Address, IPV4Address, IPV6Address | text |
//! | [`IpNetwork`](super::IpNetwork), [`MacAddress`](super::MacAddress), [`PciAddress`](super::PciAddress) | IPNetwork, MACAddress, PCIAddress | text |
//! | [`SensitiveText`](super::SensitiveText), [`VersionPredicate`](super::VersionPredicate) | SensitiveString, VersionPredicate | text |
//! | `Option<T>` | T, nullable | null or T |
//! | [`MaybeSet<T>`] | T | the key is absent while unset |
//!
//! Another kind of the same form takes `#[versioned(kind = "NonNegativeInteger")]` at the field.

mod containers;

pub use containers::Dict;

use serde::Serialize;
use serde::ser::Serializer;
use serde_json::Number;

use super::{FieldKind, Json, JsonObject, NotReadable};
use osnl_model::JsonKind;

/// A Rust type that can be a field of an object.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a versioned object",
    label = "no field kind of oslo.versionedobjects stands for this type",
    note = "fields are String, integers, f64, bool, Uuid, DateTime, enums with #[derive(VersionedEnum)], Vec, Dict, \
            FlexibleDict, addresses, structs with #[derive(VersionedObject)], and Option of them: \
            see osnl_notify::versioned::FieldType"
)]
pub trait FieldType: Sized {
    /// The kind's name in the declaration of a class.
    const KIND: FieldKind;
    /// Whether null is a value of the type.
    const NULLABLE: bool = false;
    /// Whether `mask_field` has an effect.
    const MASKS: bool = false;
    /// Whether [`absent`](Self::absent) returns a value.
    const MAY_BE_ABSENT: bool = false;

    /// Writes the value in its wire form.
    ///
    /// # Errors
    /// The serializer fails to write the value.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Reads the value from its wire form.
    ///
    /// # Errors
    /// The JSON has another kind, or is not a valid value.
    fn read(value: &Json) -> Result<Self, FieldError>;

    /// Writes the null of `Option<Self>`.
    ///
    /// # Errors
    /// The serializer fails to write the null.
    fn write_null<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }

    /// Returns the value of an absent key; `None` if absence is an error.
    fn absent() -> Option<Self> {
        None
    }

    /// Whether the key is written at all.
    fn is_set(&self) -> bool {
        true
    }

    /// Whether the value is an object with ironic's `changes`.
    fn has_changes(&self) -> bool {
        false
    }

    /// Masks the secrets in the value.
    fn mask_field(&mut self) {}

    /// Hides the secrets that are written in full. Debug output calls this method on a copy, emission does not.
    fn hide_field(&mut self) {}
}

/// An unreadable field: its path and the problem, without the value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct FieldError {
    /// The path of the field: `ip_addresses[1].address`.
    pub path: String,
    /// The problem with the field's value.
    pub problem: FieldProblem,
}

/// A problem with a field.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FieldProblem {
    /// The key is absent and the field has no default.
    #[error("the field is absent and has no default")]
    Absent,
    /// The JSON is of another kind.
    #[error("{expected} is expected here, not {found}")]
    Kind {
        /// The kind that the field requires.
        expected: &'static str,
        /// The kind that was found.
        found: JsonKind,
    },
    /// A value that the kind does not allow.
    #[error("this is not a valid {expected}")]
    Value {
        /// The kind that the field requires.
        expected: &'static str,
    },
    /// A nested object of an unknown class or another major version.
    #[error("{0}")]
    Object(Box<NotReadable>),
}

impl FieldError {
    /// Returns the error of JSON of an unexpected kind.
    pub fn kind(expected: &'static str, found: &Json) -> Self {
        Self { path: String::new(), problem: FieldProblem::Kind { expected, found: found.kind() } }
    }

    /// Returns the error of an invalid value.
    pub fn value(expected: &'static str) -> Self {
        Self { path: String::new(), problem: FieldProblem::Value { expected } }
    }

    /// Adds a step to the front of the path.
    pub(super) fn below(mut self, step: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{step}{joint}{}", self.path);
        self
    }
}

/// A wrapper that serializes a field with serde.
#[derive(Debug, Clone, Copy)]
pub struct Wire<'a, T>(pub &'a T);

impl<T: FieldType> Serialize for Wire<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

/// A field that may be unset: the key is then absent from the wire, which differs from null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaybeSet<T> {
    /// An unset field, whose key is absent.
    #[default]
    Unset,
    /// A field that has a value.
    Set(T),
}

impl<T> MaybeSet<T> {
    /// Returns the value, if the field is set.
    pub fn as_option(&self) -> Option<&T> {
        match self {
            Self::Unset => None,
            Self::Set(value) => Some(value),
        }
    }
}

impl<T> From<T> for MaybeSet<T> {
    fn from(value: T) -> Self {
        Self::Set(value)
    }
}

/// Reads the field of an object; the derive's output calls this function.
///
/// # Errors
/// The field's error, with the field's name.
pub fn read_field<T: FieldType>(
    data: &JsonObject,
    name: &str,
    default: Option<fn() -> T>,
) -> Result<T, FieldError> {
    match data.get(name) {
        Some(value) => T::read(value).map_err(|error| error.below(name)),
        None => T::absent()
            .or_else(|| default.map(|default| default()))
            .ok_or_else(|| FieldError { path: name.to_owned(), problem: FieldProblem::Absent }),
    }
}

impl<T: FieldType> FieldType for Option<T> {
    const KIND: FieldKind = T::KIND;
    const NULLABLE: bool = true;
    const MASKS: bool = T::MASKS;
    const MAY_BE_ABSENT: bool = true;

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => value.write(serializer),
            None => T::write_null(serializer),
        }
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        match value {
            Json::Null => Ok(None),
            Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::Array(_) | Json::Object(_) => {
                T::read(value).map(Some)
            }
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn has_changes(&self) -> bool {
        self.as_ref().is_some_and(T::has_changes)
    }

    fn mask_field(&mut self) {
        if let Some(value) = self {
            value.mask_field();
        }
    }

    fn hide_field(&mut self) {
        if let Some(value) = self {
            value.hide_field();
        }
    }
}

impl<T: FieldType> FieldType for MaybeSet<T> {
    const KIND: FieldKind = T::KIND;
    const NULLABLE: bool = T::NULLABLE;
    const MASKS: bool = T::MASKS;
    const MAY_BE_ABSENT: bool = true;

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Set(value) => value.write(serializer),
            Self::Unset => T::write_null(serializer),
        }
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        T::read(value).map(Self::Set)
    }

    fn absent() -> Option<Self> {
        Some(Self::Unset)
    }

    fn is_set(&self) -> bool {
        self.as_option().is_some_and(T::is_set)
    }

    fn has_changes(&self) -> bool {
        self.as_option().is_some_and(T::has_changes)
    }

    fn mask_field(&mut self) {
        match self {
            Self::Set(value) => value.mask_field(),
            Self::Unset => {}
        }
    }

    fn hide_field(&mut self) {
        match self {
            Self::Set(value) => value.hide_field(),
            Self::Unset => {}
        }
    }
}

impl FieldType for String {
    const KIND: FieldKind = FieldKind::named("String");

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        value.as_text().map(str::to_owned).ok_or_else(|| FieldError::kind("a text", value))
    }
}

impl FieldType for bool {
    const KIND: FieldKind = FieldKind::named("Boolean");

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*self)
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        match value {
            Json::Bool(flag) => Ok(*flag),
            Json::Null | Json::Number(_) | Json::Text(_) | Json::Array(_) | Json::Object(_) => {
                Err(FieldError::kind("true or false", value))
            }
        }
    }
}

fn number<'a>(value: &'a Json, expected: &'static str) -> Result<&'a Number, FieldError> {
    match value {
        Json::Number(number) => Ok(number),
        Json::Null | Json::Bool(_) | Json::Text(_) | Json::Array(_) | Json::Object(_) => {
            Err(FieldError::kind(expected, value))
        }
    }
}

macro_rules! integers {
    ($($type:ty => $as:ident, $text:literal;)*) => {$(
        impl FieldType for $type {
            const KIND: FieldKind = FieldKind::named("Integer");

            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.serialize(serializer)
            }

            fn read(value: &Json) -> Result<Self, FieldError> {
                let wide = number(value, "an integer")?.$as();
                wide.and_then(|wide| wide.try_into().ok()).ok_or_else(|| FieldError::value($text))
            }
        }
    )*};
}

integers! {
    i8 => as_i64, "integer of 8 bits";
    i16 => as_i64, "integer of 16 bits";
    i32 => as_i64, "integer of 32 bits";
    i64 => as_i64, "integer of 64 bits";
    u8 => as_u64, "integer of 8 bits without sign";
    u16 => as_u64, "integer of 16 bits without sign";
    u32 => as_u64, "integer of 32 bits without sign";
    u64 => as_u64, "integer of 64 bits without sign";
}

impl FieldType for f64 {
    const KIND: FieldKind = FieldKind::named("Float");

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(*self)
    }

    fn read(value: &Json) -> Result<Self, FieldError> {
        number(value, "a number")?.as_f64().ok_or_else(|| FieldError::value("number of 64 bits"))
    }
}
