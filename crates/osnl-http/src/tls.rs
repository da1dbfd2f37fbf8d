//! Whom an https target must be, and who we are to it.
//!
//! TLS 1.2 or newer; the name of the target is sent (SNI), an address is not.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use osnl_tls::{CommonName, FileError, Identity};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::options::{ClientCertificate, HttpError, HttpOptions};
use crate::url::Url;

/// What to do when certificates cannot be found.
pub(crate) const REMEDY: &str = "name a PEM file in SSL_CERT_FILE or a folder of such files in SSL_CERT_DIR, \
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

/// How `https` targets are spoken to.
#[derive(Clone, Debug)]
pub(crate) enum Tls {
    With(Arc<ClientConfig>),
    /// Not at all, and why.
    Without(Arc<str>),
}

impl Tls {
    pub(crate) fn without(reason: &str) -> Self {
        Self::Without(reason.into())
    }

    /// For one target.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); a name that no certificate can have.
    pub(crate) fn to(options: &HttpOptions, target: &Url) -> Result<Self, HttpError> {
        let host = target.host();
        server_name(host).ok_or_else(|| HttpError::Name(host.to_owned()))?;
        Self::new(options)
    }

    /// # Errors
    /// No certificates where they should be.
    pub(crate) fn new(options: &HttpOptions) -> Result<Self, HttpError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match &options.verification {
            Verification::System => {
                osnl_tls::checked(system()?, CommonName::Ignored, &provider).map_err(none_in_the_system)?
            }
            Verification::Ca(paths) => {
                let certificates =
                    osnl_tls::certificates_from(paths).map_err(|FileError { path, reason }| {
                        HttpError::Ca { path, reason, remedy: options.ca_remedy }
                    })?;
                let named = std::env::join_paths(paths).map(PathBuf::from).unwrap_or_default();
                osnl_tls::checked(certificates, CommonName::Counts, &provider).map_err(|_| HttpError::Ca {
                    path: named,
                    reason: "there is none".to_owned(),
                    remedy: options.ca_remedy,
                })?
            }
            Verification::None => osnl_tls::unchecked(),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| HttpError::Tls(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &options.certificate {
            None => config.with_no_client_auth(),
            Some(ClientCertificate { certificate, key }) => {
                let refuse = |FileError { path, reason }| HttpError::Certificate { path, reason };
                let Identity { chain, key } =
                    osnl_tls::identity(certificate, key.as_deref()).map_err(refuse)?;
                config.with_client_auth_cert(chain, key).map_err(|error| HttpError::Certificate {
                    path: certificate.clone(),
                    reason: format!("certificate and key do not fit: {error}"),
                })?
            }
        };
        Ok(Self::With(Arc::new(config)))
    }
}

/// What the certificate of this host is asked for; an IPv6 address may stand in brackets.
pub(crate) fn server_name(host: &str) -> Option<ServerName<'static>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).ok()
}

fn system() -> Result<Vec<CertificateDer<'static>>, HttpError> {
    osnl_tls::system_certificates().map_err(none_in_the_system)
}

fn none_in_the_system(detail: String) -> HttpError {
    HttpError::NoRoots { detail: format!(": {detail}") }
}
