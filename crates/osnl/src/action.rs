//! What is done about a notification. An action *reports what happened*; what that means, another
//! attempt or a dead letter, is decided by the retry policy (see [`crate::delivery`]). Actions never
//! sleep, never retry and never count; the delivery loop gives each attempt its deadline.

pub mod driver;
pub mod dump;
pub(crate) mod event_names;
pub mod exec;
pub mod file;
pub mod http_request;
pub mod k2hr3;
pub mod k2hr3_register;
pub mod mail;
pub mod publish;
pub mod syslog;
mod wire;

pub use osnl_http as http;

pub use osnl_core::attempt::{Action, ActionError, Done, ErrorClass};
pub use osnl_core::event::{Event, Progress};
pub(crate) use osnl_core::event::{FAILURE, idempotency_key};
pub use osnl_core::received::KeyForm;
