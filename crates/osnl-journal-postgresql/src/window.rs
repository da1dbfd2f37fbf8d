//! Windows of time in which all members count together: a row for each guard, and for the rate of each action.
//!
//! A row has a version. A transaction reads it, then what is counted in the window, and writes the row on condition of the
//! version. If two transactions have counted the same, one of them finds no row, and counts again. Nothing relies on locks: every decision *writes*
//! the row, so that Galera sees a conflict too.
//!
//! # Time
//!
//! A row has the time of its window, which never goes back. It follows the clock of the database, the only one that all members
//! read; no clock of a member is compared with another's. As a clock may be set, and as another server may take over:
//!
//! - A clock that is behind the row keeps the window standing until it has caught up; more is held, or waits, than need be. One
//!   that is behind by more than [`BEHIND`] was set back: the window goes on from where it was.
//! - A clock that went further than the clock of leases of the member that reads it, since the same member read it before, was
//!   set forward: the window goes on by the member's clock. That clock is asked before one reading and after the next, so the
//!   member never allows less than has passed. A clock that is set forward between the readings of two members, neither of which
//!   has read it before, shortens that window.
//!
//! In both cases the row has the difference to the clock from then on (`ahead`).

use crate::transaction::{CommitFailure, Transaction};

/// Counts of one window that a transaction tries before it is repeated as a whole.
pub(crate) const ROUNDS: usize = 20;
/// Milliseconds by which the clocks of two servers may differ.
const BEHIND: i64 = 10_000;

const READ: &str = "SELECT version, at, ahead, floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint \
     FROM osnl_window WHERE name = $1";
const MAKE: &str = "INSERT INTO osnl_window (name, version, at, ahead) \
     SELECT $1::bytea, 0, floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint, 0 ON CONFLICT (name) DO NOTHING";
const WRITE: &str =
    "UPDATE osnl_window SET version = version + 1, at = $3, ahead = $4 WHERE name = $1 AND version = $2";

/// A window as a transaction has read it.
#[derive(Debug)]
pub(crate) struct RateWindow {
    name: Vec<u8>,
    pub(crate) version: i64,
    /// Its time in milliseconds.
    pub(crate) now: i64,
    ahead: i64,
}

/// Returns the time of a window, and its difference to the clock from then on; `latest` is the time that it can have.
fn time(at: i64, ahead: i64, clock: i64, latest: Option<i64>) -> (i64, i64) {
    let by_clock = clock + ahead;
    let now = latest.map_or(by_clock, |latest| by_clock.min(latest)).max(at);
    let was_set = now < by_clock || now > by_clock + BEHIND;
    (now, if was_set { now - clock } else { ahead })
}

impl Transaction<'_> {
    /// Reads a window; makes it if it is new.
    pub(crate) async fn window(&mut self, name: &[u8]) -> Result<RateWindow, CommitFailure> {
        let times = self.member.limits.times.clone();
        let asked = times.now();
        let mut rows = self.query(READ, &[&name]).await?;
        if rows.is_empty() {
            self.execute(MAKE, &[&name]).await?;
            rows = self.query(READ, &[&name]).await?;
        }
        let latest = times.latest(name, times.now());
        let row = rows.first().ok_or_else(|| CommitFailure::Conflict("a window has no row".to_owned()))?;
        let (now, ahead) = time(row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, latest);
        times.saw(name, now, asked);
        Ok(RateWindow { name: name.to_vec(), version: row.try_get(0)?, now, ahead })
    }

    /// Writes a window that was read; returns whether what was counted in it since is still so.
    pub(crate) async fn write_window(&mut self, window: &RateWindow) -> Result<bool, CommitFailure> {
        let RateWindow { name, version, now, ahead } = window;
        Ok(self.execute(WRITE, &[name, version, now, ahead]).await? == 1)
    }
}

/// The trouble of a transaction that has counted a window too often.
pub(crate) fn contended(name: &[u8]) -> CommitFailure {
    CommitFailure::Conflict(format!(
        "other members write the window of the {}",
        String::from_utf8_lossy(name)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_follows_the_clock_of_the_database_and_never_goes_back() {
        let check = |stored: (i64, i64), clock: i64, latest: Option<i64>, expected: (i64, i64)| {
            assert_eq!(time(stored.0, stored.1, clock, latest), expected, "{stored:?} {clock} {latest:?}");
        };
        check((1000, 0), 1000, None, (1000, 0));
        check((1000, 0), 61_000, None, (61_000, 0));
        check((1000, 500), 61_000, Some(90_000), (61_500, 500));
        // Another server that is behind: the window stands.
        check((50_000, 0), 45_000, None, (50_000, 0));
        // Set back by an hour: it goes on.
        check((3_600_000, 0), 10_000, None, (3_600_000, 3_590_000));
        check((3_600_000, 3_590_000), 20_000, None, (3_610_000, 3_590_000));
        // Set forward by an hour: it goes on by the member's clock.
        check((1000, 0), 3_601_000, Some(3000), (3000, -3_598_000));
        check((3000, -3_598_000), 3_602_000, Some(4100), (4000, -3_598_000));
        // Others have read it since.
        check((9000, 0), 3_601_000, Some(3000), (9000, -3_592_000));
    }
}
