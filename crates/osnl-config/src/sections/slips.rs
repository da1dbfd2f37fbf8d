//! Mistakes that leave a valid file with another meaning: an indented option that becomes part of the value
//! above, a repeated section, and characters that read as others.

use std::collections::HashMap;

use osnl_model::{LookAlike, is_dangerous, look_alikes};

use super::{Layers, RawEntry, RawSection};
use crate::{ConfigError, Finding, Ini, IniEntry, IniSection, ValueOrigin, Warning};

pub fn joined(layers: &Layers) -> Vec<Warning> {
    layers.sections.iter().flat_map(joined_in).collect()
}

fn joined_in(section: &RawSection) -> Vec<Warning> {
    let lines = section.entries.iter().flat_map(|entry| {
        let lines = entry.text.split('\n').enumerate().skip(1);
        lines.filter_map(move |(row, line)| Some((entry, row, option_of(section, line)?)))
    });
    let warning = |(entry, row, option): (&RawEntry, usize, &str)| {
        let problem = format!("this line begins with a space, so it belongs to {}", entry.option);
        let finding = Finding::new("", problem).group(&section.heading()).option(&entry.option);
        let mut finding = finding.from_origin(&entry.origin);
        finding.line = finding.line.map(|line| line.saturating_add(u32::try_from(row).unwrap_or(u32::MAX)));
        Warning(finding.allowed(format!("to set {option}, begin it in column 1")))
    };
    // Texts of variables have no columns.
    lines.filter(|(entry, ..)| matches!(entry.origin, ValueOrigin::File { .. })).map(warning).collect()
}

/// Finds names and values with a character that is not the one that it shows, or that shows none. Secrets are left out.
pub fn disguised(layers: &Layers) -> Vec<Warning> {
    let names = layers.sections.iter().filter_map(|section| {
        let (_, words) = disguise(&section.name)?;
        Some(
            Finding::new("", format!("its name {words}"))
                .group(&section.heading())
                .from_origin(&section.place),
        )
    });
    let values = layers.sections.iter().flat_map(|section| {
        let is_secret =
            move |entry: &RawEntry| section.option(&entry.option).is_some_and(|known| known.row.secret);
        let public = section.entries.iter().filter(move |entry| entry.file.is_none() && !is_secret(entry));
        public.filter_map(move |entry| {
            let (row, words) = disguise(&entry.text)?;
            let finding = Finding::new("", words).group(&section.heading()).option(&entry.option);
            let mut finding = finding.from_origin(&entry.origin);
            finding.line = finding.line.map(|line| line.saturating_add(row));
            Some(finding)
        })
    });
    names.chain(values).map(|finding| Warning(finding.allowed("type it anew, unless it is meant"))).collect()
}

/// Returns the row and the description of the first such character of a text.
fn disguise(text: &str) -> Option<(u32, String)> {
    let hidden = text.char_indices().find(|(_, c)| is_dangerous(*c) && !c.is_control());
    let hidden = hidden.map(|(at, c)| {
        (at, format!("has U+{:04X}, which is not visible or a blank of another kind", u32::from(c)))
    });
    let alike = look_alikes(text).first().map(|LookAlike { at, character, reads_as }| {
        (*at, format!("has U+{:04X}, which reads as {reads_as}", u32::from(*character)))
    });
    let (at, words) = hidden.into_iter().chain(alike).min()?;
    let row = text[..at].bytes().filter(|byte| *byte == b'\n').count();
    Some((u32::try_from(row).unwrap_or(u32::MAX), words))
}

fn option_of<'a>(section: &RawSection, line: &'a str) -> Option<&'a str> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    if value.starts_with('=') || name.contains(|c: char| c.is_whitespace()) {
        return None;
    }
    let driver = section.driver();
    let is_own = section.option(name).is_some_and(|known| known.driver.is_none_or(|of| Some(of) == driver));
    is_own.then_some(name)
}

/// Finds sections that are repeated in a file and set the same option, so that two things would be mixed
/// under one name. Different drivers are an error. Different values of an option are a warning, as the second
/// was perhaps meant to be added.
pub fn repeated(ini: &Ini) -> (Vec<ConfigError>, Vec<Warning>) {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for section in &ini.sections {
        let mut latest: HashMap<&str, &IniEntry> = HashMap::new();
        for entry in &section.entries {
            if let Some(before) =
                latest.insert(&entry.key, entry).filter(|before| before.value != entry.value)
            {
                let problem = format!("replaces the value of line {}", before.line);
                let finding =
                    Finding::at(&ini.file, entry.line, problem).group(&section.name).option(&entry.key);
                warnings.push(Warning(
                    finding.allowed("write all of it in one value, or remove one of the lines"),
                ));
            }
        }
    }
    let mut first: HashMap<&str, &IniSection> = HashMap::new();
    for section in ini.sections.iter().filter(|section| section.name.contains(':')) {
        let Some(before) = first.get(section.name.as_str()) else {
            first.insert(&section.name, section);
            continue;
        };
        let value = |section: &IniSection, key: &str| {
            section.entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.clone())
        };
        let twice = |entry: &&IniEntry| value(before, &entry.key).is_some();
        let both: Vec<&str> = section.entries.iter().filter(twice).map(|entry| entry.key.as_str()).collect();
        let finding = |problem: String| Finding::at(&ini.file, section.line, problem).group(&section.name);
        if both.contains(&"driver") && value(before, "driver") != value(section, "driver") {
            let problem = format!("is also in line {}, with another driver", before.line);
            errors.push(ConfigError(finding(problem).allowed("rename one of them")));
        } else if !both.is_empty() {
            let problem = format!(
                "is also in line {}, and both are one section; these options are used: {}",
                before.line,
                both.join(", ")
            );
            let mend = "rename one of them, or merge them";
            warnings.push(Warning(finding(problem).allowed(mend)));
        }
    }
    (errors, warnings)
}
