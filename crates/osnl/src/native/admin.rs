//! `[admin]`: the address of the admin endpoint and its protection.
//!
//! On loopback every local user may send all requests except those about deliveries. Elsewhere TLS and a token or a
//! client certificate are required. A Unix socket is the daemon's user's alone.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use osnl_config::sections::SectionReader;
use osnl_config::typed::ValueRefusal;
use osnl_config::{Kind, OptionDef, OptionValue, Options as _, options, shown};
use osnl_openstack::ApiSecret;

options! {
    pub(super) struct AdminOptions {
        listen: Option<AdminAddress> => "Address of the endpoint, such as 127.0.0.1:9464. An address other than loopback needs TLS, and a token or client certificates.";
        token: Vec<(String, ApiSecret)> as tokens, secret, written("list") => "Bearer token that each request must have, at least 16 characters; or a list of NAME:TOKEN, so that the log names who made a change. /livez and /readyz answer without it, but give no reasons.";
        tls_certificate: Option<PathBuf>, otherwise(PEM) => "PEM file of the endpoint's certificate and its chain. It is read again when it changes.";
        tls_key: Option<PathBuf>, otherwise(PEM) => "PEM file of the certificate's key. Without it, the key is read from tls_certificate.";
        client_ca_file: Option<PathBuf>, otherwise(PEM) => "PEM file of the authorities of client certificates. With it, each client must have a certificate.";
        allow_changes: bool = "false" => "true: requests may change deliveries, pause actions, and reload. Needs a token, client certificates, or a Unix socket.";
        host_names: Option<Vec<String>> as host_names, written("list") => "Host names of the endpoint, besides addresses and localhost. A request with another Host header is refused.";
        environment: Option<String> as environment => "Short text that each page shows beside the host, and in its title: production, region north.";
    }
}

const PEM: &str = "write the path of a PEM file, or remove the line";
const ADDRESSES: &str = "write ADDRESS:PORT, such as 127.0.0.1:9464, or unix:/path";
/// A shorter token could be guessed.
const LEAST_TOKEN: usize = 16;
const LONGEST_ENVIRONMENT: usize = 60;

/// The settings of `[admin]`, which serves health, metrics, and the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConf {
    pub listen: AdminAddress,
    /// Each with the name of its owner, which may be empty.
    pub tokens: Vec<(String, ApiSecret)>,
    pub tls: Option<AdminTls>,
    pub allow_changes: bool,
    /// Accepted names in `Host`, beside addresses and localhost.
    pub host_names: Vec<String>,
    pub environment: String,
}

/// The address at which the admin endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The files of the admin endpoint's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_ca: Option<PathBuf>,
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl AdminConf {
    #[must_use]
    pub fn knows_callers(&self) -> bool {
        self.has_proof() || matches!(self.listen, AdminAddress::Unix(_))
    }

    /// Whether each caller must have a token or a certificate.
    #[must_use]
    pub fn has_proof(&self) -> bool {
        let has_certificates = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        !self.tokens.is_empty() || has_certificates
    }
}

pub(super) fn admin(reader: &mut SectionReader<'_>) -> Option<Option<AdminConf>> {
    let own = AdminOptions::read(reader);
    let has_certificate = has_certificate(reader);
    let own = own?;
    let tls = tls(reader, &own);
    let Some(listen) = own.listen else {
        let is_idle = |option: &&OptionDef| {
            reader.is_set(option.name) && (option.name != "allow_changes" || own.allow_changes)
        };
        for option in AdminOptions::OPTIONS.iter().filter(is_idle).collect::<Vec<_>>() {
            reader.warn(option.name, "has no effect without listen", "set listen, or remove the line");
        }
        return Some(None);
    };
    let conf = AdminConf {
        listen,
        tokens: own.token,
        tls,
        allow_changes: own.allow_changes,
        host_names: own.host_names.unwrap_or_default(),
        environment: own.environment.unwrap_or_default(),
    };
    has_certificate?;
    guarded(reader, &conf)?;
    Some(Some(conf))
}

fn guarded(reader: &mut SectionReader<'_>, conf: &AdminConf) -> Option<()> {
    if let AdminAddress::Tcp(address) = conf.listen
        && !address.ip().is_loopback()
    {
        if conf.tls.is_none() {
            let allowed = "set tls_certificate and tls_key, or listen on 127.0.0.1 or unix:/path";
            return reader.refuse("listen", "is not a loopback address and has no TLS", allowed);
        }
        if !conf.knows_callers() {
            let allowed = "set token or client_ca_file, or listen on 127.0.0.1 or unix:/path";
            return reader.refuse(
                "listen",
                "would accept requests from every host that can connect",
                allowed,
            );
        }
    }
    if conf.allow_changes && !conf.knows_callers() {
        let problem = "would let every user of this machine change deliveries";
        return reader.refuse(
            "allow_changes",
            problem,
            "set token or client_ca_file, or listen on unix:/path",
        );
    }
    if let (AdminAddress::Unix(_), Some(_)) = (&conf.listen, &conf.tls) {
        return reader.refuse("tls_certificate", "has no effect for a Unix socket", "remove the line");
    }
    Some(())
}

impl OptionValue for AdminAddress {
    const KIND: Kind = Kind::Form("ADDRESS:PORT or unix:/path");

    fn parse(text: &str, _: &OptionDef) -> Result<Self, ValueRefusal> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') => {
                Ok(Self::Unix(path.into()))
            }
            Some(_) => Err(ValueRefusal::new("names no absolute path behind unix:", ADDRESSES)),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| ValueRefusal::new(format!("{} is not an address", shown(text)), ADDRESSES)),
        }
    }
}

fn tokens(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<(String, ApiSecret)>> {
    if !reader.is_set(option.name) {
        return Some(Vec::new());
    }
    let text = reader.text(option.name)?;
    let allowed = "write at least 16 visible characters, such as those of openssl rand -hex 32, or NAME:TOKEN, \
                   NAME:TOKEN, or file:///path";
    let mut tokens: Vec<(String, ApiSecret)> = Vec::new();
    let each = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|one| !one.is_empty());
    for one in each {
        let (name, token) = one.split_once(':').unwrap_or(("", one));
        let is_double = || tokens.iter().any(|(known, other)| known == name || other.reveal() == token);
        let problem = match () {
            () if token.len() < LEAST_TOKEN => "is too short",
            () if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                "has characters that no header can have"
            }
            () if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) => {
                "has a name with other characters than letters, digits, ., _, and -"
            }
            () if is_double() => "has a name or a token twice",
            () => {
                tokens.push((name.to_owned(), ApiSecret::new(token.to_owned())));
                continue;
            }
        };
        return reader.refuse(option.name, problem, allowed);
    }
    if tokens.is_empty() {
        return reader.refuse(option.name, "is too short", allowed);
    }
    Some(tokens)
}

/// Reads names as in a `Host` header, because another spelling would never match.
fn host_names(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<Vec<String>>> {
    let Some(names) = <Option<Vec<String>>>::read(reader, option)? else { return Some(None) };
    let is_name = |name: &String| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            && !name.ends_with('.')
    };
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        let problem = format!("{} is not a host name", shown(name));
        let allowed = "write names alone, such as osnl1.example.com: no scheme, port, or wildcard";
        return reader.refuse("host_names", &problem, allowed);
    }
    Some(Some(names.into_iter().map(|name| name.to_ascii_lowercase()).collect()))
}

fn environment(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<String>> {
    let text = <Option<String>>::read(reader, option)?;
    if text.as_ref().is_some_and(|text| text.chars().count() > LONGEST_ENVIRONMENT) {
        let allowed = "write at most 60 characters, such as production, region north";
        return reader.refuse(option.name, "is too long for the head of a page", allowed);
    }
    Some(text)
}

fn has_certificate(reader: &mut SectionReader<'_>) -> Option<()> {
    let mut files = ["tls_key", "client_ca_file"].into_iter();
    let lone = files.find(|option| reader.is_set(option) && !reader.is_set("tls_certificate"));
    lone.map_or(Some(()), |option| {
        reader.refuse(option, "needs tls_certificate", "name the certificate's file there")
    })
}

fn tls(reader: &mut SectionReader<'_>, own: &AdminOptions) -> Option<AdminTls> {
    let certificate = own.tls_certificate.clone()?;
    let key = own.tls_key.clone().unwrap_or_else(|| certificate.clone());
    reader.warn_of_open("tls_key", &key, "a private key");
    Some(AdminTls { certificate, key, client_ca: own.client_ca_file.clone() })
}
