//! The options of all requests, and the reasons why they can be unusable from the start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use osnl_tls::Remedies;

use crate::guard::AddressGuard;
use crate::proxy::{Proxies, ProxyError};

/// The remedy when certificates cannot be found.
const REMEDY: &str = "name a PEM file in SSL_CERT_FILE or a folder of such files in SSL_CERT_DIR, \
    or set neither and install the package ca-certificates";

/// The certificates that an `https` target may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Any certificate for the name in the URL, of a CA that the system trusts.
    #[default]
    System,
    /// The same of a CA in these PEM files and folders of such files; the system's do not count.
    ///
    /// A self-signed certificate that is in one of them counts too, also when it is marked as a CA's, which is
    /// how `openssl req -x509` makes them.
    Ca(Vec<PathBuf>),
    /// Any certificate: neither it nor its name is looked at.
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

/// The options of all requests. The default: the system's roots, no proxy, no certificate of ours.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// The certificates that an `https` target may have.
    pub verification: Verification,
    /// The certificate for a target that asks for one.
    pub certificate: Option<ClientCertificate>,
    /// The proxies of requests.
    pub proxies: Proxies,
    /// The guard of requests; `None` for targets that the configuration names.
    pub guard: Option<AddressGuard>,
    /// The number of connections, and their age.
    pub pool: Pool,
    /// The remedies for a refused certificate, in the words of the configuration.
    pub remedies: Remedies,
    /// The same of files of CA certificates that cannot be used.
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
    /// Returns the options of an environment: `SSL_CERT_FILE` and `SSL_CERT_DIR` as in
    /// [`Verification::from_environment`], `http_proxy`, `https_proxy` and `no_proxy` as in
    /// [`Proxies::from_environment`].
    pub fn from_environment(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
        Self {
            verification: Verification::from_environment(&variables),
            proxies: Proxies::from_environment(&variables),
            ..Self::default()
        }
    }
}

/// A client's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// A PEM file with the certificate, and the chain behind it.
    pub certificate: PathBuf,
    /// A PEM file with its key; `None` if that stands in the certificate's.
    pub key: Option<PathBuf>,
}

/// The bounds of a client's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The time for which an idle connection is used again, and kept at all; zero keeps none. A server closes idle
    /// connections too, and a request that is sent just then is lost, and whether it was seen is unknown: so this
    /// should be shorter than the server's time. Node.js, on which K2HR3 runs, has five seconds.
    pub idle: Duration,
    /// Idle connections to one host and port; more are closed.
    pub idle_per_target: usize,
    /// Requests at once, and with them the connections that are in use; one more waits.
    pub requests: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self { idle: Duration::from_secs(4), idle_per_target: 256, requests: 1024 }
    }
}

/// Why no client can be made: each is for the operator at the start of the program, and names the remedy.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HttpError {
    /// A file or folder that was named for CA certificates gives none.
    #[error("CA certificates in {}: {reason}; {remedy}", .path.display())]
    Ca {
        /// The file or folder; several are separated by colons.
        path: PathBuf,
        /// The problem.
        reason: String,
        /// The remedy: [`HttpOptions::ca_remedy`].
        remedy: &'static str,
    },
    /// The system has no CA certificates.
    #[error("this system has no CA certificates{detail}; {}", REMEDY)]
    NoRoots {
        /// The problems met while looking for them; empty, or begins with a blank.
        detail: String,
    },
    /// Our own certificate or its key cannot be used.
    #[error("client certificate in {}: {reason}; {remedy}", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
        /// The remedy.
        remedy: String,
    },
    /// The TLS library refuses to be set up this way.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// TLS knows no such name.
    #[error("{0:?} is not a name that a certificate can have; write the name or address of the target")]
    Name(String),
    /// The proxy for the target cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}
