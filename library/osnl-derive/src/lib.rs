//! Derives for versioned objects and notifications. Programs use them through `osnl_notify::versioned`, which
//! documents the traits of the same names.
//!
//! ```
//! use osnl_notify::versioned::{VersionedObject, to_payload_text};
//!
//! #[derive(Clone, VersionedObject)]
//! #[versioned(namespace = "storage", version = "1.1")]
//! struct VolumePayload {
//!     uuid: String,
//!     #[versioned(since = "1.1")]
//!     size: Option<i64>,
//! }
//!
//! let volume = VolumePayload { uuid: "7b2f".to_owned(), size: Some(10) };
//! assert_eq!(
//!     to_payload_text(&volume)?,
//!     r#"{"storage_object.name":"VolumePayload","storage_object.namespace":"storage","storage_object.version":"1.1","storage_object.data":{"uuid":"7b2f","size":10}}"#
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The attributes in `#[versioned(…)]` are these:
//!
//! | on a struct | meaning |
//! | --- | --- |
//! | `namespace = "ironic"` | the project; required |
//! | `version = "1.0"` | the version of the class; required |
//! | `name = "X"` | the class on the wire, if it is not the struct's name |
//! | `serial_namespace = "x_object"` | what keys begin with, if it is not the namespace and `_object` |
//! | `timestamps` | the class inherits ironic's `created_at` and `updated_at`: in the fingerprint, not on the wire |
//! | `changes` | nested objects carry `changes`, as ironic's do |
//! | `schema_in_fingerprint` | as nova's payloads have it |
//! | `mask = function` | `fn(&mut Self)`, called on a copy before anything is emitted or shown |
//! | `schema(node: Node { uuid, name = display_name, .. })` | what `populate` fills: payload field, or payload field = source field; `..` is every other field that is not `extra` |
//! | `crate = path` | where `osnl_notify::versioned` is, if it is re-exported |
//!
//! | on a field | meaning |
//! | --- | --- |
//! | `extra` | not filled by `..` of the schema |
//! | `default = value` | text, number, `true`, `false`, `[]`, `{}` or `None` |
//! | `since = "1.3"` | the minor version that brought it |
//! | `name = "x"` | the key on the wire, if it is not the field's name |
//! | `kind = "NonNegativeInteger"` | another class of the same form on the wire |
//! | `values("a", "b")` | the values of an enum that is kept as text; with `kind` |
//!
//! | on an enum | meaning |
//! | --- | --- |
//! | `name = "X"`, `crate = path` | as above |
//! | `list` | the values are a Python list, not a tuple |
//! | `value = "x"` on a variant | its text, if it is not the variant's name in snake case |
//! | `other` on a variant with one `String` | takes texts that are not listed |

mod attributes;
mod enumeration;
mod generate;
mod notification;
mod object;
mod schema;
mod source;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives a payload or another object with a version. Also writes `Debug`, which masks secrets, and, if
/// there is a `schema`, `populate` and the struct of its extra fields, `<Name>Extra`.
#[proc_macro_derive(VersionedObject, attributes(versioned))]
pub fn versioned_object(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    object::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Derives a notification: a struct of `payload`, `level` (or nova's `priority`), `event_type` and
/// `publisher`. Also writes `new`, with the arguments payload, event type, publisher, level.
#[proc_macro_derive(VersionedNotification, attributes(versioned))]
pub fn versioned_notification(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    notification::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Derives an enum whose values are strings.
#[proc_macro_derive(VersionedEnum, attributes(versioned))]
pub fn versioned_enum(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    enumeration::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
