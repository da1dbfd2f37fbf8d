//! The file `k2hr3_osnl.conf`: read, checked whole, and typed.
//!
//! The syntax is [`crate::config`]'s; the options are the fields of [`Conf`]. Every value is checked when
//! the file is loaded, and all errors are reported at once; k2hr3_osnl looked at the `[k2hr3]` values when
//! a message arrived and lost that message if one was bad. Unknown names, which k2hr3_osnl ignored without
//! a word, are ignored with a warning.

mod api_url;
mod check;
mod options;
mod schema;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use api_url::{ApiUrl, ApiUrlError, ApiUrlPart, Scheme};
pub use options::{Conf, Executor, K2hr3Options, Level, LogFile, NotificationOptions};

use crate::config::{ConfigError, ConfigErrors, Finding, Ini, Settings, Warning};

/// A configuration that can be used, and what its writer should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checked values.
    pub conf: Conf,
    /// In the order they were found: unknown names first, then option by option.
    pub warnings: Vec<Warning>,
}

/// Why a file gives no configuration. The texts up to the semicolon are those of `K2hr3ConfError`.
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
    pub fn from_path(path: &Path) -> Result<Loaded, ConfError> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => ConfError::Missing { path: path.to_owned() },
            _ => ConfError::Unreadable { path: path.to_owned(), error },
        };
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(ConfError::NotRegular { path: path.to_owned() });
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let name = path.display().to_string();
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::from_text(&name, text),
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                let finding =
                    Finding::at(&name, u32::try_from(line).unwrap_or(u32::MAX), "the line is not UTF-8")
                        .allowed("save the file as UTF-8");
                Err(ConfError::Syntax(ConfigErrors(vec![ConfigError(finding)])))
            }
        }
    }

    /// Checks `text`, the content of a file that messages call `file_name`. Nothing is read or opened,
    /// no name is looked up.
    ///
    /// # Errors
    /// The text does not follow the syntax, or values are wrong: every such place, in the order of lines.
    pub fn from_text(file_name: &str, text: &str) -> Result<Loaded, ConfError> {
        let (ini, syntax) = Ini::parse(file_name, text);
        let mut settings = Settings::new(&schema::SCHEMA);
        let mut warnings = settings.apply(&ini);
        let (conf, values, more) = check::check(file_name, &settings);
        warnings.extend(more);
        let is_syntax = !syntax.is_empty();
        let mut errors = syntax;
        errors.extend(values);
        errors.sort_by_key(|error| error.0.line);
        match conf {
            Some(conf) if errors.is_empty() => Ok(Loaded { conf, warnings }),
            Some(_) | None if is_syntax => Err(ConfError::Syntax(ConfigErrors(errors))),
            Some(_) | None => Err(ConfError::Values(ConfigErrors(errors))),
        }
    }
}

#[cfg(test)]
mod tests;
