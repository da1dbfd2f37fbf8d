//! Names are those of the file, so that `conf.k2hr3.api_url` is the same as in Python. "k2hr3_osnl"
//! in the documentation of a field is version 1.0.8.

use osnl::native::JournalConf;
pub use osnl_config::{Level, LogFile};
use osnl_model::{Pattern, TransportUrl};

use super::ApiUrl;

/// A checked `k2hr3_osnl.conf`. Fields of `[DEFAULT]` are here, other groups have their own types.
/// Debug output shows no password.
#[derive(Clone, Debug)]
pub struct Conf {
    /// The log level of this program. Default: info (the manual claims warning).
    ///
    /// The file may have debug, info, warn, error, notset, in lower case, and `warning`, which the
    /// manual calls the default and k2hr3_osnl refused. `critical` is valid on the command line
    /// only.
    pub debug_level: Level,
    pub log_file: LogFile,
    /// The file may have debug, info, warn, error and `warning`, which k2hr3_osnl refused although
    /// the manual's sample has it.
    pub libs_debug_level: Level,
    pub oslo_messaging_notifications: NotificationOptions,
    pub k2hr3: K2hr3Options,
    /// `[journal]`, osnl's own group: the store of messages. Default: `memory://`, as k2hr3_osnl
    /// kept no state.
    pub journal: JournalConf,
}

#[derive(Clone, Debug)]
pub struct NotificationOptions {
    /// The event types that match from their start. Default: `^port\.delete\.end$`.
    pub event_type: Pattern,
    pub publisher_id: Pattern,
    /// Top-level keys of the context that must be texts and match. Default: none.
    pub context: Vec<(String, Pattern)>,
    pub metadata: Vec<(String, Pattern)>,
    pub payload: Vec<(String, Pattern)>,
    /// The URL of the broker. Default: `rabbit://guest:guest@127.0.0.1:5672/`.
    pub transport_url: TransportUrl,
    pub topic: String,
    pub exchange: String,
    /// Accepted without effect. Default: threading.
    pub executor: Executor,
    /// The name of the queue, shared by all daemons that use it. Default: `k2hr3_osnl`.
    pub pool: String,
    /// Whether a message may return to the queue. Default: true. With false, the result "requeue"
    /// acknowledges the message.
    pub allow_requeue: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K2hr3Options {
    /// The URL of DELETE requests. Default: `https://localhost/v1/role`.
    ///
    /// k2hr3_osnl's default lacked the colon, so a file without this option lost every message. It
    /// read the URL only when a message arrived, cut host names at a dash and refused IPv6. Here a
    /// bad URL is refused at load time, and such hosts work.
    pub api_url: ApiUrl,
    /// Seconds, at least 1, for a whole call: connection, request and answer. Default: 30.
    pub timeout_seconds: u32,
    /// The number of repetitions of a call that K2HR3 *refuses*. Default: 5. Without an answer, or
    /// after a 5xx, repetitions have no limit.
    ///
    /// The manual names it `retries` (default 3), which k2hr3_osnl ignored. Here both names count,
    /// and `max_retries` wins. A negative number acts as 0.
    pub max_retries: u32,
    /// The longest pause before a repetition, in seconds; the first pause is one second. Default:
    /// 60.
    pub retry_interval_seconds: u32,
    /// Whether the server's certificate *and its name* go unchecked. Default: false.
    pub allow_self_signed_cert: bool,
    /// Whether a message whose call failed returns to the queue. Default: false.
    pub requeue_on_error: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    Threading,
    Eventlet,
}
