//! The inputs that k2hr3_osnl reads beside its file through oslo.config, which its manual does not
//! mention.
//!
//! Measured with k2hr3_osnl 1.0.8 and oslo.config 10.7.0:
//!
//! - `PROG.conf.d`, the first existing of `~/PROG.conf.d` and `/etc/PROG.conf.d`, with its `*.conf`
//!   sorted by name. PROG is the called name of the program (`k2hr3-osnl` as installed, or the name
//!   of a link, without `.py`). The file of `-c` is read later and wins.
//! - `OS_<GROUP>__<OPTION>` of the environment, above all files, with `$name` as in any value.
//! - Not read: `~/.PROG/`, `/etc/PROG/`, `~/PROG.conf`, because k2hr3_osnl gives oslo.config no
//!   project name.

use std::path::{Path, PathBuf};

use osnl_config::{Environment, files_of};

use super::ConfError;

#[derive(Clone, Debug, Default)]
pub struct HiddenInputs {
    pub environment: Environment,
    pub folders: Vec<PathBuf>,
}

impl HiddenInputs {
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn new(program: &str, home: Option<&Path>, environment: Environment) -> Self {
        let folder = format!("{}.conf.d", program.strip_suffix(".py").unwrap_or(program));
        let folders = home.into_iter().chain([Path::new("/etc")]).map(|place| place.join(&folder)).collect();
        Self { environment, folders }
    }

    pub(super) fn files(&self) -> Result<Vec<PathBuf>, ConfError> {
        match self.folders.iter().find(|folder| folder.exists()) {
            Some(folder) if !folder.is_dir() => Ok(Vec::new()),
            Some(folder) => {
                files_of(folder).map_err(|error| ConfError::Unreadable { path: folder.clone(), error })
            }
            None => Ok(Vec::new()),
        }
    }
}
