use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::conf::LoadedConf;
use crate::incidents;
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
        let hosts = self.native.conf.listeners.iter().flat_map(|listener| listener.transport_url.hosts());
        let hosts = hosts.map(|host| format!("{}:{}", host.hostname, host.port_or(5672))).collect();
        let observer: Arc<dyn ConnectionObserver> =
            Arc::new(OutageLog { hosts, away: AtomicBool::default() });
        let daemon = daemon.observing_connections(&observer);
        Ok((incidents::logged(daemon, handler.clone()), handler))
    }
}

/// The lines of oss_watcher, and of its client library, about connections.
struct OutageLog {
    hosts: Vec<String>,
    away: AtomicBool,
}

impl ConnectionObserver for OutageLog {
    fn connecting(&self) {
        for host in &self.hosts {
            tracing::info!(target: "oss_watcher::base_connection", "Connecting to {host}");
        }
    }

    fn attempted(&self, is_connected: bool) {
        if !self.away.swap(!is_connected, Ordering::Relaxed) && !is_connected {
            tracing::warn!(target: "oss_watcher::service", "Rabbit service is unavailable");
        }
    }
}
