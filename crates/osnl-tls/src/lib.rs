//! TLS as a client, the same for brokers and for https targets.
//!
//! What both need and neither should have twice:
//!
//! | what | where |
//! | --- | --- |
//! | CA certificates of the system, of files and of folders | [`system_certificates`], [`certificates_from`] |
//! | whom to believe: [`checked`], [`any_name`], [`unchecked`] | as OpenSSL judges where private installations need it |
//! | a client's own certificate | [`identity`] |
//! | until when a certificate counts | [`ends_at`], [`LatestEnd`] |
//! | why there is no TLS, in words that name the remedy | [`handshake_refusal`], [`refusal`], with the caller's [`Remedies`] |
//!
//! The caller connects, chooses a proxy, and logs.

mod certificates;
mod common_name;
mod constraints;
mod expiry;
mod failure;
mod verifier;

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;

pub use certificates::{FileError, Identity, certificates_from, identity, system_certificates};
pub use expiry::{LatestEnd, ends_at};
pub use failure::{Remedies, handshake_refusal, refusal};

/// Whether a name in a certificate's CN counts where the certificate has no `subjectAltName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommonName {
    /// As for OpenSSL, within the name constraints of its issuers: for CAs that a configuration names.
    Counts,
    /// As for browsers: for the system's CAs, which issue no such certificates any more.
    Ignored,
}

/// Accepts a certificate for the name asked for that chains to one of these, or is one of these itself.
///
/// # Errors
/// None of them can be used; webpki's reason.
pub fn checked(
    certificates: Vec<CertificateDer<'static>>,
    common_name: CommonName,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    // One odd certificate among a hundred is no reason not to start.
    roots.add_parsable_certificates(certificates.iter().cloned());
    match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build() {
        Ok(chains) => Ok(Arc::new(verifier::OwnCertificates::new(chains, certificates, common_name))),
        Err(error) => Err(error.to_string()),
    }
}

/// The same, whatever name the certificate is for.
#[must_use]
pub fn any_name(verifier: Arc<dyn ServerCertVerifier>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(verifier::AnyName(verifier))
}

/// Accepts any certificate. The connection is encrypted, but its peer is not known.
#[must_use]
pub fn unchecked() -> Arc<dyn ServerCertVerifier> {
    Arc::new(verifier::AnyCertificate)
}
