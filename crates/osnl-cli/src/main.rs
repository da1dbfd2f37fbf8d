//! The `osnl` command. Under the names `k2hr3_osnl` and `k2hr3-osnl`, `oss_watcher` and
//! `oss-watcher` the command takes the flags of those programs.
//!
//! Order, lowest first: `exit`, `clean`, `terminal`, `output`, `flags`, `advice`, `logging`, `app`,
//! `command`.

mod advice;
mod app;
mod clean;
mod command;
mod exit;
mod flags;
mod logging;
mod output;
mod terminal;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory as _, Parser};

use self::command::k2hr3_osnl::K2hr3OsnlArgs;
use self::command::oss_watcher::OssWatcherArgs;
use self::command::{Command, Osnl};
use self::terminal::are_colours_wanted;

/// Decoding makes many small values, which one thread allocates and another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    parse(std::env::args_os()).run().into()
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
    let found = found.unwrap_or_else(|error| advice::advised(error).exit());
    P::from_arg_matches(&found).unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests {
    use super::command::k2hr3_osnl::LevelFlag;
    use super::*;

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
}
