//! The connection as operators write it for OpenStack's services: `postgresql://osnl:secret@db1,db2/osnl`.
//!
//! | part | meaning |
//! | --- | --- |
//! | `postgresql+psycopg2://` | the driver behind `+` is one of Python, and ignored |
//! | user, password | percent-encoded; the password may be in a file instead: `?password_file=/etc/osnl/journal.password`, which is read for each connection |
//! | hosts | several with commas, each with its port; the first that takes writes is used, and a silent one delays the next little |
//! | `sslmode` | `disable`, `prefer`, `require`, `verify-ca`, `verify-full`; by default `verify-full`, and `prefer` for a host that is this machine, without `sslrootcert` |
//! | `sslrootcert`, `sslcert`, `sslkey` | files; without `sslrootcert`, the system's certificates |
//! | `require_auth` | the logins that the server may ask for: `password`, `md5`, `scram-sha-256`, `none`, with commas; by default all, and neither `password` nor `md5` from another machine whose certificate is not checked |
//! | `connect_timeout` | seconds for each host, 10 by default |
//! | `client_encoding` | ignored, as is `charset`: the session is in UTF-8 |
//!
//! `prefer` and `require` encrypt without checks, so a false server could ask for the password.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use osnl_model::{LoginProtection, SentLogin, is_this_machine};
use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, SslNegotiation, TargetSessionAttrs};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionSecurity {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuthMethods {
    pub(crate) password: bool,
    /// A digest of the password that allows guessing, and can be used in the password's place.
    pub(crate) md5: bool,
    pub(crate) scram: bool,
    pub(crate) none: bool,
}

/// A connection. Its text and its `Debug` form have no password.
#[derive(Clone)]
pub struct ConnectionUrl {
    config: Config,
    hosts: Vec<(String, u16)>,
    security: Option<SessionSecurity>,
    methods: Option<AuthMethods>,
    pub(crate) root: Option<PathBuf>,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    login_file: Option<LoginFile>,
    shown: String,
}

/// A file with the login. The file is read for each connection, because a password may change while the
/// program runs.
#[derive(Clone)]
enum LoginFile {
    Password(PathBuf),
    /// The whole URL, of which only user and password count.
    Url(PathBuf),
}

/// The text never repeats the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    #[error("must begin with postgresql://, as in postgresql://osnl:password@db.example.com/osnl")]
    Scheme,
    #[error("{0} is required, as in postgresql://osnl:password@db.example.com/osnl")]
    Missing(&'static str),
    #[error("{0} cannot be read: percent-encode : / ? # [ ] @ % and ,")]
    Unreadable(&'static str),
    #[error("unknown option {0:?}; allowed: {OPTIONS}")]
    Option(String),
    #[error("unknown value {1:?} of {0}; allowed: {2}")]
    Value(&'static str, String, &'static str),
    #[error("{0}: {1}")]
    File(PathBuf, String),
}

const OPTIONS: &str = "sslmode, sslrootcert, sslcert, sslkey, require_auth, connect_timeout, password_file, client_encoding, charset";

impl AuthMethods {
    pub(crate) const ALL: Self = Self { password: true, md5: true, scram: true, none: true };
    pub(crate) const WITHOUT_PASSWORD: Self = Self { password: false, md5: false, ..Self::ALL };

    fn read(text: &str) -> Option<Self> {
        let mut methods = Self { password: false, md5: false, scram: false, none: false };
        for word in text.split(',') {
            match word.trim() {
                "password" => methods.password = true,
                "md5" => methods.md5 = true,
                "scram-sha-256" => methods.scram = true,
                "none" => methods.none = true,
                _ => return None,
            }
        }
        Some(methods)
    }
}

impl ConnectionUrl {
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
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        // The library hands over each socket at once, and `tls` negotiates by the mode.
        config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        let mut parsed_hosts = Vec::new();
        for host in hosts.split(',') {
            let (host, port) = host_and_port(host).ok_or(DatabaseUrlError::Unreadable("the host"))?;
            parsed_hosts.push((host.to_owned(), port));
        }
        if let Some(password) = password {
            config.password(password);
        }
        let shown = format!("postgresql://{user}@{hosts}/{database}");
        let (security, methods, hosts) = (None, None, parsed_hosts);
        let mut url =
            Self { config, hosts, security, methods, root: None, identity: None, login_file: None, shown };
        url.set_options(query)?;
        Ok(url)
    }

    /// Sets the file that has the URL; `None` changes nothing.
    #[must_use]
    pub fn in_file(mut self, file: Option<PathBuf>) -> Self {
        // A file with the password alone takes precedence.
        self.login_file = self.login_file.or(file.map(LoginFile::Url));
        self
    }

    pub(crate) fn has_several_hosts(&self) -> bool {
        self.hosts.len() > 1
    }

    /// Returns a configuration per host, in their order, with the login that is in the file now. A file
    /// without a login, as while it is replaced, changes nothing.
    pub(crate) fn configs(&self) -> Vec<Config> {
        let mut now = self.config.clone();
        match &self.login_file {
            None => {}
            Some(LoginFile::Password(path)) => {
                if let Some(password) = read_password(path).ok().filter(|text| !text.is_empty()) {
                    now.password(password);
                }
            }
            Some(LoginFile::Url(path)) => {
                let text = std::fs::read_to_string(path).unwrap_or_default();
                if let Ok(Self { config, .. }) = Self::parse(text.trim_end_matches(['\r', '\n'])) {
                    if let Some(user) = config.get_user() {
                        now.user(user);
                    }
                    if let Some(password) = config.get_password() {
                        now.password(password);
                    }
                }
            }
        }
        let of_host = |(host, port): &(String, u16)| {
            let mut config = now.clone();
            config.host(host).port(*port);
            config
        };
        self.hosts.iter().map(of_host).collect()
    }

    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|(host, _)| host.as_str())
    }

    pub(crate) fn security(&self, host: &str) -> SessionSecurity {
        self.security.unwrap_or_else(|| match is_this_machine(host) && self.root.is_none() {
            true => SessionSecurity::Prefer,
            false => SessionSecurity::VerifyFull,
        })
    }

    pub(crate) fn methods(&self, host: &str) -> AuthMethods {
        self.methods.unwrap_or_else(|| match is_this_machine(host) || self.knows(host) {
            true => AuthMethods::ALL,
            false => AuthMethods::WITHOUT_PASSWORD,
        })
    }

    /// Whether a session must reach that host or fail: without a name, an authority that the system trusts
    /// certifies anyone.
    fn knows(&self, host: &str) -> bool {
        match self.security(host) {
            SessionSecurity::VerifyFull => true,
            SessionSecurity::VerifyCa => self.root.is_some(),
            SessionSecurity::Disable | SessionSecurity::Prefer | SessionSecurity::Require => false,
        }
    }

    pub(crate) fn logins(&self) -> Vec<SentLogin> {
        let of_host = |host: &str| {
            let protection = match self.security(host) {
                _ if self.knows(host) => LoginProtection::Verified,
                SessionSecurity::Disable | SessionSecurity::Prefer => LoginProtection::Clear,
                SessionSecurity::Require | SessionSecurity::VerifyCa | SessionSecurity::VerifyFull => {
                    LoginProtection::Unverified
                }
            };
            SentLogin::new(
                "connection",
                host,
                protection,
                "set sslmode=verify-full, with sslrootcert for an own authority",
            )
        };
        self.hosts().map(of_host).collect()
    }

    fn set_options(&mut self, query: &str) -> Result<(), DatabaseUrlError> {
        let (mut certificate, mut key) = (None, None);
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = decoded("an option", value)?;
            match name {
                "sslmode" => self.set_ssl_mode(value)?,
                "sslrootcert" => self.root = Some(value.into()),
                "require_auth" => {
                    let wrong = || {
                        DatabaseUrlError::Value(
                            "require_auth",
                            value.clone(),
                            "password, md5, scram-sha-256, none",
                        )
                    };
                    self.methods = Some(AuthMethods::read(&value).ok_or_else(wrong)?);
                }
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
                    let password = read_password(&path)
                        .map_err(|error| DatabaseUrlError::File(path.clone(), error.to_string()))?;
                    self.config.password(password);
                    self.login_file = Some(LoginFile::Password(path));
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
        self.security = Some(match &*value {
            "disable" => SessionSecurity::Disable,
            "prefer" => SessionSecurity::Prefer,
            "require" => SessionSecurity::Require,
            "verify-ca" => SessionSecurity::VerifyCa,
            "verify-full" => SessionSecurity::VerifyFull,
            _ => {
                let allowed = "disable, prefer, require, verify-ca, verify-full";
                return Err(DatabaseUrlError::Value("sslmode", value, allowed));
            }
        });
        Ok(())
    }
}

fn read_password(path: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn decoded(part: &'static str, text: &str) -> Result<String, DatabaseUrlError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| DatabaseUrlError::Unreadable(part))?;
    // The protocol ends strings with NUL.
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
    // A path would name a socket.
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
            let mode: Vec<_> = parsed.hosts().map(|host| parsed.security(host)).collect();
            assert_eq!(format!("{parsed} {hosts:?} {password} {mode:?}"), expected);
            for shown in [parsed.to_string(), format!("{parsed:?}")] {
                assert!(!shown.contains("secret"), "{shown}");
            }
        };
        check(
            "postgresql+psycopg2://nova:secret%40%2F@vip/nova?client_encoding=utf8",
            r#"postgresql://nova@vip/nova ["Tcp(\"vip\"):5432"] secret@/ [VerifyFull]"#,
        );
        check(
            "postgres://osnl:secret@db1:5433,[::1]:6000,[fe80::2]/osnl?sslmode=verify-full",
            "postgresql://osnl@db1:5433,[::1]:6000,[fe80::2]/osnl \
             [\"Tcp(\\\"db1\\\"):5433\", \"Tcp(\\\"::1\\\"):6000\", \"Tcp(\\\"fe80::2\\\"):5432\"] secret [VerifyFull, VerifyFull, VerifyFull]",
        );
    }

    /// Another machine's certificate is checked unless the operator disables that; without a check, the
    /// server gets no password that it could keep.
    #[test]
    fn a_host_that_is_not_checked_gets_no_password_and_is_named() {
        let check =
            |hosts: &str, query: &str, securities: &[SessionSecurity], is_given: bool, said: &[&str]| {
                let url =
                    ConnectionUrl::parse(&format!("postgresql://osnl:secret@{hosts}/osnl{query}")).unwrap();
                let found: Vec<_> = url.hosts().map(|host| url.security(host)).collect();
                assert_eq!(found, securities, "{hosts} {query}");
                let methods: Vec<_> = url.hosts().map(|host| url.methods(host)).collect();
                assert!(
                    methods.iter().all(|methods| methods.password == is_given),
                    "{hosts} {query} {methods:?}"
                );
                let findings: Vec<_> =
                    url.logins().iter().filter_map(|login| Some(login.finding()?.0)).collect();
                assert!(
                    findings.len() == said.len()
                        && findings.iter().zip(said).all(|(text, part)| text.contains(part)),
                    "{hosts} {query} {findings:?}"
                );
            };
        use SessionSecurity::{Disable, Prefer, Require, VerifyCa, VerifyFull};
        check("db.example.net", "", &[VerifyFull], true, &[]);
        check("127.0.0.1", "", &[Prefer], true, &[]);
        check("[::1],localhost", "", &[Prefer, Prefer], true, &[]);
        check("127.0.0.1", "?sslrootcert=/ca", &[VerifyFull], true, &[]);
        check("127.0.0.1", "?sslmode=require", &[Require], true, &[]);
        check("192.0.2.1", "?sslmode=disable", &[Disable], false, &["in clear"]);
        check("192.0.2.1", "?sslmode=prefer", &[Prefer], false, &["in clear"]);
        check("192.0.2.1", "?sslmode=require", &[Require], false, &["not checked"]);
        check("192.0.2.1", "?sslmode=verify-ca", &[VerifyCa], false, &["not checked"]);
        check("192.0.2.1", "?sslmode=verify-ca&sslrootcert=/ca", &[VerifyCa], true, &[]);
        check(
            "a,b",
            "?sslmode=disable&require_auth=password",
            &[Disable, Disable],
            true,
            &["a in clear", "b in clear"],
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
    fn issue_46_a_login_that_changes_in_its_file_is_that_of_the_next_connection() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let login = |url: &ConnectionUrl| {
            let logins = url.configs().into_iter().map(|config| {
                let password =
                    String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned();
                format!("{} {password} {:?}", config.get_user().unwrap(), config.get_hosts()[0])
            });
            logins.collect::<Vec<_>>().join(", ")
        };
        std::fs::write(&file, "before\n").unwrap();
        let url = format!("postgresql://osnl@db1,db2/osnl?password_file={}", file.display());
        let url = ConnectionUrl::parse(&url).unwrap();
        std::fs::write(&file, "behind\n").unwrap();
        assert_eq!(login(&url), r#"osnl behind Tcp("db1"), osnl behind Tcp("db2")"#);
        // The file is empty while it is replaced, and later missing.
        std::fs::write(&file, "").unwrap();
        assert_eq!(login(&url), r#"osnl before Tcp("db1"), osnl before Tcp("db2")"#);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(login(&url), r#"osnl before Tcp("db1"), osnl before Tcp("db2")"#);

        let whole = "postgresql://osnl:before@db/osnl";
        let url = ConnectionUrl::parse(whole).unwrap().in_file(Some(file.clone()));
        for (text, expected) in [
            (whole, "osnl before Tcp(\"db\")"),
            ("postgresql://osnl2:behind@db/osnl\n", "osnl2 behind Tcp(\"db\")"),
            ("postgresql://osnl:behind@other/osnl", "osnl behind Tcp(\"db\")"),
            ("half of", "osnl before Tcp(\"db\")"),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(login(&url), expected, "{text}");
        }
        assert!(!format!("{url:?} {url}").contains("before"));
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
            ("postgresql://a:secret@h/d?require_auth=gss", "unknown value \"gss\" of require_auth"),
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
