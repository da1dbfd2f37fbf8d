//! What was typed behind `osnl status` and `osnl deliveries`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use osnl::journal::DeliveryId;
use osnl::journal::sqlite::State;

use super::moment;

/// Which daemon, or whose file.
#[derive(Debug, Args)]
#[group(multiple = true)]
pub(crate) struct PlaceArgs {
    /// Configuration file(s) [default: /etc/osnl/osnl.conf]
    #[arg(short = 'c', long, value_name = "FILE", conflicts_with_all = ["state_dir", "journal"], help_heading = "Place")]
    pub(crate) config_file: Vec<PathBuf>,
    /// Folder whose *.conf are read by name after the files
    #[arg(long, value_name = "DIR", conflicts_with_all = ["state_dir", "journal"], help_heading = "Place")]
    pub(crate) config_dir: Vec<PathBuf>,
    /// Its state directory, without a configuration
    #[arg(long, value_name = "DIR", help_heading = "Place")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Its journal, without a configuration
    #[arg(long, value_name = "FILE", help_heading = "Place")]
    pub(crate) journal: Option<PathBuf>,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ControlFormat {
    #[default]
    Text,
    Json,
}

/// How it is printed.
#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// text for people, json for scripts
    #[arg(long, value_enum, default_value_t = ControlFormat::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) format: ControlFormat,
}

/// The flags of `osnl status`.
#[derive(Debug, Args)]
#[command(after_help = "Ends with 0 when all is well, 1 when something needs attention, \
                  69 when there is neither a daemon nor a journal.\n\n\
                  Examples:\n  osnl status -c /etc/osnl/osnl.conf\n  osnl status --format json | jq .attention")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// The flags of `osnl reload`.
#[derive(Debug, Args)]
#[command(
    after_help = "The daemon reads what it was started with. Ends with 0, also when nothing has changed; 78 for a wrong \
                  configuration; 1 when it needs a restart; 69 when no daemon answers.\n\n\
                  Examples:\n  osnl reload\n  osnl reload --format json | jq '.changes[].section'"
)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `osnl deliveries` and what is behind it.
#[derive(Debug, Args)]
#[command(
    after_help = "Asks the daemon, or its file where none runs. Ends with 1 when something was refused or \
                  is not there, 69 when there is neither daemon nor file.\n\n\
                  Examples:\n  osnl deliveries list --state dead\n  osnl deliveries retry --action roles --since 2h\n  \
                  osnl deliveries pause roles"
)]
pub(crate) struct DeliveriesArgs {
    #[command(subcommand)]
    pub(crate) command: DeliveriesCommand,
}

/// What to do with deliveries.
#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// What is pending, held, dead, done
    List(ListArgs),
    /// All about one: its message, what was tried, what was answered
    Show(ShowArgs),
    /// Open dead letters again, with all their attempts
    Retry(RetryArgs),
    /// End open and dead ones without an effect
    Discard(DiscardArgs),
    /// Let held ones go on
    Release(ReleaseArgs),
    /// Give open ones to another action
    Move(MoveArgs),
    /// Begin no attempt of an action until it is resumed, across restarts
    Pause(PauseArgs),
    /// Go on with a paused action
    Resume(PauseArgs),
}

/// The time of arrival.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct BetweenArgs {
    /// Received since then: 2h (ago), 2026-11-20, 2026-11-20T06:30Z
    #[arg(long, value_name = "WHEN", value_parser = moment::parse, help_heading = "Which")]
    pub(crate) since: Option<Timestamp>,
    /// Received before then
    #[arg(long, value_name = "WHEN", value_parser = moment::parse, help_heading = "Which")]
    pub(crate) until: Option<Timestamp>,
}

impl BetweenArgs {
    /// Both ends, as the daemon is asked.
    pub(crate) fn asked(&self) -> [Option<String>; 2] {
        [self.since, self.until].map(|at| at.map(|at| at.to_string()))
    }
}

/// How much is changed.
#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// All that there are: needed where nothing else says which
    #[arg(long, help_heading = "Which")]
    pub(crate) all: bool,
    /// Say what would be done, and do nothing
    #[arg(long, action = ArgAction::SetTrue)]
    pub(crate) dry_run: bool,
}

/// Which deliveries.
#[derive(Debug, Default, Args)]
pub(crate) struct FilterArgs {
    /// Of this event: all deliveries of one message
    #[arg(long, value_name = "N", help_heading = "Which")]
    pub(crate) event: Option<u64>,
    /// Of this rule
    #[arg(long, value_name = "NAME", help_heading = "Which")]
    pub(crate) rule: Option<String>,
    /// Of this action
    #[arg(long, value_name = "NAME", help_heading = "Which")]
    pub(crate) action: Option<String>,
    /// In this state, such as dead; several by comma
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state, help_heading = "Which")]
    pub(crate) state: Vec<String>,
    /// About this resource
    #[arg(long, value_name = "ID", help_heading = "Which")]
    pub(crate) resource: Option<String>,
    /// Of this event type
    #[arg(long, value_name = "NAME", help_heading = "Which")]
    pub(crate) event_type: Option<String>,
    #[command(flatten)]
    pub(crate) between: BetweenArgs,
}

/// The flags of `osnl deliveries list`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  osnl deliveries list --action roles --state ready,held --since 1d")]
pub(crate) struct ListArgs {
    /// Numbers, as listed: 17.0
    #[arg(value_name = "ID", value_parser = number)]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Only what stands behind this one: the next page
    #[arg(long, value_name = "ID", value_parser = number)]
    pub(crate) after: Option<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// The flags of `osnl deliveries show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  osnl deliveries show 17.0\n  osnl deliveries show 17.0 --raw > body")]
pub(crate) struct ShowArgs {
    /// Its number, as listed
    #[arg(value_name = "ID", value_parser = number)]
    pub(crate) id: String,
    /// The message's bytes and nothing else, secrets and all
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// What every change takes.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Numbers, as listed: 17.0
    #[arg(value_name = "ID", value_parser = number)]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// The flags of `osnl deliveries retry`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  osnl deliveries retry 17.0\n  \
                        osnl deliveries retry --action roles --since 2h --dry-run")]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Even where a later one of the same resource was done already
    #[arg(long)]
    pub(crate) out_of_order: bool,
}

/// The flags of `osnl deliveries discard`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  osnl deliveries discard 17.0 18.0\n  \
                        osnl deliveries discard --rule old-rule --state dead --yes")]
pub(crate) struct DiscardArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Do not ask; needed to discard by a filter where nobody can be asked
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// The flags of `osnl deliveries release`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  osnl deliveries release --action roles")]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// The flags of `osnl deliveries move`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  osnl deliveries move --action old-name --to roles")]
pub(crate) struct MoveArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// The action that gets them
    #[arg(long, value_name = "NAME", required = true)]
    pub(crate) to: String,
}

/// The flags of `osnl deliveries pause` and `resume`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  osnl deliveries pause roles\n  osnl deliveries resume roles")]
pub(crate) struct PauseArgs {
    /// The action
    #[arg(value_name = "ACTION")]
    pub(crate) action: String,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

fn state(name: &str) -> Result<String, String> {
    match State::ALL.into_iter().find(|state| state.name() == name) {
        Some(state) => Ok(state.name().to_owned()),
        None => Err(format!("there are {}", State::ALL.map(State::name).join(", "))),
    }
}

fn number(text: &str) -> Result<String, String> {
    match DeliveryId::parse(text) {
        Some(id) => Ok(id.to_string()),
        None => Err("write it as listed: 17.0".to_owned()),
    }
}
