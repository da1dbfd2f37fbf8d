mod changed;
mod digest;
mod held;
mod tenants;

use std::num::NonZeroU32;
use std::time::SystemTime;

use osnl_core::attempt::{ActionError, Completion, ErrorClass};
use osnl_core::event::Event;
use osnl_core::received::ReceivedMessage;
use osnl_journal::{Outcome, UsedLimits};
use osnl_model::Notification;

use super::*;
use crate::limits::OnDead;

fn claimed(id: u64, key: &str) -> ClaimedDelivery {
    ClaimedDelivery {
        id: DeliveryId(id),
        key: Some(key.to_owned()),
        event: Event::new(ReceivedMessage::sample("", false), Notification::default(), "r", "a"),
        used: UsedLimits::default(),
        since: None,
        began: None,
        newest: false,
    }
}

pub(crate) fn worded(consequence: &Consequence) -> String {
    match consequence {
        Consequence::Begin(call) => {
            let ids: Vec<u64> = call.iter().map(|(id, _)| id.0).collect();
            format!("begins {ids:?}")
        }
        Consequence::End(ended) => {
            let id = ended.claimed.id.0;
            match &ended.outcome {
                Outcome::Delivered => format!("{id} delivered"),
                Outcome::NothingToDo => format!("{id} nothing to do"),
                Outcome::Dead(reason) => format!("{id} dead: {reason}"),
                Outcome::DeadHoldingKey(reason) => format!("{id} dead, holding: {reason}"),
                Outcome::Returned => format!("{id} returned"),
            }
        }
        Consequence::Retry(retried) => {
            let (id, pause) = (retried.claimed.id.0, retried.pause.as_secs());
            match retried.reason {
                WaitReason::Failed => format!("{id} waits {pause}"),
                WaitReason::TargetDown => format!("{id} held {pause}"),
                WaitReason::Dependency => format!("{id} depends {pause}"),
                WaitReason::Crowded => format!("{id} crowded {pause}"),
            }
        }
        Consequence::Return(id) => format!("{} returns", id.0),
        Consequence::Aged { id, used } => format!("{} aged {}", id.0, used.age.as_secs()),
        Consequence::DueNow => "all due".to_owned(),
        Consequence::Apart { id, .. } => format!("{} apart", id.0),
        Consequence::Opened { host, pause, .. } => {
            format!("{} opened {}", host.as_deref().unwrap_or("target"), pause.as_secs())
        }
        Consequence::Closed { host } => format!("{} closed", host.as_deref().unwrap_or("target")),
        Consequence::Left => "target left".to_owned(),
        Consequence::Down { dependency, .. } => format!("{dependency} down"),
        Consequence::Answers { dependency } => format!("{dependency} answers"),
    }
}

struct Script {
    schedule: Schedule,
    now: Instant,
    waiting: BTreeMap<(Instant, DeliveryId), ClaimedDelivery>,
    hosts: HashMap<DeliveryId, Arc<str>>,
    arrived: HashMap<DeliveryId, Instant>,
    /// The consequences of claims.
    claims: Vec<String>,
    /// The retries whose age includes the pause.
    charged: HashMap<DeliveryId, Instant>,
}

const POLICY: RetryPolicy = RetryPolicy {
    max_attempts: NonZeroU32::new(3).unwrap(),
    initial: Duration::from_secs(1),
    max: Duration::from_secs(600),
    jitter: 0.0,
};

impl Script {
    fn new(deliveries: u64, when_exhausted: WhenExhausted) -> Self {
        Self::with_schedule(deliveries, Schedule::new(POLICY, when_exhausted, 4))
    }

    fn with_schedule(deliveries: u64, mut schedule: Schedule) -> Self {
        let now = Instant::now();
        schedule.check_clock(true, now);
        let (waiting, hosts, arrived, charged) = Default::default();
        let mut script = Self { schedule, now, waiting, hosts, arrived, claims: Vec::new(), charged };
        (1..=deliveries).for_each(|id| script.add(id));
        script
    }

    fn add(&mut self, id: u64) {
        self.claim(claimed(id, &format!("key{id}")));
    }

    fn claim(&mut self, claimed: ClaimedDelivery) {
        let host = self.hosts.get(&claimed.id).cloned();
        let arrived = *self.arrived.entry(claimed.id).or_insert(self.now);
        let mut out = Vec::new();
        self.schedule.add(claimed, host, Some(arrived), self.now, &mut out);
        let words = self.keep(out);
        self.claims.extend(words);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn begun(&mut self) -> Vec<u64> {
        self.calls().concat()
    }

    fn calls(&mut self) -> Vec<Vec<u64>> {
        while let Some(entry) = self.waiting.first_entry()
            && entry.key().0 <= self.now
        {
            let claimed = entry.remove();
            self.claim(claimed);
        }
        self.schedule.check_clock(true, self.now);
        let next = std::iter::from_fn(|| self.schedule.next(self.now));
        next.map(|ids| ids.into_iter().map(|id| id.0).collect()).collect()
    }

    fn report(&mut self, id: u64, result: Result<Completion, ActionError>) -> Vec<String> {
        self.report_begun(id, Some(SystemTime::UNIX_EPOCH), result)
    }

    fn report_begun(
        &mut self,
        id: u64,
        began: Option<SystemTime>,
        result: Result<Completion, ActionError>,
    ) -> Vec<String> {
        let id = DeliveryId(id);
        let (_, event) = self.schedule.event(id).expect("it is claimed");
        let event = Event { began, ..event };
        let mut out = Vec::new();
        self.schedule.report(id, event, self.hosts.get(&id).cloned(), result, self.now, &mut out);
        self.keep(out)
    }

    fn keep(&mut self, out: Vec<Consequence>) -> Vec<String> {
        let words = out.iter().map(worded).collect();
        for consequence in out {
            match consequence {
                Consequence::Retry(retried) => {
                    let claimed = ClaimedDelivery { used: retried.retry.used, ..retried.claimed };
                    self.charged.remove(&claimed.id);
                    self.charged.extend(retried.retry.is_charged.then_some((claimed.id, retried.retry.due)));
                    self.waiting.insert((retried.retry.due, claimed.id), claimed);
                }
                Consequence::DueNow => {
                    for ((due, id), mut claimed) in std::mem::take(&mut self.waiting) {
                        if let Some(until) = self.charged.remove(&id) {
                            claimed.used.age -= until.saturating_duration_since(self.now);
                        }
                        self.waiting.insert((due.min(self.now), id), claimed);
                    }
                }
                _ => {}
            }
        }
        words
    }

    fn used(&self, id: u64) -> UsedLimits {
        let waiting = self.waiting.values().find(|claimed| claimed.id.0 == id);
        let ready = self.schedule.items.get(&DeliveryId(id)).map(|item| &item.claimed);
        waiting.or(ready).expect("it is open").used
    }

    fn ok(&mut self, id: u64) -> Vec<String> {
        self.report(id, Ok(Completion::Delivered(String::new())))
    }

    fn fails(&mut self, id: u64, class: ErrorClass) -> Vec<String> {
        self.report(id, Err(ActionError::new(class, "x")))
    }

    /// As if an enrichment had been refused, so that no call was made.
    fn fails_uncalled(&mut self, id: u64, class: ErrorClass) -> Vec<String> {
        self.report_begun(id, None, Err(ActionError::new(class, "x")))
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn deliveries_begin_in_order_up_to_the_concurrency() {
    let mut script = Script::new(6, WhenExhausted::DeadLetter);
    assert_eq!(script.begun(), [1, 2, 3, 4]);
    assert_eq!(script.ok(2), ["2 delivered"]);
    assert_eq!(script.begun(), [5]);
}

#[test]
fn one_key_that_makes_the_target_stumble_waits_by_itself_and_never_ends() {
    let mut script = Script::new(1, WhenExhausted::DeadLetter);
    for pause in [1, 2, 4, 8, 16] {
        assert_eq!(script.begun(), [1]);
        assert_eq!(script.fails(1, ErrorClass::Status(500)), [format!("1 waits {pause}")]);
        assert_eq!(script.schedule.claimed(), 0, "it waits in the journal");
        // Another key is not delayed, and its success resets the breaker.
        script.add(100 + pause);
        assert_eq!(script.begun(), [100 + pause]);
        script.ok(100 + pause);
        script.pass(pause);
    }
}

#[test]
fn a_single_key_that_is_asked_to_wait_longer_waits_longer() {
    let mut script = Script::new(1, WhenExhausted::DeadLetter);
    script.begun();
    let error =
        ActionError { retry_after: Some(9 * SECOND), ..ActionError::new(ErrorClass::Status(500), "x") };
    assert_eq!(script.report(1, Err(error)), ["1 waits 9"]);
}

#[test]
fn a_refusal_is_tried_again_and_then_a_dead_letter() {
    let mut script = Script::new(1, WhenExhausted::DeadLetter);
    let refused = ErrorClass::Status(400);
    script.begun();
    assert_eq!(script.fails(1, refused), ["1 waits 1"]);
    assert_eq!((script.used(1).attempts, script.used(1).made), (1, 1));
    script.pass(1);
    script.begun();
    assert_eq!(script.fails(1, refused), ["1 waits 2"]);
    script.pass(2);
    script.begun();
    assert_eq!(script.fails(1, refused), ["1 dead: status 400: x"]);
    assert_eq!(script.schedule.claimed(), 0);
}

#[test]
fn what_is_used_up_goes_back_to_the_broker_after_one_more_pause_when_asked() {
    let mut script = Script::new(1, WhenExhausted::Return);
    for _ in 0..3 {
        assert_eq!(script.begun(), [1]);
        script.fails(1, ErrorClass::Status(400));
        script.pass(600);
    }
    assert_eq!(script.begun(), [0; 0]);
    assert_eq!(script.claims, ["1 returns"]);
    // The broker redelivered the message: one more attempt is made before the next pause.
    script.claim(ClaimedDelivery {
        used: UsedLimits { attempts: 3, made: 3, ..UsedLimits::default() },
        ..claimed(1, "k")
    });
    assert_eq!(script.begun(), [1]);
    assert_eq!(script.fails(1, ErrorClass::Status(400)), ["1 waits 8"]);
}

#[test]
fn an_unusable_notification_is_a_dead_letter_at_once_even_when_requeueing() {
    let mut script = Script::new(1, WhenExhausted::Return);
    script.begun();
    let dead = "1 dead: unusable notification: x";
    assert_eq!(script.fails(1, ErrorClass::Content), [dead]);
}

#[test]
fn a_final_refusal_is_a_dead_letter_at_once() {
    let mut script = Script::new(2, WhenExhausted::Return);
    script.begun();
    assert_eq!(script.fails(1, ErrorClass::Connect), ["target opened 1", "1 held 1"]);
    assert_eq!(script.fails(2, ErrorClass::Rejected), ["2 dead: refused for good: x"]);
    script.pass(1);
    assert_eq!(script.begun(), [1]);
    let closed = ["target closed", "1 dead: refused for good: x"];
    assert_eq!(script.fails(1, ErrorClass::Rejected), closed);
    assert_eq!(script.schedule.claimed(), 0);
}

#[test]
fn what_failed_before_gets_a_share_of_the_calls_and_never_all() {
    let mut script = Script::with_schedule(0, Schedule::new(POLICY, WhenExhausted::DeadLetter, 8));
    let used = UsedLimits { made: 1, ..UsedLimits::default() };
    (1..=20).for_each(|id| script.claim(ClaimedDelivery { used, ..claimed(id, &format!("key{id}")) }));
    // Failed deliveries alone get all calls but a quarter.
    assert_eq!(script.begun(), [1, 2, 3, 4, 5, 6]);
    (101..=112).for_each(|id| script.add(id));
    assert_eq!(script.begun(), [101, 102]);
    // From then on, failed deliveries get one call of four.
    let mut next = Vec::new();
    for id in [1, 2, 3, 4, 5, 6, 101, 102] {
        script.ok(id);
        next.extend(script.begun());
    }
    assert_eq!(next, [103, 7, 104, 105, 106, 8, 107, 108]);
}

#[test]
fn the_claims_that_there_may_be_follow_from_the_calls() {
    for (concurrency, batch, expected) in
        [(1, 1, 16), (16, 1, 64), (1000, 1, 4000), (16, 50, 800), (4, 500, 1024)]
    {
        let batch = BatchLimits { most: batch, ..BatchLimits::default() };
        let schedule = Schedule::new(POLICY, WhenExhausted::DeadLetter, concurrency).with_batch(batch, None);
        assert_eq!(schedule.window(), expected, "{concurrency} {batch:?}");
    }
}

fn limited(deliveries: u64, limits: DeliveryLimits) -> Script {
    let policy = RetryPolicy { max_attempts: NonZeroU32::new(20).unwrap(), ..POLICY };
    Script::with_schedule(deliveries, Schedule::new(policy, WhenExhausted::DeadLetter, 4).with_limits(limits))
}

#[test]
fn an_age_ends_what_is_tried_again_and_again_and_is_kept_with_the_attempts() {
    for class in [ErrorClass::Status(500), ErrorClass::Status(409)] {
        let mut script =
            limited(1, DeliveryLimits { max_age: Some(10 * SECOND), ..DeliveryLimits::default() });
        script.pass(100);
        let mut age = 0;
        for pause in [1, 2, 4, 8, 16] {
            assert_eq!(script.begun(), [1], "{class:?}");
            let words = script.fails(1, class);
            if age < 10 {
                assert_eq!(words, [format!("1 waits {pause}")], "{class:?}");
                // The pause is included, because the journal does not count it.
                assert_eq!(script.used(1).age, (age + pause) as u32 * SECOND);
            } else {
                assert_eq!(words, [format!("1 dead: {class}: x (after {age} s: retry_max_age)")]);
                break;
            }
            script.pass(pause);
            age += pause;
        }
        assert!(age > 10);
    }
}

#[test]
fn what_was_used_up_before_counts() {
    let mut script = limited(0, DeliveryLimits { max_age: Some(10 * SECOND), ..DeliveryLimits::default() });
    let used = UsedLimits { attempts: 4, age: 9 * SECOND, made: 4 };
    script.claim(ClaimedDelivery { used, ..claimed(1, "k") });
    script.begun();
    script.pass(1);
    let dead = "1 dead: status 409: x (after 10 s: retry_max_age)";
    assert_eq!(script.fails(1, ErrorClass::Status(409)), [dead]);
}

#[test]
fn a_dead_letter_holds_its_key_if_it_should() {
    let mut script = limited(1, DeliveryLimits { on_dead: OnDead::HoldKey, ..DeliveryLimits::default() });
    script.begun();
    let dead = "1 dead, holding: unusable notification: x";
    assert_eq!(script.fails(1, ErrorClass::Content), [dead]);
}

fn batches(wait: u64, rate: Option<Rate>) -> Script {
    let batch = BatchLimits { most: 3, wait: SECOND * wait as u32, whole: false };
    Script::with_schedule(10, Schedule::new(POLICY, WhenExhausted::DeadLetter, 4).with_batch(batch, rate))
}

#[test]
fn events_are_gathered_into_calls_and_concurrency_counts_those() {
    let mut script = batches(0, None);
    assert_eq!(script.calls(), [vec![1, 2, 3], vec![4, 5, 6], vec![7, 8, 9], vec![10]]);
    script.ok(1);
    script.ok(2);
    script.add(11);
    assert!(script.calls().is_empty(), "the first call is not over");
    script.ok(3);
    assert_eq!(script.calls(), [[11]]);
}

#[test]
fn the_first_waits_for_others_for_that_long_and_no_longer() {
    let mut script = batches(5, None);
    assert_eq!(script.calls(), [[1, 2, 3], [4, 5, 6], [7, 8, 9]]);
    let due = script.now + 5 * SECOND;
    assert_eq!(script.schedule.wake_at(script.now), Some(due));
    script.pass(4);
    script.add(11);
    assert!(script.calls().is_empty());
    script.pass(1);
    assert_eq!(script.calls(), [[10, 11]]);
    assert_eq!(script.schedule.wake_at(script.now), None);
}

/// One event that makes the target stumble must neither hold the target nor cost its companions an attempt.
#[test]
fn what_failed_together_is_tried_alone() {
    for class in [ErrorClass::Status(500), ErrorClass::Status(400), ErrorClass::Timeout] {
        let mut script = batches(0, None);
        script.begun();
        for id in 1..=3 {
            assert_eq!(script.fails(id, class), [format!("{id} waits 1")], "{class}");
            assert_eq!(script.used(id).attempts, 0);
        }
        script.pass(1);
        (4..=10).for_each(|id| drop(script.ok(id)));
        assert_eq!(script.calls(), [[1], [2], [3]]);
    }
    let mut script = batches(0, None);
    script.begun();
    script.ok(1);
    assert_eq!(script.fails(2, ErrorClass::Rejected), ["2 dead: refused for good: x"]);
}

#[test]
fn a_refusal_before_the_call_uses_up_attempts_and_proves_nothing_about_the_target() {
    let refused = ErrorClass::Refused(Some(403));
    let mut script = Script::with_schedule(5, Schedule::new(POLICY, WhenExhausted::DeadLetter, 16));
    for (attempt, words) in [(1, "waits 1"), (2, "waits 2"), (3, "dead: status 403: x")] {
        assert_eq!(script.begun(), [1, 2, 3, 4, 5], "attempt {attempt}");
        for id in 1..=5 {
            assert_eq!(script.fails_uncalled(id, refused), [format!("{id} {words}")]);
            assert_eq!(script.schedule.breaker(), BreakerState::Closed);
        }
        script.pass(attempt);
    }
    assert_eq!(script.schedule.claimed(), 0);

    // A target that cannot be connected to was called, and is down.
    script.add(6);
    assert_eq!(script.begun(), [6]);
    assert_eq!(script.fails(6, ErrorClass::Connect), ["target opened 1", "6 held 1"]);
    script.pass(1);
    script.add(7);
    assert_eq!(script.begun(), [7]);
    assert_eq!(script.fails_uncalled(7, refused), ["7 waits 1"]);
    assert_eq!([6, 7].map(|id| script.used(id).attempts), [0, 1]);
    assert_eq!(script.schedule.breaker(), BreakerState::Open { until: script.now });

    // In a call with several, the one at fault is known.
    let mut script = batches(0, None);
    script.begun();
    assert_eq!(script.fails_uncalled(1, refused), ["1 waits 1"]);
    assert_eq!(script.used(1).attempts, 1);
}

#[test]
fn no_more_calls_begin_than_the_rate_allows() {
    let mut script = batches(0, Some(Rate { keys: 2, within: 60 * SECOND }));
    assert_eq!(script.calls(), [[1, 2, 3], [4, 5, 6]]);
    assert_eq!(script.schedule.wake_at(script.now), Some(script.now + 60 * SECOND));
    (1..=6).for_each(|id| drop(script.ok(id)));
    script.pass(59);
    assert!(script.calls().is_empty());
    script.pass(1);
    assert_eq!(script.calls(), [vec![7, 8, 9], vec![10]]);
}
