//! Backlogs larger than the journal keeps in memory, during outages, pauses, holds, and reloads in any order. Each
//! healthy delivery must succeed without a restart.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use osnl_journal::query::{Change, Filter, RowState};
use osnl_journal::sqlite::{SqliteJournal, SqliteOptions};

use super::neighbours::Judge;
use super::*;

const TICK: Duration = Duration::from_millis(100);
const STEPS: usize = 40;
/// The simulated time for the final deliveries: no pause exceeds a minute.
const LONGEST_END: Duration = Duration::from_secs(600);

struct Story {
    journal: Arc<SqliteJournal>,
    action: Arc<Judge>,
    random: fastrand::Rng,
    healthy: BTreeSet<String>,
    remote: Remote,
    shutdown: Shutdown,
    task: tokio::task::JoinSet<()>,
    told: Vec<String>,
}

async fn at_once<T>(wanted: impl Future<Output = T>) -> T {
    tokio::pin!(wanted);
    loop {
        if let Some(found) = (&mut wanted).now_or_never() {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

fn settings() -> DeliverySettings {
    let sample = DeliverySettings::sample(1000, Duration::from_secs(1), Duration::from_secs(60));
    DeliverySettings { concurrency: 16, policy: RetryPolicy { jitter: 0.2, ..sample.policy }, ..sample }
}

fn all() -> Filter {
    Filter::default()
}

impl Story {
    fn new(seed: u64, folder: &tempfile::TempDir) -> Self {
        let path = folder.path().join("j.db");
        let options = SqliteOptions::new(path).bounded(|bounds| bounds.allow_volatile = true);
        let journal = Arc::new(SqliteJournal::open(options, Arc::default()).unwrap());
        let action = Arc::new(Judge::default());
        let looped = DeliveryLoop::new("a", action.clone(), journal.clone(), settings(), Arc::default());
        let mut story = Self {
            journal,
            action,
            random: fastrand::Rng::with_seed(seed),
            healthy: BTreeSet::new(),
            remote: looped.remote(),
            shutdown: Shutdown::new(),
            task: tokio::task::JoinSet::new(),
            told: vec![format!("seed {seed}")],
        };
        story.task.spawn(looped.run(story.shutdown.clone()));
        story
    }

    fn log(&mut self, what: impl Into<String>) {
        self.told.push(what.into());
    }

    async fn tick(&self) {
        tokio::time::advance(TICK).await;
        for _ in 0..4 {
            at_once(self.journal.known("nothing")).await;
            tokio::task::yield_now().await;
        }
    }

    async fn append(&mut self) {
        let fails = self.random.u8(..4) == 0;
        // If most ready deliveries fail, the target counts as down, and probes take their time.
        let most = if fails { 80 } else { 700 };
        let number = if self.random.bool() { self.random.usize(1..20) } else { self.random.usize(1..most) };
        let shared = self.random.bool();
        let step = self.told.len();
        for n in 0..number {
            let id = format!("{} {step} {n}", if fails { "bad" } else { "good" });
            let key = if shared && !fails { format!("shared {}", n % 50) } else { id.clone() };
            let body =
                format!(r#"{{"message_id": "{id}", "event_type": "port.delete.end", "payload": {{}}}}"#);
            let received = ReceivedMessage::sample(body, false);
            let notification = Arc::new(received.decode().unwrap());
            let deliveries = vec![NewDelivery::new("r", "a", Some(key))];
            let mut permit = at_once(self.journal.reserve(&[], 1)).await;
            drop(
                self.journal
                    .append(&mut permit, Entry { received: Arc::new(received), notification, deliveries }),
            );
            if !fails {
                self.healthy.insert(id);
            }
        }
        self.log(format!("{number} appended, fail: {fails}, shared keys: {shared}"));
    }

    async fn change(&mut self, change: Change) {
        self.log(format!("{change:?}"));
        at_once(self.journal.change(change)).await.unwrap();
    }

    async fn replace(&mut self) {
        self.log("retired and back");
        self.remote.retire();
        while let Some(ended) = at_once(self.task.join_next()).await {
            ended.unwrap();
        }
        let looped =
            DeliveryLoop::new("a", self.action.clone(), self.journal.clone(), settings(), Arc::default());
        self.remote = looped.remote();
        self.task.spawn(looped.run(self.shutdown.clone()));
    }

    async fn step(&mut self) {
        match self.random.u8(..20) {
            0..5 => self.append().await,
            5..8 => {
                let classes = [
                    None,
                    None,
                    Some(ErrorClass::Connect),
                    Some(ErrorClass::Status(502)),
                    Some(ErrorClass::Status(429)),
                    Some(ErrorClass::Timeout),
                ];
                let class = classes[self.random.usize(..classes.len())];
                self.log(format!("the target: {class:?}"));
                *self.action.down.lock().unwrap() = class;
            }
            8 => self.change(Change::Pause { action: "a".into(), note: PauseNote::default() }).await,
            9 => self.change(Change::Resume { action: "a".into() }).await,
            10 => self.change(Change::Hold { which: all(), why: "me".into() }).await,
            11 => self.change(Change::Release { which: all() }).await,
            12 => self.replace().await,
            13 => {
                self.log("set up anew");
                let (action, settings) = (self.action.clone(), settings());
                let preparation = Preparation::default();
                self.remote.change(Setup { action, settings, preparation, fallback: None });
            }
            _ => {
                let ticks = if self.random.u8(..4) == 0 { 300 } else { self.random.u64(1..30) };
                self.log(format!("{ticks} ticks"));
                for _ in 0..ticks {
                    self.tick().await;
                }
            }
        }
    }

    fn missing(&self) -> Vec<String> {
        let done: BTreeSet<String> = self.action.order.lock().unwrap().iter().cloned().collect();
        self.healthy.difference(&done).cloned().collect()
    }

    async fn end(mut self) {
        *self.action.down.lock().unwrap() = None;
        self.change(Change::Resume { action: "a".into() }).await;
        self.change(Change::Release { which: all() }).await;
        let dead = Filter { states: vec![RowState::Dead], ..all() };
        self.change(Change::Retry { which: dead, out_of_order: false }).await;
        let began = Instant::now();
        while !self.missing().is_empty() {
            let (missing, told) = (self.missing(), self.told.join("\n"));
            let some = &missing[..missing.len().min(9)];
            assert!(began.elapsed() < LONGEST_END, "{} wait, {some:?}\n{told}", missing.len());
            for _ in 0..10 {
                self.tick().await;
            }
        }
        self.shutdown.drain.cancel();
        while at_once(self.task.join_next()).await.is_some() {}
        at_once(self.journal.close()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_a_long_backlog_all_of_it_goes_out_without_a_restart() {
    let seeds = std::env::var("OSNL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(4);
    for seed in 0..seeds {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut story = Story::new(seed, &folder);
        for _ in 0..STEPS {
            story.step().await;
        }
        story.end().await;
    }
}
