//! The oracle: publishes with confirms, kills and breaks everything at random moments, and counts at the target.
//!
//! Each event has a number and a key. What is looked at in the end: every confirmed event has had its effect, the
//! first effects of a key came in the order of its events, and the journal has a record of each. Everything random
//! comes from one seed; what the operating system does in between does not, so a seed repeats the kind of a run,
//! not its every moment.

mod breaking;
mod program;
mod publisher;
mod report;
mod target;

pub use program::Program;
pub use report::{Recovery, Report};

use std::time::{Duration, Instant};

use crate::{Broker, wait_until};
use breaking::Breaking;
use program::Daemon;
use publisher::Confirmed;
use target::Target;

const QUEUE: &str = "k2hr3_osnl";
/// To start, to connect, to stop.
const SOON: Duration = Duration::from_secs(60);
/// Nothing came for so long: nothing will.
const QUIET: Duration = Duration::from_secs(8);

/// What is run, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is under test.
    pub program: Program,
    /// How long is published and broken.
    pub time: Duration,
    /// How long everything that was confirmed may take to have its effect after that.
    pub drain: Duration,
    /// Where everything random comes from.
    pub seed: u64,
    /// Messages per second, at most.
    pub rate: u32,
    /// Resources that the events are about.
    pub keys: u32,
}

impl Plan {
    /// A minute at 200 events a second about 50 resources.
    #[must_use]
    pub fn new(program: Program, seed: u64) -> Self {
        let (time, drain) = (Duration::from_secs(60), Duration::from_secs(120));
        Self { program, time, drain, seed, rate: 200, keys: 50 }
    }

    /// Does it, on a broker of its own.
    ///
    /// # Panics
    /// When a part cannot be started, such as without `cargo xtask setup`.
    #[must_use]
    pub fn run(&self) -> Report {
        let broker = Broker::start();
        let vhost = broker.vhost("oracle");
        let target = Target::start();
        let daemon = Daemon::start(self.program.clone(), &vhost.url(), &target.url());
        wait_until(SOON, "the queue to be consumed", || {
            vhost.list_queues().iter().any(|queue| queue.name == QUEUE && queue.consumers > 0)
        });

        let began = Instant::now();
        let publisher = Confirmed::start(broker.port(), vhost.name(), self);
        let end = began + self.time;
        let breaking = Breaking { end, seed: self.seed, confirmed: &publisher, target: &target };
        let mut recoveries = Vec::new();
        std::thread::scope(|scope| {
            let parts = [
                scope.spawn(|| breaking.daemon(&daemon)),
                scope.spawn(|| breaking.target()),
                scope.spawn(|| {
                    if self.program.has_durable_queue() { breaking.broker(&broker) } else { Vec::new() }
                }),
            ];
            for part in parts {
                recoveries.extend(part.join().unwrap());
            }
        });
        let confirmed = publisher.stop();
        let published = began.elapsed();

        let stopped = Instant::now();
        let mut last = (0, Instant::now());
        let drained = || {
            let requests = target.count();
            if requests != last.0 {
                last = (requests, Instant::now());
            }
            let done = target.has_all(confirmed.iter().map(|(number, _)| *number));
            let given_up = !self.program.has_durable_queue() && last.1.elapsed() > QUIET;
            done || given_up || stopped.elapsed() > self.drain
        };
        wait_until(self.drain + QUIET, "the events to have their effects", drained);
        let drained = stopped.elapsed();
        // What was repeated late is counted too.
        let log = daemon.stop();
        let journal = self.program.has_durable_queue().then(|| daemon.journal());
        Report::of(
            self,
            report::Seen {
                published,
                drained,
                confirmed,
                requests: target.requests(),
                faults: target.faults(),
                recoveries,
                journal,
                log,
            },
        )
    }
}

/// Waits for a moment; what is waited for here is time itself.
fn pause_until(moment: Instant) {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
