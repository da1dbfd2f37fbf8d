//! A file of tests, in the syntax of the configuration.
//!
//! ```text
//! [test:a port of a server is deleted]
//! event = port-deleted.json
//! rules = forget-deleted-ports
//! actions = roles, audit
//! ```
//!
//! | option | |
//! | --- | --- |
//! | `event` | a file beside this one: from `osnl tap --save`, for `osnl send`, or a plain notification; each of several events is tried |
//! | `notification` | the event itself as JSON, over several lines, each beginning with a blank |
//! | `listener` | the listener that receives the event; otherwise exchange and routing key decide, as in `osnl explain` |
//! | `exchange`, `routing_key` | where it was published, if the event does not say |
//! | `rules` | exactly these match; `none` |
//! | `actions` | exactly these are called, by whichever rule; `none`. A rule in shadow mode calls nothing |
//!
//! `event` or `notification`, and `rules` or `actions` or both, are required. No `$` is replaced.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use osnl::explain::ExplainedEvent;
use osnl::native::Native;
use osnl::saved;
use osnl_config::{ConfigError, Finding, Ini, IniEntry, IniSection, nearest, shown};

const OPTIONS: [&str; 7] =
    ["event", "notification", "listener", "exchange", "routing_key", "rules", "actions"];
const NONE: &str = "none";

pub(super) struct Case {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) line: u32,
    pub(super) events: Vec<(String, ExplainedEvent)>,
    pub(super) listener: Option<String>,
    pub(super) rules: Option<BTreeSet<String>>,
    pub(super) actions: Option<BTreeSet<String>>,
}

pub(super) fn read(path: &Path, conf: &Native) -> Result<Vec<Case>, Vec<String>> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| vec![format!("{name}: {error}")])?;
    let (ini, syntax) = Ini::parse(&name, &text);
    let mut reading = TestFileParser { path, file: &name, conf, errors: syntax };
    let mut cases = Vec::new();
    for section in &ini.sections {
        cases.extend(reading.case(section));
    }
    reading.errors.sort_by_key(|error| error.0.line);
    match reading.errors.is_empty() {
        true => Ok(cases),
        false => Err(reading.errors.iter().map(ToString::to_string).collect()),
    }
}

struct TestFileParser<'a> {
    path: &'a Path,
    file: &'a str,
    conf: &'a Native,
    errors: Vec<ConfigError>,
}

impl TestFileParser<'_> {
    fn case(&mut self, section: &IniSection) -> Option<Case> {
        let before = self.errors.len();
        let name = section.name.strip_prefix("test:").map(str::trim).filter(|name| !name.is_empty());
        if name.is_none() {
            self.refuse(section, None, "is not a test", "write [test:WHAT IT SHOWS]");
        }
        self.known_options(section);
        let listener = self.one(section, "listener").map(|entry| {
            let names = self.conf.listeners.iter().map(|listener| &*listener.name).collect::<Vec<_>>();
            self.reference(section, entry, &entry.value, "listener", &names);
            entry.value.clone()
        });
        let rules = self.conf.rules.iter().map(|rule| &*rule.rule.name).collect::<Vec<_>>();
        let rules = self.names(section, "rules", "rule", &rules);
        let actions = self.conf.actions.iter().map(|action| &*action.name).collect::<Vec<_>>();
        let actions = self.names(section, "actions", "action", &actions);
        if rules.is_none() && actions.is_none() && self.errors.len() == before {
            self.refuse(
                section,
                None,
                "expects nothing",
                "write rules = NAMES or none, actions = NAMES or none",
            );
        }
        let events = self.events(section);
        (self.errors.len() == before).then(|| Case {
            name: name.unwrap_or_default().to_owned(),
            file: self.path.to_owned(),
            line: section.line,
            events,
            listener,
            rules,
            actions,
        })
    }

    fn known_options(&mut self, section: &IniSection) {
        for (n, entry) in section.entries.iter().enumerate() {
            if !OPTIONS.contains(&entry.key.as_str()) {
                let mut finding = Finding::at(self.file, entry.line, "unknown option").group(&section.name);
                finding = finding.option(&entry.key).allowed(format!("known: {}", OPTIONS.join(", ")));
                finding.suggestion = nearest(&entry.key, OPTIONS.iter().copied()).map(str::to_owned);
                self.errors.push(ConfigError(finding));
            } else if section.entries[..n].iter().any(|other| other.key == entry.key) {
                self.refuse(section, Some(entry), "is given twice", "write it once");
            }
        }
    }

    fn events(&mut self, section: &IniSection) -> Vec<(String, ExplainedEvent)> {
        let (text, name, entry) = match (self.one(section, "event"), self.one(section, "notification")) {
            (Some(entry), None) => {
                // A bare "-" would be standard input.
                let path = self.path.with_file_name(&entry.value);
                let path = if path == Path::new("-") { PathBuf::from("./-") } else { path };
                match super::super::saved_events::text(&path) {
                    Ok((name, text)) => (text, name, entry),
                    Err(problem) => {
                        self.refuse(section, Some(entry), &problem, "name a file beside this one");
                        return Vec::new();
                    }
                }
            }
            (None, Some(entry)) => (entry.value.clone(), "notification".to_owned(), entry),
            (Some(_), Some(entry)) => {
                self.refuse(section, Some(entry), "is given together with event", "write one of them");
                return Vec::new();
            }
            (None, None) => {
                self.refuse(section, None, "has no event", "write event = FILE, or notification = JSON");
                return Vec::new();
            }
        };
        let found = match saved::read(&text) {
            Ok(found) => found,
            Err(error) => {
                self.refuse(section, Some(entry), &error.to_string(), "see osnl test --new EVENT");
                return Vec::new();
            }
        };
        let place = |option: &str| self.one(section, option).map(|entry| entry.value.clone());
        let (exchange, routing_key) = (place("exchange"), place("routing_key"));
        let subjects = found.iter().map(|saved| {
            let mut subject = ExplainedEvent::saved(saved, &self.conf.budget());
            subject.exchange = subject.exchange.or_else(|| exchange.clone());
            subject.routing_key = subject.routing_key.or_else(|| routing_key.clone());
            (format!("{name}:{}", saved.line), subject)
        });
        subjects.collect()
    }

    fn names(
        &mut self,
        section: &IniSection,
        option: &str,
        kind: &str,
        known: &[&str],
    ) -> Option<BTreeSet<String>> {
        let entry = self.one(section, option)?;
        if entry.value.trim() == NONE {
            return Some(BTreeSet::new());
        }
        let mut names = BTreeSet::new();
        for name in entry.value.split(',').map(str::trim) {
            if name.is_empty() {
                self.refuse(
                    section,
                    Some(entry),
                    "has an empty item",
                    "write names with commas between them, or none",
                );
            } else {
                self.reference(section, entry, name, kind, known);
                names.insert(name.to_owned());
            }
        }
        Some(names)
    }

    fn reference(&mut self, section: &IniSection, entry: &IniEntry, name: &str, kind: &str, known: &[&str]) {
        if known.contains(&name) {
            return;
        }
        let problem = format!("the configuration has no {kind} {}", shown(name));
        let mut finding = Finding::at(self.file, entry.line, problem).group(&section.name).option(&entry.key);
        finding = finding.allowed(format!("there are: {}", known.join(", ")));
        finding.suggestion = nearest(name, known.iter().copied()).map(str::to_owned);
        self.errors.push(ConfigError(finding));
    }

    fn one<'s>(&self, section: &'s IniSection, option: &str) -> Option<&'s IniEntry> {
        section.entries.iter().find(|entry| entry.key == option)
    }

    fn refuse(&mut self, section: &IniSection, entry: Option<&IniEntry>, problem: &str, allowed: &str) {
        let line = entry.map_or(section.line, |entry| entry.line);
        let finding = Finding::at(self.file, line, problem).group(&section.name).allowed(allowed);
        let finding = match entry {
            Some(entry) => finding.option(&entry.key),
            None => finding,
        };
        self.errors.push(ConfigError(finding));
    }
}
