//! Guards requests whose target the operator has not chosen: the URL of an event, a redirect.
//!
//! A user who names an instance, or a server that answers a webhook, must not reach this machine's
//! services, the cloud's metadata, or the operator's networks through osnl. The guard judges the
//! *addresses* of a name, and the client connects to a judged address, so a name that resolves
//! differently later is no way around. Other spellings of an address (`2130706433`, `0x7f.1`) are
//! resolved first, and an IPv4 address inside an IPv6 address is judged as IPv4.
//!
//! An address of one of this machine's interfaces counts as this machine in any network, because a
//! local connection passes a firewall. [`this_machine`] checks each address, since interfaces
//! change.
//!
//! A proxy resolves names itself and may reach other networks, so requests by a proxy are refused
//! unless `allow_hosts` lists the host.

mod address;
mod this_machine;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

pub use self::address::AddressClass;

/// The allowed addresses; by default only addresses of the Internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressGuard {
    pub hosts: Vec<AllowedHost>,
    /// Private networks too: [`AddressClass::Private`], but not this machine, its links or
    /// metadata.
    pub private: bool,
}

/// A host that is allowed at any address: `cmdb.example`, `*.example`, `10.1.2.3`, `10.0.0.0/8`,
/// `fd00::/8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHost {
    Name(String),
    Below(String),
    /// All addresses of a network, even if a name resolves to one.
    Network(IpNet),
}

/// The refusal to connect to an address that an event, not the configuration, has chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("{host} is {address}, {class}, and its URL is not from the configuration; {REMEDY}")]
    Address { host: String, address: IpAddr, class: AddressClass },
    #[error("{host} would be called by a proxy, and its URL is not from the configuration; {REMEDY}")]
    ByProxy { host: String },
}

const REMEDY: &str = "if it may be called, name it in allow_hosts";

/// An entry of `allow_hosts` that is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither a name, nor *.NAME, nor an address, nor a network such as 10.0.0.0/8")]
pub struct NoHost;

impl AddressGuard {
    pub fn judge(&self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        self.judge_with(host, address, this_machine::has)
    }

    fn judge_with(
        &self,
        host: &str,
        address: IpAddr,
        is_ours: impl Fn(IpAddr) -> bool,
    ) -> Result<(), Forbidden> {
        let class = match AddressClass::from_address(address) {
            AddressClass::Public | AddressClass::Private if is_ours(address) => AddressClass::Loopback,
            class => class,
        };
        let fine = match class {
            AddressClass::Public => true,
            AddressClass::Private => self.private,
            AddressClass::Loopback
            | AddressClass::LinkLocal
            | AddressClass::Metadata
            | AddressClass::Special => false,
        };
        if fine || self.allows(host, Some(address)) {
            return Ok(());
        }
        Err(Forbidden::Address { host: host.to_owned(), address, class })
    }

    pub(crate) fn allows(&self, host: &str, address: Option<IpAddr>) -> bool {
        let network = |allowed: &AllowedHost| match (allowed, address) {
            (AllowedHost::Network(network), Some(address)) => network.contains(&address),
            (AllowedHost::Network(_), None) | (AllowedHost::Name(_) | AllowedHost::Below(_), _) => false,
        };
        self.allows_name(host) || self.hosts.iter().any(network)
    }

    #[must_use]
    pub(crate) fn allows_name(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        self.hosts.iter().any(|allowed| match allowed {
            AllowedHost::Name(name) => name == host,
            AllowedHost::Below(below) => host.len() > below.len() && host.ends_with(below.as_str()),
            AllowedHost::Network(_) => false,
        })
    }
}

impl FromStr for AllowedHost {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        if let Ok(network) = bare.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        let name = text.to_ascii_lowercase();
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        match name.strip_prefix("*.") {
            Some(below) if below.split('.').all(label) => Ok(Self::Below(format!(".{below}"))),
            None if name.split('.').all(label) => Ok(Self::Name(name)),
            Some(_) | None => Err(NoHost),
        }
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(below) => write!(f, "*{below}"),
            Self::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(f)
            }
            Self::Network(network) => network.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(hosts: &[&str], private: bool) -> AddressGuard {
        AddressGuard { hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(), private }
    }

    #[test]
    fn a_host_is_allowed_by_its_address_its_name_or_its_network() {
        let check = |guard: &AddressGuard, host: &str, address: &str, expected: bool| {
            let judged = guard.judge(host, address.parse().unwrap());
            assert_eq!(judged.is_ok(), expected, "{host} at {address}: {guard:?}");
        };
        let none = AddressGuard::default();
        check(&none, "hook.example", "93.184.216.34", true);
        check(&none, "hook.example", "10.1.2.3", false);
        check(&none, "localhost", "127.0.0.1", false);
        let private = guard(&[], true);
        check(&private, "hook.example", "10.1.2.3", true);
        check(&private, "hook.example", "127.0.0.1", false);
        check(&private, "hook.example", "169.254.1.1", false);
        check(&private, "hook.example", "169.254.169.254", false);
        check(&private, "hook.example", "fd00:ec2::254", false);
        check(&private, "hook.example", "0.0.0.0", false);
        let named = guard(&["CMDB.example", "*.lab.example", "127.0.0.1", "fd00::/8"], false);
        check(&named, "cmdb.EXAMPLE", "10.1.2.3", true);
        check(&named, "cmdb.example.", "10.1.2.3", true);
        check(&named, "xcmdb.example", "10.1.2.3", false);
        check(&named, "a.b.lab.example", "127.0.0.9", true);
        check(&named, "lab.example", "10.1.2.3", false);
        check(&named, ".lab.example", "10.1.2.3", false);
        check(&named, "anything", "127.0.0.1", true);
        check(&named, "anything", "127.0.0.2", false);
        check(&named, "anything", "fd12::1", true);
    }

    #[test]
    fn an_address_of_this_machines_own_is_this_machine() {
        let check = |guard: &AddressGuard, address: &str, expected: bool| {
            let judged = guard.judge_with("hook.example", address.parse().unwrap(), |_| true);
            assert_eq!(judged.is_ok(), expected, "{address}: {guard:?}");
            if let Err(why) = judged {
                assert!(why.to_string().contains("this machine"), "{why}");
            }
        };
        for address in ["93.184.216.34", "10.1.2.3", "fd12::1", "2606:4700::1"] {
            check(&guard(&[], false), address, false);
            check(&guard(&[], true), address, false);
            check(&guard(&["hook.example"], false), address, true);
        }
        check(&guard(&["10.0.0.0/8"], false), "10.1.2.3", true);
        for metadata in ["fd00:ec2::23", "fd00:42::42"] {
            assert!(guard(&[], true).judge("h", metadata.parse().unwrap()).is_err(), "{metadata}");
        }
    }

    #[test]
    fn allowed_hosts_are_read_and_written() {
        for text in ["cmdb.example", "*.lab.example", "10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"] {
            assert_eq!(text.parse::<AllowedHost>().expect(text).to_string(), text);
        }
        for text in ["", "*", "*.", "a..b", "http://a", "a/8", "10.0.0.0/33", "a b", "*a.example", "a:80"] {
            assert_eq!(text.parse::<AllowedHost>(), Err(NoHost), "{text}");
        }
    }
}
