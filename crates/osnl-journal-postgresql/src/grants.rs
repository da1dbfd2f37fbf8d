//! The rates of actions over all members: grants of calls, in blocks.
//!
//! **In each time of the rate's length no more calls begin than the rate says, over all members.**
//!
//! A member takes a block of calls in a transaction that writes the row of the rate's [window](crate::window). The row of a grant
//! has its number of calls, and the latest time at which one of them can begin (`until`). It counts until the rate's time has passed since
//! then:
//!
//! - A member begins no call of a grant later than a third of the lease after the moment *before* it sent the transaction, by its
//!   own clock, which counts suspend. The database wrote the time of the grant later than that, so every call begins before `until`, however slow
//!   the answer was, and also in a process that was stopped and goes on. After an answer that was late, none begins.
//! - When a block is used up or void, its member writes what it has used, and the time of its last call: what is left goes back.
//!   This only takes away from what counts.
//! - The calls of a member that has died count as if the last of them had begun at `until`.
//!
//! A block is a twentieth of the rate, at least one call ([`block`]): that is what a dead member may waste, for the time of the
//! rate and a third of the lease. A member alone takes block after block: it comes near to the rate, as a block counts from its last call.
//!
//! A COMMIT without an answer is one grant or none: it is repeated under its number. If it was committed, its calls are given back
//! unused.

use std::sync::Arc;
use std::time::Duration;

use osnl_config::Rate;
use osnl_journal::store::clock::whole_millis;

use crate::transaction::{CommitFailure, Transaction};
use crate::window::{ROUNDS, contended};

/// Blocks of a rate.
const BLOCKS: u32 = 20;
/// Members look for calls that others gave back at least so often.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Grants that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 1000;

const COUNT: &str = "SELECT coalesce(sum(calls), 0)::bigint, min(until) FROM osnl_grant \
     WHERE name = $1 AND until > $2 AND number <> $3";
const USED: &str =
    "UPDATE osnl_grant SET calls = $3, until = least(until, $4) WHERE name = $1 AND number = $2";
const UNUSED: &str = "DELETE FROM osnl_grant WHERE name = $1 AND number = $2";
const FORGET: &str = "DELETE FROM osnl_grant WHERE name = $1 AND number IN \
     (SELECT number FROM osnl_grant WHERE name = $1 AND until <= $2 ORDER BY number LIMIT $3)";
const GRANT: &str = "INSERT INTO osnl_grant (name, number, calls, until) VALUES ($1, $2, $3, $4)";

/// A question of a member.
#[derive(Clone, Debug)]
pub(crate) struct CallOrder {
    pub(crate) action: Arc<str>,
    pub(crate) rate: Rate,
    /// The grant that it uses no more.
    pub(crate) settled: Option<SettledGrant>,
    /// The time for which it would use another; `None` if it needs none.
    pub(crate) takes: Option<Duration>,
}

/// The use of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SettledGrant {
    pub(crate) number: i64,
    pub(crate) used: u32,
    /// The time of the window after its last call.
    pub(crate) until: i64,
}

/// The answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallAnswer {
    /// Calls, and the time of the window when they were granted.
    Granted { number: i64, calls: u32, at: i64 },
    /// There are none: the time after which to ask again.
    Wait(Duration),
    /// None were asked for.
    Settled,
}

/// Returns the calls of a block.
pub(crate) fn block(rate: Rate) -> u32 {
    (rate.keys / BLOCKS).max(1)
}

/// Returns the calls that may be granted, and the time to wait if there are none. `counted` are the calls of grants that count,
/// and the first `until` of them.
fn free(rate: Rate, counted: (i64, Option<i64>), now: i64) -> (u32, Duration) {
    let (calls, first) = counted;
    let free = i64::from(rate.keys).saturating_sub(calls).max(0);
    let left = first.map_or(0, |until| until + whole_millis(rate.within) - now).max(1);
    let wait = Duration::from_millis(left.unsigned_abs()).min(LONGEST_WAIT);
    (u32::try_from(free).unwrap_or(u32::MAX).min(block(rate)), wait)
}

impl Transaction<'_> {
    /// Settles a grant, and takes another.
    pub(crate) async fn order_calls(&mut self, order: &CallOrder) -> Result<CallAnswer, CommitFailure> {
        let CallOrder { action, rate, settled, takes } = order;
        let name = format!("rate of action {action}").into_bytes();
        for _ in 0..ROUNDS {
            let window = self.window(&name).await?;
            let since = window.now.saturating_sub(whole_millis(rate.within));
            let own = settled.map_or(0, |settled| settled.number);
            let rows = self.query(COUNT, &[&name, &since, &own]).await?;
            let row = rows.first().ok_or_else(|| CommitFailure::Failed("a sum has no row".to_owned()))?;
            let (mut calls, mut first): (i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
            if let Some(settled) = settled.filter(|settled| settled.used > 0 && settled.until > since) {
                calls += i64::from(settled.used);
                first = Some(first.map_or(settled.until, |first| first.min(settled.until)));
            }
            let (free, wait) = free(*rate, (calls, first), window.now);
            let granted = takes.filter(|_| free > 0);
            let without = if takes.is_some() { CallAnswer::Wait(wait) } else { CallAnswer::Settled };
            if granted.is_none() && settled.is_none() {
                return Ok(without);
            }
            if !self.write_window(&window).await? {
                continue;
            }
            self.settle(&name, *settled).await?;
            self.execute(FORGET, &[&name, &since, &FORGOTTEN_AT_ONCE]).await?;
            let Some(valid) = granted else { return Ok(without) };
            let number = window.version + 1;
            let until = window.now + whole_millis(valid) + 1;
            self.execute(GRANT, &[&name, &number, &i64::from(free), &until]).await?;
            return Ok(CallAnswer::Granted { number, calls: free, at: window.now });
        }
        Err(contended(&name))
    }

    async fn settle(&mut self, name: &[u8], settled: Option<SettledGrant>) -> Result<(), CommitFailure> {
        let Some(SettledGrant { number, used, until }) = settled else { return Ok(()) };
        if used == 0 {
            self.execute(UNUSED, &[&name, &number]).await?;
        } else {
            self.execute(USED, &[&name, &number, &i64::from(used), &until]).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_a_part_of_the_rate_and_of_what_is_left() {
        let check = |keys: u32, counted: (i64, Option<i64>), expected: (u32, u64)| {
            let rate = Rate { keys, within: Duration::from_secs(60) };
            let (calls, wait) = free(rate, counted, 100_000);
            assert_eq!((calls, wait), (expected.0, Duration::from_millis(expected.1)), "{keys} {counted:?}");
        };
        check(100, (0, None), (5, 1));
        check(100, (97, Some(90_000)), (3, 1000));
        check(100, (100, Some(40_250)), (0, 250));
        check(100, (100, Some(90_000)), (0, 1000));
        // The rate was larger before.
        check(100, (200, Some(40_250)), (0, 250));
        check(1, (0, None), (1, 1));
        check(19, (4, Some(90_000)), (1, 1000));
        check(1_000_000, (0, None), (50_000, 1));
    }
}
