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

use crate::command::saved_events;

const OPTIONS: [&str; 7] =
    ["event", "notification", "listener", "exchange", "routing_key", "rules", "actions"];
const NONE: &str = "none";

pub(super) struct Case {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) line: u32,
    pub(super) events: Vec<ExplainedEvent>,
    pub(super) listener: Option<String>,
    pub(super) rules: Option<BTreeSet<String>>,
    pub(super) actions: Option<BTreeSet<String>>,
}

pub(super) fn read(path: &Path, conf: &Native) -> Result<Vec<Case>, Vec<String>> {
    let file = &path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| vec![format!("{file}: {error}")])?;
    let (ini, mut errors) = Ini::parse(file, &text);
    let mut cases = Vec::new();
    for section in &ini.sections {
        cases.extend(CaseReader { path, file, conf, section, errors: &mut errors }.case());
    }
    errors.sort_by_key(|error| error.0.line);
    if errors.is_empty() { Ok(cases) } else { Err(errors.iter().map(ToString::to_string).collect()) }
}

struct CaseReader<'a> {
    path: &'a Path,
    file: &'a str,
    conf: &'a Native,
    section: &'a IniSection,
    errors: &'a mut Vec<ConfigError>,
}

impl<'a> CaseReader<'a> {
    fn case(mut self) -> Option<Case> {
        let before = self.errors.len();
        let name = self.section.name.strip_prefix("test:").map_or("", str::trim);
        if name.is_empty() {
            self.refuse(None, "is not a test", "write [test:WHAT IT SHOWS]");
        }
        self.known_options();
        let conf = self.conf;
        let listeners: Vec<&str> = conf.listeners.iter().map(|listener| &*listener.name).collect();
        let listener = self.one("listener").map(|entry| {
            self.reference(entry, &entry.value, "listener", &listeners);
            entry.value.clone()
        });
        let rules: Vec<&str> = conf.rules.iter().map(|rule| &*rule.rule.name).collect();
        let rules = self.names("rules", "rule", &rules);
        let actions: Vec<&str> = conf.actions.iter().map(|action| &*action.name).collect();
        let actions = self.names("actions", "action", &actions);
        if rules.is_none() && actions.is_none() && self.errors.len() == before {
            self.refuse(None, "expects nothing", "write rules = NAMES or none, actions = NAMES or none");
        }
        let events = self.events();
        (self.errors.len() == before).then(|| Case {
            name: name.to_owned(),
            file: self.path.to_owned(),
            line: self.section.line,
            events,
            listener,
            rules,
            actions,
        })
    }

    fn known_options(&mut self) {
        for (n, entry) in self.section.entries.iter().enumerate() {
            if !OPTIONS.contains(&entry.key.as_str()) {
                let mut finding = self.finding(Some(entry), "unknown option");
                finding.suggestion = nearest(&entry.key, OPTIONS.iter().copied()).map(str::to_owned);
                self.errors.push(ConfigError(finding.allowed(format!("known: {}", OPTIONS.join(", ")))));
            } else if self.section.entries[..n].iter().any(|other| other.key == entry.key) {
                self.refuse(Some(entry), "is given twice", "write it once");
            }
        }
    }

    fn events(&mut self) -> Vec<ExplainedEvent> {
        let (entry, name, text) = match (self.one("event"), self.one("notification")) {
            (Some(entry), None) => {
                // A bare "-" would be standard input.
                let path = self.path.with_file_name(&entry.value);
                let path = if path == Path::new("-") { PathBuf::from("./-") } else { path };
                match saved_events::text(&path) {
                    Ok((name, text)) => (entry, name, text),
                    Err(problem) => {
                        self.refuse(Some(entry), &problem, "name a file beside this one");
                        return Vec::new();
                    }
                }
            }
            (None, Some(entry)) => (entry, "notification".to_owned(), entry.value.clone()),
            (Some(_), Some(entry)) => {
                self.refuse(Some(entry), "is given together with event", "write one of them");
                return Vec::new();
            }
            (None, None) => {
                self.refuse(None, "has no event", "write event = FILE, or notification = JSON");
                return Vec::new();
            }
        };
        let found = saved::read(&text).unwrap_or_else(|error| {
            self.refuse(Some(entry), &error.to_string(), "see osnl test --new EVENT");
            Vec::new()
        });
        let place = |option: &str| self.one(option).map(|entry| entry.value.clone());
        let (exchange, routing_key) = (place("exchange"), place("routing_key"));
        let events = found.iter().map(|saved| {
            let mut event = ExplainedEvent::from_saved(&name, saved, &self.conf.budget());
            event.exchange = event.exchange.or_else(|| exchange.clone());
            event.routing_key = event.routing_key.or_else(|| routing_key.clone());
            event
        });
        events.collect()
    }

    fn names(&mut self, option: &str, kind: &str, known: &[&str]) -> Option<BTreeSet<String>> {
        let entry = self.one(option)?;
        if entry.value.trim() == NONE {
            return Some(BTreeSet::new());
        }
        let mut names = BTreeSet::new();
        for name in entry.value.split(',').map(str::trim) {
            if name.is_empty() {
                self.refuse(
                    Some(entry),
                    "has an empty item",
                    "write names with commas between them, or none",
                );
            } else {
                self.reference(entry, name, kind, known);
                names.insert(name.to_owned());
            }
        }
        Some(names)
    }

    fn reference(&mut self, entry: &IniEntry, name: &str, kind: &str, known: &[&str]) {
        if known.contains(&name) {
            return;
        }
        let problem = format!("the configuration has no {kind} {}", shown(name));
        let mut finding = self.finding(Some(entry), &problem);
        finding.suggestion = nearest(name, known.iter().copied()).map(str::to_owned);
        self.errors.push(ConfigError(finding.allowed(format!("there are: {}", known.join(", ")))));
    }

    fn one(&self, option: &str) -> Option<&'a IniEntry> {
        self.section.entries.iter().find(|entry| entry.key == option)
    }

    fn refuse(&mut self, entry: Option<&IniEntry>, problem: &str, allowed: &str) {
        let finding = self.finding(entry, problem).allowed(allowed);
        self.errors.push(ConfigError(finding));
    }

    fn finding(&self, entry: Option<&IniEntry>, problem: &str) -> Finding {
        let line = entry.map_or(self.section.line, |entry| entry.line);
        let finding = Finding::at(self.file, line, problem).group(&self.section.name);
        match entry {
            Some(entry) => finding.option(&entry.key),
            None => finding,
        }
    }
}
