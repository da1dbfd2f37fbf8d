//! The refusals of a start that a check can foresee: unusable certificates, keys, and proxies.
//!
//! The clients of listeners, actions, and enrichments are built and dropped, without connections or written files.

use std::path::Path;
use std::sync::Arc;

use osnl_config::ConfigError;

use super::error::BuildError;
use crate::action::driver::{ACTION, BuildContext, DriverError, ENRICH, Logins};
use crate::action::http::{HttpError, HttpOptions};
use crate::native::schema::LISTENER;
use crate::native::{LoadedConf, Native};

impl Native {
    /// Returns every reason why a start would refuse a client of this configuration.
    #[must_use]
    pub fn refusals(&self, http: &HttpOptions) -> Vec<BuildError> {
        let (logins, counters) = (Logins::default(), Arc::default());
        let mut refusals = Vec::new();
        // A listener without an enabled rule is not started.
        for (conf, _) in self.heard() {
            let error = |error| BuildError::Transport { listener: conf.name.clone(), error };
            refusals.extend(conf.transport().err().map(error));
        }
        for conf in &self.actions {
            let context = BuildContext { name: &conf.name, http, logins: &logins, counters: &counters };
            refusals.extend(conf.driver.conf().action(&context).err().map(BuildError::from));
        }
        for conf in &self.enrichments {
            let error = |error| BuildError::Enrich { name: conf.name.clone(), error };
            refusals.extend(logins.cloud(&conf.cloud, http, conf.limits.timeout).err().map(error));
        }
        refusals
    }
}

impl LoadedConf {
    #[must_use]
    pub fn refusals(&self, http: &HttpOptions) -> Vec<ConfigError> {
        self.conf.refusals(http).iter().map(|error| self.refusal(error)).collect()
    }

    #[must_use]
    pub fn refusal_of_section(&self, section: &str, problem: &str) -> ConfigError {
        ConfigError(self.finding_of_file(section, "", None, problem))
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
            BuildError::NoState { .. }
            | BuildError::State { .. }
            | BuildError::OpenState(_)
            | BuildError::Journal { .. }
            | BuildError::Database { .. }
            | BuildError::StateInUse { .. } => at("", "", None, error.to_string()),
        }
    }
}

fn file_of(error: &HttpError) -> Option<&Path> {
    match error {
        HttpError::Ca { path, .. } | HttpError::Certificate { path, .. } => Some(path),
        HttpError::NoRoots { .. } | HttpError::Tls(_) | HttpError::Name(_) | HttpError::Proxy(_) => None,
    }
}
