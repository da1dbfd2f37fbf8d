//! A reader that turns the options of one section into typed values and collects findings.
//!
//! In the oslo.config dialect, values are typed by their rows, a blank number is the default, and numbers
//! have Python's syntax.

use std::path::{Path, PathBuf};
use std::time::Duration;

use osnl_model::{Pattern, Priority};

use super::findings::Findings;
use super::layers::Layers;
use super::raw::RawSection;
use crate::secret_file::is_readable_by_all;
use crate::typed::{self, ValueRefusal};
use crate::{ConfigError, Finding, Kind, Value, Warning, nearest, shown};

/// A method that returns `None` for a set value has reported an error.
pub struct SectionReader<'a> {
    pub file: &'a str,
    pub layers: &'a Layers,
    pub section: &'a RawSection,
    pub findings: &'a mut Findings,
}

impl<'a> SectionReader<'a> {
    pub fn name(&self) -> &str {
        &self.section.name
    }

    pub fn text(&mut self, option: &str) -> Option<String> {
        let read = match self.is_oslo() {
            true => self.layers.value(self.section, option).map(|value| value.and_then(Value::into_text)),
            false => self.layers.resolve(self.section, option),
        };
        let text = self.readable(option, read)?;
        if text.as_deref().is_some_and(looks_commented) {
            let problem = "the # and what follows belong to the value";
            self.warn(option, problem, "a comment needs a line of its own");
        }
        text
    }

    /// Returns the value as its row types it; `Some(None)` if unset or for a blank number.
    pub fn value(&mut self, option: &str) -> Option<Option<Value>> {
        let value = self.layers.value(self.section, option);
        self.readable(option, value)
    }

    fn readable<T>(&mut self, option: &str, read: Result<T, ValueRefusal>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(refusal) => self.refused(option, refusal),
        }
    }

    fn is_oslo(&self) -> bool {
        self.layers.schema.is_oslo()
    }

    pub fn required(&mut self, option: &str, allowed: &str) -> Option<String> {
        if self.is_set(option) {
            return self.text(option);
        }
        self.refuse(option, "is not set", allowed)
    }

    pub fn warn_of_open(&mut self, option: &str, path: &Path, holds: &str) {
        if is_readable_by_all(path) {
            let problem = format!("names {holds} that every user of this machine can read");
            self.warn(option, &problem, &format!("remove that permission: chmod o= {}", path.display()));
        }
    }

    pub fn is_set(&self, option: &str) -> bool {
        self.section.entry(option).is_some()
    }

    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let names = self.section.entries.iter().map(|entry| &entry.option);
        names.filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    pub fn path(&mut self, option: &str, allowed: &str) -> Option<Option<PathBuf>> {
        if !self.is_set(option) {
            return Some(None);
        }
        match typed::path(&self.text(option)?, allowed) {
            Ok(path) => Some(Some(path)),
            Err(refusal) => self.refused(option, refusal),
        }
    }

    pub fn boolean(&mut self, option: &str) -> Option<bool> {
        let value = if self.is_oslo() {
            self.value(option)?
        } else {
            let text = self.text(option)?;
            self.readable(option, Value::read(Kind::Bool, &text, false))?
        };
        value.and_then(|value| value.as_bool())
    }

    /// Returns a whole number as oslo.config reads it. A blank number is the default, with a warning.
    pub fn integer(&mut self, option: &str) -> Option<i64> {
        let value = self.value(option)?;
        if value.is_some() {
            return value.and_then(|value| value.as_integer());
        }
        let default = self.section.option(option).and_then(|known| known.row.default).unwrap_or("0");
        let problem = format!("is blank, the default {default} is used");
        self.warn(option, &problem, "write a number or remove the line");
        default.parse().ok()
    }

    pub(crate) fn number(&mut self, option: &str, least: i64, most: i64) -> Option<i64> {
        if !self.is_oslo() {
            let text = self.text(option)?;
            return self.readable(option, typed::number(&text, least, most));
        }
        match self.integer(option)? {
            number if (least..=most).contains(&number) => Some(number),
            number => self.refused(option, typed::out_of_range(number, least, most)),
        }
    }

    pub fn duration(&mut self, option: &str, least: Duration) -> Option<Duration> {
        let text = self.text(option)?;
        self.readable(option, typed::duration(&text, least, typed::LONGEST))
    }

    pub fn word<'b, T>(&mut self, option: &str, words: impl IntoIterator<Item = (&'b str, T)>) -> Option<T> {
        let text = self.text(option)?;
        self.readable(option, typed::word(&text, words))
    }

    pub fn list(&mut self, option: &str) -> Option<Vec<String>> {
        let text = self.text(option)?;
        self.readable(option, typed::names(&text))
    }

    pub fn priorities(&mut self, option: &str) -> Option<Vec<Priority>> {
        let mut priorities = Vec::new();
        for item in self.list(option)? {
            match Priority::parse(&item) {
                Priority::Other(_) => {
                    let names: Vec<&str> = Priority::ALL.iter().map(Priority::as_str).collect();
                    let problem = format!("{} is not a priority", shown(&item));
                    let suggestion = nearest(&item, names.iter().copied()).map(str::to_owned);
                    let refusal = ValueRefusal::new(problem, format!("allowed: {}", names.join(", ")));
                    return self.refused(option, ValueRefusal { suggestion, ..refusal });
                }
                known => priorities.push(known),
            }
        }
        Some(priorities)
    }

    /// Returns `Ok(None)` if nothing sets the option.
    #[expect(clippy::result_unit_err, reason = "the error is among the findings")]
    pub fn pattern(&mut self, option: &str) -> Result<Option<Pattern>, ()> {
        if !self.is_set(option) {
            return Ok(None);
        }
        let text = self.text(option).ok_or(())?;
        match Pattern::new(&text) {
            Ok(pattern) => Ok(Some(pattern)),
            Err(error) => self.refused(option, typed::bad_pattern("", &error)).ok_or(()),
        }
    }

    pub fn references(&mut self, option: &str, kind: &str, known: &[&str]) -> Option<Vec<String>> {
        let names = self.list(option)?;
        let mut all = true;
        for name in &names {
            if known.contains(&name.as_str()) {
                continue;
            }
            all = false;
            let there = match known {
                [] => format!("there is none; write a section [{kind}:NAME]"),
                known => format!("there are: {}", known.join(", ")),
            };
            let suggestion = nearest(name, known.iter().copied()).map(str::to_owned);
            let refusal = ValueRefusal::new(format!("there is no [{kind}:{}]", one_name(name)), there);
            self.refused::<()>(option, ValueRefusal { suggestion, ..refusal });
        }
        all.then_some(names)
    }

    pub fn refuse<T>(&mut self, option: &str, problem: &str, allowed: &str) -> Option<T> {
        self.refused(option, ValueRefusal::new(problem, allowed))
    }

    pub fn refused<T>(&mut self, option: &str, refusal: ValueRefusal) -> Option<T> {
        let mut allowed = refusal.allowed;
        let commented = self.section.entry(option).is_some_and(|entry| looks_commented(&entry.text));
        if commented && !self.is_oslo() {
            allowed
                .push_str("; the # and what follows belong to the value: a comment needs a line of its own");
        }
        let mut finding = self.finding(option, &refusal.problem).allowed(allowed);
        finding.suggestion = refusal.suggestion;
        self.findings.errors.push(ConfigError(finding));
        None
    }

    pub fn warn(&mut self, option: &str, problem: &str, allowed: &str) {
        self.findings.warnings.push(Warning(self.finding(option, problem).allowed(allowed)));
    }

    pub fn finding(&self, option: &str, problem: &str) -> Finding {
        let place = self.section.entry(option).map_or(&self.section.place, |entry| &entry.origin);
        let finding = Finding::new(self.file, problem).group(&self.section.heading()).from_origin(place);
        if option.is_empty() { finding } else { finding.option(option) }
    }
}

fn looks_commented(text: &str) -> bool {
    let blank = |c: char| c == ' ' || c == '\t';
    text.match_indices('#').any(|(at, _)| text[..at].ends_with(blank) && text[at + 1..].starts_with(blank))
}

fn one_name(name: &str) -> String {
    shown(name).trim_matches('"').to_owned()
}
