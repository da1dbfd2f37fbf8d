//! Fingerprints: they change when a class changes without a new version.
//!
//! A fingerprint is the version, a dash, and the MD5 of a Python text that lists the fields, exactly as
//! oslo.versionedobjects' `ObjectVersionChecker` (`fixture.py`) writes it. Projects keep a table of
//! fingerprints in a test: when fields change, the test fails and asks the developer to raise the version. A
//! fingerprint does not cover the class of a nested object: after a change there, the parents' versions are
//! raised by hand.

use md5::{Digest as _, Md5};

use super::{ClassField, EnumValues, FieldKind, ObjectInfo};

/// Returns the fingerprint of a class, such as `1.0-dce63895d8186279a7dd577cffccb202`.
pub fn fingerprint(info: &ObjectInfo) -> String {
    let digest = Md5::digest(fingerprint_text(info.fields, info.schema_in_fingerprint));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hex}", info.version_text)
}

/// Returns the digested text: Python's form of a tuple of the sorted fields, the remotable methods (none)
/// and, for nova's payloads, the sorted schema.
pub fn fingerprint_text(fields: &[ClassField], with_schema: bool) -> String {
    let mut fields: Vec<&ClassField> = fields.iter().collect();
    fields.sort_by_key(|field| field.name);
    let declared = fields.iter().map(|field| format!("({}, {})", repr(field.name), field_text(field)));
    let mut text = format!("([{}], []", declared.collect::<Vec<_>>().join(", "));
    if with_schema {
        let schema = fields.iter().filter_map(|field| {
            let source = field.source?;
            Some(format!("({}, ({}, {}))", repr(field.name), repr(source.object), repr(source.field)))
        });
        text.push_str(&format!(", [{}]", schema.collect::<Vec<_>>().join(", ")));
    }
    text.push(')');
    text
}

fn field_text(field: &ClassField) -> String {
    let default = field.default.unwrap_or("<class 'oslo_versionedobjects.fields.UnspecifiedDefault'>");
    let nullable = if field.nullable { "True" } else { "False" };
    let FieldKind { name, values, of: _, object: _ } = field.kind;
    let values = values.map(|values| format!(",valid_values={}", values_text(values))).unwrap_or_default();
    format!("{name}(default={default},nullable={nullable}{values})")
}

fn values_text(values: EnumValues) -> String {
    let items = values.as_slice().iter().map(|value| repr(value)).collect::<Vec<_>>().join(", ");
    match values {
        EnumValues::Tuple([_]) => format!("({items},)"),
        EnumValues::Tuple(_) => format!("({items})"),
        EnumValues::List(_) => format!("[{items}]"),
    }
}

/// Returns Python's `repr()` of a text, as far as names and enum values need it.
fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut repr = String::from(quote);
    for character in text.chars() {
        if character == quote || character == '\\' {
            repr.push('\\');
        }
        repr.push(character);
    }
    repr.push(quote);
    repr
}

/// A class whose fingerprint differs from the table's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintMismatch {
    /// The fields changed and the version did not.
    #[error(
        "the fields of {class} changed and its version is still {version}: raise it to {minor} if fields were only \
         added, else to {major}.0, and put into the table\n    (\"{class}\", \"{minor}-{md5}\"),"
    )]
    VersionNotRaised {
        /// The name of the class.
        class: String,
        /// The version of the class.
        version: String,
        /// The next minor version of the class.
        minor: String,
        /// The next major version's number.
        major: u32,
        /// The digest of the changed fields.
        md5: String,
    },
    /// The version was raised, and the table is older.
    #[error("the table has {class} as {expected}; put into it\n    (\"{class}\", \"{found}\"),")]
    TableIsOld {
        /// The name of the class.
        class: String,
        /// The fingerprint in the table.
        expected: String,
        /// The current fingerprint of the class.
        found: String,
    },
    /// The class is not in the table.
    #[error("{class} is not in the table; put into it\n    (\"{class}\", \"{found}\"),")]
    NotInTable {
        /// The name of the class.
        class: String,
        /// The current fingerprint of the class.
        found: String,
    },
    /// The table names a class that was not passed.
    #[error(
        "the table has {class}, but the class was not given to the check: remove the line, or give the class"
    )]
    NoSuchClass {
        /// The name of the class.
        class: String,
    },
}

/// Compares classes with a table of `(class, fingerprint)`, for a test of the service.
///
/// # Errors
///
/// Every difference, each with the line to paste.
///
/// ```
/// use osnl_notify::versioned::{VersionedObject, check_fingerprints, ironic::ChassisCRUDPayload};
///
/// let table = [("ChassisCRUDPayload", "1.0-dce63895d8186279a7dd577cffccb202")];
/// assert_eq!(check_fingerprints(&[ChassisCRUDPayload::INFO], &table), Ok(()));
/// ```
pub fn check_fingerprints(
    classes: &[&ObjectInfo],
    table: &[(&str, &str)],
) -> Result<(), Vec<FingerprintMismatch>> {
    let of_class = |info: &&ObjectInfo| compare(info, table.iter().find(|(name, _)| *name == info.name));
    let mut mismatches: Vec<FingerprintMismatch> = classes.iter().filter_map(of_class).collect();
    let unknown = table.iter().filter(|(name, _)| !classes.iter().any(|info| info.name == *name));
    mismatches
        .extend(unknown.map(|(name, _)| FingerprintMismatch::NoSuchClass { class: (*name).to_owned() }));
    if mismatches.is_empty() { Ok(()) } else { Err(mismatches) }
}

fn compare(info: &ObjectInfo, expected: Option<&(&str, &str)>) -> Option<FingerprintMismatch> {
    let found = fingerprint(info);
    let class = info.name.to_owned();
    let Some((_, expected)) = expected else {
        return Some(FingerprintMismatch::NotInTable { class, found });
    };
    if found == *expected {
        return None;
    }
    let (version, md5) = found.split_once('-').unwrap_or((&found, ""));
    if expected.split('-').next() != Some(version) {
        return Some(FingerprintMismatch::TableIsOld { class, expected: (*expected).to_owned(), found });
    }
    Some(FingerprintMismatch::VersionNotRaised {
        class,
        version: version.to_owned(),
        minor: info.version.next_minor().to_string(),
        major: info.version.major.saturating_add(1),
        md5: md5.to_owned(),
    })
}
