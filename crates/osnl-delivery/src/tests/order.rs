//! Order with a target that often times out or resets: such an attempt may have had its effect. The attempt must be
//! repeated before the next delivery of its lane begins, also across reloads.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt as _;
use osnl_core::attempt::Completion;
use osnl_journal::sqlite::{SqliteJournal, SqliteOptions};

use super::*;

const KEYS: u64 = 6;
const EVENTS: u64 = 60;
const TICK: Duration = Duration::from_millis(100);

struct Fickle {
    random: Mutex<fastrand::Rng>,
    seen: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    attempts: BTreeMap<String, Vec<u64>>,
    running: BTreeSet<String>,
    overlaps: Vec<String>,
}

struct UnderWay<'a>(&'a Fickle, String);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.seen.lock().unwrap().running.remove(&self.1);
    }
}

impl Fickle {
    fn begins(&self, event: &Event) -> UnderWay<'_> {
        let id = event.notification.message_id.clone().unwrap();
        let (number, key) = id.split_once(' ').unwrap();
        let mut seen = self.seen.lock().unwrap();
        seen.attempts.entry(key.to_owned()).or_default().push(number.parse().unwrap());
        if !seen.running.insert(key.to_owned()) {
            seen.overlaps.push(id.clone());
        }
        UnderWay(self, key.to_owned())
    }
}

impl Action for Fickle {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        Box::pin(async move {
            let under_way = self.begins(&events[0]);
            let (kind, millis) = {
                let mut random = self.random.lock().unwrap();
                (random.u8(..12), random.u64(..1500))
            };
            let failed = |class| vec![Err(ActionError::new(class, "told so"))];
            let verdict = match kind {
                0 => std::future::pending().await,
                1 => failed(ErrorClass::Reset),
                2 => failed(ErrorClass::Status(500)),
                3 => failed(ErrorClass::Status(409)),
                4 => failed(ErrorClass::Busy(None)),
                _ => {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                    if kind == 5 {
                        failed(ErrorClass::Reset)
                    } else {
                        vec![Ok(Completion::Delivered("d".into()))]
                    }
                }
            };
            drop(under_way);
            verdict
        })
    }

    fn target(&self) -> String {
        "the test".to_owned()
    }
}

async fn check(seed: u64, journal: Arc<dyn Journal>, counters: &Counters) {
    let random = fastrand::Rng::with_seed(seed);
    let action = Arc::new(Fickle { random: Mutex::new(random), seen: Mutex::default() });
    let sample = DeliverySettings::sample(4, TICK, 5 * TICK);
    let settings = DeliverySettings { concurrency: 8, timeout: Duration::from_secs(1), ..sample };
    let looped = DeliveryLoop::new("a", action.clone(), journal.clone(), settings, Arc::default());
    let (remote, shutdown) = (looped.remote(), Shutdown::new());
    let mut task = tokio::task::JoinSet::new();
    task.spawn(looped.run(shutdown.clone()));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut appended = 0;
    for tick in 0.. {
        if appended < EVENTS && random.bool() {
            let key = format!("key {}", random.u64(..KEYS));
            let notification =
                Notification { message_id: Some(format!("{appended} {key}")), ..Notification::default() };
            let deliveries = vec![NewDelivery::new("r", "a", Some(key))];
            let body = format!(
                r#"{{"message_id": "{}", "payload": {{}}}}"#,
                notification.message_id.as_deref().unwrap()
            );
            let received = Arc::new(ReceivedMessage::sample(body, false));
            let entry = Entry { received, notification: Arc::new(notification), deliveries };
            let mut permit = journal.reserve(&[], 1).await;
            drop(journal.append(&mut permit, entry));
            appended += 1;
        }
        if random.u8(..20) == 0 {
            let (preparation, fallback) = (Preparation::default(), None);
            remote.change(Setup { action: action.clone(), settings, preparation, fallback });
        }
        tokio::time::advance(TICK).await;
        for _ in 0..10 {
            let mut barrier = journal.known("nothing");
            while (&mut barrier).now_or_never().is_none() {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
        if appended == EVENTS && counters.delivered.get() + counters.dead.get() == EVENTS {
            break;
        }
        assert!(tick < 20_000, "seed {seed}: something is stuck");
    }
    shutdown.drain.cancel();
    while task.join_next().await.is_some() {}
    journal.close().await;
    let seen = action.seen.lock().unwrap();
    assert_eq!(seen.overlaps, [""; 0], "seed {seed}");
    for (key, attempts) in &seen.attempts {
        assert!(attempts.is_sorted(), "seed {seed}: {key} {attempts:?}");
    }
    let tried: BTreeSet<u64> = seen.attempts.values().flatten().copied().collect();
    assert_eq!(tried.len() as u64, EVENTS, "seed {seed}: each has been tried");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_of_unknown_outcome_is_repeated_before_what_is_behind_it_in_memory() {
    for seed in 0..20 {
        let counters: Arc<Counters> = Arc::default();
        let limits =
            MemoryLimits { unsettled: Duration::from_secs(1 << 30), ..MemoryLimits::for_prefetch(1000) };
        check(seed, Arc::new(MemoryJournal::new(limits, counters.clone())), &counters).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_of_unknown_outcome_is_repeated_before_what_is_behind_it_on_disk() {
    for seed in 0..3 {
        let (folder, counters) = (tempfile::tempdir().unwrap(), Arc::<Counters>::default());
        let options =
            SqliteOptions::new(folder.path().join("j.db")).bounded(|bounds| bounds.allow_volatile = true);
        check(seed, Arc::new(SqliteJournal::open(options, counters.clone()).unwrap()), &counters).await;
    }
}
