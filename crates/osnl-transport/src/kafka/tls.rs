//! The reason why TLS with a broker fails. The client library tells only that a certificate was not verified; a handshake of
//! our own tells which one, and why. Of a port with TLS that is asked without, the library tells nothing.

use std::io::Read as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use osnl_tls::{CommonName, Refusal, Remedies};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use super::settings::Settings;
use crate::TransportError;

/// The longest wait for each answer of the broker.
const ANSWER: Duration = Duration::from_secs(3);

/// The longest wait for the answer of a port that has said nothing so far.
const TLS_ANSWER: Duration = Duration::from_secs(1);
/// The first two bytes of an answer with TLS: an alert or a handshake, of any version since SSL 3.
const OF_TLS: [[u8; 2]; 2] = [[0x15, 3], [0x16, 3]];

/// For a broker.
const REMEDIES: Remedies = Remedies {
    trust: "name the CA's certificate in ssl_cafile",
    renewed: "ssl_cafile",
    plain: "is this the broker's port without TLS? Then set security_protocol to PLAINTEXT, or SASL_PLAINTEXT with a login",
    identity: "set ssl_client_cert_file and ssl_client_key_file",
};

/// Returns the same error, with the reason of a handshake of our own if it is about TLS. Blocks.
pub(super) fn explained(settings: &Settings, error: TransportError) -> TransportError {
    let (host, reason, remedy) = match error {
        TransportError::Tls { host, reason, remedy } => (host, reason, remedy),
        // A broker without TLS may reset the connection before the library has seen what it is.
        TransportError::Connect { host, reason }
            if settings.asks_for_tls() && reason.starts_with("Disconnected") =>
        {
            return match refusal(settings, &host) {
                Some(refusal) if refusal.reason.starts_with("the server ended the connection") => {
                    TransportError::no_tls(
                        host,
                        Refusal { remedy: Some(REMEDIES.plain.to_owned()), ..refusal },
                    )
                }
                Some(refusal) => TransportError::no_tls(host, refusal),
                None => TransportError::Connect { host, reason },
            };
        }
        other => return other,
    };
    match refusal(settings, &host) {
        // The library has seen that it is no TLS.
        Some(refusal) if reason.contains("PLAINTEXT") => {
            let remedy = Some(REMEDIES.plain.to_owned());
            TransportError::no_tls(host, Refusal { remedy, ..refusal })
        }
        Some(refusal) => TransportError::no_tls(host, refusal),
        None => {
            TransportError::Tls { host, reason, remedy: remedy.or_else(|| Some(REMEDIES.trust.to_owned())) }
        }
    }
}

/// Looks for a broker that speaks TLS where none is asked for; returns the error that names it. Blocks.
pub(super) fn unexpected(settings: &Settings) -> Option<TransportError> {
    if settings.asks_for_tls() {
        return None;
    }
    let host = settings.brokers.split(',').find(|address| speaks_tls(address) == Some(true))?.to_owned();
    let with = if settings.user.is_some() { "SASL_SSL" } else { "SSL, or SASL_SSL with a login" };
    Some(TransportError::Tls {
        host,
        reason: "the broker speaks TLS on this port, and security_protocol asks for none".to_owned(),
        remedy: Some(format!("set security_protocol to {with}, or use the broker's port without TLS")),
    })
}

/// Whether a port answers the beginning of a handshake in TLS; `None` where it does not answer.
fn speaks_tls(address: &str) -> Option<bool> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let server = ServerName::try_from("localhost").ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), server).ok()?;
    let mut tcp = TcpStream::connect_timeout(&address.to_socket_addrs().ok()?.next()?, TLS_ANSWER).ok()?;
    tcp.set_read_timeout(Some(TLS_ANSWER)).ok()?;
    tcp.set_write_timeout(Some(TLS_ANSWER)).ok()?;
    connection.write_tls(&mut tcp).ok()?;
    let mut first = [0; 2];
    tcp.read_exact(&mut first).ok()?;
    Some(OF_TLS.contains(&first))
}

/// Makes a handshake; `None` where it is not refused, or can't be made here.
fn refusal(settings: &Settings, address: &str) -> Option<Refusal> {
    let (name, _) = address.rsplit_once(':')?;
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let server = ServerName::try_from(name.to_owned()).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config(settings)?), server).ok()?;
    let mut tcp = TcpStream::connect_timeout(&address.to_socket_addrs().ok()?.next()?, ANSWER).ok()?;
    tcp.set_read_timeout(Some(ANSWER)).ok()?;
    tcp.set_write_timeout(Some(ANSWER)).ok()?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut tcp) {
            return Some(osnl_tls::handshake_refusal(name, &error, &REMEDIES));
        }
    }
    // With TLS 1.3 a client's certificate is refused behind the handshake; a broker that takes it waits for a request.
    match Stream::new(&mut connection, &mut tcp).read(&mut [0; 1]) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Some(osnl_tls::handshake_refusal(name, &error, &REMEDIES))
        }
        Ok(_) | Err(_) => None,
    }
}

/// Looks at the files that the client library will read. It refuses them with the first connection only.
///
/// # Errors
/// An option whose file cannot be used, and why.
pub(super) fn judge_files(settings: &Settings) -> Result<(), String> {
    let refuse = |option: &str, file: &str, reason: &str| {
        format!("{option} {file}: {reason}; name a PEM file that this user can read")
    };
    for (name, option, content) in [
        ("ssl.ca.location", "ssl_cafile", "CERTIFICATE"),
        ("ssl.certificate.location", "ssl_client_cert_file", "CERTIFICATE"),
        ("ssl.key.location", "ssl_client_key_file", "PRIVATE KEY"),
    ] {
        let Some(file) = settings.values.get(name) else { continue };
        let may_be_other = option == "ssl_cafile" && (file == "probe" || Path::new(file).is_dir());
        if may_be_other {
            continue;
        }
        let text = std::fs::read(file).map_err(|error| refuse(option, file, &error.to_string()))?;
        let end = format!("{content}-----");
        if !text.windows(end.len()).any(|part| part == end.as_bytes()) {
            let content = content.to_lowercase();
            return Err(refuse(option, file, &format!("the file holds no {content} in PEM form")));
        }
    }
    Ok(())
}

fn config(settings: &Settings) -> Option<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let file = |name: &str| settings.values.get(name).map(PathBuf::from);
    let (certificates, common_name) = match file("ssl.ca.location") {
        Some(file) => (osnl_tls::certificates_from(&[file]).ok()?, CommonName::Counts),
        None => (osnl_tls::system_certificates().ok()?, CommonName::Ignored),
    };
    let verifier = osnl_tls::checked(certificates, common_name, &provider).ok()?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(certificate) = file("ssl.certificate.location") else {
        return Some(config.with_no_client_auth());
    };
    // A key with a passphrase is read by the client library alone.
    let identity = osnl_tls::identity(&certificate, file("ssl.key.location").as_deref()).ok()?;
    config.with_client_auth_cert(identity.chain, identity.key).ok()
}
