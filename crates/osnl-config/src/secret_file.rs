//! Secrets in files of their own: `transport_url = file:///path`.
//!
//! | written | read |
//! | --- | --- |
//! | `file:///path` | that file; `$name` in the path is replaced as in any value |
//! | `file://$CREDENTIALS_DIRECTORY/NAME` | the credential of systemd's `LoadCredential=NAME:…`; `${…}` too |
//!
//! Only options that hold secrets are read so. The file's one line is the value without its line end, and no
//! `$` in it is replaced. The content is never printed: `config show` prints the name of the file.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

pub use super::sections::{open_files, read_all};
use super::source::{RegularFileError, read_regular, read_remedy};

pub const SCHEME: &str = "file://";
const MOST_BYTES: u64 = 64 * 1024;

/// A file that a value names. No Debug, as the content is a secret.
#[derive(Clone)]
pub struct SecretFile {
    pub path: PathBuf,
    pub content: Result<String, SecretFileError>,
}

/// The reason why a file gives no secret. No content is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretFileError {
    #[error("names no absolute path behind file://")]
    Relative,
    #[error("CREDENTIALS_DIRECTORY is not set in the environment")]
    NoCredentials,
    #[error("there is no file {0}")]
    Missing(String),
    #[error("there is no credential {0}")]
    NoCredential(String),
    #[error("{0} is not a regular file")]
    NotRegular(String),
    #[error("{name} cannot be read: {error}")]
    Unreadable { name: String, error: String, remedy: &'static str },
    #[error("{0} is empty")]
    Empty(String),
    #[error("{0} holds more than one line")]
    Lines(String),
    #[error("{0} holds more than 64 KiB")]
    TooLarge(String),
    #[error("{0} is not UTF-8")]
    NotUtf8(String),
}

pub fn secret_or_file(value: &str) -> Result<String, SecretFileError> {
    match value.strip_prefix(SCHEME).map(Path::new) {
        None => Ok(value.to_owned()),
        Some(path) if path.is_absolute() => read(path).map(|(content, _)| content),
        Some(_) => Err(SecretFileError::Relative),
    }
}

impl SecretFileError {
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Relative => "write file:///path, or file://$CREDENTIALS_DIRECTORY/NAME",
            Self::NoCredentials => {
                "systemd sets it for a service with LoadCredential=; by hand, set it to a folder that holds such files"
            }
            Self::Missing(_) => "write the secret into it, or name another file",
            Self::NoCredential(_) => "add LoadCredential=NAME:/path to the unit, or name another one",
            Self::NotRegular(_) => "name a file with the secret in it",
            Self::Unreadable { remedy, .. } => remedy,
            Self::Empty(_) => "write the secret into it",
            Self::Lines(_) | Self::TooLarge(_) => "write the secret into it and nothing else",
            Self::NotUtf8(_) => "save it as UTF-8",
        }
    }
}

/// Whether every user of this machine may read a file, by its mode and the modes of its parent folders.
pub(crate) fn is_readable_by_all(path: &Path) -> bool {
    let has =
        |path: &Path, bit: u32| fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & bit != 0);
    let Ok(path) = path.canonicalize() else { return false };
    path.is_file() && has(&path, 0o004) && path.ancestors().skip(1).all(|folder| has(folder, 0o001))
}

pub(crate) fn read(path: &Path) -> Result<(String, bool), SecretFileError> {
    let name = || shown(path);
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => SecretFileError::Missing(name()),
        _ => {
            let remedy = read_remedy(&error);
            SecretFileError::Unreadable { name: name(), error: error.to_string(), remedy }
        }
    };
    let bytes = read_regular(path, MOST_BYTES).map_err(|error| match error {
        RegularFileError::Unreadable(error) => unreadable(error),
        RegularFileError::NotRegular => SecretFileError::NotRegular(name()),
        RegularFileError::TooLarge(_) => SecretFileError::TooLarge(name()),
    })?;
    let meta = fs::metadata(path).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| SecretFileError::NotUtf8(name()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err(SecretFileError::Empty(name())),
        line if line.contains(['\n', '\r', '\0']) => Err(SecretFileError::Lines(name())),
        line => Ok((line.to_owned(), meta.permissions().mode() & 0o006 != 0)),
    }
}

pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
