//! Ports that stay ours while they have no listener.
//!
//! A test stops a server and starts it again on the same port. In between the kernel may give a port of its
//! ephemeral range to any outgoing connection, so ports are chosen below that range (32768 on Linux).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};

const FIRST: u16 = 12_000;
const LAST: u16 = 32_000;
const TRIES: usize = 200;

/// A random number; the standard library's only source is the seed of its hash maps.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Listens on a free port of 127.0.0.1.
///
/// # Panics
/// When two hundred random ports are all taken.
pub(crate) fn listen() -> TcpListener {
    listen_at(Ipv4Addr::LOCALHOST.into())
}

/// Listens on a free port of an address of this machine.
///
/// # Panics
/// When two hundred random ports are all taken, or the machine has no such address.
pub(crate) fn listen_at(address: IpAddr) -> TcpListener {
    let width = u64::from(LAST - FIRST);
    for _ in 0..TRIES {
        let port = FIRST + u16::try_from(random() % width).unwrap();
        if let Ok(listener) = TcpListener::bind((address, port)) {
            return listener;
        }
    }
    panic!("no free port between {FIRST} and {LAST} on {address}");
}

/// Three different ports that are free at this moment; another process may take one before they are used.
pub(crate) fn three() -> [u16; 3] {
    let listeners = [listen(), listen(), listen()];
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
