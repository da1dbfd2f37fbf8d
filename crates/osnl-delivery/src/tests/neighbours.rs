use std::sync::atomic::{AtomicU64, Ordering};

use osnl_core::attempt::Completion;
use osnl_journal::memory::MemoryLimits;
use osnl_journal::sqlite::{SqliteJournal, SqliteOptions};

use super::*;

#[derive(Default)]
pub(super) struct Judge {
    pub(super) good: AtomicU64,
    bad: AtomicU64,
    pub(super) order: Mutex<Vec<String>>,
    pub(super) down: Mutex<Option<ErrorClass>>,
}

impl Action for Judge {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        let judge = |event: &Event| {
            if let Some(host) = self.host(event) {
                let failed = match &*host {
                    "gone:80" => ActionError::new(ErrorClass::Connect, "no such host"),
                    "busy:80" => ActionError {
                        retry_after: Some(Duration::from_secs(3600)),
                        ..ActionError::new(ErrorClass::Status(429), "told so")
                    },
                    _ => {
                        self.good.fetch_add(1, Ordering::Relaxed);
                        return Ok(Completion::Delivered("told so".to_owned()));
                    }
                };
                self.bad.fetch_add(1, Ordering::Relaxed);
                return Err(failed);
            }
            let id = event.notification.message_id.as_deref().unwrap_or_default();
            if let Some(class) = *self.down.lock().unwrap() {
                return Err(ActionError::new(class, "down"));
            }
            if id.starts_with("bad") || id.starts_with("slow") {
                self.bad.fetch_add(1, Ordering::Relaxed);
                return Err(ActionError::new(ErrorClass::Status(500), "told so"));
            }
            self.good.fetch_add(1, Ordering::Relaxed);
            self.order.lock().unwrap().push(id.to_owned());
            Ok(Completion::Delivered("told so".to_owned()))
        };
        let verdicts = events.iter().map(judge).collect();
        let is_slow =
            |event: &Event| event.notification.message_id.as_deref().is_some_and(|id| id.starts_with("slow"));
        let pause = if events.iter().any(is_slow) { Duration::from_secs(4) } else { Duration::ZERO };
        Box::pin(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            verdicts
        })
    }

    fn target(&self) -> String {
        "the test".to_owned()
    }

    fn host(&self, event: &Event) -> Option<Arc<str>> {
        let id = event.notification.message_id.as_deref()?;
        id.strip_prefix("to ")?.split(' ').next().map(Arc::from)
    }
}

pub(super) struct Street {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) action: Arc<Judge>,
    pub(super) breaker: watch::Receiver<BreakerState>,
    shutdown: Shutdown,
    task: tokio::task::JoinSet<()>,
    pub(super) good: u64,
}

impl Street {
    pub(super) fn start(journal: Arc<dyn Journal>) -> Self {
        Self::with(journal, Arc::default(), DeliveryLimits::default())
    }

    fn with(journal: Arc<dyn Journal>, counters: Arc<Counters>, limits: DeliveryLimits) -> Self {
        let action = Arc::new(Judge::default());
        let sample = DeliverySettings::sample(6, Duration::from_secs(1), Duration::from_secs(60));
        let policy = RetryPolicy { jitter: 0.2, ..sample.policy };
        let settings = DeliverySettings { concurrency: 16, policy, limits, ..sample };
        let looped = DeliveryLoop::new("a", action.clone(), journal.clone(), settings, counters);
        let breaker = looped.state();
        let shutdown = Shutdown::new();
        let mut task = tokio::task::JoinSet::new();
        task.spawn(looped.run(shutdown.clone()));
        Self { journal, action, breaker, shutdown, task, good: 0 }
    }

    pub(super) async fn append(&mut self, id: &str) {
        let body = format!(r#"{{"message_id": "{id}", "event_type": "port.delete.end", "payload": {{}}}}"#);
        let received = ReceivedMessage::sample(body, false);
        let notification = Arc::new(received.decode().unwrap());
        let deliveries = vec![NewDelivery::new("r", "a", Some(id.to_owned()))];
        let entry = Entry { received: Arc::new(received), notification, deliveries };
        let mut permit = self.journal.reserve(&[], 1).await;
        drop(self.journal.append(&mut permit, entry));
        self.good += u64::from(id.starts_with("good") || id.starts_with("to well"));
    }

    async fn at_once(&self, what: &str, mut done: impl FnMut(&Judge) -> bool) {
        let (began, patience) = (Instant::now(), std::time::Instant::now());
        while !done(&self.action) {
            let (good, bad) = (&self.action.good, &self.action.bad);
            let breaker = *self.breaker.borrow();
            assert!(
                patience.elapsed() < Duration::from_secs(120),
                "{what}: not at once, with {good:?} and {bad:?}, {breaker:?}"
            );
            // A runtime that is never idle does not advance its clock.
            tokio::task::yield_now().await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "{what}");
    }

    async fn good_ones_go_out_at_once(&self, what: &str) {
        let good = self.good;
        self.at_once(what, |judge| judge.good.load(Ordering::Relaxed) == good).await;
    }

    pub(super) async fn stop(mut self) {
        self.shutdown.drain.cancel();
        while self.task.join_next().await.is_some() {}
        self.journal.close().await;
    }
}

async fn healthy_ones_are_undisturbed(journal: Arc<dyn Journal>, rounds: u64) {
    // Twice what a journal hands over, and what is gathered, at once.
    const KEYS: u64 = 2000;
    let mut street = Street::start(journal);
    for n in 0..KEYS {
        street.append(&format!("bad {n}")).await;
        street.append(&format!("good {n}")).await;
    }
    street.good_ones_go_out_at_once("beside those that fail for the first time").await;
    street.at_once("all are tried", |judge| judge.bad.load(Ordering::Relaxed) >= KEYS).await;
    for round in 0..rounds {
        tokio::time::advance(Duration::from_secs(31)).await;
        for n in 0..100 {
            street.append(&format!("good {round} {n}")).await;
        }
        street.good_ones_go_out_at_once("beside those that fail again").await;
    }
    street.at_once("those go on failing too", |judge| judge.bad.load(Ordering::Relaxed) >= 2 * KEYS).await;
    street.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_kept_with_the_host_that_its_event_names() {
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), Arc::default()));
    let mut street = Street::start(journal.clone());
    street.append("to gone:80 1").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let failing = journal.failing_keys();
    let [(_, failing)] = &failing[..] else { panic!("{failing:?}") };
    assert_eq!((failing.class, failing.host.as_deref()), (Some(ErrorClass::Connect), Some("gone:80")));
    street.stop().await;
}

pub(super) fn in_memory(entries: usize) -> Arc<dyn Journal> {
    let limits = MemoryLimits {
        entries,
        waiting: entries,
        unsettled: Duration::from_secs(1 << 30),
        ..MemoryLimits::for_prefetch(10)
    };
    Arc::new(MemoryJournal::new(limits, Arc::default()))
}

pub(super) fn on_disk(folder: &tempfile::TempDir) -> Arc<dyn Journal> {
    let options =
        SqliteOptions::new(folder.path().join("j.db")).bounded(|bounds| bounds.allow_volatile = true);
    Arc::new(SqliteJournal::open(options, Arc::default()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn thousands_of_failing_keys_leave_healthy_ones_undisturbed_in_memory() {
    healthy_ones_are_undisturbed(in_memory(20_000), 20).await;
}

#[tokio::test(start_paused = true)]
async fn thousands_of_failing_keys_leave_healthy_ones_undisturbed_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    healthy_ones_are_undisturbed(on_disk(&folder), 3).await;
}

/// One host asks for an hour's wait, and others do not exist: neither delays other hosts.
#[tokio::test(start_paused = true)]
async fn hosts_that_fail_hold_up_no_other() {
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(1000), Arc::default()));
    let mut street = Street::start(journal);
    for n in 0..100 {
        street.append(&format!("to gone:80 {n}")).await;
    }
    street.append("to busy:80 0").await;
    for n in 0..5 {
        street.append(&format!("to well:80 {n}")).await;
    }
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(street.action.good.load(Ordering::Relaxed), 5, "whatever stood before them");
    for n in 5..50 {
        street.append(&format!("to well:80 {n}")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(street.action.good.load(Ordering::Relaxed), 50, "each within a second");
    street.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_limit_ends_beside_a_host_counts_no_attempt_that_was_not_made() {
    let most = Some(Duration::from_secs(10));
    for limits in [
        DeliveryLimits { hold_max: most, ..DeliveryLimits::default() },
        DeliveryLimits { max_age: most, ..DeliveryLimits::default() },
    ] {
        let counters = Arc::new(Counters::default());
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(1000), counters.clone()));
        let mut street = Street::with(journal, counters.clone(), limits);
        // More than there are places, and than there are probes.
        for n in 0..200 {
            street.append(&format!("to gone:80 {n}")).await;
        }
        tokio::time::sleep(Duration::from_secs(120)).await;
        let made = street.action.bad.load(Ordering::Relaxed);
        assert_eq!((counters.dead.get(), counters.failures.get()), (200, made), "{limits:?}");
        street.stop().await;
    }
}
