//! Tests of the journal on a real PostgreSQL.
//!
//! Members are several journals of one process. The test moves the clock; a member is paused by a command
//! that blocks its thread until the test releases it.

mod bounds;
mod canaries;
mod changes;
mod commits;
mod digests;
mod false_servers;
mod faults;
mod fences;
mod large;
mod limits;
mod long_names;
mod members;
mod opening;
mod quarantine;
mod readers;
mod retention;
mod tls_sessions;
mod unstorable;
mod verifying;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use futures_util::FutureExt;
use osnl_core::metrics::Counters;
use osnl_journal::conformance::{PLACES, StoreRig, append, claim, entry, names, within};
use osnl_journal::{Fence, NewDelivery, Outcome, Settle};
use osnl_testkit::Postgres;

use super::*;

mod suite {
    osnl_journal::conformance!(super::rig);
}

fn rig() -> StoreRig {
    let counters: Arc<Counters> = Arc::default();
    let options =
        options(&Postgres::shared().database(), "a").bounded(|bounds| bounds.max_pending = PLACES as u64);
    let journal = Arc::new(PostgresJournal::open(options, counters.clone()).unwrap());
    StoreRig { journal: journal.clone(), queries: journal, counters, durable: true, keeps: Box::new(()) }
}

fn options(url: &str, name: &str) -> Options {
    let url = ConnectionUrl::parse(url).unwrap();
    Options { migrate: true, ..Options::new(url, name).bounded(|bounds| bounds.allow_volatile = true) }
}

#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl LeaseClock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_millis(1_000_000 + self.0.load(Ordering::SeqCst))
    }
}

struct Stage {
    url: String,
    clock: Arc<TestClock>,
}

impl Stage {
    fn new() -> Self {
        Self { url: Postgres::shared().database(), clock: Arc::default() }
    }

    fn options(&self, name: &str) -> Options {
        Options { clock: self.clock.clone(), ..options(&self.url, name) }
    }

    fn member(&self, name: &str) -> PostgresJournal {
        PostgresJournal::open(self.options(name), Arc::default()).unwrap()
    }

    fn pass(&self, time: Duration) {
        self.clock.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn rows(&self, sql: &str) -> String {
        let database = self.url.rsplit_once('/').unwrap().1;
        Postgres::shared().rows(database, sql)
    }

    fn tally(&self) -> String {
        let by_rows =
            "SELECT state, count(*) FROM osnl_delivery WHERE state >= 0 GROUP BY state ORDER BY state";
        let by_tally =
            "SELECT state, sum(count) FROM osnl_tally GROUP BY state HAVING sum(count) <> 0 ORDER BY state";
        let counted = self.rows(by_tally);
        assert_eq!(counted, self.rows(by_rows));
        counted.replace('\n', " ")
    }
}

fn pause(member: &PostgresJournal) -> Sender<()> {
    let (resume, resumed) = channel::<()>();
    let (paused, is_paused) = channel();
    member.send(PostgresCommand::Do(Box::new(move |_| {
        paused.send(()).unwrap();
        let _ = resumed.recv();
    })));
    is_paused.recv().unwrap();
    resume
}

async fn keep(member: &PostgresJournal, id: &str, key: &str) {
    assert_eq!(within(append(member, entry(id, key, false)).await).await, Settle::Acknowledge, "{id}");
}

async fn claimable(member: &PostgresJournal, action: &str) -> Vec<ClaimedDelivery> {
    let mut claimed = Vec::new();
    // The first claim triggers reading the tables.
    for _ in 0..2 {
        let some = member.claim(action, ClaimLimits::in_order(100)).now_or_never();
        claimed.extend(some.unwrap_or_default());
        within(member.check()).await;
    }
    claimed.extend(member.claim(action, ClaimLimits::in_order(100)).now_or_never().unwrap_or_default());
    claimed
}

fn fence(claimed: &ClaimedDelivery) -> Fence {
    claimed.event.fence.unwrap()
}

fn long(seed: u64) -> String {
    let mut chance = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| chance.alphanumeric()).take(6000).collect()
}

const LEASE: Duration = Duration::from_secs(15);
