//! Down-conversion: an object in the form of an older minor version, for readers that cannot skip new fields.

use super::{FieldKind, Json, JsonObject, ObjectInfo, ObjectPayload, ObjectVersion, VersionedObject};

/// The versions to write, by class; a class without an entry keeps its own.
pub type Manifest<'a> = &'a [(&'a str, ObjectVersion)];

/// A version to which an object cannot be converted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotConvertible {
    /// The version has another major number.
    #[error("{class} {own} cannot be written as {asked}: another major version is another class")]
    OtherMajor {
        /// The class of the object.
        class: &'static str,
        /// The version that this program knows.
        own: ObjectVersion,
        /// The version that was requested.
        asked: ObjectVersion,
    },
    /// The version is newer than the class.
    #[error("{class} is known up to {own}: {asked} cannot be written")]
    Newer {
        /// The class of the object.
        class: &'static str,
        /// The version that this program knows.
        own: ObjectVersion,
        /// The version that was requested.
        asked: ObjectVersion,
    },
    /// A field of a custom type failed to serialize.
    #[error("the object could not be written: {0}")]
    NotWritten(String),
}

/// Returns the payload's form in older versions: fields with a newer `since` are left out at every depth,
/// with their change marks. A field without `since` belongs to every version.
///
/// Only fields are removed. A null in a field that was not nullable then, and a value of an enum that was
/// added later, stay, because there is no replacement. Of ironic's classes that concerns the payloads of
/// nodes before 1.2 (`network_interface`, `console_enabled`, `maintenance`).
///
/// ```
/// use osnl_notify::versioned::{Json, ObjectVersion, ironic, to_version};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let portgroup = ironic::Portgroup { name: Some("bond0".to_owned()), ..Default::default() };
/// let extra = ironic::PortgroupCRUDPayloadExtra { node_uuid: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123".into() };
/// let payload = ironic::PortgroupCRUDPayload::populate(&portgroup, extra);
/// let older = to_version(&payload, &[("PortgroupCRUDPayload", ObjectVersion::new(1, 2))])?;
/// let data = older.as_object().and_then(|form| form.get("ironic_object.data")).and_then(Json::as_object);
/// let data = data.ok_or("no data")?;
/// // 1.3 brought `dynamic_portgroup`, 1.2 `category`.
/// assert!(data.get("dynamic_portgroup").is_none() && data.get("category").is_some());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A requested version does not exist in its class.
pub fn to_version<T: VersionedObject>(object: &T, manifest: Manifest<'_>) -> Result<Json, NotConvertible> {
    let text = serde_json::to_string(&ObjectPayload(object));
    let form = text.and_then(|text| serde_json::from_str(&text));
    let mut form = form.map_err(|error| NotConvertible::NotWritten(error.to_string()))?;
    lower(T::INFO, &mut form, manifest)?;
    Ok(form)
}

fn lower(info: &'static ObjectInfo, form: &mut Json, manifest: Manifest<'_>) -> Result<(), NotConvertible> {
    let Json::Object(form) = form else { return Ok(()) };
    let [_, _, version_key, data_key, changes_key] = info.keys;
    let asked = manifest.iter().find(|(class, _)| *class == info.name).map(|(_, version)| *version);
    if let Some(asked) = asked {
        let (class, own) = (info.name, info.version);
        if asked.major != own.major {
            return Err(NotConvertible::OtherMajor { class, own, asked });
        }
        if asked > own {
            return Err(NotConvertible::Newer { class, own, asked });
        }
        form.insert(version_key, asked.to_string());
    }
    let target = asked.unwrap_or(info.version);
    let is_in =
        |name: &str| info.field(name).is_none_or(|field| field.since.is_none_or(|since| since <= target));
    if let Some(Json::Object(data)) = form.get_mut(data_key) {
        data.retain(|name, _| is_in(name));
        lower_fields(info, data, manifest)?;
    }
    if let Some(Json::Array(changes)) = form.get_mut(changes_key) {
        changes.retain(|name| name.as_text().is_none_or(is_in));
    }
    Ok(())
}

fn lower_fields(
    info: &'static ObjectInfo,
    data: &mut JsonObject,
    manifest: Manifest<'_>,
) -> Result<(), NotConvertible> {
    for (name, value) in data.iter_mut() {
        if let Some(field) = info.field(name) {
            lower_value(&field.kind, value, manifest)?;
        }
    }
    Ok(())
}

fn lower_value(kind: &FieldKind, value: &mut Json, manifest: Manifest<'_>) -> Result<(), NotConvertible> {
    match (kind.object, kind.of, value) {
        (Some(info), _, value) => lower(info, value, manifest),
        (None, Some(of), Json::Array(items)) => {
            items.iter_mut().try_for_each(|item| lower_value(of, item, manifest))
        }
        (None, Some(of), Json::Object(members)) => {
            members.iter_mut().try_for_each(|(_, member)| lower_value(of, member, manifest))
        }
        (None, _, _) => Ok(()),
    }
}
