//! The contract between actions and the daemon. A driver is a file of its own, `x.rs` or
//! `x/conf.rs`, with
//!
//! - a type of its checked options that implements `ReadDriver`: the table of options (name,
//!   default, secret or not, meaning) and the reader of a section;
//! - the same type's `DriverConf`, which builds, explains, previews and probes the action.
//!
//! Three lines register a driver: `mod x` in `osnl-actions/src/lib.rs`, and two in `osnl/src/native/drivers.rs`. The
//! table then serves the reader of files, `config show`, and `config reference`.
//!
//! Options that every action has (`timeout`, `max_attempts`, `guard` and so on) belong to no
//! driver: `native/deliveries.rs` of `osnl` reads them. A driver may have another default for such
//! an option.
//!
//! Beside its code a driver has the page `docs/x.md`, a row in `docs/actions.md`, a sample in
//! `osnl-cli/src/command/init/sample.rs`, its name in `packaging/etc/osnl.conf` and
//! `fixtures/errors/action/driver.txt`, and a test with recorded requests in `osnl/tests/it/outputs/`.
//! `cargo xtask docs` writes the reference.

mod compiled;
mod interest;
mod native_reader;
mod preview;
mod probe;
mod sections;
mod shared;
mod template_names;
mod tls;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use osnl_config::template::Names;
use osnl_model::{LoginProtection, Notification, TransportUrl, mask_secrets};
use osnl_transport::{BoxFuture, Declare, RabbitOptions, Shards};

pub use self::interest::{Interest, MakeObserver, SharedObserver};
pub use self::native_reader::NativeReader;
pub use self::preview::Preview;
pub(crate) use self::probe::NO_REQUEST;
pub use self::probe::{Probe, ProbeVerdict};
pub use self::probe::{client_certificate_probe, server_certificate_probe, silent, target_probe};
pub use self::sections::{ACTION, ENRICH, RULE};
pub use self::shared::SharedValues;
pub(crate) use self::template_names::{EVENT, OF_REQUESTS};
pub use self::template_names::{OF_EVERY_DRIVER, TEMPLATE_NAMES};
pub use self::tls::{TlsConf, UNVERIFIED};
use crate::Action;
use crate::statuses::Statuses;
pub use osnl_config::OptionDef;
pub use osnl_config::sections::{DriverTable, SectionReader};
use osnl_core::event::idempotency_key;
use osnl_core::metrics::Counters;
use osnl_delivery::HostLimits;
use osnl_delivery::enrich::Ask;
pub use osnl_model::SentLogin;
use osnl_net::http::{HttpError, HttpOptions, Scheme, Url};

/// The checked options of one action, of whichever driver its section names.
#[derive(Clone)]
pub struct ActionDriver {
    table: DriverTable,
    conf: Arc<dyn DriverConf>,
}

impl ActionDriver {
    pub fn new(table: DriverTable, conf: impl DriverConf) -> Self {
        Self { table, conf: Arc::new(conf) }
    }

    pub fn conf(&self) -> &dyn DriverConf {
        &*self.conf
    }

    pub fn table(&self) -> DriverTable {
        self.table
    }

    /// Returns the options as those of one driver; `None` if another one is configured.
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

/// A row of the list of drivers: by its name a section finds the reader of its options.
#[derive(Clone, Copy)]
pub struct DriverEntry {
    pub table: DriverTable,
    /// Reads a section; `None` if an option was refused, which the findings report.
    pub read: fn(&mut SectionReader<'_>) -> Option<ActionDriver>,
}

impl DriverEntry {
    pub const fn for_conf<T: ReadDriver>() -> Self {
        Self { table: T::TABLE, read: read::<T> }
    }
}

fn read<T: ReadDriver>(reader: &mut SectionReader<'_>) -> Option<ActionDriver> {
    Some(ActionDriver::new(T::TABLE, T::read(reader)?))
}

/// The reason why an action with checked options cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("[action:{action}] {error}")]
    Http { action: Arc<str>, error: HttpError },
    #[error("[action:{action}] {problem}")]
    Other { action: Arc<str>, problem: String },
}

/// A driver that needs nothing but its section: its options, and their reader.
pub trait ReadDriver: DriverConf + Sized {
    const TABLE: DriverTable;

    fn read(reader: &mut SectionReader<'_>) -> Option<Self>;
}

/// The checked options of a driver: what commands ask about an action, and what builds it.
pub trait DriverConf: Any + fmt::Debug + Send + Sync {
    /// Builds the action that makes the attempts. Building connects to nothing but may open files.
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError>;

    /// Describes the effect of one attempt, in the words of `osnl explain`.
    fn does(&self) -> String;

    /// Lists the logins that requests carry, so that `osnl check` and the start warn of each login
    /// that a network could read. The reader of a fetched login lists it itself.
    fn logins(&self) -> Vec<SentLogin>;

    /// Lists the options with URLs that requests of the action go to, its login's included.
    fn urls(&self) -> Vec<(&'static str, &Url)> {
        Vec::new()
    }

    /// Names the hosts that requests go to and an attempt alone knows.
    fn later_hosts(&self) -> Option<&'static str> {
        None
    }

    /// Lists what `osnl explain` shows besides the effect, each with its caption.
    fn explain(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Describes the failures that count as attempts, those that do not, and those that hold the target.
    fn retries(&self, refuser: &str) -> Retries {
        let counted = format!("by {refuser}");
        Retries { counted, uncounted: "timeouts".to_owned(), down: "no connection" }
    }

    fn traits(&self) -> Traits<'_> {
        Traits::default()
    }

    /// Whether the listener of this subscription receives what the action publishes.
    fn feeds(&self, subscription: &ListenerSubscription<'_>) -> bool {
        let _ = subscription;
        false
    }

    /// Returns the shards that the action publishes to, with their broker.
    fn shards(&self) -> Option<(&TransportUrl, &RabbitOptions, Shards)> {
        None
    }

    /// Whether a login that it fetches is the same as that of its section before a reload. Files outside the section may
    /// have changed it, and the action is then built anew.
    fn has_login_of(&self, before: &dyn DriverConf) -> bool {
        let _ = before;
        true
    }

    /// Describes the effect on one event, without secrets and without a call.
    fn preview(&self, wanted: &CallRequest<'_>) -> Preview;

    /// Tries what an attempt needs, without an effect.
    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>>;
}

/// Returns a login that requests to this URL carry; `option` is the one that an operator has to change.
pub fn login_at(option: &'static str, url: &Url) -> SentLogin {
    let protection = match url.scheme() {
        Scheme::Https => LoginProtection::Verified,
        Scheme::Http => LoginProtection::Clear,
    };
    SentLogin::new(option, url.host(), protection, "write https://, or send it to this machine only")
}

/// The failures of an action for people, by their consequence.
pub struct Retries {
    /// Failures that count against `max_attempts`.
    pub counted: String,
    /// Failures that are retried without counting.
    pub uncounted: String,
    /// Failures that hold the target for all deliveries.
    pub down: &'static str,
}

impl Retries {
    pub fn over_http(later: &Statuses) -> Self {
        let down = match (later.contains(429), later.contains(503)) {
            (true, true) => "no connection, 429, 503 with Retry-After",
            (true, false) => "no connection, 429",
            (false, true) => "no connection, 503 with Retry-After",
            (false, false) => "no connection",
        };
        let uncounted = match later.to_string() {
            _ if *later == Statuses::usual() => {
                "408, 425, 5xx (503 only without Retry-After), timeouts, 401, 407".to_owned()
            }
            none if none.is_empty() => "timeouts, 401, 407".to_owned(),
            later if down == "no connection" => format!("{later}, timeouts, 401, 407"),
            later => format!("{later} (if not down), timeouts, 401, 407"),
        };
        Self { counted: "other statuses".to_owned(), uncounted, down }
    }
}

/// The properties of an action that its driver decides, for the parts of the daemon that serve every driver.
pub struct Traits<'a> {
    /// The target that may refuse an attempt, for sentences such as "at most 6 if K2HR3 refuses".
    /// With `None` the target never answers, and attempts are not mentioned.
    pub refuser: Option<&'static str>,
    /// The `[enrich:NAME]` whose cloud the driver asks before the first attempt for data of an
    /// instance that no event contained.
    pub asks: Option<&'a Arc<str>>,
    /// The notes on other events that the action needs at an attempt.
    pub interest: Option<Interest>,
    /// Whether the driver uses the answers of enrichments.
    pub takes_enrichments: bool,
    /// Whether an attempt for one resource of a bulk request reads the message beyond that resource. Observers do too.
    pub reads_message: bool,
    /// Whether the effect deletes something, so that a guard is recommended.
    pub destroys: bool,
    /// The limits of each host that an event names; `None` if events name no host.
    pub hosts: Option<HostLimits>,
    /// The time for which the first event of a batch waits for more, where the driver has an option
    /// for that.
    pub gathers: Option<Duration>,
    /// An option by which the driver itself delays a delivery, and its time.
    pub delays: Option<(&'static str, Duration)>,
}

impl Default for Traits<'_> {
    fn default() -> Self {
        Self {
            refuser: Some("the target"),
            asks: None,
            interest: None,
            takes_enrichments: true,
            reads_message: false,
            destroys: false,
            hosts: None,
            gathers: None,
            delays: None,
        }
    }
}

/// The exchanges and routing keys that a listener receives, to find an action that publishes there.
pub struct ListenerSubscription<'a> {
    pub transport_url: &'a TransportUrl,
    pub declare: Declare,
    pub exchanges: &'a [String],
    pub topics: &'a [String],
}

/// The parts of the daemon from which a driver builds its action.
#[derive(Clone, Copy)]
pub struct BuildContext<'a> {
    /// The name of the action.
    pub name: &'a Arc<str>,
    /// The proxies and trust of the program.
    pub http: &'a HttpOptions,
    pub shared: &'a SharedValues,
    pub counters: &'a Arc<Counters>,
}

/// The place and the time of one probe.
#[derive(Clone, Copy)]
pub struct ProbeContext<'a> {
    /// The section that the results name, such as `action:cmdb`.
    pub section: &'a str,
    pub http: &'a HttpOptions,
    /// The time after which the target counts as silent.
    pub deadline: Duration,
}

/// One delivery to preview: an event for one action, as if the rule had fired.
#[derive(Clone, Copy, Debug)]
pub struct CallRequest<'a> {
    pub notification: &'a Notification,
    pub rule: &'a str,
    /// The index of the resource in a bulk event; `None` if the event has one.
    pub resource: Option<u32>,
    /// The questions of the action's enrichments, with the answers that are known.
    pub asks: &'a [Ask],
}

impl CallRequest<'_> {
    /// Returns the names for templates: this form of the notification and the known answers of
    /// enrichments, secrets masked. An unknown answer gets a placeholder.
    pub fn names(&self, shown: Notification) -> Names {
        self.asks.iter().fold(Names::from(shown), |names, ask| ask.named(names, mask_secrets))
    }

    /// Returns the key of the later attempt; a message without an id contributes the digest of its
    /// bytes.
    pub fn idempotency_key(&self, action: &str) -> String {
        idempotency_key(self.notification, self.rule, action, self.resource, || "DIGEST".to_owned())
    }

    /// Returns the known answers of enrichments as one JSON object, with its caption.
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
                "408, 425, 5xx (503 only without Retry-After), timeouts, 401, 407",
            ),
            (
                "408,425,429,500-599",
                "no connection, 429, 503 with Retry-After",
                "408, 425, 5xx (503 only without Retry-After), timeouts, 401, 407",
            ),
            ("429, 502", "no connection, 429", "429, 502 (if not down), timeouts, 401, 407"),
            ("409, 503", "no connection, 503 with Retry-After", "409, 503 (if not down), timeouts, 401, 407"),
            ("409", "no connection", "409, timeouts, 401, 407"),
            ("", "no connection", "timeouts, 401, 407"),
        ] {
            let found = Retries::over_http(&later.parse().unwrap());
            assert_eq!((found.down, &*found.uncounted), (down, uncounted), "{later}");
        }
    }
}
