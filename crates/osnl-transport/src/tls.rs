//! Files are read each time, because certificates are renewed while the daemon runs.

use std::path::PathBuf;
use std::sync::Arc;

use osnl_net::tls::{CommonName, FileError, Remedies};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;

use crate::error::TransportError;

pub(crate) const REMEDIES: Remedies = Remedies {
    trust: "name the CA's certificate in ssl_ca_file",
    renewed: "ssl_ca_file",
    plain: "is this the broker's port without TLS (usually 5672; TLS is on 5671)?",
    identity: "set ssl_cert_file and ssl_key_file",
};

/// The TLS of a connection to a broker, with paths that are read at each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    pub trust: Trust,
    /// The client's certificate; `None` if the broker asks for none.
    pub certificate: Option<PathBuf>,
    /// The key; `None` if the certificate's file has it.
    pub key: Option<PathBuf>,
    pub versions: TlsVersions,
}

/// The remedy for a login in clear, as a section has its options.
pub const SET_SSL: &str = "set ssl = true, and use the broker's port with TLS";
/// The remedy for a broker that is not verified, as a section has its options.
pub const SET_VERIFY: &str = "set tls = verify, and ssl_ca_file unless the system trusts the CA";

impl TlsOptions {
    /// Reads the files, to find an unusable one before the first connection.
    pub fn check_files(&self) -> Result<(), TransportError> {
        config(self).map(drop).map_err(|reason| TransportError::TlsFiles { reason })
    }

    /// Returns the danger of a broker that is not verified. Its remedy depends on the form of the configuration.
    #[must_use]
    pub fn warning(&self) -> Option<&'static str> {
        match self.trust {
            Trust::Unverified => Some(
                "encrypted, but the broker's certificate is not verified, and a forged broker would get the password",
            ),
            Trust::Ca { name: false, .. } => Some(
                "encrypted, but the name in the broker's certificate is not verified, and any server with a certificate \
                 of an authority of the system would get the password",
            ),
            Trust::Ca { name: true, .. } => None,
        }
    }
}

/// The check of the broker's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Trusts any broker, with `tls = unverified` only.
    Unverified,
    /// Trusts certificates of a CA in this file, or of the system's CAs without a file.
    Ca { file: Option<PathBuf>, name: bool },
}

/// The versions of TLS that a connection may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersions {
    Any,
    Only12,
    Only13,
}

pub(crate) fn config(options: &TlsOptions) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match &options.trust {
        Trust::Unverified => osnl_net::tls::unchecked(),
        Trust::Ca { file, name } => {
            let (certificates, common_name, of) = match file {
                Some(file) => {
                    let certificates = osnl_net::tls::certificates_from(std::slice::from_ref(file));
                    let of = format!("ssl_ca_file {}", file.display());
                    (certificates.map_err(said("ssl_ca_file"))?, CommonName::Counts, of)
                }
                None => {
                    let certificates = osnl_net::tls::system_certificates().map_err(|error| none(&error))?;
                    (certificates, CommonName::Ignored, "the system's store".to_owned())
                }
            };
            let verifier = osnl_net::tls::checked(certificates, common_name, &provider)
                .map_err(|error| format!("{of} holds no CA certificate: {error}"))?;
            if *name { verifier } else { osnl_net::tls::any_name(verifier) }
        }
    };
    let versions = match options.versions {
        TlsVersions::Any => &[&rustls::version::TLS13, &rustls::version::TLS12][..],
        TlsVersions::Only12 => &[&rustls::version::TLS12],
        TlsVersions::Only13 => &[&rustls::version::TLS13],
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(certificate) = &options.certificate else { return Ok(config.with_no_client_auth()) };
    let identity = osnl_net::tls::identity(certificate, options.key.as_deref())
        .map_err(said("ssl_cert_file or ssl_key_file"))?;
    config
        .with_client_auth_cert(identity.chain, identity.key)
        .map_err(|error| format!("ssl_cert_file and ssl_key_file: {}", osnl_net::tls::misfit(&error)))
}

fn said(option: &str) -> impl FnOnce(FileError) -> String {
    move |error| format!("{option} {error}; name a PEM file that this user can read")
}

fn none(error: &str) -> String {
    format!("the system has no CA certificates ({error}); name a file in ssl_ca_file")
}
