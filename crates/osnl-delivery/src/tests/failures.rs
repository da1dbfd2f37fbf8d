use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use osnl_config::Rate;
use osnl_core::event::EnrichedValues;
use osnl_journal::{
    AttemptRetry, AttemptTerm, ClaimLimits, ClaimedDelivery, End, JournalState, Obstacle, PausedActions,
    Permit, SentRequest, UsedLimits,
};
use tokio::sync::watch;

use super::*;

struct Moody {
    inner: Arc<MemoryJournal>,
    state: watch::Sender<JournalState>,
    term: Option<Arc<dyn AttemptTerm>>,
    daemons: watch::Sender<usize>,
}

impl Journal for Moody {
    fn state(&self) -> watch::Receiver<JournalState> {
        self.state.subscribe()
    }

    fn reserve<'a>(&'a self, actions: &'a [Arc<str>], at_most: usize) -> BoxFuture<'a, Permit> {
        self.inner.reserve(actions, at_most)
    }

    fn obstacle(&self, actions: &[Arc<str>]) -> Option<Obstacle> {
        self.inner.obstacle(actions)
    }

    fn append(&self, permit: &mut Permit, entry: Entry) -> Receipt {
        self.inner.append(permit, entry)
    }

    fn set_aside(&self, received: ReceivedMessage, reason: String) -> Receipt {
        self.inner.set_aside(received, reason)
    }

    fn claim<'a>(&'a self, action: &'a str, wanted: ClaimLimits) -> BoxFuture<'a, Vec<ClaimedDelivery>> {
        self.inner.claim(action, wanted)
    }

    fn attempted(&self, delivery: DeliveryId, used: UsedLimits, answer: &str) {
        self.inner.attempted(delivery, used, answer);
    }

    fn sent(&self, delivery: DeliveryId, made: u32, sent: SentRequest) {
        self.inner.sent(delivery, made, sent);
    }

    fn end(&self, delivery: DeliveryId, end: End) {
        self.inner.end(delivery, end);
    }

    fn retry_at(&self, delivery: DeliveryId, retry: AttemptRetry) {
        self.inner.retry_at(delivery, retry);
    }

    fn next_due(&self, action: &str) -> Option<Instant> {
        self.inner.next_due(action)
    }

    fn due_now(&self, action: &str) {
        self.inner.due_now(action);
    }

    fn enriched(
        &self,
        delivery: DeliveryId,
        enriched: &EnrichedValues,
        learnt: LearntFacts,
    ) -> BoxFuture<'static, ()> {
        self.inner.enriched(delivery, enriched, learnt)
    }

    fn known<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Option<String>> {
        self.inner.known(object)
    }

    fn retired(&self, action: &str) {
        self.inner.retired(action);
    }

    fn paused(&self) -> watch::Receiver<PausedActions> {
        self.inner.paused()
    }

    fn overdue(&self, action: &str) -> Vec<DeliveryId> {
        self.inner.overdue(action)
    }

    fn withdrawn(&self, action: &str) -> Vec<DeliveryId> {
        self.inner.withdrawn(action)
    }

    fn term(&self, _deliveries: &[DeliveryId]) -> Option<Arc<dyn AttemptTerm>> {
        self.term.clone()
    }

    fn daemons(&self) -> watch::Receiver<usize> {
        self.daemons.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

async fn moody(rig: &mut Rig, term: Option<Arc<dyn AttemptTerm>>, counters: Arc<Counters>) -> Arc<Moody> {
    let settings = DeliverySettings::sample(1, Duration::from_secs(1), Duration::from_secs(1));
    moody_with(rig, term, settings, counters).await
}

async fn moody_with(
    rig: &mut Rig,
    term: Option<Arc<dyn AttemptTerm>>,
    settings: DeliverySettings,
    counters: Arc<Counters>,
) -> Arc<Moody> {
    let state = watch::Sender::new(JournalState::Working);
    let daemons = watch::Sender::new(1);
    let moody = Arc::new(Moody { inner: rig.journal.clone(), state, term, daemons });
    rig.task.abort_all();
    while rig.task.join_next().await.is_some() {}
    let looped = DeliveryLoop::new("a", rig.action.clone(), moody.clone(), settings, counters);
    rig.task.spawn(looped.run(rig.shutdown.clone()));
    moody
}

#[derive(Debug)]
struct TestTerm(AtomicBool);

impl AttemptTerm for TestTerm {
    fn left(&self) -> Duration {
        if self.0.load(Ordering::Relaxed) { Duration::from_secs(10) } else { Duration::ZERO }
    }
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_when_the_term_has_ended() {
    let mut rig = Rig::start(None, Duration::from_secs(1));
    let counters = Arc::new(Counters::default());
    let term = Arc::new(TestTerm(AtomicBool::new(false)));
    let _moody = moody(&mut rig, Some(term.clone()), counters.clone()).await;
    let receipt = rig.append("k").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((*rig.action.attempts.lock().unwrap(), counters.dead.get()), (0, 0));
    term.0.store(true, Ordering::Relaxed);
    assert_eq!(receipt.await, Settle::Acknowledge);
    assert_eq!(*rig.action.attempts.lock().unwrap(), 1);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_while_its_outcome_could_not_be_kept() {
    let mut rig = Rig::start(Some(ErrorClass::Connect), Duration::from_secs(1));
    let counters = Arc::new(Counters::default());
    let moody = moody(&mut rig, None, counters).await;
    let attempts = || *rig.action.attempts.lock().unwrap();
    let receipt = rig.append("k").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(attempts() > 1, "it is tried");
    let failed = JournalState::Failed { reason: "told so".into(), since: SystemTime::UNIX_EPOCH };
    moody.state.send_replace(failed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = attempts();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(attempts(), before);
    *rig.action.failure.lock().unwrap() = None;
    moody.state.send_replace(JournalState::Working);
    assert_eq!(receipt.await, Settle::Acknowledge);
    assert_eq!(attempts(), before + 1);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_divided_by_the_daemons_that_deliver() {
    let mut rig = Rig::start(None, Duration::from_secs(1));
    let settings = DeliverySettings {
        rate: Some(Rate { keys: 4, within: Duration::from_secs(60) }),
        ..DeliverySettings::sample(1, Duration::from_secs(1), Duration::from_secs(1))
    };
    let moody = moody_with(&mut rig, None, settings, Arc::default()).await;
    moody.daemons.send_replace(2);
    let mut receipts = Vec::new();
    for n in 0..6 {
        receipts.push(rig.append(&n.to_string()).await);
    }
    let attempts = || *rig.action.attempts.lock().unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(attempts(), 2);
    moody.daemons.send_replace(1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(attempts(), 4);
    for receipt in receipts {
        assert_eq!(receipt.await, Settle::Acknowledge);
    }
    rig.stop().await;
}
