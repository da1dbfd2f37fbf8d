//! The transport URL of oslo.messaging:
//! `rabbit://user:password@host:port,host:port/virtual_host?option=value`
//!
//! The grammar is oslo.messaging's, deviations from URLs included:
//!
//! - commas separate several hosts, each with its own credentials, which the next host does not
//!   inherit;
//! - user information ends at the *last* `@`, the user at the first `:`; both are percent-decoded,
//!   and `+` is a plus;
//! - the default user and password are `guest`, the default host is `localhost`, the default
//!   virtual host is `/`, which may also be written `//` or `/%2F`;
//! - an empty URL means `rabbit://`; empty hosts in a list are skipped; a `#fragment` is ignored;
//! - a `%` that begins no escape is literal, and a host has none, but for the zone of an IPv6 address.
//!
//! Unlike oslo.messaging, this parser accepts `%2F` in a password and refuses a port above 65535.

mod parse;
mod print;
mod secret;

use std::str::FromStr;

use thiserror::Error;

use crate::redact::may_hold_password;

pub use secret::Secret;

/// The address of a broker, with its logins, as oslo.messaging's `transport_url` writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct TransportUrl {
    driver: String,
    hosts: Vec<TransportHost>,
    virtual_host: Option<String>,
    query: Vec<(String, String)>,
    folded_dollars: bool,
}

/// One host of a broker's address. Its Debug form shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct TransportHost {
    /// A host name or an address, never empty; an IPv6 address has no brackets here.
    pub hostname: String,
    pub port: Option<u16>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Whether the user may be the rest of a password with a comma: it has no password, and a host before has no login.
    may_be_cut: bool,
}

/// The reasons why a transport URL cannot be read. The message names the wrong part and never
/// repeats it, because the rest of a password may look like a port.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransportUrlError {
    #[error("invalid scheme: the URL must begin like rabbit://")]
    Scheme,
    #[error(
        "invalid port of host {number}: not a number up to 65535 \
         (in a password, write / as %2F, @ as %40, ? as %3F, # as %23 and a comma as %2C)"
    )]
    Port { number: usize },
    #[error("invalid host {number}: brackets do not match, or a character is none of a host's name")]
    Host { number: usize },
    #[error(
        "invalid host {number}: hosts are separated by commas alone, user:password@host:port,user:password@host:port \
         (in a user or password, write ; as %3B and a blank as %20)"
    )]
    Separator { number: usize },
    #[error("invalid percent escape in the {part}: not UTF-8")]
    PercentEscape { part: &'static str },
}

impl TransportUrl {
    pub fn parse(url: &str) -> Result<Self, TransportUrlError> {
        parse::transport_url(url)
    }

    pub fn driver(&self) -> &str {
        &self.driver
    }

    pub fn hosts(&self) -> &[TransportHost] {
        &self.hosts
    }

    /// Returns the hosts without user and password beside hosts that have both. Credentials are not
    /// inherited, so such a host uses `guest`, which is hardly ever intended.
    pub fn hosts_without_login(&self) -> impl Iterator<Item = &TransportHost> {
        let without = |host: &&TransportHost| host.username.is_none() && host.password.is_none();
        let any_with = self.hosts.iter().any(|host| !without(&host));
        self.hosts.iter().filter(move |host| any_with && without(host))
    }

    pub fn virtual_host(&self) -> &str {
        self.virtual_host.as_deref().unwrap_or("/")
    }

    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    #[must_use]
    pub fn with_option(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn with_folded_dollars(mut self, folded: bool) -> Self {
        self.folded_dollars = folded;
        self
    }

    /// Whether the configuration had `$$` where the URL has `$`: the password may really contain
    /// `$$`.
    pub fn has_folded_dollars(&self) -> bool {
        self.folded_dollars
    }

    /// Returns the URL with its passwords, which parses to an equal value. Not for logs.
    pub fn to_string_with_secrets(&self) -> String {
        print::url(self, true)
    }
}

impl TransportHost {
    pub fn credentials(&self) -> (&str, &str) {
        (self.username.as_deref().unwrap_or("guest"), self.password.as_ref().map_or("guest", Secret::expose))
    }

    /// Returns the user for people: `***` if the password may be a part of it, as in `user;password@host` and
    /// `user,password@host`.
    pub fn shown_user(&self) -> &str {
        if self.hides_user() { "***" } else { self.credentials().0 }
    }

    fn hides_user(&self) -> bool {
        let may_hold = |user: &str| may_hold_password(user, self.password.is_some());
        self.may_be_cut || self.username.as_deref().is_some_and(may_hold)
    }

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
