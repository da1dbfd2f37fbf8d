//! A bad network on loopback: a TCP proxy that passes bytes, or does to them what networks do.
//!
//! A test gives its client the proxy's port instead of the server's. What happens to connections, those that are
//! open and those to come, is a [`NetworkFault`] that can be changed at any time; [`FaultyProxy::cut`] ends the open
//! ones. The proxy knows no protocol: it stands before a broker as well as before an HTTP target.

mod frames;
mod relay;

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::{ports, wait};

/// The behaviour of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFault {
    /// Bytes pass.
    None,
    /// Connections are accepted and stay open, but not a byte passes, either way: half-open TCP, as when a
    /// firewall has forgotten the connection. What came in meanwhile passes when this ends. A server that is away is as silent.
    Stall,
    /// Each piece of bytes passes after this long.
    Delay(Duration),
    /// Each connection, open or to come, is cut once this many more bytes have come from the server.
    CutAfter(u64),
    /// PostgreSQL's answer to COMMIT is lost: a connection is cut when it has passed a COMMIT and the answer comes.
    LoseCommit,
    /// There is no listener: new connections are refused. Open ones go on.
    Refuse,
    /// Drops messages that the broker pushes on AMQP connections opened meanwhile, while replies and heartbeats pass:
    /// a broker that is slow, to its consumers only. They do not come later.
    NoDeliveries,
}

/// The proxy. Stops when dropped, and cuts what is open.
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
    /// Rings with every change of the fault.
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
    /// A proxy on a free port of 127.0.0.1 for the server at this port of 127.0.0.1.
    #[must_use]
    pub fn before(port: u16) -> Self {
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let state =
            ProxyState { fault: NetworkFault::None, stopped: false, accepted: 0, cuts: 0, open: Vec::new() };
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let shared = Arc::new(SharedProxy { server, state: Mutex::new(state), changed: Condvar::new() });
        let proxy = Self { address, shared, accepting: Mutex::new(None) };
        proxy.listen(listener);
        proxy
    }

    /// The port for the client; it stays the same, also over [`NetworkFault::Refuse`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on, for open connections and new ones.
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
            | NetworkFault::LoseCommit
            | NetworkFault::NoDeliveries
                if refused =>
            {
                // The kernel may hold on to the port for a moment.
                let mut listener = None;
                wait::reached(Duration::from_secs(10), &mut || {
                    listener = TcpListener::bind(self.address).ok();
                    listener.is_some()
                });
                self.listen(listener.expect("the proxy's port is still free"));
            }
            NetworkFault::None
            | NetworkFault::Stall
            | NetworkFault::Delay(_)
            | NetworkFault::CutAfter(_)
            | NetworkFault::LoseCommit
            | NetworkFault::NoDeliveries => {}
        }
    }

    /// Resets every open connection (RST), on both sides, and answers how many there were.
    pub fn cut(&self) -> usize {
        let mut state = self.shared.state.lock().unwrap();
        let open: Vec<_> = state.open.drain(..).collect();
        let alive = open.into_iter().filter(|pair| pair.cut()).count();
        state.cuts += alive;
        drop(state);
        self.shared.changed.notify_all();
        alive
    }

    /// Returns the number of accepted connections so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.state.lock().unwrap().accepted
    }

    /// Returns the number of cut connections so far, by [`FaultyProxy::cut`] or [`NetworkFault::CutAfter`].
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
                    // A server that is away: what a client sees of a proxy then is a connection that ends at once, or one
                    // on which nothing comes.
                    unanswered.retain(|_| is_silent);
                    unanswered.extend(is_silent.then_some(client));
                    continue;
                };
                relay::start(&shared, client, server);
            }
        });
        *self.accepting.lock().unwrap() = Some(accepting);
    }

    /// A connection of our own makes the loop look at the state.
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

    /// As a machine that has lost its power, and as one on which the server has ended.
    #[test]
    fn a_server_that_is_away_is_silent_on_request() {
        let proxy = FaultyProxy::before(ports::closed_port());
        let answer = || {
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
            client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            client.read(&mut [0]).map_err(|error| error.kind())
        };
        proxy.set(NetworkFault::Stall);
        assert_eq!(answer(), Err(ErrorKind::WouldBlock));
        proxy.set(NetworkFault::None);
        assert!(matches!(answer(), Ok(0) | Err(ErrorKind::ConnectionReset)));
    }
}
