//! Fields with a list of values.

use serde::ser::Serializer;

use super::{EnumValues, FieldError, Json};
use osnl_model::excerpt;

/// An enum whose values are texts; `#[derive(VersionedEnum)]` writes it.
///
/// ```
/// use osnl_notify::versioned::VersionedEnum;
///
/// #[derive(Clone, Debug, PartialEq, VersionedEnum)]
/// enum InstanceState {
///     Active,
///     #[versioned(value = "soft-delete")]
///     SoftDelete,
///     /// What a newer minor version may have added.
///     #[versioned(other)]
///     Other(String),
/// }
/// assert_eq!(InstanceState::Active.as_str(), "active");
/// assert_eq!(InstanceState::parse("soft-delete"), Ok(InstanceState::SoftDelete));
/// assert_eq!(InstanceState::parse("shelved"), Ok(InstanceState::Other("shelved".to_owned())));
/// ```
pub trait VersionedEnum: Sized {
    /// The name of the class, which is a part of fingerprints.
    const NAME: &'static str;
    /// The values, in the order in which they are declared.
    const VALUES: EnumValues;

    /// The value as a text.
    fn as_str(&self) -> &str;

    /// The value of a text; upper and lower case are different.
    ///
    /// # Errors
    /// A text that is not listed, when no variant takes others.
    fn parse(text: &str) -> Result<Self, UnlistedValue>;
}

/// A text that is no value of an enum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {name}; its values are {allowed}")]
pub struct UnlistedValue {
    name: &'static str,
    found: String,
    allowed: String,
}

impl UnlistedValue {
    /// The error of an enum.
    pub fn of<T: VersionedEnum>(found: &str) -> Self {
        Self { name: T::NAME, found: excerpt(found), allowed: T::VALUES.as_slice().join(", ") }
    }
}

/// Reads an enum's field.
///
/// # Errors
/// Other JSON than a text; a text that is not listed.
pub fn read_enum<T: VersionedEnum>(value: &Json) -> Result<T, FieldError> {
    let text = value.as_text().ok_or_else(|| FieldError::kind("a text", value))?;
    T::parse(text).map_err(|_| FieldError::value(T::NAME))
}

/// Writes an enum's field.
///
/// # Errors
/// The error of the serializer.
pub fn write_enum<T: VersionedEnum, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.as_str())
}
