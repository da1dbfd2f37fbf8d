//! A configuration as text that reads back as the same configuration, for `osnl config show`.
//!
//! Values that the text cannot express, such as a comma in a topic, are refused.

use osnl_config::sections::{Layers, RawSection};
use osnl_config::written_secrets::compares_secret;
use osnl_config::{Kind, OptionDef, ValueOrigin, secret_file, substitute, written_secrets};
use osnl_model::{TransportUrl, is_secret_path};

use super::kinds::{ACTION, KAFKA, LISTENER, RABBIT, RULE, VALUES};
use super::schema::SECTIONS;
use super::{Drivers, ListenerConf, LoadedConf, rabbit, topology};

/// A configuration with secrets, whose `Debug` form is for tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub sections: Vec<DocSection>,
    pub drivers: Drivers,
}

/// A section of the configuration in force, as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocSection {
    pub heading: String,
    pub entries: Vec<DocEntry>,
}

/// An option of a shown section, with its origin; secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocEntry {
    pub option: String,
    pub text: String,
    pub from: String,
}

impl LoadedConf {
    #[must_use]
    pub fn document(&self) -> Document {
        let sections = self.layers.sections.iter().map(|section| document_section(&self.layers, section));
        let mut sections: Vec<DocSection> = sections
            .filter(|section| {
                ![RABBIT, KAFKA, VALUES].contains(&section.heading.as_str()) || !section.entries.is_empty()
            })
            .collect();
        for listener in &self.conf.listeners {
            let heading = format!("{LISTENER}:{}", listener.name);
            let entries = sections.iter_mut().filter(|section| section.heading == heading);
            for entry in entries.flat_map(|section| &mut section.entries) {
                entry.show_default_by_driver(listener);
            }
        }
        Document { sections, drivers: self.drivers }
    }
}

impl DocEntry {
    /// Shows the default that the driver's options change, so that it reads back unchanged.
    fn show_default_by_driver(&mut self, listener: &ListenerConf) {
        let Some((text, option)) = rabbit::default_by_driver(&self.option, listener) else { return };
        if self.text != text && self.from == ValueOrigin::Default.to_string() {
            self.text = text;
            self.from = format!("by {option}");
        }
    }
}

fn document_section(layers: &Layers, section: &RawSection) -> DocSection {
    let driver = section.driver();
    let fixed = section.def.all_options();
    let fixed = fixed.filter(|option| option.driver.is_none_or(|d| Some(d) == driver)).map(|o| o.row.name);
    let keyed = section.entries.iter().map(|entry| entry.option.as_str());
    let keyed = keyed.filter(|option| section.def.option(option).is_none());
    let entries = fixed.chain(keyed).filter_map(|option| {
        let counts = topology::counts(section, option);
        if section.entry(option).is_none() && !counts {
            return None;
        }
        let origin = section.origin(option);
        // The check has rejected values that cannot be resolved.
        let text = match section.entry(option).and_then(|entry| entry.file.as_ref()) {
            Some(file) => format!("{}{}", secret_file::SCHEME, file.path.display()),
            None => layers.resolve(section, option).ok().flatten()?,
        };
        Some(DocEntry { option: option.to_owned(), text, from: origin.to_string() })
    });
    DocSection { heading: section.heading(), entries: entries.collect() }
}

impl Document {
    /// Returns the text. Without `secrets`, these and patterns and conditions on them are `***`, with a warning.
    #[must_use]
    pub fn text(&self, secrets: bool) -> String {
        let mut out = String::new();
        let mut hidden = false;
        for section in &self.sections {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&format!("[{}]\n", section.heading));
            for entry in &section.entries {
                out.push_str(&format!("# {}\n", one_line(&entry.from)));
                let text =
                    if secrets { entry.text.clone() } else { hidden_text(self.drivers, section, entry) };
                hidden |= text != entry.text;
                out.push_str(&written(&entry.option, &text));
            }
        }
        if hidden {
            out.insert_str(
                0,
                "# Secrets are hidden as ***, and so are patterns and conditions on them: \
                 osnl config show --show-secrets prints them.\n\n",
            );
        }
        out
    }

    #[must_use]
    pub fn hidden(&self) -> Self {
        let hide = |section: &DocSection| DocSection {
            heading: section.heading.clone(),
            entries: section.entries.iter().map(|entry| hidden(self.drivers, section, entry)).collect(),
        };
        Self { sections: self.sections.iter().map(hide).collect(), drivers: self.drivers }
    }

    /// Whether the text reads back. Values from the environment can have blanks and line ends that no file can hold.
    #[must_use]
    pub fn reads_back(&self) -> bool {
        let texts = [("shown".to_owned(), self.text(true))];
        let sources = super::Sources { drivers: self.drivers, ..super::Sources::default() };
        super::load_texts(&texts, &sources).is_ok_and(|loaded| {
            let again = loaded.document();
            let text = |document: &Self, heading: &str, option: &str| {
                let section = document.sections.iter().find(|section| section.heading == heading)?;
                let entry = section.entries.iter().find(|entry| entry.option == option)?;
                Some(entry.text.clone())
            };
            self.sections.iter().all(|section| {
                section
                    .entries
                    .iter()
                    .all(|entry| text(&again, &section.heading, &entry.option).as_ref() == Some(&entry.text))
            })
        })
    }
}

fn hidden(drivers: Drivers, section: &DocSection, entry: &DocEntry) -> DocEntry {
    DocEntry { text: hidden_text(drivers, section, entry), ..entry.clone() }
}

fn hidden_text(drivers: Drivers, section: &DocSection, entry: &DocEntry) -> String {
    let (kind, option) = (section.heading.split(':').next().unwrap_or_default(), &entry.option);
    if kind == RULE && is_secret_path(option) {
        return "***".to_owned();
    }
    let driver = section.entries.iter().find(|entry| entry.option == "driver");
    let driver = driver.and_then(|entry| drivers.named(&entry.text)).filter(|_| kind == ACTION);
    let of_driver = driver.and_then(|entry| entry.table.options_named(option).next().copied());
    let of_section = || {
        let def = SECTIONS.iter().find(|def| def.kind == kind)?;
        let keyed = || def.all_keyed().find(|keyed| keyed.row.has_key(option));
        def.option(option).or_else(keyed).map(|def| def.row)
    };
    let row = of_driver.or_else(of_section);
    row.map_or_else(|| entry.text.clone(), |row| hidden_value(&row, entry))
}

fn hidden_value(row: &OptionDef, entry: &DocEntry) -> String {
    if row.secret {
        return without_password(&entry.text);
    }
    if row.is_secret(&entry.option) {
        let all_from_elsewhere = written_secrets::words(&entry.text).is_empty();
        let masked = || written_secrets::masked(&entry.text).into_owned();
        return if all_from_elsewhere { masked() } else { without_password(&entry.text) };
    }
    match (row.kind, row.name) {
        (Kind::Form("URL"), _) | (Kind::Form("template"), "url") => written_secrets::masked_url(&entry.text),
        (Kind::Form("template"), _) => written_secrets::masked(&entry.text).into_owned(),
        (Kind::Form("expression"), _) if compares_secret(&entry.text) => "***".to_owned(),
        (_, "command" | "python") => written_secrets::masked_command(&entry.text).into_owned(),
        (_, _) => entry.text.clone(),
    }
}

fn without_password(url: &str) -> String {
    if url.starts_with(secret_file::SCHEME) {
        return url.to_owned();
    }
    TransportUrl::parse(url).map_or_else(|_| "***".to_owned(), |url| url.to_string())
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn written(option: &str, value: &str) -> String {
    let replaced = substitute(value, |_| Err::<String, ()>(()));
    let value = if replaced.as_deref() == Ok(value) { value.to_owned() } else { value.replace('$', "$$") };
    let mut lines = value.split('\n');
    let first = lines.next().unwrap_or_default();
    let quoted =
        first.trim() != first || ['"', '\''].iter().any(|q| first.starts_with(*q) && first.ends_with(*q));
    let mut out = match (quoted, first.is_empty()) {
        (true, _) => format!("{option} = \"{first}\"\n"),
        (false, true) => format!("{option} =\n"),
        (false, false) => format!("{option} = {first}\n"),
    };
    for line in lines {
        out.push_str(&format!("  {line}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use osnl_config::Ini;

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for value in [
            "",
            "plain",
            "^port\\.delete\\.end$",
            "a $name",
            "${x}",
            "$$",
            "100$",
            " a ",
            "\"q\"",
            "'",
            "\"",
            "\nneutron",
            "a\nb",
            "a # b",
            "a = b: c",
        ] {
            let text = format!("[s]\n{}", written("o", value));
            let (ini, errors) = Ini::parse("f", &text);
            assert_eq!(errors, [], "{text}");
            let read = &ini.sections[0].entries[0].value;
            let read = substitute(read, |name| Err::<String, _>(name.to_owned()));
            assert_eq!(read.as_deref(), Ok(value), "{text}");
        }
    }
}
