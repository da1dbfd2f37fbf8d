pub(crate) mod time;

use std::path::{self, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{ArgAction, Args, ValueEnum};
use jiff::Timestamp;
use osnl::journal::query::Phase;
use osnl_config::size;
use osnl_model::{Budget, DecodeError, Pattern, Secret};
use osnl_transport::shell_quoted;

/// A part of manual pages: the times that commands read.
pub(crate) const TIMES: &str = "Times are local unless they end with Z or an offset such as +01:00; `2h`, `90m` and `7d` mean that long ago.";
/// A part of manual pages: the times and the states that commands read.
pub(crate) const GROUPS: &str = "Times are local unless they end with Z or an offset such as +01:00; `2h`, `90m` and `7d` mean that long ago. \
    `osnl man deliveries-list` has the states and groups for `--state`.";

/// The files of a native configuration.
#[derive(Clone, Debug, Args)]
pub(crate) struct SourceArgs {
    /// Configuration file(s) [default: /etc/osnl/osnl.conf]
    #[arg(short = 'c', long, value_name = "FILE")]
    pub(crate) config_file: Vec<PathBuf>,
    /// Folder of *.conf files, read after --config-file
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Vec<PathBuf>,
}

/// The configuration: native files, a `k2hr3_osnl.conf`, or an `oss.conf`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Read a k2hr3_osnl.conf instead, as k2hr3-osnl does
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config_file", "config_dir"])]
    pub(crate) k2hr3_osnl: Option<PathBuf>,
    /// Read an oss.conf instead, as oss-watcher does
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config_file", "config_dir", "k2hr3_osnl"])]
    pub(crate) oss_watcher: Option<PathBuf>,
}

impl CheckArgs {
    pub(crate) fn is_old_form(&self) -> bool {
        self.k2hr3_osnl.is_some() || self.oss_watcher.is_some()
    }
}

/// The daemon, or the files of one.
#[derive(Clone, Debug, Args)]
#[group(multiple = true)]
pub(crate) struct PlaceArgs {
    /// Configuration file(s) [default: /etc/osnl/osnl.conf]
    #[arg(short = 'c', long, value_name = "FILE", conflicts_with_all = ["state_dir", "journal"], help_heading = "Daemon")]
    pub(crate) config_file: Vec<PathBuf>,
    /// Folder of *.conf files, read after --config-file
    #[arg(long, value_name = "DIR", conflicts_with_all = ["state_dir", "journal"], help_heading = "Daemon")]
    pub(crate) config_dir: Vec<PathBuf>,
    /// Find the daemon by this state directory, not by -c
    #[arg(long, value_name = "DIR", help_heading = "Daemon")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Find the daemon by this journal file, not by -c
    #[arg(long, value_name = "FILE", help_heading = "Daemon")]
    pub(crate) journal: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

impl PlaceArgs {
    /// Returns the flags with which each other command finds the same daemon from any folder. `None` if no
    /// configuration file is named: not all commands take the other flags.
    pub(crate) fn words(&self) -> Option<String> {
        let files = self.config_file.iter().map(|path| ("-c", path));
        let folders = self.config_dir.iter().map(|path| ("--config-dir", path));
        let words = files.chain(folders).map(|(flag, path)| {
            let path = path::absolute(path).unwrap_or_else(|_| path.clone());
            format!("{flag} {}", shell_quoted(&path.to_string_lossy()))
        });
        Some(words.collect::<Vec<_>>().join(" ")).filter(|words| !words.is_empty())
    }
}

/// The patience with a daemon that is silent.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PatienceArgs {
    /// Longest wait for the daemon's answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    #[default]
    Text,
    Json,
}

/// The flag that chooses the form of the output.
#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// text for people, json for scripts
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) format: OutputFormat,
}

/// The bounds of the time of arrival.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct BetweenArgs {
    /// Received since then: 2h (ago), 2026-11-20 (local), 2026-11-20T06:30Z
    #[arg(long, value_name = "WHEN", value_parser = time::parse, help_heading = "Filters")]
    pub(crate) since: Option<Timestamp>,
    /// Received before this time; 7d: more than 7 days ago
    #[arg(long, value_name = "WHEN", value_parser = time::parse, help_heading = "Filters")]
    pub(crate) until: Option<Timestamp>,
}

impl BetweenArgs {
    pub(crate) fn asked(&self) -> [Option<String>; 2] {
        [self.since, self.until].map(|at| at.map(|at| at.to_string()))
    }
}

/// The extent of a change.
#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// Apply to all; required if no ID and no filter is given
    #[arg(long, help_heading = "Filters")]
    pub(crate) all: bool,
    /// Show what would be done, and do nothing
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) dry_run: bool,
}

pub(crate) fn max_body(text: &str) -> Result<usize, String> {
    let allowed = Budget::LEAST_BODY..=Budget::MOST.body;
    let size = size::parse(text).and_then(|size| usize::try_from(size).ok());
    size.filter(|size| allowed.contains(size)).ok_or_else(|| {
        let [least, most] = [allowed.start(), allowed.end()].map(|size| size::shown(*size as u64));
        format!("write a size from {least} to {most}, such as 16MiB")
    })
}

pub(crate) fn unread(error: &DecodeError) -> String {
    match error {
        DecodeError::TooMuch(excess) if excess.is_raised_by_max_body() => {
            format!("{error}; raise it with --max-body")
        }
        other => other.to_string(),
    }
}

pub(crate) fn states() -> PossibleValuesParser {
    states_offering(|_| true)
}

pub(crate) fn states_offering(is_offered: impl Fn(&str) -> bool) -> PossibleValuesParser {
    let named = |name: &'static str| PossibleValue::new(name).hide(!is_offered(name));
    PossibleValuesParser::new(Phase::NAMES.into_iter().map(named))
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.01..=1_000_000.0).contains(rate));
    rate.ok_or_else(|| "a number from 0.01 to 1000000".to_owned())
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = osnl_config::duration::parse(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "write 5, 5s, 500ms or 1m".to_owned())
}

/// Never fails, because clap would print the value in its error.
#[expect(clippy::unnecessary_wraps, reason = "what clap calls")]
pub(crate) fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

pub(crate) fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| error.to_string())
}
