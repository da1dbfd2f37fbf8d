use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::conf::LoadedConf;
use osnl::assembly::BuildError;
use osnl::control::ControlHandler;
use osnl::daemon::Daemon;
use osnl::listener::ConnectionObserver;
use osnl_core::metrics::Counters;
use osnl_net::http::HttpOptions;

impl LoadedConf {
    pub fn daemon(
        &self,
        http: &HttpOptions,
        counters: &Arc<Counters>,
    ) -> Result<(Daemon, Arc<ControlHandler>), BuildError> {
        let (daemon, handler) = self.native.conf.daemon_and_handler(http, counters)?;
        let observer: Arc<dyn ConnectionObserver> = Arc::new(OutageLog::default());
        Ok((daemon.observing_connections(&observer), handler))
    }
}

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
