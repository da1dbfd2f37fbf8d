//! Certificates for tests, made by `openssl` in a folder of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

const CONFIGURATION: &str = "[req]
distinguished_name = dn
[dn]
[ca]
default_ca = test
[test]
database = index.txt
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = optional
";

type Dates = (&'static str, &'static str);

const TODAY: Dates = ("20200101000000Z", "21200101000000Z");
const PAST: Dates = ("20240101000000Z", "20240201000000Z");
const FUTURE: Dates = ("21240101000000Z", "21250101000000Z");

const LOOPBACK: &str = "DNS:localhost,IP:127.0.0.1,IP:::1";

struct CertificateRequest<'a> {
    common_name: &'a str,
    names: &'a str,
    dates: Dates,
    own_key: bool,
    /// The names for which a CA's certificate may issue, as `permitted;DNS:good.example`.
    constraints: &'a str,
    issuer: &'a str,
    is_version_1: bool,
    is_short: bool,
}

impl Default for CertificateRequest<'_> {
    fn default() -> Self {
        Self {
            common_name: "osnl test",
            names: "",
            dates: TODAY,
            own_key: false,
            constraints: "",
            issuer: "ca",
            is_version_1: false,
            is_short: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerIdentity {
    For(&'static str),
    CommonName(&'static str),
    /// A CN alone, signed with its own key: `openssl req -x509 -subj /CN=…`.
    SelfSignedCommonName(&'static str),
    Expired,
    NotYet,
    /// For `localhost`, `127.0.0.1` and `::1`, signed with its own key and marked as a CA's, as `openssl req -x509`
    /// does.
    SelfSigned,
    SelfSignedExpired,
    /// X.509 version 1 for the CN `localhost`, as `openssl x509 -req` makes without extensions.
    Version1,
    /// For the CN `localhost`, with an RSA key of 1024 bits.
    ShortKey,
}

impl ServerIdentity {
    pub const LOOPBACK: Self = Self::For(LOOPBACK);
}

#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

#[derive(Debug, Clone)]
pub struct Certificate {
    file: PathBuf,
    key: PathBuf,
    issuer: Option<PathBuf>,
}

impl Authority {
    #[must_use]
    #[expect(clippy::new_without_default, reason = "making one runs a program and writes files")]
    pub fn new() -> Self {
        Self::named(&format!("{:x}", crate::ports::random()))
    }

    /// Makes a CA of this name; CAs of the same name differ in their keys.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let authority = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(authority.path("openssl.cnf"), CONFIGURATION).unwrap();
        std::fs::write(authority.path("index.txt"), "").unwrap();
        authority.sign(
            "ca",
            &CertificateRequest { common_name: name, own_key: true, ..CertificateRequest::default() },
        );
        authority
    }

    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    #[must_use]
    pub fn issue(&self, identity: &ServerIdentity) -> Certificate {
        let wanted = match *identity {
            ServerIdentity::For(names) => CertificateRequest { names, ..CertificateRequest::default() },
            ServerIdentity::CommonName(common_name) => {
                CertificateRequest { common_name, ..CertificateRequest::default() }
            }
            ServerIdentity::SelfSignedCommonName(common_name) => {
                CertificateRequest { common_name, own_key: true, ..CertificateRequest::default() }
            }
            ServerIdentity::Expired => {
                CertificateRequest { names: "DNS:localhost", dates: PAST, ..CertificateRequest::default() }
            }
            ServerIdentity::NotYet => {
                CertificateRequest { names: "DNS:localhost", dates: FUTURE, ..CertificateRequest::default() }
            }
            ServerIdentity::SelfSigned => {
                CertificateRequest { names: LOOPBACK, own_key: true, ..CertificateRequest::default() }
            }
            ServerIdentity::SelfSignedExpired => CertificateRequest {
                names: LOOPBACK,
                own_key: true,
                dates: PAST,
                ..CertificateRequest::default()
            },
            ServerIdentity::Version1 => CertificateRequest {
                common_name: "localhost",
                is_version_1: true,
                ..CertificateRequest::default()
            },
            ServerIdentity::ShortKey => CertificateRequest {
                common_name: "localhost",
                is_short: true,
                ..CertificateRequest::default()
            },
        };
        self.sign(&format!("{:x}", crate::ports::random()), &wanted)
    }

    /// Makes a certificate with a CN only, issued by an intermediate CA with constraints, as
    /// `permitted;DNS:good.example`.
    #[must_use]
    pub fn issue_constrained(&self, constraints: &str, common_name: &str) -> Certificate {
        let between =
            CertificateRequest { common_name: "constrained", constraints, ..CertificateRequest::default() };
        let issuer = self.sign("constrained", &between).file;
        let wanted =
            CertificateRequest { common_name, issuer: "constrained", ..CertificateRequest::default() };
        let certificate = self.sign(&format!("{:x}", crate::ports::random()), &wanted);
        Certificate { issuer: Some(issuer), ..certificate }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sign(&self, file: &str, wanted: &CertificateRequest<'_>) -> Certificate {
        let own = wanted.own_key;
        let mut extensions = format!(
            "basicConstraints = critical,CA:{}\n",
            if own || !wanted.constraints.is_empty() { "TRUE" } else { "FALSE" }
        );
        if !wanted.constraints.is_empty() {
            extensions.push_str(&format!("nameConstraints = critical,{}\n", wanted.constraints));
        }
        if !wanted.names.is_empty() {
            extensions.push_str(&format!("subjectAltName = {}\n", wanted.names));
        }
        std::fs::write(self.path("extensions"), extensions).unwrap();
        let (key, request, pem) = (format!("{file}.key"), format!("{file}.csr"), format!("{file}.pem"));
        let subject = format!("/CN={}", wanted.common_name);
        let kind: &[&str] = match wanted.is_short {
            true => &["rsa:1024"],
            false => &["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
        };
        let mut arguments = vec!["req", "-new", "-newkey"];
        arguments.extend(kind);
        arguments.extend(["-nodes", "-subj", &subject]);
        arguments.extend(["-keyout", &key, "-out", &request]);
        openssl(self.folder.path(), &arguments);
        let (from, until) = wanted.dates;
        let mut arguments = vec!["ca", "-batch", "-notext", "-startdate", from, "-enddate", until];
        if !wanted.is_version_1 {
            arguments.extend(["-extfile", "extensions"]);
        }
        arguments.extend(["-in", &request, "-out", &pem]);
        let (issuer, issuer_key) = (format!("{}.pem", wanted.issuer), format!("{}.key", wanted.issuer));
        arguments.extend(if own {
            vec!["-selfsign", "-keyfile", &key]
        } else {
            vec!["-cert", &issuer, "-keyfile", &issuer_key]
        });
        openssl(self.folder.path(), &arguments);
        Certificate { file: self.path(&pem), key: self.path(&key), issuer: None }
    }
}

impl Certificate {
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    #[must_use]
    pub fn key_file(&self) -> &Path {
        &self.key
    }

    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        let files = std::iter::once(&self.file).chain(&self.issuer);
        files.map(|file| CertificateDer::from_pem_file(file).unwrap()).collect()
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(&self.key).unwrap()
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .args(["-config", "openssl.cnf"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run openssl, which RabbitMQ's package brings: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
}
