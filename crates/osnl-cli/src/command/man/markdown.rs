//! The commands as pages of the book: arguments, options and examples, from the definitions of the
//! flags.
//!
//! One text with a `# ` heading for the list of commands and for each command of the first level. `cargo xtask docs`
//! splits the text into files, and a test compares these files with the text.

use std::fmt::Write as _;

use clap::{Arg, Command};

use super::args::{self, Definition, visible};

const MADE: &str = "<!-- made by `cargo xtask docs` from the program's own definitions; changes go there -->";

const USAGE: &str = "`osnl COMMAND --help` prints the options of a command, `osnl man` its manual page. Without `-c` a command reads\n\
    `/etc/osnl/osnl.conf`. [Exit codes](../running.md#exit-codes).";

pub(super) fn pages(mut command: Command, osnl: Definition) -> String {
    command.build();
    let mut out = String::new();
    if visible(&command).next().is_none() {
        page(&mut out, &command, "#");
        return out;
    }
    if command.get_name() == "osnl" {
        list(&mut out, &command, osnl.tasks);
    }
    for subcommand in visible(&command) {
        page(&mut out, subcommand, "#");
    }
    out
}

fn list(out: &mut String, command: &Command, tasks: &[(&str, &[&str])]) {
    let _ = writeln!(out, "# Commands\n\n{MADE}\n\n{USAGE}");
    for (task, names) in tasks {
        let _ = writeln!(out, "\n| {} | |\n| --- | --- |", task.to_lowercase());
        for command in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let name = command.get_name();
            let about = command.get_about().map(|about| escaped(&about.to_string())).unwrap_or_default();
            let _ = writeln!(out, "| [{name}](commands/{name}.md) | {about} |");
        }
    }
    out.push('\n');
}

fn page(out: &mut String, command: &Command, level: &str) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let _ = writeln!(out, "{level} `{name}`\n");
    if level == "#" {
        let _ = writeln!(out, "{MADE}\n");
    }
    if let Some(about) = command.get_about() {
        let _ = writeln!(out, "{}.\n", escaped(&about.to_string()));
    }
    for paragraph in args::more(command).lines() {
        let _ = writeln!(out, "{}\n", with_code(paragraph));
    }
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(out, "```text\n{}\n```\n", usage.trim_start_matches("Usage: "));
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set() && !is_everywhere(arg));
    table(out, "argument", shown().filter(|arg| arg.is_positional()));
    let mut groups: Vec<Option<&str>> = Vec::new();
    for arg in shown().filter(|arg| !arg.is_positional()) {
        if !groups.contains(&arg.get_help_heading()) {
            groups.push(arg.get_help_heading());
        }
    }
    for group in groups {
        let of_group = shown().filter(|arg| !arg.is_positional() && arg.get_help_heading() == group);
        table(out, group.unwrap_or("option"), of_group);
    }
    if let Some(after) = command.get_after_help() {
        let _ = writeln!(out, "```text\n{after}\n```\n");
    }
    for subcommand in visible(command) {
        page(out, subcommand, &format!("{level}#"));
    }
    if level == "#" {
        out.truncate(out.trim_end().len());
        out.push_str("\n\n");
    }
}

fn is_everywhere(arg: &Arg) -> bool {
    ["help", "version"].contains(&arg.get_id().as_str())
}

fn table<'a>(out: &mut String, what: &str, args: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<String> = args.map(row).collect();
    if !rows.is_empty() {
        let _ = writeln!(out, "| {what} | |\n| --- | --- |\n{}\n", rows.join("\n"));
    }
}

fn row(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let mut names: Vec<String> = [short, long].into_iter().flatten().collect();
    if arg.is_positional() || arg.get_action().takes_values() {
        let values = arg.get_value_names().unwrap_or_default();
        let values = values.iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" ");
        let is_optional =
            !arg.is_positional() && arg.get_num_args().is_some_and(|range| range.min_values() == 0);
        let values = if is_optional { format!("[{values}]") } else { values };
        match names.last_mut() {
            Some(name) => *name = format!("{name} {values}"),
            None => names.push(values),
        }
    }
    let mut meaning = arg.get_help().map(|help| escaped(&help.to_string())).unwrap_or_default();
    let possible: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set() && !arg.is_hide_possible_values_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !possible.is_empty() && arg.get_action().takes_values() {
        let _ = write!(meaning, " ({})", possible.join(", "));
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if !defaults.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        let _ = write!(meaning, "; default {}", defaults.join(", "));
    }
    // Markdown code needs no escape but `\|`, and only in a table.
    format!("| `{}` | {meaning} |", names.join(", ").replace('|', "\\|"))
}

/// Escapes a text but for its words in backticks.
fn with_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { format!("`{part}`") } else { escaped(part) }).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' => out.push(' '),
            '\\' | '*' | '_' | '`' | '<' | '>' | '|' | '[' | ']' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::DEFINITION;

    #[test]
    fn words_in_backticks_are_code() {
        assert_eq!(with_code(r#"`--raw`: {"a_b"}"#), r#"`--raw`: {"a\_b"}"#);
    }

    #[test]
    fn a_page_says_what_there_is_and_hides_what_is_hidden() {
        let cases: [(Command, &str); 2] = [
            (
                Command::new("a").about("Does x|y").arg(
                    Arg::new("n")
                        .short('n')
                        .long("number")
                        .value_name("N")
                        .help("How many")
                        .default_value("3"),
                ),
                "# `a`\n\n<!-- made by `cargo xtask docs` from the program's own definitions; changes go there -->\n\n\
                 Does x\\|y.\n\n```text\na [OPTIONS]\n```\n\n| option | |\n| --- | --- |\n\
                 | `-n, --number N` | How many; default `3` |\n\n",
            ),
            (
                Command::new("a").subcommand(
                    Command::new("b")
                        .arg(Arg::new("secret").long("secret").hide(true))
                        .arg(Arg::new("file").value_name("FILE").help("Which")),
                ),
                "# `a b`\n\n<!-- made by `cargo xtask docs` from the program's own definitions; changes go there -->\n\n\
                 ```text\na b [FILE]\n```\n\n| argument | |\n| --- | --- |\n| `FILE` | Which |\n\n",
            ),
        ];
        for (command, expected) in cases {
            assert_eq!(pages(command, DEFINITION), expected);
        }
    }
}
