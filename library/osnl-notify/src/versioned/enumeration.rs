//! Fields with a list of values.

use serde::ser::Serializer;

use super::{EnumValues, FieldError, Json};
use osnl_model::excerpt;

/// An enum whose values are strings; `#[derive(VersionedEnum)]` implements the trait.
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
    /// The values, in the order of their declaration.
    const VALUES: EnumValues;

    /// Returns the value as a string.
    fn as_str(&self) -> &str;

    /// Returns the value of a string, which is case-sensitive.
    ///
    /// # Errors
    /// The string is not listed, and no variant accepts other strings.
    fn parse(text: &str) -> Result<Self, UnlistedValue>;
}

/// The error of an unlisted value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {name}; its values are {allowed}")]
pub struct UnlistedValue {
    name: &'static str,
    found: String,
    allowed: String,
}

impl UnlistedValue {
    /// Returns the error for an enum.
    pub fn for_enum<T: VersionedEnum>(found: &str) -> Self {
        Self { name: T::NAME, found: excerpt(found), allowed: T::VALUES.as_slice().join(", ") }
    }
}

/// Reads the value of an enum field.
///
/// # Errors
/// The JSON is not a string, or the string is not listed.
pub fn read_enum<T: VersionedEnum>(value: &Json) -> Result<T, FieldError> {
    let text = value.as_text().ok_or_else(|| FieldError::kind("a text", value))?;
    T::parse(text).map_err(|_| FieldError::value(T::NAME))
}

/// Writes the value of an enum field.
///
/// # Errors
/// The serializer fails to write the string.
pub fn write_enum<T: VersionedEnum, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.as_str())
}
