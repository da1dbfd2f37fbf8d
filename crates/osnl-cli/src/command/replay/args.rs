//! The flags of `osnl replay`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::command::saved_events::PickArgs;
use crate::flags::{CheckArgs, Format, PatienceArgs};

/// The flags of `osnl replay`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").multiple(true).required(true).args(
    ["file", "journal", "id", "event_type", "fired", "action", "resource", "state", "since", "until"]
))]
#[command(override_usage = "osnl replay [OPTIONS] FILE... | --journal | --id ID | --since TIME ...")]
#[command(
    after_help = "Ends with 0 if a rule fires, with --live if something was appended; else 1; 69 without a journal.\n\n\
    Example:\n  osnl replay --state dead --fired forget-ports --rule forget-ports --live"
)]
pub(crate) struct ReplayArgs {
    /// Events as JSON: saved by osnl tap, for osnl send, or plain; - is stdin
    #[arg(value_name = "FILE", conflicts_with = "journal")]
    pub(super) file: Vec<PathBuf>,
    /// All events of the journal; the filters below mean it too
    #[arg(long)]
    pub(super) journal: bool,
    /// Through this rule; repeated: these [default: all]
    #[arg(long, value_name = "NAME")]
    pub(super) rule: Vec<String>,
    /// As this listener hears it, whichever took it
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,
    /// Leave out what was delivered before
    #[arg(long)]
    pub(super) skip_delivered: bool,
    /// Append what fires to the journal, instead of only showing it
    #[arg(long)]
    pub(super) live: bool,
    /// With the ids they had: what the journal keeps is not doubled
    #[arg(long, requires = "live")]
    pub(super) keep_ids: bool,
    /// Do not ask; needed where stdin is no terminal
    #[arg(long, short = 'y', requires = "live")]
    pub(super) yes: bool,
    /// At most so many events, the first ones
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    /// text for people, or json: an object a line
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) patience: PatienceArgs,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(super) of: CheckArgs,
    #[command(flatten, next_help_heading = "Of the journal")]
    pub(super) pick: PickArgs,
}
