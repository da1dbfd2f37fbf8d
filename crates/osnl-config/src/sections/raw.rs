//! Sections and their values as written, without types.

use super::driver_table::DriverTable;
use super::schema::{SectionDef, SectionOption};
use crate::secret_file::SecretFile;
use crate::{OptionDef, ValueOrigin};

pub(super) const DEFAULT: &str = "DEFAULT";
/// A section as all sources together write it, before its options are read.
#[derive(Clone)]
pub struct RawSection {
    pub def: &'static SectionDef,
    pub name: String,
    pub place: ValueOrigin,
    pub entries: Vec<RawEntry>,
}

/// An option as it is written, with the source that counts.
#[derive(Clone)]
pub struct RawEntry {
    pub option: String,
    pub text: String,
    pub origin: ValueOrigin,
    pub file: Option<SecretFile>,
    pub columns: Vec<u32>,
}

impl RawSection {
    pub fn heading(&self) -> String {
        if self.def.named { format!("{}:{}", self.def.kind, self.name) } else { self.def.kind.to_owned() }
    }

    pub fn entry(&self, option: &str) -> Option<&RawEntry> {
        self.entries.iter().find(|entry| entry.option == option)
    }

    pub fn driver(&self) -> Option<&str> {
        self.entry("driver").map(|entry| entry.text.as_str())
    }

    pub fn option_names(&self) -> impl Iterator<Item = &str> {
        let driver = self.driver();
        let is_own = move |option: &SectionOption| option.driver.is_none_or(|of| Some(of) == driver);
        let own = self.def.all_options().filter(is_own).map(|option| option.row.name);
        let set = self.entries.iter().map(|entry| entry.option.as_str());
        own.chain(set.filter(|name| self.def.option(name).is_none()))
    }

    /// Returns the option with its driver's row or default. An option that only other drivers have is
    /// returned as theirs.
    pub fn option(&self, name: &str) -> Option<SectionOption> {
        let mut rows = self.def.all_options().filter(|option| option.row.name == name);
        let (first, driver) = (rows.clone().next(), self.driver());
        let mut found = rows.find(|option| option.driver.is_none_or(|of| Some(of) == driver)).or(first);
        let table = self.def.drivers.iter().find(|table| Some(table.name) == driver);
        if let (Some(def), Some(table)) = (&mut found, table) {
            def.row.default = table.default_of(name).or(def.row.default);
        }
        found.or_else(|| self.keyed(name))
    }

    fn keyed(&self, name: &str) -> Option<SectionOption> {
        let of_driver = |table: &'static DriverTable| {
            let of = table.name;
            table.options_named(name).map(move |row| (of, row))
        };
        let rows = self.def.drivers.iter().flat_map(of_driver);
        let rows: Vec<_> = rows.collect();
        let own = rows.iter().find(|(of, _)| Some(*of) == self.driver()).or(rows.first());
        let keyed = |driver, row: &OptionDef| SectionOption {
            row: OptionDef { default: None, secret: row.is_secret(name), ..*row },
            driver,
        };
        let set = || self.def.keyed.iter().find(|row| row.has_key(name) && self.entry(name).is_some());
        own.map(|(of, row)| keyed(Some(*of), row)).or_else(|| set().map(|row| keyed(None, row)))
    }

    pub fn origin(&self, option: &str) -> ValueOrigin {
        self.entry(option).map_or(ValueOrigin::Default, |entry| entry.origin.clone())
    }

    pub(super) fn set(&mut self, option: &str, text: &str, origin: ValueOrigin, columns: &[u32]) {
        let (option, text, columns) = (option.to_owned(), text.to_owned(), columns.to_owned());
        let entry = RawEntry { option, text, origin, columns, file: None };
        match self.entries.iter_mut().find(|old| old.option == entry.option) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }
}
