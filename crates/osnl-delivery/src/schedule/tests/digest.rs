use super::*;

/// A digest stays whole while it is retried, held and probed. Only after a final refusal are its events tried one by
/// one, to find the event at fault.
#[test]
fn a_digest_fails_and_is_tried_again_as_a_whole() {
    let batch = BatchLimits { most: 3, wait: Duration::ZERO, whole: true };
    let mut script =
        Script::with_schedule(5, Schedule::new(POLICY, WhenExhausted::DeadLetter, 4).with_batch(batch, None));
    assert_eq!(script.calls(), [vec![1, 2, 3], vec![4, 5]]);
    for id in 1..=5 {
        script.fails(id, ErrorClass::Connect);
    }
    assert!(matches!(script.schedule.breaker(), BreakerState::Open { .. }));
    script.pass(60);
    assert_eq!(script.calls(), [vec![1, 2, 3]], "the probe is a digest too");
    for id in 1..=3 {
        script.ok(id);
    }
    assert_eq!(script.calls(), [vec![4, 5]]);
    assert_eq!(script.fails(4, ErrorClass::Rejected), ["4 apart"]);
    assert_eq!(script.fails(5, ErrorClass::Rejected), ["5 apart"]);
    assert_eq!(script.calls(), [vec![4], vec![5]]);
    assert_eq!(script.fails(4, ErrorClass::Rejected), ["4 dead: refused for good: x"]);
    script.ok(5);
}

/// A digest counts from the beginning of the first one's wait, however late that was claimed here.
#[test]
fn a_digest_is_sent_when_its_first_has_waited_or_when_no_other_can_come() {
    let batch = BatchLimits { most: 9, wait: 600 * SECOND, whole: true };
    let schedule = || Schedule::new(POLICY, WhenExhausted::DeadLetter, 4).with_batch(batch, None);
    let mut script = Script::with_schedule(1, schedule());
    script.pass(300);
    assert!(script.calls().is_empty());
    let since = script.now;
    assert!(script.schedule.release(DeliveryId(1)));
    script.pass(299);
    script.claim(ClaimedDelivery { since: Some(since), ..claimed(2, "k") });
    script.add(3);
    assert!(script.calls().is_empty());
    assert_eq!(script.schedule.wake_at(script.now), Some(since + 600 * SECOND));
    script.pass(301);
    assert_eq!(script.calls(), [[2, 3]]);
    // A digest that failed waits for its own retries alone.
    script.fails(2, ErrorClass::Status(500));
    script.fails(3, ErrorClass::Status(500));
    script.pass(2);
    assert!(script.calls().is_empty());
    script.pass(15);
    assert_eq!(script.calls(), [[2, 3]]);

    let mut script = Script::with_schedule(2, schedule());
    assert!(script.calls().is_empty() && script.schedule.gathers());
    script.schedule.crowd(true);
    assert_eq!(script.calls(), [[1, 2]]);
    assert!(!script.schedule.gathers());
}
