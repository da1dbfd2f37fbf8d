use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use osnl::action::http::HttpOptions;
use osnl::metrics::Counters;
use osnl_admin::serve_control_socket;
use osnl_config::{ConfigErrors, LogFile, in_words};
use osnl_legacy::oss;
use osnl_legacy::oss::conf::{Conf, LoadedConf, default_files};
use tracing::level_filters::LevelFilter;

use crate::app::{self, Signals};
use crate::exit::Exit;
use crate::logging::{self, LogDestination, LogSettings, Style};
use crate::output;

/// The flags of oss_watcher 2015.1.
#[derive(Debug, Parser)]
#[command(
    name = "oss-watcher",
    about = "Listens to OpenStack notifications and tells plug-ins which addresses come and go",
    after_help = "Example:\n  osnl oss-watcher --config-file=/etc/oss_framework/oss.conf",
    infer_long_args = true,
    disable_version_flag = true
)]
pub(crate) struct OssWatcherArgs {
    /// Configuration file; may be repeated: later files override options of earlier ones [default: oss_framework.conf and oss_watcher.conf in
    /// ~/.oss_framework, ~, /etc/oss_framework, /etc]
    #[arg(long, value_name = "PATH")]
    pub(crate) config_file: Vec<PathBuf>,
    /// Folder of *.conf files, read in name order after the files
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Vec<PathBuf>,
    /// Print the version and exit
    #[arg(long, overrides_with = "version")]
    pub(crate) version: bool,
}

pub(crate) fn run(args: &OssWatcherArgs) -> Exit {
    if args.version {
        return output::print(&format!("{} (osnl {})\n", oss::version(), env!("CARGO_PKG_VERSION")));
    }
    let ended = match load(args) {
        Ok(loaded) => start(&loaded),
        Err(errors) => Err(errors.into()),
    };
    logging::flush();
    match ended {
        Ok(exit) => exit,
        Err(error) => {
            for line in format!("{error:#}").lines() {
                output::print_to_stderr(format_args!("oss-watcher: error: {}", in_words(line)));
            }
            Exit::Failed
        }
    }
}

fn load(args: &OssWatcherArgs) -> Result<LoadedConf, ConfigErrors> {
    let mut files = args.config_file.clone();
    if files.is_empty() && args.config_dir.is_empty() {
        files = default_files(std::env::home_dir().as_deref(), Path::new("/"));
    }
    Conf::load(&files, &args.config_dir, &std::env::vars_os().collect())
}

fn start(loaded: &LoadedConf) -> anyhow::Result<Exit> {
    let native = &loaded.native.conf;
    let destination = match &native.log_file {
        LogFile::Path(path) => LogDestination::File(path.clone()),
        LogFile::Stderr => LogDestination::Stderr,
    };
    let (ours, libraries, style) = (LevelFilter::INFO, LevelFilter::WARN, Style::OssWatcher);
    logging::start(&LogSettings { destination: destination.clone(), ours, libraries, style }).map_err(
        |error| {
            anyhow::anyhow!(
                "{destination}: {error}; name another one with log_file, or give this user write access"
            )
        },
    )?;
    announce(loaded);
    let counters = Arc::new(Counters::default());
    app::block_on(async {
        // Signals are caught before the first log line, since a reader of that line may stop the
        // daemon.
        let signals = Signals::catch();
        let files = if loaded.files.is_empty() { "no file".to_owned() } else { loaded.files.join(", ") };
        tracing::info!("osnl {} with {files}", env!("CARGO_PKG_VERSION"));
        let http = HttpOptions::from_environment(std::env::vars_os());
        let (daemon, handler) = loaded.daemon(&http, &counters)?;
        let daemon = serve_control_socket(daemon, handler);
        Ok(app::run(daemon, signals, &counters).await?)
    })?
}

/// Logs the lines of oss_watcher's start, which monitoring looks for; adds separators where
/// oss_watcher lacks one.
fn announce(loaded: &LoadedConf) {
    let conf = &loaded.conf;
    tracing::info!(target: "oss_watcher::service", "Listen queue {}", conf.watch_queue);
    let (creation, deletion) = (conf.program.events_creation.concat(), conf.program.events_deletion.concat());
    tracing::info!(target: "oss_watcher::service", "Handled events of creation: {creation}");
    tracing::info!(target: "oss_watcher::service", "Handled events of deletion: {deletion}");
    for plugin in &conf.program.enabled_plugins {
        tracing::info!(target: "oss_watcher::service", "Plugin `{}`is loaded.", plugin.loaded_as());
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
}
