//! The actions that a rule runs. An action *reports the outcome of an attempt*; the retry policy decides whether
//! another attempt or a dead letter follows (see [`osnl_delivery`]). Actions never sleep, never retry and never
//! count; the delivery loop gives each attempt its deadline.
//!
//! [`driver`] is the contract; each other public module is a driver.

pub mod canary;
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
mod sent;
pub mod syslog;
pub mod transport_url;
mod wire;

pub use osnl_http as http;

pub use osnl_core::attempt::{Action, ActionError, Done, ErrorClass};
pub use osnl_core::event::{Event, FAILURE, Progress};
pub use osnl_core::received::KeyForm;
