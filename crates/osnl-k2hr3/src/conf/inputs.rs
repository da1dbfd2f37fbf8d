//! The inputs that k2hr3_osnl reads beside its file without mentioning them, by way of oslo.config.
//!
//! Measured with k2hr3_osnl 1.0.8 and oslo.config 10.7.0:
//!
//! - `PROG.conf.d`, where PROG is the name the program was called by (`k2hr3-osnl` as installed, the name of a
//!   link if there is one; a `.py` at its end is dropped): the first of `~/PROG.conf.d` and `/etc/PROG.conf.d` that
//!   exists, only that one; its `*.conf` sorted by name. The file of `-c` is read after them, so it wins and the
//!   folder fills in what it leaves out.
//! - `OS_<GROUP>__<OPTION>` of the environment, above all files, subject to `$name` like any other value.
//! - Not read: `~/.PROG/`, `/etc/PROG/`, `~/PROG.conf`: k2hr3_osnl gives oslo.config no project's name.

use std::path::{Path, PathBuf};

use osnl_config::{Environment, files_of};

use super::ConfError;

/// Inputs beside the file of `-c`, from oslo.config: the environment's `OS_<GROUP>__<OPTION>` above the file, and
/// below it the `*.conf` of the first `PROG.conf.d` that exists. The default has none.
#[derive(Clone, Debug, Default)]
pub struct HiddenInputs {
    /// `OS_<GROUP>__<OPTION>`; other variables are not looked at.
    pub environment: Environment,
    /// The folders of which the first that exists is read.
    pub folders: Vec<PathBuf>,
}

impl HiddenInputs {
    /// None: the file is all there is.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Those of a program called `program`, for a user whose home folder is `home`.
    #[must_use]
    pub fn of(program: &str, home: Option<&Path>, environment: Environment) -> Self {
        let folder = format!("{}.conf.d", program.strip_suffix(".py").unwrap_or(program));
        let folders = home.into_iter().chain([Path::new("/etc")]).map(|place| place.join(&folder)).collect();
        Self { environment, folders }
    }

    /// The files that count, weakest first.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, ConfError> {
        match self.folders.iter().find(|folder| folder.exists()) {
            // A plain file of that name holds no files: oslo.config passes over it.
            Some(folder) if !folder.is_dir() => Ok(Vec::new()),
            Some(folder) => {
                files_of(folder).map_err(|error| ConfError::Unreadable { path: folder.clone(), error })
            }
            None => Ok(Vec::new()),
        }
    }
}
