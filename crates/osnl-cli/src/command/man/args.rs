use std::path::PathBuf;

use clap::{Args, CommandFactory as _, ValueEnum, ValueHint};

use crate::command::k2hr3_osnl::K2hr3OsnlArgs;
use crate::command::oss_watcher::OssWatcherArgs;

/// The page of the configuration, the only one that is of no command.
pub(super) const CONFIGURATION: &str = "osnl.conf";

/// The flags of `osnl man`.
#[derive(Debug, Args)]
#[command(after_help = "Exits with 0; 1 if a file cannot be written; 2 if there is no such page.\n\n\
                        Examples:\n  osnl man tap | man -l -\n  osnl man deliveries-list | man -l -\n  \
                        osnl man k2hr3-osnl > k2hr3-osnl.1\n  osnl man osnl.conf > osnl.conf.5\n  \
                        osnl man --output-dir pages")]
pub(crate) struct ManArgs {
    /// osnl, osnl.conf, or a command: tap, deliveries-list
    #[arg(default_value = "osnl")]
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
#[command(after_help = "Exits with 0.\n\n\
                        Examples:\n  osnl completions bash > /etc/bash_completion.d/osnl\n  \
                        osnl completions zsh > /usr/share/zsh/site-functions/_osnl\n  \
                        osnl completions fish > /etc/fish/completions/osnl.fish")]
#[command(after_long_help = "\
    bash, zsh, and fish also complete the names of actions, rules, and listeners from the configuration, and \
    the ids of deliveries and quarantined messages from the journal. They read the configuration that the \
    command line names with `-c`, else /etc/osnl/osnl.conf.\n\
    A symbolic link such as k2hr3-osnl needs a script of its own: `--program k2hr3-osnl`.")]
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definition {
    pub(crate) command: fn() -> clap::Command,
    /// The commands of the first level by task.
    pub(crate) tasks: &'static [(&'static str, &'static [&'static str])],
}

pub(crate) fn completed(program: ProgramName, osnl: Definition) -> (clap::Command, &'static str) {
    let (mut command, name) = match program {
        ProgramName::Osnl => ((osnl.command)(), "osnl"),
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

/// Returns the names of all pages: `osnl`, `osnl.conf`, and one for each command.
pub(crate) fn pages(osnl: Definition) -> Vec<String> {
    fn below(command: &clap::Command, before: &str, pages: &mut Vec<String>) {
        for command in visible(command) {
            let name = format!("{before}{}", command.get_name());
            pages.push(name.clone());
            below(command, &format!("{name}-"), pages);
        }
    }
    let mut pages = vec!["osnl".to_owned(), CONFIGURATION.to_owned()];
    below(&(osnl.command)(), "", &mut pages);
    pages
}

pub(super) fn visible(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

pub(crate) fn command(page: &str, osnl: Definition) -> Option<clap::Command> {
    match page {
        "osnl" => Some((osnl.command)()),
        "k2hr3-osnl" => Some(K2hr3OsnlArgs::command()),
        "oss-watcher" => Some(OssWatcherArgs::command()),
        page => {
            let mut found = (osnl.command)();
            found.build();
            for name in page.split('-') {
                found = found.find_subcommand(name)?.clone();
            }
            Some(found)
        }
    }
}

/// Returns the details of a command that its help has no room for, a paragraph on each line.
pub(super) fn more(command: &clap::Command) -> String {
    command.get_after_long_help().map(|more| format!("{more}\n")).unwrap_or_default()
}
