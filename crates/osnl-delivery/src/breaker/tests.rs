use std::num::NonZeroU32;

use super::*;

pub(crate) const POLICY: RetryPolicy = RetryPolicy {
    max_attempts: NonZeroU32::MAX,
    initial: Duration::from_secs(1),
    max: Duration::from_secs(60),
    jitter: 0.0,
};

/// Plays each word of a script, and returns the state at its end. `KEY:CLASS` reports a failure, with `c` (no connection),
/// `t` (time-out), or a status as class; `ok` reports a success; `+N` lets N seconds pass; `begin` begins an attempt.
fn after(script: &str) -> String {
    let (breaker, now) = played(script);
    match breaker.state() {
        BreakerState::Closed => format!("closed, {} at once", breaker.allowed),
        BreakerState::Open { until } => format!("open for {} s", (until - now).as_secs()),
        BreakerState::Probing => "probing".to_owned(),
    }
}

fn played(script: &str) -> (Breaker, Instant) {
    let mut now = Instant::now();
    let mut breaker = Breaker::new(16);
    for word in script.split_whitespace() {
        if word == "ok" {
            breaker.success(now);
        } else if let Some(concurrency) = word.strip_prefix("change:") {
            breaker.change(concurrency.parse().unwrap(), now);
        } else if word == "begin" {
            breaker.begin();
        } else if let Some(seconds) = word.strip_prefix('+') {
            now += Duration::from_secs(seconds.parse().unwrap());
        } else {
            let (key, class) = word.split_once(':').unwrap();
            let (class, retry_after) = match class.split_once('/') {
                Some((class, after)) => (class, Some(Duration::from_secs(after.parse().unwrap()))),
                None => (class, None),
            };
            let class = match class {
                "c" => ErrorClass::Connect,
                "t" => ErrorClass::Timeout,
                "x" => ErrorClass::Content,
                "n" => ErrorClass::Busy(None),
                "f" => ErrorClass::Refused(None),
                "s" => ErrorClass::Refused(Some(550)),
                "l" => ErrorClass::Refused(Some(535)),
                "r" => ErrorClass::Rejected,
                "d" => ErrorClass::Dependency,
                status => ErrorClass::Status(status.parse().unwrap()),
            };
            breaker.failure(
                // A key in capitals had failed before.
                FailedKey { key, before: key.chars().all(char::is_uppercase) },
                &ActionError { retry_after, ..ActionError::new(class, "") },
                &POLICY,
                now,
            );
        }
    }
    (breaker, now)
}

#[test]
fn opens_over_the_target_s_state_and_not_over_an_event_s() {
    for (script, expected) in [
        ("a:c", "open for 1 s"),
        ("a:429", "open for 1 s"),
        ("a:429/20", "open for 20 s"),
        ("a:503/5", "open for 5 s"),
        ("ok a:500 b:500 c:t d:n e:500", "closed, 16 at once"),
        ("ok a:500 b:500 +60 c:500", "open for 1 s"),
        ("a:500 a:500 a:500", "closed, 16 at once"),
        ("a:500 ok b:500 ok a:t", "closed, 16 at once"),
        ("a:500 b:t", "open for 1 s"),
        ("a:x b:x c:x d:x e:x f:x", "closed, 16 at once"),
        // A final refusal is a fault of the event, and proves that the target answers.
        ("a:r b:r c:r d:r e:r f:r", "closed, 16 at once"),
        ("a:500 b:r c:500", "closed, 16 at once"),
        ("a:400 b:400 c:400 d:400", "closed, 16 at once"),
        ("a:400 b:400 c:400 d:400 d:400 d:400", "closed, 16 at once"),
        ("a:400 b:400 c:400 d:400 e:400", "open for 1 s"),
        ("a:400 b:403 c:400 d:403 e:400 f:403", "closed, 16 at once"),
        ("a:400 b:400 ok c:400 d:400 e:400", "closed, 16 at once"),
        ("a:404 b:404 c:404 d:404 e:404", "open for 1 s"),
        ("a:401 a:401 a:401", "closed, 16 at once"),
        ("a:401 b:401", "open for 1 s"),
        ("a:407 b:407", "open for 1 s"),
        ("a:409 b:409 c:409 d:409 e:409 f:409", "closed, 16 at once"),
        ("a:n a:n", "closed, 16 at once"),
        ("a:n b:n", "open for 1 s"),
        ("a:f b:f c:f d:f", "closed, 16 at once"),
        ("a:f b:f c:f d:f e:f", "open for 1 s"),
        ("a:s b:s c:s d:s", "closed, 16 at once"),
        ("a:s b:s c:s d:s e:s", "open for 1 s"),
        ("a:l b:l", "open for 1 s"),
        ("a:r b:r c:r d:r e:r f:r", "closed, 16 at once"),
        ("a:c +1 begin a:r", "closed, 1 at once"),
    ] {
        assert_eq!(after(script), expected, "{script}");
    }
}

#[test]
fn a_key_that_has_failed_before_opens_nothing() {
    for (script, expected) in [
        ("A:500 B:500 C:t D:n", "closed, 16 at once"),
        ("a:500 B:500 C:500", "closed, 16 at once"),
        ("a:500 B:500 c:500", "open for 1 s"),
        // Without a success for a minute, the earlier first failures count.
        ("ok a:500 b:500 +60 B:500", "open for 1 s"),
        ("ok a:500 +60 A:500 B:500", "closed, 16 at once"),
        ("A:c", "open for 1 s"),
        ("A:503/5", "open for 5 s"),
        ("a:d b:d c:d", "closed, 16 at once"),
        ("a:c +1 begin b:d", "open for 0 s"),
    ] {
        assert_eq!(after(script), expected, "{script}");
    }
}

#[test]
fn while_others_succeed_it_opens_over_many_keys_in_a_row() {
    let (keys, mut now) = (MANY_FAILING.max(2 * 16), Instant::now());
    let mut breaker = Breaker::new(16);
    breaker.success(now);
    let fails = |breaker: &mut Breaker, n: usize, now| {
        let key = n.to_string();
        breaker.failure(
            FailedKey { key: &key, before: false },
            &ActionError::new(ErrorClass::Timeout, ""),
            &POLICY,
            now,
        )
    };
    for n in 1..keys {
        assert_eq!(fails(&mut breaker, n, now), BreakerChange::None, "{n}");
    }
    assert_eq!(fails(&mut breaker, keys, now), BreakerChange::Opened);
    // The newest deliveries run beside the oldest from the first stumble, until one of the oldest succeeds.
    assert!(breaker.is_event_suspect(now));
    now += Duration::from_secs(1);
    breaker.begin();
    assert_eq!(breaker.success(now), BreakerChange::Closed);
    assert_eq!((breaker.allowed(), breaker.is_event_suspect(now)), (2, true));
    breaker.acquit();
    assert!(!breaker.is_event_suspect(now));
    fails(&mut breaker, 0, now);
    assert!(breaker.is_event_suspect(now) && !breaker.is_event_suspect(now + LATELY));
}

#[test]
fn refusals_hold_no_target_that_has_lately_taken_another() {
    for (script, expected) in [
        ("ok a:400 b:400 c:400 d:400 e:400 f:400 g:400", "closed, 16 at once"),
        ("ok +59 a:400 b:400 c:400 d:400 e:400 +1 f:400", "open for 1 s"),
        ("ok +60 a:400 b:400 c:400 d:400 e:400", "open for 1 s"),
        ("ok a:400 b:400 c:400 d:400 e:400 +10 A:400", "open for 1 s"),
        ("ok a:400 b:400 c:400 d:400 +10 a:400", "closed, 16 at once"),
        ("ok a:401 +9 b:401", "closed, 16 at once"),
        ("ok a:401 +10 b:401", "open for 1 s"),
    ] {
        assert_eq!(after(script), expected, "{script}");
    }
}

/// A single refused event in between must not cost the others an attempt each time.
#[test]
fn a_row_of_refusals_stands_until_a_success() {
    let row = "a:403 b:403 c:403 d:403 e:403 +1 begin";
    for (script, expected) in [
        (format!("{row} f:422"), "closed, 1 at once"),
        (format!("{row} f:422 g:403"), "open for 2 s"),
        (format!("{row} f:r g:404"), "open for 2 s"),
        (format!("{row} change:16 f:422 g:403"), "open for 1 s"),
        (format!("{row} f:422 ok g:403"), "closed, 2 at once"),
        (format!("{row} f:422 change:16 g:403"), "closed, 1 at once"),
        ("a:409 b:409 c:409 d:409 e:409 f:403".to_owned(), "closed, 16 at once"),
    ] {
        assert_eq!(after(&script), expected, "{script}");
    }
}

#[test]
fn refused_keys_are_not_collected_without_end() {
    let mut breaker = Breaker::new(4);
    for key in 0..10_000 {
        let key = key.to_string();
        let failed = FailedKey { key: &key, before: false };
        breaker.failure(failed, &ActionError::new(ErrorClass::Status(409), ""), &POLICY, Instant::now());
    }
    assert_eq!(breaker.refusal.map(|row| row.keys.len()), Some(REFUSED_KEYS));
}

#[test]
fn what_has_never_failed_probes_soon_where_an_event_may_be_at_fault() {
    let long = "+9 begin A:500 +9 begin A:500 +9 begin A:500 +9 begin";
    for (script, fresh, all) in [
        (format!("a:500 b:500 {long} c:500"), 3, 16),
        (format!("a:500 b:500 {long} C:500"), 0, 16),
        (format!("a:c {long} c:c"), 16, 16),
        (format!("a:500 b:500 {long} c:503/20"), 20, 20),
    ] {
        let (breaker, now) = played(&script);
        let left = |fresh| breaker.next_probe_at(fresh).unwrap().saturating_duration_since(now).as_secs();
        assert_eq!((left(true), left(false)), (fresh, all), "{script}");
    }
}

#[test]
fn other_settings_probe_at_once_and_begin_to_count_anew() {
    for (script, expected) in [
        ("change:4", "closed, 4 at once"),
        ("a:c +1 begin ok change:4", "closed, 1 at once"),
        ("a:c +1 begin ok change:4 ok ok ok", "closed, 4 at once"),
        ("a:400 b:400 c:400 d:400 change:16 e:400", "closed, 16 at once"),
        ("a:429/20 change:16", "open for 0 s"),
        ("a:c +1 begin a:c +2 begin a:c change:16 begin a:c", "open for 1 s"),
        ("a:400 b:400 c:400 d:400 e:400 change:16 begin f:400", "open for 1 s"),
        ("a:400 b:400 c:400 d:400 e:400 change:16 begin ok", "closed, 1 at once"),
    ] {
        assert_eq!(after(script), expected, "{script}");
    }
}

#[test]
fn probes_wait_longer_each_time_and_a_success_closes() {
    for (script, expected) in [
        ("a:c b:c c:c", "open for 1 s"),
        ("a:c +1 begin", "probing"),
        ("a:c +1 begin a:c", "open for 2 s"),
        ("a:c +1 begin a:c +2 begin b:500", "open for 4 s"),
        ("a:c +1 begin a:c +2 begin a:c +4 begin a:c +8 begin a:c +16 begin a:c", "open for 30 s"),
        ("a:c +1 begin ok", "closed, 1 at once"),
        ("a:c +1 begin ok ok ok", "closed, 4 at once"),
        ("a:c +1 begin ok ok ok ok ok ok ok", "closed, 16 at once"),
        // An answer, even a refusal, shows that the target is reachable.
        ("a:c +1 begin a:400", "closed, 1 at once"),
        ("a:c +1 begin a:r", "closed, 1 at once"),
        ("a:400 b:400 c:400 d:400 e:400 +1 begin f:400", "open for 2 s"),
        ("a:c +1 begin b:x", "open for 0 s"),
    ] {
        assert_eq!(after(script), expected, "{script}");
    }
}
