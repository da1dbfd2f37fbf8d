//! `openssl`, a dependency of RabbitMQ's package, makes the certificates. TLS 1.2 and 1.3 are rustls's; `openssl
//! s_server` has TLS 1.1, which rustls lacks.

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    Tls12And13,
    Tls12,
    Tls13,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    pub name: Option<String>,
    pub version: Result<String, String>,
}

#[derive(Debug)]
pub struct TlsSink {
    sink: Arc<Sink>,
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
    accepting: Option<JoinHandle<()>>,
}

impl TlsSink {
    #[must_use]
    pub fn start(certificate: &Certificate, protocols: Protocols) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), certificate, protocols)
    }

    #[must_use]
    pub fn start_asking(certificate: &Certificate, protocols: Protocols, clients: &Authority) -> Self {
        let config = serve::config_asking(certificate, protocols, clients);
        Self::start_with(Ipv4Addr::LOCALHOST.into(), config)
    }

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

    #[must_use]
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port())
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    #[must_use]
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

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
        // `accept` returns only for a connection, hence a last one.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        // The sink's end also closes the connections that are still open.
        self.sink.stop();
    }
}
