//! A member's own leases, and the leases of other members that the member watches. Pure: the caller brings
//! rows and the time.
//!
//! No wall clocks are compared. A member's lease starts before the member sent the transaction that wrote the
//! lease row. Another member takes the partition after seeing the row unchanged for a whole lease by its own
//! clock, which is later, as the row was written before it was seen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use osnl_journal::Fence;

use crate::fence::{CLAIMS, fence};
use crate::partition::PartitionNumber;

pub(crate) type LeaseToken = Vec<u8>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseRow {
    pub(crate) partition: PartitionNumber,
    pub(crate) epoch: i64,
    pub(crate) token: Option<LeaseToken>,
    pub(crate) beat: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) epoch: i64,
    pub(crate) until: Duration,
    fences: u64,
}

impl Lease {
    pub(crate) fn new(epoch: i64, until: Duration) -> Self {
        Self { epoch, until, fences: 0 }
    }

    pub(crate) fn next_fence(&mut self) -> Fence {
        let fence = fence(self.epoch, self.fences.min(CLAIMS - 1));
        self.fences += 1;
        fence
    }
}

#[derive(Debug, Default)]
pub(crate) struct Leases {
    pub(crate) held: BTreeMap<PartitionNumber, Lease>,
    seen: HashMap<PartitionNumber, (LeaseRow, Duration)>,
    members: HashMap<LeaseToken, (i64, Duration)>,
}

impl Leases {
    pub(crate) fn holds(&self, partition: PartitionNumber, epoch: i64) -> bool {
        self.held.get(&partition).is_some_and(|held| held.epoch == epoch)
    }

    pub(crate) fn partitions(&self) -> Vec<PartitionNumber> {
        self.held.keys().copied().collect()
    }

    /// Returns the leases that have used half of the fences of their epochs, with these epochs; the other
    /// half lasts until the next check.
    pub(crate) fn worn(&self) -> Vec<(PartitionNumber, i64)> {
        let worn = self.held.iter().filter(|(_, held)| held.fences >= CLAIMS / 2);
        worn.map(|(partition, held)| (*partition, held.epoch)).collect()
    }

    pub(crate) fn first_end(&self) -> Option<Duration> {
        self.held.values().map(|held| held.until).min()
    }

    pub(crate) fn renewed(&mut self, partitions: impl IntoIterator<Item = PartitionNumber>, until: Duration) {
        for partition in partitions {
            if let Some(held) = self.held.get_mut(&partition) {
                held.until = held.until.max(until);
            }
        }
    }

    /// Returns the rows that may be taken: released rows, and rows that have not changed for a whole lease.
    /// The two times are those of the query and its answer.
    pub(crate) fn watch(
        &mut self,
        rows: Vec<LeaseRow>,
        (asked, answered): (Duration, Duration),
        lease: Duration,
    ) -> Vec<LeaseRow> {
        let mut free = Vec::new();
        for row in rows {
            if self.holds(row.partition, row.epoch) {
                self.seen.remove(&row.partition);
                continue;
            }
            let since = match self.seen.get(&row.partition) {
                Some((known, since)) if *known == row => *since,
                Some(_) | None => answered,
            };
            if row.token.is_none() || asked.saturating_sub(since) >= lease {
                free.push(row.clone());
            }
            self.seen.insert(row.partition, (row, since));
        }
        free
    }

    /// Returns the number of live members, at least 1 for this one.
    pub(crate) fn count_members(
        &mut self,
        rows: Vec<(LeaseToken, i64)>,
        own: &LeaseToken,
        now: Duration,
        lease: Duration,
    ) -> usize {
        let there: HashSet<LeaseToken> = rows.iter().map(|(token, _)| token.clone()).collect();
        self.members.retain(|token, _| there.contains(token));
        let mut alive = 0;
        for (token, number) in rows {
            let known = self.members.get(&token).filter(|(known, _)| *known == number);
            let since = known.map_or(now, |(_, since)| *since);
            if token == *own || now.saturating_sub(since) < lease {
                alive += 1;
            }
            self.members.insert(token, (number, since));
        }
        alive.max(1)
    }

    pub(crate) fn silence(&self, member: &LeaseToken, now: Duration) -> Duration {
        self.members.get(member).map_or(Duration::ZERO, |(_, since)| now.saturating_sub(*since))
    }

    pub(crate) fn silent(&self, own: &LeaseToken, now: Duration, silence: Duration) -> Vec<LeaseToken> {
        let is_silent = |since: &Duration| now.saturating_sub(*since) >= silence;
        let silent = self.members.iter().filter(|(token, (_, since))| *token != own && is_silent(since));
        silent.map(|(token, _)| token.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn row(token: Option<&str>, beat: i64) -> LeaseRow {
        LeaseRow { partition: 7, epoch: 3, token: token.map(|token| token.into()), beat }
    }

    #[test]
    fn a_lease_may_be_taken_when_its_row_has_not_changed_for_a_whole_lease() {
        let mut leases = Leases::default();
        let mut free =
            |row: LeaseRow, now| !leases.watch(vec![row], (at(now), at(now + 1)), LEASE).is_empty();
        for (beat, now, expected) in
            [(1, 100, false), (1, 115, false), (2, 116, false), (2, 131, false), (2, 132, true)]
        {
            assert_eq!(free(row(Some("other"), beat), now), expected, "{now}");
        }
        assert!(free(row(None, 9), 133), "released");
        assert!(!free(row(Some("third"), 10), 150), "taken by another");
    }

    #[test]
    fn a_member_is_alive_while_its_counter_moves() {
        let mut leases = Leases::default();
        let own: LeaseToken = "own".into();
        let mut alive = |numbers: &[(&str, i64)], now| {
            let rows = numbers.iter().map(|(token, number)| ((*token).into(), *number)).collect();
            leases.count_members(rows, &own, at(now), LEASE)
        };
        assert_eq!(alive(&[("own", 1)], 0), 1);
        assert_eq!(alive(&[("own", 1), ("b", 1), ("c", 1)], 10), 3);
        assert_eq!(alive(&[("own", 1), ("b", 2), ("c", 1)], 24), 3);
        assert_eq!(alive(&[("own", 1), ("b", 2), ("c", 1)], 25), 2, "c is silent");
        assert_eq!(leases.silent(&own, at(25), LEASE), [LeaseToken::from("c")]);
    }

    #[test]
    fn a_lease_never_becomes_shorter() {
        let mut leases = Leases::default();
        leases.held.insert(1, Lease::new(1, at(20)));
        leases.renewed([1, 2], at(10));
        assert_eq!(leases.first_end(), Some(at(20)));
        leases.renewed([1], at(30));
        assert_eq!((leases.first_end(), leases.partitions()), (Some(at(30)), vec![1]));
    }

    #[test]
    fn fences_of_an_epoch_grow_and_are_below_those_of_the_next() {
        let mut leases = Leases::default();
        leases.held.insert(7, Lease::new(5, at(20)));
        let mut give = |count: u64| {
            let held = leases.held.get_mut(&7).unwrap();
            let fences: Vec<Fence> = (0..count).map(|_| held.next_fence()).collect();
            assert!(fences.is_sorted_by(|one, next| one < next));
            (fences.last().copied().unwrap(), leases.worn())
        };
        assert_eq!(give(CLAIMS / 2 - 1).1, []);
        assert_eq!(give(1).1, [(7, 5)], "in time for a larger epoch");
        let (last, _) = give(CLAIMS / 2);
        assert!(last < Lease::new(6, at(20)).next_fence());
    }
}
