use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use osnl::verify::{ResourceId, VerifiedKind};

use crate::command::live::LiveArgs;
use crate::flags::{CheckArgs, OutputFormat, PatienceArgs};

/// The targets whose ids osnl reads itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum IdSource {
    K2hr3,
}

/// The flags of `osnl verify`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["ids", "from"]))]
#[command(mut_arg("live", |arg| arg.help("Append the deletion events to the daemon's journal")))]
#[command(
    after_help = "Exits with 0 if each id has an answer, 1 if the result is incomplete, 69 without a proved login or a daemon.\n\n\
    Example:\n  osnl verify roles --from k2hr3 --live"
)]
#[command(
    after_long_help = "Without `--live`, verify changes nothing: it shows what is gone and what would be called. With \
    `--live` the daemon appends a deletion event for each resource that is gone, for this action alone. The event's payload \
    has `reconciled`. Guards hold what they would hold of messages. The login is that of the `[enrich:NAME]` section of \
    the action, or of `--enrich`. It needs the role admin, since other projects' objects would look deleted."
)]
pub(crate) struct VerifyArgs {
    /// The action whose target holds the ids
    pub(super) action: String,
    /// File with the ids that the target holds, one a line; - is stdin
    #[arg(long, value_name = "FILE")]
    pub(super) ids: Option<PathBuf>,
    /// Read the ids from the target: the instances of a K2HR3 role
    #[arg(long, value_enum, value_name = "TARGET")]
    pub(super) from: Option<IdSource>,
    /// With --from k2hr3: this role; may be repeated [default: those of k2hr3_register actions]
    #[arg(long, value_name = "NAME", requires = "from", requires = "token_file")]
    pub(super) role: Vec<String>,
    /// File with U= and the token for --role
    #[arg(long, value_name = "FILE", requires = "role")]
    pub(super) token_file: Option<PathBuf>,
    /// Kind of the ids: server or port
    #[arg(long, value_name = "KIND", default_value = "server")]
    pub(super) kind: VerifiedKind,
    /// Log in as this [enrich:NAME] section does [default: that of the action]
    #[arg(long, value_name = "NAME")]
    pub(super) enrich: Option<String>,
    /// All ids are of this region; required if the cloud has several
    #[arg(long, value_name = "NAME")]
    pub(super) region: Option<String>,
    /// Leave resources alone about which an event arrived so recently
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = crate::flags::duration)]
    pub(super) settled: Duration,
    /// Questions per second
    #[arg(long, value_name = "N", default_value = "20", value_parser = crate::flags::rate)]
    pub(super) rate: f64,
    /// Go on behind this id, at which a run was interrupted
    #[arg(long, value_name = "ID")]
    pub(super) after: Option<ResourceId>,
    /// Go on if more than 20 % of the ids, or all of the first 50, are gone
    #[arg(long)]
    pub(super) allow_many: bool,
    #[command(flatten)]
    pub(super) live: LiveArgs,
    /// Show each resource, not only the first 20
    #[arg(long)]
    pub(super) verbose: bool,
    /// text for people; json: one object per line
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub(super) format: OutputFormat,
    #[command(flatten)]
    pub(super) patience: PatienceArgs,
    #[command(flatten, next_help_heading = "Configuration")]
    pub(super) of: CheckArgs,
}
