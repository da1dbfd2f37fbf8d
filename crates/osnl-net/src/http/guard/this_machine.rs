//! Asks the kernel instead of listing interfaces: a socket can be bound to an address only if this
//! machine has it. With `ip_nonlocal_bind` the route still begins at the address itself. Nothing is
//! sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

const PORT: u16 = 9;

/// Whether connections to this address stay within this machine. An IPv4 address within an IPv6
/// address counts as IPv4.
pub(super) fn has(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let any: SocketAddr = match address {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // The route to an own address begins at that address.
    let Ok(socket) = UdpSocket::bind(any) else { return false };
    socket.connect((address, PORT)).is_ok() && socket.local_addr().is_ok_and(|from| from.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machines_addresses_are_known() {
        let check = |address: &str, expected: bool| {
            assert_eq!(has(address.parse().unwrap()), expected, "{address}");
        };
        for ours in ["127.0.0.1", "::ffff:127.0.0.1"] {
            check(ours, true);
        }
        check("0.0.0.0", false);
    }
}
