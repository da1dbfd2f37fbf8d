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
//! The syntax is [`osnl_config`]'s. From the weakest layer to the strongest: defaults, files in the order
//! named, `OS_<GROUP>__<OPTION>` of the environment, the command line. Other than in a `k2hr3_osnl.conf` a name
//! that has no effect is an error. All errors come at once; a half-right configuration gives nothing.
//!
//! [`load`] reads, checks and types; [`crate::assembly`] builds what runs; [`LoadedConf::document`] is the same
//! configuration as text again, with where each value came from. `docs/reference/configuration.md` lists each option.

mod action;
mod admin;
pub(crate) mod canary;
mod catalogue_lint;
pub(crate) mod change;
mod check;
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

/// A checked native configuration. Printing it (Debug) shows no password.
#[derive(Clone, Debug)]
pub struct Native {
    /// The log level of the program.
    pub log_level: Level,
    /// The log level of the libraries.
    pub libs_log_level: Level,
    /// The destination of the log.
    pub log_file: LogFile,
    /// The form of its lines.
    pub log_format: LogFormat,
    /// The folder of the state; `None` is [`crate::state_dir::default`].
    pub state_dir: Option<PathBuf>,
    /// The age from which on a pending delivery needs attention.
    pub attention_age: Duration,
    /// The group whose members may ask the daemon, and change nothing.
    pub control_group: Option<SystemGroup>,
    /// The journal that keeps messages until they are done.
    pub journal: JournalConf,
    /// The limit of kept messages that match no rule.
    pub keep_unmatched: KeepUnmatched,
    /// The admin endpoint; `None` is off.
    pub admin: Option<AdminConf>,
    /// The canary; `None` is off.
    pub canary: Option<CanaryConf>,
    /// In the order of the files; never empty.
    pub listeners: Vec<ListenerConf>,
    /// In the order of the files; never empty.
    pub rules: Vec<RuleConf>,
    /// In the order of the files; never empty.
    pub actions: Vec<ActionConf>,
    /// In the order of the files.
    pub enrichments: Vec<EnrichConf>,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// `[journal]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalConf {
    /// Nothing outlives the process: a message is acknowledged after its last outcome.
    Memory,
    /// A file: a message is acknowledged when it is kept.
    Sqlite(SqliteOptions),
    /// A database that several daemons share: the same.
    Shared(SharedOptions),
}

/// `[listener:NAME]`: one subscription on one connection.
#[derive(Clone, Debug)]
pub struct ListenerConf {
    /// The section's name.
    pub name: Arc<str>,
    /// The broker.
    pub transport_url: TransportUrl,
    /// The topic exchanges of the services; empty with `queue`.
    pub exchanges: Vec<String>,
    /// Each is bound to each exchange with each priority.
    pub topics: Vec<String>,
    /// The priorities bound.
    pub priorities: Vec<Priority>,
    /// The queue's name; `None` are the services' own queues, one for each topic and priority.
    pub pool: Option<String>,
    /// The reaction to a missing exchange; with [`Declare::Nothing`], `pool` is a queue that exists.
    pub declare: Declare,
    /// The type and the options of the queue.
    pub queue: QueueKind,
    /// Unsettled messages that the broker may hand us.
    pub prefetch: u16,
    /// After this long without room for another message, what the broker has pushed goes back to it.
    pub give_back_after: Duration,
    /// The resources that one message may use.
    pub budget: Budget,
    /// Whether it receives the canary.
    pub has_canary: bool,
    /// Whether its dead letters go into a queue, as those of a quorum queue of its own do with `memory://`.
    pub keeps_dead_letters: bool,
    /// The least number of messages; with fewer the stream is silent.
    pub expect: Option<Rate>,
    /// The greatest age of an event when it is first read; deliveries of older ones are dead letters.
    pub max_event_age: Option<Duration>,
    /// The options of oslo.messaging's rabbit driver from `[oslo_messaging_rabbit]`, the URL's query and this section.
    pub rabbit: RabbitOptions,
    /// The management API of its broker; `None` is not asked.
    pub management: Option<ManagementConf>,
    /// The options of oslo.messaging's Kafka driver from `[oslo_messaging_kafka]` and the URL's query.
    #[cfg(feature = "kafka")]
    pub kafka: KafkaOptions,
}

/// `[rule:NAME]`.
#[derive(Clone, Debug)]
pub struct RuleConf {
    /// The conditions and actions.
    pub rule: Rule,
    /// The listeners whose messages it sees.
    pub listeners: Vec<Arc<str>>,
    /// A rule that is not is checked and never matches.
    pub enabled: bool,
    /// The limit beyond which deliveries of the rule are held.
    pub guard: Option<Rate>,
    /// The least number of messages on which it fires; with fewer the stream is silent.
    pub expect: Option<Rate>,
}

/// `[action:NAME]`.
#[derive(Clone, Debug)]
pub struct ActionConf {
    /// The section's name.
    pub name: Arc<str>,
    /// The driver with its options.
    pub driver: ActionDriver,
    /// At what pace its deliveries are made, when they are given up, and what follows.
    pub delivery: DeliverySettings,
    /// The condition besides those of the rules: decided before anything is kept, or, if it looks at what `enrich`
    /// brings, before the first attempt.
    pub when: Option<Expression>,
    /// The action that handles the dead letters of this one instead.
    pub on_failure: Option<Fallback>,
    /// Beyond it, what rules want of it is held.
    pub guard: Option<Rate>,
    /// The fate of deliveries beyond `max_pending`.
    pub on_full: OverflowPolicy,
    /// The enrichments that are asked before the first attempt, in this order.
    pub enrich: Vec<Arc<str>>,
}

/// The sources of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files, later ones over earlier ones.
    pub files: Vec<PathBuf>,
    /// Folders whose `*.conf` follow them, sorted by name.
    pub folders: Vec<PathBuf>,
    /// The drivers that actions may name.
    pub drivers: Drivers,
    /// Over the files.
    pub environment: Environment,
    /// A file whose rules stand in place of all those of the files; what else is in it lies over them. It is read last.
    pub rules: Option<PathBuf>,
    /// Options of `[DEFAULT]` given on the command line, over everything: option, value, flag.
    pub flags: Vec<(&'static str, String, &'static str)>,
}

/// A configuration that can be used, and what its writer should know about it.
#[derive(Clone)]
pub struct LoadedConf {
    /// The checked values.
    pub conf: Native,
    /// In the order of files and lines.
    pub warnings: Vec<Warning>,
    layers: Layers,
    /// The files with secrets and certificates that options name, as they were read.
    named_files: Vec<change::NamedFile>,
    drivers: Drivers,
    files: Vec<String>,
}

impl LoadedConf {
    /// Returns the warnings with those of [`never_sent`](Self::never_sent) among them, for commands that check a
    /// configuration.
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

    /// Adds warnings that only commands which check a configuration ask for, such as those of
    /// [`never_sent`](Self::never_sent), in the order of files and lines.
    pub fn add_warnings(&mut self, more: Vec<Warning>) {
        self.warnings.extend(more);
        in_order(&mut self.warnings, |warning| &warning.0, &self.files);
    }

    /// Makes a finding about an option of a section, at its line; about the section where nothing sets the option.
    pub(crate) fn finding(&self, kind: &str, name: &str, option: &str, problem: &str) -> Finding {
        let mut sections = self.layers.sections.iter();
        let section = sections.find(|section| section.def.kind == kind && section.name == name);
        findings::finding_at(section, option, problem)
    }

    /// Makes a finding about a file, at the line of a section that names it; about the section where none does.
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
    /// Without the texts as they were written, which may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { conf, warnings, layers: _, named_files: _, drivers: _, files: _ } = self;
        f.debug_struct("LoadedConf").field("conf", conf).field("warnings", warnings).finish_non_exhaustive()
    }
}

/// Reads and checks.
///
/// # Errors
/// Everything that is wrong, in the order of files and lines; no value is used if one is wrong.
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

/// Like [`load`], for files that the caller has read: names and contents, the later ones win. Of `sources`, the
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
