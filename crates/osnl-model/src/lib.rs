//! The words and bytes of oslo.messaging notifications.
//!
//! Pure: no sockets, no clock, no logging, no runtime. Bytes go in, values or named errors come out, so
//! everything here is tested on recorded messages (`fixtures/wire`).
//!
//! The way of a message through this crate:
//!
//! 1. [`plain_body`] undoes what the message's properties say was done to the body;
//! 2. [`read_head`] reads the three fields most messages are decided by, without reading the payload;
//! 3. [`NotificationFilter::wants`] says from the head whether anybody could want the message;
//! 4. [`Notification::decode`] reads the rest of those that are wanted, and
//!    [`NotificationFilter::matches`] decides.
//!
//! ```
//! use osnl_model::{ContentInfo, Notification, NotificationFilter, Pattern, plain_body, read_head, resource_key};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let raw = br#"{"event_type": "port.delete.end", "priority": "INFO", "payload": {"port_id": "7B2F"}}"#;
//! let filter = NotificationFilter {
//!     event_type: Some(Pattern::new(r"^port\.delete\.end$")?),
//!     ..NotificationFilter::default()
//! };
//! let body = plain_body(raw, &ContentInfo::default())?;
//! if filter.wants(&read_head(&body)?) {
//!     let notification = Notification::decode(&body)?;
//!     filter.matches(&notification)?;
//!     assert_eq!(resource_key(&notification).as_deref(), Some("7b2f"));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`versioned`] is the emitting side: notifications of typed, versioned payloads, and reading them back.
//!
//! [`Budget`] bounds what all of this may cost for one message; the functions without one use its default.
//!
//! [`Target`], [`Priority`] and [`TransportUrl`] are the words in which one says where to listen;
//! [`resources`] reads what a notification is about, whatever its form; [`resource_key`] and [`BodyDigest`] are what order and recognise messages; [`mask_secrets`] makes them
//! fit to be shown; [`service`] reads payloads as their services mean them, and [`catalogue`] knows what they send.

pub mod catalogue;
pub mod service;

mod priority;
mod target;
mod transport_url;

mod body;
mod budget;
mod compress;
mod context;
mod decode;
mod emission;
mod envelope;
mod error;
mod notification;
mod one_line;
mod python_json;
mod python_literal;
mod recorder;

mod digest;
mod filter;
mod redact;
mod resource;
mod suggest;
mod timestamp;

pub mod versioned;

// The derives write `::osnl_model`, here too.
extern crate self as osnl_model;

pub use body::{ContentInfo, plain_body};
pub use budget::{Budget, Excess};
pub use compress::Compression;
pub use context::{Context, RequestContext};
pub use digest::{BodyDigest, BodyHasher};
pub use emission::{Emission, Framing};
pub use envelope::{Head, read_head};
pub use error::{DecodeError, JsonKind, Part};
pub use filter::{Mismatch, NotificationFilter, Pattern, PatternError, Predicate, Saw, StepLimit};
pub use notification::Notification;
pub use one_line::{is_dangerous, one_line, one_line_json, one_line_with_tabs};
pub use priority::Priority;
pub use python_json::{parse_python_json, to_python_json};
pub use python_literal::parse_python_literal;
pub use recorder::Recorder;
pub use redact::{MaskedJson, is_secret_key, mask_members, mask_secrets, mask_text};
pub use resource::{
    Address, AddressKind, Bulk, Resource, bulk_len, bulk_part, resource_at, resource_key, resource_keys,
    resources,
};
pub use suggest::nearest;
pub use target::Target;
pub use timestamp::{Timestamp, TimestampError};
pub use transport_url::{Secret, TransportHost, TransportUrl, TransportUrlError};
