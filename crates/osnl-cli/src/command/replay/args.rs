//! The flags of `osnl replay`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::args::CheckArgs;
use crate::command::explain::ExplainFormat;
use crate::command::saved_events::PickArgs;

/// The flags of `osnl replay`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").multiple(true).required(true).args(
    ["file", "journal", "id", "event_type", "fired", "action", "resource", "state", "since", "until"]
))]
#[command(
    override_usage = "osnl replay [OPTIONS] --journal | --id ID | --since TIME ...\n       osnl replay [OPTIONS] FILE..."
)]
#[command(
    after_help = "Ends with 0 if a rule fires, or with --live if something was appended; 1 if nothing; 69 if the journal \
    cannot be opened or written; 78 if the configuration cannot be used.\n\n\
    Examples:\n  osnl replay --since 2h --rule forget-ports\n  \
    osnl replay --state dead --fired forget-ports --rule forget-ports --live --yes\n  \
    osnl replay seen.jsonl --format json"
)]
pub(crate) struct ReplayArgs {
    /// Events as JSON: saved by osnl tap, for osnl send, or plain notifications; - is stdin
    #[arg(value_name = "FILE", conflicts_with = "journal")]
    pub(super) file: Vec<PathBuf>,
    /// All events of the journal; any of the filters below means it too
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
    /// Append what fires to the journal as new events, instead of showing it only
    #[arg(long)]
    pub(super) live: bool,
    /// With the ids they had: what the journal keeps already is no second event then
    #[arg(long, requires = "live")]
    pub(super) keep_ids: bool,
    /// Do not ask; needed where stdin is no terminal
    #[arg(long, requires = "live")]
    pub(super) yes: bool,
    /// At most so many events, the first ones
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    /// Lines for people, or a JSON object on a line
    #[arg(long, value_enum, default_value_t = ExplainFormat::Text, value_name = "text|json", hide_possible_values = true)]
    pub(super) format: ExplainFormat,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(super) of: CheckArgs,
    #[command(flatten, next_help_heading = "Of the journal")]
    pub(super) pick: PickArgs,
}
