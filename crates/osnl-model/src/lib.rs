//! The format of oslo.messaging notifications: decoding, filters, resources, masking.
//!
//! The crate is pure: no sockets, no clock, no log, no runtime. It turns bytes into values or errors, and its tests use
//! recorded messages (`fixtures/wire`).
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

pub mod catalogue;
pub mod nova;

mod priority;
mod target;
mod transport_url;

mod body;
mod budget;
mod compress;
mod cut;
mod decode;
mod emission;
mod envelope;
mod error;
mod login;
mod look_alike;
mod notification;
mod one_line;
mod path;
mod python_json;
mod python_literal;

mod bulk_items;
mod digest;
mod filter;
mod redact;
mod resource;
mod scrub;
mod shard;
mod suggest;
mod timestamp;

pub use body::{ContentInfo, plain_body};
pub use budget::{Budget, Excess, ForeignJson, foreign_json, memory_of};
pub use bulk_items::BulkItems;
pub use compress::Compression;
pub use cut::{cut, cut_marked, shortened};
pub use digest::{BodyDigest, BodyHasher, bounded_id};
pub use emission::{Emission, Framing};
pub use envelope::{Head, read_head};
pub use error::{DecodeError, JsonKind, Part, excerpt};
pub use filter::{Mismatch, NotificationFilter, Observed, Pattern, PatternError, Predicate, StepLimit};
pub use login::{LoginProtection, SentLogin};
pub use look_alike::{LookAlike, look_alikes};
pub use notification::Notification;
pub use one_line::{is_dangerous, one_line, one_line_json, one_line_with_tabs};
pub use path::{is_secret_path, walk, walk_object};
pub use priority::Priority;
pub use python_json::{parse_python_json, parse_python_json_as, python_words, to_python_json};
pub use python_literal::parse_python_literal;
pub use redact::{MaskedJson, is_secret_key, mask_secrets, mask_text, mask_url_passwords};
pub use resource::{
    Address, AddressKind, Bulk, Resource, bulk_len, bulk_part, list_of, resource_at, resource_key,
    resource_keys, resources,
};
pub use scrub::Scrubber;
pub use shard::shard_of;
pub use suggest::{as_name, did_you_mean, nearest, no_such};
pub use target::Target;
pub use timestamp::{Timestamp, TimestampError};
pub use transport_url::{Secret, TransportHost, TransportUrl, TransportUrlError};
