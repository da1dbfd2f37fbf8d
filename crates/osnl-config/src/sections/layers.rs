//! Files, environment and command line laid over one another, before anything is typed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::{
    ConfigError, Environment, Finding, Ini, Origin, PREFIX, Section, Warning, nearest, substitute,
    variable_name,
};

use super::driver_table::DriverTable;
use super::schema::{SectionDef, SectionOption, SectionSchema};
use crate::secret_file::{SecretFile, SecretFileError};

/// The section whose options `$name` reaches from every other one.
const DEFAULT: &str = "DEFAULT";

/// The sections of all layers. Those without a name are always present.
#[derive(Clone)]
pub struct Layers {
    schema: &'static SectionSchema,
    /// In the order they first appear in.
    pub sections: Vec<RawSection>,
}

/// One section, whatever files it stands in.
#[derive(Clone)]
pub struct RawSection {
    /// Its kind.
    pub def: &'static SectionDef,
    /// The text behind the colon; empty for a section without a name.
    pub name: String,
    /// Its first heading.
    pub place: Origin,
    /// One entry for each option that is set.
    pub entries: Vec<RawEntry>,
}

/// The value that counts for one option.
#[derive(Clone)]
pub struct RawEntry {
    /// The option's whole name.
    pub option: String,
    /// The text as it is written.
    pub text: String,
    /// The place of the text.
    pub origin: Origin,
    /// The file that `text` names, where the option holds a secret.
    pub file: Option<SecretFile>,
    /// The columns at which the lines of the text begin in the file; empty if it is from no file.
    pub columns: Vec<u32>,
}

impl RawSection {
    /// As it is written between the brackets.
    pub fn heading(&self) -> String {
        if self.def.named { format!("{}:{}", self.def.kind, self.name) } else { self.def.kind.to_owned() }
    }

    /// The entry of an option that is set.
    pub fn entry(&self, option: &str) -> Option<&RawEntry> {
        self.entries.iter().find(|entry| entry.option == option)
    }

    /// The value of `driver`, as it is written.
    pub fn driver(&self) -> Option<&str> {
        self.entry("driver").map(|entry| entry.text.as_str())
    }

    /// The option as it is here: its driver's own, or with its driver's default. One that only other drivers have is
    /// theirs.
    pub fn option(&self, name: &str) -> Option<SectionOption> {
        let mut rows = self.def.all_options().filter(|option| option.name == name);
        let (first, driver) = (rows.clone().next(), self.driver());
        let mut found = rows.find(|option| option.driver.is_none_or(|of| Some(of) == driver)).or(first);
        let table = self.def.drivers.iter().find(|table| Some(table.name) == driver);
        if let (Some(def), Some(table)) = (&mut found, table) {
            def.default = table.default_of(name).or(def.default);
        }
        found.or_else(|| self.keyed(name))
    }

    /// An option of a driver whose name ends in a key.
    fn keyed(&self, name: &str) -> Option<SectionOption> {
        let of_driver = |table: &'static DriverTable| {
            let of = table.name;
            table.options_named(name).map(move |row| (of, row))
        };
        let rows = self.def.drivers.iter().flat_map(of_driver);
        let rows: Vec<_> = rows.collect();
        let own = rows.iter().find(|(of, _)| Some(*of) == self.driver()).or(rows.first());
        own.map(|(of, row)| SectionOption {
            name: row.name,
            default: None,
            secret: row.is_secret(name),
            driver: Some(of),
        })
    }

    fn set(&mut self, option: &str, text: &str, origin: Origin) {
        let entry = RawEntry {
            option: option.to_owned(),
            text: text.to_owned(),
            origin,
            columns: Vec::new(),
            file: None,
        };
        match self.entries.iter_mut().find(|entry| entry.option == option) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }
}

/// The index of each section, by kind and name.
type Places = HashMap<(&'static str, String), usize>;

impl Layers {
    /// The sections of a schema that have no name, without any value.
    pub fn new(schema: &'static SectionSchema) -> Self {
        let unnamed = schema.sections.iter().filter(|def| !def.named);
        let section =
            |def| RawSection { def, name: String::new(), place: Origin::Default, entries: Vec::new() };
        Self { schema, sections: unnamed.map(section).collect() }
    }

    /// Lays a file over what is there. Names that mean nothing are errors.
    pub fn apply(&mut self, ini: &Ini) -> Vec<ConfigError> {
        let schema = self.schema;
        let mut errors = Vec::new();
        // Looked up, not looked for: a thousand rules would be compared with each other.
        let places = self.sections.iter().enumerate();
        let mut places: Places = places.map(|(at, s)| ((s.def.kind, s.name.clone()), at)).collect();
        for section in &ini.sections {
            let Some(into) = self.section(ini, section, &mut places, &mut errors) else { continue };
            for entry in &section.entries {
                if into.def.knows(&entry.key) {
                    let origin = Origin::File { path: ini.file.clone(), line: entry.line };
                    into.set(&entry.key, &entry.value, origin);
                    if let Some(set) = into.entries.iter_mut().find(|set| set.option == entry.key) {
                        set.columns.clone_from(&entry.columns);
                    }
                } else {
                    let finding = Finding::at(&ini.file, entry.line, "unknown option");
                    let mut finding = finding.group(&into.heading()).option(&entry.key);
                    finding.suggestion = suggestion(schema, into.def, &entry.key);
                    if entry.key.starts_with("and ") || entry.key.starts_with("or ") {
                        finding.allowed =
                            Some("a value goes on in the next line if that begins with a blank".to_owned());
                    } else if finding.suggestion.is_none() {
                        let form = into.def.form();
                        finding.allowed = Some(format!("{} has those of {form}", schema.reference));
                    }
                    errors.push(ConfigError(finding));
                }
            }
        }
        errors
    }

    fn section(
        &mut self,
        ini: &Ini,
        section: &Section,
        places: &mut Places,
        errors: &mut Vec<ConfigError>,
    ) -> Option<&mut RawSection> {
        let (kind, name) = match section.name.split_once(':') {
            Some((kind, name)) => (kind.trim(), Some(name.trim())),
            None => (section.name.as_str(), None),
        };
        let mut refuse = |problem: &str, allowed: String, suggestion: Option<String>| {
            let finding = Finding::at(&ini.file, section.line, problem).group(&section.name);
            let finding = if allowed.is_empty() { finding } else { finding.allowed(allowed) };
            errors.push(ConfigError(Finding { suggestion, ..finding }));
        };
        let schema = self.schema;
        let Some(def) = schema.sections.iter().find(|def| def.kind == kind) else {
            if let Some(foreign) = schema.foreign.iter().find(|foreign| foreign.name == kind.to_lowercase()) {
                refuse(foreign.problem, foreign.remedy.to_owned(), None);
                return None;
            }
            let forms: Vec<String> = schema.sections.iter().map(SectionDef::form).collect();
            let near = nearest(kind, schema.sections.iter().map(|def| def.kind));
            let suggestion = near.map(|near| match name {
                Some(name) => format!("[{near}:{name}]"),
                None => format!("[{near}]"),
            });
            refuse("unknown section", format!("known: {}", forms.join(", ")), suggestion);
            return None;
        };
        match name {
            None if def.named => {
                refuse("needs a name", format!("write {}", def.form()), None);
                return None;
            }
            Some(_) if !def.named => {
                refuse("takes no name", format!("write {}", def.form()), None);
                return None;
            }
            Some(name) if !is_name(name) => {
                refuse("has no usable name", "letters, digits, -, _ and . make a name".to_owned(), None);
                return None;
            }
            Some(_) | None => {}
        }
        let name = name.unwrap_or_default();
        let at = *places.entry((def.kind, name.to_owned())).or_insert_with(|| {
            let place = Origin::File { path: ini.file.clone(), line: section.line };
            self.sections.push(RawSection { def, name: name.to_owned(), place, entries: Vec::new() });
            self.sections.len() - 1
        });
        Some(&mut self.sections[at])
    }

    /// Sections that no variable could tell apart.
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
                    let problem = format!("is spelt like [{other}] in the environment: {spelt}…");
                    let finding = Finding::of("", problem).group(&heading).from_origin(&section.place);
                    errors.push(ConfigError(finding.allowed("rename one of them")));
                }
            }
        }
        errors
    }

    /// Lays the environment over the files. A variable can set any option of a section that is in a file;
    /// of options with a key, those that a file sets.
    pub fn apply_environment(&mut self, environment: &Environment) -> (Vec<ConfigError>, Vec<Warning>) {
        let schema = self.schema;
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        // Nothing else can be an option, and a thousand sections are not spelt for each variable of a shell.
        let ours = environment.iter().filter(|(variable, _)| variable.starts_with(PREFIX));
        for (variable, text) in ours {
            let spelt = |section: &RawSection| variable.starts_with(&variable_name(&section.heading(), ""));
            let sections: Vec<usize> =
                (0..self.sections.len()).filter(|i| spelt(&self.sections[*i])).collect();
            let source = format!("environment {variable}");
            match sections[..] {
                [] => {}
                [only] => {
                    let section = &mut self.sections[only];
                    let heading = section.heading();
                    let fixed = section.def.all_options().map(|option| option.name.to_owned());
                    let keyed = section.entries.iter().map(|entry| entry.option.clone());
                    let option = fixed.chain(keyed).find(|o| variable_name(&heading, o) == *variable);
                    match option {
                        Some(option) => {
                            let origin = Origin::Environment { variable: variable.to_owned() };
                            section.set(&option, text, origin);
                        }
                        None => {
                            let mut finding = Finding::of(&source, "unknown option, ignored").group(&heading);
                            let option = variable.rsplit_once("__").map_or("", |(_, option)| option);
                            finding.suggestion = suggestion(schema, section.def, option);
                            warnings.push(Warning(finding));
                        }
                    }
                }
                [first, second, ..] => {
                    let [a, b] = [first, second].map(|i| self.sections[i].heading());
                    if variable_name(&a, "") == variable_name(&b, "") {
                        // Said of the sections.
                        continue;
                    }
                    let problem = format!("[{a}] and [{b}] are spelt alike in the environment");
                    let finding = Finding::of(&source, problem).allowed("rename one of them");
                    errors.push(ConfigError(finding));
                }
            }
        }
        (errors, warnings)
    }

    /// Sets an option of `[DEFAULT]` from the command line, above everything.
    pub fn set_flag(&mut self, option: &str, text: &str, flag: &'static str) {
        let default = self.sections.iter_mut().find(|section| section.def.kind == DEFAULT);
        if let Some(section) = default {
            section.set(option, text, Origin::CommandLine { flag });
        }
    }

    /// The text of an option, its default if nothing sets it, with each `$name` replaced.
    ///
    /// `$name` is an option of the same section, else of `[DEFAULT]`; `${group.name}` one of a section without a name.
    pub fn resolve(&self, section: &RawSection, option: &str) -> Result<Option<String>, Substitution> {
        self.resolve_along(section, option, &mut Vec::new())
    }

    fn resolve_along(
        &self,
        section: &RawSection,
        option: &str,
        path: &mut Vec<(String, String)>,
    ) -> Result<Option<String>, Substitution> {
        if let Some(file) = section.entry(option).and_then(|entry| entry.file.as_ref()) {
            return file.content.clone().map(Some).map_err(Substitution::File);
        }
        let def = section.option(option);
        let default = def.and_then(|def| def.default);
        let Some(text) = section.entry(option).map(|entry| entry.text.as_str()).or(default) else {
            return Ok(None);
        };
        let step = (section.heading(), option.to_owned());
        if path.contains(&step) {
            return Err(Substitution::Circle);
        }
        path.push(step);
        let secret = def.is_some_and(|def| def.secret);
        let replaced = substitute(text, |name| {
            let (group, wanted) = match name.split_once('.') {
                Some((group, wanted)) => (group, wanted),
                None if section.option(name).is_some() => ("", name),
                None => (DEFAULT, name),
            };
            let from = match group {
                "" => Some(section),
                group => self.sections.iter().find(|s| !s.def.named && s.def.kind == group),
            };
            let found = from.and_then(|from| Some((from, from.option(wanted)?)));
            let Some((from, def)) = found else {
                return Err(Substitution::Unknown((!secret).then(|| name.to_owned())));
            };
            if def.secret && !secret {
                return Err(Substitution::Secret(name.to_owned()));
            }
            let text = self.resolve_along(from, wanted, path)?;
            Ok(text.or_else(|| (self.schema.machine_default)(def.name)).unwrap_or_default())
        });
        path.pop();
        replaced.map(Some)
    }
}

/// The reason that `$name` cannot be replaced.
#[derive(Debug, thiserror::Error)]
pub enum Substitution {
    /// The name, unless it may be part of a password.
    #[error("{} names no known option", .0.as_ref().map_or("$…".to_owned(), |name| format!("${name}")))]
    Unknown(Option<String>),
    /// A secret in an option that is not one, by its name.
    #[error("${0} names a secret, which only a secret option may repeat")]
    Secret(String),
    /// The option needs its own value.
    #[error("a $name in it leads back to the option itself")]
    Circle,
    /// The option's secret is in a file that cannot be read.
    #[error(transparent)]
    File(SecretFileError),
}

impl Substitution {
    /// The remedy.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unknown(_) | Self::Secret(_) | Self::Circle => "write $$ where a dollar sign is meant",
            Self::File(error) => error.remedy(),
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The nearest name of the same section, else the section that has it, or one that is near.
fn suggestion(schema: &SectionSchema, def: &SectionDef, name: &str) -> Option<String> {
    // One or many: `priority` for `priorities`.
    let many = name.strip_suffix('y').map_or_else(|| format!("{name}s"), |stem| format!("{stem}ies"));
    let own = || def.all_options().map(|option| option.name);
    let synonym =
        || schema.synonyms.iter().find(|(other, ours)| *other == name && own().any(|own| own == *ours));
    let synonym = || synonym().map(|(_, ours)| *ours);
    let own =
        own().find(|own| *own == many).or_else(synonym).or_else(|| nearest(name, own())).map(str::to_owned);
    let there = || schema.sections.iter().find(|def| def.option(name).is_some()).map(|def| (def, name));
    let near = || {
        // A short word is near to many that are of other sections.
        let all = if name.len() < 7 || name.ends_with('.') { &[] } else { schema.sections };
        all.iter().find_map(|def| Some((def, nearest(name, def.all_options().map(|option| option.name))?)))
    };
    let elsewhere = || there().or_else(near).map(|(def, name)| format!("{} {name}", def.form()));
    own.or_else(elsewhere)
}
