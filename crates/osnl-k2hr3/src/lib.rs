//! The compatible form of k2hr3_osnl, unchanged for its operators.
//!
//! [k2hr3_osnl](https://github.com/yahoojapan/k2hr3_osnl) is the Python daemon that deletes an instance
//! from the roles of K2HR3 when OpenStack says that the instance, or its port, is gone. A file written for
//! its last version, 1.0.8, runs here with the same meaning, option for option. Where that meaning was a
//! defect (a default URL without its colon, documented words that were refused, values checked only when
//! the first message was already lost) this module does what the manual says, and says so: as a
//! [`Warning`](osnl_config::Warning) if the file relied on it, in the documentation of the field
//! otherwise.
//!
//! [`Conf`] is the configuration, whole and checked; [`Conf::from_path`] is its `K2hr3Conf(path)`.
//!
//! # The library
#![doc = include_str!("../../../docs/k2hr3-library.md")]

mod conf;
mod endpoint;
mod listen;
mod meaning;
mod shown;
mod wire_log;

pub use osnl::action::k2hr3::{HostParameters, Unusable};
pub use osnl::notification_listener::NotificationResult;

pub use conf::{
    ApiUrl, ApiUrlError, ApiUrlPart, Conf, ConfError, Executor, HiddenInputs, K2hr3Options, Level, Loaded,
    LogFile, NotificationOptions, Scheme,
};
pub use endpoint::{NotificationEndpoint, NotificationEndpointError};
pub use listen::{listen, listen_on};
pub use meaning::StartError;
pub use shown::NotNative;

/// The version of k2hr3_osnl whose place this takes; the version of osnl is the crate's.
#[must_use]
pub fn version() -> &'static str {
    "1.0.8"
}

/// Any error of this module: the counterpart of `K2hr3Error`, which the other two derive from.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `K2hr3ConfError`
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// `K2hr3NotificationEndpointError`
    #[error(transparent)]
    NotificationEndpoint(#[from] NotificationEndpointError),
}
