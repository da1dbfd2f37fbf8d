//! TLS for clients of brokers and of https targets.
//!
//! ```
//! use std::sync::Arc;
//!
//! use osnl_net::tls::{CommonName, Remedies, certificates_from, checked, refusal};
//! use rustls::crypto::ring::default_provider;
//! use rustls::{CertificateError, ClientConfig};
//!
//! /// TLS for servers whose certificates a CA of this file has signed.
//! fn client(ca_file: &str) -> Result<ClientConfig, Box<dyn std::error::Error>> {
//!     let provider = Arc::new(default_provider());
//!     let verifier = checked(certificates_from(&[ca_file.into()])?, CommonName::Counts, &provider)?;
//!     let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
//!     Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
//! }
//!
//! let missing = client("/nowhere/ca.pem").unwrap_err();
//! assert!(missing.to_string().starts_with("/nowhere/ca.pem: "));
//!
//! // A failed handshake, in the words of the caller's options.
//! let remedies = Remedies {
//!     trust: "name its CA in ca_file",
//!     renewed: "ca_file",
//!     plain: "is this the port without TLS?",
//!     identity: "set client_certificate",
//! };
//! let error = CertificateError::UnknownIssuer.into();
//! let refused = refusal("mq1.example.com", &error, &remedies);
//! assert_eq!(refused.remedy.as_deref(), Some("name its CA in ca_file"));
//! ```

mod certificates;
mod common_name;
mod constraints;
mod expiry;
mod failure;
mod fault;
mod verifier;

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;

pub use certificates::{
    ClientIdentity, FileError, certificates_from, content_or_state, identity, system_certificates,
    system_files,
};
pub use expiry::{EXPIRES_SOON, LatestEnd, Validity, ends_at, validity};
pub use failure::{Refusal, Remedies, handshake_refusal, misfit, refusal};

/// The meaning of a certificate's common name, which old certificates have instead of alternative names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommonName {
    /// The CN counts within the name constraints of the issuers: for CAs that a configuration
    /// names.
    Counts,
    /// The CN is ignored, because the system's CAs no longer issue such certificates.
    Ignored,
}

/// Accepts a certificate for the requested name that chains to a trusted certificate, or is one.
pub fn checked(
    certificates: Vec<CertificateDer<'static>>,
    common_name: CommonName,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    // An odd certificate among a hundred is no reason to fail the start.
    roots.add_parsable_certificates(certificates.iter().cloned());
    match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build() {
        Ok(chains) => Ok(Arc::new(verifier::OwnCertificates::new(chains, certificates, common_name))),
        Err(error) => Err(error.to_string()),
    }
}

#[must_use]
pub fn any_name(verifier: Arc<dyn ServerCertVerifier>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(verifier::AnyName(verifier))
}

/// Accepts any certificate: the connection is encrypted, but its peer is unknown.
#[must_use]
pub fn unchecked() -> Arc<dyn ServerCertVerifier> {
    Arc::new(verifier::AnyCertificate)
}
