use crate::OptionDef;

/// The options that a driver adds to the sections that name it.
#[derive(Clone, Copy, Debug)]
pub struct DriverTable {
    pub name: &'static str,
    /// The tables of the driver's own options, and of options that several drivers share.
    pub options: &'static [&'static [OptionDef]],
    pub keyed: &'static [OptionDef],
    pub defaults: &'static [(&'static str, &'static str)],
}

impl DriverTable {
    pub const fn new(name: &'static str, options: &'static [&'static [OptionDef]]) -> Self {
        Self { name, options, keyed: &[], defaults: &[] }
    }

    pub const fn with_defaults(self, defaults: &'static [(&'static str, &'static str)]) -> Self {
        Self { defaults, ..self }
    }

    pub fn rows(&self) -> impl Iterator<Item = &'static OptionDef> + Clone + use<> {
        self.options.iter().copied().flatten()
    }

    pub fn options_named(&self, option: &str) -> impl Iterator<Item = &'static OptionDef> {
        let named = self.rows().filter(move |row| row.name == option);
        named.chain(self.keyed.iter().filter(move |row| row.has_key(option)))
    }

    pub fn default_of(&self, option: &str) -> Option<&'static str> {
        self.defaults.iter().find(|(name, _)| *name == option).map(|(_, default)| *default)
    }
}
