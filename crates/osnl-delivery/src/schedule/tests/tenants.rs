use super::*;

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
fn a_host_that_fails_holds_only_what_goes_to_it_and_uses_up_attempts() {
    for class in [ErrorClass::Connect, ErrorClass::Status(429)] {
        let mut script = to(&["bad:80", "good:80", "bad:80", "bad:80", "good:80"], HostLimits::default());
        assert_eq!(script.begun(), [1, 2, 3, 4]);
        assert_eq!(script.fails(1, class), ["bad:80 opened 1", "1 waits 1"]);
        assert_eq!(script.used(1).attempts, 1);
        assert_eq!(script.ok(2), ["2 delivered"]);
        assert_eq!(script.begun(), [5]);
        script.ok(5);
        assert_eq!(script.fails(3, class), ["3 waits 1"]);
        script.fails(4, class);
        assert_eq!(script.schedule.breaker(), BreakerState::Closed);
        // One probe runs at a time, and each probe costs an attempt.
        script.pass(1);
        assert_eq!(script.begun(), [1]);
        assert_eq!(script.fails(1, class), ["1 waits 2"]);
        script.pass(2);
        assert_eq!(script.begun(), [1]);
        assert_eq!(script.fails(1, class), [format!("1 dead: {class}: x")]);
        script.pass(4);
        assert_eq!(script.begun(), [3]);
        assert_eq!(script.ok(3), ["bad:80 closed", "3 delivered"]);
        assert_eq!(script.begun(), [4]);
    }
}

#[test]
fn an_hour_of_retry_after_is_the_host_s_own() {
    let mut script = to(&["bad:80", "good:80"], HostLimits::default());
    script.begun();
    let error =
        ActionError { retry_after: Some(3600 * SECOND), ..ActionError::new(ErrorClass::Status(429), "x") };
    assert_eq!(script.report(1, Err(error)), ["bad:80 opened 3600", "1 waits 3600"]);
    script.ok(2);
    let (hosts, others, _) = script.schedule.take_shown().unwrap();
    assert_eq!((hosts[0].host.as_str(), hosts[0].reason.as_str(), others), ("bad:80", "status 429: x", 0));
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
    assert_eq!(script.used(13), UsedLimits::default(), "it was not attempted");
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
