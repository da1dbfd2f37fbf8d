use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{ArgMatches, Args, FromArgMatches, Parser};
use osnl::action::http::HttpOptions;
use osnl::metrics::Counters;
use osnl_admin::serve_control_socket;
use osnl_config::{ConfigErrors, LogFile, in_words};
use osnl_legacy::oss;
use osnl_legacy::oss::conf::{Conf, ConfPlace, LoadedConf, default_files};
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
    #[command(flatten)]
    places: Places,
    /// Print the version and exit
    #[arg(long, overrides_with = "version")]
    pub(crate) version: bool,
}

#[derive(Args)]
struct PlaceFlags {
    /// Configuration file; may be repeated: later files override options of earlier ones [default: oss_framework.conf and oss_watcher.conf in
    /// ~/.oss_framework, ~, /etc/oss_framework, /etc]
    #[arg(long, value_name = "PATH")]
    config_file: Vec<PathBuf>,
    /// Folder of *.conf files, read in name order at this flag's place among the files
    #[arg(long, value_name = "DIR")]
    config_dir: Vec<PathBuf>,
}

/// The files and folders in the order of their flags, which [`PlaceFlags`] loses.
#[derive(Debug)]
struct Places(Vec<ConfPlace>);

impl FromArgMatches for Places {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let PlaceFlags { config_file, config_dir } = PlaceFlags::from_arg_matches(matches)?;
        let indices = |flag: &str| matches.indices_of(flag).into_iter().flatten();
        let files = indices("config_file").zip(config_file.into_iter().map(ConfPlace::File));
        let folders = indices("config_dir").zip(config_dir.into_iter().map(ConfPlace::Folder));
        let mut places: Vec<(usize, ConfPlace)> = files.chain(folders).collect();
        places.sort_by_key(|(index, _)| *index);
        Ok(Self(places.into_iter().map(|(_, place)| place).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Places {
    fn augment_args(command: clap::Command) -> clap::Command {
        PlaceFlags::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        PlaceFlags::augment_args_for_update(command)
    }
}

impl Places {
    /// As oslo.config reads them: a folder does not replace the default files, and `~` is the home.
    fn read(&self, home: Option<&Path>) -> Vec<ConfPlace> {
        let at_home = |path: &Path| match (path.strip_prefix("~"), home) {
            (Ok(rest), Some(home)) => home.join(rest),
            (Ok(_) | Err(_), _) => path.to_owned(),
        };
        let mut places = Vec::new();
        if !self.0.iter().any(|place| matches!(place, ConfPlace::File(_))) {
            places.extend(default_files(home, Path::new("/")).into_iter().map(ConfPlace::File));
        }
        places.extend(self.0.iter().map(|place| match place {
            ConfPlace::File(path) => ConfPlace::File(at_home(path)),
            ConfPlace::Folder(path) => ConfPlace::Folder(at_home(path)),
        }));
        places
    }
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
    let places = args.places.read(std::env::home_dir().as_deref());
    Conf::load(&places, &std::env::vars_os().collect())
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

#[cfg(test)]
mod tests {
    use super::ConfPlace::{File, Folder};
    use super::*;

    #[test]
    fn the_later_flag_wins_and_a_folder_does_not_replace_the_default_files() {
        let home = tempfile::tempdir().unwrap();
        let default = home.path().join("oss_watcher.conf");
        std::fs::write(&default, "").unwrap();
        let read = |flags: &[&str]| {
            let args = OssWatcherArgs::try_parse_from([&["oss-watcher"][..], flags].concat()).unwrap();
            args.places.read(Some(home.path()))
        };
        assert_eq!(
            read(&["--config-dir=d", "--config-file", "a", "--config-dir", "e", "--config-file=~/b"]),
            [Folder("d".into()), File("a".into()), Folder("e".into()), File(home.path().join("b"))]
        );
        assert_eq!(read(&["--config-dir", "~/d"]), [File(default), Folder(home.path().join("d"))]);
    }
}
