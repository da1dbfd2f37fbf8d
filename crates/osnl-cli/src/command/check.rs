//! `osnl check`: reads, checks and explains a configuration. Tries its actions with examples of
//! known events, and looks for deliveries in the journal that no action would take.
//!
//! `check` refuses each native configuration that a start refuses. Without `--connect` no connection is made. With
//! that flag [`Native::probe`] tries brokers, targets, and files; no message is consumed, and no object is made or
//! changed.

mod report;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use clap::Args;
use osnl::action::http::HttpOptions;
use osnl::control::{ControlClient, ControlRequest, ListenerStatus, Status, socket_path};
use osnl::explain::{Trial, try_actions};
use osnl::native::{LoadedConf, Native, Probe, ProbeVerdict, SystemUser, proxied_targets, proxy_warnings};
use osnl::probe::OwnDaemon;
use osnl::queues::{DaemonCounts, tag_parts};
use osnl_admin::AdminEndpoint;
use osnl_config::{ConfigError, ConfigErrors, Finding, ValueOrigin, Warning};
use osnl_legacy::k2hr3::NotNative;
use osnl_transport::Thorough;

use self::report::CheckReport;
use super::run::log_refusal;
use super::sources::{self, AnyConf, ConfRefusal};
use crate::app;
use crate::exit::Exit;
use crate::flags::{CheckArgs, OutputFormat, duration};
use crate::output;

pub(super) struct Note {
    pub(super) text: String,
    finding: Option<Finding>,
}

/// The flags of `osnl check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 0 if the configuration is valid; 1 if it is valid, but a template of an action renders no valid \
                  request; 69 if --connect failed; 78 if the configuration is wrong.\n\n\
                  Examples:\n  osnl check --config-file /etc/osnl/osnl.conf\n  \
                  osnl check --connect --format json | jq '.probes[] | select(.verdict != \"ok\")'"
)]
#[command(after_long_help = "\
    `--connect` connects to brokers and targets, and looks for exchanges, queues, files, and certificates. \
    It takes no messages. It changes nothing unless `--declare` is given: then it creates each missing \
    queue, binds it, and deletes it again if it is still empty.")]
pub(crate) struct CheckRunArgs {
    #[command(flatten)]
    pub(crate) of: CheckArgs,
    /// Also connect to brokers and targets, and look for queues and files; changes nothing without
    /// --declare
    #[arg(long)]
    pub(crate) connect: bool,
    /// Test by creating, binding, and deleting each queue that is missing; needs --connect
    #[arg(long, requires = "connect")]
    pub(crate) declare: bool,
    /// Also check that this user may read the configuration and the files it names
    #[arg(long, value_name = "USER", requires = "connect")]
    pub(crate) as_user: Option<String>,
    /// Longest wait for each check of --connect, such as 5s
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Print sentences, or one object of JSON
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    pub(crate) format: OutputFormat,
}

pub(crate) fn run(args: &CheckRunArgs) -> Exit {
    let user = match args.as_user.as_deref().map(SystemUser::find).transpose() {
        Ok(user) => user,
        Err(problem) => {
            sources::complain(&format!("--as-user: {problem}"));
            return Exit::Usage;
        }
    };
    let http = HttpOptions::from_environment(std::env::vars_os());
    let any_conf =
        sources::load(&args.of).and_then(|any_conf| startable(any_conf, &http, user.as_ref())).map(judged);
    let rights = match (&any_conf, &user) {
        (Ok((any_conf, _)), Some(user)) => rights(any_conf, user, &args.of),
        (Ok(_) | Err(_), _) => Vec::new(),
    };
    let judged = any_conf.and_then(|(any_conf, trial)| Ok((meaning(any_conf)?, trial)));
    let ((native, warnings), trial) = match judged {
        Ok(found) => found,
        Err(refused) => {
            match args.format {
                OutputFormat::Text => sources::complain(&refused.to_string()),
                OutputFormat::Json => {
                    output::print(&report::refused(&errors(refused)));
                }
            }
            return Exit::Config;
        }
    };
    let mut warnings = warnings;
    let proxies = proxy_warnings(&http).into_iter().chain(proxied_targets(&native, &http));
    warnings.extend(proxies.map(Note::plain));
    match native.orphans() {
        Ok(found) => warnings.extend(found.iter().map(Note::plain)),
        Err(error) => warnings.push(Note::plain(format!("[journal] connection: the file {error}"))),
    }
    if !args.connect {
        warnings.extend(unusable_places(&native));
    }
    let explanation = explanation(&native, &args.of);
    let mut report = CheckReport { explanation, warnings, trial, probes: None };
    if args.connect {
        let thorough = if args.declare { Thorough::Does } else { Thorough::Asks };
        let daemon = own_daemon(&native, &args.of);
        match app::block_on(native.probe_by(&http, thorough, &daemon, args.timeout)) {
            Ok(mut probes) => {
                probes.extend(rights);
                if args.of.k2hr3_osnl.is_some() {
                    probes.iter_mut().for_each(report::advise_in_form_of_k2hr3_osnl);
                }
                report.probes = Some(probes);
            }
            Err(error) => {
                sources::complain(&format!("the connections cannot be tried: {error}"));
                return Exit::Failed;
            }
        }
    }
    let printed = match args.format {
        OutputFormat::Text => output::print_tinted(&report.text(), report::tint),
        OutputFormat::Json => output::print_bytes(report.json().as_bytes()),
    };
    let failed = report.probes.iter().flatten().any(|probe| probe.verdict == ProbeVerdict::Failed);
    match (failed, report.trial.hopeless.is_empty()) {
        (true, _) => Exit::Unavailable,
        (false, false) => Exit::Failed,
        (false, true) => printed,
    }
}

fn explanation(native: &Native, of: &CheckArgs) -> String {
    let form = if of.is_old_form() { OWN_FORM } else { "" };
    format!("{form}{}", native.explain())
}

fn unusable_places(native: &Native) -> impl Iterator<Item = Note> {
    let unusable = native.places(None).into_iter().filter(|probe| probe.verdict != ProbeVerdict::Fine);
    unusable.map(|Probe { section, what, found, advice, .. }| {
        let advice = advice.map_or(String::new(), |advice| format!("; {advice}"));
        Note::plain(format!("[{section}] {what}: {found}{advice}"))
    })
}

fn rights(any_conf: &AnyConf, user: &SystemUser, args: &CheckArgs) -> Vec<Probe> {
    match any_conf {
        AnyConf::Native(loaded) => loaded.rights_of(user),
        AnyConf::OssWatcher(loaded) => loaded.native.rights_with(user, &loaded.files),
        AnyConf::K2hr3Osnl(loaded) => {
            let files: Vec<String> = args.k2hr3_osnl.iter().map(|path| path.display().to_string()).collect();
            native_form(loaded).map_or_else(|_| Vec::new(), |(native, _)| native.rights_with(user, &files))
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(3);
/// The first line about a file of another program, because the explanation names options that this file cannot have.
const OWN_FORM: &str = "In osnl's own form, whose options are named below (osnl config show prints it):\n";

pub(super) fn own_daemon(native: &Native, of: &CheckArgs) -> OwnDaemon {
    if of.is_old_form() {
        return OwnDaemon::Unknown("under this name osnl has no control socket".to_owned());
    }
    let status = match daemon_status(native) {
        Ok(Some(status)) => status,
        Ok(None) => return OwnDaemon::Stopped,
        Err(unknown) => return OwnDaemon::Unknown(unknown),
    };
    let Some(pid) = status.pid else { return OwnDaemon::Stopped };
    let counts = |listener: &ListenerStatus| {
        let mut consumers = BTreeMap::new();
        let beside = status.listeners.iter().filter(|other| other.broker == listener.broker);
        for queue in beside.flat_map(consumed) {
            *consumers.entry(queue.clone()).or_default() += 1;
        }
        DaemonCounts {
            has_received: Some(listener.messages > 0),
            received: listener.messages,
            matched: status.counters.get("matched").copied(),
            consumers: Some(consumers),
            rules_digest: tag_parts(&listener.consumer_tag).map(|(_, digest)| digest.to_owned()),
        }
    };
    let of = |listener: &ListenerStatus| (listener.name.to_string(), counts(listener));
    OwnDaemon::Runs { pid, counts: status.listeners.iter().map(of).collect() }
}

fn consumed(listener: &ListenerStatus) -> impl Iterator<Item = &String> {
    let is_connected = matches!(listener.state.as_str(), "listening" | "standby" | "blocked" | "draining");
    listener.queues.iter().filter(move |_| is_connected)
}

fn daemon_status(native: &Native) -> Result<Option<Status>, String> {
    let Some(folder) = native.state_folder() else { return Ok(None) };
    let unknown = |error: &dyn std::fmt::Display| format!("{}: {error}", socket_path(&folder).display());
    let client = match ControlClient::connect(&folder, PATIENCE) {
        Ok(client) => client,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(unknown(&error)),
    };
    match app::block_on(client.ask(&ControlRequest::Status { look: true }, None)) {
        Ok(asked) => asked.map(Some).map_err(|error| unknown(&error)),
        Err(error) => Err(unknown(&error)),
    }
}

/// Refuses the places that a start refuses. Files of the unit are judged as its user reads them, unless another user is named.
fn startable(
    any_conf: AnyConf,
    http: &HttpOptions,
    as_user: Option<&SystemUser>,
) -> Result<AnyConf, ConfRefusal> {
    let words = match &any_conf {
        AnyConf::Native(loaded) => {
            let mut errors = loaded.refusals(http);
            errors.extend(unbound(loaded));
            errors
                .extend(log_refusal(&loaded.conf).map(|why| loaded.refusal_at("DEFAULT", "log_file", &why)));
            if let (None, Some(user)) = (as_user, loaded.user_of_unit()) {
                errors.extend(loaded.unreadable_by(&user));
            }
            return if errors.is_empty() {
                Ok(any_conf)
            } else {
                Err(ConfRefusal::Native(ConfigErrors(errors)))
            };
        }
        AnyConf::OssWatcher(loaded) => {
            refused_at_start(&loaded.native.conf, &loaded.origin("DEFAULT", "log_file"), http)
        }
        AnyConf::K2hr3Osnl(loaded) => {
            refused_at_start(&native_form(loaded)?.0.conf, &loaded.origin("DEFAULT", "log_file"), http)
        }
    };
    if words.is_empty() { Ok(any_conf) } else { Err(ConfRefusal::Other(words.join("\n"))) }
}

fn refused_at_start(conf: &Native, log_file: &ValueOrigin, http: &HttpOptions) -> Vec<String> {
    let mut words: Vec<String> = conf.refusals(http).iter().map(ToString::to_string).collect();
    words.extend(log_refusal(conf).map(|why| {
        let finding = Finding::new("default", why).group("DEFAULT").option("log_file");
        finding.from_origin(log_file).to_string()
    }));
    words
}

fn unbound(loaded: &LoadedConf) -> Option<ConfigError> {
    let refused = AdminEndpoint::check(loaded.conf.admin.as_ref()?).err()?;
    Some(loaded.refusal_at("admin", refused.option().unwrap_or_default(), &refused.to_string()))
}

fn native_form(
    loaded: &osnl_legacy::k2hr3::LoadedConf,
) -> Result<(LoadedConf, Option<NotNative>), ConfRefusal> {
    loaded.native().map_err(|error| ConfRefusal::Other(error.to_string()))
}

fn judged(any_conf: AnyConf) -> (AnyConf, Trial) {
    match any_conf {
        AnyConf::Native(mut loaded) => {
            let mut trial = try_actions(&loaded);
            loaded.warnings = loaded.all_warnings();
            loaded.add_warnings(std::mem::take(&mut trial.warnings));
            (AnyConf::Native(loaded), trial)
        }
        legacy @ (AnyConf::K2hr3Osnl(_) | AnyConf::OssWatcher(_)) => (legacy, Trial::default()),
    }
}

pub(super) fn meaning(any_conf: AnyConf) -> Result<(Native, Vec<Note>), ConfRefusal> {
    match any_conf {
        AnyConf::Native(loaded) => Ok((
            loaded.conf,
            loaded.warnings.into_iter().map(|warning| Note::from_finding(warning.0)).collect(),
        )),
        AnyConf::OssWatcher(loaded) => {
            let warnings = loaded.warnings.iter().cloned().chain(loaded.native.guest_hosts());
            Ok((loaded.native.conf.clone(), warnings.map(|warning| Note::from_finding(warning.0)).collect()))
        }
        AnyConf::K2hr3Osnl(loaded) => {
            let (native, refused) = native_form(&loaded)?;
            let mut warnings: Vec<Note> =
                loaded.warnings.iter().map(|warning| Note::from_finding(warning.0.clone())).collect();
            warnings
                .extend(refused.map(|why| Note::plain(format!("osnl config show refuses this file: {why}"))));
            let of_rule = |warning: Warning| {
                let Finding { problem, allowed, option, .. } = warning.0;
                let allowed = allowed.map_or(String::new(), |allowed| format!("; {allowed}"));
                let option = option.as_deref().unwrap_or("event_type");
                Note::plain(format!("[oslo_messaging_notifications] {option}: {problem}{allowed}"))
            };
            let of_catalogue = native.not_deletions().into_iter().chain(native.never_sent());
            warnings.extend(of_catalogue.chain(native.guest_hosts()).map(of_rule));
            warnings.extend(loaded.manual_differences().into_iter().map(|what| Note {
                text: format!("manual and program of k2hr3_osnl differ; osnl uses {what}"),
                finding: None,
            }));
            Ok((native.conf, warnings))
        }
    }
}

fn errors(refused: ConfRefusal) -> Vec<Note> {
    match refused {
        ConfRefusal::Native(errors) => {
            errors.0.into_iter().map(|error| Note::from_finding(error.0)).collect()
        }
        ConfRefusal::Other(words) => {
            words.lines().map(|line| Note { text: line.to_owned(), finding: None }).collect()
        }
    }
}

impl Note {
    fn plain(text: impl ToString) -> Self {
        Self { text: text.to_string(), finding: None }
    }

    fn from_finding(finding: Finding) -> Self {
        Self { text: finding.to_string(), finding: Some(finding) }
    }
}
