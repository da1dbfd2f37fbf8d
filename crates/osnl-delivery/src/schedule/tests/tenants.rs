use super::*;
use crate::DeliverySettings;

fn to(hosts: &[&str], limits: HostLimits) -> Script {
    let schedule = Schedule::new(POLICY, WhenExhausted::DeadLetter, 4).with_hosts(limits);
    let mut script = Script::with_schedule(0, schedule);
    for (id, host) in (1..).zip(hosts) {
        script.hosts.insert(DeliveryId(id), (*host).into());
        script.add(id);
    }
    script
}

#[test]
fn a_host_that_fails_holds_only_what_goes_to_it_and_costs_no_attempts() {
    for class in [ErrorClass::Connect, ErrorClass::Tls, ErrorClass::Status(429)] {
        let mut script = to(&["bad:80", "good:80", "bad:80", "bad:80", "good:80"], HostLimits::default());
        assert_eq!(script.begun(), [1, 2, 3, 4]);
        assert_eq!(script.fails(1, class), ["bad:80 opened 1", "1 held 1"]);
        assert_eq!(script.ok(2), ["2 delivered"]);
        assert_eq!(script.begun(), [5]);
        script.ok(5);
        assert_eq!(script.fails(3, class), ["3 held 1"]);
        script.fails(4, class);
        assert_eq!(script.schedule.breaker(), BreakerState::Closed);
        // One probe runs at a time, and costs no attempt, whatever the answer.
        for pause in [2, 4, 8, 16, 30, 30] {
            script.pass(30);
            assert_eq!(script.begun(), [1]);
            assert_eq!(script.fails(1, class), [format!("1 held {pause}")]);
        }
        script.pass(30);
        assert_eq!(script.begun(), [1]);
        assert_eq!(script.fails(1, ErrorClass::Status(403)), ["bad:80 closed", "1 waits 30"]);
        assert_eq!((script.used(1).attempts, script.used(1).made), (0, 8));
        assert_eq!(script.begun(), [3]);
        assert_eq!(script.ok(3), ["3 delivered"]);
        assert_eq!(script.begun(), [4]);
    }
}

/// As with `url = {{ server.metadata.hook }}`: before the call, nothing has asked for the server.
#[test]
fn hosts_that_are_known_only_after_the_call_leave_no_target_held() {
    let mut script = Script::new(4, WhenExhausted::DeadLetter);
    script.begun();
    (1..=4).for_each(|id| drop(script.fails(id, ErrorClass::Connect)));
    assert!(matches!(script.schedule.breaker(), BreakerState::Open { .. }));
    script.waiting.clear();
    script.pass(1);
    (5..=8).for_each(|id| script.add(id));
    script.hosts.insert(DeliveryId(5), "gone:80".into());
    assert_eq!(script.begun(), [5]);
    let words = script.fails(5, ErrorClass::Connect);
    assert_eq!(words, ["target left", "gone:80 opened 1", "5 held 1"]);
    assert_eq!(script.schedule.breaker(), BreakerState::Closed);
    assert_eq!(script.begun(), [6, 7, 8]);
    script.pass(1);
    assert_eq!(script.begun(), [5], "its host is known now");
}

/// Before the call, the URL is rendered without the answers of enrichments, or with the settings before.
#[test]
fn a_host_whose_probe_went_to_another_is_probed_again() {
    let mut script = to(&["old:80", "old:80"], HostLimits::default());
    for id in script.begun() {
        script.fails(id, ErrorClass::Connect);
    }
    script.pass(1);
    assert_eq!(script.begun(), [1]);
    script.hosts.insert(DeliveryId(1), "new:80".into());
    assert_eq!(script.fails(1, ErrorClass::Connect), ["new:80 opened 1", "1 held 2"]);
    assert_eq!(script.begun(), [2]);
}

#[test]
fn a_refused_login_at_a_host_costs_no_attempt() {
    for class in [ErrorClass::Status(401), ErrorClass::Status(407)] {
        let mut script = to(&["h:80"], HostLimits::default());
        for _ in 0..20 {
            assert_eq!(script.begun(), [1]);
            assert!(script.fails(1, class)[0].starts_with("1 waits "));
            script.pass(600);
        }
        assert_eq!(script.used(1).attempts, 0);
    }
}

/// An event may name a host that never exists: attempts end nothing, so time does.
#[test]
fn what_waits_for_a_host_that_does_not_exist_ends_by_its_age_or_hold_max() {
    let most = Some(60 * SECOND);
    for (limits, words) in [
        (DeliveryLimits { max_age: most, ..DeliveryLimits::default() }, ["after", ": retry_max_age"]),
        (DeliveryLimits { hold_max: most, ..DeliveryLimits::default() }, ["for", ", and hold_max is over"]),
    ] {
        let dead = |id: u64, seconds: u64| {
            format!("{id} dead: cannot connect: x ({} {seconds} s{})", words[0], words[1])
        };
        let schedule = Schedule::new(POLICY, WhenExhausted::DeadLetter, 4).with_limits(limits);
        let mut script = Script::with_schedule(0, schedule);
        let add = |script: &mut Script, id: u64| {
            script.hosts.insert(DeliveryId(id), "gone:80".into());
            script.add(id);
        };
        (1..=3).for_each(|id| add(&mut script, id));
        for id in script.begun() {
            script.fails(id, ErrorClass::Connect);
        }
        script.pass(30);
        assert_eq!(script.begun(), [1]);
        assert_eq!(script.fails(1, ErrorClass::Connect), ["1 held 2"]);
        // While no attempt may begin, nothing ages.
        script.schedule.check_clock(false, script.now);
        script.pass(3600);
        assert_eq!(script.begun(), [1]);
        assert_eq!(script.fails(1, ErrorClass::Connect), ["1 held 4"]);
        script.pass(30);
        assert_eq!(script.begun(), [1]);
        assert_eq!(script.fails(1, ErrorClass::Connect), [dead(1, 60)]);
        add(&mut script, 4);
        // Each probe makes the next one later; a delivery that was seldom tried has waited as long.
        script.pass(8);
        assert_eq!(script.begun(), [4]);
        assert_eq!(script.fails(4, ErrorClass::Connect), ["4 held 1"]);
        script.pass(16);
        assert_eq!(script.begun(), [2]);
        assert_eq!(script.fails(2, ErrorClass::Connect), [dead(2, 84)]);
    }
}

fn given_up(script: &mut Script) -> Vec<String> {
    let mut out = Vec::new();
    script.schedule.give_up_held(script.now, &mut out);
    script.keep(out)
}

fn to_gone(max_age: Duration) -> Script {
    let mut script = to(&["gone:80"], HostLimits::default());
    script.schedule.limits.max_age = Some(max_age);
    script.begun();
    script.fails(1, ErrorClass::Connect);
    script
}

/// Adds a delivery that has failed before, with its age from the journal.
fn claim_aged(script: &mut Script, id: u64, age: Duration) {
    script.hosts.insert(DeliveryId(id), "gone:80".into());
    let used = UsedLimits { attempts: 0, age, made: 1 };
    script.claim(ClaimedDelivery { used, ..claimed(id, &format!("key{id}")) });
}

/// A host that is down has one probe in half a minute: if each wait ended with a probe, more could begin than end.
#[test]
fn what_has_waited_for_a_host_as_long_as_hold_max_ends_without_a_probe_of_its_own() {
    let mut script = to(&["gone:80", "gone:80", "gone:80"], HostLimits::default());
    script.schedule.limits.hold_max = Some(60 * SECOND);
    script.arrived.insert(DeliveryId(5), script.now);
    for id in script.begun() {
        script.fails(id, ErrorClass::Connect);
    }
    script.pass(30);
    assert_eq!(script.begun(), [1]);
    for (id, host) in [(4, "gone:80"), (5, "good:80")] {
        script.hosts.insert(DeliveryId(id), host.into());
        script.add(id);
    }
    assert_eq!(given_up(&mut script), [""; 0]);
    script.pass(30);
    // The newer one has waited for half of the time, and the other host answers.
    let dead = [2, 3].map(|id| format!("{id} dead: cannot connect: x (for 60 s, and hold_max is over)"));
    assert_eq!(given_up(&mut script), dead);
}

#[test]
fn what_is_too_old_ends_beside_a_failed_probe_of_its_host_with_its_own_age() {
    let mut script = to_gone(60 * SECOND);
    claim_aged(&mut script, 2, 50 * SECOND);
    claim_aged(&mut script, 3, 45 * SECOND);
    script.hosts.insert(DeliveryId(4), "gone:80".into());
    script.add(4);
    assert_eq!(given_up(&mut script), [""; 0]);
    script.pass(12);
    assert_eq!(script.begun(), [4]);
    script.fails(4, ErrorClass::Connect);
    let dead = |id: u64, age: u64| format!("{id} dead: cannot connect: x (after {age} s: retry_max_age)");
    assert_eq!(given_up(&mut script), [dead(2, 62)]);
    script.pass(3);
    assert_eq!(given_up(&mut script), [dead(3, 60)]);
    // Other settings may correct the way to the host: a probe with them comes first.
    let limits = script.schedule.limits;
    let settings = DeliverySettings { limits, ..DeliverySettings::sample(3, SECOND, SECOND) };
    claim_aged(&mut script, 5, 70 * SECOND);
    let mut out = Vec::new();
    script.schedule.change(&settings, script.now, &mut out);
    script.keep(out);
    assert_eq!(given_up(&mut script), [""; 0]);
    assert_eq!(script.begun(), [1]);
    script.fails(1, ErrorClass::Connect);
    assert_eq!(given_up(&mut script), [dead(5, 70)]);
}

#[test]
fn the_time_of_a_wait_for_a_host_outlasts_a_restart_but_for_its_last_minute() {
    let mut script = to_gone(3600 * SECOND);
    claim_aged(&mut script, 2, 50 * SECOND);
    let saved = |script: &mut Script, seconds: u64| {
        script.pass(seconds);
        let mut out = Vec::new();
        script.schedule.save_ages(60 * SECOND, script.now, &mut out);
        script.keep(out)
    };
    assert_eq!(saved(&mut script, 59), [""; 0]);
    assert_eq!(saved(&mut script, 1), ["2 aged 110"]);
    assert_eq!(saved(&mut script, 59), [""; 0]);
    assert_eq!(saved(&mut script, 1), ["2 aged 170"]);
    let used = script.used(2);
    assert_eq!(used, UsedLimits { attempts: 0, age: 170 * SECOND, made: 1 });
    // The wait behind another of its lane is not its own.
    script.arrived.insert(DeliveryId(3), script.now - 100 * SECOND);
    claim_aged(&mut script, 3, Duration::ZERO);
    assert_eq!(saved(&mut script, 60), ["2 aged 230", "3 aged 60"]);

    let mut restarted = to(&[], HostLimits::default());
    restarted.schedule.limits.max_age = Some(180 * SECOND);
    claim_aged(&mut restarted, 2, used.age);
    assert_eq!(restarted.begun(), [2]);
    restarted.pass(10);
    let dead = "2 dead: cannot connect: x (after 180 s: retry_max_age)";
    assert_eq!(restarted.fails(2, ErrorClass::Connect), ["gone:80 opened 1", dead]);
}

#[test]
fn a_wait_behind_another_delivery_to_a_held_host_is_no_age() {
    let mut script = to_gone(60 * SECOND);
    script.arrived.insert(DeliveryId(2), script.now);
    script.pass(50);
    script.waiting.clear();
    claim_aged(&mut script, 2, Duration::ZERO);
    assert_eq!(script.begun(), [2]);
    assert_eq!(script.fails(2, ErrorClass::Connect), ["2 held 2"]);
    assert_eq!(script.used(2).age, 2 * SECOND);
}

#[test]
fn the_age_of_what_waits_for_a_host_is_kept_with_the_delivery() {
    let limits = DeliveryLimits { max_age: Some(60 * SECOND), ..DeliveryLimits::default() };
    let schedule = Schedule::new(POLICY, WhenExhausted::DeadLetter, 4).with_limits(limits);
    let mut script = Script::with_schedule(0, schedule);
    script.hosts.insert(DeliveryId(1), "gone:80".into());
    let used = UsedLimits { attempts: 2, age: 59 * SECOND, made: 4 };
    script.claim(ClaimedDelivery { used, ..claimed(1, "k") });
    script.begun();
    assert_eq!(script.fails(1, ErrorClass::Connect), ["gone:80 opened 1", "1 held 16"]);
    assert_eq!((script.used(1).attempts, script.used(1).age), (2, 75 * SECOND));
    script.pass(16);
    script.begun();
    // A refused probe costs no attempt: the age ends the delivery, and its reason says so.
    let dead = "1 dead: status 403: x (after 75 s: retry_max_age)";
    assert_eq!(script.fails(1, ErrorClass::Status(403)), ["gone:80 closed", dead]);
}

#[test]
fn an_hour_of_retry_after_is_the_host_s_own() {
    let mut script = to(&["bad:80", "good:80"], HostLimits::default());
    script.begun();
    let error =
        ActionError { retry_after: Some(3600 * SECOND), ..ActionError::new(ErrorClass::Status(429), "x") };
    assert_eq!(script.report(1, Err(error)), ["bad:80 opened 3600", "1 held 3600"]);
    script.ok(2);
    let HeldHosts { hosts, others, .. } = script.schedule.take_shown().unwrap();
    assert_eq!((hosts[0].host.as_str(), hosts[0].reason.as_str()), ("bad:80", "status 429: x"));
    assert_eq!(others, []);
    assert_eq!(hosts[0].next_probe, Some(script.now + 3600 * SECOND));
}

#[test]
fn hosts_have_limits_of_their_own() {
    let limits = HostLimits { concurrency: Some(1), rate: Some(Rate { keys: 2, within: 60 * SECOND }) };
    let mut script = to(&["a:80", "a:80", "a:80", "b:80"], limits);
    assert_eq!(script.begun(), [1, 4]);
    script.ok(1);
    assert_eq!(script.begun(), [2]);
    script.ok(2);
    assert!(script.begun().is_empty());
    assert_eq!(script.schedule.wake_at(script.now), Some(script.now + 60 * SECOND));
    let limit = |script: &mut Script| script.schedule.load(script.now).limit;
    assert_eq!(limit(&mut script), None, "a call to another host runs");
    script.ok(4);
    assert_eq!(limit(&mut script), Some(CallLimit::Rate));
    script.pass(60);
    assert_eq!(limit(&mut script), None);
    assert_eq!(script.begun(), [3]);
}

#[test]
fn what_waits_for_one_host_does_not_fill_the_places() {
    let mut hosts = vec!["bad:80"; 16];
    hosts[0] = "bad:80";
    let mut script = to(&hosts, HostLimits::default());
    let room = |script: &Script| script.schedule.claim_limits(script.now).oldest;
    assert_eq!(room(&script), 0);
    for id in script.begun() {
        script.fails(id, ErrorClass::Connect);
    }
    (17..=20).for_each(|id| {
        script.hosts.insert(DeliveryId(id), "bad:80".into());
        script.add(id);
    });
    assert_eq!(room(&script), 0);
    let mut out = Vec::new();
    script.schedule.make_way(script.now, &mut out);
    let words = script.keep(out);
    assert_eq!((words.len(), words[0].as_str(), room(&script)), (8, "13 crowded 2", 8));
    let used = UsedLimits { age: 2 * SECOND, ..UsedLimits::default() };
    assert_eq!(script.used(13), used, "it was not attempted, and ages in the journal");
}

#[test]
fn offenders_become_dead_letters_and_do_not_hold_up_the_others() {
    let policy = RetryPolicy { max_attempts: NonZeroU32::new(6).unwrap(), ..POLICY };
    let mut script = Script::with_schedule(0, Schedule::new(policy, WhenExhausted::DeadLetter, 16));
    (1..=10).for_each(|id| script.add(id));
    let (mut dead, mut waits) = (0, Vec::new());
    for second in 0..900 {
        if second % 60 == 30 {
            script.add(1000 + second);
        }
        for id in script.begun() {
            if id >= 1000 {
                waits.push(second - (id - 1000));
                script.ok(id);
            } else {
                let words = script.fails(id, ErrorClass::Status(400));
                dead += words.iter().filter(|words| words.contains("dead")).count();
            }
        }
        script.pass(1);
    }
    assert_eq!((waits.len(), dead), (15, 10));
    assert!(waits.iter().all(|wait| *wait <= 5), "{waits:?}");
}
