//! Warns of listeners that create the exchange of an OpenStack service.
//!
//! Commands that ask no broker, such as `explain`, omit these warnings.

use osnl_config::Warning;
use osnl_transport::Declare;

use super::LoadedConf;
use super::kinds::LISTENER;
use crate::actions::broker::exchange_of_service;

impl LoadedConf {
    #[must_use]
    pub fn service_exchanges(&self) -> Vec<Warning> {
        let creating = self.conf.listeners.iter().filter(|listener| listener.declare == Declare::Create);
        let warning = |(name, (problem, allowed)): (&str, (String, &str))| {
            Warning(self.finding(LISTENER, name, "declare", &problem).allowed(allowed))
        };
        creating
            .filter_map(|listener| {
                let found = exchange_of_service(listener.exchanges.iter().map(String::as_str))?;
                Some((&*listener.name, found))
            })
            .map(warning)
            .collect()
    }
}
