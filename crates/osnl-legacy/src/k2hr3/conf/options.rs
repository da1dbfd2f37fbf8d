//! The options of a `k2hr3_osnl.conf`: the names, types and defaults of k2hr3_osnl 1.0.8,
//! documented words that it refused or ignored, and osnl's own.
//!
//! Names are those of the file, so that `conf.k2hr3.api_url` is the same as in Python. "k2hr3_osnl"
//! in the documentation of a field is version 1.0.8.

use osnl::native::JournalConf;
use osnl_config::{Kind, ReadBySection, options, words};
pub use osnl_config::{Level, LogFile};
use osnl_model::{Pattern, TransportUrl};

use super::ApiUrl;
use super::check::{api_url, broker_name, log_file, max_retries, pattern, patterns, seconds, transport_url};

/// The documented default; in k2hr3_osnl's code it lacks the colon.
pub(super) const DEFAULT_API_URL: &str = "https://localhost/v1/role";

const LEVELS: Kind = Kind::Choice(&["debug", "info", "warn", "warning", "error", "notset"]);
const LIBS_LEVELS: Kind = Kind::Choice(&["debug", "info", "warn", "warning", "error"]);
const TLS: Kind = Kind::Choice(&["oslo", "verify", "unverified"]);
const PATTERN: &str = "regular expression";

/// A checked `k2hr3_osnl.conf`. Debug output shows no password.
#[derive(Clone, Debug)]
pub struct Conf {
    pub log: LogOptions,
    pub oslo_messaging_notifications: NotificationOptions,
    pub k2hr3: K2hr3Options,
    /// `[journal]`, osnl's own group: the store of messages. Default: `memory://`, as k2hr3_osnl
    /// kept no state.
    pub journal: JournalConf,
}

options! {
    #[derive(Clone, Debug)]
    pub struct LogOptions {
        debug_level: Level = "info", kind(LEVELS) => "The log level of this program (the manual claims warning). The file may have debug, info, warn, error, notset, in lower case, and `warning`, which the manual calls the default and k2hr3_osnl refused. `critical` is valid on the command line only.";
        log_file: LogFile as log_file = "sys.stderr" => "The file of the log.";
        libs_debug_level: Level = "warn", kind(LIBS_LEVELS) => "The log level of the libraries. The file may have debug, info, warn, error and `warning`, which k2hr3_osnl refused although the manual's sample has it.";
    }
}

options! {
    #[derive(Clone, Debug)]
    pub struct NotificationOptions {
        event_type: Pattern as pattern = r"^port\.delete\.end$", written(PATTERN) => "The event types that match from their start.";
        publisher_id: Pattern as pattern = "^network.*$", written(PATTERN) => "The publishers that match from their start.";
        context: Vec<(String, Pattern)> as patterns, kind(Kind::Dict) => "Top-level keys of the context that must be texts and match.";
        metadata: Vec<(String, Pattern)> as patterns, kind(Kind::Dict) => "The same for message_id and timestamp.";
        payload: Vec<(String, Pattern)> as patterns, kind(Kind::Dict) => "The same for the payload.";
        transport_url: TransportUrl as transport_url = "rabbit://guest:guest@127.0.0.1:5672/", secret => "The URL of the broker.";
        tls: ReadBySection = "oslo", kind(TLS) => "How the broker is verified: as its URL has it, always with the name, or not at all. osnl's own option; k2hr3_osnl ignores unknown options (fixtures/k2hr3, 09-unknown-keys.conf).";
        topic: String as broker_name = "notifications" => "The topic, one name; the queue is bound with `<topic>.info`.";
        exchange: String as broker_name = "neutron" => "The topic exchange; an empty name is oslo.messaging's default, `openstack`.";
        executor: Executor = "threading" => "Accepted without effect.";
        pool: String as broker_name = "k2hr3_osnl" => "The name of the queue, shared by all daemons that use it; with an empty name the queue is `<topic>.info`.";
        allow_requeue: bool = "True" => "Whether a message may return to the queue. With false, the result \"requeue\" acknowledges the message.";
    }
}

impl NotificationOptions {
    /// Returns the exchange that an empty option names in oslo.messaging, too.
    pub(in crate::k2hr3) fn exchange(&self) -> &str {
        if self.exchange.is_empty() { "openstack" } else { &self.exchange }
    }

    /// Returns the pool; without one the queue is the services' own, `<topic>.info`.
    pub(in crate::k2hr3) fn pool(&self) -> Option<&str> {
        (!self.pool.is_empty()).then_some(&*self.pool)
    }
}

options! {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct K2hr3Options {
        api_url: ApiUrl as api_url = DEFAULT_API_URL => "The URL of DELETE requests. k2hr3_osnl's default lacked the colon, so a file without this option lost every message. It read the URL only when a message arrived, cut host names at a dash and refused IPv6. Here a bad URL is refused at load time, and such hosts work.";
        timeout_seconds: u32 as seconds = "30", kind(Kind::Integer) => "Seconds for a whole call: connection, request and answer.";
        max_retries: u32 as max_retries = "5", kind(Kind::Integer) => "The number of repetitions of a call that K2HR3 *refuses*. Without an answer, or after a 5xx, repetitions have no limit. A negative number acts as 0.";
        retries: ReadBySection = "5", kind(Kind::Integer) => "The manual's name of max_retries, which k2hr3_osnl ignored. Here both names count, and `max_retries` wins. The documented default, 3, never was in effect.";
        retry_interval_seconds: u32 as seconds = "60", kind(Kind::Integer) => "The longest pause before a repetition, in seconds; the first pause is one second.";
        allow_self_signed_cert: bool = "False" => "Whether the server's certificate *and its name* go unchecked.";
        requeue_on_error: bool = "False" => "Whether a message whose call failed returns to the queue.";
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    Threading,
    Eventlet,
}

words!(Executor: "threading" => Executor::Threading, "eventlet" => Executor::Eventlet);
