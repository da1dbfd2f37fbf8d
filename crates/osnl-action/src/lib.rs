//! The contract of drivers, and the action that most of them resemble: an HTTP request.
//!
//! An action makes one attempt and *reports its outcome*; the retry policy of [`osnl_delivery`] decides the rest.
//! Actions never sleep, retry, or count. The delivery loop gives each attempt its deadline.
//!
//! [`driver`] is the contract: a driver reads its options from a section, explains and previews its effect, probes its
//! target, and builds the [`Action`]. [`http_request`] is `driver = http`, for which a program provides the logins that
//! have to be fetched. The other drivers are in `osnl-actions`.
//!
//! Order, lowest first: `statuses`, `driver`, `http_request`.

pub mod driver;
pub mod http_request;
pub mod statuses;

pub use osnl_net::http;

pub use osnl_core::attempt::{Action, ActionError, Completion, ErrorClass};
pub use osnl_core::event::{Event, FAILURE, Progress};
