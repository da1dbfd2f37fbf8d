mod neighbours;
mod rows;
mod stalls;

use std::sync::Mutex;
use std::time::SystemTime;

use osnl_core::attempt::Completion;
use osnl_core::received::ReceivedMessage;
use osnl_journal::memory::{MemoryJournal, MemoryLimits};
use osnl_journal::{Entry, NewDelivery, PauseNote, Receipt, Settle};
use osnl_model::Notification;
use osnl_net::http::Expiry;

use super::*;

struct FailingAction {
    failure: Mutex<Option<ErrorClass>>,
    attempts: Mutex<u32>,
}

impl Action for FailingAction {
    fn run<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Vec<Result<Completion, ActionError>>> {
        *self.attempts.lock().unwrap() += 1;
        let failure = *self.failure.lock().unwrap();
        let verdict = || match failure {
            Some(class) => Err(ActionError::new(class, "told so")),
            None => Ok(Completion::Delivered("told so".to_owned())),
        };
        let verdicts = events.iter().map(|_| verdict()).collect();
        Box::pin(async move { verdicts })
    }

    fn target(&self) -> String {
        "the test".to_owned()
    }
}

struct Rig {
    journal: Arc<MemoryJournal>,
    action: Arc<FailingAction>,
    settings: DeliverySettings,
    remote: Remote,
    shutdown: Shutdown,
    task: tokio::task::JoinSet<()>,
}

impl Rig {
    fn start(failure: Option<ErrorClass>, initial: Duration) -> Self {
        let counters = Arc::new(Counters::default());
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), counters.clone()));
        Self::with(journal, failure, initial, counters)
    }

    fn with(
        journal: Arc<MemoryJournal>,
        failure: Option<ErrorClass>,
        initial: Duration,
        counters: Arc<Counters>,
    ) -> Self {
        let action = Arc::new(FailingAction { failure: Mutex::new(failure), attempts: Mutex::new(0) });
        let settings = DeliverySettings::sample(1000, initial, Duration::from_secs(3600));
        let looped = DeliveryLoop::new("a", action.clone(), journal.clone(), settings, counters);
        let remote = looped.remote();
        let shutdown = Shutdown::new();
        let mut task = tokio::task::JoinSet::new();
        task.spawn(looped.run(shutdown.clone()));
        Self { journal, action, settings, remote, shutdown, task }
    }

    async fn append(&self, key: &str) -> Receipt {
        self.append_as(key, key).await
    }

    async fn append_as(&self, id: &str, key: &str) -> Receipt {
        let entry = Entry {
            received: Arc::new(ReceivedMessage::sample("", false)),
            notification: Arc::new(Notification {
                message_id: Some(id.to_owned()),
                ..Notification::default()
            }),
            deliveries: vec![NewDelivery::new("r", "a", Some(key.to_owned()))],
        };
        let mut permit = self.journal.reserve(&[], 1).await;
        self.journal.append(&mut permit, entry)
    }

    async fn stop(mut self) {
        self.shutdown.drain.cancel();
        while self.task.join_next().await.is_some() {}
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_goes_back_before_the_broker_loses_patience() {
    let rig = Rig::start(Some(ErrorClass::Connect), Duration::from_secs(1));
    let began = Instant::now();
    assert_eq!(rig.append("k").await.await, Settle::Requeue);
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    // Half of RabbitMQ's 30 minutes, and at most one sweep later.
    assert!((15.0..15.5).contains(&minutes), "after {minutes} min");
    assert!(*rig.action.attempts.lock().unwrap() < 60);
    rig.stop().await;
}

#[tokio::test]
async fn a_failed_dependency_is_no_failure_of_the_target() {
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), counters.clone()));
    let action = Arc::new(FailingAction { failure: Mutex::new(None), attempts: Mutex::new(0) });
    let settings = DeliverySettings::sample(1000, Duration::from_secs(1), Duration::from_secs(3600));
    let looped = DeliveryLoop::new("a", action, journal, settings, counters);
    let answer = |class| {
        looped.record_failure("told so", None, Some(class));
        looped.gauges.failure.lock().unwrap().as_ref().map(|failure| failure.answer.clone())
    };
    assert_eq!(answer(ErrorClass::Dependency), None);
    assert_eq!(answer(ErrorClass::Connect).as_deref(), Some("told so"));
}

#[derive(Debug)]
struct RefusingCloud;

impl Prepare for RefusingCloud {
    fn prepare<'a>(&'a self, _: &'a Event) -> BoxFuture<'a, Result<Option<Answers>, ActionError>> {
        Box::pin(async { Err(ActionError::new(ErrorClass::Refused(Some(403)), "told so")) })
    }

    fn expiries(&self) -> Vec<Expiry> {
        Vec::new()
    }

    fn failed_at(&self) -> Option<SystemTime> {
        None
    }
}

/// As many keys are refused as would hold a target that refuses them.
#[tokio::test(start_paused = true)]
async fn a_dependency_that_refuses_makes_dead_letters_and_holds_no_target() {
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(10), counters.clone()));
    let rig = Rig::with(journal, None, Duration::from_secs(1), counters.clone());
    let mut preparation = Preparation::default();
    preparation.ask(Arc::new(RefusingCloud));
    let settings = DeliverySettings::sample(3, Duration::from_secs(1), Duration::from_secs(3600));
    rig.remote.change(Setup { action: rig.action.clone(), settings, preparation, fallback: None });
    let mut receipts = Vec::new();
    for n in 0..6 {
        receipts.push(rig.append(&n.to_string()).await);
    }
    for receipt in receipts {
        assert_eq!(receipt.await, Settle::Acknowledge);
    }
    assert_eq!((counters.dead.get(), *rig.action.attempts.lock().unwrap()), (6, 0));
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_while_its_outcome_could_not_be_kept() {
    let rig = Rig::start(Some(ErrorClass::Connect), Duration::from_secs(1));
    let attempts = || *rig.action.attempts.lock().unwrap();
    let receipt = rig.append("k").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(attempts() > 1, "it is tried");
    let failed = JournalState::Failed { reason: "told so".into(), since: SystemTime::UNIX_EPOCH };
    rig.journal.set_state(failed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = attempts();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(attempts(), before);
    *rig.action.failure.lock().unwrap() = None;
    rig.journal.set_state(JournalState::Working);
    assert_eq!(receipt.await, Settle::Acknowledge);
    assert_eq!(attempts(), before + 1);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_back_is_found_within_half_a_minute_however_long_it_was_away() {
    let rig = Rig::start(Some(ErrorClass::Connect), Duration::from_secs(1));
    let receipt = rig.append("k").await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    *rig.action.failure.lock().unwrap() = None;
    let back = Instant::now();
    assert_eq!(receipt.await, Settle::Acknowledge);
    assert!(back.elapsed() <= Duration::from_secs(30), "{:?}", back.elapsed());
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_in_memory_is_told_of_failed_attempts_that_are_repeated() {
    let rig = Rig::start(Some(ErrorClass::Status(409)), Duration::from_secs(1));
    let _receipt = rig.append("k").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let failing = rig.journal.failing_keys();
    let [(_, failing)] = &failing[..] else { panic!("{failing:?}") };
    assert_eq!((failing.resource.as_deref(), &*failing.answer), (Some("k"), "status 409: told so"));
    assert_eq!((failing.class, failing.host.as_deref()), (Some(ErrorClass::Status(409)), None));
    assert_eq!(failing.tries, *rig.action.attempts.lock().unwrap());
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_target_is_not_called_and_what_waits_does_not_age() {
    let rig = Rig::start(None, Duration::from_secs(1));
    rig.journal.set_pause("a", Some(PauseNote::default()));
    let receipt = rig.append("k").await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(*rig.action.attempts.lock().unwrap(), 0);
    rig.journal.set_pause("b", Some(PauseNote::default()));
    rig.journal.set_pause("a", None);
    assert_eq!(receipt.await, Settle::Acknowledge);

    *rig.action.failure.lock().unwrap() = Some(ErrorClass::Status(409));
    let receipt = rig.append("l").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.journal.set_pause("a", Some(PauseNote::default()));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(*rig.action.attempts.lock().unwrap(), 2);
    *rig.action.failure.lock().unwrap() = None;
    rig.journal.set_pause("a", None);
    assert_eq!(receipt.await, Settle::Acknowledge);
    assert_eq!(*rig.action.attempts.lock().unwrap(), 3);
    rig.stop().await;
}

/// The reload must not give up twenty deliveries that were held for longer than the new settings allow.
#[tokio::test(start_paused = true)]
async fn the_reload_that_mends_a_target_costs_it_no_delivery() {
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(100), counters.clone()));
    let mut rig = Rig::with(journal, Some(ErrorClass::Connect), Duration::from_secs(1), counters.clone());
    let mut receipts = Vec::new();
    for n in 0..20 {
        receipts.push(rig.append(&n.to_string()).await);
    }
    tokio::time::sleep(Duration::from_secs(8)).await;
    let mended = Arc::new(FailingAction { failure: Mutex::new(None), attempts: Mutex::new(0) });
    let mut settings = rig.settings;
    settings.limits.hold_max = Some(Duration::from_secs(5));
    rig.remote.change(Setup {
        action: mended.clone(),
        settings,
        preparation: Preparation::default(),
        fallback: None,
    });
    for receipt in receipts {
        assert_eq!(receipt.await, Settle::Acknowledge);
    }
    assert_eq!((*mended.attempts.lock().unwrap(), counters.dead.get()), (20, 0));
    rig.action = mended;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_taken_away_gives_everything_back() {
    let rig = Rig::start(Some(ErrorClass::Status(409)), Duration::from_secs(600));
    // One delivery waits for its retry, and the next of the same resource is not claimable.
    let (first, second) = (rig.append("k").await, rig.append_as("behind", "k").await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.remote.retire();
    assert_eq!((first.await, second.await), (Settle::Requeue, Settle::Requeue));
    rig.stop().await;
}
