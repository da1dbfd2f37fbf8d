//! A manual page in roff, whose parts have the usual order of manual pages.

use std::fmt::Write as _;

use clap_mangen::Man;

use super::args::{self, Definition};
use super::words::{self, Words};

/// Short, because the header has the page's name twice beside this text.
const MANUAL: &str = "osnl Manual";

pub(super) fn of(page: &str, osnl: Definition) -> Option<String> {
    let words = words::of(page);
    let Some(command) = args::command(page, osnl) else { return Some(configuration(words, osnl)) };
    let (notes, examples) = after(&command);
    let of_flags = Man::new(command.clone());
    let mut flags = Vec::new();
    of_flags.render_name_section(&mut flags).ok()?;
    of_flags.render_synopsis_section(&mut flags).ok()?;
    of_flags.render_description_section(&mut flags).ok()?;
    let (name, section) = title(page);
    let mut out = heading(&name, section);
    out.push_str(&String::from_utf8(flags).ok()?);
    out.push_str(&paragraphs(words.more));
    let (ends, notes): (Vec<_>, Vec<_>) = notes.into_iter().partition(|note| note.contains("xits with "));
    notes.iter().for_each(|note| paragraph(&mut out, note));
    let mut flags = Vec::new();
    of_flags.render_options_section(&mut flags).ok()?;
    if command.has_subcommands() {
        of_flags.render_subcommands_section(&mut flags).ok()?;
    }
    out.push_str(&String::from_utf8(flags).ok()?);
    out.push_str(".SH EXIT STATUS\n");
    for note in &ends {
        let _ = write!(out, "{}\n.PP\n", escaped(note));
    }
    out.push_str(words.exit.trim_start());
    out.push_str(words.sections.trim_start());
    if !examples.is_empty() {
        let _ = write!(out, ".SH EXAMPLES\n.nf\n{}.fi\n", literal(&examples));
    }
    see_also(&mut out, page, words, osnl);
    Some(out)
}

fn configuration(words: &Words, osnl: Definition) -> String {
    let mut out = heading("osnl.conf", 5);
    out.push_str(
        ".SH NAME\nosnl.conf \\- the configuration of osnl: listeners, rules and actions\n.SH DESCRIPTION\n",
    );
    out.push_str(paragraphs(words.more).trim_start_matches(".PP\n"));
    out.push_str(&osnl::native::reference(osnl_legacy::oss::drivers()).roff());
    out.push_str(words.sections.trim_start());
    see_also(&mut out, "osnl.conf", words, osnl);
    out
}

/// Returns the header. The date stays empty, so that the same flags give the same page.
fn heading(name: &str, section: u8) -> String {
    format!(".TH {name} {section} \"\" \"osnl {}\" \"{MANUAL}\"\n", env!("CARGO_PKG_VERSION"))
}

fn after(command: &clap::Command) -> (Vec<String>, Vec<String>) {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (notes, examples) = match text.find("Example") {
        Some(at) => text.split_at(at),
        None => (&*text, ""),
    };
    let notes = notes.split("\n\n").map(|note| note.trim().replace('\n', " "));
    let examples = examples.lines().skip(1).map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned());
    (notes.filter(|note| !note.is_empty()).collect(), examples.collect())
}

fn paragraphs(text: &str) -> String {
    text.lines().filter(|line| !line.is_empty()).fold(String::new(), |mut out, line| {
        let _ = write!(out, ".PP\n{line}\n");
        out
    })
}

fn paragraph(out: &mut String, text: &str) {
    let _ = write!(out, ".PP\n{}\n", escaped(text));
}

fn literal(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{}\n", escaped(line))).collect()
}

fn see_also(out: &mut String, page: &str, words: &Words, osnl: Definition) {
    let mut names: Vec<&str> = Vec::new();
    if page != "osnl" {
        names.push("osnl");
    }
    let above = page.rsplit_once('-').map(|(above, _)| above);
    names.extend(above.filter(|above| args::command(above, osnl).is_some()));
    names.extend(words.see);
    if page != "osnl.conf" {
        names.push("osnl.conf");
    }
    let names: Vec<String> = names.into_iter().map(reference).collect();
    let _ = write!(out, ".SH SEE ALSO\n{}\n", names.join(",\n"));
}

fn title(page: &str) -> (String, u8) {
    match page {
        "osnl.conf" => (page.to_owned(), 5),
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn texts_are_what_they_were() {
        for (text, expected) in
            [("a-b 'c' \\ ^x", "a\\-b \\(aqc\\(aq \\e \\(hax"), (".TP", "\\&.TP"), ("~/a.b", "\\(ti/a.b")]
        {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn references_lead_to_pages() {
        let pages: Vec<String> = args::PAGES.iter().map(|page| reference(page)).collect();
        for page in args::PAGES {
            let text = of(page, crate::Osnl::command).unwrap();
            let (_, see) = text.rsplit_once(".SH SEE ALSO\n").unwrap();
            let named: Vec<&str> = see.trim_end().split(",\n").collect();
            assert!(!named.is_empty(), "{page}");
            for name in &named {
                assert!(pages.iter().any(|page| page == name), "{page} refers to {name}");
                assert_eq!(named.iter().filter(|other| *other == name).count(), 1, "{page}: {name} twice");
            }
            assert!(!named.contains(&&*reference(page)), "{page} refers to itself");
            assert!(page == "osnl.conf" || text.contains(".SH EXIT STATUS\n"), "{page}");
        }
    }
}
