//! One seed decides everything random, but not the scheduling: a seed repeats the kind of a run, not its
//! every moment. With [`OraclePlan::standby`] a second daemon takes over after each kill of the first, and
//! order is judged per daemon.

mod breaking;
mod judge;
mod operator;
mod program;
mod publisher;
mod report;
mod settings;
mod standby;
mod standby_settings;
mod target;

pub use program::OracleProgram;
pub use report::{OracleReport, Recovery};
pub use standby::{OutagePlan, OutageReport, StandbyPlan, StandbyReport};

use std::time::{Duration, Instant};

use crate::{Broker, wait_until};
use breaking::Saboteur;
use judge::Evidence;
use operator::{Operations, make_whole};
use program::OracleDaemon;
use publisher::Confirmations;
use report::Break;
use settings::OracleSettings;
use target::OracleTarget;

const QUEUE: &str = "k2hr3_osnl";
const SOON: Duration = Duration::from_secs(60);
/// After this time without a request, no more is expected.
const QUIET: Duration = Duration::from_secs(8);

#[derive(Clone, Debug)]
pub struct OraclePlan {
    pub program: OracleProgram,
    pub time: Duration,
    /// The bound after publishing within which every confirmed event must have its effect.
    pub drain: Duration,
    pub seed: u64,
    pub rate: u32,
    pub keys: u32,
    pub operations: bool,
    pub standby: bool,
}

impl OraclePlan {
    #[must_use]
    pub fn new(program: OracleProgram, seed: u64) -> Self {
        let (time, drain) = (Duration::from_secs(60), Duration::from_secs(120));
        Self { program, time, drain, seed, rate: 200, keys: 50, operations: false, standby: false }
    }

    #[must_use]
    pub fn run(&self) -> OracleReport {
        let broker = Broker::start();
        let vhost = broker.vhost("oracle");
        let names = if self.standby { &["daemon", "standby"][..] } else { &["daemon"] };
        let target = OracleTarget::start(names.len());
        let settings = if self.operations { OracleSettings::bounded() } else { OracleSettings::default() };
        let start = |(n, name): (usize, &&'static str)| {
            OracleDaemon::start(name, self.program.clone(), [&vhost.url(), &target.url(n)], settings.clone())
        };
        let daemons: Vec<OracleDaemon> = names.iter().enumerate().map(start).collect();
        let depth = |queue: &str| vhost.list_queues().into_iter().find(|found| found.name == queue);
        wait_until(SOON, "the queue to be consumed", || {
            depth(QUEUE).is_some_and(|queue| queue.consumers >= daemons.len() as u64)
        });

        let began = Instant::now();
        let publisher = Confirmations::start(
            &[broker.port()],
            vhost.name(),
            [self.rate.into(), self.keys.into(), self.seed],
            0,
        );
        let end = began + self.time;
        let breaking = Saboteur {
            end,
            seed: self.seed,
            confirmed: &publisher,
            target: &target,
            refuses_some: self.operations,
        };
        let (recoveries, mut done) = self.break_all(&breaking, &broker, &daemons);
        let confirmed = publisher.stop();
        let published = began.elapsed();

        let stopped = Instant::now();
        if self.operations {
            make_whole(&daemons, &mut done);
        }
        let mut last = (0, Instant::now());
        let drained = || {
            daemons.iter().for_each(OracleDaemon::supervise);
            let requests = target.count();
            if requests != last.0 {
                last = (requests, Instant::now());
            }
            let is_quiet = last.1.elapsed() > QUIET;
            let has_all = target.has_all(confirmed.iter().map(|(number, _)| *number));
            // Discarded and dead events never have effects, so that the drain ends when nothing is open.
            let over = self.operations && is_quiet && {
                let queue = depth(&daemons[0].settings().queue());
                queue.is_some_and(|queue| (queue.ready, queue.unacked) == (0, 0))
                    && daemons.iter().all(|daemon| daemon.open() == Some(0))
            };
            let given_up = !self.program.has_durable_queue() && is_quiet;
            has_all || over || given_up || stopped.elapsed() > self.drain
        };
        wait_until(self.drain + SOON, "the events to have their effects", drained);
        let drained = stopped.elapsed();
        // Stopping the daemons first counts late repetitions too.
        let log = daemons.iter().map(OracleDaemon::stop).collect::<Vec<_>>().join("");
        let journals = self.program.has_durable_queue();
        let journals: Option<Vec<_>> = journals.then(|| daemons.iter().map(OracleDaemon::journal).collect());
        let mut wrong: Vec<String> = daemons.iter().flat_map(OracleDaemon::ended).collect();
        wrong.extend(journals.iter().flatten().filter_map(|(_, wrong)| wrong.clone()));
        let evidence = Evidence {
            confirmed: confirmed.iter().map(|(number, _)| *number).collect(),
            requests: target.requests(),
            journals: journals.map(|journals| journals.into_iter().map(|(rows, _)| rows).collect()),
            retried: done.retried,
        };
        let faults = target.faults();
        OracleReport::new(
            self.seed,
            &evidence,
            report::Observations {
                published,
                drained,
                faults,
                recoveries,
                operations: done.count,
                wrong,
                log,
            },
        )
    }

    fn break_all(
        &self,
        breaking: &Saboteur<'_>,
        broker: &Broker,
        daemons: &[OracleDaemon],
    ) -> (Vec<Break>, Operations) {
        std::thread::scope(|scope| {
            let broker = scope.spawn(|| {
                if self.program.has_durable_queue() { breaking.broker(broker) } else { Vec::new() }
            });
            let kills: Vec<_> = (daemons.iter().enumerate())
                .map(|(n, daemon)| scope.spawn(move || breaking.daemon(n, daemon)))
                .collect();
            let operator = scope
                .spawn(|| if self.operations { breaking.operate(daemons) } else { Operations::default() });
            let mut recoveries = breaking.target();
            for part in kills {
                recoveries.extend(part.join().unwrap());
            }
            let done = operator.join().unwrap();
            recoveries.extend(broker.join().unwrap());
            (recoveries, done)
        })
    }
}

fn pause_until(time: Instant) {
    loop {
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
