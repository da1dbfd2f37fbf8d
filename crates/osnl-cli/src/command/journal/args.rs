use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::command::saved_events::PickArgs;
use crate::flags::{FormatArgs, GROUPS, SourceArgs};

/// `osnl journal` and its commands.
#[derive(Debug, Args)]
#[command(
    after_help = "backup, verify, and export of events also work while osnl runs or hangs. restore and compact \
                  refuse then, with exit status 69. backup, export, verify, and compact also \
                  exit with 69 when there is no journal.\n\n\
                  Examples:\n  osnl journal backup /backup/osnl-monday.db\n  osnl journal verify"
)]
pub(crate) struct JournalArgs {
    #[command(subcommand)]
    pub(crate) command: JournalCommand,
}

/// The commands of `osnl journal`.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Copy the journal to a file, also while osnl runs
    Backup(BackupArgs),
    /// Replace the journal with a backup; osnl must be stopped
    Restore(RestoreArgs),
    /// Write events as JSON lines
    Export(Box<ExportArgs>),
    /// Check the journal and all its rows, also while osnl runs
    Verify(VerifyArgs),
    /// Return free space to the file system; osnl must be stopped
    Compact(CompactArgs),
}

/// The journal's file, and the form of the answer: of each command.
#[derive(Debug, Args)]
pub(crate) struct JournalFileArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Journal file [default: the configured one]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config_file", "config_dir"])]
    pub(crate) journal: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// The flags of `osnl journal backup`.
#[derive(Debug, Args)]
#[command(
    after_help = "The copy contains secrets, as the journal does: its mode is 0600. Ctrl-C leaves no file. Exits \
                        with 1 when it cannot be written.\n\n\
                        Example:\n  osnl journal backup /backup/osnl-monday.db"
)]
pub(crate) struct BackupArgs {
    /// File to create
    #[arg(value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) journal: JournalFileArgs,
}

/// The flags of `osnl journal restore`.
#[derive(Debug, Args)]
#[command(
    after_help = "Deliveries that are pending in the backup are attempted when osnl starts, even those delivered since. With \
                        --pause they wait for osnl actions resume. Exits with 1 when the backup is damaged.\n\n\
                        Examples:\n  osnl journal restore --replace --pause /backup/osnl-monday.db\n  \
                        runuser -u osnl -- osnl journal restore - < /backup/osnl-monday.db"
)]
#[command(after_long_help = "\
    The backup is checked before anything is replaced. The old journal is kept: it is renamed \
    JOURNAL.replaced-TIME. If the old journal can be read, the command lists the deliveries that are pending \
    in the backup but have ended in the old journal, and counts the messages that only the old journal has.")]
pub(crate) struct RestoreArgs {
    /// The backup; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// Replace an existing journal; it is kept under another name
    #[arg(long)]
    pub(crate) replace: bool,
    /// Pause every action that has pending deliveries
    #[arg(long)]
    pub(crate) pause: bool,
    #[command(flatten)]
    pub(crate) journal: JournalFileArgs,
}

/// The flags of `osnl journal export`.
#[derive(Debug, Args)]
#[command(
    mut_arg("format", |arg| arg.help("Format of the command's report, not of the file: text for people, json for scripts")),
    after_help = "osnl replay, explain, and send take this file. It has mode 0600. Exits with 1 when it cannot be \
                        written.\n\n\
                        Example:\n  osnl journal export --since 1d -o events.jsonl"
)]
#[command(after_long_help = format!(
    "\
    Each line is an event with its deliveries. It has \"format\": \"osnl-events/1\"; later releases of osnl \
    only add keys. The notification has its secrets masked; with `--raw`, properties and body are as \
    received.\n{GROUPS}"
))]
pub(crate) struct ExportArgs {
    /// File to create
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Write each message as it came, with its secrets
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) pick: PickArgs,
    #[command(flatten)]
    pub(crate) journal: JournalFileArgs,
}

/// The flags of `osnl journal verify`.
#[derive(Debug, Args)]
#[command(after_help = "Reads the whole file. Exits with 1 when something is wrong.\n\n\
                        Examples:\n  osnl journal verify\n  osnl journal verify --journal /backup/osnl-monday.db")]
#[command(after_long_help = "\
    Checks pages and indexes, decodes every message, and compares the stored counters with the number of \
    rows.")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) journal: JournalFileArgs,
}

/// The flags of `osnl journal compact`.
#[derive(Debug, Args)]
#[command(
    after_help = "Writes a copy without free pages, and needs room for it. osnl reuses free pages by itself: use \
                        this only if disk space is short. Exits with 1 when there is no room.\n\n\
                        Example:\n  osnl journal compact"
)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    pub(crate) journal: JournalFileArgs,
}
