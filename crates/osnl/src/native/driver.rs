//! The seam for what actions do. A driver is a file of its own, `action/x.rs` or `action/x/conf.rs`, with
//!
//! - a type of its checked options, which is [`ReadDriver`]: its table, a row for each option (name, default, whether it is
//!   a secret, what a value is and means), and how a section is read;
//! - the same type's [`DriverConf`]: what is built of it, explained, previewed and probed.
//!
//! Two lines make it known: `mod x` in `action.rs`, and its own in `drivers!` below. Files are then read by the table,
//! `config show`, `config reference` and the pages made of it have its options, and an option of one driver in a section of
//! another is refused with the name of who has it.
//!
//! What every action has (`timeout`, `max_attempts`, `guard` and so on) is no driver's: it is read in `native/action.rs`. A
//! driver may have another default for one of those.

mod tls;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use osnl_model::{Notification, mask_secrets};
use osnl_openstack::CloudConf;
use osnl_template::Names;
use osnl_transport::BoxFuture;

pub use self::tls::TlsConf;
pub(crate) use self::tls::{CA_FILE, VERIFY};
pub(crate) use super::deliveries::hosts;
use super::logins::Logins;
pub(crate) use super::native_reader::NativeReader;
pub(crate) use super::probe::{Probe, broker_probe, cloud_probe, file_probe, target_probe};
use super::{BuildError, ListenerConf, Preview};
use crate::action::http::HttpOptions;
use crate::action::{Action, idempotency_key};
use crate::delivery::{DeliverySettings, HostLimits};
use crate::enrich::Ask;
use crate::metrics::Counters;
use crate::oss::Lists;
pub(crate) use osnl_config::sections::{DriverOption, DriverTable, Reader};

/// A line for each driver: its variant, and the type of its options.
macro_rules! drivers {
    ($($(#[$doc:meta])+ $variant:ident($conf:ty),)+) => {
        /// What an action does.
        #[derive(Clone, Debug)]
        pub enum Driver {
            $($(#[$doc])+ $variant($conf),)+
        }

        impl Driver {
            pub(super) fn conf(&self) -> &(dyn DriverConf + Sync) {
                match self {
                    $(Self::$variant(conf) => conf,)+
                }
            }

            /// Name and options of the driver.
            pub(super) fn table(&self) -> DriverTable {
                match self {
                    $(Self::$variant(_) => <$conf as ReadDriver>::TABLE,)+
                }
            }
        }

        /// The options of all drivers, in the order they are documented in.
        pub(super) static TABLES: &[DriverTable] = &[$(<$conf as ReadDriver>::TABLE,)+];

        /// All drivers, in the same order.
        pub(super) static DRIVERS: &[DriverEntry] = &[
            $(DriverEntry {
                table: <$conf as ReadDriver>::TABLE,
                read: |reader| <$conf as ReadDriver>::read(reader).map(Driver::$variant),
            },)+
        ];
    };
}

drivers! {
    /// Deletes hosts that are gone from K2HR3.
    K2hr3(crate::action::k2hr3::K2hr3Conf),
    /// Calls anybody's API or webhook.
    Http(crate::action::http_request::HttpConf),
    /// Posts what came and went, as oss_watcher did.
    OssRest(crate::action::oss_rest::OssRestConf),
    /// Writes events down.
    Dump(crate::action::dump::DumpConf),
    /// Runs a program.
    Exec(crate::action::exec::ExecConf),
    /// Calls a plug-in class of the OSS Framework.
    Python(crate::action::python::PythonConf),
    /// Writes events into a file that is rotated.
    File(crate::action::file::FileConf),
    /// Tells the machine's log, or a collector of logs.
    Syslog(crate::action::syslog::SyslogConf),
    /// Sends events on to an exchange.
    Publish(crate::action::publish::PublishConf),
    /// Writes mails.
    Mail(crate::action::mail::MailConf),
    /// Makes new hosts members of a role of K2HR3.
    K2hr3Register(crate::action::k2hr3_register::K2hr3RegisterConf),
}

/// A driver's options, checked. Its Debug form shows no secret.
pub(crate) trait ReadDriver: DriverConf + Sized {
    /// Name and options.
    const TABLE: DriverTable;

    /// Its own options of one section. Whoever answers `None` has said why.
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

/// What can be done with a driver's options. Texts are for people and hold no secret.
pub(crate) trait DriverConf {
    /// What makes the attempts. Nothing is connected; files may be opened.
    ///
    /// # Errors
    /// What is right as a configuration and cannot run here.
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, BuildError>;

    /// What it does, in a sentence: the first line of an action in `osnl check`.
    fn does(&self) -> String;

    /// Further lines there: a word of at most ten letters, and what it stands for.
    fn explain(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Who may refuse an attempt, for sentences such as "at most 6 if K2HR3 refuses". `None`: nobody answers, and nothing
    /// is said of attempts.
    fn refuser(&self) -> Option<&'static str> {
        Some("the target")
    }

    /// The events of which it has to know what they mean against what was seen before; `None` if it takes each as it is.
    fn watches(&self) -> Option<Lists> {
        None
    }

    /// The `[enrich:NAME]` whose cloud is asked before its first attempt for what no event has told of an instance, beside
    /// what `enrich` names. Only for who [watches](Self::watches).
    fn asks(&self) -> Option<&Arc<str>> {
        None
    }

    /// Whether what `enrich` brings can reach what it does: by templates, or as `enrichments` of all of the event.
    fn takes_enrichments(&self) -> bool {
        true
    }

    /// The cloud that it logs in to by itself.
    fn logs_in(&self) -> Option<&CloudConf> {
        None
    }

    /// Whether it destroys something, so that a guard is recommended.
    fn destroys(&self) -> bool {
        false
    }

    /// Whether what it does may come back as an event of this listener.
    fn feeds(&self, listener: &ListenerConf) -> bool {
        let _ = listener;
        false
    }

    /// What each host that an event names is allowed; `None` if events name no host.
    fn hosts(&self) -> Option<HostLimits> {
        None
    }

    /// How long the first event of a call waits for others where the driver has an option of its own for that.
    fn gathers(&self) -> Option<Duration> {
        None
    }

    /// What it would do about an event, without doing it.
    fn preview(&self, wanted: &Wanted<'_>) -> Preview;

    /// Whether what it needs is there and lets us in, without using it.
    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>>;
}

/// What a driver may need to build its action.
#[derive(Clone, Copy)]
pub(crate) struct BuildContext<'a> {
    /// The action's name.
    pub(crate) name: &'a Arc<str>,
    /// How HTTP targets are reached where the action does not say otherwise.
    pub(crate) http: &'a HttpOptions,
    /// How it is delivered: the time that an attempt has, and how many are made at once.
    #[expect(dead_code, reason = "for drivers that start something which has to end in time")]
    pub(crate) settings: &'a DeliverySettings,
    /// Where what outlives the process may be kept; `None` where nothing names a folder.
    #[expect(dead_code, reason = "for drivers that keep something")]
    pub(crate) state_folder: Option<&'a Path>,
    /// What the process counts.
    #[expect(dead_code, reason = "for drivers that count something of their own")]
    pub(crate) counters: &'a Arc<Counters>,
    /// What is logged in to clouds.
    pub(crate) logins: &'a Logins,
}

/// What a driver may need to probe.
#[derive(Clone, Copy)]
pub(crate) struct ProbeContext<'a> {
    /// The section, as `action:roles`.
    pub(crate) section: &'a str,
    /// As [`BuildContext::http`].
    pub(crate) http: &'a HttpOptions,
    /// How long it may take in all.
    pub(crate) deadline: Duration,
}

/// What a rule wants of an action, before anything is done about it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The event; of a bulk request the payload of the one resource.
    pub notification: &'a Notification,
    /// The rule that fired.
    pub rule: &'a str,
    /// Which of the notification's resources it is about, where a bulk request has several.
    pub resource: Option<u32>,
    /// What the action asks before it is called, in its order.
    pub asks: &'a [Ask],
}

impl Wanted<'_> {
    /// What a template can name: this form of the notification, and what is known of enrichments, secrets masked; of
    /// others where their values will stand.
    pub(crate) fn names(&self, shown: Notification) -> Names {
        self.asks.iter().fold(Names::from(shown), |names, ask| ask.named(names, mask_secrets))
    }

    /// As an attempt will have it; a message without an id has the digest of its bytes.
    pub(crate) fn idempotency_key(&self, action: &str) -> String {
        idempotency_key(self.notification, self.rule, action, self.resource, || "DIGEST".to_owned())
    }

    /// The object `enrichments` of drivers that hand over all of an event, for people; `None` where nothing is asked.
    pub(crate) fn enrichments(&self) -> Option<(&'static str, String)> {
        let found = self.names(Notification::default()).found()?;
        Some(("enrichments", found.to_string()))
    }
}

/// How a section with this driver is read.
pub(super) struct DriverEntry {
    pub(super) table: DriverTable,
    pub(super) read: fn(&mut Reader<'_>) -> Option<Driver>,
}

/// The driver of this name.
pub(super) fn driver(name: &str) -> Option<&'static DriverEntry> {
    DRIVERS.iter().find(|entry| entry.table.name == name)
}

/// `k2hr3, dump`.
pub(super) fn names() -> Vec<&'static str> {
    DRIVERS.iter().map(|entry| entry.table.name).collect()
}
