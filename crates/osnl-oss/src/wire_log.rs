//! The log line of oss_watcher's that monitoring looks for when the broker is away, word for word; once per outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::conf::LoadedConf;
use osnl::assembly::BuildError;
use osnl::daemon::Daemon;
use osnl::listener::ConnectionObserver;
use osnl_core::metrics::Counters;
use osnl_http::HttpOptions;

impl LoadedConf {
    /// Returns the daemon, with the program's own words for a broker that is away.
    ///
    /// # Errors
    /// As [`Native::daemon`](osnl::native::Native::daemon).
    pub fn daemon(&self, http: &HttpOptions, counters: &Arc<Counters>) -> Result<Daemon, BuildError> {
        let daemon = self.native.conf.daemon(http, counters)?;
        Ok(daemon.observing_connections(&(Arc::new(OutageLog::default()) as Arc<dyn ConnectionObserver>)))
    }
}

/// Logs the beginning of each outage of the broker.
#[derive(Default)]
struct OutageLog {
    away: AtomicBool,
}

impl ConnectionObserver for OutageLog {
    fn attempted(&self, is_connected: bool) {
        if !self.away.swap(!is_connected, Ordering::Relaxed) && !is_connected {
            tracing::warn!(target: "oss_watcher::service", "Rabbit service is unavailable");
        }
    }
}
