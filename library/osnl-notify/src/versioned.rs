//! Versioned notifications: defining, emitting, and reading objects in oslo.versionedobjects' wire form.
//!
//! A payload is a struct with `#[derive(VersionedObject)]`, a notification one with
//! `#[derive(VersionedNotification)]`. [`ironic`] is ironic's whole set, ready for use; [`nova`] has nova's
//! event types and publishers.
//!
//! The parts, in the order in which a notification passes them:
//!
//! 1. [`Fills`]: fields of a domain object fill those of a payload, by name, checked by the compiler;
//! 2. [`VersionedNotification::emit`]: asks the [`Outlet`] whether the notification would be sent, masks,
//!    writes the wire form;
//! 3. [`Emitter`]: takes the finished [`Emission`](crate::Emission); a [`Notifier`](crate::Notifier) sends it
//!    to a broker;
//! 4. [`read`]: the way back, into a typed object, or a lossless [`UnknownObject`]; [`ObjectForm`] reads
//!    objects of any class.
//!
//! The wire form of an object, keys in this order (only ironic has `changes`):
//!
//! ```json
//! {"ironic_object.name": "NodePayload", "ironic_object.namespace": "ironic", "ironic_object.version": "1.17",
//!  "ironic_object.data": {"uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"}, "ironic_object.changes": ["uuid"]}
//! ```
//!
//! Checked against the notifications and fingerprints of ironic 39, nova 34, and oslo.versionedobjects 3.12
//! (`fixtures/emission`, `library/fixtures`).
//!
//! A required field that was never set does not compile: `populate` takes all sources and a struct of all
//! extra fields, so the compiler names the missing one. Reading is more lenient than oslo.versionedobjects: a
//! newer minor version is read, and an unreadable object is an `UnknownObject`.
//!
//! This program emits the notifications of a node's power state:
//!
//! ```
#![doc = include_str!("../examples/power_set.rs")]
//! ```
//!
#![doc = include_str!("versioned/guide.md")]

mod json;
mod version;

mod address;
mod date_time;
mod enumeration;
mod field;
mod flexible_dict;
mod kind;
mod text_kinds;

mod compatible;
mod fingerprint;
mod form;
mod object;
mod read;
mod schema;

mod emitter;
mod level;
mod notification;
mod outlet;
mod topics;

pub mod ironic;
pub mod nova;

pub use crate::{Context, Recorder, RequestContext};
pub use address::{MacAddress, MacAddressError};
pub use compatible::{Manifest, NotConvertible, to_version};
pub use date_time::{DateTime, DateTimeError, Zone};
pub use emitter::Emitter;
pub use enumeration::{UnlistedValue, VersionedEnum};
pub use field::{Dict, FieldError, FieldProblem, FieldType, MaybeSet, Wire};
pub use fingerprint::{FingerprintMismatch, check_fingerprints, fingerprint, fingerprint_text};
pub use flexible_dict::FlexibleDict;
pub use form::ObjectForm;
pub use json::{Json, JsonObject};
pub use kind::{ClassField, EnumValues, FieldKind, ObjectInfo, SourceField};
pub use level::{Level, Severity, Threshold, ThresholdError};
pub use notification::{EventTypeText, PublisherText, VersionedNotification};
pub use object::{ObjectPayload, VersionedObject, to_payload_text};
pub use osnl_derive::{VersionedEnum, VersionedNotification, VersionedObject};
pub use outlet::Outlet;
pub use read::{NotReadable, ReadObject, ReadVersioned, UnknownObject, WireObject, read, read_text};
pub use schema::{Fills, FillsOr, IntoPayload};
pub use text_kinds::{IpNetwork, PciAddress, SensitiveText, Uuid, VersionPredicate};
pub use topics::Topics;
pub use version::{ObjectVersion, ObjectVersionError};

/// Functions that the derives' output calls; not part of the API.
#[doc(hidden)]
pub mod derived {
    pub use serde::Serializer;
    pub use serde::ser::SerializeMap;

    pub use super::enumeration::{read_enum, write_enum};
    pub use super::field::read_field;
    pub use super::object::{debug, has_changes, read_nested, write_nested};
}
