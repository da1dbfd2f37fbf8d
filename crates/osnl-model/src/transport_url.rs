//! `rabbit://user:password@host:port,host:port/virtual_host?option=value`
//!
//! The grammar is oslo.messaging's, deviations included:
//!
//! - several hosts, separated by commas, each with its own credentials: they are not inherited;
//! - user information ends at the *last* `@`, the user at the first `:`; both are percent-decoded, and `+`
//!   is a plus;
//! - without a user (password), `guest` is meant; without a host, `localhost`; without a virtual host, `/`,
//!   which may also be written `//` or `/%2F`;
//! - an empty URL means `rabbit://`; empty hosts in a list are skipped; a `#fragment` is ignored;
//! - a `%` that begins no escape stands for itself.
//!
//! Unlike there, `%2F` may stand in a password, and a port above 65535 is refused.
//!
//! Whether a driver exists, and whether it knows an option of the query, is not judged here.

mod parse;
mod print;
mod secret;

use std::str::FromStr;

use thiserror::Error;

pub use secret::Secret;

/// The addresses of the brokers and the login. Debug and Display hide the passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct TransportUrl {
    driver: String,
    hosts: Vec<TransportHost>,
    virtual_host: Option<String>,
    query: Vec<(String, String)>,
    folded_dollars: bool,
}

/// One broker of a [`TransportUrl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportHost {
    /// A host name or an address; an IPv6 address has no brackets here. Never empty.
    pub hostname: String,
    /// The port, if one is given.
    pub port: Option<u16>,
    /// The user, if one is given; never empty.
    pub username: Option<String>,
    /// The password, if one is given; never empty.
    pub password: Option<Secret>,
}

/// The reasons why a transport URL cannot be read. The message names the wrong part and never repeats it: the rest of a
/// password may look like a port.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransportUrlError {
    /// There is no `driver://`, or the driver's name is no URL scheme.
    #[error("invalid scheme: the URL must begin like rabbit://")]
    Scheme,
    /// A port is no number from 0 to 65535.
    #[error(
        "invalid port of host {number}: not a number up to 65535 \
         (in a password, write / as %2F, @ as %40, ? as %3F, # as %23 and a comma as %2C)"
    )]
    Port {
        /// The number of the host, counted from 1.
        number: usize,
    },
    /// A host has blanks, a bracket without its counterpart, or text between bracket and port.
    #[error("invalid host {number}: brackets do not match, or there is a space")]
    Host {
        /// The number of the host, counted from 1.
        number: usize,
    },
    /// A percent escape does not give UTF-8.
    #[error("invalid percent escape in the {part}: not UTF-8")]
    PercentEscape {
        /// `user`, `password`, `virtual host` or `query`.
        part: &'static str,
    },
}

impl TransportUrl {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// See [`TransportUrlError`]; the message never has any of the URL's text in it.
    pub fn parse(url: &str) -> Result<Self, TransportUrlError> {
        parse::transport_url(url)
    }

    /// The driver (the scheme) in lower case, such as `rabbit`.
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The brokers, at least one, in the order they are written in.
    pub fn hosts(&self) -> &[TransportHost] {
        &self.hosts
    }

    /// The hosts without user and password beside others that have them: `guest` is meant there, since credentials
    /// are not inherited, and hardly ever intended.
    pub fn hosts_without_login(&self) -> impl Iterator<Item = &TransportHost> {
        let without = |host: &&TransportHost| host.username.is_none() && host.password.is_none();
        let any_with = self.hosts.iter().any(|host| !without(&host));
        self.hosts.iter().filter(move |host| any_with && without(host))
    }

    /// The virtual host, `/` if none is given.
    pub fn virtual_host(&self) -> &str {
        self.virtual_host.as_deref().unwrap_or("/")
    }

    /// The options after `?`, decoded, in the order they are written in, repetitions included.
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// The same URL with one more option in its query.
    #[must_use]
    pub fn with_option(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Notes that `$$` stood where it has `$` now.
    #[must_use]
    pub fn with_folded_dollars(mut self, folded: bool) -> Self {
        self.folded_dollars = folded;
        self
    }

    /// Whether `$$` stood where it has `$` now, which a password may have meant.
    pub fn has_folded_dollars(&self) -> bool {
        self.folded_dollars
    }

    /// The URL with its passwords, such that reading it gives an equal value. Not for logs.
    pub fn to_string_with_secrets(&self) -> String {
        print::url(self, true)
    }
}

impl TransportHost {
    /// User and password, `guest` for each that is not given.
    pub fn credentials(&self) -> (&str, &str) {
        (self.username.as_deref().unwrap_or("guest"), self.password.as_ref().map_or("guest", Secret::expose))
    }

    /// The port, or the one the driver uses when none is given: `port_or(5672)`.
    pub fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }
}

impl FromStr for TransportUrl {
    type Err = TransportUrlError;

    fn from_str(url: &str) -> Result<Self, TransportUrlError> {
        Self::parse(url)
    }
}
