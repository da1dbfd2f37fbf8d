use std::time::SystemTime;

use osnl_core::event::EnrichedValues;
use osnl_journal::{
    AttemptRetry, ClaimLimits, ClaimedDelivery, End, JournalState, Obstacle, PausedActions, Permit,
    SentRequest, UsedLimits,
};
use tokio::sync::watch;

use super::*;

struct Moody {
    inner: Arc<MemoryJournal>,
    state: watch::Sender<JournalState>,
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

    fn first_arrival(&self, received: &ReceivedMessage, notification: &Notification) -> Option<SystemTime> {
        self.inner.first_arrival(received, notification)
    }

    fn is_crowded(&self, action: &str) -> bool {
        self.inner.is_crowded(action)
    }

    fn subscribed(&self, listener: &str, prefetch: u16) {
        self.inner.subscribed(listener, prefetch);
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

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

async fn moody(rig: &mut Rig, counters: Arc<Counters>) -> Arc<Moody> {
    let settings = DeliverySettings::sample(1, Duration::from_secs(1), Duration::from_secs(1));
    let state = watch::Sender::new(JournalState::Working);
    let moody = Arc::new(Moody { inner: rig.journal.clone(), state });
    rig.task.abort_all();
    while rig.task.join_next().await.is_some() {}
    let looped = DeliveryLoop::new("a", rig.action.clone(), moody.clone(), settings, counters);
    rig.task.spawn(looped.run(rig.shutdown.clone()));
    moody
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_while_its_outcome_could_not_be_kept() {
    let mut rig = Rig::start(Some(ErrorClass::Connect), Duration::from_secs(1));
    let counters = Arc::new(Counters::default());
    let moody = moody(&mut rig, counters).await;
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
