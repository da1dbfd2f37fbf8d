//! The declaration of a class: its name, its version and its fields, as constants.

use super::ObjectVersion;

/// The declaration of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The project, such as `ironic`: the value of the wire form's `namespace`.
    pub namespace: &'static str,
    /// The prefix of the wire form's keys, such as `ironic_object`.
    pub serial_namespace: &'static str,
    /// The five keys of the wire form: name, namespace, version, data, changes.
    pub keys: [&'static str; 5],
    /// The name of the class, such as `NodePayload`.
    pub name: &'static str,
    /// The version of the class.
    pub version: ObjectVersion,
    /// The version as it is written.
    pub version_text: &'static str,
    /// The fields in the order of the wire.
    pub fields: &'static [ClassField],
    /// Whether the schema is a part of the fingerprint, as in nova's payloads.
    pub schema_in_fingerprint: bool,
    /// Whether nested objects have `changes`, as in ironic.
    pub changes: bool,
}

impl ObjectInfo {
    /// Returns the field of this name.
    pub fn field(&self, name: &str) -> Option<&'static ClassField> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A field of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassField {
    /// The name on the wire.
    pub name: &'static str,
    /// The kind of the field's values.
    pub kind: FieldKind,
    /// Whether null is a value of the field.
    pub nullable: bool,
    /// The default as Python's `str()` writes it; `None` without a default.
    pub default: Option<&'static str>,
    /// The minor version that added the field, if declared.
    pub since: Option<ObjectVersion>,
    /// The source that `populate` reads; `None` for an extra field.
    pub source: Option<SourceField>,
}

/// A field of a domain object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceField {
    /// The name of the domain object, such as `node`.
    pub object: &'static str,
    /// The name of the object's field.
    pub field: &'static str,
}

/// The kind of a field's values: the class of its type in oslo.versionedobjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldKind {
    /// Such as `String` or `DateTime`; for an enum, its own name.
    pub name: &'static str,
    /// The values of an enum.
    pub values: Option<EnumValues>,
    /// The kind of the elements of a list, set or dict.
    pub of: Option<&'static FieldKind>,
    /// The class of a nested object.
    pub object: Option<&'static ObjectInfo>,
}

impl FieldKind {
    /// Returns a kind that is only a name.
    pub const fn named(name: &'static str) -> Self {
        Self { name, values: None, of: None, object: None }
    }

    /// Returns a container of another kind.
    pub const fn container(name: &'static str, of: &'static FieldKind) -> Self {
        Self { name, values: None, of: Some(of), object: None }
    }

    /// Returns the kind of a nested object.
    pub const fn object(info: &'static ObjectInfo) -> Self {
        Self { name: "Object", values: None, of: None, object: Some(info) }
    }

    /// Returns an enum of these values.
    pub const fn enumeration(name: &'static str, values: EnumValues) -> Self {
        Self { name, values: Some(values), of: None, object: None }
    }
}

/// The values of an enum, in the Python form of their declaration, which the fingerprint includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnumValues {
    /// `('a', 'b')`, the form of a named enum class.
    Tuple(&'static [&'static str]),
    /// `['a', 'b']`, the form of an `EnumField` with a list.
    List(&'static [&'static str]),
}

impl EnumValues {
    /// Returns the values without their form.
    pub const fn as_slice(&self) -> &'static [&'static str] {
        match self {
            Self::Tuple(values) | Self::List(values) => values,
        }
    }
}
