use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::flags::{BetweenArgs, FormatArgs, HowArgs, PlaceArgs};

/// `osnl quarantine` and its commands.
#[derive(Debug, Args)]
#[command(
    after_help = "Asks the daemon, or uses the journal if none runs. Exits with 1 if something was refused or does not \
                  exist, 69 if there is neither a daemon nor a journal.\n\n\
                  Examples:\n  osnl quarantine list --since 1d\n  osnl quarantine show 3\n  osnl quarantine retry --all"
)]
#[command(after_long_help = "\
    osnl puts a message into quarantine if it cannot read the message, if the message exceeds a limit, or if \
    osnl crashed three times before the deliveries of the message were stored. A message is kept whole if it \
    has at most 16 MiB and compresses to at most 4 MiB. Otherwise osnl keeps its first 64 KiB, its size, and \
    its digest. The quarantine keeps at most max_dead messages with at most 64 MiB in all; the oldest \
    move to a file beside the journal. Dead letters do not count here. With memory://, such messages are dead letters.")]
pub(crate) struct QuarantineArgs {
    #[command(subcommand)]
    pub(crate) command: QuarantineCommand,
}

/// The commands of `osnl quarantine`.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List the messages and the reason for each
    List(QuarantineListArgs),
    /// Show one message: reason, origin, size, digest, and a masked preview
    Show(QuarantineShowArgs),
    /// Write the bytes of one message as they were received
    Export(QuarantineExportArgs),
    /// Read messages again and apply the rules, for example after an upgrade
    Retry(QuarantineRetryArgs),
    /// Delete messages
    Discard(QuarantineDiscardArgs),
}

/// The messages that are meant.
#[derive(Debug, Default, Args)]
pub(crate) struct WhichArgs {
    /// Messages, as listed
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) ids: Vec<i64>,
    /// Only from this queue
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    pub(crate) queue: Option<String>,
    /// Only with a reason that contains this text
    #[arg(long, value_name = "TEXT", help_heading = "Filters")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) between: BetweenArgs,
}

/// The flags that every command takes.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// The flags of `osnl quarantine list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 0, also if no message is listed; 1 if there is no such queue; 69 when there is neither a daemon nor a journal.\n\n\
                        Example:\n  osnl quarantine list --queue osnl --since 1d"
)]
pub(crate) struct QuarantineListArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Show at most N messages
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Show the next page: the messages after this ID
    #[arg(long, value_name = "ID", default_value_t = 0, hide_default_value = true)]
    pub(crate) after: i64,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

/// The flags of `osnl quarantine show`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 0; 1 when there is no such message.\n\nExample:\n  osnl quarantine show 3"
)]
#[command(after_long_help = "\
    The preview shows the structure and the names of a JSON body. In the preview every value is masked, \
    since osnl can't recognize secrets in an unreadable body. Publisher, id, and event type stand above it, \
    unmasked.")]
pub(crate) struct QuarantineShowArgs {
    /// Message, as listed
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) id: i64,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

/// The flags of `osnl quarantine export`.
#[derive(Debug, Args)]
#[command(
    after_help = "The file has mode 0600, because the bytes may contain secrets. Exits with 1 when there is no such message or the file \
                  exists. If osnl has only the beginning of the message, it writes that, and exits with 1 too.\n\n\
                        Example:\n  osnl quarantine export 3 -o body"
)]
pub(crate) struct QuarantineExportArgs {
    /// Message, as listed
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) id: i64,
    /// File to create [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// The flags of `osnl quarantine retry`.
#[derive(Debug, Args)]
#[command(
    after_help = "osnl applies the current rules, as in a replay. A message that matches becomes an event with deliveries; a message \
                        that still can't be read, or that matches no rule, stays. Exits with 1 if a message stayed, else 0.\n\n\
                        Examples:\n  osnl quarantine retry 3\n  osnl quarantine retry --reason max_body --dry-run"
)]
pub(crate) struct QuarantineRetryArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

/// The flags of `osnl quarantine discard`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0; 1 when a message does not exist.\n\n\
                        Examples:\n  osnl quarantine discard 3 4\n  osnl quarantine discard --until 7d --yes  # older than 7 days")]
pub(crate) struct QuarantineDiscardArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    /// Do not ask. Without a terminal, --all and filters require it (else exit status 2)
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}
