//! The `osnl` command. Under the names `k2hr3_osnl` and `k2hr3-osnl`, `oss_watcher` and
//! `oss-watcher` the command takes the flags of those programs.
//!
//! Order, lowest first: `exit`, `clean`, `terminal`, `output`, `flags`, `verbs`, `logging`, `app`,
//! `command`.

mod app;
mod clean;
mod command;
mod exit;
mod flags;
mod logging;
mod output;
mod terminal;
mod verbs;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory as _, Parser, Subcommand};

use self::command::actions::ActionsArgs;
use self::command::check::CheckRunArgs;
use self::command::config::ConfigCommand;
use self::command::deliveries::DeliveriesArgs;
use self::command::demo::DemoArgs;
use self::command::events::EventsArgs;
use self::command::explain::ExplainArgs;
use self::command::init::InitArgs;
use self::command::journal::JournalArgs;
use self::command::k2hr3_osnl::K2hr3OsnlArgs;
use self::command::man::{CompletionsArgs, ManArgs};
use self::command::oss_watcher::OssWatcherArgs;
use self::command::quarantine::QuarantineArgs;
use self::command::queues::QueuesArgs;
use self::command::reload::ReloadArgs;
use self::command::replay::ReplayArgs;
use self::command::run::RunArgs;
use self::command::send::SendArgs;
use self::command::status::StatusArgs;
use self::command::tap::TapArgs;
use self::command::test::TestArgs;
use self::terminal::are_colours_wanted;

/// Decoding makes many small values, which one thread allocates and another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match parse(std::env::args_os()) {
        Command::K2hr3Osnl(args) => command::k2hr3_osnl::run(&args),
        Command::OssWatcher(args) => command::oss_watcher::run(&args),
        Command::Demo(args) => command::demo::run(&args),
        Command::Run(args) => command::run::run(&args),
        Command::Init(args) => command::init::run(&args),
        Command::Check(args) => command::check::run(&args),
        Command::Send(args) => command::send::run(&args),
        Command::Tap(args) => command::tap::run(&args),
        Command::Status(args) => command::status::run(&args),
        Command::Reload(args) => command::reload::run(&args),
        Command::Queues(args) => command::queues::run(&args),
        Command::Actions(args) => command::actions::run(&args),
        Command::Deliveries(args) => command::deliveries::run(&args),
        Command::Quarantine(args) => command::quarantine::run(&args),
        Command::Journal(args) => command::journal::run(&args),
        Command::Explain(args) => command::explain::run(&args),
        Command::Test(args) => command::test::run(&args),
        Command::Replay(args) => command::replay::run(&args),
        Command::Config(ConfigCommand::Show(args)) => command::config::show(&args),
        Command::Config(ConfigCommand::Reference(args)) => command::config::reference(&args),
        Command::Events(args) => command::events::run(&args),
        Command::Man(args) => command::man::man(&args, Osnl::command),
        Command::Completions(args) => command::man::completions(&args, Osnl::command),
    }
    .into()
}

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
struct Osnl {
    #[command(subcommand)]
    command: Command,
}

const TASKS: [(&str, &[&str]); 5] = [
    ("Set up", &["init", "check", "run", "reload", "events", "demo"]),
    ("Watch", &["status", "queues", "tap", "explain"]),
    ("Repair", &["deliveries", "actions", "quarantine", "replay"]),
    ("Drop-ins", &["k2hr3-osnl", "oss-watcher"]),
    ("Expert", &["config", "journal", "test", "send", "man", "completions"]),
];

impl Osnl {
    /// Returns the command whose help lists the commands by task. Without `--help` and `--version`
    /// in a list of options, the help fits one screen.
    fn by_task() -> clap::Command {
        let command = Self::command();
        let styles = command.get_styles();
        let (heading, literal) = (styles.get_header(), styles.get_literal());
        let mut tasks = String::new();
        for (task, names) in TASKS {
            tasks += &format!("\n\n{heading}{task}:{heading:#}");
            for name in names {
                let about = command.find_subcommand(name).and_then(clap::Command::get_about);
                let about = about.map(ToString::to_string).unwrap_or_default();
                tasks += &format!("\n  {literal}{name:<12}{literal:#} {about}");
            }
        }
        command.help_template(format!("{{about}}\n{{usage-heading}} {{usage}}{tasks}{{after-help}}"))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a k2hr3_osnl configuration (drop-in replacement)
    #[command(name = "k2hr3-osnl", alias = "k2hr3_osnl")]
    K2hr3Osnl(K2hr3OsnlArgs),
    /// Run an oss_watcher configuration (drop-in replacement)
    #[command(name = "oss-watcher", alias = "oss_watcher")]
    OssWatcher(OssWatcherArgs),
    /// Run a self-contained demo with recorded notifications
    Demo(DemoArgs),
    /// Run the daemon: listeners, rules, actions
    Run(RunArgs),
    /// Write a commented sample configuration
    Init(InitArgs),
    /// Check a configuration; --connect tries brokers and targets
    Check(CheckRunArgs),
    /// Publish notifications, each confirmed by the broker
    Send(Box<SendArgs>),
    /// Watch live notifications without consuming them
    Tap(Box<TapArgs>),
    /// Show the daemon's health: connections, backlog, dead letters
    Status(StatusArgs),
    /// Find troubles of exchanges and queues, each with its remedy
    Queues(Box<QueuesArgs>),
    /// Reload the daemon's configuration
    Reload(ReloadArgs),
    /// List, probe, pause, and resume actions
    Actions(ActionsArgs),
    /// List, inspect, retry, and discard deliveries
    Deliveries(Box<DeliveriesArgs>),
    /// List, inspect, retry, and discard unreadable messages
    Quarantine(Box<QuarantineArgs>),
    /// Back up, restore, export, verify, and compact the journal
    Journal(Box<JournalArgs>),
    /// Explain why each rule matches an event or doesn't
    Explain(Box<ExplainArgs>),
    /// Run the tests of a configuration's rules
    Test(Box<TestArgs>),
    /// Show what stored events would do, or run them again with --live
    Replay(Box<ReplayArgs>),
    /// Print the effective configuration, or list all options
    #[command(
        subcommand,
        after_help = "Examples:\n  osnl config show -c /etc/osnl/osnl.conf\n  osnl config reference | less"
    )]
    Config(ConfigCommand),
    /// Look up the notifications that each service emits
    Events(EventsArgs),
    /// Print a manual page
    Man(ManArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

/// Parses the command line; help, version and usage errors end the program here (0 and 2).
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Command {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let called_as = arguments.first().map(Path::new).and_then(Path::file_stem).and_then(|name| name.to_str());
    match called_as {
        Some(program @ ("k2hr3_osnl" | "k2hr3-osnl")) => {
            let program = program.to_owned();
            Command::K2hr3Osnl(K2hr3OsnlArgs { program, ..parsed(K2hr3OsnlArgs::command(), arguments) })
        }
        Some("oss_watcher" | "oss-watcher") => {
            Command::OssWatcher(parsed(OssWatcherArgs::command(), arguments))
        }
        _ => parsed::<Osnl>(Osnl::by_task(), spelled_out(arguments)).command,
    }
}

/// Spells `osnl help COMMAND`, `osnl version`, and `osnl -v` as flags.
fn spelled_out(mut arguments: Vec<OsString>) -> Vec<OsString> {
    match (arguments.get(1).and_then(|first| first.to_str()), arguments.len()) {
        (Some("help"), _) => {
            arguments.remove(1);
            arguments.push("--help".into());
        }
        (Some("version"), 2) => arguments[1] = "--version".into(),
        (Some("-v"), 2) => arguments[1] = "-V".into(),
        _ => {}
    }
    arguments
}

/// Parses with osnl's own choice of colours. clap alone takes variables such as `CI` for a terminal
/// with colours.
fn parsed<P: Parser>(command: clap::Command, arguments: Vec<OsString>) -> P {
    let colours = if are_colours_wanted() { ColorChoice::Auto } else { ColorChoice::Never };
    let found = command.color(colours).try_get_matches_from(arguments);
    let found = found.unwrap_or_else(|error| verbs::advised(error).exit());
    P::from_arg_matches(&found).unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests {
    use super::command::k2hr3_osnl::LevelFlag;
    use super::command::man::args;
    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Osnl::command().debug_assert();
        K2hr3OsnlArgs::command().debug_assert();
        OssWatcherArgs::command().debug_assert();
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
        for (words, advice) in verbs::ADVICE {
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

    #[test]
    fn the_legacy_flags_are_read_in_every_form_and_under_every_name() {
        let forms: [&[&str]; 8] = [
            &["k2hr3_osnl", "-c", "F"],
            &["/usr/bin/k2hr3-osnl", "-cF"],
            &["k2hr3-osnl", "--config-file", "F"],
            &["k2hr3-osnl", "--config-file=F"],
            &["k2hr3-osnl", "--config", "F"],
            &["k2hr3-osnl", "--c", "F"],
            &["osnl", "k2hr3-osnl", "-c", "F"],
            &["osnl", "k2hr3_osnl", "--conf=F"],
        ];
        for form in forms {
            let Command::K2hr3Osnl(args) = parse(form.iter().map(OsString::from)) else {
                panic!("{form:?} is another command")
            };
            assert_eq!(args.config_file.as_deref(), Some(Path::new("F")), "{form:?}");
            assert_eq!(args.program, if form[0] == "k2hr3_osnl" { form[0] } else { "k2hr3-osnl" });
        }
        let all = ["k2hr3-osnl", "-ddebug", "-l", "critical", "-f", "log", "-v"];
        let Command::K2hr3Osnl(args) = parse(all.map(OsString::from)) else { panic!("another command") };
        assert_eq!(args.debug_level, Some(LevelFlag::Debug));
        assert_eq!(args.libs_debug_level, Some(LevelFlag::Critical));
        assert_eq!(args.log_file.as_deref(), Some("log"));
        assert!(args.version);
    }

    fn names(command: &clap::Command, before: &str) -> Vec<String> {
        let below = command.get_subcommands().filter(|sub| sub.get_name() != "help");
        below
            .flat_map(|sub| {
                let name = format!("{before}{}", sub.get_name());
                let more = names(sub, &format!("{name}-"));
                [vec![name], more].concat()
            })
            .collect()
    }

    #[test]
    fn every_command_has_a_page() {
        let mut expected = names(&Osnl::command(), "");
        expected.extend(["osnl".to_owned(), "osnl.conf".to_owned()]);
        expected.sort();
        let mut pages = args::PAGES.map(str::to_owned).to_vec();
        pages.sort();
        assert_eq!(pages, expected);
        for page in args::PAGES {
            assert_eq!(args::command(page, Osnl::command).is_some(), page != "osnl.conf", "{page}");
        }
    }
}
