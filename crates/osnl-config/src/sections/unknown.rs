//! Names that a schema does not have, with the likely intended name.

use super::findings::Findings;
use super::raw::{DEFAULT, RawSection};
use super::schema::{Dialect, FormerOption, Schema, SectionDef};
use crate::{ConfigError, Finding, IniSection, Warning, nearest};

pub(super) fn section<'a>(
    schema: &'static Schema,
    file: &str,
    section: &'a IniSection,
) -> Result<(&'static SectionDef, &'a str), Box<Finding>> {
    match schema.dialect {
        Dialect::Strict { foreign, .. } => {
            named_section(schema, section).map_err(|Unknown { problem, allowed, suggestion }| {
                let kind = section.name.split(':').next().unwrap_or_default().trim().to_lowercase();
                let foreign = foreign.iter().find(|foreign| foreign.name == kind);
                let (problem, allowed, suggestion) = match foreign {
                    Some(foreign) => (foreign.problem, foreign.remedy.to_owned(), None),
                    None => (problem, allowed, suggestion),
                };
                let finding = Finding::at(file, section.line, problem).group(&section.name);
                Box::new(Finding { suggestion, ..finding.allowed(allowed) })
            })
        }
        Dialect::Oslo { unapplied } => {
            let group = normalized(&section.name);
            if let Some(def) = schema.sections.iter().find(|def| def.kind == group) {
                return Ok((def, ""));
            }
            let finding = |problem: &str| Finding::at(file, section.line, problem).group(&section.name);
            Err(Box::new(if group == "default" {
                finding("is not [DEFAULT], ignored").allowed("write it in capitals")
            } else if let Some(unapplied) = unapplied.iter().find(|unapplied| unapplied.name == group) {
                finding(unapplied.problem)
            } else {
                let known = schema.sections.iter().map(|def| def.kind);
                let suggestion = nearest(group.trim(), known).map(|group| format!("[{group}]"));
                Finding { suggestion, ..finding("unknown section, ignored") }
            }))
        }
    }
}

/// The reason why a section is unknown, with what is allowed.
struct Unknown {
    problem: &'static str,
    allowed: String,
    suggestion: Option<String>,
}

/// Reads `[kind:NAME]`, in which the case of letters counts.
fn named_section<'a>(
    schema: &'static Schema,
    section: &'a IniSection,
) -> Result<(&'static SectionDef, &'a str), Unknown> {
    let (kind, name) = match section.name.split_once(':') {
        Some((kind, name)) => (kind.trim(), Some(name.trim())),
        None => (section.name.as_str(), None),
    };
    let refuse = |problem, allowed| Err(Unknown { problem, allowed, suggestion: None });
    let Some(def) = schema.sections.iter().find(|def| def.kind == kind) else {
        let forms: Vec<String> = schema.sections.iter().map(SectionDef::form).collect();
        let near = nearest(kind, schema.sections.iter().map(|def| def.kind));
        let suggestion = near.map(|near| match name {
            Some(name) => format!("[{near}:{name}]"),
            None => format!("[{near}]"),
        });
        let allowed = format!("known: {}", forms.join(", "));
        return Err(Unknown { problem: "unknown section", allowed, suggestion });
    };
    match name {
        None if def.named => refuse("needs a name", format!("write {}", def.form())),
        Some(_) if !def.named => refuse("takes no name", format!("write {}", def.form())),
        Some(name) if !is_name(name) => {
            refuse("has no valid name", "use letters, digits, -, _, and .".to_owned())
        }
        Some(name) => Ok((def, name)),
        None => Ok((def, "")),
    }
}

pub(super) fn option(
    schema: &'static Schema,
    section: &RawSection,
    name: &str,
    finding: Finding,
    findings: &mut Findings,
) {
    let mut finding = finding.group(&section.heading());
    finding.suggestion = suggestion(schema, section.def, name);
    if former(schema, name).is_some_and(|former| former.successors.is_empty()) {
        finding = finding.allowed("is an option of the services that publish; remove it");
    }
    match schema.dialect {
        Dialect::Strict { reference, .. } => {
            finding = Finding { problem: "unknown option".to_owned(), ..finding.option(name) };
            if name.starts_with("and ") || name.starts_with("or ") {
                finding = finding.allowed("a value continues on the next line if that begins with a space");
            } else if finding.suggestion.is_none() && finding.allowed.is_none() {
                finding = finding.allowed(format!("{reference} has those of {}", section.def.form()));
            }
            findings.errors.push(ConfigError(finding));
        }
        Dialect::Oslo { .. } => {
            finding.problem = "unknown option, ignored".to_owned();
            if looks_like_a_name(name) {
                finding = finding.option(name);
            }
            findings.warnings.push(Warning(finding));
        }
    }
}

pub(super) fn suggestion(schema: &Schema, def: &SectionDef, name: &str) -> Option<String> {
    if let Some(former) = former(schema, name) {
        let (found, ours) = former.successors.iter().find_map(|ours| {
            let mut sections = std::iter::once(def).chain(schema.sections);
            sections.find(|def| def.option(ours).is_some()).map(|found| (found, *ours))
        })?;
        return Some(if std::ptr::eq(found, def) {
            ours.to_owned()
        } else {
            format!("{} {ours}", found.form())
        });
    }
    let names = |def: &SectionDef| def.all_options().map(|option| option.row.name);
    let synonyms = match schema.dialect {
        Dialect::Strict { synonyms, .. } => synonyms,
        Dialect::Oslo { .. } => {
            let moved = || schema.sections.iter().find(|def| def.option(name).is_some());
            let own = nearest(name, names(def)).map(str::to_owned);
            return own.or_else(|| moved().map(|def| format!("[{}] {name}", def.kind)));
        }
    };
    // Singular and plural: `priority` for `priorities`.
    let many = name.strip_suffix('y').map_or_else(|| format!("{name}s"), |stem| format!("{stem}ies"));
    let own = || names(def);
    let synonym = || synonyms.iter().find(|(other, ours)| *other == name && own().any(|own| own == *ours));
    let synonym = || synonym().map(|(_, ours)| *ours);
    let own =
        own().find(|own| *own == many).or_else(synonym).or_else(|| nearest(name, own())).map(str::to_owned);
    let there = || schema.sections.iter().find(|def| def.option(name).is_some()).map(|def| (def, name));
    let near = || {
        // A short word is near to many options of other sections.
        let all = if name.len() < 7 || name.ends_with('.') { &[] } else { schema.sections };
        all.iter().find_map(|def| Some((def, nearest(name, names(def))?)))
    };
    let elsewhere = || there().or_else(near).map(|(def, name)| format!("{} {name}", def.form()));
    own.or_else(elsewhere)
}

fn former(schema: &Schema, name: &str) -> Option<&'static FormerOption> {
    let is_known = || schema.sections.iter().any(|def| def.option(name).is_some());
    schema.former.iter().find(|former| former.is(name)).filter(|_| !is_known())
}

/// Lower-cases a group, as oslo.config ignores their case except in `[DEFAULT]`.
pub fn normalized(group: &str) -> String {
    if group == DEFAULT { group.to_owned() } else { group.to_lowercase() }
}

/// Whether a key may be meant as a name; other keys may be parts of a value that lost its indentation.
fn looks_like_a_name(key: &str) -> bool {
    key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
