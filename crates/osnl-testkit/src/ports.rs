//! Ports that stay reserved without a listener.
//!
//! The kernel may give a port of its ephemeral range to an outgoing connection while a test restarts a server, so
//! ports are below that range (32768 on Linux).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use crate::wait_until;

const FIRST: u16 = 12_000;
const LAST: u16 = 32_000;
const TRIES: usize = 200;

pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

pub(crate) fn listen() -> TcpListener {
    listen_at(Ipv4Addr::LOCALHOST.into())
}

pub(crate) fn listen_at(address: IpAddr) -> TcpListener {
    at_random(address, |port| TcpListener::bind((address, port)).ok())
}

/// Listens again where a listener has ended. The kernel, or a program that starts, may keep the former listener for a
/// moment.
pub(crate) fn listen_again(address: SocketAddr) -> TcpListener {
    let mut listener = None;
    wait_until(Duration::from_secs(60), &format!("{address} to be free again"), || {
        listener = TcpListener::bind(address).ok();
        listener.is_some()
    });
    listener.unwrap()
}

fn at_random<T>(address: IpAddr, bind: impl Fn(u16) -> Option<T>) -> T {
    let width = u64::from(LAST - FIRST);
    let mut ports = (0..TRIES).map(|_| FIRST + u16::try_from(random() % width).unwrap());
    ports.find_map(bind).unwrap_or_else(|| panic!("no free port between {FIRST} and {LAST} on {address}"))
}

/// Returns three different ports that are free now; another process may take one meanwhile.
pub(crate) fn three() -> [u16; 3] {
    let listeners = [listen(), listen(), listen()];
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Returns a port of 127.0.0.1 that refuses connections as long as this process lives: bound, without a listener.
#[must_use]
pub fn closed_port() -> u16 {
    static BOUND: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());
    let (port, socket) = at_random(Ipv4Addr::LOCALHOST.into(), |port| {
        let socket =
            net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).ok().map(|()| (port, socket))
    });
    BOUND.lock().unwrap().push(socket);
    port
}

#[must_use]
pub fn free_port() -> u16 {
    listen().local_addr().unwrap().port()
}
