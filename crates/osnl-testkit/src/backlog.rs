use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::ports;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(150);
const MOST: usize = 64;

/// A port of 127.0.0.1 where every attempt to connect ends by its caller's time-out, as behind a firewall that drops
/// packets. The server ends when dropped.
#[derive(Debug)]
pub struct FullBacklog {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl FullBacklog {
    #[must_use]
    pub fn start() -> Self {
        let listener = ports::listen();
        // A second `listen` changes the length of the backlog.
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            waiting.push(stream);
            assert!(waiting.len() < MOST, "the queue at {address} takes everybody");
        }
        Self { address, _listener: listener, _waiting: waiting }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}
