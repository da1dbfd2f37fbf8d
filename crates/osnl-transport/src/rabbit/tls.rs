//! Files are read each time, because certificates are renewed while the daemon runs.

use std::sync::Arc;

use osnl_net::tls::{CommonName, FileError, Remedies};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;

use super::options::{TlsOptions, TlsVersions, Trust};

pub(super) const REMEDIES: Remedies = Remedies {
    trust: "name the CA's certificate in ssl_ca_file",
    renewed: "ssl_ca_file",
    plain: "is this the broker's port without TLS (usually 5672; TLS is on 5671)?",
    identity: "set ssl_cert_file and ssl_key_file",
};

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
