//! The part of a command line that argparse reads, for the programs in Python that osnl replaces.

use std::ffi::OsString;

use clap::{Arg, Command};

enum ReadFlag {
    /// The help or the version, the only flags without a value that these programs have.
    Ends,
    Value {
        is_attached: bool,
    },
    Refused,
}

/// Cuts a command line behind the first flag for help or version, where argparse ends the program, and leaves out the
/// unknown arguments before it: argparse refuses these only at the end of the line. Wrong values before the flag stay,
/// since argparse and clap refuse each at its place. The first arguments, `named`, name the program.
pub(crate) fn until_end(mut command: Command, named: usize, arguments: Vec<OsString>) -> Vec<OsString> {
    command.build();
    let mut read: Vec<OsString> = arguments.iter().take(named).cloned().collect();
    let mut rest = arguments.iter().skip(named);
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        match flag(&command, &text) {
            None => {}
            Some(ReadFlag::Refused) => break,
            Some(ReadFlag::Ends) if text.starts_with("--") => {
                read.push(argument.clone());
                return read;
            }
            Some(ReadFlag::Ends) => {
                read.push(text.chars().take(2).collect::<String>().into());
                return read;
            }
            Some(ReadFlag::Value { is_attached }) => {
                read.push(argument.clone());
                if !is_attached {
                    match rest.next().filter(|value| is_value(&value.to_string_lossy())) {
                        Some(value) => read.push(value.clone()),
                        None => break,
                    }
                }
            }
        }
    }
    arguments
}

fn is_value(text: &str) -> bool {
    text == "-" || !text.starts_with('-')
}

/// Returns `None` for an argument that is not a known flag.
fn flag(command: &Command, text: &str) -> Option<ReadFlag> {
    let of = |arg: &Arg, attached: Option<&str>| match (arg.get_action().takes_values(), attached) {
        (true, attached) => ReadFlag::Value { is_attached: attached.is_some() },
        (false, None) => ReadFlag::Ends,
        (false, Some(more)) => match flag(command, &format!("-{more}")) {
            Some(ReadFlag::Ends | ReadFlag::Value { is_attached: true }) => ReadFlag::Ends,
            Some(ReadFlag::Value { is_attached: false } | ReadFlag::Refused) | None => ReadFlag::Refused,
        },
    };
    if text == "--" {
        return Some(ReadFlag::Refused);
    }
    if let Some(long) = text.strip_prefix("--") {
        let (name, attached) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let longs = || command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg)));
        let exact = longs().find(|(known, _)| *known == name);
        let mut found = longs().filter(|(known, _)| known.starts_with(name));
        let (_, arg) = exact.or_else(|| found.next())?;
        return Some(match (exact.is_none() && found.next().is_some(), arg.get_action(), attached) {
            (true, ..) => ReadFlag::Refused,
            (false, action, Some(_)) if !action.takes_values() => ReadFlag::Refused,
            (false, ..) => of(arg, attached),
        });
    }
    let mut letters = text.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    let arg = command.get_arguments().find(|arg| arg.get_short() == Some(letter))?;
    of(arg, Some(letters.as_str()).filter(|more| !more.is_empty())).into()
}
