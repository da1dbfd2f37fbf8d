//! The syntax is [`osnl_config`]'s; the options are the fields of [`Conf`]. k2hr3_osnl checked the `[k2hr3]` values
//! when a message arrived, and lost that message on an error. Unknown names are ignored with a warning; k2hr3_osnl
//! gave none.
//!
//! `[oslo_messaging_rabbit]` has no effect, as in k2hr3_osnl: `ssl = true` beside a port without
//! TLS would stop a running installation. The query of `transport_url` counts.

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
pub use osnl_net::http::{Scheme, Url as ApiUrl, UrlError as ApiUrlError, UrlPart as ApiUrlPart};

pub use options::{Conf, Executor, K2hr3Options, Level, LogFile, NotificationOptions};

use osnl_config::secret_file::open_files;

#[derive(Clone, Debug)]
pub struct LoadedConf {
    pub conf: Conf,
    pub warnings: Vec<Warning>,
    pub(super) layers: Layers,
}

impl LoadedConf {
    #[must_use]
    pub fn origin(&self, group: &str, option: &str) -> ValueOrigin {
        self.layers.origin(group, option)
    }

    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        self.layers.inputs().to_vec()
    }
}

/// The texts up to the semicolon are those of `K2hr3ConfError`.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    #[error("path must exist, not {}; {} or name another one with -c", .path.display(), creation(.path))]
    Missing { path: PathBuf },
    #[error("path must be a regular file, not {}; name a file with -c", .path.display())]
    NotRegular { path: PathBuf },
    #[error("path must be a readable regular file, not {}: {error}; {}", .path.display(), osnl_config::read_remedy(.error))]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("parse error, {0}")]
    Syntax(ConfigErrors),
    #[error("{0}")]
    Values(ConfigErrors),
}

impl ConfError {
    pub fn errors(&self) -> &[ConfigError] {
        match self {
            Self::Syntax(errors) | Self::Values(errors) => &errors.0,
            Self::Missing { .. } | Self::NotRegular { .. } | Self::Unreadable { .. } => &[],
        }
    }
}

impl Conf {
    /// Reads the file with the further inputs that oslo.config gives k2hr3_osnl. From the weakest
    /// layer to the strongest: defaults, the files of the `conf.d` folder by name, the file, the
    /// environment.
    pub fn load(path: &Path, inputs: &HiddenInputs) -> Result<LoadedConf, ConfError> {
        let mut files = inputs.files()?;
        files.push(path.to_owned());
        let mut layers = Vec::new();
        for file in &files {
            layers.push((file.display().to_string(), read(file)?));
        }
        Self::from_layers(&layers, &inputs.environment)
    }

    /// Checks `text`, the content of a file that messages call `file_name`; opens no file and
    /// resolves no name.
    pub fn from_text(file_name: &str, text: &str) -> Result<LoadedConf, ConfError> {
        Self::from_layers(&[(file_name.to_owned(), text.to_owned())], &Environment::default())
    }

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

/// Returns how to make a missing file. The packages put the manual's sample beside it.
fn creation(path: &Path) -> String {
    let mut sample = path.as_os_str().to_owned();
    sample.push(".sample");
    match Path::new(&sample) {
        sample if sample.is_file() => format!("copy {} to it", sample.display()),
        _ => "create the file".to_owned(),
    }
}

fn read(path: &Path) -> Result<String, ConfError> {
    read_text(path).map_err(|error| match error {
        ReadError::Missing => ConfError::Missing { path: path.to_owned() },
        ReadError::NotRegular => ConfError::NotRegular { path: path.to_owned() },
        ReadError::Unreadable(error) => ConfError::Unreadable { path: path.to_owned(), error },
        error @ (ReadError::NotUtf8(_) | ReadError::TooLarge) => {
            let finding = error.finding(&path.display().to_string());
            ConfError::Syntax(ConfigErrors(vec![ConfigError(finding)]))
        }
    })
}

#[cfg(test)]
mod tests;
