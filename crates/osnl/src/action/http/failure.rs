//! What went wrong with an attempt, in words that name the remedy.

use std::error::Error as StdError;
use std::io;

use hyper_util::client::legacy::Error;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

use super::connector::ConnectError;
use crate::action::{ActionError, ErrorClass};

/// The failure of a request that got no answer.
pub(super) fn of(error: &Error) -> ActionError {
    if let Some(ConnectError::Tls { host, error }) = find(error) {
        return ActionError::new(ErrorClass::Tls, handshake(host, error));
    }
    if let Some(alert) = find::<rustls::Error>(error) {
        // In TLS 1.3 the server judges the client after the handshake.
        return ActionError::new(ErrorClass::Tls, tls("", alert));
    }
    let class = if error.is_connect() { ErrorClass::Connect } else { ErrorClass::Reset };
    ActionError::new(class, chain(error))
}

/// Why there is no TLS with this host.
fn handshake(host: &str, error: &io::Error) -> String {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return tls(host, error);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the server ended the connection in the middle of the TLS handshake; does it speak TLS on this port?"
                .to_owned()
        }
        _ => format!("TLS handshake: {error}"),
    }
}

fn tls(host: &str, error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(host, error),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "the server offers no TLS 1.2 or newer".to_owned(),
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            "the server finds no cipher suite or kind of key that both sides can use".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server asks for a client certificate, and there is none to show".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the server refuses the TLS handshake: {alert:?}"),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what the server sends is not TLS; is this the port of plain HTTP (http:// instead of https://)?"
                .to_owned()
        }
        other => other.to_string(),
    }
}

fn certificate(host: &str, error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("certificate expired on {}", date(*not_after))
        }
        CertificateError::Expired => "certificate expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!(
                "certificate is not valid before {}; is the clock of this machine right?",
                date(*not_before)
            )
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!("certificate is for no name at all, not {host}; they belong into its subjectAltName")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            format!("certificate is for {}, not {host}", names.join(", "))
        }
        CertificateError::NotValidForName => format!("certificate is not for {host}"),
        CertificateError::UnknownIssuer => {
            "certificate is self-signed or of an unknown issuer: put the CA's \
            certificate into SSL_CERT_FILE, the system's store, or set allow_self_signed_cert"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "certificate is not signed by the CA of that name that is trusted here; \
            if the CA was renewed, put its new certificate into SSL_CERT_FILE or the system's store"
                .to_owned()
        }
        other => format!("certificate cannot be used: {other}"),
    }
}

/// webpki prints names as `DnsName("localhost")` and `IpAddress(127.0.0.1)`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

/// `2024-02-01T00:00:00Z`.
fn date(time: UnixTime) -> String {
    let date =
        i64::try_from(time.as_secs()).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    date.map_or_else(|| format!("second {} of Unix time", time.as_secs()), |date| date.to_string())
}

/// The first cause of this type.
fn find<T: StdError + 'static>(error: &Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// All causes. An I/O error that wraps another error does not name that one as its source.
fn causes(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn StdError + 'static)| {
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => (*cause).source(),
        }
    })
}

/// The causes, innermost last, without the outermost "client error".
fn chain(error: &Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in causes(error).map(ToString::to_string) {
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}
