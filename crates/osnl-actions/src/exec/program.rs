//! The command of a process: words, never a shell, in an environment without the daemon's own
//! variables.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use osnl_model::mask_text;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use tokio::process::Command;

const ENVIRONMENT: [(&str, &str); 2] =
    [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("LANG", "C.UTF-8")];

/// A program and its surroundings. Its Debug form shows no value of the environment, and only the
/// first word.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments. A name without a slash is searched in `PATH`.
    pub command: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub working_dir: PathBuf,
}

impl Program {
    pub fn new<T: Into<String>>(command: impl IntoIterator<Item = T>) -> Self {
        let command = command.into_iter().map(Into::into).collect();
        Self { command, environment: Vec::new(), working_dir: "/".into() }
    }

    /// Returns the name for people. Arguments written with spaces are part of the name, so its secrets are masked.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        mask_text(self.executable())
    }

    fn executable(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    pub(crate) fn locate(&self) -> Result<PathBuf, String> {
        let name = self.executable();
        let path = match name.contains('/') {
            true => Some(PathBuf::from(name)),
            false => self.folders().map(|folder| folder.join(name)).find(|path| path.is_file()),
        };
        let Some(path) = path else {
            return Err(self.refusal(&Errno::NOENT.into()));
        };
        match accessat(CWD, &path, Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) if path.is_file() && self.working_dir.is_dir() => Ok(path),
            Ok(()) => Err(self.refusal(&Errno::ACCESS.into())),
            Err(error) => Err(self.refusal(&error.into())),
        }
    }

    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let own = self.environment.iter().rev().find(|(name, _)| name == "PATH");
        let path = own.map_or(ENVIRONMENT[0].1, |(_, value)| value);
        std::env::split_paths(path)
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(self.executable());
        command
            .args(self.command.iter().skip(1))
            .env_clear()
            .envs(ENVIRONMENT)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.working_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    pub(super) fn refusal(&self, error: &io::Error) -> String {
        let name = self.executable();
        let help = match error.kind() {
            _ if !self.working_dir.is_dir() => {
                format!("; its working_dir {} is not a folder", self.working_dir.display())
            }
            io::ErrorKind::NotFound if !name.contains('/') => "; it is in no folder of its PATH".to_owned(),
            // The kernel reports the same error for a missing interpreter in a script's first line.
            io::ErrorKind::NotFound if Path::new(name).exists() => {
                "; the interpreter in its first line does not exist".to_owned()
            }
            io::ErrorKind::PermissionDenied => "; it must be executable for the user of osnl".to_owned(),
            _ if error.raw_os_error() == Some(8) => "; a script needs #! in its first line".to_owned(),
            _ => String::new(),
        };
        format!("{} cannot be started: {error}{help}", self.name())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Program")
            .field("name", &self.name())
            .field("environment", &names)
            .field("working_dir", &self.working_dir)
            .finish_non_exhaustive()
    }
}
