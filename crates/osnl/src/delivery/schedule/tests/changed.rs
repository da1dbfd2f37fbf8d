//! Settings that change while deliveries are in work.

use super::*;
use crate::delivery::DeliverySettings;

#[test]
fn other_settings_are_tried_at_once_and_what_was_used_up_stays_so() {
    let settings = |script: &Script, concurrency| DeliverySettings {
        concurrency,
        timeout: SECOND,
        policy: script.schedule.policy,
        when_exhausted: WhenExhausted::DeadLetter,
        limits: Limits::default(),
        batch: Batch::default(),
        rate: None,
    };
    let mut held = Script::new(3, WhenExhausted::DeadLetter);
    assert_eq!(held.begun(), [1, 2, 3]);
    (1..=3).for_each(|id| drop(held.fails(id, ErrorClass::Connect)));
    assert!(held.begun().is_empty());
    let two = settings(&held, 2);
    held.schedule.change(&two, held.now);
    // A probe, then at a growing pace up to what is allowed now.
    assert_eq!(held.begun(), [1]);
    held.ok(1);
    assert_eq!(held.begun(), [2]);

    let mut waiting = Script::new(1, WhenExhausted::DeadLetter);
    for attempt in 1..=3 {
        assert_eq!(waiting.begun(), [1], "{attempt}");
        let steps = waiting.fails(1, ErrorClass::Status(409));
        let given_up = steps.iter().any(|step| matches!(step, Step::End(_, Outcome::Dead(_))));
        assert_eq!(given_up, attempt == 3, "{steps:?}");
        assert!(waiting.begun().is_empty());
        let same = settings(&waiting, 4);
        waiting.schedule.change(&same, waiting.now);
    }

    // What is not under way is let go of, in its order.
    let mut retired = Script::new(6, WhenExhausted::DeadLetter);
    assert_eq!(retired.begun(), [1, 2, 3, 4]);
    assert_eq!(retired.schedule.release_all(), [DeliveryId(5), DeliveryId(6)]);
    assert_eq!(retired.schedule.claimed(), 4);
}
