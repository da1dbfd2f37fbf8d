//! Layers of values over a schema: what is set, from where, and what it means.

use std::fmt;

use super::environment::{Environment, variable_name};
use super::error::{Finding, Warning};
use super::ini::{Ini, Section};
use super::nearest;
use super::value::{Value, ValueError, substitute};

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// true/false, yes/no, on/off, 1/0 in any case.
    Bool,
    /// A whole number as Python's `int` reads it.
    Integer,
    /// One of these words, exactly.
    Choice(&'static [&'static str]),
    /// `name:value,name:value`.
    Dict,
}

/// One known option.
#[derive(Clone, Copy, Debug)]
pub struct OptionDef {
    /// Its section, `DEFAULT` or in lower case.
    pub group: &'static str,
    /// Its name, in the case it must be written in.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The text that counts when nothing sets it; subject to substitution like any other.
    pub default: Option<&'static str>,
    /// No message repeats its value.
    pub secret: bool,
}

impl OptionDef {
    /// An option that is not a secret.
    #[must_use]
    pub const fn new(
        group: &'static str,
        name: &'static str,
        kind: Kind,
        default: Option<&'static str>,
    ) -> Self {
        Self { group, name, kind, default, secret: false }
    }

    /// The same as a secret.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// A section that others understand and we do not apply.
#[derive(Clone, Copy, Debug)]
pub struct UnappliedGroup {
    /// Its name in lower case.
    pub name: &'static str,
    /// The warning about it.
    pub problem: &'static str,
}

/// Everything a file may set.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The known options.
    pub options: &'static [OptionDef],
    /// Sections that get a message of their own instead of "unknown section".
    pub unapplied: &'static [UnappliedGroup],
}

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing set it.
    Default,
    /// A line of a file.
    File {
        /// The file as it was named to us.
        path: String,
        /// The line of the key, counted from 1.
        line: u32,
    },
    /// A variable of the environment.
    Environment {
        /// Its name, `OS_<GROUP>__<OPTION>`.
        variable: String,
    },
    /// An argument of the command line.
    CommandLine {
        /// The flag, such as `--debug`.
        flag: &'static str,
    },
}

impl fmt::Display for Origin {
    /// `FILE:LINE`, `environment NAME`, `command line --FLAG` or `default`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::CommandLine { flag } => write!(f, "command line {flag}"),
        }
    }
}

/// The value of an option with its source. Its Debug form hides a secret value.
#[derive(Clone)]
pub struct Reading {
    /// The value; `None` when nothing sets it and it has no default, or for an integer left blank.
    pub value: Option<Value>,
    /// The source of its text.
    pub origin: Origin,
    /// The option is secret: do not repeat the value.
    pub secret: bool,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Reading");
        if !self.secret {
            out.field("value", &self.value);
        }
        out.field("origin", &self.origin).field("secret", &self.secret).finish_non_exhaustive()
    }
}

/// The values of a schema's options, layer over layer. Its Debug form shows origins, no value.
#[derive(Clone)]
pub struct Settings {
    schema: &'static Schema,
    /// In the order they were set: the last one for an option counts.
    set: Vec<(&'static OptionDef, String, Origin)>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = self.set.iter().map(|(option, _, origin)| ((option.group, option.name), origin));
        f.debug_map().entries(origins).finish()
    }
}

impl Settings {
    /// Nothing set: defaults only.
    pub fn new(schema: &'static Schema) -> Self {
        Self { schema, set: Vec::new() }
    }

    /// The secret options that are set, with the origin that counts.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static OptionDef, &Origin)> {
        let last = |at: usize, option: &OptionDef| {
            let same = |other: &OptionDef| (other.group, other.name) == (option.group, option.name);
            !self.set[at + 1..].iter().any(|(other, ..)| same(other))
        };
        let set =
            self.set.iter().enumerate().filter(move |(at, (option, ..))| option.secret && last(*at, option));
        set.map(|(_, (option, _, origin))| (*option, origin))
    }

    /// Sets one option, over whatever set it before. `group` and `name` as the schema spells them;
    /// returns whether it knows them.
    pub fn set(&mut self, group: &str, name: &str, text: &str, origin: Origin) -> bool {
        let known = self.schema.find(group, name);
        if let Some(option) = known {
            self.set.push((option, text.to_owned(), origin));
        }
        known.is_some()
    }

    /// Lays a file over what is set so far and says which of its names mean nothing here: one warning
    /// for an unknown option, one for an unknown section (not for each of its options).
    pub fn apply(&mut self, ini: &Ini) -> Vec<Warning> {
        let mut warnings: Vec<Warning> = Vec::new();
        for section in &ini.sections {
            let group = normalized(&section.name);
            if !self.schema.has_group(&group) {
                warnings.push(Warning(self.schema.unknown_group(&ini.file, section)));
                continue;
            }
            for entry in &section.entries {
                let origin = Origin::File { path: ini.file.clone(), line: entry.line };
                if !self.set(&group, &entry.key, &entry.value, origin) {
                    let mut finding =
                        Finding::at(&ini.file, entry.line, "unknown option, ignored").group(&group);
                    if looks_like_a_name(&entry.key) {
                        finding = finding.option(&entry.key);
                    }
                    finding.suggestion = self.schema.suggestion(&group, &entry.key);
                    warnings.push(Warning(finding));
                }
            }
        }
        warnings
    }

    /// Lays the environment over what is set so far, as oslo.config does: the value counts as it stands
    /// there, quotes and blanks included, and an empty one is one. Variables that are spelt like an option of
    /// one of the schema's groups and name none get a warning each.
    pub fn apply_environment(&mut self, environment: &Environment) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (variable, text) in environment.iter() {
            let Some((group, name)) = self.schema.spelt(variable) else { continue };
            match self
                .schema
                .options
                .iter()
                .find(|option| variable_name(option.group, option.name) == variable)
            {
                Some(option) => {
                    let origin = Origin::Environment { variable: variable.to_owned() };
                    self.set.push((option, text.to_owned(), origin));
                }
                None => {
                    let mut finding =
                        Finding::of(&format!("environment {variable}"), "unknown option, ignored")
                            .group(group);
                    finding.suggestion = self.schema.suggestion(group, name);
                    warnings.push(Warning(finding));
                }
            }
        }
        warnings
    }

    /// The sources of everything that is set, in the order it was set in.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.set.iter().map(|(_, _, origin)| origin)
    }

    /// The source of an option's text.
    pub fn origin(&self, group: &str, name: &str) -> Origin {
        self.last(group, name).map_or(Origin::Default, |(_, _, origin)| origin.clone())
    }

    /// The value of an option, substituted and typed.
    ///
    /// # Errors
    /// The schema lacks the option, a `$name` in it cannot be replaced, or the text is of another type.
    pub fn read(&self, group: &str, name: &str) -> Result<Reading, ValueError> {
        let option = self
            .schema
            .find(group, name)
            .ok_or_else(|| ValueError::new("there is no such option", "see the reference"))?;
        self.resolve(option, &mut Vec::new())
    }

    /// `path`: the options being resolved, to notice a circle.
    fn resolve(
        &self,
        option: &'static OptionDef,
        path: &mut Vec<&'static OptionDef>,
    ) -> Result<Reading, ValueError> {
        let last = self.last(option.group, option.name);
        let origin = last.map_or(Origin::Default, |(_, _, origin)| origin.clone());
        let Some(text) = last.map(|(_, text, _)| text.as_str()).or(option.default) else {
            return Ok(Reading { value: None, origin, secret: option.secret });
        };
        path.push(option);
        let substituted = substitute(text, |name| self.named(name, option, path));
        path.pop();
        let value = Value::read(option.kind, &substituted?, option.secret)?;
        Ok(Reading { value, origin, secret: option.secret })
    }

    /// Resolves `$name` in a value of `user`.
    fn named(
        &self,
        name: &str,
        user: &'static OptionDef,
        path: &mut Vec<&'static OptionDef>,
    ) -> Result<String, ValueError> {
        const DOLLAR: &str = "write $$ where a dollar sign is meant";
        // In a secret, the text behind a dollar sign is most likely part of the password.
        let dollar = if user.secret { "$…".to_owned() } else { format!("${name}") };
        let found = match name.split_once('.') {
            Some((group, option)) if group != "DEFAULT" => self.schema.find(group, option),
            Some(_) => None,
            None => self.schema.find(user.group, name).or_else(|| self.schema.find("DEFAULT", name)),
        };
        let Some(option) = found else {
            return Err(ValueError::new(format!("{dollar} names no known option"), DOLLAR));
        };
        if option.secret && !user.secret {
            // oslo would, and the password would be the name of a queue or a word of a log line.
            let problem = format!("{dollar} names a secret, which only a secret option may repeat");
            return Err(ValueError::new(problem, DOLLAR));
        }
        if path.iter().any(|step| std::ptr::eq(*step, option)) {
            return Err(ValueError::new(format!("{dollar} leads back to the option itself"), DOLLAR));
        }
        let reading = self.resolve(option, path).map_err(|_| {
            ValueError::new(format!("{dollar} names an option whose own value is wrong"), "correct that one")
        })?;
        match reading.value {
            None => Ok(String::new()),
            Some(value) => value.substituted().ok_or_else(|| {
                ValueError::new(format!("{dollar} names a list of pairs, which is no text"), DOLLAR)
            }),
        }
    }

    fn last(&self, group: &str, name: &str) -> Option<&(&'static OptionDef, String, Origin)> {
        self.set.iter().rev().find(|(option, _, _)| option.group == group && option.name == name)
    }
}

impl Schema {
    fn find(&'static self, group: &str, name: &str) -> Option<&'static OptionDef> {
        self.options.iter().find(|option| option.group == group && option.name == name)
    }

    /// The group that a variable is spelt for, and what stands behind it.
    fn spelt<'a>(&self, variable: &'a str) -> Option<(&'static str, &'a str)> {
        self.options.iter().find_map(|option| {
            let prefix = variable_name(option.group, "");
            variable.strip_prefix(&prefix).map(|name| (option.group, name))
        })
    }

    fn has_group(&self, group: &str) -> bool {
        self.options.iter().any(|option| option.group == group)
    }

    fn unknown_group(&self, file: &str, section: &Section) -> Finding {
        let group = normalized(&section.name);
        let finding =
            |problem: &str| Finding::at(file, section.line, problem.to_owned()).group(&section.name);
        if group == "default" {
            return finding("is not [DEFAULT], ignored").allowed("write it in capitals");
        }
        if let Some(unapplied) = self.unapplied.iter().find(|unapplied| unapplied.name == group) {
            return finding(unapplied.problem);
        }
        let mut unknown = finding("unknown section, ignored");
        let known = self.options.iter().map(|option| option.group);
        unknown.suggestion = nearest(group.trim(), known).map(|group| format!("[{group}]"));
        unknown
    }

    /// The nearest name of the same section, else the same name in another one.
    fn suggestion(&self, group: &str, name: &str) -> Option<String> {
        let same = self.options.iter().filter(|option| option.group == group);
        nearest(name, same.map(|option| option.name)).map(str::to_owned).or_else(|| {
            let moved = self.options.iter().find(|option| option.name == name);
            moved.map(|option| format!("[{}] {}", option.group, option.name))
        })
    }
}

/// Section names are compared without case, but `[DEFAULT]` is only itself.
pub(super) fn normalized(group: &str) -> String {
    if group == "DEFAULT" { group.to_owned() } else { group.to_lowercase() }
}

/// A key that could be meant as a name; anything else may be part of a value that lost its indentation.
fn looks_like_a_name(key: &str) -> bool {
    key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    static SCHEMA: Schema = Schema {
        options: &[
            option("DEFAULT", "url", true, "x://u:secret@h"),
            option("DEFAULT", "copy", true, "$url"),
            option("DEFAULT", "plain", false, "p"),
            option("g", "plain", false, "q"),
            option("g", "word", false, "${plain}${g.plain}$url"),
        ],
        unapplied: &[],
    };

    const fn option(
        group: &'static str,
        name: &'static str,
        secret: bool,
        default: &'static str,
    ) -> OptionDef {
        OptionDef { group, name, kind: Kind::Text, default: Some(default), secret }
    }

    #[test]
    fn the_later_layer_wins_and_values_know_their_origin() {
        let mut settings = Settings::new(&SCHEMA);
        assert_eq!(settings.origin("g", "plain"), Origin::Default);
        for (text, line) in [("[g]\nplain = 1\nplain = 2\n", 3), ("[G]\nplain = 3\n", 2)] {
            let (ini, _) = Ini::parse(text, text);
            assert_eq!(settings.apply(&ini), []);
            assert_eq!(settings.origin("g", "plain"), Origin::File { path: text.to_owned(), line });
        }
        let Ok(Reading { value: Some(Value::Text(text)), .. }) = settings.read("g", "plain") else {
            panic!("no text");
        };
        assert_eq!(text, "3");
        assert!(!settings.set("g", "nothing", "", Origin::Default));
        assert!(settings.read("g", "nothing").is_err());
    }

    #[test]
    fn a_secret_goes_into_secrets_only() {
        let settings = Settings::new(&SCHEMA);
        let reading = settings.read("DEFAULT", "copy").unwrap();
        assert_eq!(reading.value, Some(Value::Text("x://u:secret@h".to_owned())));
        assert!(!format!("{reading:?}").contains("secret@"), "{reading:?}");
        assert_eq!(
            settings.read("g", "word").unwrap_err().problem,
            "$url names a secret, which only a secret option may repeat"
        );
    }
}
