//! The file `k2hr3_osnl.conf`: read, checked whole, and typed.
//!
//! The syntax is [`osnl_config`]'s; the options are the fields of [`Conf`]. Every value is checked when
//! the file is loaded, and all errors are reported at once; k2hr3_osnl looked at the `[k2hr3]` values when
//! a message arrived and lost that message if one was bad. Unknown names, which k2hr3_osnl ignored without
//! a word, are ignored with a warning.
//!
//! `[oslo_messaging_rabbit]` has no effect here, as in k2hr3_osnl: `ssl = true` beside a port without TLS would stop
//! a set-up that runs. The query of `transport_url` always counted, and does.

mod check;
mod inputs;
mod manual;
mod options;
mod schema;

use std::io;
use std::path::{Path, PathBuf};

use osnl_config::sections::{Findings, Layers};
use osnl_config::{
    ConfigError, ConfigErrors, Environment, Ini, ReadError, ValueOrigin, Warning, in_order, read_text,
};

pub use inputs::HiddenInputs;
pub use osnl_http::{Scheme, Url as ApiUrl, UrlError as ApiUrlError, UrlPart as ApiUrlPart};

pub use options::{Conf, Executor, K2hr3Options, Level, LogFile, NotificationOptions};

use osnl_config::secret_file::open_files;

/// A configuration that can be used, and what its writer should know about it.
#[derive(Clone, Debug)]
pub struct LoadedConf {
    /// The checked values.
    pub conf: Conf,
    /// In the order they were found: unknown names first, then option by option.
    pub warnings: Vec<Warning>,
    /// The origin of each value.
    layers: Layers,
}

impl LoadedConf {
    /// Returns the origin of an option's value; group and option as in the file.
    #[must_use]
    pub fn origin(&self, group: &str, option: &str) -> ValueOrigin {
        self.layers.origin(group, option)
    }

    /// The files and variables that set something, each once, weakest first.
    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        self.layers.inputs().to_vec()
    }
}

/// The reason why a file gives no configuration. The texts up to the semicolon are those of `K2hr3ConfError`.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// There is nothing at that path.
    #[error("path must exist, not {}; create the file or name another one with -c", .path.display())]
    Missing {
        /// The path as given.
        path: PathBuf,
    },
    /// A directory, a device, a pipe.
    #[error("path must be a regular file, not {}; name a file with -c", .path.display())]
    NotRegular {
        /// The path as given.
        path: PathBuf,
    },
    /// The operating system does not let us read it.
    #[error("path must be a readable regular file, not {}: {error}; let this user read it", .path.display())]
    Unreadable {
        /// The path as given.
        path: PathBuf,
        /// Its reason.
        error: io::Error,
    },
    /// The text does not follow the syntax. Errors in the values that could be read are listed too.
    #[error("parse error, {0}")]
    Syntax(ConfigErrors),
    /// The syntax is right and values are wrong.
    #[error("{0}")]
    Values(ConfigErrors),
}

impl ConfError {
    /// The errors that point at a line; none if the file could not be read at all.
    pub fn errors(&self) -> &[ConfigError] {
        match self {
            Self::Syntax(errors) | Self::Values(errors) => &errors.0,
            Self::Missing { .. } | Self::NotRegular { .. } | Self::Unreadable { .. } => &[],
        }
    }
}

impl Conf {
    /// Reads and checks the file at `path`, which may be a symbolic link to a regular file.
    ///
    /// # Errors
    /// The path is no readable regular file, or [`Conf::from_text`] refuses its text.
    pub fn from_path(path: &Path) -> Result<LoadedConf, ConfError> {
        Self::load(path, &HiddenInputs::none())
    }

    /// The same with the inputs that k2hr3_osnl, by oslo.config, has beside its file. From the weakest
    /// layer to the strongest: defaults, the files of the `conf.d` folder by name, the file, the environment.
    ///
    /// # Errors
    /// As [`Conf::from_path`], for the file or one of the folder's.
    pub fn load(path: &Path, inputs: &HiddenInputs) -> Result<LoadedConf, ConfError> {
        let mut files = inputs.files()?;
        files.push(path.to_owned());
        let mut layers = Vec::new();
        for file in &files {
            layers.push((file.display().to_string(), read(file)?));
        }
        Self::from_layers(&layers, &inputs.environment)
    }

    /// Checks `text`, the content of a file that messages call `file_name`. Nothing is read or opened,
    /// no name is looked up.
    ///
    /// # Errors
    /// The text does not follow the syntax, or values are wrong: every such place, in the order of lines.
    pub fn from_text(file_name: &str, text: &str) -> Result<LoadedConf, ConfError> {
        Self::from_layers(&[(file_name.to_owned(), text.to_owned())], &Environment::default())
    }

    /// Names and texts of files, later ones over earlier ones, and the environment over them all.
    /// A fault of no single line is reported for the last file.
    fn from_layers(files: &[(String, String)], environment: &Environment) -> Result<LoadedConf, ConfError> {
        let mut layers = Layers::new(&schema::SCHEMA);
        let (mut errors, mut findings) = (Vec::new(), Findings::default());
        for (name, text) in files {
            let (ini, syntax) = Ini::parse(name, text);
            errors.extend(syntax);
            findings.extend(layers.apply(&ini));
        }
        findings.extend(layers.apply_environment(environment));
        findings.warnings.extend(open_files(&layers));
        let last = files.last().map_or("", |(name, _)| name.as_str());
        let conf = check::check(last, &layers, &mut findings);
        let Findings { errors: values, mut warnings } = findings;
        let is_syntax = !errors.is_empty();
        errors.extend(values);
        let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        in_order(&mut errors, |error| &error.0, &names);
        in_order(&mut warnings, |warning| &warning.0, &names);
        match conf {
            Some(conf) if errors.is_empty() => Ok(LoadedConf { conf, warnings, layers }),
            Some(_) | None if is_syntax => Err(ConfError::Syntax(ConfigErrors(errors))),
            Some(_) | None => Err(ConfError::Values(ConfigErrors(errors))),
        }
    }
}

fn read(path: &Path) -> Result<String, ConfError> {
    read_text(path).map_err(|error| match error {
        ReadError::Missing => ConfError::Missing { path: path.to_owned() },
        ReadError::NotRegular => ConfError::NotRegular { path: path.to_owned() },
        ReadError::Unreadable(error) => ConfError::Unreadable { path: path.to_owned(), error },
        error @ ReadError::NotUtf8(_) => {
            let finding = error.finding(&path.display().to_string());
            ConfError::Syntax(ConfigErrors(vec![ConfigError(finding)]))
        }
    })
}

#[cfg(test)]
mod tests;
