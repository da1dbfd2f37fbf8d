use std::fmt;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

use crate::tls::fault::{CertificateFault, FEWEST_BITS};

/// The remedies in errors of TLS, which name the options of the caller.
#[derive(Clone, Copy, Debug)]
pub struct Remedies {
    pub trust: &'static str,
    /// The place for a renewed CA's certificate: follows "if the CA was renewed, put its new
    /// certificate into ".
    pub renewed: &'static str,
    pub plain: &'static str,
    pub identity: &'static str,
}

/// The reason for which a TLS connection is refused, in words for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: String,
    pub remedy: Option<String>,
    /// Whether the server ended the connection in the middle of the handshake, as one without TLS may.
    pub is_hang_up: bool,
}

impl Refusal {
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: None, is_hang_up: false }
    }

    fn remedied(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, remedy, is_hang_up: _ } = self;
        f.write_str(reason)?;
        remedy.iter().try_for_each(|remedy| write!(f, "; {remedy}"))
    }
}

#[must_use]
pub fn handshake_refusal(host: &str, error: &io::Error, remedies: &Remedies) -> Refusal {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return refusal(host, error, remedies);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            let refusal = Refusal::new("the server ended the connection in the middle of the TLS handshake")
                .remedied("does it speak TLS on this port?");
            Refusal { is_hang_up: true, ..refusal }
        }
        _ => Refusal::new(format!("TLS handshake: {error}")),
    }
}

/// Explains why one side refuses the other. A TLS 1.3 server judges its client after the handshake.
#[must_use]
pub fn refusal(host: &str, error: &rustls::Error, remedies: &Remedies) -> Refusal {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(host, error, remedies),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => Refusal::new("the server offers no TLS 1.2 or newer"),
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
            Refusal::new("the server finds no cipher suite or kind of key that both sides can use")
                .remedied(SUITES)
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            Refusal::new("the server asks for a client certificate").remedied(remedies.identity)
        }
        rustls::Error::AlertReceived(alert) => {
            Refusal::new(format!("the server refuses the TLS handshake: {alert:?}"))
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            Refusal::new("what the server sends is not TLS").remedied(remedies.plain)
        }
        other => Refusal::new(other.to_string()),
    }
}

fn certificate(host: &str, error: &CertificateError, remedies: &Remedies) -> Refusal {
    const RENEW: &str = "renew it on the server";
    if let CertificateError::Other(other) = error
        && let Some(fault) = other.0.downcast_ref()
    {
        return explain_fault(fault, remedies);
    }
    match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            Refusal::new(format!("certificate expired on {}", date(*not_after))).remedied(RENEW)
        }
        CertificateError::Expired => Refusal::new("certificate expired").remedied(RENEW),
        CertificateError::NotValidYetContext { not_before, .. } => {
            Refusal::new(format!("certificate is not valid before {}", date(*not_before)))
                .remedied("check the clock of this machine")
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            Refusal::new(format!("certificate is for no name at all, not {host}"))
                .remedied("names belong into its subjectAltName")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            Refusal::new(format!("certificate is for {}, not {host}", names.join(", ")))
                .remedied(format!("connect by a name of the certificate, or issue it for {host}"))
        }
        CertificateError::NotValidForName => {
            Refusal::new(format!("certificate is not for {host}")).remedied(format!("issue it for {host}"))
        }
        CertificateError::UnknownIssuer => {
            Refusal::new("certificate is self-signed or of an unknown issuer").remedied(remedies.trust)
        }
        other if is_of_version_1(other) => Refusal::new(VERSION_1).remedied(WITH_EXTENSIONS),
        CertificateError::BadSignature => {
            Refusal::new("certificate is not signed by the CA of that name that is trusted here")
                .remedied(format!("if the CA was renewed, put its new certificate into {}", remedies.renewed))
        }
        other => Refusal::new(format!("certificate cannot be used: {other}")),
    }
}

fn explain_fault(fault: &CertificateFault, remedies: &Remedies) -> Refusal {
    match fault {
        CertificateFault::NoIssuer { issuer } => Refusal::new(format!(
            "certificate is issued by {issuer:?}, which is not trusted here, and whose certificate the server does not send"
        ))
        .remedied(format!(
            "if that is an intermediate CA, let the server send its certificate too (the full chain); else {}",
            remedies.trust
        )),
        CertificateFault::ShortKey { owner, bits } => {
            Refusal::new(format!("the RSA key of the certificate of {owner:?} has {bits} bits"))
                .remedied(format!("issue it for a key of {FEWEST_BITS} bits or more"))
        }
    }
}

/// The suites that a server needs, by their option names. OpenSSL sends the same alert for a
/// missing client certificate.
const SUITES: &str = "let the server offer TLS 1.3, or of TLS 1.2 ECDHE with AES-GCM or ChaCha20-Poly1305 \
    (ECDHE-RSA-AES256-GCM-SHA384), or show it a client certificate if it asks for one";

/// openssl makes version 1 if it gets no extensions.
const VERSION_1: &str = "certificate is of X.509 version 1, and TLS needs version 3";
const WITH_EXTENSIONS: &str =
    "issue it with extensions, such as subjectAltName: openssl x509 -req with -extfile";

fn is_of_version_1(error: &CertificateError) -> bool {
    let CertificateError::Other(other) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::UnsupportedCertVersion))
}

#[must_use]
pub fn misfit(error: &rustls::Error) -> Refusal {
    match error {
        rustls::Error::InvalidCertificate(error) if is_of_version_1(error) => {
            Refusal::new(format!("the {VERSION_1}")).remedied(WITH_EXTENSIONS)
        }
        rustls::Error::InconsistentKeys(_) => {
            Refusal::new("certificate and key do not fit: the first certificate of the file is another key's")
                .remedied("put the certificate of the key first in its file, before its CAs, or name its key")
        }
        // The only general error here: no kind of key that the library knows fits the bytes.
        rustls::Error::General(_) => Refusal::new("the private key is of a kind or a length that TLS cannot use here")
            .remedied(format!(
                "issue the certificate for an RSA key of {FEWEST_BITS} bits or more, an ECDSA key of the curve P-256 or \
                 P-384, or an Ed25519 key"
            )),
        other => Refusal::new(format!("certificate and key do not fit: {other}"))
            .remedied("name PEM files of a certificate and its key"),
    }
}

fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

fn date(time: UnixTime) -> String {
    let date =
        i64::try_from(time.as_secs()).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    date.map_or_else(|| format!("second {} of Unix time", time.as_secs()), |date| date.to_string())
}
