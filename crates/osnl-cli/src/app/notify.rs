//! systemd's notification protocol (`sd_notify(3)`, `sd_watchdog_enabled(3)`): datagrams of
//! `NAME=value` lines to the socket that `NOTIFY_SOCKET` names. Without that variable nothing is
//! sent.
//!
//! sd-notify 0.5 sends on a blocking socket, so a manager that does not read would stop the daemon.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A non-blocking socket to the service manager. Errors are ignored: a manager that does not read
/// must not stop the daemon.
#[derive(Debug)]
pub(super) struct SystemdNotifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// The interval of `WATCHDOG=1`: half of the manager's limit.
    pub(super) watchdog: Option<Duration>,
}

impl SystemdNotifier {
    pub(super) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
                _ => SocketAddr::from_pathname(&name),
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address.ok()?))
        });
        let variable = |name| std::env::var(name).ok();
        Self {
            socket,
            watchdog: watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id()),
        }
    }

    /// Sends lines; returns `false` if the manager's queue is full (usually ten datagrams), so that
    /// the caller may retry.
    pub(super) fn send(&self, lines: &str) -> bool {
        let Some((socket, address)) = &self.socket else { return true };
        match socket.send_to_addr(lines.as_bytes(), address) {
            Ok(_) => true,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// Returns the notification of a reload. `Type=notify-reload` compares the monotonic time with its
/// own.
pub(super) fn reloading() -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    format!("RELOADING=1\nMONOTONIC_USEC={micros}")
}

fn watchdog(usec: Option<String>, pid: Option<String>, own: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    let within = Duration::from_micros(usec?.parse().ok()?);
    (!within.is_zero()).then_some(within / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_answered_at_half_of_its_time_by_whom_it_is_for() {
        for (usec, pid, expected) in [
            (None, None, None),
            (Some("20000000"), None, Some(10_000)),
            (Some("20000000"), Some("7"), Some(10_000)),
            (Some("20000000"), Some("8"), None),
            (Some("20000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("x"), None, None),
        ] {
            let found = watchdog(usec.map(str::to_owned), pid.map(str::to_owned), 7);
            assert_eq!(found, expected.map(Duration::from_millis), "{usec:?} {pid:?}");
        }
    }
}
