use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::tls::Remedies;

use crate::http::guard::AddressGuard;
use crate::http::proxy::{Proxies, ProxyError};

const REMEDY: &str = "name a PEM file in SSL_CERT_FILE or a folder of such files in SSL_CERT_DIR, \
    or set neither and install the package ca-certificates";

/// The certificates that count as issuers of a server's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    #[default]
    System,
    /// A self-signed certificate in these files counts too, even with a CA's mark, which `openssl
    /// req -x509` sets.
    Ca(Vec<PathBuf>),
    None,
}

impl Verification {
    /// Reads `SSL_CERT_FILE` (a PEM file) and `SSL_CERT_DIR` (folders, separated by colons), else
    /// uses the system's CAs. OpenSSL, which k2hr3_osnl used, trusts the system's folder beside an
    /// `SSL_CERT_FILE`; this client does not.
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

/// The default: the system's roots, no proxy, no client certificate.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    pub verification: Verification,
    pub certificate: Option<ClientCertificate>,
    pub proxies: Proxies,
    /// The guard of requests; `None` for targets that the configuration names.
    pub guard: Option<AddressGuard>,
    pub pool: Pool,
    pub remedies: Remedies,
    pub ca_remedy: &'static str,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            verification: Verification::default(),
            certificate: None,
            proxies: Proxies::default(),
            guard: None,
            pool: Pool::default(),
            ca_remedy: REMEDY,
            remedies: Remedies {
                trust: "put the CA's certificate into SSL_CERT_FILE or the system's store",
                renewed: "SSL_CERT_FILE or the system's store",
                plain: "is this the port of plain HTTP (http:// instead of https://)?",
                identity: "this client has none to show",
            },
        }
    }
}

impl HttpOptions {
    pub fn from_environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
        Self {
            verification: Verification::from_environment(&variables),
            proxies: Proxies::from_environment(&variables),
            ..Self::default()
        }
    }
}

/// The files with which osnl proves its identity to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate: PathBuf,
    /// A PEM file with its key; `None` if the certificate's file has the key.
    pub key: Option<PathBuf>,
}

/// The bounds of kept connections and of simultaneous requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The time for which an idle connection is kept, 30 s at most; zero keeps none. A time below the
    /// server's is safe: a request that is sent while the server closes the connection is lost, and
    /// its effect is unknown. Node.js, on which K2HR3 runs, has five seconds.
    pub idle: Duration,
    /// The number of idle connections to one host and port; further connections are closed.
    pub idle_per_target: usize,
    pub requests: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self { idle: Duration::from_secs(4), idle_per_target: 256, requests: 1024 }
    }
}

/// The reasons for which HTTP options cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HttpError {
    #[error("CA certificates in {}: {reason}; {remedy}", .path.display())]
    Ca { path: PathBuf, reason: String, remedy: &'static str },
    #[error("this system has no CA certificates{detail}; {}", REMEDY)]
    NoRoots { detail: String },
    #[error("client certificate in {}: {reason}; {remedy}", .path.display())]
    Certificate { path: PathBuf, reason: String, remedy: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error("{0:?} is not a name that a certificate can have; write the name or address of the target")]
    Name(String),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}
