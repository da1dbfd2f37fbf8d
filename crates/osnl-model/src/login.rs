//! The logins that connections send: each connection lists its own, and a warning names each login
//! that a network could read.
//!
//! `osnl check` and the start print [`SentLogin::finding`] of every login: of each driver by its
//! `DriverConf::logins`, of listeners, the journal and enrichments where their sections are read.

use std::net::IpAddr;

/// The protection of a login on its way to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginProtection {
    Verified,
    Unverified,
    Clear,
}

/// A login that a configuration sends, to warn about one without protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentLogin {
    pub option: &'static str,
    host: String,
    protection: LoginProtection,
    remedy: &'static str,
}

impl SentLogin {
    pub fn new(
        option: &'static str,
        host: impl Into<String>,
        protection: LoginProtection,
        remedy: &'static str,
    ) -> Self {
        Self { option, host: host.into(), protection, remedy }
    }

    #[must_use]
    pub fn finding(&self) -> Option<(String, &'static str)> {
        if is_this_machine(&self.host) {
            return None;
        }
        let host = &self.host;
        let problem = match self.protection {
            LoginProtection::Verified => return None,
            LoginProtection::Unverified => {
                format!(
                    "the certificate of {host} is not checked: another server in the network could get the login, and read and change what follows"
                )
            }
            LoginProtection::Clear => {
                format!(
                    "the login goes to {host} in clear: anyone in the network could read it, and read and change what follows"
                )
            }
        };
        Some((problem, self.remedy))
    }
}

#[must_use]
fn is_this_machine(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    let address = host.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_named_if_a_network_could_read_it() {
        let check = |host: &str, protection, expected: Option<&str>| {
            let found = SentLogin::new("url", host, protection, "write https://").finding();
            assert_eq!(found.is_some(), expected.is_some(), "{host} {protection:?}: {found:?}");
            if let (Some((problem, remedy)), Some(part)) = (found, expected) {
                assert!(problem.contains(part) && problem.contains(host), "{problem}");
                assert_eq!(remedy, "write https://");
            }
        };
        for host in ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            check(host, LoginProtection::Clear, None);
            check(host, LoginProtection::Unverified, None);
        }
        for host in ["db.example.net", "192.0.2.1", "localhost.example", "0.0.0.0", "::", "10.0.0.1"] {
            check(host, LoginProtection::Clear, Some("in clear"));
            check(host, LoginProtection::Unverified, Some("is not checked"));
            check(host, LoginProtection::Verified, None);
        }
    }
}
