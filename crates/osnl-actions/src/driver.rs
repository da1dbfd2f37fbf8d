//! The seam for what actions do. A driver is a file of its own, `x.rs` or `x/conf.rs`, with
//!
//! - a type of its checked options, which is `ReadDriver`: its table, a row for each option (name, default, whether it is
//!   a secret, what a value is and means), and how a section is read;
//! - the same type's `DriverConf`: what is built of it, explained, previewed and probed.
//!
//! Three lines register it: `mod x` in `lib.rs`, and two in `osnl/src/native/drivers.rs`. Files are then read by the table,
//! `config show`, `config reference` and the pages made of it have its options, and an option of one driver in a
//! section of another is refused with the name of its driver.
//!
//! Options that every action has (`timeout`, `max_attempts`, `guard` and so on) belong to no driver: `native/deliveries.rs`
//! of `osnl` has and reads them. A driver may have another default for one of those.

mod compiled;
mod hosts;
mod interest;
mod login;
mod logins;
mod native_reader;
mod preview;
pub mod probe;
mod template_names;
mod tls;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use osnl_model::{LoginProtection, Notification, TransportUrl, mask_secrets};
use osnl_openstack::CloudConf;
use osnl_template::Names;
use osnl_transport::{BoxFuture, Declare};

pub use self::hosts::{MOST_AT_ONCE, hosts, rate};
pub use self::interest::{Interest, MakeObserver, SharedObserver};
pub use self::login::{LOGIN, cloud, content as cloud_content};
pub use self::logins::Logins;
pub use self::native_reader::{ACTION, ENRICH, NativeReader, RULE, exchange_of_service};
pub use self::preview::Preview;
pub use self::probe::{
    NO_REQUEST, broker_probe, certificate_of_cloud, client_certificate_probe, cloud_probe, file_probe,
    server_certificate_probe, silent, target_probe,
};
pub use self::probe::{Probe, ProbeVerdict};
pub use self::template_names::TEMPLATE_NAMES;
pub(crate) use self::template_names::{FENCE, OF_EVERY_DRIVER, OF_REQUESTS};
pub use self::tls::TlsConf;
pub use self::tls::{CA_FILE, UNVERIFIED, VERIFY};
use crate::Action;
use crate::http_request::Statuses;
pub use osnl_config::OptionDef;
pub use osnl_config::sections::{DriverTable, SectionReader};
use osnl_core::event::idempotency_key;
use osnl_core::metrics::Counters;
use osnl_delivery::HostLimits;
use osnl_delivery::enrich::Ask;
use osnl_http::{HttpError, HttpOptions, Scheme, Url};
pub use osnl_model::SentLogin;

/// The checked options of an action's driver. Its Debug form shows no secret.
#[derive(Clone)]
pub struct ActionDriver {
    table: DriverTable,
    conf: Arc<dyn DriverConf>,
}

impl ActionDriver {
    /// A driver that no section names.
    pub fn of<T: ReadDriver>(conf: T) -> Self {
        Self { table: T::TABLE, conf: Arc::new(conf) }
    }

    /// The operations on its options.
    pub fn conf(&self) -> &dyn DriverConf {
        &*self.conf
    }

    /// Name and options of the driver.
    pub fn table(&self) -> DriverTable {
        self.table
    }

    /// The options as those of one driver; `None` for another driver.
    #[must_use]
    pub fn options<T: 'static>(&self) -> Option<&T> {
        (&*self.conf as &dyn Any).downcast_ref()
    }
}

impl fmt::Debug for ActionDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.conf.fmt(f)
    }
}

/// A driver as the list of drivers has it: its table, and the reader of a section.
#[derive(Clone, Copy)]
pub struct DriverEntry {
    /// Name and options.
    pub table: DriverTable,
    /// Reads the options of a section; `None` with an error reported.
    pub read: fn(&mut SectionReader<'_>) -> Option<ActionDriver>,
}

impl DriverEntry {
    /// The entry of this driver.
    pub const fn of<T: ReadDriver>() -> Self {
        Self { table: T::TABLE, read: read::<T> }
    }
}

fn read<T: ReadDriver>(reader: &mut SectionReader<'_>) -> Option<ActionDriver> {
    T::read(reader).map(ActionDriver::of)
}

/// The reason why an action with valid options cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The certificates or the proxy of an action.
    #[error("[action:{action}] {error}")]
    Http {
        /// The section's name.
        action: Arc<str>,
        /// The problem and its remedy.
        error: HttpError,
    },
    /// Anything else that an action needs.
    #[error("[action:{action}] {problem}")]
    Other {
        /// The section's name.
        action: Arc<str>,
        /// The problem and its remedy. No secret.
        problem: String,
    },
}

/// A driver's options, checked. Its Debug form shows no secret.
pub trait ReadDriver: DriverConf + Sized {
    /// Name and options.
    const TABLE: DriverTable;

    /// Reads the driver's own options of one section. An implementation that answers `None` has reported why.
    fn read(reader: &mut SectionReader<'_>) -> Option<Self>;
}

/// The operations on a driver's options. Texts are for people and hold no secret.
pub trait DriverConf: Any + fmt::Debug + Send + Sync {
    /// Builds the action that makes the attempts. Nothing is connected; files may be opened.
    ///
    /// # Errors
    /// Options that are valid as a configuration and cannot be used here.
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError>;

    /// Describes the action in a sentence: its first line in `osnl check`.
    fn does(&self) -> String;

    /// Lists the logins that its requests carry, so that `osnl check` and the start name those that a network could read. A login
    /// to a cloud is listed where [`cloud`] reads it.
    fn logins(&self) -> Vec<SentLogin>;

    /// Further lines there: a word of at most ten letters, and what it stands for.
    fn explain(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Describes the failed attempts that use up `max_attempts`, and those that do not.
    fn retries(&self, refuser: &str) -> Retries {
        let counted = format!("by {refuser}");
        Retries { counted, uncounted: "timeouts".to_owned(), down: "no connection" }
    }

    /// Returns the other peculiarities of the driver.
    fn traits(&self) -> Traits<'_> {
        Traits::default()
    }

    /// Whether what it does may come back as an event of this subscription.
    fn feeds(&self, subscription: &ListenerSubscription<'_>) -> bool {
        let _ = subscription;
        false
    }

    /// Shows the effect that the action would have for an event, without it.
    fn preview(&self, wanted: &CallRequest<'_>) -> Preview;

    /// Whether what it needs is there and lets us in, without using it.
    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>>;
}

/// Returns the login of a request to a URL that an option names.
pub fn login_at(option: &'static str, url: &Url) -> SentLogin {
    let protection = match url.scheme() {
        Scheme::Https => LoginProtection::Verified,
        Scheme::Http => LoginProtection::Clear,
    };
    SentLogin::new(option, url.host(), protection, "write https://, or send it to this machine only")
}

/// The kinds of failed attempts, in words that follow a number and "for".
pub struct Retries {
    /// "other statuses".
    pub counted: String,
    /// "408, 425, timeouts".
    pub uncounted: String,
    /// Those that hold the target at once: "no connection".
    pub down: &'static str,
}

impl Retries {
    /// Those of a target that speaks HTTP, which is asked again after these statuses.
    pub fn over_http(later: &Statuses) -> Self {
        let down = match (later.contains(429), later.contains(503)) {
            (true, true) => "no connection, 429, 503 with Retry-After",
            (true, false) => "no connection, 429",
            (false, true) => "no connection, 503 with Retry-After",
            (false, false) => "no connection",
        };
        let uncounted = match later.to_string() {
            _ if *later == Statuses::usual() => {
                "408, 425, 5xx (503 only without Retry-After), timeouts".to_owned()
            }
            none if none.is_empty() => "timeouts".to_owned(),
            later if down == "no connection" => format!("{later}, timeouts"),
            later => format!("{later} (if not down), timeouts"),
        };
        Self { counted: "other statuses".to_owned(), uncounted, down }
    }
}

/// The properties that distinguish an action's driver from the others; the default is that of most.
pub struct Traits<'a> {
    /// The target that may refuse an attempt, for sentences such as "at most 6 if K2HR3 refuses". `None`: nothing
    /// answers, and attempts are not mentioned.
    pub refuser: Option<&'static str>,
    /// The `[enrich:NAME]` whose cloud is asked before its first attempt for what no event has told of an instance, beside
    /// what `enrich` names.
    pub asks: Option<&'a Arc<str>>,
    /// Its interest in what messages mean before they are kept.
    pub interest: Option<Interest>,
    /// Whether what `enrich` brings can reach what it does: by templates, or as `enrichments` of all of the event.
    pub takes_enrichments: bool,
    /// The cloud that it logs in to by itself.
    pub logs_in: Option<&'a CloudConf>,
    /// Whether it destroys something, so that a guard is recommended.
    pub destroys: bool,
    /// The limits of each host that an event names; `None` if events name no host.
    pub hosts: Option<HostLimits>,
    /// The time for which the first event of a call waits for others where the driver has an option of its own for
    /// that.
    pub gathers: Option<Duration>,
}

impl Default for Traits<'_> {
    fn default() -> Self {
        Self {
            refuser: Some("the target"),
            asks: None,
            interest: None,
            takes_enrichments: true,
            logs_in: None,
            destroys: false,
            hosts: None,
            gathers: None,
        }
    }
}

/// The subscription of a listener.
pub struct ListenerSubscription<'a> {
    /// The broker.
    pub transport_url: &'a TransportUrl,
    /// The reaction to a missing exchange.
    pub declare: Declare,
    /// The exchanges that its queues are bound to.
    pub exchanges: &'a [String],
    /// The topics, each bound to each exchange.
    pub topics: &'a [String],
}

/// The means that a driver may need to build its action.
#[derive(Clone, Copy)]
pub struct BuildContext<'a> {
    /// The action's name.
    pub name: &'a Arc<str>,
    /// The HTTP options of targets where the action has none of its own.
    pub http: &'a HttpOptions,
    /// The logins to clouds.
    pub logins: &'a Logins,
    /// The counters of the process.
    pub counters: &'a Arc<Counters>,
}

/// The means that a driver may need to probe.
#[derive(Clone, Copy)]
pub struct ProbeContext<'a> {
    /// The section, as `action:roles`.
    pub section: &'a str,
    /// As [`BuildContext::http`].
    pub http: &'a HttpOptions,
    /// The time that all of it may take.
    pub deadline: Duration,
}

/// The request of a rule to an action, before anything is done about it.
#[derive(Clone, Copy, Debug)]
pub struct CallRequest<'a> {
    /// The event; of a bulk request the payload of the one resource.
    pub notification: &'a Notification,
    /// The rule that matched.
    pub rule: &'a str,
    /// The index of the notification's resource, where a bulk request has several.
    pub resource: Option<u32>,
    /// The questions of the action before it is called, in its order.
    pub asks: &'a [Ask],
}

impl CallRequest<'_> {
    /// Returns the names of a template: this form of the notification, and the known answers of enrichments, secrets
    /// masked. Of unknown answers it has the places where their values will stand.
    pub fn names(&self, shown: Notification) -> Names {
        self.asks.iter().fold(Names::from(shown), |names, ask| ask.named(names, mask_secrets))
    }

    /// As an attempt will have it; a message without an id has the digest of its bytes.
    pub fn idempotency_key(&self, action: &str) -> String {
        idempotency_key(self.notification, self.rule, action, self.resource, || "DIGEST".to_owned())
    }

    /// The object `enrichments` of drivers that hand over all of an event, for people; `None` where nothing is asked.
    pub fn enrichments(&self) -> Option<(&'static str, String)> {
        let found = self.names(Notification::default()).found()?;
        Some(("enrichments", found.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_holds_the_target_is_named_wherever_it_is_retried() {
        for (later, down, uncounted) in [
            (
                "408, 425, 429, 5xx",
                "no connection, 429, 503 with Retry-After",
                "408, 425, 5xx (503 only without Retry-After), timeouts",
            ),
            (
                "408,425,429,500-599",
                "no connection, 429, 503 with Retry-After",
                "408, 425, 5xx (503 only without Retry-After), timeouts",
            ),
            ("429, 502", "no connection, 429", "429, 502 (if not down), timeouts"),
            ("409, 503", "no connection, 503 with Retry-After", "409, 503 (if not down), timeouts"),
            ("409", "no connection", "409, timeouts"),
            ("", "no connection", "timeouts"),
        ] {
            let found = Retries::over_http(&later.parse().unwrap());
            assert_eq!((found.down, &*found.uncounted), (down, uncounted), "{later}");
        }
    }
}
