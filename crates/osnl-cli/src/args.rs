//! What was typed: the program's own subcommands, and the flags of the programs it stands in for.

mod control;
pub(crate) mod man;
pub(crate) mod moment;
mod send;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use osnl::native;
use osnl_model::{Budget, DecodeError, Secret};

use crate::command::demo::ScreenSize;
use crate::command::explain::ExplainArgs;
use crate::command::quarantine::QuarantineArgs;
use crate::command::replay::ReplayArgs;
use crate::command::tap::TapArgs;
use crate::command::test::TestArgs;
use crate::terminal::are_colours_wanted;

pub(crate) use self::control::{
    BetweenArgs, ChangeArgs, ControlFormat, DeliveriesArgs, DeliveriesCommand, FilterArgs, FormatArgs,
    HowArgs, PlaceArgs, ReloadArgs, ShowArgs, StatusArgs,
};
pub(crate) use self::man::{CompletionsArgs, ManArgs};
pub(crate) use self::send::{SendArgs, SendDriver, SendFormat};

/// What to do.
#[derive(Debug)]
pub(crate) enum Invocation {
    K2hr3Osnl(K2hr3OsnlArgs),
    OssWatcher(OssWatcherArgs),
    Demo(DemoArgs),
    Run(RunArgs),
    Check(CheckRunArgs),
    Send(Box<SendArgs>),
    Tap(Box<TapArgs>),
    Status(StatusArgs),
    Reload(ReloadArgs),
    Deliveries(Box<DeliveriesArgs>),
    Quarantine(Box<QuarantineArgs>),
    Explain(Box<ExplainArgs>),
    Test(Box<TestArgs>),
    Replay(Box<ReplayArgs>),
    ConfigShow(ConfigShowArgs),
    Events(EventsArgs),
    ConfigReference(ConfigReferenceArgs),
    Man(ManArgs),
    Completions(CompletionsArgs),
}

#[derive(Debug, Parser)]
#[command(
    name = "osnl",
    version,
    about = "OpenStack Notification Listener: your cloud's events reach who must hear them",
    after_help = "Examples:\n  osnl check -c /etc/osnl/osnl.conf",
    // Options are --help and --version alone: without a list of them all fits a screen.
    help_template = "{about}\n{usage-heading} {usage}\n\nCommands:\n{subcommands}{after-help}",
    disable_help_subcommand = true
)]
struct Osnl {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Delete gone hosts from K2HR3, with k2hr3_osnl's flags
    #[command(name = "k2hr3-osnl", alias = "k2hr3_osnl")]
    K2hr3Osnl(K2hr3OsnlArgs),
    /// Tell of allocations and releases, with oss_watcher's flags
    #[command(name = "oss-watcher", alias = "oss_watcher")]
    OssWatcher(OssWatcherArgs),
    /// Show the way of recorded notifications, all on this machine
    Demo(DemoArgs),
    /// Run what a configuration says: listeners, rules, actions
    Run(RunArgs),
    /// Check and explain a configuration; --connect tries brokers too
    Check(CheckRunArgs),
    /// Publish notifications, each confirmed by the broker
    Send(Box<SendArgs>),
    /// Look on at what passes on a broker; takes nothing from anybody
    Tap(Box<TapArgs>),
    /// How the daemon goes: what is connected, held, pending, given up
    Status(StatusArgs),
    /// Have the daemon read its configuration again
    Reload(ReloadArgs),
    /// What the journal holds, and what becomes of it
    Deliveries(Box<DeliveriesArgs>),
    /// List, inspect, retry, and discard messages that were not read
    Quarantine(Box<QuarantineArgs>),
    /// Why an event fires each rule, or does not
    Explain(Box<ExplainArgs>),
    /// Run the tests of rules that stand beside a configuration
    Test(Box<TestArgs>),
    /// Send journalled or saved events through rules again; shows first
    Replay(Box<ReplayArgs>),
    /// Print configurations
    #[command(
        subcommand,
        after_help = "Examples:\n  osnl config show -c /etc/osnl/osnl.conf\n  osnl config reference | less"
    )]
    Config(ConfigCommand),
    /// What services send: events, fields, types, samples
    Events(EventsArgs),
    /// Print a manual page
    Man(ManArgs),
    /// Print a shell's completions
    Completions(CompletionsArgs),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print what counts, with where each value came from, as a file that means the same
    Show(ConfigShowArgs),
    /// Print every section and option there is, with defaults
    Reference(ConfigReferenceArgs),
}

#[derive(Debug, Parser)]
#[command(name = "k2hr3-osnl")]
struct K2hr3Osnl {
    #[command(flatten)]
    args: K2hr3OsnlArgs,
}

/// The flags of k2hr3_osnl 1.0.8.
#[derive(Debug, Args)]
#[command(
    about = "Listens to OpenStack notifications and deletes the hosts that are gone from K2HR3",
    after_help = "Example:\n  k2hr3-osnl -c /etc/k2hr3/k2hr3-osnl.conf -d debug",
    infer_long_args = true,
    disable_version_flag = true
)]
pub(crate) struct K2hr3OsnlArgs {
    /// Configuration file [default: /etc/k2hr3/k2hr3_osnl.conf, else /etc/k2hr3/k2hr3-osnl.conf]
    #[arg(short = 'c', long, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
    /// Level of this program's log lines [default: debug_level of the file]
    #[arg(short = 'd', value_name = "LEVEL")]
    pub(crate) debug_level: Option<LevelFlag>,
    /// Level of the libraries' log lines [default: libs_debug_level of the file]
    #[arg(short = 'l', value_name = "LEVEL")]
    pub(crate) libs_debug_level: Option<LevelFlag>,
    /// Log file instead of stderr [default: log_file of the file]
    #[arg(short = 'f', value_name = "FILE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) log_file: Option<String>,
    /// Print the version and exit
    #[arg(short = 'v')]
    pub(crate) version: bool,
    /// The name it was called by, which names its folder `conf.d`.
    #[arg(skip = "k2hr3-osnl")]
    pub(crate) program: String,
}

#[derive(Debug, Parser)]
#[command(name = "oss-watcher")]
struct OssWatcher {
    #[command(flatten)]
    args: OssWatcherArgs,
}

/// The flags of oss_watcher 2015.1.
#[derive(Debug, Args)]
#[command(
    about = "Listens to OpenStack notifications and tells plug-ins which addresses come and go",
    after_help = "Example:\n  oss-watcher --config-file=/etc/oss_framework/oss.conf",
    infer_long_args = true,
    disable_version_flag = true
)]
pub(crate) struct OssWatcherArgs {
    /// Configuration file, later ones over earlier ones [default: oss_framework.conf and
    /// oss_watcher.conf in ~/.oss_framework, ~, /etc/oss_framework, /etc]
    #[arg(long, value_name = "PATH")]
    pub(crate) config_file: Vec<PathBuf>,
    /// Folder whose *.conf are read after the files, sorted by name
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Vec<PathBuf>,
    /// Print the version and exit
    #[arg(long)]
    pub(crate) version: bool,
}

/// A level on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelFlag {
    Debug,
    Info,
    Warn,
    Error,
    // Acts as warn.
    Critical,
}

/// Where a native configuration is read from.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Configuration file(s) [default: /etc/osnl/osnl.conf]
    #[arg(short = 'c', long, value_name = "FILE")]
    pub(crate) config_file: Vec<PathBuf>,
    /// Folder whose *.conf are read by name after the files
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: Vec<PathBuf>,
}

/// The flags of `osnl run`.
#[derive(Debug, Args)]
#[command(after_help = "Variables OS_<SECTION>__<OPTION> count above files, these flags above both.\n\n\
                  Example:\n  osnl run --config-file /etc/osnl/osnl.conf")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Log everything, as debug = true does
    #[arg(long)]
    pub(crate) debug: bool,
    /// Log file instead of stderr
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<String>,
}

/// The flags of `osnl check`.
#[derive(Debug, Args)]
#[command(after_help = "Ends with 0, with 78 if the configuration cannot be used, \
                  or with 69 if --connect does not reach something.\n\n\
                  Examples:\n  osnl check --config-file /etc/osnl/osnl.conf\n  \
                  osnl check --connect --format json | jq '.probes[] | select(.verdict != \"ok\")'")]
pub(crate) struct CheckRunArgs {
    #[command(flatten)]
    pub(crate) of: CheckArgs,
    /// Try brokers, queues, targets and files too; changes nothing
    #[arg(long)]
    pub(crate) connect: bool,
    /// How long --connect may take, such as 5s
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// What is printed: json is one object
    #[arg(long, value_enum, default_value_t = CheckFormat::Text, value_name = "FORMAT")]
    pub(crate) format: CheckFormat,
}

/// What `osnl check` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    Text,
    Json,
}

/// What is looked at: native files, a `k2hr3_osnl.conf`, or an `oss.conf`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// A k2hr3_osnl.conf instead, as k2hr3-osnl reads it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config_file", "config_dir"])]
    pub(crate) k2hr3_osnl: Option<PathBuf>,
    /// An oss.conf instead, as oss-watcher reads it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config_file", "config_dir", "k2hr3_osnl"])]
    pub(crate) oss_watcher: Option<PathBuf>,
}

/// What `osnl config show` prints.
#[derive(Debug, Args)]
#[command(after_help = "Example, from k2hr3_osnl's form to osnl's:\n  \
                  osnl config show --show-secrets --k2hr3-osnl k2hr3-osnl.conf > osnl.conf")]
pub(crate) struct ConfigShowArgs {
    #[command(flatten)]
    pub(crate) of: CheckArgs,
    /// Print passwords too; without it they are ***
    #[arg(long)]
    pub(crate) show_secrets: bool,
    /// text is a file that means the same; json for scripts
    #[arg(long, value_enum, default_value_t = CheckFormat::Text, value_name = "FORMAT")]
    pub(crate) format: CheckFormat,
}

/// What `osnl events` shows.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  osnl events\n  osnl events neutron\n  osnl events port.delete.end\n  \
                  osnl events nova instance.create.end --format json")]
pub(crate) struct EventsArgs {
    /// Which service, or an event whatever its service [default: all services]
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Which event, or the beginning of several
    #[arg(value_name = "EVENT")]
    pub(crate) event: Option<String>,
    /// What is printed; markdown is a summary of all events
    #[arg(long, value_enum, default_value_t = EventsFormat::Text, value_name = "FORMAT")]
    pub(crate) format: EventsFormat,
}

/// How `osnl events` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventsFormat {
    Text,
    Json,
    // docs/reference/events.md
    Markdown,
}

/// What `osnl config reference` prints.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  osnl config reference | less")]
pub(crate) struct ConfigReferenceArgs {
    /// text for reading; markdown is docs/reference/configuration.md; json for scripts
    #[arg(long, value_enum, default_value_t = ReferenceFormat::Text, value_name = "FORMAT")]
    pub(crate) format: ReferenceFormat,
}

/// The form of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReferenceFormat {
    Text,
    Markdown,
    Json,
}

/// The flags of `osnl demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  osnl demo\n  osnl demo --count 1000 --rate 200 --fail 2\n  \
                        osnl demo --format json | tail -n 1\n  \
                        osnl demo --transport-url rabbit://guest:guest@127.0.0.1:5672/")]
pub(crate) struct DemoArgs {
    /// What is shown: k2hr3 or oss
    #[arg(
        long,
        value_enum,
        default_value_t = DemoScenario::K2hr3,
        value_name = "SCENARIO",
        hide_possible_values = true
    )]
    pub(crate) scenario: DemoScenario,
    /// How many events there are
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,
    /// Events a second [default: on a terminal all within five seconds]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Every how many requests the target fails once; 0 for never
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) fail: u32,
    /// The same number is the same run
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub(crate) seed: u64,
    /// text: a live screen on a terminal, else lines; json: an object a line
    #[arg(long, value_enum, default_value_t = DemoFormat::Text, value_name = "FORMAT")]
    pub(crate) format: DemoFormat,
    /// A real broker; what is made there is osnl-demo-*, and removed again
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub(crate) transport_url: Option<Secret>,
    /// A live screen of this size, whatever stdout is: for pictures
    #[arg(long, value_name = "COLUMNSxLINES", hide = true)]
    pub(crate) screen: Option<ScreenSize>,
}

/// What `osnl demo` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoScenario {
    K2hr3,
    Oss,
}

/// What `osnl demo` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoFormat {
    Text,
    Json,
}

/// The largest body, as the option of a listener has it.
pub(crate) fn max_body(text: &str) -> Result<usize, String> {
    let allowed = Budget::LEAST.body..=Budget::MOST.body;
    let size = osnl_config::size::parse(text).and_then(|size| usize::try_from(size).ok());
    size.filter(|size| allowed.contains(size)).ok_or_else(|| {
        let [least, most] =
            [allowed.start(), allowed.end()].map(|size| osnl_config::size::shown(*size as u64));
        format!("write a size from {least} to {most}, such as 16MiB")
    })
}

/// A budget with bodies of this size, and as many more values as they have room for.
pub(crate) fn widened(budget: Budget, max_body: Option<usize>) -> Budget {
    let Some(body) = max_body else { return budget };
    let room = body / (Budget::DEFAULT.body / Budget::DEFAULT.values);
    Budget { body, values: budget.values.max(room).min(Budget::MOST.values), ..budget }
}

/// Why a message cannot be read, and the flag that reads it, if there is one.
pub(crate) fn unread(error: &DecodeError) -> String {
    match error {
        DecodeError::TooMuch(excess) if excess.option().is_some() => {
            format!("{error}; raise it with --max-body")
        }
        other => other.to_string(),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.01..=1_000_000.0).contains(rate));
    rate.ok_or_else(|| "a number from 0.01 to 1000000".to_owned())
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = osnl_config::duration::parse(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "write 5, 5s, 500ms or 1m".to_owned())
}

/// Never fails: clap would print what was typed.
#[expect(clippy::unnecessary_wraps, reason = "what clap calls")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

/// Help and usage errors have colours where everything else has them: clap by itself takes some variables, such as `CI`,
/// for a terminal that knows colours.
fn parsed<P: Parser>(arguments: Vec<OsString>) -> P {
    let colours = if are_colours_wanted() { ColorChoice::Auto } else { ColorChoice::Never };
    let found = P::command().color(colours).get_matches_from(arguments);
    P::from_arg_matches(&found).unwrap_or_else(|error| error.exit())
}

/// Reads the command line; help, version and usage errors end the program here (0 and 2).
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Invocation {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let called_as = arguments.first().map(Path::new).and_then(Path::file_stem).and_then(|name| name.to_str());
    if let Some(program @ ("k2hr3_osnl" | "k2hr3-osnl")) = called_as {
        let program = program.to_owned();
        return Invocation::K2hr3Osnl(K2hr3OsnlArgs { program, ..parsed::<K2hr3Osnl>(arguments).args });
    }
    if let Some("oss_watcher" | "oss-watcher") = called_as {
        return Invocation::OssWatcher(parsed::<OssWatcher>(arguments).args);
    }
    match parsed::<Osnl>(arguments).command {
        Command::OssWatcher(args) => Invocation::OssWatcher(args),
        Command::K2hr3Osnl(args) => Invocation::K2hr3Osnl(args),
        Command::Demo(args) => Invocation::Demo(args),
        Command::Run(args) => Invocation::Run(args),
        Command::Check(args) => Invocation::Check(args),
        Command::Send(args) => Invocation::Send(args),
        Command::Tap(args) => Invocation::Tap(args),
        Command::Status(args) => Invocation::Status(args),
        Command::Reload(args) => Invocation::Reload(args),
        Command::Deliveries(args) => Invocation::Deliveries(args),
        Command::Quarantine(args) => Invocation::Quarantine(args),
        Command::Explain(args) => Invocation::Explain(args),
        Command::Test(args) => Invocation::Test(args),
        Command::Replay(args) => Invocation::Replay(args),
        Command::Config(ConfigCommand::Show(args)) => Invocation::ConfigShow(args),
        Command::Events(args) => Invocation::Events(args),
        Command::Config(ConfigCommand::Reference(args)) => Invocation::ConfigReference(args),
        Command::Man(args) => Invocation::Man(args),
        Command::Completions(args) => Invocation::Completions(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Osnl::command().debug_assert();
        K2hr3Osnl::command().debug_assert();
        OssWatcher::command().debug_assert();
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
            let Invocation::K2hr3Osnl(args) = parse(form.iter().map(OsString::from)) else {
                panic!("{form:?} is another command")
            };
            assert_eq!(args.config_file.as_deref(), Some(Path::new("F")), "{form:?}");
            assert_eq!(args.program, if form[0] == "k2hr3_osnl" { form[0] } else { "k2hr3-osnl" });
        }
        let all = ["k2hr3-osnl", "-ddebug", "-l", "critical", "-f", "log", "-v"];
        let Invocation::K2hr3Osnl(args) = parse(all.map(OsString::from)) else { panic!("another command") };
        assert_eq!(args.debug_level, Some(LevelFlag::Debug));
        assert_eq!(args.libs_debug_level, Some(LevelFlag::Critical));
        assert_eq!(args.log_file.as_deref(), Some("log"));
        assert!(args.version);
    }
}
