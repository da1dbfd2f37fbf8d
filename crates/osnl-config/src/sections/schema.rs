//! Sections and options as tables: the schema that [`Layers`](super::Layers) reads files by.

use super::driver_table::DriverTable;
use crate::OptionDef;
use crate::typed::ValueRefusal;

/// The sections that a form of configuration knows.
#[derive(Debug)]
pub struct Schema {
    pub sections: &'static [SectionDef],
    pub dialect: Dialect,
    pub former: &'static [FormerOption],
}

/// An option of an earlier version, to name its successor in an error.
#[derive(Clone, Copy, Debug)]
pub struct FormerOption {
    /// The former name; a trailing `*` matches all options with this prefix.
    pub name: &'static str,
    /// The options that replace it; an error names the first that the form has. Empty means no successor.
    pub successors: &'static [&'static str],
}

impl FormerOption {
    pub const fn new(name: &'static str, successors: &'static [&'static str]) -> Self {
        Self { name, successors }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.strip_suffix('*').map_or(self.name == name, |begin| name.starts_with(begin))
    }
}

/// The strictness of a form of configuration towards unknown names.
#[derive(Clone, Copy, Debug)]
pub enum Dialect {
    /// osnl's own form: unknown names are errors, and a secret may be in a file of its own.
    Strict {
        foreign: &'static [ForeignSection],
        reference: &'static str,
        synonyms: &'static [(&'static str, &'static str)],
        /// Returns the default that depends on the user or the machine, or a refusal if the machine has none;
        /// `None` for every other option.
        machine_default: fn(option: &str) -> Option<Result<String, ValueRefusal>>,
    },
    /// The form of a program that uses oslo.config: unknown names are warnings, section names have no case,
    /// and `$name` is the other option's *typed* value.
    Oslo {
        /// Sections that are valid there and have no effect here, each with its own warning.
        unapplied: &'static [ForeignSection],
    },
}

/// A section of another program, to explain why osnl does not read it.
#[derive(Clone, Copy, Debug)]
pub struct ForeignSection {
    pub name: &'static str,
    pub problem: &'static str,
    pub remedy: &'static str,
}

/// The declaration of a kind of section: its options and its drivers.
#[derive(Clone, Copy, Debug)]
pub struct SectionDef {
    pub kind: &'static str,
    pub named: bool,
    pub about: &'static str,
    /// The section's own options. If it has drivers, the first option names the driver.
    pub options: &'static [OptionDef],
    pub shared: &'static [&'static [OptionDef]],
    pub keyed: &'static [OptionDef],
    pub drivers: &'static [DriverTable],
    pub defaults: &'static [(&'static str, &'static str)],
}

/// An option that a section may have, and the driver that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SectionOption {
    pub row: OptionDef,
    pub driver: Option<&'static str>,
}

impl Schema {
    pub const fn oslo(sections: &'static [SectionDef], unapplied: &'static [ForeignSection]) -> Self {
        Self { sections, dialect: Dialect::Oslo { unapplied }, former: &[] }
    }

    pub const fn with_former(self, former: &'static [FormerOption]) -> Self {
        Self { former, ..self }
    }

    pub(crate) fn is_oslo(&self) -> bool {
        matches!(self.dialect, Dialect::Oslo { .. })
    }
}

impl SectionDef {
    pub const fn new(kind: &'static str, about: &'static str, options: &'static [OptionDef]) -> Self {
        Self { kind, named: false, about, options, shared: &[], keyed: &[], drivers: &[], defaults: &[] }
    }

    pub const fn named(kind: &'static str, about: &'static str, options: &'static [OptionDef]) -> Self {
        Self { named: true, ..Self::new(kind, about, options) }
    }

    pub const fn with_shared(self, shared: &'static [&'static [OptionDef]]) -> Self {
        Self { shared, ..self }
    }

    /// Returns the section's own options, its drivers' options behind the option that names the driver, and
    /// the shared options.
    pub fn all_options(&self) -> impl Iterator<Item = SectionOption> + Clone + use<> {
        let first = if self.drivers.is_empty() { self.options.len() } else { 1 };
        let (head, tail) = self.options.split_at(first);
        let drivers = self
            .drivers
            .iter()
            .flat_map(|table| table.rows().map(|row| SectionOption { row: *row, driver: Some(table.name) }));
        let defaults = self.defaults;
        let own = move |row: &OptionDef| {
            let other = defaults.iter().find(|(name, _)| *name == row.name).map(|(_, default)| *default);
            SectionOption { row: OptionDef { default: other.or(row.default), ..*row }, driver: None }
        };
        head.iter()
            .map(own)
            .chain(drivers)
            .chain(tail.iter().chain(self.shared.iter().copied().flatten()).map(own))
    }

    pub fn option(&self, name: &str) -> Option<SectionOption> {
        self.all_options().find(|option| option.row.name == name)
    }

    pub fn all_keyed(&self) -> impl Iterator<Item = SectionOption> + Clone + use<> {
        let drivers = self.drivers.iter().flat_map(|table| {
            table.keyed.iter().map(|row| SectionOption { row: *row, driver: Some(table.name) })
        });
        self.keyed.iter().map(|row| SectionOption { row: *row, driver: None }).chain(drivers)
    }

    pub fn knows(&self, name: &str) -> bool {
        self.option(name).is_some() || self.all_keyed().any(|option| option.row.has_key(name))
    }

    pub fn form(&self) -> String {
        if self.named { format!("[{}:NAME]", self.kind) } else { format!("[{}]", self.kind) }
    }
}
