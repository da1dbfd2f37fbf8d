//! The arguments of `osnl deliveries`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};
use osnl::journal::DeliveryId;
use osnl::journal::query::{AnswerPolicy, HeldBy};

use crate::flags::{BetweenArgs, FormatArgs, GROUPS, HowArgs, PlaceArgs, TIMES, states, states_offering};

/// The arguments of `osnl deliveries` and its subcommands.
#[derive(Debug, Args)]
#[command(
    after_help = "Asks the daemon, or uses the journal if none runs. Exits with 1 if something was refused or does not \
                  exist, 69 if there is neither a daemon nor a journal.\n\n\
                  Examples:\n  osnl deliveries list --state dead\n  osnl deliveries retry --action roles --since 2h\n  \
                  osnl deliveries show 17.0"
)]
pub(crate) struct DeliveriesArgs {
    #[command(subcommand)]
    pub(crate) command: DeliveriesCommand,
}

/// The commands of `osnl deliveries`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// List deliveries in every state
    List(ListArgs),
    /// Show one delivery: message, attempts, answers
    Show(ShowArgs),
    /// Retry dead letters; attempts are counted from 0 again
    Retry(RetryArgs),
    /// Discard open and dead deliveries
    Discard(DiscardArgs),
    /// Release waiting deliveries, so that osnl attempts them
    Release(ReleaseArgs),
    /// Move open deliveries to another action
    Move(MoveArgs),
}

/// The deliveries that are meant.
#[derive(Debug, Default, Args)]
pub(crate) struct FilterArgs {
    /// Only this event: all deliveries of one message
    #[arg(long, value_name = "N", help_heading = "Filters")]
    pub(crate) event: Option<u64>,
    /// Only this rule
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    pub(crate) rule: Option<String>,
    /// Only this action
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    pub(crate) action: Option<String>,
    /// Only these states, such as dead,pending or waiting-for-release
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = states(), hide_possible_values = true, help_heading = "Filters")]
    pub(crate) state: Vec<String>,
    /// Only if this keeps it back: guard, unexpected-end
    #[arg(long, value_name = "CAUSE", value_parser = PossibleValuesParser::new(HeldBy::ALL.map(HeldBy::name)), hide_possible_values = true, help_heading = "Filters")]
    pub(crate) held_by: Option<String>,
    /// Only this resource: its id, its name, or its order key
    #[arg(long, value_name = "ID", help_heading = "Filters")]
    pub(crate) resource: Option<String>,
    /// Only if an attempt got this HTTP status: 409, 4xx
    #[arg(long, value_name = "STATUS", value_parser = status, help_heading = "Filters")]
    pub(crate) status: Option<String>,
    /// Only if an answer or the reason contains this text
    #[arg(long, value_name = "TEXT", help_heading = "Filters")]
    pub(crate) text: Option<String>,
    /// Only this event type
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    pub(crate) event_type: Option<String>,
    #[command(flatten)]
    pub(crate) between: BetweenArgs,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    Newest,
    Oldest,
}

/// The flags of `osnl deliveries list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 0, also if none is listed; 1: no such action or rule; 69: neither a daemon nor a journal.\n\n\
                  Examples:\n  osnl deliveries list --action roles --state pending,dead --since 1d\n  \
                  osnl deliveries list --status 4xx"
)]
#[command(after_long_help = format!(
    "\
    `--state` also takes groups of states. Group `pending`: ready (the next of its resource), running, \
    retrying, waiting (for an earlier one of its resource), orphaned (its action is not configured). Group \
    `open`: all of pending, and waiting-for-release. Group `done`: delivered, no-action-needed, shadow. In \
    no group: dead, discarded. Deliveries that wait for a target that is down are in group `pending`.\n{TIMES}"
))]
pub(crate) struct ListArgs {
    /// Delivery (17.0), event (17), message id, resource id or name
    #[arg(value_name = "ID")]
    pub(crate) about: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Show at most N rows: by default 20, of single deliveries 50
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: Option<u32>,
    /// Show the next page, behind the delivery that the previous page names
    #[arg(long, value_name = "DELIVERY", value_parser = number)]
    pub(crate) after: Option<String>,
    /// Show every column, and each delivery in a row of its own
    #[arg(long)]
    pub(crate) wide: bool,
    /// newest or oldest first, each delivery in a row of its own
    #[arg(long, value_enum, value_name = "ORDER", hide_possible_values = true)]
    pub(crate) sort: Option<Sort>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// The flags of `osnl deliveries show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  osnl deliveries show web-7\n  \
                        osnl deliveries show 17.0 --raw > body")]
#[command(after_long_help = "\
    `--raw` prints only the message's bytes as received; `--format json` has them as body_base64.")]
pub(crate) struct ShowArgs {
    /// Delivery (17.0), or an event, message id, or resource that has only one delivery
    #[arg(value_name = "ID")]
    pub(crate) about: String,
    /// Print only the bytes of the message, with secrets
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

const OVER: [&str; 5] = ["delivered", "no-action-needed", "shadow", "discarded", "done"];

/// The flags that every change takes.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// Deliveries, as listed: 17.0
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
#[command(mut_arg("state", |arg| arg.help("dead: the one state that can be retried").value_parser(states_offering(|name| name == "dead"))))]
#[command(after_help = "Examples:\n  osnl deliveries retry 17.0\n  \
                        osnl deliveries retry --action roles --since 2h --dry-run")]
#[command(after_long_help = format!(
    "\
    Of the deliveries that the filters select, only dead letters are retried. osnl refuses a retry that \
    could undo a later delivery of the same action and resource: a late creation would undo a deletion. \
    `--out-of-order` retries it anyway.\n{TIMES}"
))]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Retry even if that could undo a later delivery of the same resource
    #[arg(long)]
    pub(crate) out_of_order: bool,
}

/// The flags of `osnl deliveries discard`.
#[derive(Debug, Args)]
#[command(mut_arg("state", |arg| arg.value_parser(states_offering(|name| !OVER.contains(&name)))))]
#[command(after_help = "Examples:\n  osnl deliveries discard 17.0 18.0\n  \
                        osnl deliveries discard --rule old-rule --state dead --yes")]
#[command(after_long_help = GROUPS)]
pub(crate) struct DiscardArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Do not ask. Without a terminal, --all and filters require it (else exit status 2)
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// The flags of `osnl deliveries release`.
#[derive(Debug, Args)]
#[command(mut_arg("state", |arg| arg.help("waiting-for-release: the one state that can be released").value_parser(states_offering(|name| name == "waiting-for-release"))))]
#[command(after_help = "Examples:\n  osnl deliveries release 17.0 18.0\n  \
                        osnl deliveries release --action roles --yes")]
#[command(after_long_help = format!(
    "\
    A delivery waits for release because a guard's limit was exceeded, or because osnl crashed three times \
    during its attempts. Deliveries that wait for a target that is down are pending, and need no release: \
    `osnl actions probe` calls the target now.\n{TIMES}"
))]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Do not ask. Without a terminal, --all and filters require it (else exit status 2)
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}

/// The flags of `osnl deliveries move`.
#[derive(Debug, Args)]
#[command(mut_arg("state", |arg| arg.help("Only these states, such as pending, waiting-for-release, or orphaned; separated by commas").value_parser(states_offering(|name| name != "dead" && !OVER.contains(&name)))))]
#[command(after_help = "Example:\n  osnl deliveries move --action old-name --to roles")]
#[command(after_long_help = GROUPS)]
pub(crate) struct MoveArgs {
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    /// Action that gets the deliveries
    #[arg(long, value_name = "NAME", required = true)]
    pub(crate) to: String,
}

fn status(text: &str) -> Result<String, String> {
    match AnswerPolicy::status(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write a status, 409, or a class, 4xx".to_owned()),
    }
}

fn number(text: &str) -> Result<String, String> {
    match DeliveryId::parse(text) {
        Some(id) => Ok(id.to_string()),
        None => Err("write it as listed: 17.0".to_owned()),
    }
}
