//! The events of `explain`, `replay`, and `test`: from files, or from the journal by a filter.

mod shown;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use osnl::control::{NoAccess, RequestProgress};
use osnl::explain::ExplainedEvent;
use osnl::journal::query::{About, Filter, KeptEvent, Phase};
use osnl::journal::sqlite::{OpenError, SqliteOptions, SqliteReader};
use osnl::native::{JournalConf, Native};
use osnl::saved::{self, RecordedEvent};
use osnl_model::{Budget, no_such};

pub(super) use self::shown::{StandardOutput, masked, time};
use super::check::meaning;
use super::progress::Display;
use super::sources;
use crate::exit::Exit;
use crate::flags::{CheckArgs, states, time};
use crate::output;

/// The events that one request to the journal names.
const PART: u32 = 1000;

pub(super) type SavedEventsRefusal = (Exit, String);

/// The events of the journal that are meant.
#[derive(Debug, Args)]
pub(crate) struct PickArgs {
    /// Event (17), delivery (17.0), message id, resource id or name
    #[arg(long, value_name = "ID")]
    pub(super) id: Vec<String>,
    /// Only this event type
    #[arg(long, value_name = "NAME")]
    pub(super) event_type: Option<String>,
    /// Only events that this rule matched when they arrived
    #[arg(long = "matched", alias = "fired", value_name = "RULE")]
    pub(super) fired: Option<String>,
    /// Only events with a delivery of this action
    #[arg(long, value_name = "ACTION")]
    pub(super) action: Option<String>,
    /// Only this resource: its id, its name, or its order key
    #[arg(long, value_name = "ID")]
    pub(super) resource: Option<String>,
    /// Only events with a delivery in one of these states, such as dead,retrying
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = states(), hide_possible_values = true)]
    pub(super) state: Vec<String>,
    /// Received since then: 2h (ago), 2026-11-20 (local), 2026-11-20T06:30Z
    #[arg(long, value_name = "WHEN", value_parser = parse_time)]
    pub(super) since: Option<SystemTime>,
    /// Received before this time; 7d: more than 7 days ago
    #[arg(long, value_name = "WHEN", value_parser = parse_time)]
    pub(super) until: Option<SystemTime>,
}

fn parse_time(text: &str) -> Result<SystemTime, String> {
    time::parse(text).map(SystemTime::from)
}

impl PickArgs {
    pub(super) fn is_given(&self) -> bool {
        let Self { id, event_type, fired, action, resource, state, since, until } = self;
        !id.is_empty()
            || !state.is_empty()
            || [event_type, fired, action, resource].into_iter().any(Option::is_some)
            || since.is_some()
            || until.is_some()
    }

    /// Refuses a rule or an action that is neither configured nor in the journal; without a configuration, one that the
    /// journal lacks.
    pub(super) fn has_names(
        &self,
        conf: Option<&Native>,
        journal: &SqliteReader,
    ) -> Result<(), SavedEventsRefusal> {
        let rules: Vec<&str> =
            conf.iter().flat_map(|conf| &conf.rules).map(|rule| &*rule.rule.name).collect();
        let actions: Vec<&str> =
            conf.iter().flat_map(|conf| &conf.actions).map(|action| &*action.name).collect();
        let of_rule = |rule: &String| Filter { rule: Some(rule.clone()), ..Filter::default() };
        let of_action = |action: &String| Filter { action: Some(action.clone()), ..Filter::default() };
        let asked = [
            ("rule", &self.fired, rules, self.fired.as_ref().map(of_rule)),
            ("action", &self.action, actions, self.action.as_ref().map(of_action)),
        ];
        for (what, name, names, filter) in asked {
            let (Some(name), Some(filter)) = (name, filter) else { continue };
            let Err((_, why)) = known(what, name, names.into_iter()) else { continue };
            if journal.event_numbers(&filter, 1, false).map_err(unreadable)?.is_empty() {
                if conf.is_some() {
                    return Err((Exit::Failed, why));
                }
                let known = if what == "action" { journal.tally().map_err(unreadable)? } else { Vec::new() };
                let known: BTreeSet<String> = known.into_iter().map(|of| of.action).collect();
                let without = no_such(&format!("delivery of {what}"), name, known.iter().map(String::as_str));
                return Err((Exit::Failed, masked(&without)));
            }
        }
        Ok(())
    }

    fn filter(&self) -> Filter {
        Filter {
            rule: self.fired.clone(),
            action: self.action.clone(),
            phases: self.state.iter().filter_map(|name| Phase::named(name)).flatten().collect(),
            key: self.resource.clone(),
            event_type: self.event_type.clone(),
            since: self.since,
            until: self.until,
            ..Filter::default()
        }
    }

    /// Returns the numbers of at most `limit` events, for each id if ids are given: the last ones, or the first.
    pub(super) fn numbers(
        &self,
        journal: &SqliteReader,
        limit: u32,
        last: bool,
    ) -> Result<BTreeSet<u64>, SavedEventsRefusal> {
        match self.id.is_empty() {
            true => {
                let numbers = journal.event_numbers(&self.filter(), limit, last).map_err(unreadable)?;
                Ok(numbers.into_iter().collect())
            }
            false => self.numbers_of_ids(journal, limit, last),
        }
    }

    fn numbers_of_ids(
        &self,
        journal: &SqliteReader,
        limit: u32,
        last: bool,
    ) -> Result<BTreeSet<u64>, SavedEventsRefusal> {
        let mut numbers = BTreeSet::new();
        for id in &self.id {
            let filter = Filter { about: vec![About::parse(id)], ..self.filter() };
            let found = journal.event_numbers(&filter, limit, last).map_err(unreadable)?;
            if found.is_empty() {
                let what = match About::parse(id) {
                    About::Delivery(id) => format!("no delivery {id}"),
                    About::Event(number) => format!("no event {number}"),
                    About::Named(name) | About::Resource(name) => {
                        format!("nothing about {}", masked(&name))
                    }
                };
                return Err((Exit::Failed, format!("the journal holds {what} of this kind")));
            }
            numbers.extend(found);
        }
        Ok(numbers)
    }

    /// Calls `what` for every event of this kind, oldest first, until `Break`. One by one, because
    /// all events of a large journal would fill memory.
    pub(super) fn each(
        &self,
        journal: &SqliteReader,
        mut what: impl FnMut(&KeptEvent) -> ControlFlow<()>,
    ) -> Result<(), SavedEventsRefusal> {
        self.each_number(journal, |number| {
            Ok(journal.event(number).map_err(unreadable)?.iter().try_for_each(&mut what))
        })
    }

    /// Returns the number of events of this kind other than `besides`, counted up to `most`.
    pub(super) fn count(
        &self,
        journal: &SqliteReader,
        besides: &BTreeSet<u64>,
        most: u64,
    ) -> Result<u64, SavedEventsRefusal> {
        let mut count = 0;
        self.each_number(journal, |number| {
            count += u64::from(!besides.contains(&number));
            Ok(if count < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(count)
    }

    fn each_number(
        &self,
        journal: &SqliteReader,
        mut what: impl FnMut(u64) -> Result<ControlFlow<()>, SavedEventsRefusal>,
    ) -> Result<(), SavedEventsRefusal> {
        if !self.id.is_empty() {
            for number in self.numbers_of_ids(journal, u32::MAX, false)? {
                if what(number)?.is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let filter = self.filter();
        let (mut after, mut seen) = (None, None);
        loop {
            let (numbers, last) = journal.event_numbers_behind(&filter, after, PART).map_err(unreadable)?;
            for number in numbers {
                if seen.replace(number) != Some(number) && what(number)?.is_break() {
                    return Ok(());
                }
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }
}

/// Returns the events with these numbers that are still kept: one may have been pruned since its number was read.
pub(super) fn events(
    journal: &SqliteReader,
    numbers: &BTreeSet<u64>,
) -> Result<Vec<KeptEvent>, SavedEventsRefusal> {
    let (display, of) = (Display::plain("events"), numbers.len() as u64);
    let mut kept = Vec::with_capacity(numbers.len());
    for (done, number) in (0..).zip(numbers) {
        display.show(RequestProgress { done, of });
        kept.extend(journal.event(*number).map_err(unreadable)?);
    }
    Ok(kept)
}

pub(super) fn with_configuration(
    of: &CheckArgs,
    rules: &[String],
    listener: Option<&str>,
    what: impl FnOnce(&Native) -> Result<Exit, SavedEventsRefusal>,
) -> Exit {
    let done = configuration(of).and_then(|conf| {
        for rule in rules {
            known("rule", rule, conf.rules.iter().map(|rule| &*rule.rule.name))?;
        }
        if let Some(listener) = listener {
            known("listener", listener, conf.listeners.iter().map(|listener| &*listener.name))?;
        }
        what(&conf)
    });
    done.unwrap_or_else(refuse)
}

fn configuration(args: &CheckArgs) -> Result<Native, SavedEventsRefusal> {
    let (conf, warnings) =
        sources::load(args).and_then(meaning).map_err(|refused| (Exit::Config, refused.to_string()))?;
    for warning in warnings {
        say(&format!("warning: {}", warning.text));
    }
    Ok(conf)
}

pub(super) fn known<'a>(
    what: &str,
    name: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), SavedEventsRefusal> {
    if names.clone().any(|known| known == name) {
        return Ok(());
    }
    Err((Exit::Failed, masked(&no_such(what, name, names))))
}

pub(super) fn journal(conf: &Native) -> Result<&Path, SavedEventsRefusal> {
    Ok(&options(conf)?.path)
}

pub(super) fn options(conf: &Native) -> Result<&SqliteOptions, SavedEventsRefusal> {
    match &conf.journal {
        JournalConf::Sqlite(options) => Ok(options),
        JournalConf::Memory => {
            Err((Exit::Config, "[journal] connection is memory://, which keeps no events".to_owned()))
        }
    }
}

/// Returns a reader of the configured journal.
pub(super) fn kept(conf: &Native) -> Result<SqliteReader, SavedEventsRefusal> {
    reader(journal(conf)?)
}

pub(super) fn reader(file: &Path) -> Result<SqliteReader, SavedEventsRefusal> {
    if NoAccess::is_refused(file) {
        return Err(forbidden(file));
    }
    if !file.exists() {
        return Err(no_journal(file));
    }
    SqliteReader::open(file).map_err(|error| cannot_open(file, &error))
}

pub(super) fn no_journal(file: &Path) -> SavedEventsRefusal {
    let file = masked(&file.display().to_string());
    (Exit::Unavailable, format!("{file}: there is no journal yet; osnl run creates it"))
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> SavedEventsRefusal {
    (Exit::Unavailable, format!("the journal cannot be read: {error}"))
}

pub(super) fn forbidden(file: &Path) -> SavedEventsRefusal {
    let text = format!(
        "{}, so the journal cannot be read; run this command as root or as the daemon's user",
        NoAccess::to(file)
    );
    (Exit::Unavailable, text)
}

pub(super) fn cannot_open(file: &Path, error: &OpenError) -> SavedEventsRefusal {
    (error.into(), format!("{} {error}", file.display()))
}

/// Returns the events of files in order, as saved and as rules see them.
pub(super) fn files(
    paths: &[PathBuf],
    budget: &Budget,
) -> Result<Vec<(RecordedEvent, ExplainedEvent)>, SavedEventsRefusal> {
    let mut found = Vec::new();
    for path in paths {
        let (name, text) = text(path).map_err(|why| (Exit::Failed, why))?;
        let events = saved::read(&text).map_err(|error| (Exit::Failed, error.in_file(&masked(&name))))?;
        found.extend(events.into_iter().map(|saved| {
            let event = ExplainedEvent::from_saved(&name, &saved, budget);
            (saved, event)
        }));
    }
    Ok(found)
}

/// Returns the name and the text of a file; `-` is standard input.
pub(super) fn text(path: &Path) -> Result<(String, String), String> {
    let mut bytes = Vec::new();
    let (name, read) = match path == Path::new("-") {
        true => ("stdin".to_owned(), std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)),
        false => (path.display().to_string(), std::fs::read(path)),
    };
    let bytes = read.map_err(|error| format!("{}: {error}", masked(&name)))?;
    let text = saved::text(bytes).map_err(|error| error.in_file(&masked(&name)))?;
    Ok((name, text))
}

/// Prints a remark to stderr, since standard output has the events.
pub(super) fn say(text: &str) {
    output::print_to_stderr(format_args!("osnl: {}", masked(text)));
}

fn refuse((exit, text): SavedEventsRefusal) -> Exit {
    sources::complain(&text);
    exit
}

#[cfg(test)]
mod tests;
