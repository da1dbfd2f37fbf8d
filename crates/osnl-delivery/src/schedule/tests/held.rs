use super::*;
use crate::DeliverySettings;

#[test]
fn a_target_that_is_down_is_held_probed_and_drained_at_a_growing_pace() {
    let mut script = Script::new(9, WhenExhausted::DeadLetter);
    assert_eq!(script.begun(), [1, 2, 3, 4]);
    assert_eq!(script.fails(1, ErrorClass::Connect), ["target opened 1", "1 held 1"]);
    for id in [2, 3, 4] {
        assert_eq!(script.fails(id, ErrorClass::Connect), [format!("{id} held 1")]);
    }
    assert_eq!(script.begun(), [0; 0]);
    assert_eq!(script.schedule.wake_at(script.now), Some(script.now + SECOND));
    script.pass(1);
    // One probe runs at a time, in turn with the oldest and the newest delivery that has never failed.
    assert_eq!(script.begun(), [5]);
    assert_eq!(script.fails(5, ErrorClass::Connect), ["5 held 1"]);
    script.pass(2);
    assert_eq!(script.begun(), [9]);
    assert_eq!(script.ok(9), ["target closed", "9 delivered"]);
    assert_eq!(script.begun(), [6]);
    script.ok(6);
    assert_eq!(script.begun(), [7, 8]);
    script.ok(7);
    script.ok(8);
    assert_eq!(script.begun(), [1, 2, 3]);
}

#[test]
fn a_failed_probe_waits_by_itself_and_longer_each_time() {
    let mut script = Script::new(1, WhenExhausted::DeadLetter);
    script.begun();
    script.fails(1, ErrorClass::Connect);
    for pause in [2, 4, 8, 16, 30, 30] {
        script.pass(30);
        assert_eq!(script.begun(), [1]);
        assert_eq!(script.fails(1, ErrorClass::Connect), [format!("1 held {pause}")]);
    }
    assert_eq!((script.used(1).attempts, script.used(1).age, script.used(1).made), (0, Duration::ZERO, 7));
}

#[test]
fn a_healthy_delivery_behind_eight_that_fail_waits_ten_seconds_at_most() {
    let mut script = Script::new(8, WhenExhausted::DeadLetter);
    let play = |script: &mut Script, healthy: u64, most: u64| {
        for _ in 0..=most {
            for id in script.begun() {
                if id == healthy {
                    script.ok(id);
                    return;
                }
                script.fails(id, ErrorClass::Status(500));
            }
            script.pass(1);
        }
        panic!("{healthy} waits for more than {most} s");
    };
    script.add(9);
    play(&mut script, 9, 10);
    for healthy in 10..100 {
        // While the target is not held, a later delivery succeeds at once.
        let most = if script.schedule.breaker() == BreakerState::Closed { 0 } else { 10 };
        for _ in 0..healthy % 7 {
            for id in script.begun() {
                script.fails(id, ErrorClass::Status(500));
            }
            script.pass(1);
        }
        script.add(healthy);
        play(&mut script, healthy, most);
    }
    assert_eq!(script.schedule.breaker(), BreakerState::Closed, "those that have failed before open nothing");
}

#[test]
fn a_target_that_refuses_everything_costs_no_attempt_and_nothing_dies_of_its_probes() {
    let policy = RetryPolicy { max_attempts: NonZeroU32::new(2).unwrap(), ..POLICY };
    let mut script = Script::with_schedule(6, Schedule::new(policy, WhenExhausted::DeadLetter, 16));
    assert_eq!(script.begun(), [1, 2, 3, 4, 5, 6]);
    let refused = ErrorClass::Status(403);
    for id in 1..=4 {
        assert_eq!(script.fails(id, refused), [format!("{id} waits 1")]);
    }
    assert_eq!(script.fails(5, refused), ["target opened 1", "5 held 1"]);
    assert_eq!(script.fails(6, refused), ["6 held 1"]);
    assert_eq!([1, 5, 6].map(|id| script.used(id).attempts), [1, 0, 0]);
    // By the clock, and by hand.
    for n in 0..40 {
        script.pass(30);
        if n % 2 == 0 {
            let sample = DeliverySettings::sample(2, SECOND, SECOND);
            let mut out = Vec::new();
            let settings = DeliverySettings { concurrency: 16, policy, ..sample };
            script.schedule.change(&settings, script.now, &mut out);
            script.keep(out);
        }
        let [id] = script.begun()[..] else { panic!("one probe at a time") };
        let words = script.fails(id, if n % 3 == 0 { ErrorClass::Status(404) } else { refused });
        assert!(words[0].starts_with(&format!("{id} held ")), "{words:?}");
    }
    let used = |script: &Script| [1, 5, 6].map(|id| (script.used(id).attempts, script.used(id).age));
    assert_eq!(used(&script), [(1, SECOND), (0, Duration::ZERO), (0, Duration::ZERO)]);
    script.pass(30);
    let [id] = script.begun()[..] else { panic!("one probe at a time") };
    assert_eq!(script.ok(id), ["target closed".to_owned(), format!("{id} delivered")]);
}

/// The answer about one event closes the target, and the next refusal holds it again: neither counts.
#[test]
fn a_probe_with_an_answer_of_its_own_costs_nothing_and_makes_no_other_pay() {
    let policy = RetryPolicy { max_attempts: NonZeroU32::new(2).unwrap(), ..POLICY };
    let mut script = Script::with_schedule(6, Schedule::new(policy, WhenExhausted::DeadLetter, 16));
    script.begun();
    (1..=6).for_each(|id| drop(script.fails(id, ErrorClass::Status(403))));
    for _ in 0..20 {
        script.pass(30);
        let [id] = script.begun()[..] else { panic!("one probe at a time") };
        let words = script.fails(id, ErrorClass::Status(422));
        assert_eq!(words[0], "target closed");
        assert!(words[1].starts_with(&format!("{id} waits ")), "{words:?}");
        let [next] = script.begun()[..] else { panic!("one call at a time") };
        let words = script.fails(next, ErrorClass::Status(403));
        assert!(words[0].starts_with("target opened") && words[1].contains("held"), "{words:?}");
    }
    assert!((1..=6).all(|id| script.used(id).attempts <= 1));
}

#[test]
fn a_refused_login_costs_no_attempt_even_if_only_one_resource_is_there() {
    let mut script = Script::new(1, WhenExhausted::DeadLetter);
    for _ in 0..20 {
        assert_eq!(script.begun(), [1]);
        assert!(script.fails(1, ErrorClass::Status(401))[0].starts_with("1 waits "));
        script.pass(600);
    }
    assert_eq!((script.schedule.breaker(), script.used(1).attempts), (BreakerState::Closed, 0));
    script.begun();
    script.ok(1);
    script.add(2);
    script.add(3);
    script.begun();
    script.fails(2, ErrorClass::Status(401));
    script.pass(10);
    let words = script.fails(3, ErrorClass::Status(401));
    assert!(words[0].starts_with("target opened"), "{words:?}");
}

#[test]
fn a_held_schedule_with_nothing_to_send_does_not_wake() {
    let mut script = Script::new(2, WhenExhausted::DeadLetter);
    script.begun();
    script.fails(1, ErrorClass::Connect);
    script.ok(2);
    assert_eq!(script.schedule.wake_at(script.now), None);
}

#[test]
fn while_the_target_is_held_nothing_ages() {
    let mut script = limited(1, DeliveryLimits { max_age: Some(10 * SECOND), ..DeliveryLimits::default() });
    script.begun();
    script.pass(4);
    script.fails(1, ErrorClass::Connect);
    for _ in 0..100 {
        script.pass(3600);
        assert_eq!(script.begun(), [1]);
        let words = script.fails(1, ErrorClass::Connect);
        assert!(words[0].starts_with("1 held"), "{words:?}");
    }
    assert_eq!(script.used(1).age, 4 * SECOND);
    script.pass(30);
    script.begun();
    script.add(2);
    script.ok(1);
    script.begun();
    script.pass(4);
    script.schedule.check_clock(false, script.now);
    script.pass(3600);
    script.schedule.check_clock(true, script.now);
    script.fails(2, ErrorClass::Status(409));
    assert_eq!(script.used(2).age, 5 * SECOND, "with a second of pause");
}

fn held_too_long(script: &mut Script) -> Vec<String> {
    let mut out = Vec::new();
    script.schedule.give_up_held(script.now, &mut out);
    script.keep(out)
}

#[test]
fn a_target_that_is_held_longer_than_it_may_makes_dead_letters_of_what_waited_as_long() {
    let mut script = limited(3, DeliveryLimits { hold_max: Some(60 * SECOND), ..DeliveryLimits::default() });
    assert_eq!(script.begun(), [1, 2, 3]);
    script.fails(1, ErrorClass::Connect);
    script.ok(2);
    // The success ends the hold, so the next failure begins a new hold.
    script.fails(3, ErrorClass::Connect);
    script.schedule.check_clock(true, script.now);
    let ends = Some(script.now + 60 * SECOND);
    assert_eq!(script.schedule.hold_ends(script.now), ends);
    let began = script.now;
    script.pass(50);
    script.add(4);
    let long_ago = began.checked_sub(SECOND);
    script.schedule.add(claimed(5, "from the journal"), None, long_ago, script.now, &mut Vec::new());
    assert_eq!(held_too_long(&mut script), [""; 0]);
    script.pass(10);
    let dead = |id: u64, seconds: u32| {
        format!("{id} dead: the target was down for {seconds} s, and hold_max is over")
    };
    assert_eq!(held_too_long(&mut script), [dead(5, 60)]);
    script.pass(49);
    assert_eq!(held_too_long(&mut script), [""; 0]);
    script.pass(1);
    assert_eq!(held_too_long(&mut script), [dead(4, 110)]);
    assert_eq!(script.schedule.claimed(), 0);
}

#[test]
fn a_hold_does_not_last_while_no_attempt_may_begin() {
    let mut script = limited(2, DeliveryLimits { hold_max: Some(60 * SECOND), ..DeliveryLimits::default() });
    script.begun();
    script.fails(1, ErrorClass::Connect);
    script.fails(2, ErrorClass::Connect);
    script.add(3);
    script.pass(10);
    script.schedule.check_clock(false, script.now);
    assert_eq!(script.schedule.hold_ends(script.now), None);
    script.pass(3600);
    script.schedule.check_clock(true, script.now);
    assert_eq!(held_too_long(&mut script), [""; 0]);
    assert_eq!(script.schedule.hold_ends(script.now), Some(script.now + 50 * SECOND));
    script.pass(50);
    let dead = "3 dead: the target was down for 60 s, and hold_max is over";
    assert_eq!(held_too_long(&mut script), [dead]);
}

fn depends(script: &mut Script, id: u64) -> Vec<String> {
    script.report(id, Err(ActionError::dependency("keystone", "refused")))
}

#[test]
fn a_dependency_that_is_down_holds_what_needs_it_and_nothing_else() {
    let mut script = limited(4, DeliveryLimits { max_age: Some(10 * SECOND), ..DeliveryLimits::default() });
    assert_eq!(script.begun(), [1, 2, 3, 4]);
    assert_eq!(depends(&mut script, 1), ["keystone down", "1 depends 1"]);
    assert_eq!(depends(&mut script, 2), ["2 depends 1"]);
    assert_eq!(script.ok(3), ["3 delivered"]);
    assert_eq!(script.schedule.breaker(), BreakerState::Closed);
    assert_eq!(script.ok(4), ["4 delivered"]);
    for pause in [2, 4, 8, 16, 30, 30] {
        script.pass(30);
        assert_eq!(script.begun(), [1, 2]);
        for id in [1, 2] {
            assert_eq!(depends(&mut script, id), [format!("{id} depends {pause}")]);
        }
        script.add(100 + pause);
        assert_eq!(script.begun(), [100 + pause]);
        script.ok(100 + pause);
    }
    assert_eq!(script.used(1), UsedLimits::default());
    let outages = script.schedule.take_shown().unwrap().outages;
    assert_eq!((&*outages[0].dependency, outages[0].reason.as_str()), ("keystone", "refused"));
    let mut out = Vec::new();
    script.schedule.answered(&"keystone".into(), &mut out);
    script.schedule.answered(&"keystone".into(), &mut out);
    assert_eq!(script.keep(out), ["keystone answers"]);
    assert_eq!(script.schedule.take_shown().unwrap().outages, []);
}

#[test]
fn a_dependency_that_is_down_for_longer_than_hold_max_ends_what_waits_for_it() {
    let mut script = limited(1, DeliveryLimits { hold_max: Some(60 * SECOND), ..DeliveryLimits::default() });
    script.begun();
    depends(&mut script, 1);
    script.pass(30);
    script.schedule.check_clock(false, script.now);
    script.pass(3600);
    assert_eq!(script.begun(), [1]);
    assert_eq!(depends(&mut script, 1), ["1 depends 2"]);
    script.pass(30);
    assert_eq!(script.begun(), [1]);
    let dead = "1 dead: a dependency is down: refused (for 60 s, and hold_max is over)";
    assert_eq!(depends(&mut script, 1), [dead]);
}

#[test]
fn a_probe_that_needs_a_dependency_makes_place_for_another() {
    let mut script = Script::new(6, WhenExhausted::DeadLetter);
    script.begun();
    (1..=4).for_each(|id| drop(script.fails(id, ErrorClass::Connect)));
    script.pass(1);
    assert_eq!(script.begun(), [5]);
    depends(&mut script, 5);
    assert_eq!(script.begun(), [6]);
    assert_eq!(script.ok(6), ["target closed", "6 delivered"]);
}
