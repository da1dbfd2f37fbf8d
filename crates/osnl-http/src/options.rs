//! How targets are reached, and why that may be impossible from the start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use osnl_tls::Remedies;

use crate::guard::Guard;
use crate::proxy::{Proxies, ProxyError};
use crate::tls::{self, Verification};

/// How targets are reached. The default: the system's roots, no proxy, no certificate of ours.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Whom an `https` target must be.
    pub verification: Verification,
    /// What a target is shown that asks who we are.
    pub certificate: Option<ClientCertificate>,
    /// Which proxies requests go through.
    pub proxies: Proxies,
    /// Where requests may go; `None` is anywhere, for targets that the configuration names.
    pub guard: Option<Guard>,
    /// How many connections, and for how long.
    pub pool: Pool,
    /// What the reader of a refusal can do, in the words of the configuration they have.
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
            ca_remedy: tls::REMEDY,
            remedies: Remedies {
                trust: "put the CA's certificate into SSL_CERT_FILE or the system's store",
                renewed: "SSL_CERT_FILE or the system's store",
                plain: "is this the port of plain HTTP (http:// instead of https://)?",
                identity: ", and there is none to show",
            },
        }
    }
}

impl HttpOptions {
    /// What the variables of an environment ask for: `SSL_CERT_FILE` and `SSL_CERT_DIR` as in
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
    /// How long an idle connection is used again, and kept at all; zero keeps none. A server closes idle connections too, and a
    /// request that is sent just then is lost, and whether it was seen is unknown: so this should be shorter than
    /// the server's time. Node.js, on which K2HR3 runs, has five seconds.
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

/// Why no client can be made: each is for whoever starts the program, and says what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HttpError {
    /// A file or folder that was named for CA certificates gives none.
    #[error("CA certificates in {}: {reason}; {remedy}", .path.display())]
    Ca {
        /// The file or folder; several are separated by colons.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do: [`HttpOptions::ca_remedy`].
        remedy: &'static str,
    },
    /// The system has no CA certificates.
    #[error("this system has no CA certificates{detail}; {}", tls::REMEDY)]
    NoRoots {
        /// What was met while looking for them; empty, or begins with a blank.
        detail: String,
    },
    /// Our own certificate or its key cannot be used.
    #[error("client certificate in {}: {reason}; name PEM files of certificate and key that this user can read", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS library refuses to be set up this way.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// TLS knows no such name.
    #[error("{0:?} is no name that a certificate can be for; write the name or address of the target")]
    Name(String),
    /// The proxy for the target cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}
