use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, ServerConnection, WantsVerifier};

use super::{Authority, Certificate, Handshake, Protocols};
use crate::Sink;

pub(crate) fn config(certificate: &Certificate, protocols: Protocols) -> ServerConfig {
    // Unlike `with_single_cert`, this code accepts a certificate of version 1.
    let key = rustls::crypto::ring::sign::any_supported_type(&certificate.key()).unwrap();
    let shown = SingleCertAndKey::from(CertifiedKey::new(certificate.chain(), key));
    builder(protocols).with_no_client_auth().with_cert_resolver(Arc::new(shown))
}

pub(crate) fn config_asking(
    certificate: &Certificate,
    protocols: Protocols,
    clients: &Authority,
) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(clients.file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    builder(protocols)
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificate.chain(), certificate.key())
        .unwrap()
}

fn builder(protocols: Protocols) -> ConfigBuilder<ServerConfig, WantsVerifier> {
    let versions = match protocols {
        Protocols::Tls12And13 => vec![&TLS12, &TLS13],
        Protocols::Tls12 => vec![&TLS12],
        Protocols::Tls13 => vec![&TLS13],
    };
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&versions)
        .unwrap()
}

pub(super) fn handshake(
    stream: &TcpStream,
    config: Arc<ServerConfig>,
) -> (Handshake, Option<ServerConnection>) {
    let mut connection = ServerConnection::new(config).unwrap();
    let mut tcp = stream;
    let mut done = Ok(());
    while connection.is_handshaking() && done.is_ok() {
        done = connection.complete_io(&mut tcp).map(|_| ());
    }
    let name = connection.server_name().map(str::to_owned);
    match done {
        Ok(()) => {
            let version = connection.protocol_version().map(|version| format!("{version:?}"));
            (Handshake { name, version: version.ok_or_else(String::new) }, Some(connection))
        }
        Err(error) => (Handshake { name, version: Err(error.to_string()) }, None),
    }
}

pub(super) fn forward(stream: &TcpStream, connection: ServerConnection, sink: &Sink) {
    let Ok(behind) = TcpStream::connect((Ipv4Addr::LOCALHOST, sink.port())) else { return };
    let connection = Mutex::new(connection);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = replies(stream, &behind, &connection);
            let _ = stream.shutdown(Shutdown::Both);
        });
        let _ = requests(stream, &behind, &connection);
        let _ = behind.shutdown(Shutdown::Both);
    });
}

fn requests(mut stream: &TcpStream, mut behind: &TcpStream, tls: &Mutex<ServerConnection>) -> io::Result<()> {
    let mut plain = Vec::new();
    let mut buffer = [0_u8; 16 * 1024];
    loop {
        // Data of the handshake's last packet is buffered already, so the loop takes first and then waits.
        let mut connection = tls.lock().unwrap();
        match connection.reader().read_to_end(&mut plain) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        drop(connection);
        behind.write_all(&std::mem::take(&mut plain))?;

        // The read happens without the lock, because replies need the lock meanwhile.
        let read = stream.read(&mut buffer)?;
        let mut bytes = &buffer[..read];
        let mut connection = tls.lock().unwrap();
        loop {
            connection.read_tls(&mut bytes)?;
            connection.process_new_packets().map_err(io::Error::other)?;
            connection.reader().read_to_end(&mut plain).ok();
            if bytes.is_empty() {
                break;
            }
        }
        while connection.wants_write() {
            connection.write_tls(&mut stream)?;
        }
        drop(connection);
        if read == 0 {
            return Ok(());
        }
    }
}

fn replies(mut stream: &TcpStream, mut behind: &TcpStream, tls: &Mutex<ServerConnection>) -> io::Result<()> {
    let mut buffer = [0_u8; 16 * 1024];
    loop {
        let read = behind.read(&mut buffer)?;
        let mut connection = tls.lock().unwrap();
        if read == 0 {
            connection.send_close_notify();
        }
        connection.writer().write_all(&buffer[..read])?;
        while connection.wants_write() {
            connection.write_tls(&mut stream)?;
        }
        if read == 0 {
            return Ok(());
        }
    }
}
