use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use osnl::action::http::HttpOptions;
use osnl::assembly::BuildError;
use osnl::control::ControlHandler;
use osnl::daemon::Daemon;
use osnl::metrics::Counters;
use osnl::native::{self, AdminConf, DriverError, LoadedConf, LogFormat, Native, Sources};
use osnl_admin::{AdminEndpoint, AdminStartError, serve_control_socket};
use osnl_config::{LogFile, duration};

use super::k2hr3_osnl::filter;
use super::sources as files;
use crate::app::{self, Signals};
use crate::exit::Exit;
use crate::flags::SourceArgs;
use crate::logging::{self, LogDestination, LogSettings};

/// The flags of `osnl run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Environment variables OS_<SECTION>__<OPTION> override files; --debug and --log-file override both.\n\n\
                  Exits with 0 after a stop; 1 after another failure; 69 if another daemon has the journal \
                  or the [admin] address; 78 if the configuration is wrong; 130 if a second signal aborts.\n\n\
                  Example:\n  osnl run --config-file /etc/osnl/osnl.conf"
)]
#[command(after_long_help = "\
    SIGTERM, SIGINT: osnl reads no new message and finishes running attempts within 30 s; the broker \
    delivers the rest again. A second signal aborts. SIGHUP: the log file is opened again, and the \
    configuration is read again.")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Log everything, as debug = true does
    #[arg(long)]
    pub(crate) debug: bool,
    /// Log file instead of stderr
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<String>,
}

pub(crate) fn run(args: &RunArgs) -> Exit {
    let mut sources = files::from_args(&args.sources);
    if args.debug {
        sources.flags.push(("debug", "true".to_owned(), "--debug"));
    }
    if let Some(path) = &args.log_file {
        sources.flags.push(("log_file", path.clone(), "--log-file"));
    }
    let ended = match native::load(&sources) {
        Ok(loaded) => start(loaded, sources).unwrap_or_else(|error| {
            files::complain(&format!("{error:#}"));
            Exit::Failed
        }),
        Err(errors) => {
            files::complain(&errors.to_string());
            Exit::Config
        }
    };
    logging::flush();
    ended
}

fn start(loaded: LoadedConf, sources: Sources) -> anyhow::Result<Exit> {
    let settings = settings(&loaded.conf);
    logging::start(&settings)
        .map_err(|error: io::Error| anyhow::anyhow!(settings.destination.unopened(&error)))?;
    let more = loaded.service_exchanges().into_iter().chain(loaded.placeholders());
    for warning in loaded.warnings.iter().cloned().chain(more) {
        tracing::warn!(%warning, "the configuration has a warning");
    }
    let counters = Arc::new(Counters::default());
    let (rules, actions) = (loaded.conf.rules.len(), loaded.conf.actions.len());
    let ends = ends_of_retries(&loaded.conf);
    let admin = loaded.conf.admin.clone();
    app::block_on(async {
        // Signals are caught before the first log line, since a reader of that line may stop the
        // daemon.
        let signals = Signals::catch();
        let http = HttpOptions::from_environment(std::env::vars_os());
        let (daemon, handler) = match loaded.daemon(sources, &http, &counters, Arc::new(logs)) {
            Ok(daemon) => daemon,
            Err(
                error @ (BuildError::Transport { .. }
                | BuildError::Action(DriverError::Http { .. } | DriverError::Other { .. })
                | BuildError::Enrich { .. }
                | BuildError::OpenState(_)),
            ) => {
                files::complain(&error.to_string());
                return Ok(Exit::Config);
            }
            Err(error @ BuildError::State { .. }) => return Err(error.into()),
            Err(error @ BuildError::StateInUse { .. }) => {
                files::complain(&error.to_string());
                return Ok(Exit::Unavailable);
            }
            Err(BuildError::Journal { path, error }) => {
                files::complain(&format!("[journal] {}: {error}", path.display()));
                return Ok(Exit::from(&error));
            }
        };
        let daemon = match with_servers(daemon, handler, admin.as_ref()).await {
            Ok(daemon) => daemon,
            Err(error) => {
                let option = error.option().map_or(String::new(), |option| format!("{option}: "));
                files::complain(&format!("[admin] {option}{error}"));
                return Ok(match error {
                    AdminStartError::Listen { .. }
                    | AdminStartError::NotASocket(_)
                    | AdminStartError::Random => Exit::Unavailable,
                    AdminStartError::Tls(_) => Exit::Config,
                });
            }
        };
        let (version, listeners) = (env!("CARGO_PKG_VERSION"), daemon.listeners.len());
        tracing::info!(version, listeners, rules, actions, "osnl runs");
        for (age, actions) in ends {
            match age {
                Some(age) => tracing::info!(
                    action.names = actions,
                    retry_max_age = duration::shown(age),
                    "a delivery that still fails this long after its first attempt becomes a dead letter; time while the target is down does not count, unless the event names the host"
                ),
                None => tracing::info!(
                    action.names = actions,
                    retry_max_age = "none",
                    "deliveries are retried without a time limit"
                ),
            }
        }
        Ok(app::run(daemon, signals, &counters).await?)
    })?
}

fn ends_of_retries(conf: &Native) -> BTreeMap<Option<Duration>, String> {
    let mut by_age: BTreeMap<Option<Duration>, Vec<&str>> = BTreeMap::new();
    for action in &conf.actions {
        by_age.entry(action.delivery.limits.max_age).or_default().push(&action.name);
    }
    by_age.into_iter().map(|(age, actions)| (age, actions.join(", "))).collect()
}

/// Adds the control socket, and binds the admin endpoint before the daemon runs, so that a used address fails the start.
async fn with_servers(
    daemon: Daemon,
    handler: Arc<ControlHandler>,
    conf: Option<&AdminConf>,
) -> Result<Daemon, AdminStartError> {
    let daemon = serve_control_socket(daemon, handler.clone());
    let Some(conf) = conf else { return Ok(daemon) };
    let bound = AdminEndpoint::bind(conf, handler).await?;
    Ok(daemon.serving("admin endpoint", Box::new(|end| Box::pin(bound.run(end)))))
}

pub(super) fn log_refusal(conf: &Native) -> Option<String> {
    let destination = destination(conf);
    Some(destination.unopened(&destination.refusal()?))
}

fn destination(conf: &Native) -> LogDestination {
    match &conf.log_file {
        LogFile::Path(path) => LogDestination::File(path.clone()),
        LogFile::Stderr => LogDestination::Stderr,
    }
}

fn settings(conf: &Native) -> LogSettings {
    let destination = destination(conf);
    let (ours, libraries) = (filter(conf.log_level), filter(conf.libs_log_level));
    let style = match conf.log_format {
        LogFormat::Text => logging::Style::Osnl,
        LogFormat::Json => logging::Style::Json,
    };
    LogSettings { destination, ours, libraries, style }
}

fn logs(conf: &Native) -> Result<Box<dyn FnOnce() + Send>, String> {
    let settings = settings(conf);
    let destination = settings.destination.clone();
    logging::prepare(settings).map_err(|error| destination.unopened(&error))
}
