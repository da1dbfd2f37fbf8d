//! The connection as operators write it for OpenStack's services: `postgresql://osnl:secret@db1,db2/osnl`.
//!
//! | part | meaning |
//! | --- | --- |
//! | `postgresql+psycopg2://` | the driver behind `+` is one of Python, and ignored |
//! | user, password | percent-encoded; the password may be in a file instead: `?password_file=/etc/osnl/journal.password` |
//! | hosts | several with commas, each with its port; the first that takes writes is used, and a silent one delays the next little |
//! | `sslmode` | `disable`, `prefer` (default), `require`, `verify-ca`, `verify-full` |
//! | `sslrootcert`, `sslcert`, `sslkey` | files; without `sslrootcert`, the system's certificates |
//! | `connect_timeout` | seconds for each host, 10 by default |
//! | `client_encoding` | ignored, as is `charset`: the session is in UTF-8 |
//!
//! `prefer` and `require` encrypt and check nothing, as for every client of PostgreSQL.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

/// The checks of the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerCheck {
    Nothing,
    Chain,
    ChainAndName,
}

/// A connection. Its text and its `Debug` form have no password.
#[derive(Clone)]
pub struct ConnectionUrl {
    /// Without hosts.
    config: Config,
    hosts: Vec<(String, u16)>,
    pub(crate) checked: ServerCheck,
    pub(crate) root: Option<PathBuf>,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    shown: String,
}

/// Why a URL cannot be used. It never repeats the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// Another database, or no URL.
    #[error("must begin with postgresql://, as in postgresql://osnl:password@db.example.com/osnl")]
    Scheme,
    /// A part is missing.
    #[error("{0} is required, as in postgresql://osnl:password@db.example.com/osnl")]
    Missing(&'static str),
    /// A part cannot be read.
    #[error("{0} cannot be read: percent-encode : / ? # [ ] @ % and ,")]
    Unreadable(&'static str),
    /// An option that is not known, and those that are.
    #[error("unknown option {0:?}; allowed: {OPTIONS}")]
    Option(String),
    /// A value that is not allowed.
    #[error("unknown value {1:?} of {0}; allowed: {2}")]
    Value(&'static str, String, &'static str),
    /// A file that cannot be read.
    #[error("{0}: {1}")]
    File(PathBuf, String),
}

const OPTIONS: &str =
    "sslmode, sslrootcert, sslcert, sslkey, connect_timeout, password_file, client_encoding, charset";

impl ConnectionUrl {
    /// Reads a URL, and the file of its password.
    ///
    /// # Errors
    /// See [`DatabaseUrlError`].
    pub fn parse(url: &str) -> Result<Self, DatabaseUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(DatabaseUrlError::Scheme)?;
        if !["postgresql", "postgres"].contains(&scheme.split('+').next().unwrap_or_default()) {
            return Err(DatabaseUrlError::Scheme);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').ok_or(DatabaseUrlError::Missing("the database"))?;
        let (login, hosts) = authority.rsplit_once('@').ok_or(DatabaseUrlError::Missing("the user"))?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(decoded("the password", password)?)),
            None => (login, None),
        };
        let (user, database) = (decoded("the user", user)?, decoded("the database", database)?);
        for (part, text) in
            [("the user", &user), ("the database", &database), ("the host", &hosts.to_owned())]
        {
            if text.is_empty() {
                return Err(DatabaseUrlError::Missing(part));
            }
        }
        let mut config = Config::new();
        config.user(&user).dbname(&database).application_name("osnl");
        config.connect_timeout(Duration::from_secs(10)).tcp_user_timeout(Duration::from_secs(10));
        config.target_session_attrs(TargetSessionAttrs::ReadWrite).ssl_mode(SslMode::Prefer);
        let mut parsed_hosts = Vec::new();
        for host in hosts.split(',') {
            let (host, port) = host_and_port(host).ok_or(DatabaseUrlError::Unreadable("the host"))?;
            parsed_hosts.push((host.to_owned(), port));
        }
        if let Some(password) = password {
            config.password(password);
        }
        let shown = format!("postgresql://{user}@{hosts}/{database}");
        let (checked, hosts) = (ServerCheck::Nothing, parsed_hosts);
        let mut url = Self { config, hosts, checked, root: None, identity: None, shown };
        url.set_options(query)?;
        Ok(url)
    }

    /// Whether a fail-over to another host is intended.
    pub(crate) fn has_several_hosts(&self) -> bool {
        self.hosts.len() > 1
    }

    /// Returns the configuration for each host, in their order.
    pub(crate) fn configs(&self) -> Vec<Config> {
        let of_host = |(host, port): &(String, u16)| {
            let mut config = self.config.clone();
            config.host(host).port(*port);
            config
        };
        self.hosts.iter().map(of_host).collect()
    }

    fn set_options(&mut self, query: &str) -> Result<(), DatabaseUrlError> {
        let (mut certificate, mut key) = (None, None);
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = decoded("an option", value)?;
            match name {
                "sslmode" => self.set_ssl_mode(value)?,
                "sslrootcert" => self.root = Some(value.into()),
                "sslcert" => certificate = Some(PathBuf::from(value)),
                "sslkey" => key = Some(PathBuf::from(value)),
                "connect_timeout" => {
                    let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                    let wrong = || {
                        DatabaseUrlError::Value("connect_timeout", value.clone(), "1 and more, in seconds")
                    };
                    self.config.connect_timeout(Duration::from_secs(seconds.ok_or_else(wrong)?));
                }
                "password_file" => {
                    let path = PathBuf::from(value);
                    let text = std::fs::read_to_string(&path);
                    let text = text.map_err(|error| DatabaseUrlError::File(path, error.to_string()))?;
                    self.config.password(text.trim_end_matches(['\r', '\n']));
                }
                "client_encoding" | "charset" => {}
                other => return Err(DatabaseUrlError::Option(other.to_owned())),
            }
        }
        self.identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(DatabaseUrlError::Missing("sslkey, beside sslcert,")),
            (None, Some(_)) => return Err(DatabaseUrlError::Missing("sslcert, beside sslkey,")),
        };
        Ok(())
    }

    fn set_ssl_mode(&mut self, value: String) -> Result<(), DatabaseUrlError> {
        let (mode, checked) = match &*value {
            "disable" => (SslMode::Disable, ServerCheck::Nothing),
            "prefer" => (SslMode::Prefer, ServerCheck::Nothing),
            "require" => (SslMode::Require, ServerCheck::Nothing),
            "verify-ca" => (SslMode::Require, ServerCheck::Chain),
            "verify-full" => (SslMode::Require, ServerCheck::ChainAndName),
            _ => {
                let allowed = "disable, prefer, require, verify-ca, verify-full";
                return Err(DatabaseUrlError::Value("sslmode", value, allowed));
            }
        };
        self.config.ssl_mode(mode);
        self.checked = checked;
        Ok(())
    }
}

fn decoded(part: &'static str, text: &str) -> Result<String, DatabaseUrlError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| DatabaseUrlError::Unreadable(part))?;
    // The protocol ends strings with it.
    if text.contains('\0') { Err(DatabaseUrlError::Unreadable(part)) } else { Ok(text.into_owned()) }
}

fn host_and_port(host: &str) -> Option<(&str, u16)> {
    let (name, port) = match host.strip_prefix('[') {
        Some(bracketed) => {
            let (name, rest) = bracketed.split_once(']')?;
            (name, rest.strip_prefix(':'))
        }
        None => host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let port = port.map_or(Some(5432), |port| port.parse().ok())?;
    // A path would be that of a socket.
    (!name.is_empty() && !name.contains('%') && !name.starts_with('/')).then_some((name, port))
}

impl fmt::Display for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_openstack_services_are_read_and_shown_without_their_password() {
        let check = |url: &str, expected: &str| {
            let parsed = ConnectionUrl::parse(url).unwrap();
            let host = |config: Config| format!("{:?}:{}", config.get_hosts()[0], config.get_ports()[0]);
            let hosts: Vec<String> = parsed.configs().into_iter().map(host).collect();
            let password = parsed.config.get_password().map(String::from_utf8_lossy).unwrap_or_default();
            let mode = (parsed.config.get_ssl_mode(), parsed.checked);
            assert_eq!(format!("{parsed} {hosts:?} {password} {mode:?}"), expected);
            for shown in [parsed.to_string(), format!("{parsed:?}")] {
                assert!(!shown.contains("secret"), "{shown}");
            }
        };
        check(
            "postgresql+psycopg2://nova:secret%40%2F@vip/nova?client_encoding=utf8",
            r#"postgresql://nova@vip/nova ["Tcp(\"vip\"):5432"] secret@/ (Prefer, Nothing)"#,
        );
        check(
            "postgres://osnl:secret@db1:5433,[::1]:6000,[fe80::2]/osnl?sslmode=verify-full",
            "postgresql://osnl@db1:5433,[::1]:6000,[fe80::2]/osnl \
             [\"Tcp(\\\"db1\\\"):5433\", \"Tcp(\\\"::1\\\"):6000\", \"Tcp(\\\"fe80::2\\\"):5432\"] secret (Require, ChainAndName)",
        );
    }

    #[test]
    fn the_password_may_be_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "secret\n").unwrap();
        let url = format!("postgresql://osnl@db/osnl?password_file={}", file.display());
        assert_eq!(ConnectionUrl::parse(&url).unwrap().config.get_password(), Some(&b"secret"[..]));
    }

    #[test]
    fn a_refusal_names_the_part_and_not_the_password() {
        for (url, expected) in [
            ("mysql://a:secret@h/d", "must begin with postgresql://"),
            ("postgresql://h/d", "the user is required"),
            ("postgresql://a:secret@h", "the database is required"),
            ("postgresql://a:secret@/d", "the host is required"),
            ("postgresql://a:secret@h:x/d", "the host cannot be read"),
            ("postgresql://a:secret%00@h/d", "the password cannot be read"),
            ("postgresql://a:secret@h/d?sslmode=verify", "unknown value \"verify\" of sslmode"),
            ("postgresql://a:secret@h/d?options=x", "unknown option \"options\""),
            ("postgresql://a:secret@h/d?sslkey=x", "sslcert, beside sslkey, is required"),
            ("postgresql://a@h/d?password_file=/nowhere/x", "/nowhere/x: No such file"),
            ("postgresql://a:secret@h/d?connect_timeout=0", "unknown value \"0\" of connect_timeout"),
        ] {
            let said = ConnectionUrl::parse(url).unwrap_err().to_string();
            assert!(said.starts_with(expected) && !said.contains("secret"), "{url}: {said}");
        }
    }
}
