//! TLS as a server: our certificate, and those of clients if required.
//!
//! Files are checked when a client connects, and read again after a change, so that a renewed certificate
//! needs no restart. If a changed file is unusable, the certificate before stays in force, and the error is
//! logged once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use osnl::control::ControlHandler;
use osnl::native::AdminTls;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

pub(crate) struct CurrentTls {
    files: AdminTls,
    now: Mutex<(Vec<Option<SystemTime>>, Arc<ServerConfig>)>,
    handler: Arc<ControlHandler>,
}

impl CurrentTls {
    pub(crate) fn new(files: AdminTls, handler: Arc<ControlHandler>) -> Result<Self, String> {
        let (times, (config, ends)) = (times(&files), config(&files)?);
        handler.set_admin_certificate(ends);
        Ok(Self { files, now: Mutex::new((times, config)), handler })
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let (known, now) = &mut *self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let times = times(&self.files);
        if *known != times {
            *known = times;
            match config(&self.files) {
                Ok((config, ends)) => {
                    self.handler.set_admin_certificate(ends);
                    tracing::info!("the certificate of the admin endpoint is read again");
                    *now = config;
                }
                Err(error) => {
                    tracing::error!(error, "the certificate of the admin endpoint cannot be read again");
                }
            }
        }
        now.clone()
    }
}

pub(crate) fn judge(files: &AdminTls) -> Result<(), String> {
    config(files).map(|_| ())
}

fn times(files: &AdminTls) -> Vec<Option<SystemTime>> {
    let time = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    [&files.certificate, &files.key].into_iter().chain(&files.client_ca).map(time).collect()
}

fn config(files: &AdminTls) -> Result<(Arc<ServerConfig>, Option<i64>), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let identity =
        osnl_net::tls::identity(&files.certificate, Some(&files.key)).map_err(|error| error.to_string())?;
    let ends = identity.chain.first().and_then(osnl_net::tls::ends_at);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let refuse = |error: String| format!("client_ca_file: {}: {error}", path.display());
            let mut roots = RootCertStore::empty();
            let trusted =
                osnl_net::tls::certificates_from(std::slice::from_ref(path)).map_err(|e| refuse(e.reason))?;
            for certificate in trusted {
                roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| refuse(error.to_string()))?)
        }
    };
    let config = builder.with_single_cert(identity.chain, identity.key);
    let mut config = config
        .map_err(|error| format!("{}: {}", files.certificate.display(), osnl_net::tls::misfit(&error)))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), ends))
}
