//! Scripts of what happens, and what the schedule answers.

use std::sync::Arc;

use osnl_model::Notification;

use super::*;
use crate::action::Event;
use crate::received::Received;

fn claimed(id: u64, key: &str) -> Claimed {
    Claimed {
        id: DeliveryId(id),
        key: Some(key.to_owned()),
        event: Event {
            received: Arc::new(Received::sample("", false)),
            notification: Arc::new(Notification::default()),
            rule: "r".into(),
        },
        attempts: 0,
    }
}

/// A schedule whose deliveries 1, 2, 3 … have a key each; pauses without jitter, three attempts.
struct Script {
    schedule: Schedule,
    now: Instant,
}

impl Script {
    fn new(deliveries: u64, when_exhausted: WhenExhausted) -> Self {
        let policy = RetryPolicy {
            max_attempts: NonZeroU32::new(3).unwrap(),
            initial: Duration::from_secs(1),
            max: Duration::from_secs(600),
            jitter: 0.0,
        };
        let mut schedule = Schedule::new(policy, when_exhausted, 4);
        (1..=deliveries).for_each(|id| schedule.add(claimed(id, &format!("key{id}"))));
        Self { schedule, now: Instant::now() }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// The deliveries that begin now.
    fn begun(&mut self) -> Vec<u64> {
        std::iter::from_fn(|| self.schedule.next(self.now).map(|item| item.claimed.id.0)).collect()
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
        script.schedule.add(claimed(100 + u64::from(pause), "other"));
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
    assert_eq!(script.schedule.wake_at(), Some(script.now + 4 * SECOND));
    script.pass(4);
    assert_eq!(script.begun(), [0; 0]);
    assert_eq!(script.schedule.returning(script.now), [DeliveryId(1)]);
    assert_eq!(script.schedule.wake_at(), None);
}

#[test]
fn an_unusable_notification_is_a_dead_letter_at_once_even_when_requeueing() {
    let mut script = Script::new(1, WhenExhausted::Return);
    script.begun();
    let reason = "unusable notification: x (attempt 1)".to_owned();
    assert_eq!(script.fails(1, ErrorClass::Content), [Step::End(DeliveryId(1), Outcome::Dead(reason))]);
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
    assert_eq!(script.schedule.wake_at(), Some(script.now + SECOND));
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
    (1..=5).for_each(|id| script.schedule.add(claimed(id, &format!("key{id}"))));
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
    assert_eq!(script.schedule.wake_at(), None);
}

#[test]
fn too_many_far_retries_go_back_oldest_first() {
    let mut script = Script::new(4, WhenExhausted::DeadLetter);
    let far =
        ActionError { retry_after: Some(120 * SECOND), ..ActionError::new(ErrorClass::Status(409), "x") };
    script.begun();
    for id in 1..=4 {
        script.schedule.report(DeliveryId(id), Err(far.clone()), script.now);
    }
    assert_eq!(script.schedule.shed(4, script.now), []);
    assert_eq!(script.schedule.shed(2, script.now), [DeliveryId(1), DeliveryId(2)]);
    // Those whose next attempt is near stay.
    script.pass(61);
    assert_eq!(script.schedule.shed(0, script.now), []);
}
