//! A manual page in roff, whose parts have the usual order of manual pages.

use std::fmt::Write as _;

use clap_mangen::Man;

use super::args::{self, CONFIGURATION, Definition};
use super::words::{self, Words};

/// Short, because the header has the page's name twice beside this text.
const MANUAL: &str = "osnl Manual";

pub(super) fn render(page: &str, osnl: Definition) -> Option<String> {
    let words = words::find(page);
    if page == CONFIGURATION {
        return Some(configuration(words, osnl));
    }
    let command = args::command(page, osnl)?;
    let (notes, examples) = after(&command);
    let of_flags = Man::new(command.clone());
    let mut flags = Vec::new();
    of_flags.render_name_section(&mut flags).ok()?;
    of_flags.render_synopsis_section(&mut flags).ok()?;
    let (name, section) = title(page);
    let mut out = heading(&name, section);
    out.push_str(&from_clap(flags)?);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(out, ".SH DESCRIPTION\n{}\n", escaped(&about));
    for line in args::more(&command).lines() {
        let _ = write!(out, ".PP\n{}\n", in_roff(line));
    }
    let (ends, notes): (Vec<_>, Vec<_>) = notes.into_iter().partition(|note| note.contains("xits with "));
    notes.iter().for_each(|note| paragraph(&mut out, note));
    let mut flags = Vec::new();
    of_flags.render_options_section(&mut flags).ok()?;
    if command.has_subcommands() {
        of_flags.render_subcommands_section(&mut flags).ok()?;
    }
    out.push_str(&from_clap(flags)?);
    out.push_str(".SH EXIT STATUS\n");
    for note in &ends {
        let _ = write!(out, "{}\n.PP\n", escaped(note));
    }
    out.push_str(words.exit.trim_start());
    out.push_str(words.sections.trim_start());
    if !examples.is_empty() {
        let _ = write!(out, ".SH EXAMPLES\n.nf\n{}.fi\n", literal(&examples));
    }
    let mut see = nearby(page, osnl);
    see.extend(words.see.iter().map(|name| (*name).to_owned()));
    see_also(&mut out, page, see);
    Some(out)
}

fn configuration(words: &Words, osnl: Definition) -> String {
    let mut out = heading(CONFIGURATION, 5);
    out.push_str(
        ".SH NAME\nosnl.conf \\- the configuration of osnl: listeners, rules and actions\n.SH DESCRIPTION\n",
    );
    let _ = writeln!(out, "{}", words.more);
    out.push_str(&osnl::native::reference(osnl_legacy::oss::drivers()).roff());
    out.push_str(words.sections.trim_start());
    let see = words.see.iter().map(|name| (*name).to_owned());
    see_also(&mut out, CONFIGURATION, [nearby(CONFIGURATION, osnl), see.collect()].concat());
    out
}

/// Returns what clap has written, without the spaces and empty lines that `mandoc -T lint` warns about.
fn from_clap(flags: Vec<u8>) -> Option<String> {
    Some(String::from_utf8(flags).ok()?.replace(" \n", "\n").replace(".br\n\n.br\n", ".sp\n"))
}

/// Returns the header. The date stays empty, so that the same flags give the same page.
fn heading(name: &str, section: u8) -> String {
    format!(".TH {name} {section} \"\" \"osnl {}\" \"{MANUAL}\"\n", env!("CARGO_PKG_VERSION"))
}

fn after_help(command: &clap::Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default()
}

fn after(command: &clap::Command) -> (Vec<String>, Vec<String>) {
    let text = after_help(command);
    let (notes, examples) = match text.find("Example") {
        Some(at) => text.split_at(at),
        None => (&*text, ""),
    };
    let notes = notes.split("\n\n").map(|note| note.trim().replace('\n', " "));
    let examples = examples.lines().skip(1).map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned());
    (notes.filter(|note| !note.is_empty()).collect(), examples.collect())
}

fn paragraph(out: &mut String, text: &str) {
    let _ = write!(out, ".PP\n{}\n", escaped(text));
}

fn literal(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{}\n", escaped(line))).collect()
}

/// Returns the command above, those below or beside, and those that the page's text names.
fn nearby(page: &str, osnl: Definition) -> Vec<String> {
    let pages = args::pages(osnl);
    let above =
        page.rsplit_once('-').map(|(above, _)| above).filter(|above| pages.iter().any(|page| page == above));
    let mut names: Vec<String> = above.into_iter().map(str::to_owned).collect();
    let below_of = above.unwrap_or(page);
    let is_below = |name: &&String| name.strip_prefix(below_of).is_some_and(|rest| rest.starts_with('-'));
    names.extend(pages.iter().filter(is_below).cloned());
    let tasks = osnl.tasks.iter().map(|(_, commands)| *commands);
    let beside = tasks.filter(|commands| commands.contains(&page)).flatten();
    names.extend(beside.map(|name| (*name).to_owned()));
    let text = args::command(page, osnl).map(|command| args::more(&command) + &after_help(&command));
    names.extend(named(&text.unwrap_or_default(), &(osnl.command)()));
    names
}

/// Returns the pages of the commands that a text calls, such as `osnl actions probe`.
fn named(text: &str, osnl: &clap::Command) -> Vec<String> {
    let calls = text.split("osnl ").skip(1);
    let page = |call: &str| {
        let (mut found, mut names) = (osnl, Vec::new());
        for word in call.split(|c: char| c != '-' && !c.is_ascii_alphanumeric()) {
            let Some(below) = found.find_subcommand(word) else { break };
            found = below;
            names.push(below.get_name());
        }
        names.join("-")
    };
    calls.map(page).filter(|page| !page.is_empty()).collect()
}

fn see_also(out: &mut String, page: &str, see: Vec<String>) {
    let mut names = vec!["osnl".to_owned()];
    names.extend(see);
    names.push(CONFIGURATION.to_owned());
    let mut listed: Vec<String> = Vec::new();
    for name in names {
        let name = reference(&name);
        if name != reference(page) && !listed.contains(&name) {
            listed.push(name);
        }
    }
    let _ = write!(out, ".SH SEE ALSO\n{}\n", listed.join(",\n"));
}

fn title(page: &str) -> (String, u8) {
    match page {
        CONFIGURATION => (page.to_owned(), 5),
        "osnl" | "k2hr3-osnl" | "oss-watcher" => (page.to_owned(), 1),
        page => (format!("osnl-{page}"), 1),
    }
}

pub(super) fn file_name(page: &str) -> String {
    let (name, section) = title(page);
    format!("{name}.{section}")
}

fn reference(page: &str) -> String {
    let (name, section) = title(page);
    format!("\\fB{}\\fR({section})", name.replace('-', "\\-"))
}

/// Returns a text whose words in backticks are bold.
fn in_roff(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(n, part)| if n % 2 == 1 { format!("\\fB{}\\fR", escaped(part)) } else { escaped(part) })
        .collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            '.' if at == 0 => out.push_str("\\&."),
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
    fn texts_are_what_they_were() {
        for (text, expected) in
            [("a-b 'c' \\ ^x", "a\\-b \\(aqc\\(aq \\e \\(hax"), (".TP", "\\&.TP"), ("~/a.b", "\\(ti/a.b")]
        {
            assert_eq!(escaped(text), expected);
        }
        assert_eq!(in_roff("with `--raw`: a"), "with \\fB\\-\\-raw\\fR: a");
    }

    #[test]
    fn no_page_has_what_mandoc_warns_about() {
        for page in args::pages(DEFINITION) {
            let text = render(&page, DEFINITION).unwrap();
            for wrong in [" \n", ".br\n\n", ".PP\n.SH"] {
                assert!(!text.contains(wrong), "{page} has {wrong:?}");
            }
        }
        let check = render("check", DEFINITION).unwrap();
        assert!(check.contains("\n.sp\n\\fIPossible values:\\fR\n"), "{check}");
    }

    #[test]
    fn references_lead_to_pages() {
        let all = args::pages(DEFINITION);
        let pages: Vec<String> = all.iter().map(|page| reference(page)).collect();
        for page in &all {
            let text = render(page, DEFINITION).unwrap();
            let (_, see) = text.rsplit_once(".SH SEE ALSO\n").unwrap();
            for name in see.trim_end().split(",\n") {
                assert!(pages.iter().any(|page| page == name), "{page} refers to {name}");
            }
        }
        let see = nearby("deliveries-release", DEFINITION);
        for name in ["deliveries", "deliveries-list", "actions-probe"] {
            assert!(see.iter().any(|see| see == name), "{name}: {see:?}");
        }
        assert!(nearby("status", DEFINITION).iter().any(|see| see == "queues"));
    }
}
