//! The hosts of a transport URL: the order of attempts, and the failure that is reported.

use std::sync::atomic::{AtomicUsize, Ordering};

use osnl_model::TransportHost;

use crate::error::TransportError;

/// The order of the hosts in each round of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverStrategy {
    Shuffle,
    /// Each round continues where the last ended, in an order that is made once.
    RoundRobin,
}

/// The port of AMQP, of both versions.
pub(crate) const DEFAULT_PORT: u16 = 5672;

/// Decides which host of a URL is tried first, and which after it.
#[derive(Debug)]
pub struct HostOrder {
    failover: FailoverStrategy,
    /// The order, random once, so that not all daemons begin with the same host.
    places: Vec<usize>,
    next: AtomicUsize,
}

impl HostOrder {
    #[must_use]
    pub fn new(hosts: usize, failover: FailoverStrategy) -> Self {
        let mut places: Vec<usize> = (0..hosts).collect();
        fastrand::shuffle(&mut places);
        Self { failover, places, next: AtomicUsize::new(0) }
    }

    /// A host that accepted and then failed is the last of the next round.
    pub(crate) fn round(&self) -> impl Iterator<Item = usize> {
        let mut places = self.places.clone();
        match self.failover {
            FailoverStrategy::Shuffle => fastrand::shuffle(&mut places),
            FailoverStrategy::RoundRobin => {}
        }
        (0..places.len()).map(move |_| {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            places[at % places.len()]
        })
    }

    /// Tries each host once, by its number, and returns the first success.
    ///
    /// If all fail, a refused login is reported before a refused certificate, and that before a refused connection: the
    /// operator has to correct it.
    pub async fn first<T, F: Future<Output = Result<T, TransportError>>>(
        &self,
        location: String,
        connect: impl Fn(usize) -> F,
    ) -> Result<T, TransportError> {
        let reason = "the transport URL names no host".to_owned();
        let mut worst = TransportError::Connect { host: location, reason };
        for host in self.round() {
            match connect(host).await {
                Ok(connection) => return Ok(connection),
                Err(failure) if rank(&worst) <= rank(&failure) => worst = failure,
                Err(_) => {}
            }
        }
        Err(worst)
    }
}

/// Returns `host:port`, with an IPv6 address in brackets.
#[must_use]
pub fn address(host: &TransportHost) -> String {
    address_or(host, DEFAULT_PORT)
}

/// Returns `host:port` with this port for a host without one.
#[must_use]
pub fn address_or(host: &TransportHost, port: u16) -> String {
    let (name, port) = (&host.hostname, host.port_or(port));
    if name.contains(':') { format!("[{name}]:{port}") } else { format!("{name}:{port}") }
}

/// Returns an address for comparison with others: RabbitMQ has one port for TLS, and one without it.
#[must_use]
pub fn plain_address(address: &str) -> String {
    match address.strip_suffix(":5671") {
        Some(name) => format!("{name}:{DEFAULT_PORT}"),
        None => address.to_owned(),
    }
}

/// Returns which of several hosts' failures is reported: the one that the operator has to correct is the highest.
fn rank(error: &TransportError) -> u8 {
    match error {
        TransportError::LoginRefused { .. } | TransportError::VirtualHostRefused { .. } => 2,
        TransportError::Handshake { .. } => 2,
        TransportError::Tls { .. } | TransportError::NotAmqp { .. } => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_every_host_once() {
        for failover in [FailoverStrategy::Shuffle, FailoverStrategy::RoundRobin] {
            let order = HostOrder::new(5, failover);
            for _ in 0..20 {
                let mut round: Vec<usize> = order.round().collect();
                round.sort_unstable();
                assert_eq!(round, [0, 1, 2, 3, 4], "{failover:?}");
            }
        }
        assert_eq!(HostOrder::new(0, FailoverStrategy::RoundRobin).round().count(), 0);
    }

    #[test]
    fn round_robin_goes_on_where_it_stood() {
        let order = HostOrder::new(3, FailoverStrategy::RoundRobin);
        let all: Vec<usize> = order.round().collect();
        assert_eq!(order.round().next(), Some(all[0]));
        assert_eq!(order.round().collect::<Vec<_>>(), [all[1], all[2], all[0]]);
    }
}
