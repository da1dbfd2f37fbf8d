use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory as _, ValueEnum, ValueHint};

use crate::command::k2hr3_osnl::K2hr3OsnlArgs;
use crate::command::oss_watcher::OssWatcherArgs;

/// The names of all pages. Written out, because the commands are unknown while their flags are
/// defined; a test compares both.
pub(crate) const PAGES: [&str; 47] = [
    "osnl",
    "osnl.conf",
    "k2hr3-osnl",
    "oss-watcher",
    "demo",
    "run",
    "init",
    "check",
    "send",
    "tap",
    "reload",
    "status",
    "queues",
    "queues-forget",
    "actions",
    "actions-list",
    "actions-probe",
    "actions-pause",
    "actions-resume",
    "deliveries",
    "deliveries-list",
    "deliveries-show",
    "deliveries-retry",
    "deliveries-discard",
    "deliveries-release",
    "deliveries-move",
    "quarantine",
    "quarantine-list",
    "quarantine-show",
    "quarantine-export",
    "quarantine-retry",
    "quarantine-discard",
    "journal",
    "journal-backup",
    "journal-restore",
    "journal-export",
    "journal-verify",
    "journal-compact",
    "explain",
    "test",
    "replay",
    "config",
    "config-show",
    "config-reference",
    "events",
    "man",
    "completions",
];

/// The flags of `osnl man`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  osnl man tap | man -l -\n  osnl man deliveries-list | man -l -\n  \
                        osnl man k2hr3-osnl > k2hr3-osnl.1\n  osnl man osnl.conf > osnl.conf.5\n  \
                        osnl man --output-dir pages")]
pub(crate) struct ManArgs {
    /// osnl, osnl.conf, or a command: tap, deliveries-list
    #[arg(default_value = "osnl", value_parser = PossibleValuesParser::new(PAGES), hide_possible_values = true)]
    pub(crate) page: String,
    /// roff for man, markdown for a website
    #[arg(long, value_enum, default_value_t = ManFormat::Roff, value_name = "FORMAT")]
    pub(crate) format: ManFormat,
    /// Write all pages to this folder: osnl-tap.1, osnl.conf.5, and so on
    #[arg(long, value_name = "DIR", conflicts_with_all = ["page", "format"])]
    pub(crate) output_dir: Option<PathBuf>,
}

/// The flags of `osnl completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  osnl completions bash > /etc/bash_completion.d/osnl\n  \
                        osnl completions zsh > /usr/share/zsh/site-functions/_osnl\n  \
                        osnl completions fish > /etc/fish/completions/osnl.fish")]
pub(crate) struct CompletionsArgs {
    /// Shell to complete in
    #[arg(required_unless_present = "names")]
    pub(crate) shell: Option<clap_complete::Shell>,
    /// Program to complete
    #[arg(long, value_enum, default_value_t = ProgramName::Osnl, value_name = "NAME")]
    pub(crate) program: ProgramName,
    /// Print the names that the last of these words may be, as the scripts ask
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true, value_name = "WORD")]
    pub(crate) names: Option<Vec<String>>,
}

/// The names of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgramName {
    Osnl,
    #[value(name = "k2hr3-osnl")]
    K2hr3Osnl,
    #[value(name = "k2hr3_osnl")]
    K2hr3OsnlOld,
    OssWatcher,
    #[value(name = "oss_watcher")]
    OssWatcherOld,
}

/// The form of a manual page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManFormat {
    Roff,
    Markdown,
}

/// The definition of `osnl`. A parameter, because `osnl` also has the flags of this module.
pub(crate) type Definition = fn() -> clap::Command;

pub(crate) fn completed(program: ProgramName, osnl: Definition) -> (clap::Command, &'static str) {
    let (mut command, name) = match program {
        ProgramName::Osnl => (osnl(), "osnl"),
        ProgramName::K2hr3Osnl => (K2hr3OsnlArgs::command(), "k2hr3-osnl"),
        ProgramName::K2hr3OsnlOld => (K2hr3OsnlArgs::command(), "k2hr3_osnl"),
        ProgramName::OssWatcher => (OssWatcherArgs::command(), "oss-watcher"),
        ProgramName::OssWatcherOld => (OssWatcherArgs::command(), "oss_watcher"),
    };
    command.build();
    (hinted(command), name)
}

fn hinted(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let hint = match arg.get_value_names().and_then(<[_]>::first).map(|name| name.as_str()) {
            Some("FILE" | "PATH") => ValueHint::FilePath,
            Some("DIR") => ValueHint::DirPath,
            Some("URL") => ValueHint::Url,
            Some(_) if arg.get_action().takes_values() => ValueHint::Other,
            Some(_) | None => return arg,
        };
        arg.value_hint(hint)
    });
    command.mut_subcommands(hinted)
}

pub(crate) fn command(page: &str, osnl: Definition) -> Option<clap::Command> {
    match page {
        "osnl" => Some(osnl()),
        "k2hr3-osnl" => Some(K2hr3OsnlArgs::command()),
        "oss-watcher" => Some(OssWatcherArgs::command()),
        page => {
            let mut found = osnl();
            found.build();
            for name in page.split('-') {
                found = found.find_subcommand(name)?.clone();
            }
            Some(found)
        }
    }
}
