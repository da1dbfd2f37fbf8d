use std::collections::BTreeMap;
use std::ops::Deref;

use osnl_config::typed::ValueRefusal;
use osnl_config::{Kind, OptionDef, Options};
use osnl_model::{TransportUrl, did_you_mean, nearest};

/// The options that a driver of oslo.messaging has.
pub trait DriverSection: Options + Default {
    const SECTION: &'static str;

    /// The schemes of the URLs that have these options in the query.
    const SCHEMES: &'static [&'static str];

    fn foreign(_name: &str) -> Option<&'static str> {
        None
    }

    fn check(&self) -> Result<(), OptionError>;
}

/// Options that are set by three sources, the weakest first: the driver's section of a file, the query of the
/// transport URL, and the listener's section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DriverOptions<T> {
    pub(crate) values: T,
    /// The texts of options that are set, without secrets.
    written: BTreeMap<&'static str, String>,
}

/// An error in the options. Values are not repeated: in a URL they may be the rest of a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("{} is not an option of [{section}]{}", .name.as_deref().unwrap_or("a name in the query"),
        did_you_mean(*.nearest))]
    Unknown {
        section: &'static str,
        /// The name as written, unless it may be part of a password.
        name: Option<String>,
        nearest: Option<&'static str>,
    },
    #[error("{name} is an option of another client library; {instead}")]
    Foreign { name: String, instead: &'static str },
    #[error("{name} has a bad value; {}", .refusal.allowed)]
    Value { name: &'static str, refusal: ValueRefusal },
    #[error("{name} is given more than once in the query; write it once")]
    Repeated { name: &'static str },
    #[error("{names}: {reason}")]
    Together { names: &'static str, reason: &'static str },
}

impl<T: DriverSection> DriverOptions<T> {
    pub fn from_query(url: &TransportUrl) -> Result<Self, OptionError> {
        let mut options = Self::default();
        options.set_from_query(url)?;
        options.check()?;
        Ok(options)
    }

    pub fn set_from_query(&mut self, url: &TransportUrl) -> Result<(), OptionError> {
        if !T::SCHEMES.contains(&url.driver()) {
            return Ok(());
        }
        let query = url.query();
        // An @ there means that the query began inside a password, which must not be repeated.
        let safe = !query.iter().any(|(name, value)| name.contains('@') || value.contains('@'));
        for (n, (name, value)) in query.iter().enumerate() {
            if let (Some(option), true) = (def::<T>(name), query[..n].iter().any(|(other, _)| other == name))
            {
                return Err(OptionError::Repeated { name: option.name });
            }
            self.set(name, value).map_err(|error| match error {
                OptionError::Unknown { section, name, nearest } => {
                    OptionError::Unknown { section, name: name.filter(|_| safe), nearest }
                }
                error => error,
            })?;
        }
        Ok(())
    }

    pub fn set(&mut self, name: &str, text: &str) -> Result<(), OptionError> {
        let Some(option) = def::<T>(name) else {
            let name = name.to_owned();
            if let Some(instead) = T::foreign(&name) {
                return Err(OptionError::Foreign { name, instead });
            }
            let nearest = nearest(&name, T::OPTIONS.iter().map(|option| option.name));
            return Err(OptionError::Unknown { section: T::SECTION, name: Some(name), nearest });
        };
        let text = if matches!(option.kind, Kind::Form("text")) { text } else { text.trim() };
        if let Some(Err(refusal)) = self.values.set(name, text) {
            return Err(OptionError::Value { name: option.name, refusal });
        }
        self.written.insert(option.name, if option.secret { "***".to_owned() } else { text.to_owned() });
        Ok(())
    }

    pub fn check(&self) -> Result<(), OptionError> {
        self.values.check()
    }

    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.written.contains_key(name)
    }

    /// Returns the options that are set, as written and in the order of the table; a secret as `***`.
    pub fn set_options(&self) -> impl Iterator<Item = (&'static OptionDef, &str)> {
        T::OPTIONS.iter().filter_map(|option| Some((option, self.written.get(option.name)?.as_str())))
    }
}

/// The values, whichever source has set them.
impl<T> Deref for DriverOptions<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.values
    }
}

fn def<T: Options>(name: &str) -> Option<&'static OptionDef> {
    T::OPTIONS.iter().find(|option| option.name == name)
}

/// Returns the path of an option; an empty value means no path.
pub fn file(text: Option<&String>) -> Option<std::path::PathBuf> {
    text.filter(|path| !path.is_empty()).map(Into::into)
}
