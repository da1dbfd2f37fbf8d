//! `-c`, `--state-dir`, and `--journal` on the command line count. Any error offers nothing,
//! because `Tab` has no place for a message. Only names and numbers are offered, never values of
//! options or messages.

use std::path::PathBuf;

use clap::{Arg, Command};
use osnl::journal::query::{Filter, ListPage, Phase, RowOrder, UnreadableFilter};
use osnl::journal::sqlite::SqliteReader;
use osnl::native::{self, JournalConf, Native};

use super::args::{self, Definition};
use crate::command::sources;
use crate::flags::SourceArgs;

const MOST: u32 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameKind {
    Actions,
    Rules,
    Listeners,
    Deliveries(&'static [Phase]),
    Quarantined,
    Pages,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct CommandLine {
    kind: Option<NameKind>,
    config_file: Vec<PathBuf>,
    config_dir: Vec<PathBuf>,
    journal: Option<PathBuf>,
    state_dir: Option<PathBuf>,
}

pub(super) fn offered(words: &[String], osnl: Definition) -> Vec<String> {
    let words: Vec<String> = words.iter().map(|word| unquoted(word)).collect();
    let typed = CommandLine::parse(&words, osnl);
    let (Some(kind), Some(begin)) = (typed.kind, words.last()) else { return Vec::new() };
    // bash passes an equals sign as a word.
    let begin = if begin == "=" { "" } else { begin };
    let mut names = if kind == NameKind::Pages { args::pages(osnl) } else { typed.names(kind) };
    names.retain(|name| name.starts_with(begin) && !name.chars().any(char::is_control));
    names
}

/// Removes a shell's quotes from a word, since the scripts pass words as typed.
fn unquoted(word: &str) -> String {
    let (mut out, mut quote, mut chars) = (String::new(), None, word.chars());
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => out.extend(chars.next()),
            (c, _) => out.push(c),
        }
    }
    match (out.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest).to_string_lossy().into_owned(),
        _ => out,
    }
}

impl CommandLine {
    fn parse(words: &[String], osnl: Definition) -> Self {
        let mut typed = Self::default();
        let mut command = (osnl.command)();
        command.build();
        let mut path: Vec<String> = Vec::new();
        let Some((last, before)) = words.split_last() else { return typed };
        let (mut place, mut waiting, mut are_options_over) = (0, None::<Arg>, false);
        for word in before.iter().skip(1) {
            if word == "=" && waiting.is_some() {
                continue;
            }
            if let Some(option) = waiting.take() {
                typed.note(&option, word);
            } else if word == "--" {
                are_options_over = true;
            } else if word.starts_with('-') && word != "-" && !are_options_over {
                let (name, value) =
                    word.split_once('=').map_or((&**word, None), |(name, value)| (name, Some(value)));
                match (option(&command, name), value) {
                    (Some(option), Some(value)) => typed.note(&option, value),
                    (Some(option), None) => waiting = Some(option),
                    (None, _) => {}
                }
            } else if let Some(below) = command.find_subcommand(word) {
                path.push(below.get_name().to_owned());
                command = below.clone();
                place = 0;
            } else {
                place += 1;
            }
        }
        let positional = || {
            let positionals: Vec<&Arg> = command.get_positionals().collect();
            positionals.get(place).or(positionals.last()).map(|arg| (*arg).clone())
        };
        let wanted = match waiting {
            Some(option) => Some(option),
            None if last.starts_with('-') && !are_options_over => None,
            None => positional(),
        };
        typed.kind = wanted.and_then(|arg| kind(&arg, &path));
        typed
    }

    fn note(&mut self, option: &Arg, value: &str) {
        match option.get_id().as_str() {
            "config_file" => self.config_file.push(value.into()),
            "config_dir" => self.config_dir.push(value.into()),
            "journal" => self.journal = Some(value.into()),
            "state_dir" => self.state_dir = Some(value.into()),
            _ => {}
        }
    }

    fn names(&self, kind: NameKind) -> Vec<String> {
        let (config_file, config_dir) = (self.config_file.clone(), self.config_dir.clone());
        let conf = match (&self.journal, &self.state_dir) {
            (None, None) => native::load(&sources::from_args(&SourceArgs { config_file, config_dir })).ok(),
            _ => None,
        };
        let conf = conf.map(|loaded| loaded.conf);
        let of = |names: fn(&Native) -> Vec<String>| conf.as_ref().map(names).unwrap_or_default();
        let mut names = match kind {
            NameKind::Actions => {
                of(|conf| conf.actions.iter().map(|action| action.name.to_string()).collect())
            }
            NameKind::Rules => of(|conf| conf.rules.iter().map(|rule| rule.rule.name.to_string()).collect()),
            NameKind::Listeners => {
                of(|conf| conf.listeners.iter().map(|listener| listener.name.to_string()).collect())
            }
            NameKind::Deliveries(_) | NameKind::Quarantined | NameKind::Pages => Vec::new(),
        };
        let of_folder = || Some(self.state_dir.as_ref()?.join("journal.db"));
        let journal = self.journal.clone().or_else(of_folder).or_else(|| match &conf.as_ref()?.journal {
            JournalConf::Sqlite(options) => Some(options.path.clone()),
            JournalConf::Memory => None,
        });
        let Some(reader) = journal.and_then(|file| SqliteReader::open(&file).ok()) else { return names };
        match kind {
            NameKind::Actions => {
                let known = reader.tally().unwrap_or_default();
                names.extend(known.into_iter().map(|of| of.action));
                names.sort();
                names.dedup();
            }
            NameKind::Deliveries(phases) => {
                let filter = Filter { phases: phases.to_vec(), ..Filter::default() };
                let page = ListPage { order: RowOrder::Newest, limit: MOST, ..ListPage::default() };
                let rows = reader.list(&filter, &page).unwrap_or_default();
                names.extend(rows.into_iter().map(|row| row.id.to_string()));
            }
            NameKind::Quarantined => {
                let kept = reader.numbers_quarantined(&UnreadableFilter::default()).unwrap_or_default();
                names.extend(kept.into_iter().rev().take(MOST as usize).map(|id| id.to_string()));
            }
            NameKind::Rules | NameKind::Listeners | NameKind::Pages => {}
        }
        names
    }
}

fn option(command: &Command, name: &str) -> Option<Arg> {
    // An optional value must be in the same word, as in `--name=value`.
    let needs = |arg: &&Arg| arg.get_num_args().is_none_or(|count| count.min_values() > 0);
    let mut options = command.get_opts().filter(needs);
    let is_named = |arg: &&Arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => name
            .strip_prefix('-')
            .is_some_and(|short| arg.get_short().is_some_and(|own| short == own.to_string())),
    };
    options.find(is_named).cloned()
}

fn kind(arg: &Arg, path: &[String]) -> Option<NameKind> {
    // Some commands use the same id for a file.
    let is_file = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == "FILE"));
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match (arg.get_id().as_str(), &path[..]) {
        _ if is_file => None,
        ("action" | "to", _) => Some(NameKind::Actions),
        ("rule" | "fired", _) => Some(NameKind::Rules),
        ("listener", _) => Some(NameKind::Listeners),
        ("page", ["man"]) => Some(NameKind::Pages),
        ("id" | "ids", ["quarantine", ..]) => Some(NameKind::Quarantined),
        ("ids", ["deliveries", "retry"]) => Some(NameKind::Deliveries(&[Phase::Dead])),
        ("ids", ["deliveries", "release"]) => Some(NameKind::Deliveries(&[Phase::ForRelease])),
        ("id" | "ids" | "about", _) => Some(NameKind::Deliveries(&[])),
        _ => None,
    }
}
