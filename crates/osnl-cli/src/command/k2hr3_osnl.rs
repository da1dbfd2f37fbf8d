//! `k2hr3_osnl`: the configuration file, flags, and requests of that program, without its losses of
//! events.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Parser, ValueEnum};
use osnl::daemon::DaemonError;
use osnl::metrics::Counters;
use osnl_brokers::transport_with;
use osnl_config::{Warning, in_words};
use osnl_legacy::k2hr3::{Conf, HiddenInputs, Level, LogFile, explained};
use osnl_transport::Transport;
use tracing::level_filters::LevelFilter;

use crate::app::{self, Signals};
use crate::exit::Exit;
use crate::logging::{self, LogDestination};
use crate::output;

const DEFAULT_PATHS: [&str; 2] = ["etc/k2hr3/k2hr3_osnl.conf", "etc/k2hr3/k2hr3-osnl.conf"];
const REPLACES: &str = "1.0.8";

/// The flags of k2hr3_osnl 1.0.8.
#[derive(Debug, Parser)]
#[command(
    name = "k2hr3-osnl",
    about = "Listens to OpenStack notifications and deletes the hosts that are gone from K2HR3",
    after_help = "Example:\n  osnl k2hr3-osnl -c /etc/k2hr3/k2hr3-osnl.conf -d debug",
    infer_long_args = true,
    // The last of a repeated flag counts, as with argparse.
    args_override_self = true,
    disable_version_flag = true
)]
pub(crate) struct K2hr3OsnlArgs {
    /// Configuration file [default: /etc/k2hr3/k2hr3_osnl.conf, else /etc/k2hr3/k2hr3-osnl.conf]
    // An empty name is no usage error, as with argparse: the file is missing.
    #[arg(short = 'c', long, value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) config_file: Option<PathBuf>,
    /// Log level of osnl's own lines [default: debug_level of the file]
    #[arg(short = 'd', value_name = "LEVEL")]
    pub(crate) debug_level: Option<LevelFlag>,
    /// Log level of lines from libraries [default: libs_debug_level of the file]
    #[arg(short = 'l', value_name = "LEVEL")]
    pub(crate) libs_debug_level: Option<LevelFlag>,
    /// Log file instead of stderr [default: log_file of the file]
    #[arg(short = 'f', value_name = "FILE")]
    pub(crate) log_file: Option<String>,
    /// Print the version and exit
    #[arg(short = 'v')]
    pub(crate) version: bool,
    /// The name it was called by, which names its folder `conf.d`.
    #[arg(skip = "k2hr3-osnl")]
    pub(crate) program: String,
}

/// A level on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelFlag {
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

pub(crate) fn run(args: &K2hr3OsnlArgs) -> Exit {
    if args.version {
        // Scripts read the line of k2hr3_osnl; `osnl --version` has the other version.
        return output::print(&format!("k2hr3-osnl {REPLACES}\n"));
    }
    let ended = start(args);
    logging::flush();
    match ended {
        Ok(exit) => exit,
        Err(error) => {
            for line in format!("{error:#}").lines() {
                output::print_to_stderr(format_args!("k2hr3-osnl: error: {}", in_words(line)));
            }
            Exit::Failed
        }
    }
}

fn start(args: &K2hr3OsnlArgs) -> anyhow::Result<Exit> {
    let path = args.config_file.clone().unwrap_or_else(|| default_path(Path::new("/")));
    let inputs =
        HiddenInputs::new(&args.program, std::env::home_dir().as_deref(), std::env::vars_os().collect());
    let loaded = Conf::load(&path, &inputs)?;
    start_logging(args, &loaded.conf)?;
    loaded.warnings.iter().for_each(warn);
    let differences = loaded.manual_differences();
    if !differences.is_empty() {
        tracing::warn!(
            "k2hr3_osnl's manual and program differ, and {} sets neither value; osnl uses: {}",
            path.display(),
            differences.join("; ")
        );
    }

    let url = &loaded.conf.oslo_messaging_notifications.transport_url;
    let transport: Arc<dyn Transport> = transport_with(url, loaded.conf.rabbit())?.into();
    let counters = Arc::new(Counters::default());
    app::block_on(async {
        // Signals are caught before the first log line, since a reader of that line may stop the
        // daemon.
        let signals = Signals::catch();
        let file = path.display().to_string();
        let mut sources = loaded.inputs();
        sources.retain(|source| *source != file);
        sources.insert(0, file);
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!("osnl {version} with {}: {}", sources.join(", "), transport.location());
        let http = loaded.conf.http_options(std::env::vars_os());
        let daemon = loaded.conf.daemon(transport.clone(), &counters, &http)?;
        app::run(daemon, signals, &counters).await.map_err(|error| {
            let words = explained(&error, &loaded.conf.listener(), &*transport);
            refusal(&error, words, &path)
        })
    })?
}

fn refusal(error: &DaemonError, words: String, path: &Path) -> anyhow::Error {
    let refused = match error {
        DaemonError::Listener(error) => error.is_refused_access(),
        DaemonError::Unexpected(_) => false,
    };
    let error = anyhow::Error::msg(words);
    if refused { error.context(format!("{}: refused by the broker", path.display())) } else { error }
}

/// Returns the file without `-c`. k2hr3_osnl looks only for the manual's name, which its own
/// package does not install.
fn default_path(root: &Path) -> PathBuf {
    let [manual, packaged] = DEFAULT_PATHS.map(|path| root.join(path));
    if !manual.exists() && packaged.exists() { packaged } else { manual }
}

fn start_logging(args: &K2hr3OsnlArgs, conf: &Conf) -> anyhow::Result<()> {
    let destination = match (&args.log_file, &conf.log.log_file) {
        (Some(path), _) => LogDestination::File(path.into()),
        (None, LogFile::Path(path)) => LogDestination::File(path.clone()),
        (None, LogFile::Stderr) => LogDestination::Stderr,
    };
    let ours = args.debug_level.map_or(filter(conf.log.debug_level), LevelFlag::filter);
    let libraries = args.libs_debug_level.map_or(filter(conf.log.libs_debug_level), LevelFlag::filter);
    let settings = logging::LogSettings { destination, ours, libraries, style: logging::Style::K2hr3Osnl };
    logging::start(&settings).map_err(|error: io::Error| {
        anyhow::anyhow!(
            "{}: {error}; name another one with log_file or -f, or give this user write access",
            settings.destination
        )
    })
}

pub(super) fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        // Python's NOTSET inherits the root logger's level, which is WARNING.
        Level::Warn | Level::Notset => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    }
}

impl LevelFlag {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn | Self::Critical => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }
}

fn warn(warning: &Warning) {
    tracing::warn!("{warning}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_flag_the_file_that_the_package_installs_is_found_too() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("etc/k2hr3");
        std::fs::create_dir_all(&folder).unwrap();
        let (manual, packaged) = (folder.join("k2hr3_osnl.conf"), folder.join("k2hr3-osnl.conf"));
        assert_eq!(default_path(root.path()), manual);
        std::fs::write(&packaged, "").unwrap();
        assert_eq!(default_path(root.path()), packaged);
        std::fs::write(&manual, "").unwrap();
        assert_eq!(default_path(root.path()), manual);
    }
}
