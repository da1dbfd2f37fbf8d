//! A bad network on loopback: a TCP proxy that passes, delays or cuts bytes.
//!
//! A test gives its client the proxy's port instead of the server's. A [`NetworkFault`] applies to open and to future
//! connections, and a test can change it at any time.

mod frames;
mod relay;

use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::ports;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFault {
    None,
    /// No byte passes either way on open connections: half-open TCP, as when a firewall has forgotten the connection.
    /// Held bytes pass when the fault ends.
    Stall,
    Delay(Duration),
    CutAfter(u64),
    Refuse,
    /// Messages on AMQP connections opened meanwhile are lost, while replies and heartbeats pass, as from a broker
    /// that is slow to its consumers only.
    NoDeliveries,
}

#[derive(Debug)]
pub struct FaultyProxy {
    address: SocketAddr,
    shared: Arc<SharedProxy>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct SharedProxy {
    server: SocketAddr,
    state: Mutex<ProxyState>,
    changed: Condvar,
}

#[derive(Debug)]
struct ProxyState {
    fault: NetworkFault,
    stopped: bool,
    accepted: usize,
    cuts: usize,
    open: Vec<Arc<relay::RelayPair>>,
}

impl FaultyProxy {
    #[must_use]
    pub fn before(port: u16) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), port)
    }

    #[must_use]
    pub fn at(address: IpAddr, port: u16) -> Self {
        let listener = ports::listen_at(address);
        let address = listener.local_addr().unwrap();
        let state =
            ProxyState { fault: NetworkFault::None, stopped: false, accepted: 0, cuts: 0, open: Vec::new() };
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let shared = Arc::new(SharedProxy { server, state: Mutex::new(state), changed: Condvar::new() });
        let proxy = Self { address, shared, accepting: Mutex::new(None) };
        proxy.listen(listener);
        proxy
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn set(&self, fault: NetworkFault) {
        let refused = self.accepting.lock().unwrap().is_none();
        {
            let mut state = self.shared.state.lock().unwrap();
            state.fault = fault;
            for pair in &state.open {
                pair.allow(fault);
            }
        }
        self.shared.changed.notify_all();
        match fault {
            NetworkFault::Refuse => self.stop_listening(),
            NetworkFault::None
            | NetworkFault::Stall
            | NetworkFault::Delay(_)
            | NetworkFault::CutAfter(_)
            | NetworkFault::NoDeliveries
                if refused =>
            {
                self.listen(ports::listen_again(self.address));
            }
            _ => {}
        }
    }

    pub fn cut(&self) -> usize {
        let mut state = self.shared.state.lock().unwrap();
        let open: Vec<_> = state.open.drain(..).collect();
        let alive = open.into_iter().filter(|pair| pair.cut()).count();
        state.cuts += alive;
        drop(state);
        self.shared.changed.notify_all();
        alive
    }

    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.state.lock().unwrap().accepted
    }

    #[must_use]
    pub fn cuts(&self) -> usize {
        self.shared.state.lock().unwrap().cuts
    }

    fn listen(&self, listener: TcpListener) {
        let shared = self.shared.clone();
        let accepting = std::thread::spawn(move || {
            let mut unanswered = Vec::new();
            for client in listener.incoming() {
                let state = shared.state.lock().unwrap();
                if state.stopped || state.fault == NetworkFault::Refuse {
                    return;
                }
                let is_silent = state.fault == NetworkFault::Stall;
                drop(state);
                let Ok(client) = client else { continue };
                let Ok(server) = TcpStream::connect(shared.server) else {
                    unanswered.retain(|_| is_silent);
                    unanswered.extend(is_silent.then_some(client));
                    continue;
                };
                relay::start(&shared, client, server);
            }
        });
        *self.accepting.lock().unwrap() = Some(accepting);
    }

    /// The accept loop looks at the state only after a connection, hence one of our own.
    fn stop_listening(&self) {
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            if let Ok(waking) = TcpStream::connect(self.address) {
                let _ = waking.shutdown(Shutdown::Both);
            }
            let _ = accepting.join();
        }
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().stopped = true;
        self.stop_listening();
        self.cut();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _};

    use super::*;

    #[test]
    fn a_server_that_is_away_is_silent_on_request() {
        let proxy = FaultyProxy::before(ports::closed_port());
        let answer = |within: Duration| {
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
            client.set_read_timeout(Some(within)).unwrap();
            client.read(&mut [0]).map_err(|error| error.kind())
        };
        proxy.set(NetworkFault::Stall);
        assert_eq!(answer(Duration::from_millis(100)), Err(ErrorKind::WouldBlock));
        proxy.set(NetworkFault::None);
        assert!(matches!(answer(Duration::from_secs(60)), Ok(0) | Err(ErrorKind::ConnectionReset)));
    }
}
