//! Why there is no TLS, in words that name the remedy.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

/// The remedies, in the words of the configuration that they belong to.
#[derive(Clone, Copy, Debug)]
pub struct Remedies {
    /// The remedy to trust an issuer: follows "certificate is self-signed or of an unknown issuer: ".
    pub trust: &'static str,
    /// The place for a renewed CA's certificate: follows "if the CA was renewed, put its new certificate into ".
    pub renewed: &'static str,
    /// The remedy to do without TLS: follows "what the server sends is not TLS; ".
    pub plain: &'static str,
    /// The remedy to show a certificate: follows "the server asks for a client certificate".
    pub identity: &'static str,
}

/// Why a handshake with this host failed; the error is `tokio_rustls`'s.
#[must_use]
pub fn handshake_refusal(host: &str, error: &io::Error, remedies: &Remedies) -> String {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return refusal(host, error, remedies);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the server ended the connection in the middle of the TLS handshake; does it speak TLS on this port?"
                .to_owned()
        }
        _ => format!("TLS handshake: {error}"),
    }
}

/// Why one side refuses the other. A server that speaks TLS 1.3 judges its client after the handshake.
#[must_use]
pub fn refusal(host: &str, error: &rustls::Error, remedies: &Remedies) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(host, error, remedies),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "the server offers no TLS 1.2 or newer".to_owned(),
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            "the server finds no cipher suite or kind of key that both sides can use".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            format!("the server asks for a client certificate{}", remedies.identity)
        }
        rustls::Error::AlertReceived(alert) => format!("the server refuses the TLS handshake: {alert:?}"),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            format!("what the server sends is not TLS; {}", remedies.plain)
        }
        other => other.to_string(),
    }
}

fn certificate(host: &str, error: &CertificateError, remedies: &Remedies) -> String {
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
            format!("certificate is self-signed or of an unknown issuer: {}", remedies.trust)
        }
        CertificateError::BadSignature => format!(
            "certificate is not signed by the CA of that name that is trusted here; if the CA was renewed, put its \
             new certificate into {}",
            remedies.renewed
        ),
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
