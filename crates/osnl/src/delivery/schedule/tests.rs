//! Scripts of what happens, and what the schedule answers.

mod changed;
mod digest;

use std::sync::Arc;

use osnl_model::Notification;

use super::*;
use crate::action::{ErrorClass, Event};
use crate::received::Received;

fn claimed(id: u64, key: &str) -> Claimed {
    Claimed {
        id: DeliveryId(id),
        key: Some(key.to_owned()),
        event: Event {
            received: Arc::new(Received::sample("", false)),
            notification: Arc::new(Notification::default()),
            rule: "r".into(),
            action: "a".into(),
            resource: None,
            enriched: None,
            progress: Default::default(),
        },
        used: Used::default(),
    }
}

/// A schedule whose deliveries 1, 2, 3 … have a key each; pauses without jitter, three attempts.
struct Script {
    schedule: Schedule,
    now: Instant,
}

impl Script {
    fn held_too_long(&mut self) -> Vec<(DeliveryId, Outcome)> {
        let ended = self.schedule.held_too_long(self.now);
        ended.into_iter().map(|(id, _, outcome, _)| (id, outcome)).collect()
    }

    fn new(deliveries: u64, when_exhausted: WhenExhausted) -> Self {
        let policy = RetryPolicy {
            max_attempts: NonZeroU32::new(3).unwrap(),
            initial: Duration::from_secs(1),
            max: Duration::from_secs(600),
            jitter: 0.0,
        };
        let now = Instant::now();
        let mut schedule = Schedule::new(policy, when_exhausted, 4);
        (1..=deliveries).for_each(|id| schedule.add(claimed(id, &format!("key{id}")), now));
        Self { schedule, now }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// The deliveries that begin now.
    fn begun(&mut self) -> Vec<u64> {
        self.calls().concat()
    }

    /// The same, call by call.
    fn calls(&mut self) -> Vec<Vec<u64>> {
        let ids = |items: Vec<&Item>| items.iter().map(|item| item.claimed.id.0).collect();
        std::iter::from_fn(|| self.schedule.next(self.now).map(ids)).collect()
    }

    fn ok(&mut self, id: u64) -> Vec<Step> {
        self.schedule.report(DeliveryId(id), Ok(Done::Delivered(String::new())), self.now)
    }

    fn fails(&mut self, id: u64, class: ErrorClass) -> Vec<Step> {
        self.schedule.report(DeliveryId(id), Err(ActionError::new(class, "x")), self.now)
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn deliveries_begin_in_order_up_to_the_concurrency() {
    let mut script = Script::new(6, WhenExhausted::DeadLetter);
    assert_eq!(script.begun(), [1, 2, 3, 4]);
    assert_eq!(script.ok(2), [Step::End(DeliveryId(2), Outcome::Delivered)]);
    assert_eq!(script.begun(), [5]);
}

#[test]
fn one_key_that_makes_the_target_stumble_waits_by_itself_and_never_ends() {
    let mut script = Script::new(1, WhenExhausted::DeadLetter);
    for pause in [1, 2, 4, 8, 16] {
        assert_eq!(script.begun(), [1]);
        assert_eq!(script.fails(1, ErrorClass::Status(500)), [Step::Waits(pause * SECOND)]);
        assert_eq!(script.begun(), [0; 0]);
        // Another key is not held up, and its success forgives.
        script.schedule.add(claimed(100 + u64::from(pause), "other"), script.now);
        assert_eq!(script.begun(), [100 + u64::from(pause)]);
        script.ok(100 + u64::from(pause));
        script.pass(pause.into());
    }
}

#[test]
fn a_single_key_that_is_asked_to_wait_longer_waits_longer() {
    let mut script = Script::new(1, WhenExhausted::DeadLetter);
    script.begun();
    let error =
        ActionError { retry_after: Some(9 * SECOND), ..ActionError::new(ErrorClass::Status(500), "x") };
    assert_eq!(script.schedule.report(DeliveryId(1), Err(error), script.now), [Step::Waits(9 * SECOND)]);
}

#[test]
fn a_refusal_is_tried_again_and_then_a_dead_letter() {
    let mut script = Script::new(1, WhenExhausted::DeadLetter);
    let refused = ErrorClass::Status(400);
    script.begun();
    assert_eq!(script.fails(1, refused), [Step::Attempted(DeliveryId(1), 1), Step::Waits(SECOND)]);
    script.pass(1);
    script.begun();
    assert_eq!(script.fails(1, refused), [Step::Attempted(DeliveryId(1), 2), Step::Waits(2 * SECOND)]);
    script.pass(2);
    script.begun();
    let reason = "status 400: x (attempt 3)".to_owned();
    assert_eq!(script.fails(1, refused), [Step::End(DeliveryId(1), Outcome::Dead(reason))]);
    assert_eq!(script.schedule.claimed(), 0);
}

#[test]
fn what_is_used_up_goes_back_to_the_broker_after_one_more_pause_when_asked() {
    let mut script = Script::new(1, WhenExhausted::Return);
    for _ in 0..3 {
        script.pass(600);
        assert_eq!(script.schedule.returning(script.now), []);
        assert_eq!(script.begun(), [1]);
        script.fails(1, ErrorClass::Status(400));
    }
    assert_eq!(script.schedule.wake_at(script.now), Some(script.now + 4 * SECOND));
    script.pass(4);
    assert_eq!(script.begun(), [0; 0]);
    assert_eq!(script.schedule.returning(script.now), [DeliveryId(1)]);
    assert_eq!(script.schedule.wake_at(script.now), None);
}

#[test]
fn an_unusable_notification_is_a_dead_letter_at_once_even_when_requeueing() {
    let mut script = Script::new(1, WhenExhausted::Return);
    script.begun();
    let reason = "unusable notification: x (attempt 1)".to_owned();
    assert_eq!(script.fails(1, ErrorClass::Content), [Step::End(DeliveryId(1), Outcome::Dead(reason))]);
}

/// It does not go back to the broker, nor wait for a target that is held.
#[test]
fn a_final_refusal_is_a_dead_letter_at_once() {
    let dead = |id| {
        let reason = "refused for good: x (attempt 1)".to_owned();
        [Step::End(DeliveryId(id), Outcome::Dead(reason))]
    };
    let mut script = Script::new(2, WhenExhausted::Return);
    script.begun();
    assert_eq!(script.fails(1, ErrorClass::Connect), [Step::Opened(SECOND)]);
    assert_eq!(script.fails(2, ErrorClass::Rejected), dead(2));
    script.pass(1);
    assert_eq!(script.begun(), [1]);
    let [end] = dead(1);
    assert_eq!(script.fails(1, ErrorClass::Rejected), [end, Step::Closed]);
    assert_eq!(script.schedule.claimed(), 0);
}

#[test]
fn a_target_that_is_down_is_held_probed_and_drained_at_a_growing_pace() {
    let mut script = Script::new(9, WhenExhausted::DeadLetter);
    assert_eq!(script.begun(), [1, 2, 3, 4]);
    assert_eq!(script.fails(1, ErrorClass::Connect), [Step::Opened(SECOND)]);
    for id in [2, 3, 4] {
        assert_eq!(script.fails(id, ErrorClass::Connect), [Step::Held]);
    }
    assert_eq!(script.begun(), [0; 0]);
    assert_eq!(script.schedule.wake_at(script.now), Some(script.now + SECOND));
    script.pass(1);
    // One probe at a time, each with another key.
    assert_eq!(script.begun(), [1]);
    assert_eq!(script.fails(1, ErrorClass::Connect), [Step::Held]);
    script.pass(2);
    assert_eq!(script.begun(), [2]);
    assert_eq!(script.ok(2), [Step::Closed, Step::End(DeliveryId(2), Outcome::Delivered)]);
    // The oldest first, one, then two, then four at once.
    assert_eq!(script.begun(), [1]);
    script.ok(1);
    assert_eq!(script.begun(), [3, 4]);
    script.ok(3);
    script.ok(4);
    assert_eq!(script.begun(), [5, 6, 7, 8]);
}

#[test]
fn while_the_target_is_held_no_attempt_is_burnt() {
    let mut script = Script::new(5, WhenExhausted::DeadLetter);
    script.schedule = Schedule::new(
        RetryPolicy { max_attempts: NonZeroU32::MIN, ..script.schedule.policy },
        WhenExhausted::DeadLetter,
        16,
    );
    (1..=5).for_each(|id| script.schedule.add(claimed(id, &format!("key{id}")), script.now));
    assert_eq!(script.begun(), [1, 2, 3, 4, 5]);
    // With one attempt allowed the first four end; the fifth key in a row shows that it is the target.
    for id in 1..=4 {
        let ended = script.fails(id, ErrorClass::Status(403));
        assert!(matches!(ended[..], [Step::End(_, Outcome::Dead(_))]), "{ended:?}");
    }
    assert_eq!(script.fails(5, ErrorClass::Status(403)), [Step::Opened(SECOND)]);
    for _ in 0..10 {
        script.pass(30);
        assert_eq!(script.begun(), [5]);
        assert_eq!(script.fails(5, ErrorClass::Status(403)), [Step::Held]);
    }
    script.pass(30);
    assert_eq!(script.begun(), [5]);
    assert_eq!(script.ok(5), [Step::Closed, Step::End(DeliveryId(5), Outcome::Delivered)]);
}

#[test]
fn a_held_schedule_with_nothing_to_send_does_not_wake() {
    let mut script = Script::new(1, WhenExhausted::DeadLetter);
    script.begun();
    script.fails(1, ErrorClass::Connect);
    assert!(script.schedule.release(DeliveryId(1)));
    assert_eq!(script.schedule.wake_at(script.now), None);
}

/// The same with limits, and twenty attempts.
fn limited(deliveries: u64, limits: Limits) -> Script {
    let mut script = Script::new(0, WhenExhausted::DeadLetter);
    let policy = RetryPolicy { max_attempts: NonZeroU32::new(20).unwrap(), ..script.schedule.policy };
    script.schedule = Schedule::new(policy, WhenExhausted::DeadLetter, 4).with_limits(limits);
    let now = script.now;
    (1..=deliveries).for_each(|id| script.schedule.add(claimed(id, &format!("key{id}")), now));
    script
}

#[test]
fn an_age_ends_what_is_tried_again_and_again_and_is_kept_with_the_attempts() {
    for (class, used) in [(ErrorClass::Status(500), 0), (ErrorClass::Status(409), 3)] {
        let mut script = limited(1, Limits { max_age: Some(10 * SECOND), ..Limits::default() });
        // Not counted: it has not been tried yet.
        script.pass(100);
        let mut age = 0;
        for pause in [1, 2, 4, 8] {
            assert_eq!(script.begun(), [1], "{class:?}");
            let steps = script.fails(1, class);
            if age < 10 {
                assert!(matches!(steps.last(), Some(Step::Waits(_))), "{steps:?}");
                let known = script.schedule.used(DeliveryId(1), script.now).unwrap();
                assert_eq!(known.age, age * SECOND);
            } else {
                let reason = format!("{class}: x (attempt {}, after {age} s: retry_max_age)", used + 1);
                assert_eq!(steps, [Step::End(DeliveryId(1), Outcome::Dead(reason))]);
                return;
            }
            script.pass(pause);
            age += u32::try_from(pause).unwrap();
        }
        assert!(age > 10);
    }
}

#[test]
fn what_was_used_up_before_counts() {
    let mut script = limited(0, Limits { max_age: Some(10 * SECOND), ..Limits::default() });
    let used = Used { attempts: 4, age: 9 * SECOND, made: 4 };
    script.schedule.add(Claimed { used, ..claimed(1, "k") }, script.now);
    script.begun();
    script.pass(1);
    let reason = "status 409: x (attempt 5, after 10 s: retry_max_age)".to_owned();
    assert_eq!(script.fails(1, ErrorClass::Status(409)), [Step::End(DeliveryId(1), Outcome::Dead(reason))]);
}

#[test]
fn while_the_target_is_held_nothing_ages() {
    let mut script = limited(1, Limits { max_age: Some(10 * SECOND), ..Limits::default() });
    script.begun();
    script.pass(4);
    script.fails(1, ErrorClass::Connect);
    for _ in 0..100 {
        script.pass(3600);
        assert_eq!(script.begun(), [1]);
        assert_eq!(script.fails(1, ErrorClass::Connect), [Step::Held]);
    }
    assert_eq!(script.schedule.used(DeliveryId(1), script.now).unwrap().age, 4 * SECOND);
    // Nor does it while nothing can be written down.
    script.pass(30);
    script.begun();
    script.fails(1, ErrorClass::Status(409));
    script.schedule.look_at_clock(false, script.now);
    script.pass(3600);
    script.schedule.look_at_clock(true, script.now);
    assert_eq!(script.schedule.used(DeliveryId(1), script.now).unwrap().age, 4 * SECOND);
}

#[test]
fn a_target_that_is_held_longer_than_it_may_makes_dead_letters_of_what_waited_as_long() {
    let mut script = limited(2, Limits { hold_max: Some(60 * SECOND), ..Limits::default() });
    script.begun();
    script.fails(1, ErrorClass::Connect);
    script.fails(2, ErrorClass::Connect);
    assert_eq!(script.schedule.hold_ends(), Some(script.now + 60 * SECOND));
    script.pass(50);
    script.schedule.add(claimed(3, "late"), script.now);
    script.schedule.add(claimed(4, "from the journal"), script.now);
    // Longer ago than the target is held counts no more than that.
    script.schedule.came_before(DeliveryId(4), 3600 * SECOND, script.now);
    assert_eq!(script.held_too_long(), []);
    script.pass(10);
    let ended = |ids: &[u64], seconds: u32| {
        let reason = format!("the target was held for {seconds} s, and hold_max is over");
        ids.iter().map(|id| (DeliveryId(*id), Outcome::Dead(reason.clone()))).collect::<Vec<_>>()
    };
    assert_eq!(script.held_too_long(), ended(&[1, 2, 4], 60));
    // The one that came later has a minute of its own.
    script.pass(49);
    assert_eq!(script.held_too_long(), []);
    script.pass(1);
    assert_eq!(script.held_too_long(), ended(&[3], 110));
    assert_eq!(script.schedule.claimed(), 0);
}

#[test]
fn a_dead_letter_holds_its_key_if_it_should() {
    let mut script = limited(1, Limits { on_dead: OnDead::HoldKey, ..Limits::default() });
    script.begun();
    let reason = "unusable notification: x (attempt 1)".to_owned();
    assert_eq!(
        script.fails(1, ErrorClass::Content),
        [Step::End(DeliveryId(1), Outcome::DeadHoldingKey(reason))]
    );
}

/// Of ten deliveries, calls of three.
fn batches(wait: u64, rate: Option<Rate>) -> Script {
    let mut script = Script::new(10, WhenExhausted::DeadLetter);
    script.schedule =
        script.schedule.with_batch(Batch { most: 3, wait: SECOND * wait as u32, whole: false }, rate);
    script
}

#[test]
fn events_are_gathered_into_calls_and_concurrency_counts_those() {
    let mut script = batches(0, None);
    assert_eq!(script.calls(), [vec![1, 2, 3], vec![4, 5, 6], vec![7, 8, 9], vec![10]]);
    script.ok(1);
    script.ok(2);
    script.schedule.add(claimed(11, "k"), script.now);
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
    script.schedule.add(claimed(11, "k"), script.now);
    assert!(script.calls().is_empty());
    script.pass(1);
    assert_eq!(script.calls(), [[10, 11]]);
    assert_eq!(script.schedule.wake_at(script.now), None);
}

/// One event that the target stumbles over must neither hold the target nor cost its companions anything.
#[test]
fn what_failed_together_is_tried_alone() {
    for class in [ErrorClass::Status(500), ErrorClass::Status(400), ErrorClass::Timeout] {
        let mut script = batches(0, None);
        script.begun();
        for id in 1..=3 {
            assert_eq!(script.fails(id, class), [Step::Waits(SECOND)], "{class}");
            assert_eq!(script.schedule.used(DeliveryId(id), script.now).unwrap().attempts, 0);
        }
        script.pass(1);
        (4..=10).for_each(|id| drop(script.ok(id)));
        assert_eq!(script.calls(), [[1], [2], [3]]);
    }
    // What nobody can change is not tried again.
    let mut script = batches(0, None);
    script.begun();
    script.ok(1);
    let reason = "refused for good: x (attempt 1)".to_owned();
    assert_eq!(script.fails(2, ErrorClass::Rejected), [Step::End(DeliveryId(2), Outcome::Dead(reason))]);
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
