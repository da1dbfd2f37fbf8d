//! Whom an https target must be.
//!
//! TLS 1.2 or newer; the name of the target is sent (SNI), an address is not.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

use super::HttpError;
use super::verifier::{OwnCertificates, Unchecked};
use crate::k2hr3::ApiUrl;

/// What to do when certificates cannot be found.
pub(super) const REMEDY: &str = "name a PEM file in SSL_CERT_FILE or a folder of such files in SSL_CERT_DIR, \
    or set neither and install the package ca-certificates";

/// Whom an `https` target must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Whoever has a certificate, for the name in the URL, of a CA that the system trusts.
    #[default]
    System,
    /// The same of a CA in these PEM files and folders of such files; the system's do not count.
    ///
    /// A self-signed certificate that is in one of them counts too, also when it is marked as a CA's, which is
    /// how `openssl req -x509` makes them.
    Ca(Vec<PathBuf>),
    /// Anybody: neither the certificate nor its name is looked at.
    None,
}

impl Verification {
    /// `SSL_CERT_FILE` (a PEM file) and `SSL_CERT_DIR` (folders, separated by colons) if either is there, else
    /// the system's. OpenSSL, which k2hr3_osnl used, trusts the system's folder beside an `SSL_CERT_FILE`; this
    /// does not.
    pub fn from_environment<'a>(variables: impl IntoIterator<Item = &'a (OsString, OsString)>) -> Self {
        let mut paths = Vec::new();
        for (name, value) in variables {
            if name == "SSL_CERT_FILE" && !value.is_empty() {
                paths.insert(0, PathBuf::from(value));
            } else if name == "SSL_CERT_DIR" {
                paths.extend(std::env::split_paths(value).filter(|path| !path.as_os_str().is_empty()));
            }
        }
        if paths.is_empty() { Self::System } else { Self::Ca(paths) }
    }
}

/// How one target is spoken to.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

impl Tls {
    /// # Errors
    /// No CA certificates where they should be; a name that no certificate can have.
    pub(super) fn new(verification: &Verification, target: &ApiUrl) -> Result<Self, HttpError> {
        let host = target.host();
        let name = ServerName::try_from(host.to_owned()).map_err(|_| HttpError::Name(host.to_owned()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match verification {
            Verification::System => checked(system()?, &provider, none_in_the_system)?,
            Verification::Ca(paths) => {
                let named = std::env::join_paths(paths).map(PathBuf::from).unwrap_or_default();
                let none = |_| HttpError::Ca { path: named, reason: "there is none".to_owned() };
                checked(from_paths(paths)?, &provider, none)?
            }
            Verification::None => {
                tracing::warn!(
                    "allow_self_signed_cert: neither the certificate of {} nor the name in it is checked; \
                     whoever answers there is believed",
                    target.authority()
                );
                Arc::new(Unchecked)
            }
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| HttpError::Tls(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), name })
    }
}

fn none_in_the_system(detail: String) -> HttpError {
    HttpError::NoRoots { detail }
}

/// Checks against these certificates; `none` makes the error when none of them can be used.
fn checked(
    certificates: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
    none: impl FnOnce(String) -> HttpError,
) -> Result<Arc<dyn ServerCertVerifier>, HttpError> {
    let mut roots = RootCertStore::empty();
    // One odd certificate among a hundred is no reason not to start.
    roots.add_parsable_certificates(certificates.iter().cloned());
    match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build() {
        Ok(chains) => Ok(Arc::new(OwnCertificates::new(chains, certificates))),
        Err(error) => Err(none(format!(": {error}"))),
    }
}

fn system() -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let CertificateResult { certs, errors, .. } = load_native_certs();
    match errors.first() {
        Some(error) if certs.is_empty() => Err(HttpError::NoRoots { detail: format!(": {error}") }),
        Some(_) | None => Ok(certs),
    }
}

fn from_paths(paths: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(from_path(path)?);
    }
    Ok(all)
}

/// A file must have a certificate. A folder may be empty, and hold what is none.
fn from_path(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let refuse = |reason: String| HttpError::Ca { path: path.to_owned(), reason };
    if path.is_dir() {
        return Ok(load_certs_from_paths(None, Some(path)).certs);
    }
    // Not the loader's own message, which repeats the path.
    std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    let CertificateResult { certs, errors, .. } = load_certs_from_paths(Some(path), None);
    match errors.first() {
        Some(error) => Err(refuse(error.to_string())),
        None if certs.is_empty() => Err(refuse("the file holds no certificate in PEM form".to_owned())),
        None => Ok(certs),
    }
}
