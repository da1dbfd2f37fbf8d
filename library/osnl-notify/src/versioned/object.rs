//! Objects: the trait of `#[derive(VersionedObject)]`, and the wire form of objects.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::read::head_of;
use super::{FieldError, FieldProblem, FieldType, Json, JsonObject, ObjectInfo, Wire};
use osnl_model::mask_secrets;

/// An object of a class that has a version.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a versioned object",
    note = "payloads are structs with #[derive(VersionedObject)]"
)]
pub trait VersionedObject: FieldType + Clone {
    /// The declaration of the class.
    const INFO: &'static ObjectInfo;

    /// Writes the fields that are set, in their order.
    ///
    /// # Errors
    /// The serializer fails to write a field.
    fn write_data<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;

    /// Visits the fields in their order: name, whether the field is set, whether its value has `changes`.
    fn visit_fields(&self, visit: &mut dyn FnMut(&'static str, bool, bool));

    /// Reads the fields, and ignores unknown keys.
    ///
    /// # Errors
    /// The first field that cannot be read.
    fn read_data(data: &JsonObject) -> Result<Self, FieldError>;

    /// Masks the secrets of nested objects, then calls the class's hook `mask = function`. Emission and debug
    /// output call this method on a copy.
    fn mask(&mut self);
}

/// An object as the payload of a notification: written without change marks of its own.
#[derive(Debug, Clone, Copy)]
pub struct ObjectPayload<'a, T>(pub &'a T);

impl<T: VersionedObject> Serialize for ObjectPayload<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nested = |_, has_changes| has_changes;
        write(self.0, nested, serializer)
    }
}

/// Returns the payload's compact JSON text with unmasked secrets; the caller masks with [`VersionedObject::mask`].
/// Emission writes blanks and floats as Python does.
///
/// # Errors
/// Only the error of a custom [`FieldType`].
pub fn to_payload_text<T: VersionedObject>(object: &T) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(2048);
    serde_json::to_writer(&mut bytes, &ObjectPayload(object))?;
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// Writes a nested object, with ironic's change marks if its class has them.
///
/// # Errors
/// The serializer fails to write a field.
pub fn write_nested<T: VersionedObject, S: Serializer>(object: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let all = |is_set, _| is_set;
    write(object, all, serializer)
}

fn write<T: VersionedObject, S: Serializer>(
    object: &T,
    is_marked: impl Fn(bool, bool) -> bool,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let ObjectInfo { keys: [name, namespace, version, data, changes], .. } = T::INFO;
    let mut marked = Vec::new();
    if T::INFO.changes {
        object.visit_fields(&mut |field, is_set, has_changes| {
            if is_marked(is_set, has_changes) {
                marked.push(field);
            }
        });
        marked.sort_unstable();
    }
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry(name, T::INFO.name)?;
    map.serialize_entry(namespace, T::INFO.namespace)?;
    map.serialize_entry(version, T::INFO.version_text)?;
    map.serialize_entry(data, &Data(object))?;
    if !marked.is_empty() {
        map.serialize_entry(changes, &marked)?;
    }
    map.end()
}

struct Data<'a, T>(&'a T);

impl<T: VersionedObject> Serialize for Data<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.write_data(&mut map)?;
        map.end()
    }
}

/// Reads an object that is a field of another one.
///
/// # Errors
/// Another class or major version, or the first unreadable field.
pub fn read_nested<T: VersionedObject>(value: &Json) -> Result<T, FieldError> {
    match head_of::<T>(value) {
        Ok((_, data)) => T::read_data(data),
        Err(reason) => {
            Err(FieldError { path: String::new(), problem: FieldProblem::Object(Box::new(reason)) })
        }
    }
}

/// Whether a nested object has `changes`.
pub fn has_changes<T: VersionedObject>(object: &T) -> bool {
    let mut any = false;
    if T::INFO.changes {
        object.visit_fields(&mut |_, is_set, _| any |= is_set);
    }
    any
}

/// Shows an object: class, version and fields, secrets masked.
///
/// # Errors
/// The formatter fails to write the text.
pub fn debug<T: VersionedObject>(object: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut shown = object.clone();
    shown.mask();
    shown.hide_field();
    let value = serde_json::to_value(Data(&shown)).map_err(|_| fmt::Error)?;
    write!(f, "{} {} {}", T::INFO.name, T::INFO.version_text, mask_secrets(&value))
}

impl<T: FieldType> fmt::Display for Wire<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
