use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::command::live::LiveArgs;
use crate::command::saved_events::PickArgs;
use crate::flags::{CheckArgs, GROUPS, OutputFormat, PatienceArgs};

/// The flags of `osnl replay`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").multiple(true).required(true).args(
    ["file", "journal", "id", "event_type", "fired", "action", "resource", "state", "since", "until"]
))]
#[command(override_usage = "osnl replay [OPTIONS] FILE... | --journal | --id ID | --since WHEN ...")]
#[command(
    after_help = "Exits with 1 if no rule matches, --live adds none, or the default limit omits some; 69: no journal.\n\n\
    Example:\n  osnl replay --state dead --matched forget-ports --rule forget-ports --live"
)]
#[command(after_long_help = format!(
    "\
    Without `--live`, replay changes nothing: it shows for each event what would be done now, and what was \
    done before. With `--live` it appends the events to the journal as new events, through the daemon if one \
    runs. With `--keep-ids` the events keep their message ids, and an event that the journal has with the same \
    body is not appended again; export with `--raw` for that. Without `--limit`, replay takes the oldest 1000 \
    events of the journal, and exits with 1 if there are more.\n{GROUPS}"
))]
pub(crate) struct ReplayArgs {
    /// JSON events: plain, in oslo's envelope, or saved by osnl tap; - is stdin
    #[arg(value_name = "FILE", conflicts_with = "journal")]
    pub(super) file: Vec<PathBuf>,
    /// Use all events of the journal; implied by journal filters
    #[arg(long)]
    pub(super) journal: bool,
    /// Evaluate only this rule; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    pub(super) rule: Vec<String>,
    /// Evaluate as if this listener had received the event
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,
    #[command(flatten)]
    pub(super) live: LiveArgs,
    /// Show each event, not the first 20 alone
    #[arg(long)]
    pub(super) verbose: bool,
    /// Keep the message ids, and skip events that the journal has
    #[arg(long, requires = "live")]
    pub(super) keep_ids: bool,
    /// Replay the oldest N events [default: all of files, 1000 of the journal]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: Option<u32>,
    /// text for people; json: one object per line
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub(super) format: OutputFormat,
    #[command(flatten)]
    pub(super) patience: PatienceArgs,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(super) of: CheckArgs,
    #[command(flatten, next_help_heading = "Journal filters")]
    pub(super) pick: PickArgs,
}
