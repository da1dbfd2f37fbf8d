use super::*;
use crate::DeliverySettings;

fn settings(concurrency: usize) -> DeliverySettings {
    let sample = DeliverySettings::sample(1, SECOND, SECOND);
    DeliverySettings { concurrency, timeout: SECOND, policy: POLICY, ..sample }
}

fn change(script: &mut Script, settings: &DeliverySettings) {
    let mut out = Vec::new();
    script.schedule.change(settings, script.now, &mut out);
    assert_eq!(script.keep(out), ["all due"]);
}

#[test]
fn other_settings_are_tried_at_once_and_what_was_used_up_stays_so() {
    let mut held = Script::new(5, WhenExhausted::DeadLetter);
    assert_eq!(held.begun(), [1, 2, 3, 4]);
    (1..=4).for_each(|id| drop(held.fails(id, ErrorClass::Connect)));
    assert!(held.begun().is_empty());
    change(&mut held, &settings(2));
    assert_eq!(held.begun(), [5]);
    held.ok(5);
    assert_eq!(held.begun(), [1]);

    let mut waiting = Script::new(1, WhenExhausted::DeadLetter);
    for attempt in 1..=3 {
        assert_eq!(waiting.begun(), [1], "{attempt}");
        let words = waiting.fails(1, ErrorClass::Status(409));
        assert_eq!(words[0].contains("dead"), attempt == 3, "{words:?}");
        assert!(waiting.begun().is_empty());
        change(&mut waiting, &settings(4));
    }

    let mut retired = Script::new(6, WhenExhausted::DeadLetter);
    assert_eq!(retired.begun(), [1, 2, 3, 4]);
    assert_eq!(retired.schedule.release_all(), [DeliveryId(5), DeliveryId(6)]);
    assert_eq!(retired.schedule.claimed(), 4);
}

#[test]
fn a_change_ends_a_pause_and_only_what_was_waited_counts_as_age() {
    let limits = DeliveryLimits { max_age: Some(3600 * SECOND), ..DeliveryLimits::default() };
    let changed = DeliverySettings { limits, ..settings(4) };
    let schedule = Schedule::new(POLICY, WhenExhausted::DeadLetter, 4).with_limits(limits);
    let mut script = Script::with_schedule(1, schedule);
    let asked = |class| ActionError { retry_after: Some(3600 * SECOND), ..ActionError::new(class, "x") };
    assert_eq!(script.begun(), [1]);
    assert_eq!(script.report(1, Err(asked(ErrorClass::Status(500)))), ["1 waits 3600"]);
    script.pass(60);
    change(&mut script, &changed);
    assert_eq!(script.begun(), [1]);
    assert_eq!(script.report(1, Err(asked(ErrorClass::Connect))), ["target opened 3600", "1 held 3600"]);
    assert_eq!(script.used(1).age, 60 * SECOND);
    // A pause of a target that is down is not in the age, so nothing is taken back.
    script.pass(60);
    change(&mut script, &changed);
    assert_eq!(script.used(1).age, 60 * SECOND);
}

/// An attempt begun with earlier settings proves nothing about the target: the loop ignores its failure and does not
/// wait for its end.
#[test]
fn an_attempt_of_the_settings_before_holds_nothing_up() {
    let mut script = Script::new(6, WhenExhausted::DeadLetter);
    assert_eq!(script.begun(), [1, 2, 3, 4]);
    script.fails(1, ErrorClass::Connect);
    change(&mut script, &settings(4));
    assert_eq!(script.begun(), [5]);
    assert_eq!(script.ok(5), ["target closed", "5 delivered"]);
    // A final refusal by the target before leads to another attempt, at no cost.
    assert_eq!(script.fails(2, ErrorClass::Rejected), ["2 waits 0"]);
    assert_eq!(script.fails(3, ErrorClass::Connect), ["3 waits 0"]);
    assert_eq!((script.used(2).attempts, script.schedule.breaker()), (0, BreakerState::Closed));
}

#[test]
fn a_refusal_before_the_call_is_no_probe_of_other_settings() {
    let limits = DeliveryLimits { hold_max: Some(5 * SECOND), ..DeliveryLimits::default() };
    let mut script = Script::new(2, WhenExhausted::DeadLetter);
    script.begun();
    (1..=2).for_each(|id| drop(script.fails(id, ErrorClass::Connect)));
    change(&mut script, &DeliverySettings { limits, ..settings(4) });
    assert_eq!(script.begun(), [1]);
    assert_eq!(script.fails_uncalled(1, ErrorClass::Refused(Some(403))), ["1 waits 1"]);
    assert_eq!(script.schedule.hold_ends(script.now), None);
    assert_eq!(script.begun(), [2]);
    assert_eq!(script.fails(2, ErrorClass::Connect), ["2 held 2"]);
    assert_eq!(script.schedule.hold_ends(script.now), Some(script.now + 5 * SECOND));
}

/// The configuration named a target, which is down; now the events name the hosts. The log tells the end once.
#[test]
fn a_target_that_the_settings_name_no_longer_holds_up_no_host() {
    let down = || {
        let mut script = Script::new(1, WhenExhausted::DeadLetter);
        script.begun();
        assert_eq!(script.fails(1, ErrorClass::Connect), ["target opened 1", "1 held 1"]);
        script.waiting.clear();
        script
    };
    let name_hosts = |script: &mut Script| {
        for (id, host) in [(2, "gone:80"), (3, "a:80"), (4, "b:80")] {
            script.hosts.insert(DeliveryId(id), host.into());
        }
    };
    // What was claimed before the change has no host yet.
    let mut script = down();
    (2..=4).for_each(|id| script.add(id));
    change(&mut script, &settings(4));
    name_hosts(&mut script);
    assert_eq!(script.begun(), [2]);
    let words = script.fails(2, ErrorClass::Connect);
    assert_eq!(words, ["target left", "gone:80 opened 1", "2 held 1"]);
    assert_eq!(script.schedule.breaker(), BreakerState::Closed);
    assert_eq!(script.begun(), [3, 4]);
    assert_eq!([script.ok(3), script.ok(4)], [["3 delivered"], ["4 delivered"]]);

    let mut script = down();
    change(&mut script, &settings(4));
    name_hosts(&mut script);
    (2..=4).for_each(|id| script.add(id));
    assert_eq!(script.claims, ["target left"]);
    assert_eq!(script.schedule.breaker(), BreakerState::Closed);
    assert_eq!(script.begun(), [2, 3, 4]);
}
