//! The options of a `k2hr3_osnl.conf`, grouped as in the file.
//!
//! Names are those of the file, so that `conf.k2hr3.api_url` is what it was in Python. "k2hr3_osnl" in
//! the documentation of a field is version 1.0.8.

use osnl::native::JournalConf;
pub use osnl_config::{Level, LogFile};
use osnl_model::{Pattern, TransportUrl};

use super::ApiUrl;

/// A checked `k2hr3_osnl.conf`. The fields of `[DEFAULT]` stand here, the other groups have their own.
/// Printing it (Debug) shows no password.
#[derive(Clone, Debug)]
pub struct Conf {
    /// The log level of this program. Default: info (the manual says warning).
    ///
    /// In the file: debug, info, warn, error, notset, in lower case, and `warning`, which the manual calls
    /// the default and k2hr3_osnl refused. `critical` is a word of the command line only.
    pub debug_level: Level,
    /// The file of the log. Default: `sys.stderr`.
    pub log_file: LogFile,
    /// The log level of the libraries. Default: warn.
    ///
    /// In the file: debug, info, warn, error and, other than in k2hr3_osnl, `warning` (without it the sample
    /// in the manual does not start).
    pub libs_debug_level: Level,
    /// `[oslo_messaging_notifications]`: what is listened to.
    pub oslo_messaging_notifications: NotificationOptions,
    /// `[k2hr3]`: what is called.
    pub k2hr3: K2hr3Options,
    /// `[journal]`: what keeps messages until they are done. Default: `memory://`, as k2hr3_osnl kept no state; the
    /// group is osnl's own.
    pub journal: JournalConf,
}

/// `[oslo_messaging_notifications]`: which messages of which broker.
#[derive(Clone, Debug)]
pub struct NotificationOptions {
    /// Only messages whose event type matches from its start. Default: `^port\.delete\.end$`.
    pub event_type: Pattern,
    /// Only messages whose publisher matches from its start. Default: `^network.*$`.
    pub publisher_id: Pattern,
    /// Top-level keys of the context that must be texts and match. Default: none.
    pub context: Vec<(String, Pattern)>,
    /// The same for the metadata (`message_id`, `timestamp`). Default: none.
    pub metadata: Vec<(String, Pattern)>,
    /// The same for the payload. Default: none.
    pub payload: Vec<(String, Pattern)>,
    /// The broker. Default: `rabbit://guest:guest@127.0.0.1:5672/`.
    ///
    /// Drivers: rabbit, kombu as another name of it, and kafka in a build with it. k2hr3_osnl failed when a password held
    /// `%2F`; this does not.
    pub transport_url: TransportUrl,
    /// The topic, one name; the queue is bound with `<topic>.info`. Default: notifications.
    pub topic: String,
    /// The topic exchange. Default: neutron.
    pub exchange: String,
    /// Accepted and without effect. Default: threading.
    pub executor: Executor,
    /// The name of the queue, shared by all daemons that use it. Default: `k2hr3_osnl`.
    pub pool: String,
    /// Whether a message may go back to the queue. Default: true. With false, the result "requeue"
    /// acknowledges the message.
    pub allow_requeue: bool,
}

/// `[k2hr3]`: how the role API is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K2hr3Options {
    /// The URL that DELETE is sent to. Default: `https://localhost/v1/role`.
    ///
    /// k2hr3_osnl's own default lacked the colon, so a file without this option lost every message; it
    /// looked at the URL when a message arrived, cut host names at a dash and refused IPv6. Here a bad URL is
    /// refused at the load, and those hosts work.
    pub api_url: ApiUrl,
    /// Seconds, at least 1, for one call in all: connecting, asking, the whole answer. Default: 30.
    ///
    /// k2hr3_osnl gave each operation on the connection that long.
    pub timeout_seconds: u32,
    /// The number of repetitions of a call that K2HR3 *refuses*. Default: 5. Without an answer, or with a 5xx, it is
    /// repeated until there is one.
    ///
    /// The manual calls it `retries` (default 3), which k2hr3_osnl ignored; here both names count, and
    /// `max_retries` wins. A negative number acts as 0.
    pub max_retries: u32,
    /// The longest pause before a repetition, in seconds; the first is one second. Default: 60.
    pub retry_interval_seconds: u32,
    /// Whether the server's certificate *and its name* go unchecked. Default: false.
    pub allow_self_signed_cert: bool,
    /// Whether a message whose call failed goes back to the queue. Default: false.
    pub requeue_on_error: bool,
}

/// The words that k2hr3_osnl started with. Neither has an effect here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// `threading`
    Threading,
    /// `eventlet`
    Eventlet,
}
