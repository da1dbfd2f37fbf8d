//! The reason why TLS with a broker fails. The library reports only that a certificate was not verified, and nothing about
//! a port with TLS that is asked without, so a handshake of our own finds the reason.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use osnl_config::{LARGEST_FILE, read_regular};
use osnl_net::dial;
use osnl_net::tls::{CommonName, Refusal, Remedies};
use osnl_transport::TransportError;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use super::options::Settings;

const ANSWER: Duration = Duration::from_secs(3);
/// The longest wait for a port that has said nothing so far.
const TLS_ANSWER: Duration = Duration::from_secs(1);
/// An alert and a handshake of any version since SSL 3 begin with these bytes.
const OF_TLS: [[u8; 2]; 2] = [[0x15, 3], [0x16, 3]];

const REMEDIES: Remedies = Remedies {
    trust: "name the CA's certificate in ssl_cafile",
    renewed: "ssl_cafile",
    plain: "is this the broker's port without TLS? Then set security_protocol to PLAINTEXT, or SASL_PLAINTEXT with a login",
    identity: "set ssl_client_cert_file and ssl_client_key_file",
};

/// Adds the reason of a handshake of our own to an error about TLS. Blocks.
pub(super) fn explained(settings: &Settings, error: TransportError) -> TransportError {
    let (host, reason, is_seen) = match &error {
        TransportError::Tls { host, reason, .. } => (host.clone(), reason.clone(), true),
        // A broker without TLS may reset the connection before the library has seen what it is.
        TransportError::Connect { host, reason }
            if settings.asks_for_tls() && reason.starts_with("Disconnected") =>
        {
            (host.clone(), reason.clone(), false)
        }
        _ => return error,
    };
    match refusal(settings, &host) {
        Some(refusal) => {
            let is_plain = match is_seen {
                true => reason.contains("PLAINTEXT"),
                false => refusal.is_hang_up,
            };
            let remedy = if is_plain { Some(REMEDIES.plain.to_owned()) } else { refusal.remedy };
            TransportError::Tls { host, reason: refusal.reason, remedy }
        }
        None if is_seen => TransportError::Tls { host, reason, remedy: Some(REMEDIES.trust.to_owned()) },
        None => error,
    }
}

/// Returns the error of a broker that speaks TLS although none is asked for. Blocks.
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

/// Returns whether the answer to a handshake is TLS; `None` without an answer.
fn speaks_tls(address: &str) -> Option<bool> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let (mut connection, mut tcp) = begin(config, "localhost", address, TLS_ANSWER)?;
    connection.write_tls(&mut tcp).ok()?;
    let mut first = [0; 2];
    tcp.read_exact(&mut first).ok()?;
    Some(OF_TLS.contains(&first))
}

fn begin(
    config: ClientConfig,
    name: &str,
    address: &str,
    wait: Duration,
) -> Option<(ClientConnection, TcpStream)> {
    let server = ServerName::try_from(name.to_owned()).ok()?;
    let connection = ClientConnection::new(Arc::new(config), server).ok()?;
    let tcp = dial::first_blocking(address, wait).ok()?;
    tcp.set_read_timeout(Some(wait)).ok()?;
    tcp.set_write_timeout(Some(wait)).ok()?;
    Some((connection, tcp))
}

/// Returns `None` where a handshake is not refused, or can't be made here.
fn refusal(settings: &Settings, address: &str) -> Option<Refusal> {
    let (name, _) = address.rsplit_once(':')?;
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let (mut connection, mut tcp) = begin(config(settings)?, name, address, ANSWER)?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut tcp) {
            return Some(osnl_net::tls::handshake_refusal(name, &error, &REMEDIES));
        }
    }
    // With TLS 1.3 a client's certificate is refused behind the handshake; a broker that takes it waits for a request.
    match Stream::new(&mut connection, &mut tcp).read(&mut [0; 1]) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Some(osnl_net::tls::handshake_refusal(name, &error, &REMEDIES))
        }
        Ok(_) | Err(_) => None,
    }
}

/// Checks the files of TLS, which the library would refuse with the first connection only.
pub(super) fn judge_files(settings: &Settings) -> Result<(), String> {
    let refuse = |option: &str, file: &str, reason: &str| {
        format!("{option} {file}: {reason}; name a PEM file that this user can read")
    };
    for (name, option, content) in [
        ("ssl.ca.location", "ssl_cafile", "CERTIFICATE"),
        ("ssl.certificate.location", "ssl_client_cert_file", "CERTIFICATE"),
        ("ssl.key.location", "ssl_client_key_file", "PRIVATE KEY"),
    ] {
        let Some(file) = settings.config.get(name) else { continue };
        let may_be_other = option == "ssl_cafile" && (file == "probe" || Path::new(file).is_dir());
        if may_be_other {
            continue;
        }
        let text = read_regular(Path::new(file), LARGEST_FILE)
            .map_err(|error| refuse(option, file, &error.to_string()))?;
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
    let file = |name: &str| settings.config.get(name).map(PathBuf::from);
    let authorities = file("ssl.ca.location").filter(|file| file.as_os_str() != "probe");
    let (certificates, common_name) = match authorities {
        Some(file) => (osnl_net::tls::certificates_from(&[file]).ok()?, CommonName::Counts),
        None => (osnl_net::tls::system_certificates().ok()?, CommonName::Ignored),
    };
    let verifier = osnl_net::tls::checked(certificates, common_name, &provider).ok()?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(certificate) = file("ssl.certificate.location") else {
        return Some(config.with_no_client_auth());
    };
    // The library alone reads a key with a passphrase.
    let identity = osnl_net::tls::identity(&certificate, file("ssl.key.location").as_deref()).ok()?;
    config.with_client_auth_cert(identity.chain, identity.key).ok()
}

#[cfg(test)]
mod tests {
    use osnl_model::TransportUrl;

    use super::*;
    use crate::options::KafkaOptions;

    #[test]
    fn a_file_without_an_end_is_refused_unread() {
        let url = TransportUrl::parse("kafka://h/?security_protocol=SSL&ssl_cafile=/dev/zero").unwrap();
        let options = KafkaOptions::from_query(&url).unwrap();
        let refused = judge_files(&Settings::new(&url, &options).unwrap()).unwrap_err();
        let reason = "is not a regular file; name a PEM file that this user can read";
        assert_eq!(refused, format!("ssl_cafile /dev/zero: {reason}"));
    }
}
