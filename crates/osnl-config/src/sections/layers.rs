//! Files, environment and command line laid over one another; `$name` replaced.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use crate::typed::ValueRefusal;
use crate::{
    ConfigError, Environment, Finding, Ini, IniSection, Kind, PREFIX, Value, ValueOrigin, Warning,
    substitute, variable_name,
};

use super::findings::Findings;
use super::raw::{DEFAULT, RawSection};
use super::schema::{Dialect, Schema};
use super::unknown;

const DOLLAR: &str = "write $$ where a dollar sign is meant";

/// The sections of all layers. Unnamed sections are always present. The Debug form shows origins and no
/// value.
#[derive(Clone)]
pub struct Layers {
    pub(super) schema: &'static Schema,
    pub sections: Vec<RawSection>,
    inputs: Vec<String>,
}

/// The Debug form hides a secret value.
#[derive(Clone)]
pub struct LayeredValue {
    /// The value; `None` without a setting or default, or for an empty integer.
    pub value: Option<Value>,
    pub origin: ValueOrigin,
    pub secret: bool,
}

impl fmt::Debug for LayeredValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("LayeredValue");
        if !self.secret {
            out.field("value", &self.value);
        }
        out.field("origin", &self.origin).field("secret", &self.secret).finish_non_exhaustive()
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries =
            self.sections.iter().flat_map(|section| section.entries.iter().map(move |e| (section, e)));
        let origins = entries.map(|(section, entry)| ((section.heading(), &entry.option), &entry.origin));
        f.debug_map().entries(origins).finish()
    }
}

type Places = HashMap<(&'static str, String), usize>;

impl Layers {
    pub fn new(schema: &'static Schema) -> Self {
        let unnamed = schema.sections.iter().filter(|def| !def.named);
        let section =
            |def| RawSection { def, name: String::new(), place: ValueOrigin::Default, entries: Vec::new() };
        Self { schema, sections: unnamed.map(section).collect(), inputs: Vec::new() }
    }

    pub fn schema(&self) -> &'static Schema {
        self.schema
    }

    pub fn apply(&mut self, ini: &Ini) -> Findings {
        let mut findings = Findings::default();
        // A map, since a search would compare each of a thousand rules with all others.
        let places = self.sections.iter().enumerate();
        let mut places: Places = places.map(|(at, s)| ((s.def.kind, s.name.clone()), at)).collect();
        for section in &ini.sections {
            let Some(at) = self.place(ini, section, &mut places, &mut findings) else { continue };
            for entry in &section.entries {
                let into = &mut self.sections[at];
                if into.def.knows(&entry.key) {
                    let origin = ValueOrigin::File { path: ini.file.clone(), line: entry.line };
                    into.set(&entry.key, &entry.value, origin, &entry.columns);
                    self.note_input(&ini.file);
                } else {
                    let finding = Finding::at(&ini.file, entry.line, "");
                    unknown::option(self.schema, into, &entry.key, finding, &mut findings);
                }
            }
        }
        findings
    }

    fn place(
        &mut self,
        ini: &Ini,
        section: &IniSection,
        places: &mut Places,
        findings: &mut Findings,
    ) -> Option<usize> {
        let (def, name) = match unknown::section(self.schema, &ini.file, section) {
            Ok(known) => known,
            Err(finding) if self.schema.is_oslo() => {
                findings.warnings.push(Warning(*finding));
                return None;
            }
            Err(finding) => {
                findings.errors.push(ConfigError(*finding));
                return None;
            }
        };
        Some(*places.entry((def.kind, name.to_owned())).or_insert_with(|| {
            let place = ValueOrigin::File { path: ini.file.clone(), line: section.line };
            self.sections.push(RawSection { def, name: name.to_owned(), place, entries: Vec::new() });
            self.sections.len() - 1
        }))
    }

    fn note_input(&mut self, input: &str) {
        if !self.inputs.iter().any(|known| known == input) {
            self.inputs.push(input.to_owned());
        }
    }

    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    pub fn alike(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let mut first: HashMap<String, String> = HashMap::new();
        for section in &self.sections {
            let heading = section.heading();
            match first.entry(variable_name(&heading, "")) {
                Entry::Vacant(free) => {
                    free.insert(heading);
                }
                Entry::Occupied(taken) => {
                    let (spelt, other) = (taken.key(), taken.get());
                    let problem = format!("has the same name in the environment as [{other}]: {spelt}…");
                    let finding = Finding::new("", problem).group(&heading).from_origin(&section.place);
                    errors.push(ConfigError(finding.allowed("rename one of them")));
                }
            }
        }
        errors
    }

    fn nowhere(&self, variable: &str, source: &str) -> Option<Warning> {
        let mut named = self.schema.sections.iter().filter(|def| def.named && !self.schema.is_oslo());
        // `OS_RULE_` of a rule's `OS_RULE_NAME__OPTION`.
        let begins = |kind: &str| {
            let beginning = variable_name(&format!("{kind}:"), "");
            beginning.strip_suffix("__").is_some_and(|beginning| variable.starts_with(beginning))
        };
        let kind = named.find(|def| begins(def.kind))?.kind;
        variable.trim_start_matches(PREFIX).contains("__").then(|| {
            let problem = format!("no section [{kind}:NAME] has this name in the environment, ignored");
            let there = self.sections.iter().filter(|section| section.def.kind == kind);
            let there: Vec<String> =
                there.map(|section| variable_name(&section.heading(), "") + "...").collect();
            let allowed = match &there[..] {
                [] => format!("write a section [{kind}:NAME] in a file"),
                there => format!("allowed: {}", there.join(", ")),
            };
            Warning(Finding::new(source, problem).allowed(allowed))
        })
    }

    /// Lays the environment over the files, as oslo.config does: a value counts literally, quotes and blanks
    /// included. A variable can set any option of a section that is in a file, but a keyed option only if a
    /// file sets it.
    pub fn apply_environment(&mut self, environment: &Environment) -> Findings {
        let mut findings = Findings::default();
        // No other variable can be an option, and spelling a thousand sections for each variable of a shell
        // is slow.
        let ours = environment.iter().filter(|(variable, _)| variable.starts_with(PREFIX));
        for (variable, text) in ours {
            let spelt = |section: &RawSection| variable.starts_with(&variable_name(&section.heading(), ""));
            let sections: Vec<usize> =
                (0..self.sections.len()).filter(|i| spelt(&self.sections[*i])).collect();
            let source = format!("environment {variable}");
            match sections[..] {
                [] => findings.warnings.extend(self.nowhere(variable, &source)),
                [only] => {
                    let section = &mut self.sections[only];
                    let heading = section.heading();
                    let fixed = section.def.all_options().map(|option| option.row.name.to_owned());
                    let keyed = section.entries.iter().map(|entry| entry.option.clone());
                    let option = fixed.chain(keyed).find(|o| variable_name(&heading, o) == *variable);
                    if let Some(option) = option {
                        section.set(
                            &option,
                            text,
                            ValueOrigin::Environment { variable: variable.to_owned() },
                            &[],
                        );
                        self.note_input(&source);
                    } else {
                        let mut finding = Finding::new(&source, "unknown option, ignored").group(&heading);
                        let option = variable.strip_prefix(&variable_name(&heading, "")).unwrap_or_default();
                        finding.suggestion = unknown::suggestion(self.schema, section.def, option);
                        findings.warnings.push(Warning(finding));
                    }
                }
                [first, second, ..] => {
                    let [a, b] = [first, second].map(|i| self.sections[i].heading());
                    if variable_name(&a, "") == variable_name(&b, "") {
                        // Reported once, for the sections.
                        continue;
                    }
                    let problem = format!("[{a}] and [{b}] have the same name in the environment");
                    let finding = Finding::new(&source, problem).allowed("rename one of them");
                    findings.errors.push(ConfigError(finding));
                }
            }
        }
        findings
    }

    pub fn set(&mut self, kind: &str, option: &str, text: &str, origin: ValueOrigin) -> bool {
        let unnamed = self.sections.iter_mut().find(|s| !s.def.named && s.def.kind == kind);
        let known = unnamed.filter(|section| section.def.knows(option));
        known.map(|section| section.set(option, text, origin, &[])).is_some()
    }

    pub fn unnamed(&self, kind: &str) -> Option<&RawSection> {
        self.sections.iter().find(|section| !section.def.named && section.def.kind == kind)
    }

    pub fn origin(&self, kind: &str, option: &str) -> ValueOrigin {
        self.unnamed(kind).map_or(ValueOrigin::Default, |section| section.origin(option))
    }

    /// Returns the typed value of an option in an unnamed section.
    ///
    /// # Errors
    /// The schema lacks the option, or [`value`](Self::value) refuses it.
    pub fn read(&self, kind: &str, option: &str) -> Result<LayeredValue, ValueRefusal> {
        let section = self.unnamed(kind).and_then(|section| Some((section, section.option(option)?)));
        let (section, known) =
            section.ok_or_else(|| ValueRefusal::new("there is no such option", "see the reference"))?;
        let value = self.value(section, option)?;
        Ok(LayeredValue { value, origin: section.origin(option), secret: known.row.secret })
    }

    /// Returns the value of an option, substituted and typed by its row.
    ///
    /// # Errors
    /// A `$name` in the text cannot be replaced, or the text is of another type.
    pub fn value(&self, section: &RawSection, option: &str) -> Result<Option<Value>, ValueRefusal> {
        self.value_along(section, option, &mut Vec::new())
    }

    /// Returns the text of an option or its default, with each `$name` replaced.
    ///
    /// `$name` is an option of the same section, else of `[DEFAULT]`; `${group.name}` is an option of an
    /// unnamed section.
    ///
    /// # Errors
    /// A `$name` in the text cannot be replaced.
    pub fn resolve(&self, section: &RawSection, option: &str) -> Result<Option<String>, ValueRefusal> {
        self.text_along(section, option, &mut Vec::new())
    }

    fn value_along(
        &self,
        section: &RawSection,
        option: &str,
        path: &mut DependencyOrder,
    ) -> Result<Option<Value>, ValueRefusal> {
        let known = section.option(option);
        let Some(text) = self.text_along(section, option, path)? else { return Ok(None) };
        let (kind, secret) =
            known.map_or((Kind::Form(""), false), |known| (known.row.kind, known.row.secret));
        Value::read(kind, &text, secret)
    }

    fn text_along(
        &self,
        section: &RawSection,
        option: &str,
        path: &mut DependencyOrder,
    ) -> Result<Option<String>, ValueRefusal> {
        if let Some(file) = section.entry(option).and_then(|entry| entry.file.as_ref()) {
            let content = file.content.clone().map(Some);
            return content.map_err(|error| ValueRefusal::new(error.to_string(), error.remedy()));
        }
        let known = section.option(option);
        let default = known.and_then(|known| known.row.default);
        let Some(text) = section.entry(option).map(|entry| entry.text.as_str()).or(default) else {
            return Ok(None);
        };
        let step = (section.heading(), option.to_owned());
        if path.contains(&step) {
            return Err(ValueRefusal::new("a $name in it leads back to the option itself", DOLLAR));
        }
        path.push(step);
        let secret = known.is_some_and(|known| known.row.secret);
        let replaced = substitute(text, |name| self.named(name, section, secret, path));
        path.pop();
        replaced.map(Some)
    }

    fn named(
        &self,
        name: &str,
        section: &RawSection,
        secret: bool,
        path: &mut DependencyOrder,
    ) -> Result<String, ValueRefusal> {
        // The text behind a dollar sign in a secret is most likely part of the password, unless it names a section.
        let names_a_section = name.split_once('.').is_some_and(|(group, _)| self.unnamed(group).is_some());
        let dollar = if secret && !names_a_section { "$…".to_owned() } else { format!("${name}") };
        let is_oslo = self.schema.is_oslo();
        let (from, wanted) = match name.split_once('.') {
            // oslo.config does not know this name.
            Some((DEFAULT, _)) if is_oslo => (None, name),
            Some((group, wanted)) => (self.unnamed(group), wanted),
            None if section.option(name).is_some() => (Some(section), name),
            None => (self.unnamed(DEFAULT), name),
        };
        let Some((from, known)) = from.and_then(|from| Some((from, from.option(wanted)?))) else {
            let problem = format!("{dollar} names no known option");
            let is_capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            let is_like_a_variable =
                name.chars().all(is_capital) && !name.starts_with(|c: char| c.is_ascii_digit());
            // The form of a password stays secret too, so its error always has the advice.
            return Err(match path.last() {
                Some((heading, option)) if secret && !names_a_section || is_like_a_variable => {
                    ValueRefusal::new(problem, no_variable(heading, option))
                }
                Some(_) | None => ValueRefusal::new(problem, DOLLAR),
            });
        };
        if known.row.secret && !secret {
            // oslo.config would replace it, and the password would become a queue's name or part of a log
            // line.
            let problem = format!("{dollar} names a secret, which only a secret option may repeat");
            return Err(ValueRefusal::new(problem, DOLLAR));
        }
        if !is_oslo {
            return match self.text_along(from, wanted, path)? {
                Some(text) => Ok(text),
                None => self.machine_default(wanted).unwrap_or_else(|| Ok(String::new())),
            };
        }
        if path.contains(&(from.heading(), wanted.to_owned())) {
            return Err(ValueRefusal::new(format!("{dollar} leads back to the option itself"), DOLLAR));
        }
        let value = self.value_along(from, wanted, path).map_err(|_| {
            let problem = format!("{dollar} names an option whose own value is wrong");
            ValueRefusal::new(problem, "correct that one")
        })?;
        match value {
            None => Ok(String::new()),
            Some(value) => value.substituted().ok_or_else(|| {
                ValueRefusal::new(format!("{dollar} names a list of pairs, which is not a string"), DOLLAR)
            }),
        }
    }

    fn machine_default(&self, option: &str) -> Option<Result<String, ValueRefusal>> {
        match self.schema.dialect {
            Dialect::Strict { machine_default, .. } => machine_default(option),
            Dialect::Oslo { .. } => None,
        }
    }
}

/// Returns the advice for `$NAME` of the environment, which configurations of other programs replace.
fn no_variable(heading: &str, option: &str) -> String {
    format!(
        "{DOLLAR}; a variable of the environment is not read there: set {} instead",
        variable_name(heading, option)
    )
}

type DependencyOrder = Vec<(String, String)>;
