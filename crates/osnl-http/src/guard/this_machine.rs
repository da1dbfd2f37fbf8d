//! Whether an address is one of this machine's.
//!
//! The kernel knows, without a list of interfaces: a socket can be bound to an address only if it is one of ours, unless
//! `ip_nonlocal_bind` is set, and then the way there still begins at the address itself. Nothing is sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The discard port; a UDP socket that is connected sends nothing.
const PORT: u16 = 9;

/// Whether connections to this address stay within this machine. An IPv4 address within an IPv6 one counts as that.
pub(super) fn has(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let any: SocketAddr = match address {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // The way to one of our own addresses begins at that address.
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
        // Whatever is loopback; tests name no other address, though nothing would be sent there.
        for ours in ["127.0.0.1", "::ffff:127.0.0.1"] {
            check(ours, true);
        }
        // No socket has it as its own.
        check("0.0.0.0", false);
    }
}
