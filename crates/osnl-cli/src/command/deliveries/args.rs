//! The flags of `osnl deliveries`.

use clap::{Args, Subcommand};
use osnl::journal::DeliveryId;
use osnl::journal::sqlite::State;

use crate::flags::{BetweenArgs, FormatArgs, HowArgs, PlaceArgs};

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

/// The commands of `osnl deliveries`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// List deliveries: pending, held, dead, done
    List(ListArgs),
    /// Show one delivery: message, attempts, answers
    Show(ShowArgs),
    /// Retry dead letters, with all their attempts
    Retry(RetryArgs),
    /// Discard open and dead deliveries
    Discard(DiscardArgs),
    /// Release held deliveries
    Release(ReleaseArgs),
    /// Move open deliveries to another action
    Move(MoveArgs),
    /// Pause an action until it is resumed, across restarts
    Pause(PauseArgs),
    /// Resume a paused action
    Resume(PauseArgs),
}

/// Which deliveries.
#[derive(Debug, Default, Args)]
pub(crate) struct FilterArgs {
    /// Only this event: all deliveries of one message
    #[arg(long, value_name = "N", help_heading = "Which")]
    pub(crate) event: Option<u64>,
    /// Only this rule
    #[arg(long, value_name = "NAME", help_heading = "Which")]
    pub(crate) rule: Option<String>,
    /// Only this action
    #[arg(long, value_name = "NAME", help_heading = "Which")]
    pub(crate) action: Option<String>,
    /// In this state, such as dead; several by comma
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state, help_heading = "Which")]
    pub(crate) state: Vec<String>,
    /// About this resource
    #[arg(long, value_name = "ID", help_heading = "Which")]
    pub(crate) resource: Option<String>,
    /// Only this event type
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

/// The flags that every change takes.
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
    /// Do not ask; needed to discard by a filter where stdin is not a terminal
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
