use super::*;

/// A digest stays whole while it is retried, held and probed. Only after a final refusal are its events tried one by
/// one, to find the event at fault.
#[test]
fn a_digest_fails_and_is_tried_again_as_a_whole() {
    let batch = BatchLimits { most: 3, wait: Duration::ZERO, whole: true };
    let mut script =
        Script::of(5, Schedule::new(POLICY, WhenExhausted::DeadLetter, 4).with_batch(batch, None));
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
