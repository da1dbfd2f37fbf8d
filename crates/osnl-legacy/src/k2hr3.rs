//! A replacement of [k2hr3_osnl](https://github.com/yahoojapan/k2hr3_osnl) 1.0.8, the Python daemon
//! that removes a deleted instance from the roles of K2HR3.
//!
//! Its configuration file has the same meaning here, option for option. Three defects are corrected
//! as its manual promises: a default URL without its colon, documented words that were refused, and
//! values that were checked only with the first message. A file that relied on a defect gets a
//! [`Warning`](osnl_config::Warning).
//!
//! [`Conf`] is a checked configuration. [`NotificationEndpoint`] and [`listen_until`] are what the Python package stands on.
//!
//! ```
//! use osnl_legacy::k2hr3::Conf;
//!
//! let text = "[oslo_messaging_notifications]\nevent_type = ^port\\.delete\\.end$\n\
//!             [k2hr3]\napi_url = https://k2hr3.example.com/v1/role\nmax_retry = 5\n";
//! let loaded = Conf::from_text("k2hr3_osnl.conf", text)?;
//! assert_eq!(loaded.conf.oslo_messaging_notifications.event_type.as_str(), r"^port\.delete\.end$");
//! assert!(loaded.warnings[0].to_string().starts_with("k2hr3_osnl.conf:5: [k2hr3] max_retry: unknown option"));
//! # Ok::<(), osnl_legacy::k2hr3::ConfError>(())
//! ```

mod conf;
mod endpoint;
mod listen;
mod meaning;
mod shown;
mod wire_log;

pub use osnl::actions::k2hr3::{HostParameters, Unusable};
pub use osnl::notification_listener::NotificationResult;

pub use conf::{
    ApiUrl, ApiUrlError, ApiUrlPart, Conf, ConfError, Executor, HiddenInputs, K2hr3Options, Level,
    LoadedConf, LogFile, NotificationOptions, Scheme,
};
pub use endpoint::{NotificationEndpoint, NotificationEndpointError};
pub use listen::listen_until;
pub use meaning::{StartError, explained};
pub use shown::NotNative;

/// The replaced version of k2hr3_osnl; the version of osnl is the crate's.
#[must_use]
pub fn version() -> &'static str {
    "1.0.8"
}
