//! osnl's own configuration: listeners, rules and actions by name.
//!
//! ```text
//! [DEFAULT]          debug, log_level, libs_log_level, log_file, state_dir, attention_age, control_group
//! [journal]          connection, retention, max_size, max_pending, max_dead, allow_volatile, keep_unmatched, ...
//! [admin]            listen, token, tls_certificate, tls_key, client_ca_file, allow_changes, host_names, ...
//! [canary]           listener, every, action
//! [incidents]        actions, after, severity, kinds
//! [oslo_messaging_rabbit]  the options of oslo.messaging's rabbit driver; each may also be in a listener
//! [oslo_messaging_kafka]   those of its Kafka driver, in a build with Kafka
//! [listener:NAME]    transport_url, exchange, topics, priorities, pool, queue, declare, queue_type, ...
//! [rule:NAME]        listeners, event_type, publisher_id, context.KEY, metadata.KEY, payload.KEY, when, actions, ...
//! [action:NAME]      driver, timeout, max_attempts, guard, ...; what else depends on the driver
//! [enrich:NAME]      kind, id, cloud, auth_url, ..., cache_ttl, timeout, default, on_error
//! ```
//!
//! `options.rs` declares the options of `[DEFAULT]`, listeners, and rules, and names the files of the others.
//! `check.rs` makes values of them, `schema.rs` ties sections together.
//!
//! The layers, weakest first: defaults, files in the given order, `OS_<GROUP>__<OPTION>` of the environment, the
//! command line. Unlike in a `k2hr3_osnl.conf`, a name without effect is an error.

mod action;
mod admin;
#[cfg(feature = "amqp1")]
mod amqp1;
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
mod incidents;
pub mod journal;
#[cfg(feature = "kafka")]
mod kafka;
pub(crate) mod kinds;
mod lenient;
mod management;
mod options;
mod preview;
mod programs;
mod proxies;
mod rabbit;
mod reference;
mod rights;
mod rule_events;
mod schema;
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

#[cfg(feature = "kafka")]
use osnl_brokers::kafka::KafkaOptions;
use osnl_config::sections::{Findings, Layers, disguised, joined, repeated};
use osnl_config::template::Expression;
use osnl_config::{
    ConfigError, ConfigErrors, Environment, Finding, Ini, Level, LogFile, Rate, ReadError, ValueOrigin,
    Warning, files_of, folder_finding, in_order, read_text, secret_file,
};
use osnl_core::fallback::Fallback;
use osnl_model::{Budget, Priority, TransportUrl};
use osnl_transport::{Declare, QueueKind, RabbitOptions, shell_quoted};

pub use self::admin::{AdminAddress, AdminConf, AdminTls};
pub use self::canary::CanaryConf;
pub use self::change::ConfInForce;
pub use self::document::{DocEntry, DocSection, Document};
pub use self::drivers::Drivers;
pub(crate) use self::fallback::chain;
pub use self::incidents::IncidentsConf;
pub use self::journal::KeepUnmatched;
pub use self::lenient::state_folder_of;
pub(crate) use self::management::ManagementConf;
pub use self::proxies::{proxied_targets, proxy_warnings};
pub use self::reference::{Reference, ReferenceOption, ReferenceSection, reference};
pub use self::rights::SystemUser;
pub(crate) use self::secrets::ChangedSecret;
pub use crate::action::driver::{
    ActionDriver, CallRequest, DriverError, Preview, Probe, ProbeVerdict, TlsConf,
};
use crate::delivery::DeliverySettings;
use crate::enrich::EnrichConf;
use crate::group::SystemGroup;
use crate::journal::JournalTerms;
use crate::journal::sqlite::SqliteOptions;
use crate::rule::Rule;

/// The mark of a value that only the operator knows, in what `osnl init` writes.
pub const PLACEHOLDER: &str = "CHANGE-ME";

/// A checked configuration, whose `Debug` output shows no password.
#[derive(Clone, Debug)]
pub struct Native {
    pub log_level: Level,
    pub libs_log_level: Level,
    pub log_file: LogFile,
    pub log_format: LogFormat,
    /// The folder of the state; `None` means [`crate::state_dir::default`].
    pub state_dir: Option<PathBuf>,
    pub attention_age: Duration,
    /// The group whose members may query the daemon but change nothing.
    pub control_group: Option<SystemGroup>,
    pub journal: JournalConf,
    pub keep_unmatched: KeepUnmatched,
    pub admin: Option<AdminConf>,
    pub canary: Option<CanaryConf>,
    pub incidents: Option<IncidentsConf>,
    /// The listeners in the order of the files; never empty, like rules and actions.
    pub listeners: Vec<ListenerConf>,
    pub rules: Vec<RuleConf>,
    pub actions: Vec<ActionConf>,
    pub enrichments: Vec<EnrichConf>,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// The kind of the journal, which decides when a message is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalConf {
    /// Nothing outlives the process, so a message is acknowledged after its last outcome.
    Memory,
    /// A message is acknowledged once the file has it.
    Sqlite(SqliteOptions),
}

/// The settings of a `[listener:NAME]`, checked.
#[derive(Clone, Debug)]
pub struct ListenerConf {
    pub name: Arc<str>,
    pub transport_url: TransportUrl,
    pub exchanges: Vec<String>,
    pub topics: Vec<String>,
    pub priorities: Vec<Priority>,
    /// `None` means the services' own queues, one per topic and priority.
    pub pool: Option<String>,
    pub declare: Declare,
    pub queue: QueueKind,
    pub prefetch: u16,
    /// The time without room after which pushed messages return to the broker.
    pub give_back_after: Duration,
    pub budget: Budget,
    pub has_canary: bool,
    /// Whether a queue receives the dead letters, as with `memory://` and an own quorum queue.
    pub keeps_dead_letters: bool,
    /// The lowest rate of messages, below which the stream counts as silent.
    pub expect: Option<Rate>,
    /// The time after which a listener that has never received anything needs attention; `None` means never.
    pub silent_after: Option<Duration>,
    /// The digest of its rules, by which daemons on one queue are compared.
    pub rules_digest: String,
    /// The highest age of an event at its first reading; deliveries of an older event are dead letters.
    pub max_event_age: Option<Duration>,
    pub rabbit: RabbitOptions,
    pub management: Option<ManagementConf>,
    #[cfg(feature = "kafka")]
    pub kafka: KafkaOptions,
}

/// The settings of a `[rule:NAME]`, checked.
#[derive(Clone, Debug)]
pub struct RuleConf {
    pub rule: Rule,
    pub listeners: Vec<Arc<str>>,
    /// Whether the rule may match; a disabled rule is checked all the same.
    pub enabled: bool,
    pub guard: Option<Rate>,
    pub expect: Option<Rate>,
}

/// The settings of an `[action:NAME]`, checked.
#[derive(Clone, Debug)]
pub struct ActionConf {
    pub name: Arc<str>,
    pub driver: ActionDriver,
    pub delivery: DeliverySettings,
    /// A further condition, decided before anything is kept, or before the first attempt if it reads answers of
    /// `enrich`.
    pub when: Option<Expression>,
    pub on_failure: Option<Fallback>,
    pub guard: Option<Rate>,
    pub terms: JournalTerms,
    pub enrich: Vec<Arc<str>>,
}

/// The places from which a configuration is read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub files: Vec<PathBuf>,
    pub folders: Vec<PathBuf>,
    pub drivers: Drivers,
    pub environment: Environment,
    /// Options of `[DEFAULT]` from the command line: option, value, flag.
    pub flags: Vec<(&'static str, String, &'static str)>,
}

/// A valid configuration with its warnings, and the text of its sections for reports.
#[derive(Clone)]
pub struct LoadedConf {
    pub conf: Native,
    pub warnings: Vec<Warning>,
    layers: Layers,
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
        warnings.extend(self.placeholders());
        in_order(&mut warnings, |warning| &warning.0, &self.files);
        warnings
    }

    /// Returns the values of `osnl init` that the operator has not replaced.
    pub fn placeholders(&self) -> impl Iterator<Item = Warning> {
        self.layers.sections.iter().flat_map(|section| {
            let left = section.entries.iter().filter(|entry| entry.text.contains(PLACEHOLDER));
            left.map(|entry| {
                let problem = format!("still has the placeholder {PLACEHOLDER} of osnl init");
                let finding = findings::finding_at(Some(section), &entry.option, &problem);
                Warning(finding.allowed("write the value of this site"))
            })
        })
    }

    pub fn add_warnings(&mut self, more: Vec<Warning>) {
        self.warnings.extend(more);
        in_order(&mut self.warnings, |warning| &warning.0, &self.files);
    }

    pub(crate) fn finding(&self, kind: &str, name: &str, option: &str, problem: &str) -> Finding {
        let mut sections = self.layers.sections.iter();
        let section = sections.find(|section| section.def.kind == kind && section.name == name);
        findings::finding_at(section, option, problem)
    }

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
    /// Omits the layers, which may contain secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { conf, warnings, layers: _, named_files: _, drivers: _, files: _ } = self;
        f.debug_struct("LoadedConf").field("conf", conf).field("warnings", warnings).finish_non_exhaustive()
    }
}

/// Reads and checks the configuration of all sources.
///
/// # Errors
/// All errors, in the order of files and lines.
pub fn load(sources: &Sources) -> Result<LoadedConf, ConfigErrors> {
    let mut errors = Vec::new();
    let mut files = sources.files.clone();
    for folder in &sources.folders {
        match files_of(folder) {
            Ok(more) => files.extend(more),
            Err(error) => errors.push(ConfigError(folder_finding(folder, &error))),
        }
    }
    let mut texts = Vec::new();
    for file in &files {
        let name = file.display().to_string();
        match read_text(file) {
            Ok(text) => texts.push((name, text)),
            Err(ReadError::Missing) if sources.files.contains(file) => {
                let init = format!(
                    "write it by osnl init SERVICE --output {}, or name another one by --config-file",
                    shell_quoted(&name)
                );
                let finding = Finding::new(&name, "there is no such file").allowed(init);
                errors.push(ConfigError(finding));
            }
            Err(error) => errors.push(ConfigError(error.finding(&name))),
        }
    }
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    let mut loaded = load_texts(&texts, sources)?;
    let mut unsafe_places = Vec::new();
    let mut warnings = Vec::new();
    for path in sources.folders.iter().chain(&files) {
        // A folder is told once, and not for each file in it.
        if let Err(place) = crate::state_dir::judge_source(path)
            && !unsafe_places.contains(&place)
        {
            warnings.push(Warning(Finding::new(&path.display().to_string(), place.to_string())));
            unsafe_places.push(place);
        }
    }
    drop(loaded.warnings.splice(0..0, warnings));
    Ok(loaded)
}

/// Loads like [`load`], for names and contents that the caller has read. From `sources` only the environment and the
/// flags count.
///
/// # Errors
/// As [`load`].
pub fn load_texts(texts: &[(String, String)], sources: &Sources) -> Result<LoadedConf, ConfigErrors> {
    let mut layers = Layers::new(sources.drivers.schema());
    let mut findings = Findings::default();
    for (name, text) in texts {
        let (ini, syntax) = Ini::parse(name, text);
        findings.errors.extend(syntax);
        let (twice, mixed) = repeated(&ini);
        findings.extend(Findings { errors: twice, warnings: mixed });
        findings.extend(layers.apply(&ini));
    }
    findings.extend(layers.apply_environment(&sources.environment));
    for (option, value, flag) in &sources.flags {
        layers.set(kinds::DEFAULT, option, value, ValueOrigin::CommandLine { flag });
    }
    findings.errors.extend(layers.alike());
    findings.warnings.extend(secret_file::read_all(&mut layers, &sources.environment));
    findings.warnings.extend(joined(&layers));
    findings.warnings.extend(disguised(&layers));
    findings.warnings.extend(secret_file::open_files(&layers));
    findings.warnings.extend(programs::open_to_others(&layers));
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
            let mut loaded =
                LoadedConf { conf, warnings, layers, named_files, drivers: sources.drivers, files };
            loaded.digest_rules();
            Ok(loaded)
        }
        Some(_) | None => Err(ConfigErrors(errors)),
    }
}
