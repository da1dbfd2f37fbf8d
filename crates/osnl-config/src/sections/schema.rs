//! Sections and options as tables: the schema that [`Layers`](super::Layers) reads files by.

use super::driver_table::{DriverOption, DriverTable};

/// The sections of one form of configuration file.
#[derive(Debug)]
pub struct SectionSchema {
    /// In the order they are documented in.
    pub sections: &'static [SectionDef],
    /// Sections of other programs' files, each with an error of its own.
    pub foreign: &'static [ForeignSection],
    /// The command that prints all options, for errors.
    pub reference: &'static str,
    /// Names that other programs have for options, each with the option's.
    pub synonyms: &'static [(&'static str, &'static str)],
    /// The value of an option whose default depends on the user or the machine.
    pub machine_default: fn(option: &str) -> Option<String>,
}

/// A section that belongs into another program's file.
#[derive(Clone, Copy, Debug)]
pub struct ForeignSection {
    /// Its name in lower case.
    pub name: &'static str,
    /// The problem.
    pub problem: &'static str,
    /// The remedy.
    pub remedy: &'static str,
}

/// One kind of section: `[DEFAULT]`, or `[kind:NAME]`.
#[derive(Debug)]
pub struct SectionDef {
    /// The word before the colon.
    pub kind: &'static str,
    /// Whether a name follows.
    pub named: bool,
    /// Its own options. If it has drivers, the first one names the driver.
    pub options: &'static [SectionOption],
    /// Prefixes of options that end in a key of the user's: `payload.KEY`.
    pub keyed: &'static [&'static str],
    /// The drivers that a section may name, each with options of its own.
    pub drivers: &'static [DriverTable],
    /// Options that it shares with another section.
    pub shared: &'static [SectionOption],
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionOption {
    /// Its name.
    pub name: &'static str,
    /// The text that counts when nothing sets it.
    pub default: Option<&'static str>,
    /// Whether no message repeats its value.
    pub secret: bool,
    /// The one driver that has it; `None` is all.
    pub driver: Option<&'static str>,
}

impl SectionOption {
    /// An option that every driver has and that is not a secret.
    pub const fn new(name: &'static str, default: Option<&'static str>) -> Self {
        Self { name, default, secret: false, driver: None }
    }
}

impl SectionDef {
    /// A section without a name.
    pub const fn new(kind: &'static str, options: &'static [SectionOption]) -> Self {
        Self { kind, named: false, options, keyed: &[], drivers: &[], shared: &[] }
    }

    /// A section with a name.
    pub const fn named(kind: &'static str, options: &'static [SectionOption]) -> Self {
        Self { named: true, ..Self::new(kind, options) }
    }

    /// Its own options, those of its drivers behind the option that names the driver, and the shared ones.
    pub fn all_options(&self) -> impl Iterator<Item = SectionOption> + Clone + use<> {
        let first = if self.drivers.is_empty() { self.options.len() } else { 1 };
        let (head, tail) = self.options.split_at(first);
        let drivers = self.drivers.iter().flat_map(|table| {
            let def = |row: &DriverOption| SectionOption {
                name: row.name,
                default: row.default,
                secret: row.secret,
                driver: Some(table.name),
            };
            table.options.iter().map(def)
        });
        head.iter().copied().chain(drivers).chain(tail.iter().copied()).chain(self.shared.iter().copied())
    }

    /// The option of this name, of whichever driver.
    pub fn option(&self, name: &str) -> Option<SectionOption> {
        self.all_options().find(|option| option.name == name)
    }

    /// Prefixes of options that end in a key, those of drivers included.
    pub fn prefixes(&self) -> impl Iterator<Item = &'static str> + use<> {
        let drivers = self.drivers.iter().flat_map(|table| table.keyed.iter().map(|row| row.name));
        self.keyed.iter().copied().chain(drivers)
    }

    /// Whether it is an option, or a prefix of one with a key behind it.
    pub fn knows(&self, name: &str) -> bool {
        self.option(name).is_some() || self.prefixes().any(|p| name.len() > p.len() && name.starts_with(p))
    }

    /// `[DEFAULT]`, `[listener:NAME]`.
    pub fn form(&self) -> String {
        if self.named { format!("[{}:NAME]", self.kind) } else { format!("[{}]", self.kind) }
    }
}
