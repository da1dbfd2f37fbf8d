//! Verifies the server's certificate as OpenSSL does, where private installations rely on that.

use std::sync::{Arc, Once};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::tls::{CommonName, common_name, constraints, fault};

/// The log mentions a name in the CN once, not with every connection.
static CN_WARNING: Once = Once::new();

/// Accepts chains to trusted certificates, and a trusted certificate itself. `openssl req -x509`
/// marks a self-signed certificate as a CA's. OpenSSL accepts a trusted CA's certificate from a
/// server; webpki refuses the certificate before it tests trust. This verifier overrules that refusal
/// for trusted certificates only, whose dates webpki has checked before.
///
/// The CN of a certificate without `subjectAltName` may count, within the issuers' name
/// constraints. webpki applies the constraints to a `subjectAltName` only.
#[derive(Debug)]
pub(crate) struct OwnCertificates {
    chains: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
    common_name: CommonName,
}

impl OwnCertificates {
    pub(crate) fn new(
        chains: Arc<WebPkiServerVerifier>,
        trusted: Vec<CertificateDer<'static>>,
        common_name: CommonName,
    ) -> Self {
        Self { chains, trusted, common_name }
    }

    fn is_named_by_cn(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> bool {
        self.common_name == CommonName::Counts
            && common_name::covers(certificate, name)
            && constraints::allow(certificate, intermediates, &self.trusted, name)
    }

    fn issuers_of<'a>(
        &'a self,
        certificate: &CertificateDer<'_>,
    ) -> impl Iterator<Item = &'a CertificateDer<'static>> {
        let issuer = webpki::EndEntityCert::try_from(certificate)
            .ok()
            .map(|certificate| certificate.issuer().to_vec());
        self.trusted.iter().filter(move |own| {
            let own = webpki::EndEntityCert::try_from(*own).ok();
            own.is_some_and(|own| Some(own.subject()) == issuer.as_deref())
        })
    }

    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.chains.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(error) if is_ca_as_server(&error) && self.trusted.iter().any(|own| own == certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            // The reader of the error needs to know that no issuer vouches for the certificate.
            Err(error) if is_ca_as_server(&error) => Err(CertificateError::UnknownIssuer.into()),
            Err(error @ Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                let missing = fault::missing_issuer(certificate, intermediates, &self.trusted);
                Err(missing.map_or(error, Error::from))
            }
            Err(error @ Error::InvalidCertificate(CertificateError::BadSignature)) => {
                let short = fault::short_key(intermediates.iter());
                let short = short.or_else(|| fault::short_key(self.issuers_of(certificate)));
                Err(short.map_or(error, Error::from))
            }
            verdict => verdict,
        }
    }
}

impl ServerCertVerifier for OwnCertificates {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.judge(certificate, intermediates, name, ocsp, now) {
            Err(error) if names_nobody(&error) && self.is_named_by_cn(certificate, intermediates, name) => {
                CN_WARNING.call_once(|| {
                    let server = name.to_str();
                    tracing::warn!(
                        server.name = &*server,
                        "the server's certificate has no subjectAltName, and other clients refuse its CN; \
                         reissue the certificate with a subjectAltName",
                    );
                });
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verdict = self.chains.verify_tls12_signature(message, certificate, signature);
        verdict.map_err(|error| own_key_is_short(error, certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verdict = self.chains.verify_tls13_signature(message, certificate, signature);
        verdict.map_err(|error| own_key_is_short(error, certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

fn own_key_is_short(error: Error, certificate: &CertificateDer<'_>) -> Error {
    let is_bad = matches!(error, Error::InvalidCertificate(CertificateError::BadSignature));
    let short = if is_bad { fault::short_key(std::iter::once(certificate)) } else { None };
    short.map_or(error, Error::from)
}

/// Whether the only fault is the missing name.
fn names_nobody(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) if presented.is_empty()
    )
}

fn is_ca_as_server(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Accepts any name. webpki checks the name last, so an error about the name proves that the rest
/// is valid.
#[derive(Debug)]
pub(crate) struct AnyName(pub(crate) Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Checks nothing, not even whether the server has the key of its certificate. An attacker in that
/// position could present a certificate of its own anyway.
#[derive(Debug)]
pub(crate) struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ECDSA_NISTP521_SHA512,
            SignatureScheme::ED25519,
            SignatureScheme::ED448,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PSS_SHA384,
            SignatureScheme::RSA_PSS_SHA512,
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
        ]
    }
}
