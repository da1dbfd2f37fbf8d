//! TCP connections to the addresses of a name.
//!
//! A name is looked up for each connection. Its addresses are tried in the resolver's order, IPv6 and IPv4 in turn
//! (RFC 8305). The next one begins when one has failed, or after a short pause, in which the earlier ones go on: a
//! silent address costs that pause, not the time of the attempt. The first that accepts is used. One that accepts and
//! then serves nothing ([`Trial`]) is the last of the next connections; a connection that was never asked for anything
//! proves nothing.

mod kept;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream as BlockingStream, ToSocketAddrs as _};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;

pub use self::kept::{KeptAddress, RENEWED_AFTER, ReplacementReason, Successor};

/// The limit of a connection whose caller has no deadline of its own. It is shorter than the usual attempt, whose error
/// would name no address.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The time after which a kept connection's name is looked up again.
pub const LOOKED_UP_FOR: Duration = Duration::from_secs(60);

/// The pause before the next address, as RFC 8305 recommends.
const PAUSE: Duration = Duration::from_millis(250);
/// All addresses have begun after this time, which shortens the pauses of many.
const ALL_BEGUN: Duration = Duration::from_secs(2);
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// The time for which an address without service is the last.
const AVOIDED_FOR: Duration = Duration::from_secs(300);
const MOST_AVOIDED: usize = 1024;

static AVOIDED: LazyLock<Mutex<HashMap<SocketAddr, Instant>>> = LazyLock::new(Mutex::default);

/// The reason why no address of a name is connected to.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error(transparent)]
    LookUp(#[from] io::Error),
    #[error("the name has no address")]
    NoAddress,
    /// Each address that was tried, in their order as numbers, with its failure.
    #[error("{}", Failures(.0))]
    Failed(Vec<(SocketAddr, io::Error)>),
}

impl DialError {
    /// Whether an address accepted and ended the connection at once.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        match self {
            Self::LookUp(_) | Self::NoAddress => false,
            Self::Failed(failed) => {
                failed.iter().any(|(_, error)| error.kind() == io::ErrorKind::ConnectionReset)
            }
        }
    }
}

/// Shows the error of the only address, or each address with its error.
struct Failures<'a>(&'a [(SocketAddr, io::Error)]);

impl fmt::Display for Failures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(failed) = self;
        if let [(_, error)] = failed {
            return error.fmt(f);
        }
        for (n, (address, error)) in failed.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{address}: {error}")?;
        }
        Ok(())
    }
}

/// A connection whose server has not served anything yet. Dropped before [`Trial::passed`], its address is the last of
/// its name for some minutes.
#[derive(Debug)]
#[must_use]
pub struct Trial(Option<SocketAddr>);

impl Trial {
    pub fn from_address(address: SocketAddr) -> Self {
        Self(Some(address))
    }

    /// Returns the address that accepted.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0
    }

    pub fn passed(mut self) {
        self.0 = None;
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let Some(address) = self.0 else { return };
        let (mut avoided, now) = (AVOIDED.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        avoided.retain(|_, until| *until > now);
        if avoided.len() < MOST_AVOIDED {
            avoided.insert(address, now + AVOIDED_FOR);
        }
    }
}

/// Returns the addresses of a name, or the one that it is, in the order of trials.
pub async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    let found = tokio::net::lookup_host((host, port)).await?.collect();
    Ok(last_are(&avoided(), in_turn(found)))
}

/// Connects to the first address that accepts.
pub async fn first_of(addresses: Vec<SocketAddr>, within: Duration) -> Result<(TcpStream, Trial), DialError> {
    let pause = pause(addresses.len());
    let (mut waiting, mut begun) = (addresses.into_iter(), Vec::new());
    let mut failed: Vec<(SocketAddr, io::Error)> = Vec::new();
    let mut trials = FuturesUnordered::new();
    let end = tokio::time::sleep(within);
    tokio::pin!(end);
    loop {
        match waiting.next() {
            Some(address) => {
                begun.push(address);
                trials.push(async move { (address, TcpStream::connect(address).await) });
            }
            None if trials.is_empty() => break,
            None => {}
        }
        tokio::select! {
            biased;
            Some((address, connected)) = trials.next() => match connected {
                Ok(stream) => {
                    // Writes are complete and small, so Nagle's delay has no use.
                    let _ = stream.set_nodelay(true);
                    return Ok((stream, Trial::from_address(address)));
                }
                Err(error) => failed.push((address, error)),
            },
            () = tokio::time::sleep(pause), if waiting.len() > 0 => {}
            () = &mut end => break,
        }
    }
    let is_silent = |address: &SocketAddr| failed.iter().all(|(other, _)| other != address);
    let silent: Vec<SocketAddr> = begun.into_iter().filter(is_silent).collect();
    failed.extend(silent.into_iter().map(|address| (address, no_answer(within))));
    Err(none_of(failed))
}

/// Connects as [`first_of`], one address after the other, each within its share of the time. Blocks.
pub fn first_blocking(address: &str, within: Duration) -> Result<BlockingStream, DialError> {
    let addresses = last_are(&avoided(), in_turn(address.to_socket_addrs()?.collect()));
    let share = within / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut failed = Vec::new();
    for address in addresses {
        match BlockingStream::connect_timeout(&address, share.max(SHORTEST_PAUSE)) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed.push((address, error)),
        }
    }
    Err(none_of(failed))
}

fn no_answer(within: Duration) -> io::Error {
    // Rounded, so that the rest of a deadline gives the same reason each time.
    let seconds = (within.as_secs_f64() * 10.0).round() / 10.0;
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {seconds} s"))
}

/// Resolvers change the order of addresses with each answer; the reason of a failure stays.
fn none_of(mut failed: Vec<(SocketAddr, io::Error)>) -> DialError {
    failed.sort_by_key(|(address, _)| *address);
    if failed.is_empty() { DialError::NoAddress } else { DialError::Failed(failed) }
}

fn pause(addresses: usize) -> Duration {
    let share = ALL_BEGUN / u32::try_from(addresses.max(1)).unwrap_or(u32::MAX);
    share.clamp(SHORTEST_PAUSE, PAUSE)
}

fn avoided() -> Vec<SocketAddr> {
    let now = Instant::now();
    let avoided = AVOIDED.lock().unwrap_or_else(PoisonError::into_inner);
    avoided.iter().filter(|(_, until)| **until > now).map(|(address, _)| *address).collect()
}

#[cfg(test)]
pub(crate) fn is_avoided(address: SocketAddr) -> bool {
    avoided().contains(&address)
}

fn last_are(avoided: &[SocketAddr], found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (last, mut first): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| avoided.contains(address));
    first.extend(last);
    first
}

/// Returns each address once, and the families in turn.
fn in_turn(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first = |address: &SocketAddr| found.first().is_some_and(|f| f.is_ipv6() == address.is_ipv6());
    let (first, second): (Vec<_>, Vec<_>) = found.iter().copied().partition(is_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered: Vec<SocketAddr> = Vec::with_capacity(found.len());
    while first.len() + second.len() > 0 {
        for address in [first.next(), second.next()].into_iter().flatten() {
            if !ordered.contains(&address) {
                ordered.push(address);
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use osnl_testkit::{FullBacklog, closed_port};

    use super::*;

    fn local(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn parsed(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_an_address_that_serves_nothing_is_the_last() {
        let check = |found: &[&str], avoided: &[&str], expected: &[&str]| {
            let ordered = last_are(&parsed(avoided), in_turn(parsed(found)));
            assert_eq!(ordered, parsed(expected), "{found:?} {avoided:?}");
        };
        check(
            &["[2001:db8::1]:1", "[2001:db8::2]:1", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"],
            &[],
            &["[2001:db8::1]:1", "10.0.0.1:1", "[2001:db8::2]:1", "10.0.0.2:1", "10.0.0.3:1"],
        );
        check(&["10.0.0.1:1", "[::1]:1", "10.0.0.1:1"], &[], &["10.0.0.1:1", "[::1]:1"]);
        check(&["10.0.0.1:1", "10.0.0.2:1"], &["10.0.0.1:1", "10.0.0.9:1"], &["10.0.0.2:1", "10.0.0.1:1"]);
        check(&[], &["10.0.0.1:1"], &[]);
        assert_eq!((pause(1), pause(8), pause(20)), (PAUSE, PAUSE, ALL_BEGUN / 20));
        assert_eq!(pause(10_000), SHORTEST_PAUSE);
    }

    /// The paused clock advances only when a pause is all that is left to wait for.
    #[tokio::test(start_paused = true)]
    async fn silent_and_refusing_addresses_cost_a_pause_and_no_more() {
        let silent = [FullBacklog::start(), FullBacklog::start()];
        let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let good = open.local_addr().unwrap();
        let begun = tokio::time::Instant::now();
        let places = [local(silent[0].port()), local(closed_port()), local(silent[1].port()), good];
        let (stream, trial) = first_of(places.to_vec(), PATIENCE).await.unwrap();
        trial.passed();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert!(begun.elapsed() <= PAUSE * 3, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_names_every_address_in_a_constant_order() {
        let silent = FullBacklog::start();
        let (silent, closed) = (local(silent.port()), local(closed_port()));
        let mut said = Vec::new();
        for places in [[silent, closed], [closed, silent]] {
            said.push(first_of(places.to_vec(), PATIENCE).await.unwrap_err().to_string());
        }
        assert_eq!(said[0], said[1]);
        for part in [format!("{silent}: no answer within 10 s"), format!("{closed}: Connection refused")] {
            assert!(said[0].contains(&part), "{}", said[0]);
        }
        let alone = first_of(vec![closed], PATIENCE).await.unwrap_err().to_string();
        assert_eq!(alone, "Connection refused (os error 111)");
        let none = first_of(Vec::new(), PATIENCE).await.unwrap_err();
        assert_eq!(none.to_string(), "the name has no address");
    }

    #[test]
    fn an_address_is_avoided_until_its_trial_has_passed() {
        let (first, second) = (parsed(&["192.0.2.1:1"])[0], parsed(&["192.0.2.2:1"])[0]);
        drop(Trial::from_address(first));
        Trial::from_address(second).passed();
        let avoided = avoided();
        assert_eq!((avoided.contains(&first), avoided.contains(&second)), (true, false));
    }
}
