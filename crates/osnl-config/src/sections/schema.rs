//! Sections and options as tables: the schema that [`Layers`](super::Layers) reads files by.

use super::driver_table::DriverTable;
use crate::OptionDef;
use crate::typed::ValueRefusal;

/// The sections of one form of configuration file.
#[derive(Debug)]
pub struct Schema {
    /// In the order they are documented in.
    pub sections: &'static [SectionDef],
    /// The rules about names and values that differ between osnl's own form and those of older programs.
    pub dialect: Dialect,
    /// Names that options had in former releases of other programs.
    pub former: &'static [FormerOption],
}

/// A former name of an option.
#[derive(Clone, Copy, Debug)]
pub struct FormerOption {
    /// The name; one that ends in `*` is that of all options that begin so.
    pub name: &'static str,
    /// The options that replace it: the first that the form has is named. Without any it has no successor.
    pub successors: &'static [&'static str],
}

impl FormerOption {
    /// A name and its successors.
    pub const fn new(name: &'static str, successors: &'static [&'static str]) -> Self {
        Self { name, successors }
    }

    /// Whether an option with this name is meant.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.strip_suffix('*').map_or(self.name == name, |begin| name.starts_with(begin))
    }
}

/// The rules about names and values of a form.
#[derive(Clone, Copy, Debug)]
pub enum Dialect {
    /// osnl's own form: unknown names are errors, and a secret may be in a file of its own.
    Strict {
        /// Sections of other programs' files, each with an error of its own.
        foreign: &'static [ForeignSection],
        /// The command that prints all options, for errors.
        reference: &'static str,
        /// Names that other programs have for options, each with the option's.
        synonyms: &'static [(&'static str, &'static str)],
        /// The value of an option whose default depends on the user or the machine; a refusal where the machine has none,
        /// `None` for every other option.
        machine_default: fn(option: &str) -> Option<Result<String, ValueRefusal>>,
    },
    /// The form of a program that reads its files by oslo.config: unknown names are warnings, names of sections have no
    /// case, and `$name` is the other option's *typed* value.
    Oslo {
        /// Sections that are valid there and have no effect here, each with a warning of its own.
        unapplied: &'static [ForeignSection],
    },
}

/// A section that belongs into another program's file, or has no effect in this one.
#[derive(Clone, Copy, Debug)]
pub struct ForeignSection {
    /// Its name in lower case.
    pub name: &'static str,
    /// The problem.
    pub problem: &'static str,
    /// The remedy; may be empty.
    pub remedy: &'static str,
}

/// One kind of section: `[DEFAULT]`, or `[kind:NAME]`.
#[derive(Clone, Copy, Debug)]
pub struct SectionDef {
    /// The word before the colon.
    pub kind: &'static str,
    /// Whether a name follows.
    pub named: bool,
    /// Its purpose, in sentences.
    pub about: &'static str,
    /// Its own options. If it has drivers, the first one names the driver.
    pub options: &'static [OptionDef],
    /// Options that it shares with another section.
    pub shared: &'static [OptionDef],
    /// Options that end in a key of the user's: `payload.` is `payload.KEY`.
    pub keyed: &'static [OptionDef],
    /// The drivers that a section may name, each with options of its own.
    pub drivers: &'static [DriverTable],
    /// Other defaults than those of the rows.
    pub defaults: &'static [(&'static str, &'static str)],
}

/// An option of a section: its row, and the one driver that has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SectionOption {
    /// The row, with the default that counts in this section.
    pub row: OptionDef,
    /// `None` is all.
    pub driver: Option<&'static str>,
}

impl Schema {
    /// A form that is read as oslo.config reads it.
    pub const fn oslo(sections: &'static [SectionDef], unapplied: &'static [ForeignSection]) -> Self {
        Self { sections, dialect: Dialect::Oslo { unapplied }, former: &[] }
    }

    /// With names that options had in former releases of other programs.
    pub const fn with_former(self, former: &'static [FormerOption]) -> Self {
        Self { former, ..self }
    }

    /// Whether the form is read as oslo.config reads it.
    pub(crate) fn is_oslo(&self) -> bool {
        matches!(self.dialect, Dialect::Oslo { .. })
    }
}

impl SectionDef {
    /// A section without a name.
    pub const fn new(kind: &'static str, about: &'static str, options: &'static [OptionDef]) -> Self {
        Self { kind, named: false, about, options, shared: &[], keyed: &[], drivers: &[], defaults: &[] }
    }

    /// A section with a name.
    pub const fn named(kind: &'static str, about: &'static str, options: &'static [OptionDef]) -> Self {
        Self { named: true, ..Self::new(kind, about, options) }
    }

    /// With options that it shares with another section.
    pub const fn with_shared(self, shared: &'static [OptionDef]) -> Self {
        Self { shared, ..self }
    }

    /// Its own options, those of its drivers behind the option that names the driver, and the shared ones.
    pub fn all_options(&self) -> impl Iterator<Item = SectionOption> + Clone + use<> {
        let first = if self.drivers.is_empty() { self.options.len() } else { 1 };
        let (head, tail) = self.options.split_at(first);
        let drivers = self.drivers.iter().flat_map(|table| {
            table.options.iter().map(|row| SectionOption { row: *row, driver: Some(table.name) })
        });
        let defaults = self.defaults;
        let own = move |row: &OptionDef| {
            let other = defaults.iter().find(|(name, _)| *name == row.name).map(|(_, default)| *default);
            SectionOption { row: OptionDef { default: other.or(row.default), ..*row }, driver: None }
        };
        head.iter().map(own).chain(drivers).chain(tail.iter().chain(self.shared).map(own))
    }

    /// The option of this name, of whichever driver.
    pub fn option(&self, name: &str) -> Option<SectionOption> {
        self.all_options().find(|option| option.row.name == name)
    }

    /// Options that end in a key, those of drivers included.
    pub fn all_keyed(&self) -> impl Iterator<Item = SectionOption> + Clone + use<> {
        let drivers = self.drivers.iter().flat_map(|table| {
            table.keyed.iter().map(|row| SectionOption { row: *row, driver: Some(table.name) })
        });
        self.keyed.iter().map(|row| SectionOption { row: *row, driver: None }).chain(drivers)
    }

    /// Whether it is an option, or one with a key.
    pub fn knows(&self, name: &str) -> bool {
        self.option(name).is_some() || self.all_keyed().any(|option| option.row.has_key(name))
    }

    /// `[DEFAULT]`, `[listener:NAME]`.
    pub fn form(&self) -> String {
        if self.named { format!("[{}:NAME]", self.kind) } else { format!("[{}]", self.kind) }
    }
}
