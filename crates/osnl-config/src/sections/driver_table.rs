//! A driver's options as a table, for files, the environment, `config show`, and the reference.

use crate::OptionDef;

/// Name and options of a driver.
#[derive(Clone, Copy, Debug)]
pub struct DriverTable {
    /// The value of `driver = …`.
    pub name: &'static str,
    /// Its own options, in the order they are documented in.
    pub options: &'static [OptionDef],
    /// Options whose name ends in a key of the user's: `header.` stands for `header.KEY`.
    pub keyed: &'static [OptionDef],
    /// Other defaults of options that every action has.
    pub defaults: &'static [(&'static str, &'static str)],
}

impl DriverTable {
    /// A driver whose options have fixed names.
    pub const fn new(name: &'static str, options: &'static [OptionDef]) -> Self {
        Self { name, options, keyed: &[], defaults: &[] }
    }

    /// With other defaults for options that every action has.
    pub const fn with_defaults(self, defaults: &'static [(&'static str, &'static str)]) -> Self {
        Self { defaults, ..self }
    }

    /// Its rows for this option, which may end in a key.
    pub fn options_named(&self, option: &str) -> impl Iterator<Item = &'static OptionDef> {
        let named = self.options.iter().filter(move |row| row.name == option);
        named.chain(self.keyed.iter().filter(move |row| row.has_key(option)))
    }

    /// The default of an option that every action has, if this driver has another one.
    pub fn default_of(&self, option: &str) -> Option<&'static str> {
        self.defaults.iter().find(|(name, _)| *name == option).map(|(_, default)| *default)
    }
}
