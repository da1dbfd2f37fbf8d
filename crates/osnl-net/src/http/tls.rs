use std::path::PathBuf;
use std::sync::Arc;

use crate::tls::{ClientIdentity, CommonName, FileError, Refusal, misfit};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::http::expiry::Expiry;
use crate::http::options::{ClientCertificate, HttpError, HttpOptions, Verification};
use crate::http::url::Url;

/// The TLS configuration of a client, or the reason why it has none.
#[derive(Clone, Debug)]
pub(crate) enum HttpTls {
    /// The settings, and the end of the client certificate that they have.
    With(Arc<ClientConfig>, Option<Expiry>),
    Without(Arc<str>),
}

impl HttpTls {
    pub(crate) fn without(reason: &str) -> Self {
        Self::Without(reason.into())
    }

    pub(crate) fn to(options: &HttpOptions, target: &Url) -> Result<Self, HttpError> {
        let host = target.host();
        server_name(host).ok_or_else(|| HttpError::Name(host.to_owned()))?;
        Self::new(options)
    }

    pub(crate) fn new(options: &HttpOptions) -> Result<Self, HttpError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match &options.verification {
            Verification::System => {
                crate::tls::checked(system()?, CommonName::Ignored, &provider).map_err(none_in_the_system)?
            }
            Verification::Ca(paths) => {
                let certificates =
                    crate::tls::certificates_from(paths).map_err(|FileError { path, reason }| {
                        HttpError::Ca { path, reason, remedy: options.ca_remedy }
                    })?;
                let named = std::env::join_paths(paths).map(PathBuf::from).unwrap_or_default();
                crate::tls::checked(certificates, CommonName::Counts, &provider).map_err(|_| {
                    HttpError::Ca {
                        path: named,
                        reason: "there is none".to_owned(),
                        remedy: options.ca_remedy,
                    }
                })?
            }
            Verification::None => crate::tls::unchecked(),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| HttpError::Tls(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let (config, expiry) = match &options.certificate {
            None => (config.with_no_client_auth(), None),
            Some(ClientCertificate { certificate, key }) => {
                let refuse = |FileError { path, reason }| HttpError::Certificate {
                    path,
                    reason,
                    remedy: "name PEM files of certificate and key that this user can read".to_owned(),
                };
                let ClientIdentity { chain, key } =
                    crate::tls::identity(certificate, key.as_deref()).map_err(refuse)?;
                let expiry = Expiry::for_client(certificate, &chain);
                let config = config.with_client_auth_cert(chain, key).map_err(|error| {
                    let Refusal { reason, remedy, .. } = misfit(&error);
                    let (path, remedy) = (certificate.clone(), remedy.unwrap_or_default());
                    HttpError::Certificate { path, reason, remedy }
                })?;
                (config, expiry)
            }
        };
        Ok(Self::With(Arc::new(config), expiry))
    }
}

pub(crate) fn server_name(host: &str) -> Option<ServerName<'static>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).ok()
}

fn system() -> Result<Vec<CertificateDer<'static>>, HttpError> {
    crate::tls::system_certificates().map_err(none_in_the_system)
}

fn none_in_the_system(detail: String) -> HttpError {
    HttpError::NoRoots { detail: format!(": {detail}") }
}
