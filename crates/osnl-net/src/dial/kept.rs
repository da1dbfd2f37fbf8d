//! A kept connection, and the one that follows it.

use std::fmt::Display;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{LOOKED_UP_FOR, look_up, no_answer};
use crate::tls::EXPIRES_SOON;

/// The time after which a kept connection shows whether a certificate that ends soon has been renewed.
pub const RENEWED_AFTER: Duration = Duration::from_secs(3600);

/// The longest wait for the addresses of a name. A name server that is silent costs 5 s before the next is asked.
const RESOLVED: Duration = Duration::from_secs(6);

/// The reason to replace a kept connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplacementReason {
    /// The name has other addresses.
    Moved,
    /// Another connection may show a renewed certificate.
    Renewal,
}

/// The address of a kept connection, and the end of the certificate that its server has shown.
#[derive(Debug)]
pub struct KeptAddress {
    host: String,
    port: u16,
    address: SocketAddr,
    looked_up: Instant,
    /// Whether the latest look missed the address.
    was_missing: bool,
    certificate_ends: Option<i64>,
    renewed: Instant,
}

impl KeptAddress {
    #[must_use]
    pub fn new(host: &str, port: u16, address: SocketAddr, looked_up: Instant) -> Self {
        let (host, renewed) = (host.to_owned(), looked_up);
        Self { host, port, address, looked_up, was_missing: false, certificate_ends: None, renewed }
    }

    #[must_use]
    pub fn with_certificate(self, ends: Option<i64>) -> Self {
        Self { certificate_ends: ends, ..self }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Looks the name up, and returns the reason to replace the connection.
    ///
    /// Two looks in a row must miss the address, since some names answer with changing subsets of their addresses. A
    /// resolver that does not answer moves nothing. A certificate that ends soon is a reason once in [`RENEWED_AFTER`].
    pub async fn look(&mut self, now: Instant) -> Option<ReplacementReason> {
        self.looked_up = now;
        let found = timeout(RESOLVED, look_up(&self.host, self.port)).await;
        let is_missing = found.is_ok_and(|found| found.is_ok_and(|found| !found.contains(&self.address)));
        let was_missing = std::mem::replace(&mut self.was_missing, is_missing);
        if is_missing && was_missing {
            return Some(ReplacementReason::Moved);
        }
        let soon = jiff::Timestamp::now().as_second() + EXPIRES_SOON.as_secs().cast_signed();
        let is_due = self.certificate_ends.is_some_and(|ends| ends < soon)
            && now.duration_since(self.renewed) >= RENEWED_AFTER;
        if is_due {
            self.renewed = now;
        }
        is_due.then_some(ReplacementReason::Renewal)
    }
}

/// The connection that follows a kept one. A task looks at the kept one each [`LOOKED_UP_FOR`], and opens its successor
/// beside it. The kept one stays in use until then: a certificate that has ended does not end it. The task ends with
/// this value.
#[derive(Debug)]
pub struct Successor<C>(JoinSet<(C, KeptAddress)>);

impl<C: Send + 'static> Successor<C> {
    /// Watches a connection. If `open` fails or takes longer than [`LOOKED_UP_FOR`], a name that has moved is tried again
    /// at the next look.
    pub fn watch<F, E>(mut kept: KeptAddress, mut open: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<C, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut is_told = false;
            loop {
                let now = tokio::time::Instant::now().into_std();
                sleep(LOOKED_UP_FOR.saturating_sub(now.saturating_duration_since(kept.looked_up))).await;
                let reason = kept.look(tokio::time::Instant::now().into_std()).await;
                let Some(reason) = reason else { continue };
                let opened = timeout(LOOKED_UP_FOR, open()).await;
                let opened = match opened {
                    Ok(opened) => opened.map_err(|error| error.to_string()),
                    Err(_) => Err(no_answer(LOOKED_UP_FOR).to_string()),
                };
                let (server, has_moved) = (&*kept.host, reason == ReplacementReason::Moved);
                match opened {
                    Ok(successor) => {
                        if has_moved {
                            tracing::info!(
                                server.name = server,
                                "the server's name has other addresses now; connected again"
                            );
                        }
                        return (successor, kept);
                    }
                    Err(error) if has_moved && !is_told => {
                        is_told = true;
                        tracing::warn!(
                            server.name = server,
                            error,
                            "the server's name has other addresses now, and none can be used yet; the former connection \
                             stays in use"
                        );
                    }
                    Err(_) => {}
                }
            }
        });
        Self(task)
    }

    /// Returns the successor once it is open, and the address of the kept connection: a caller that finds the successor
    /// broken by then watches the kept one again.
    pub fn take(&mut self) -> Option<(C, KeptAddress)> {
        match self.0.try_join_next()? {
            Ok(opened) => Some(opened),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_has_moved_if_two_looks_in_a_row_miss_the_address() {
        let check = async |names: &[&str], expected: &[bool]| {
            let begun = Instant::now();
            let mut kept = KeptAddress::new("", 514, "127.0.0.1:514".parse().unwrap(), begun);
            let mut moved = Vec::new();
            for name in names {
                kept.host = (*name).to_owned();
                moved.push(kept.look(begun).await == Some(ReplacementReason::Moved));
            }
            assert_eq!(moved, expected, "{names:?}");
        };
        let (same, other, silent) = ("127.0.0.1", "127.0.0.9", "moved.invalid");
        check(&[same, same], &[false, false]).await;
        check(&[other, other, other], &[false, true, true]).await;
        check(&[other, same, other, same], &[false; 4]).await;
        check(&[other, silent, other, other], &[false, false, false, true]).await;
    }

    #[tokio::test]
    async fn a_connection_is_renewed_each_hour_while_its_certificate_ends_soon() {
        let (begun, today) = (Instant::now(), jiff::Timestamp::now().as_second());
        let day = |days: i64| today + days * 86_400;
        for (ends, expected) in [
            (None, [false; 4]),
            (Some(day(15)), [false; 4]),
            (Some(day(13)), [false, true, false, true]),
            (Some(day(-1)), [false, true, false, true]),
        ] {
            let address = "127.0.0.1:1".parse().unwrap();
            let mut kept = KeptAddress::new("127.0.0.1", 1, address, begun).with_certificate(ends);
            let mut due = Vec::new();
            for seconds in [3599, 3600, 7199, 7200] {
                let reason = kept.look(begun + Duration::from_secs(seconds)).await;
                due.push(reason == Some(ReplacementReason::Renewal));
            }
            assert_eq!(due, expected, "{ends:?}");
        }
    }

    /// The paused clock advances only when a look is all that is left to wait for.
    #[tokio::test(start_paused = true)]
    async fn the_kept_connection_stays_until_an_attempt_at_its_successor_succeeds() {
        let (attempts, mut attempted) = tokio::sync::mpsc::unbounded_channel();
        let begun = tokio::time::Instant::now();
        let kept = KeptAddress::new("127.0.0.1", 514, "127.0.0.9:514".parse().unwrap(), begun.into_std());
        let mut number = 0;
        let open = move || {
            number += 1;
            attempts.send(number).unwrap();
            async move {
                match number {
                    1 => Err("refused"),
                    2 => std::future::pending().await,
                    _ => Ok(number),
                }
            }
        };
        let mut successor = Successor::watch(kept, open);
        for (number, looks) in [(1, 2), (2, 3), (3, 4)] {
            assert!(successor.take().is_none());
            assert_eq!(attempted.recv().await, Some(number));
            assert_eq!(begun.elapsed().as_secs(), looks * LOOKED_UP_FOR.as_secs());
        }
        tokio::task::yield_now().await;
        assert_eq!(successor.take().map(|(number, _)| number), Some(3));
    }
}
