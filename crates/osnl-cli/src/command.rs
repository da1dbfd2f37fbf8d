//! The commands, one file for each.
//!
//! A new command is a module and a variant of [`Command`] here, and a row of `tests/cli/manners/samples.rs`. Its help
//! gives the manual page, the completions, and by `cargo xtask docs` its page and its line in `docs/reference`.

pub(crate) mod actions;
mod asking;
pub(crate) mod check;
pub(crate) mod config;
mod confirm;
pub(crate) mod deliveries;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod gaps;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod journal;
pub(crate) mod k2hr3_osnl;
mod live;
pub(crate) mod man;
pub(crate) mod oss_watcher;
mod progress;
pub(crate) mod quarantine;
pub(crate) mod queues;
pub(crate) mod reload;
pub(crate) mod replay;
pub(crate) mod run;
mod saved_events;
pub(crate) mod send;
mod sources;
pub(crate) mod status;
mod table;
pub(crate) mod tap;
pub(crate) mod test;
mod url;
pub(crate) mod verify;

use clap::{Arg, ArgAction, CommandFactory as _, Parser, Subcommand};

use self::config::ConfigCommand;
use self::man::Definition;
use crate::exit::Exit;

const WITH_TRANSPORTS: &str = match (cfg!(feature = "kafka"), cfg!(feature = "amqp1")) {
    (true, true) => concat!(env!("CARGO_PKG_VERSION"), " (transports: rabbit, kafka, amqp)"),
    (true, false) => concat!(env!("CARGO_PKG_VERSION"), " (transports: rabbit, kafka)"),
    (false, true) => concat!(env!("CARGO_PKG_VERSION"), " (transports: rabbit, amqp)"),
    (false, false) => concat!(env!("CARGO_PKG_VERSION"), " (transports: rabbit)"),
};

#[derive(Debug, Parser)]
#[command(
    name = "osnl",
    version,
    long_version = WITH_TRANSPORTS,
    about = "OpenStack Notification Listener: act on notifications without losing any",
    after_help = "Examples:\n  osnl check -c /etc/osnl/osnl.conf",
    disable_help_subcommand = true
)]
pub(crate) struct Osnl {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands by task. A test compares them with [`Command`].
const TASKS: &[(&str, &[&str])] = &[
    ("Set up", &["init", "check", "run", "reload", "events", "demo"]),
    ("Watch", &["status", "queues", "gaps", "history", "tap", "explain"]),
    ("Repair", &["deliveries", "actions", "quarantine", "replay", "verify"]),
    ("Drop-ins", &["k2hr3-osnl", "oss-watcher"]),
    ("Expert", &["config", "journal", "test", "send", "man", "completions"]),
];

impl Osnl {
    fn definition() -> clap::Command {
        with_one_help(Self::command())
    }

    /// Returns the command whose help lists the commands by task. Without `--help` and `--version`
    /// in a list of options, the help fits one screen.
    pub(crate) fn by_task() -> clap::Command {
        let command = Self::definition();
        let styles = command.get_styles();
        let (heading, literal) = (styles.get_header(), styles.get_literal());
        let mut tasks = String::new();
        for (task, names) in TASKS {
            tasks += &format!("\n\n{heading}{task}:{heading:#}");
            for name in *names {
                let about = command.find_subcommand(name).and_then(clap::Command::get_about);
                let about = about.map(ToString::to_string).unwrap_or_default();
                tasks += &format!("\n  {literal}{name:<12}{literal:#} {about}");
            }
        }
        command.help_template(format!("{{about}}\n{{usage-heading}} {{usage}}{tasks}{{after-help}}"))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a k2hr3_osnl configuration (drop-in replacement)
    #[command(name = "k2hr3-osnl", alias = "k2hr3_osnl")]
    K2hr3Osnl(k2hr3_osnl::K2hr3OsnlArgs),
    /// Run an oss_watcher configuration (drop-in replacement)
    #[command(name = "oss-watcher", alias = "oss_watcher")]
    OssWatcher(oss_watcher::OssWatcherArgs),
    /// Run a self-contained demo with recorded notifications
    Demo(demo::DemoArgs),
    /// Run the daemon: listeners, rules, actions
    Run(run::RunArgs),
    /// Write a commented sample configuration
    Init(init::InitArgs),
    /// Check a configuration; --connect tries brokers and targets
    Check(check::CheckRunArgs),
    /// Publish notifications, each confirmed by the broker
    Send(Box<send::SendArgs>),
    /// Watch live notifications without consuming them
    Tap(Box<tap::TapArgs>),
    /// Show the daemon's health: connections, backlog, dead letters
    Status(status::StatusArgs),
    /// Find troubles of exchanges and queues, each with its remedy
    Queues(Box<queues::QueuesArgs>),
    /// Show when notifications could not reach osnl, until verified
    Gaps(gaps::GapsArgs),
    /// Show what happened to one resource, oldest first
    History(history::HistoryArgs),
    /// Reload the daemon's configuration
    Reload(reload::ReloadArgs),
    /// List, probe, pause, and resume actions
    Actions(actions::ActionsArgs),
    /// List, inspect, retry, and discard deliveries
    Deliveries(Box<deliveries::DeliveriesArgs>),
    /// List, inspect, retry, and discard unreadable messages
    Quarantine(Box<quarantine::QuarantineArgs>),
    /// Back up, restore, export, verify, and compact the journal
    Journal(Box<journal::JournalArgs>),
    /// Explain why each rule matches an event or doesn't
    Explain(Box<explain::ExplainArgs>),
    /// Run the tests of a configuration's rules
    Test(Box<test::TestArgs>),
    /// Show what stored events would do, or run them again with --live
    Replay(Box<replay::ReplayArgs>),
    /// Find deletions that osnl has missed: ask OpenStack about ids
    Verify(Box<verify::VerifyArgs>),
    /// Print the effective configuration, or list all options
    #[command(
        subcommand,
        after_help = "Examples:\n  osnl config show -c /etc/osnl/osnl.conf\n  osnl config reference | less"
    )]
    Config(ConfigCommand),
    /// Look up the notifications that each service emits
    Events(events::EventsArgs),
    /// Print a manual page
    Man(man::ManArgs),
    /// Print completions for a shell
    Completions(man::CompletionsArgs),
}

pub(crate) const DEFINITION: Definition = Definition { command: Osnl::definition, tasks: TASKS };

/// Makes the long help as short as `-h`: a command's details are for the manual pages.
fn with_one_help(command: clap::Command) -> clap::Command {
    let help = Arg::new("help").short('h').long("help").action(ArgAction::HelpShort).help("Print help");
    let command = command.disable_help_flag(true).arg(help.help_heading(None::<&str>));
    command.mut_subcommands(with_one_help)
}

impl Command {
    pub(crate) fn run(self) -> Exit {
        match self {
            Self::K2hr3Osnl(args) => k2hr3_osnl::run(&args),
            Self::OssWatcher(args) => oss_watcher::run(&args),
            Self::Demo(args) => demo::run(&args),
            Self::Run(args) => run::run(&args),
            Self::Init(args) => init::run(&args),
            Self::Check(args) => check::run(&args),
            Self::Send(args) => send::run(&args),
            Self::Tap(args) => tap::run(&args),
            Self::Status(args) => status::run(&args),
            Self::Reload(args) => reload::run(&args),
            Self::Queues(args) => queues::run(&args),
            Self::Gaps(args) => gaps::run(&args),
            Self::History(args) => history::run(&args),
            Self::Actions(args) => actions::run(&args),
            Self::Deliveries(args) => deliveries::run(&args),
            Self::Quarantine(args) => quarantine::run(&args),
            Self::Journal(args) => journal::run(&args),
            Self::Explain(args) => explain::run(&args),
            Self::Test(args) => test::run(&args),
            Self::Replay(args) => replay::run(&args),
            Self::Verify(args) => verify::run(&args),
            Self::Config(ConfigCommand::Show(args)) => config::show(&args),
            Self::Config(ConfigCommand::Reference(args)) => config::reference(&args),
            Self::Events(args) => events::run(&args),
            Self::Man(args) => man::man(&args, DEFINITION),
            Self::Completions(args) => man::completions(&args, DEFINITION),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::k2hr3_osnl::K2hr3OsnlArgs;
    use super::oss_watcher::OssWatcherArgs;
    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Osnl::definition().debug_assert();
        K2hr3OsnlArgs::command().debug_assert();
        OssWatcherArgs::command().debug_assert();
    }

    /// The help of a command's parent may have the codes for all of its commands.
    #[test]
    fn each_help_names_the_exit_codes() {
        fn check(command: &clap::Command, is_named: bool) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_named = is_named || help.contains("Exits with");
            command.get_subcommands().for_each(|below| check(below, is_named));
            assert!(command.has_subcommands() || is_named, "{}: {help}", command.get_name());
        }
        let osnl = Osnl::command();
        // The drop-ins end as the programs that they replace.
        let own = |one: &&clap::Command| !["k2hr3-osnl", "oss-watcher"].contains(&one.get_name());
        osnl.get_subcommands().filter(own).for_each(|command| check(command, false));
    }

    #[test]
    fn each_command_stands_under_one_task() {
        let mut expected: Vec<String> =
            Osnl::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
        let mut listed: Vec<String> =
            TASKS.iter().flat_map(|(_, names)| *names).map(|name| (*name).to_owned()).collect();
        expected.sort();
        listed.sort();
        assert_eq!(listed, expected);
    }

    #[test]
    fn advice_names_commands_that_exist_for_words_that_are_none() {
        let osnl = Osnl::command();
        for (words, advice) in crate::advice::ADVICE {
            assert!(words.iter().all(|word| osnl.find_subcommand(word).is_none()), "{words:?}");
            for call in advice.split("osnl ").skip(1) {
                let mut found = &osnl;
                for word in call.split([' ', ',']) {
                    let Some(below) = found.find_subcommand(word) else { break };
                    found = below;
                }
                assert!(!found.has_subcommands(), "{advice}: {call}");
            }
        }
    }
}
