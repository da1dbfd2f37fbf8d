//! A driver's options as a table, for files, the environment, `config show`, and the reference.

use osnl_model::is_secret_key;

/// Name and options of a driver.
#[derive(Clone, Copy, Debug)]
pub struct DriverTable {
    /// The value of `driver = …`.
    pub name: &'static str,
    /// Its own options, in the order they are documented in.
    pub options: &'static [DriverOption],
    /// Options whose name ends in a key of the user's: `header.` stands for `header.KEY`.
    pub keyed: &'static [DriverOption],
    /// Other defaults of options that every action has.
    pub defaults: &'static [(&'static str, &'static str)],
}

/// One option: `DriverOption::new("url", "URL", "Where …. Must be set.").secret()`.
#[derive(Clone, Copy, Debug)]
pub struct DriverOption {
    /// Its name, or its prefix before a key.
    pub name: &'static str,
    /// The type of a value: `boolean`, `duration`, `list`, `path`, `skip or all`.
    pub kind: &'static str,
    /// Its meaning, in sentences.
    pub meaning: &'static str,
    /// The text that counts when nothing sets it.
    pub default: Option<&'static str>,
    /// No message repeats its value, and it may stand in a file of its own.
    pub secret: bool,
    /// The same for an option whose key says so: `header.Authorization` of `header.`.
    pub secret_by_key: bool,
}

impl DriverTable {
    /// A driver whose options have fixed names.
    pub const fn new(name: &'static str, options: &'static [DriverOption]) -> Self {
        Self { name, options, keyed: &[], defaults: &[] }
    }

    /// With other defaults for options that every action has.
    pub const fn with_defaults(self, defaults: &'static [(&'static str, &'static str)]) -> Self {
        Self { defaults, ..self }
    }

    /// Its rows for this option, which may end in a key.
    pub fn options_named(&self, option: &str) -> impl Iterator<Item = &'static DriverOption> {
        let named = self.options.iter().filter(move |row| row.name == option);
        let keyed = self.keyed.iter();
        named.chain(keyed.filter(move |row| option.len() > row.name.len() && option.starts_with(row.name)))
    }

    /// With options whose names end in a key.
    pub const fn with_keyed(self, keyed: &'static [DriverOption]) -> Self {
        Self { keyed, ..self }
    }

    /// The default of an option that every action has, if this driver has another one.
    pub fn default_of(&self, option: &str) -> Option<&'static str> {
        self.defaults.iter().find(|(name, _)| *name == option).map(|(_, default)| *default)
    }
}

impl DriverOption {
    /// An option without a default that is not a secret.
    pub const fn new(name: &'static str, kind: &'static str, meaning: &'static str) -> Self {
        Self { name, kind, meaning, default: None, secret: false, secret_by_key: false }
    }

    /// Whether this option of its row, which may end in a key, is a secret.
    pub fn is_secret(&self, option: &str) -> bool {
        let by_key = || option.strip_prefix(self.name).is_some_and(is_secret_key);
        self.secret || (self.secret_by_key && by_key())
    }

    /// Secret where the key behind its name is the name of a secret.
    pub const fn secret_by_key(self) -> Self {
        Self { secret_by_key: true, ..self }
    }

    /// A value that no message repeats, and that may stand in a file of its own.
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// With the text that counts when nothing sets it.
    pub const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }
}
