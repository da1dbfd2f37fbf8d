//! The refusals of a start that a check can foresee: unusable places, certificates, keys, and proxies.
//!
//! The clients of listeners, actions, and enrichments are built and dropped, without connections or written files. A
//! place that this user may not use is no refusal, because a daemon has a user of its own.

use std::io;
use std::path::Path;
use std::sync::Arc;

use osnl_config::ConfigError;

use super::error::BuildError;
use crate::action::driver::{ACTION, BuildContext, DriverError, ENRICH, SharedValues};
use crate::action::http::{HttpError, HttpOptions};
use crate::actions::cloud::Logins;
use crate::journal::sqlite::{self, OpenError};
use crate::native::kinds::{DEFAULT, JOURNAL, LISTENER};
use crate::native::{JournalConf, LoadedConf, Native};
use crate::state_dir::UnsafePlace;

impl Native {
    #[must_use]
    pub fn refusals(&self, http: &HttpOptions) -> Vec<BuildError> {
        let (shared, counters) = (SharedValues::default(), Arc::default());
        let logins = shared.value::<Logins>();
        let mut refusals: Vec<BuildError> = self.unusable_place().into_iter().collect();
        // A listener without an enabled rule is not started.
        for (conf, _) in self.heard() {
            let error = |error| BuildError::Transport { listener: conf.name.clone(), error };
            refusals.extend(conf.transport().err().map(error));
        }
        for conf in &self.actions {
            let context = BuildContext { name: &conf.name, http, shared: &shared, counters: &counters };
            refusals.extend(conf.driver.conf().action(&context).err().map(BuildError::from));
        }
        for conf in &self.enrichments {
            let error = |error| BuildError::Enrich { name: conf.name.clone(), error };
            refusals.extend(logins.cloud(&conf.cloud, http, conf.limits.timeout).err().map(error));
        }
        refusals
    }

    fn unusable_place(&self) -> Option<BuildError> {
        let folder = self.state_folder();
        let is_root = rustix::process::geteuid().is_root();
        // Another user's folder is that of the daemon's user, if root does not ask.
        let is_of_daemon = |error: &UnsafePlace| !is_root && matches!(error, UnsafePlace::Foreign { .. });
        if let Some(Err(error)) = folder.as_deref().map(crate::state_dir::judge_for_any)
            && !is_of_daemon(&error)
        {
            return Some(error.into());
        }
        let concerns_all = |error: &io::Error| error.kind() != io::ErrorKind::PermissionDenied;
        if let JournalConf::Sqlite(options) = &self.journal {
            match sqlite::inspect(options) {
                Err(OpenError::Io(error)) if !concerns_all(&error) => {}
                Err(OpenError::Open(error)) if is_of_daemon(&error) => {}
                Err(error) => return Some(BuildError::Journal { path: options.path.clone(), error }),
                Ok(_) => {}
            }
        }
        None
    }
}

impl LoadedConf {
    #[must_use]
    pub fn refusals(&self, http: &HttpOptions) -> Vec<ConfigError> {
        self.conf.refusals(http).iter().map(|error| self.refusal(error)).collect()
    }

    #[must_use]
    pub fn refusal_at(&self, section: &str, option: &str, problem: &str) -> ConfigError {
        ConfigError(self.finding(section, "", option, problem))
    }

    fn refusal(&self, error: &BuildError) -> ConfigError {
        let at = |kind: &str, name: &str, file: Option<&Path>, problem: String| {
            ConfigError(self.finding_of_file(kind, name, file, &problem))
        };
        match error {
            BuildError::Transport { listener, error } => at(LISTENER, listener, None, error.to_string()),
            BuildError::Action(DriverError::Http { action, error }) => {
                at(ACTION, action, file_of(error), error.to_string())
            }
            BuildError::Action(DriverError::Other { action, problem }) => {
                at(ACTION, action, None, problem.clone())
            }
            BuildError::Enrich { name, error } => at(ENRICH, name, file_of(error), error.to_string()),
            BuildError::OpenState(error) => self.refusal_at(DEFAULT, "state_dir", &error.to_string()),
            BuildError::Journal { path, error } => {
                let problem = format!("{}: {error}", path.display());
                self.refusal_at(JOURNAL, "connection", &problem)
            }
            BuildError::State { .. } | BuildError::StateInUse { .. } => at("", "", None, error.to_string()),
        }
    }
}

fn file_of(error: &HttpError) -> Option<&Path> {
    match error {
        HttpError::Ca { path, .. } | HttpError::Certificate { path, .. } => Some(path),
        _ => None,
    }
}
