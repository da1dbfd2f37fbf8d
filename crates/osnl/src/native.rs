//! osnl's own configuration: listeners, rules and actions by name.
//!
//! ```text
//! [DEFAULT]          debug, log_level, libs_log_level, log_file, state_dir, attention_age, control_group
//! [journal]          connection, retention, max_size, max_pending, max_dead, allow_volatile, keep_unmatched, ...
//! [admin]            listen, token, tls_certificate, tls_key, client_ca_file, allow_changes, host_names
//! [canary]           listener, every, action
//! [oslo_messaging_rabbit]  the options of oslo.messaging's rabbit driver; each may stand in a listener too
//! [oslo_messaging_kafka]   those of its Kafka driver, in a build with Kafka
//! [listener:NAME]    transport_url, exchange, topics, priorities, pool, queue, declare, queue_type, ...
//! [rule:NAME]        listeners, event_type, publisher_id, context.KEY, metadata.KEY, payload.KEY, when, actions, ...
//! [action:NAME]      driver, timeout, max_attempts, guard, ...; what else depends on the driver
//! [enrich:NAME]      kind, id, cloud, auth_url, ..., cache_ttl, timeout, default, on_error
//! ```
//!
//! The syntax is that of [`osnl_config`]. The layers, weakest first: defaults, files in the given order,
//! `OS_<GROUP>__<OPTION>` of the environment, the command line. Unlike in a `k2hr3_osnl.conf`, a name without effect is
//! an error. [`load`] reports all errors at once, and returns no value if one is wrong.
//!
//! [`crate::assembly`] builds the running parts. [`LoadedConf::document`] is the same configuration as text, with the
//! source of each value. `docs/reference/configuration.md` lists each option.

mod action;
mod admin;
pub(crate) mod canary;
mod catalogue_lint;
pub(crate) mod change;
mod check;
mod dead_machine;
mod deletions;
mod deliveries;
mod derived;
mod document;
mod drivers;
mod empty_names;
mod enrich;
mod equalities;
mod explain;
mod fallback;
mod findings;
mod guests;
pub mod journal;
#[cfg(feature = "kafka")]
mod kafka;
mod lenient;
mod management;
mod members;
mod preview;
mod probe;
mod programs;
mod proxies;
mod rabbit;
mod reference;
mod rights;
mod rule_events;
pub(crate) mod schema;
mod secrets;
mod sections;
mod service_exchanges;
#[cfg(test)]
mod tests;
mod topology;
mod unreachable_rules;
mod when;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use osnl_config::sections::{Findings, Layers, joined, repeated};
use osnl_config::{
    ConfigError, ConfigErrors, Environment, Finding, Ini, Level, LogFile, Rate, ValueOrigin, Warning,
    files_of, folder_finding, in_order, read_text, secret_file,
};
use osnl_core::fallback::Fallback;
use osnl_model::{Budget, Priority, TransportUrl};
use osnl_template::Expression;
#[cfg(feature = "kafka")]
use osnl_transport::KafkaOptions;
use osnl_transport::{Declare, QueueKind, RabbitOptions};

pub use self::admin::{AdminAddress, AdminConf, AdminTls};
pub use self::canary::CanaryConf;
pub use self::change::SectionChangeKind;
pub use self::deliveries::OverflowPolicy;
pub use self::document::{DocEntry, DocSection, Document};
pub use self::drivers::Drivers;
pub use self::lenient::state_folder_of;
pub use self::probe::OwnDaemon;
pub use self::proxies::proxy_warnings;
pub use self::reference::{Reference, ReferenceOption, ReferenceSection, reference};
pub use self::rights::SystemUser;
pub(crate) use self::secrets::ChangedSecret;
pub use crate::action::driver::{
    ActionDriver, CallRequest, DriverError, Preview, Probe, ProbeVerdict, TlsConf,
};
use crate::delivery::DeliverySettings;
use crate::enrich::EnrichConf;
use crate::group::SystemGroup;
use crate::journal::shared::SharedOptions;
use crate::journal::sqlite::SqliteOptions;
use crate::management::ManagementConf;
use crate::rule::Rule;
use crate::unmatched::KeepUnmatched;

/// A checked native configuration, whose `Debug` output shows no password.
#[derive(Clone, Debug)]
pub struct Native {
    pub log_level: Level,
    pub libs_log_level: Level,
    pub log_file: LogFile,
    pub log_format: LogFormat,
    /// The folder of the state; `None` means [`crate::state_dir::default`].
    pub state_dir: Option<PathBuf>,
    /// The age from which a pending delivery needs attention.
    pub attention_age: Duration,
    /// The group whose members may query the daemon but change nothing.
    pub control_group: Option<SystemGroup>,
    pub journal: JournalConf,
    pub keep_unmatched: KeepUnmatched,
    pub admin: Option<AdminConf>,
    pub canary: Option<CanaryConf>,
    /// The listeners in the order of the files; never empty.
    pub listeners: Vec<ListenerConf>,
    /// The rules in the order of the files; never empty.
    pub rules: Vec<RuleConf>,
    /// The actions in the order of the files; never empty.
    pub actions: Vec<ActionConf>,
    pub enrichments: Vec<EnrichConf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalConf {
    /// No file: nothing outlives the process, so a message is acknowledged after its last outcome.
    Memory,
    /// A file: a message is acknowledged once the journal has it.
    Sqlite(SqliteOptions),
    /// A database that several daemons share; acknowledges as a file does.
    Shared(SharedOptions),
}

/// `[listener:NAME]`: one subscription on one connection.
#[derive(Clone, Debug)]
pub struct ListenerConf {
    pub name: Arc<str>,
    pub transport_url: TransportUrl,
    /// The topic exchanges of the services; empty with `queue`.
    pub exchanges: Vec<String>,
    /// The topics, each bound to each exchange with each priority.
    pub topics: Vec<String>,
    pub priorities: Vec<Priority>,
    /// The queue's name; `None` means the services' own queues, one per topic and priority.
    pub pool: Option<String>,
    /// The reaction to a missing exchange; with [`Declare::Nothing`], `pool` names an existing queue.
    pub declare: Declare,
    pub queue: QueueKind,
    /// The limit of unsettled messages that the broker pushes.
    pub prefetch: u16,
    /// The time without room for another message after which pushed messages return to the broker.
    pub give_back_after: Duration,
    pub budget: Budget,
    pub has_canary: bool,
    /// Whether a queue receives its dead letters, as the own quorum queue of a listener does with `memory://`.
    pub keeps_dead_letters: bool,
    /// The lowest rate of messages; below, the stream is silent.
    pub expect: Option<Rate>,
    /// The highest age of an event when it is first read; deliveries of an older event are dead letters.
    pub max_event_age: Option<Duration>,
    /// The options of oslo.messaging's rabbit driver from `[oslo_messaging_rabbit]`, the URL's query and this section.
    pub rabbit: RabbitOptions,
    /// The management API of the listener's broker, if it is to be asked.
    pub management: Option<ManagementConf>,
    /// The options of oslo.messaging's Kafka driver from `[oslo_messaging_kafka]` and the URL's query.
    #[cfg(feature = "kafka")]
    pub kafka: KafkaOptions,
}

#[derive(Clone, Debug)]
pub struct RuleConf {
    pub rule: Rule,
    pub listeners: Vec<Arc<str>>,
    /// Whether the rule may match; a disabled rule is checked all the same.
    pub enabled: bool,
    /// The rate beyond which deliveries of the rule are held.
    pub guard: Option<Rate>,
    /// The lowest rate of messages on which the rule fires; below, the stream is silent.
    pub expect: Option<Rate>,
}

#[derive(Clone, Debug)]
pub struct ActionConf {
    pub name: Arc<str>,
    pub driver: ActionDriver,
    pub delivery: DeliverySettings,
    /// A condition besides those of the rules. It is decided before anything is kept, or before the first attempt if it
    /// reads names that `enrich` adds.
    pub when: Option<Expression>,
    /// The action that handles this action's dead letters instead.
    pub on_failure: Option<Fallback>,
    /// The rate beyond which deliveries to this action are held.
    pub guard: Option<Rate>,
    pub on_full: OverflowPolicy,
    /// The enrichments asked before the first attempt, in this order.
    pub enrich: Vec<Arc<str>>,
}

#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The files; a later file overrides an earlier one.
    pub files: Vec<PathBuf>,
    /// Folders whose `*.conf` are read after the files, sorted by name.
    pub folders: Vec<PathBuf>,
    pub drivers: Drivers,
    /// The environment, which overrides the files.
    pub environment: Environment,
    /// A file read last, whose rules replace all rules of the files; its other options override theirs.
    pub rules: Option<PathBuf>,
    /// Options of `[DEFAULT]` from the command line, which override all else: option, value, flag.
    pub flags: Vec<(&'static str, String, &'static str)>,
}

/// A usable configuration with its warnings.
#[derive(Clone)]
pub struct LoadedConf {
    pub conf: Native,
    /// The warnings, in the order of files and lines.
    pub warnings: Vec<Warning>,
    layers: Layers,
    /// The named files with secrets and certificates, as read.
    named_files: Vec<change::NamedFile>,
    drivers: Drivers,
    files: Vec<String>,
}

impl LoadedConf {
    /// Returns the warnings, with those of [`never_sent`](Self::never_sent), for commands that check a configuration.
    #[must_use]
    pub fn all_warnings(&self) -> Vec<Warning> {
        let mut warnings = self.warnings.clone();
        warnings.extend(self.never_sent());
        warnings.extend(self.empty_names());
        warnings.extend(self.guest_hosts());
        warnings.extend(self.service_exchanges());
        warnings.extend(self.not_deletions());
        in_order(&mut warnings, |warning| &warning.0, &self.files);
        warnings
    }

    /// Adds warnings, in the order of files and lines, that only the checking commands ask for.
    pub fn add_warnings(&mut self, more: Vec<Warning>) {
        self.warnings.extend(more);
        in_order(&mut self.warnings, |warning| &warning.0, &self.files);
    }

    /// Makes a finding at an option's line, or at the section's where the option is not set.
    pub(crate) fn finding(&self, kind: &str, name: &str, option: &str, problem: &str) -> Finding {
        let mut sections = self.layers.sections.iter();
        let section = sections.find(|section| section.def.kind == kind && section.name == name);
        findings::finding_at(section, option, problem)
    }

    /// Makes a finding about a file, at the line of a section that names the file, if any.
    pub(crate) fn finding_of_file(
        &self,
        kind: &str,
        name: &str,
        file: Option<&Path>,
        problem: &str,
    ) -> Finding {
        let mut sections = self.layers.sections.iter();
        let section =
            sections.find(|section| section.def.kind == kind && (name.is_empty() || section.name == name));
        let mut entries = section.iter().flat_map(|section| &section.entries);
        let named = file.and_then(|file| entries.find(|entry| Path::new(entry.text.trim()) == file));
        findings::finding_at(section, named.map_or("", |entry| &entry.option), problem)
    }
}

impl std::fmt::Debug for LoadedConf {
    /// Omits the layers, whose texts may contain secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { conf, warnings, layers: _, named_files: _, drivers: _, files: _ } = self;
        f.debug_struct("LoadedConf").field("conf", conf).field("warnings", warnings).finish_non_exhaustive()
    }
}

/// Reads and checks the configuration of all sources.
///
/// # Errors
/// Everything that is wrong, in the order of files and lines.
pub fn load(sources: &Sources) -> Result<LoadedConf, ConfigErrors> {
    let mut errors = Vec::new();
    let mut files = sources.files.clone();
    for folder in &sources.folders {
        match files_of(folder) {
            Ok(more) => files.extend(more),
            Err(error) => errors.push(ConfigError(folder_finding(folder, &error))),
        }
    }
    files.extend(sources.rules.clone());
    let mut texts = Vec::new();
    for file in &files {
        let name = file.display().to_string();
        match read_text(file) {
            Ok(text) => texts.push((name, text)),
            Err(error) => errors.push(ConfigError(error.finding(&name))),
        }
    }
    if errors.is_empty() { load_texts(&texts, sources) } else { Err(ConfigErrors(errors)) }
}

/// Like [`load`], for names and contents that the caller has read; a later text wins. From `sources` only the
/// environment, the flags, and `rules` count; the rules are the last text.
///
/// # Errors
/// As [`load`].
pub fn load_texts(texts: &[(String, String)], sources: &Sources) -> Result<LoadedConf, ConfigErrors> {
    let mut layers = Layers::new(sources.drivers.schema());
    let mut findings = Findings::default();
    for (n, (name, text)) in texts.iter().enumerate() {
        if sources.rules.is_some() && n + 1 == texts.len() {
            layers.sections.retain(|section| section.def.kind != schema::RULE);
        }
        let (ini, syntax) = Ini::parse(name, text);
        findings.errors.extend(syntax);
        let (twice, mixed) = repeated(&ini);
        findings.extend(Findings { errors: twice, warnings: mixed });
        findings.extend(layers.apply(&ini));
    }
    findings.extend(layers.apply_environment(&sources.environment));
    for (option, value, flag) in &sources.flags {
        layers.set(schema::DEFAULT, option, value, ValueOrigin::CommandLine { flag });
    }
    findings.errors.extend(layers.alike());
    findings.warnings.extend(secret_file::read_all(&mut layers, &sources.environment));
    findings.warnings.extend(joined(&layers));
    findings.warnings.extend(secret_file::open_files(&layers));
    let last = texts.last().map_or("configuration", |(name, _)| name.as_str());
    let checked = check::check(last, &layers, sources.drivers);
    let Findings { mut errors, mut warnings } = findings;
    errors.extend(checked.errors);
    warnings.extend(checked.warnings);
    let files: Vec<String> = texts.iter().map(|(name, _)| name.clone()).collect();
    in_order(&mut errors, |error| &error.0, &files);
    in_order(&mut warnings, |warning| &warning.0, &files);
    match checked.conf {
        Some(conf) if errors.is_empty() => {
            let named_files = change::named_files(&layers);
            Ok(LoadedConf { conf, warnings, layers, named_files, drivers: sources.drivers, files })
        }
        Some(_) | None => Err(ConfigErrors(errors)),
    }
}
