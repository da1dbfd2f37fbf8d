//! A target behind TLS, and what clients must refuse: wrong certificates, old protocols.
//!
//! The certificates are made on the spot by `openssl`, which RabbitMQ's package depends on. TLS 1.2 and 1.3 are
//! rustls's; for TLS 1.1, which rustls does not have, `openssl s_server` is there.

mod certificate;
mod old;
pub(crate) mod serve;

pub use certificate::{Authority, Certificate, ServerIdentity};
pub use old::OldServer;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::ServerConfig;

use crate::{Sink, ports};

/// The protocols of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// TLS 1.2 and 1.3.
    Tls12And13,
    /// TLS 1.2 only.
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// The result of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The name that the client asked for (SNI), if the server came to know it.
    pub name: Option<String>,
    /// `TLSv1_3`, …; why there was none otherwise.
    pub version: Result<String, String>,
}

/// A [`Sink`] behind TLS. Stops when dropped.
#[derive(Debug)]
pub struct TlsSink {
    sink: Arc<Sink>,
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
    accepting: Option<JoinHandle<()>>,
}

impl TlsSink {
    /// Listens on a free port of 127.0.0.1.
    #[must_use]
    pub fn start(certificate: &Certificate, protocols: Protocols) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), certificate, protocols)
    }

    /// The same for clients that show a certificate of this authority; others are refused.
    #[must_use]
    pub fn start_asking(certificate: &Certificate, protocols: Protocols, clients: &Authority) -> Self {
        let config = serve::config_asking(certificate, protocols, clients);
        Self::start_with(Ipv4Addr::LOCALHOST.into(), config)
    }

    /// Listens on a free port of this address.
    ///
    /// # Panics
    /// When the machine has no such address.
    #[must_use]
    pub fn start_at(address: IpAddr, certificate: &Certificate, protocols: Protocols) -> Self {
        Self::start_with(address, serve::config(certificate, protocols))
    }

    fn start_with(address: IpAddr, config: ServerConfig) -> Self {
        let listener = ports::listen_at(address);
        let address = listener.local_addr().unwrap();
        let mut tls = Self {
            sink: Arc::new(Sink::start()),
            address,
            stopped: Arc::default(),
            handshakes: Arc::default(),
            accepting: None,
        };
        tls.accepting = Some(tls.accept(listener, Arc::new(config)));
        tls
    }

    /// `https://`, this host, the port, and the path.
    #[must_use]
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port())
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the sink behind it: it records what came through TLS, and can be told to fail.
    #[must_use]
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// The connections so far, in the order in which their handshakes ended.
    #[must_use]
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.handshakes.lock().unwrap().clone()
    }

    fn accept(&self, listener: TcpListener, config: Arc<ServerConfig>) -> JoinHandle<()> {
        let (sink, stopped) = (Arc::clone(&self.sink), Arc::clone(&self.stopped));
        let handshakes = Arc::clone(&self.handshakes);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (sink, config) = (Arc::clone(&sink), Arc::clone(&config));
                let handshakes = Arc::clone(&handshakes);
                std::thread::spawn(move || {
                    let (handshake, connection) = serve::handshake(&stream, config);
                    handshakes.lock().unwrap().push(handshake);
                    if let Some(connection) = connection {
                        serve::forward(&stream, connection, &sink);
                    }
                });
            }
        })
    }
}

impl Drop for TlsSink {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // `accept` returns only for a connection: this is its last one.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        // Closes what is behind, and with it the connections that are still open.
        self.sink.stop();
    }
}
