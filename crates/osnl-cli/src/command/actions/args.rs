use clap::{Args, Subcommand};

use crate::flags::{FormatArgs, PlaceArgs};

/// The arguments of `osnl actions` and its subcommands.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 1 if the target is still not ok after a probe, 69 if no daemon answers.\n\n\
                        Examples:\n  osnl actions probe roles\n  osnl actions pause roles"
)]
pub(crate) struct ActionsArgs {
    #[command(subcommand)]
    pub(crate) command: ActionsCommand,
}

/// The commands of `osnl actions`.
#[derive(Debug, Subcommand)]
pub(crate) enum ActionsCommand {
    /// List actions: state of the target, pending deliveries, address
    List(ActionsListArgs),
    /// Probe a target that is down now. If it answers, its deliveries go on
    #[command(after_help = "Example:\n  osnl actions probe roles")]
    Probe(OneActionArgs),
    /// Pause an action until it is resumed; memory:// forgets it at a restart
    #[command(after_help = "Example:\n  osnl actions pause roles --reason 'the target moves until Monday'")]
    Pause(PauseArgs),
    /// Resume a paused action
    #[command(after_help = "Example:\n  osnl actions resume roles")]
    Resume(OneActionArgs),
}

/// The flags of `osnl actions list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  osnl actions list --format json | jq '.actions[] | select(.state != \"ok\")'"
)]
pub(crate) struct ActionsListArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// The flags of `osnl actions pause`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// Reason for the next operator, shown until the action is resumed
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) one: OneActionArgs,
}

/// The action that a subcommand probes, pauses, or resumes.
#[derive(Debug, Args)]
pub(crate) struct OneActionArgs {
    /// Name of the action
    #[arg(value_name = "ACTION")]
    pub(crate) action: String,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}
