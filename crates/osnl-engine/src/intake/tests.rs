use std::time::{Duration, SystemTime};

use osnl_testkit::hostile;

use super::*;
use osnl_core::epoch::simulated;
use osnl_core::rule::KeySource;
use osnl_journal::memory::{MemoryJournal, MemoryLimits};
use osnl_journal::{ClaimLimits, Journal, Outcome};
use osnl_model::{NotificationFilter, Pattern};

#[test]
fn places_are_filled_up_before_the_last_is_used() {
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(4), counters.clone()));
    let rule = Rule { name: "r".into(), actions: vec!["a".into()], ..Rule::default() };
    let engine = RuleEngine::new(vec![rule], journal.clone(), counters);
    assert_eq!(engine.reserve(4).now_or_never(), Some(4));
    let body = |n: u32| format!("{{\"event_type\": \"x\", \"message_id\": \"{n}\", \"payload\": {{}}}}");
    let notify = |n: u32| engine.notify(ReceivedMessage::sample(body(n), false));
    let mut receipts: Vec<_> = (0..3).map(notify).collect();
    // Three of the four free places are taken.
    assert_eq!(engine.reserve(4).now_or_never(), Some(4));
    receipts.extend((3..7).map(notify));
    // The last of eight places is given without waiting for more.
    assert_eq!(engine.reserve(4).now_or_never(), Some(1));
    for claimed in journal.claim("a", ClaimLimits::in_order(7)).now_or_never().unwrap() {
        journal.end(claimed.id, Outcome::Delivered.into());
    }
    assert_eq!(engine.reserve(4).now_or_never(), Some(4));
    drop(receipts);
}

/// A listener takes a long time without an end for a fault, unless a rate is the reason.
#[test]
fn a_listener_knows_that_a_rate_delays_one_of_its_actions() {
    use osnl_core::metrics::{CallLimit, CallLoad};
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(4), counters.clone()));
    let rule = Rule { name: "r".into(), actions: vec!["a".into()], ..Rule::default() };
    let rules = LiveRules::new(RuleEngine::new(vec![rule], journal, counters.clone()));
    let [own, other] = ["a", "b"].map(|action| counters.series.action(action));
    let load = |limit| CallLoad { calls: 1, deliveries: 1, limit: Some(limit) };
    other.backlog.runs(load(CallLimit::Rate));
    own.backlog.runs(load(CallLimit::Concurrency));
    assert!(!rules.is_paced());
    own.backlog.runs(load(CallLimit::Rate));
    assert!(rules.is_paced());
}

#[test]
fn the_actions_of_a_listener_know_how_its_queue_grows() {
    use osnl_core::metrics::{CallLimit, CallLoad, QueuedMessages};
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(4), counters.clone()));
    let rule = Rule { name: "r".into(), actions: vec!["a".into()], ..Rule::default() };
    let rules = LiveRules::new(RuleEngine::new(vec![rule], journal, counters.clone()));
    let (start, all) = (tokio::time::Instant::now(), ["a", "b"].map(|action| counters.series.action(action)));
    for seconds in (0..300).step_by(5) {
        for (listener, grows) in [("quiet", 0), ("busy", 2)] {
            rules.queued(listener, QueuedMessages { waiting: seconds * grows, read: 0, window: 4 });
        }
        for series in &all {
            series.backlog.runs(CallLoad { calls: 1, deliveries: 1, limit: Some(CallLimit::Concurrency) });
            series.backlog.note(start + Duration::from_secs(seconds));
        }
    }
    let [own, other] = all.map(|series| series.backlog.falling_behind(true));
    assert_eq!(own.map(|own| (own.rates.begun, own.window)), Some((360, Some(4))));
    assert_eq!(other, None);
}

#[test]
fn the_condition_of_an_action_is_evaluated_for_each_of_its_deliveries() {
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(4), counters.clone()));
    let when = |text: &str| osnl_config::template::Expression::new(text).unwrap();
    let rule = Rule {
        name: "r".into(),
        actions: vec!["all".into(), "some".into(), "unsure".into()],
        conditions: [
            ("some".into(), when("payload.port.name == 'b'")),
            ("unsure".into(), when("payload.port.name + 1 == 2 if payload.port.name == 'b' else payload.no")),
        ]
        .into(),
        ..Rule::default()
    };
    let engine = RuleEngine::new(vec![rule], journal.clone(), counters.clone());
    let body = r#"{"event_type": "port.create.end", "message_id": "1",
        "payload": {"ports": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}]}}"#;
    let _receipt = engine.notify(ReceivedMessage::sample(body.to_owned(), false));
    let claimed = |action| {
        let claimed = journal.claim(action, ClaimLimits::in_order(9)).now_or_never().unwrap_or_default();
        claimed.iter().map(|c| c.event.resource).collect::<Vec<_>>()
    };
    assert_eq!(claimed("all"), [Some(0), Some(1)]);
    assert_eq!(claimed("some"), [Some(1)]);
    assert_eq!(claimed("unsure"), []);
    let dead: Vec<String> = journal.dead_letters().into_iter().map(|dead| dead.reason).collect();
    assert!(dead.len() == 1 && dead[0].starts_with("action unsure: when cannot be decided"), "{dead:?}");
}

/// A guard counts by arrival time, and a step of the system clock between arrivals changes nothing.
#[tokio::test(start_paused = true)]
async fn a_guard_counts_by_when_messages_came() {
    let rate = osnl_config::Rate { keys: 2, within: Duration::from_secs(600) };
    for (apart, step, held) in [(601, 0, 0), (1, 0, 3), (1, 600, 3)] {
        let counters = Arc::new(Counters::default());
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(9), counters.clone()));
        let rule = Rule { name: "r".into(), actions: vec!["a".into()], ..Rule::default() };
        let guards = Arc::new(Guards::new([], [("a".into(), rate)]));
        let engine = RuleEngine::new(vec![rule], journal, counters.clone()).with_guards(guards);
        for n in 0..5_u64 {
            let body = format!(
                "{{\"event_type\": \"port.delete.end\", \"message_id\": \"{n}\", \"payload\": {{\"port\": {{\"id\": \"{n}\"}}}}}}"
            );
            let mut received = ReceivedMessage::sample(body, false);
            received.origin.received += Duration::from_secs((apart + step) * n);
            drop(engine.notify(received));
            tokio::time::advance(Duration::from_secs(apart)).await;
        }
        assert_eq!(counters.guarded.get(), held, "{apart} s apart, with steps of {step} s");
    }
}

/// The journal knows by the system clock when messages arrived before a guard was there.
#[tokio::test(start_paused = true)]
async fn a_guard_of_a_reload_counts_what_came_before_and_after_a_step_of_the_system_clock() {
    let rate = osnl_config::Rate { keys: 2, within: Duration::from_secs(600) };
    let noon = std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let hour = Duration::from_secs(3600);
    for after in [noon - hour, noon + hour] {
        simulated::set(Some(noon));
        let counters = Arc::new(Counters::default());
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(9), counters.clone()));
        let rule = Rule { name: "r".into(), actions: vec!["a".into()], ..Rule::default() };
        let before = Arc::new(Guards::new([], []));
        let engine = RuleEngine::new(vec![rule], journal, counters).with_guards(before.clone());
        let notify = |key: &str| {
            let body = format!("{{\"event_type\": \"x\", \"message_id\": \"{key}\", \"payload\": {{}}}}");
            drop(engine.notify(ReceivedMessage::sample(body, false)));
        };
        notify("first");
        tokio::time::advance(Duration::from_secs(60)).await;
        simulated::set(Some(after));
        notify("second");
        tokio::time::advance(Duration::from_secs(60)).await;

        let (guards, fresh) = Guards::new([], [("a".into(), rate)]).following(&before);
        let since = fresh.counts_since().unwrap();
        for (key, at) in [("first", noon), ("second", after)] {
            assert!(at >= since, "{key} is read from the journal");
            fresh.remember("r", "a", key, at, true);
        }
        let is_full = || guards.states(tokio::time::Instant::now())[0].2;
        assert!(is_full(), "both are within the window");
        tokio::time::advance(Duration::from_secs(475)).await;
        assert!(is_full(), "the first is so for ten minutes");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!is_full(), "and not for longer");
    }
    simulated::set(None);
}

/// Returned messages arrive again all at once: that is neither a storm nor an old event.
#[tokio::test(start_paused = true)]
async fn what_comes_again_after_a_return_counts_from_its_first_arrival() {
    let rate = osnl_config::Rate { keys: 2, within: Duration::from_secs(600) };
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(9), counters.clone()));
    let max_event_age = Some(Duration::from_secs(60));
    let rule = Rule { name: "r".into(), actions: vec!["a".into()], max_event_age, ..Rule::default() };
    let guards = Arc::new(Guards::new([], [("a".into(), rate)]));
    let engine = RuleEngine::new(vec![rule], journal.clone(), counters.clone()).with_guards(guards);
    let came = |n: u64| std::time::UNIX_EPOCH + Duration::from_secs(601 * n);
    let notify = |n: u64, redelivered: bool, at: SystemTime| {
        let timestamp = jiff::Timestamp::try_from(came(n)).unwrap();
        let body = format!(
            "{{\"event_type\": \"port.delete.end\", \"message_id\": \"{n}\", \"timestamp\": \"{timestamp}\", \
             \"payload\": {{\"port\": {{\"id\": \"{n}\"}}}}}}"
        );
        let mut received = ReceivedMessage::sample(body, redelivered);
        received.origin.received = at;
        engine.notify(received)
    };
    let claim = || journal.claim("a", ClaimLimits::in_order(9)).now_or_never().unwrap_or_default();
    let mut receipts = Vec::new();
    for n in 0..5 {
        receipts.push(notify(n, false, came(n)));
        tokio::time::advance(Duration::from_secs(601)).await;
    }
    claim().iter().for_each(|claimed| journal.end(claimed.id, Outcome::Returned.into()));
    assert!(receipts.into_iter().all(|receipt| receipt.now_or_never() == Some(Settle::Requeue)));
    let _receipts: Vec<_> = (0..5).map(|n| notify(n, true, came(9))).collect();
    let again: Vec<_> = claim().iter().map(|claimed| claimed.event.received.origin.received).collect();
    assert_eq!(again, [0, 1, 2, 3, 4].map(came));
    assert_eq!((counters.guarded.get(), counters.dead.get()), (0, 0));
}

/// The reasons for which nothing is done.
#[derive(Default)]
struct Reasons(Mutex<Vec<String>>);

impl Onlooker for Reasons {
    fn begun(&self, _: &Arc<RuleSet>) {}

    fn unwanted(&self, _: &IncomingMessage, _: &Arc<str>, _: &Head<'_>, _: &Budget) {}

    fn unmatched(&self, _: &ReceivedMessage, _: &Notification, failed: &[(&Rule, RuleMismatch)]) {
        self.0.lock().unwrap().extend(failed.iter().map(|(_, why)| why.to_string()));
    }

    fn matched(&self, _: &ReceivedMessage, _: &Notification, _: &[NewDelivery]) {}
}

#[test]
fn an_event_that_no_condition_lets_through_is_unmatched_with_the_reason() {
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(4), counters.clone()));
    let rule = Rule {
        name: "r".into(),
        actions: vec!["a".into()],
        conditions: [("a".into(), osnl_config::template::Expression::new("payload.x == 2").unwrap())].into(),
        ..Rule::default()
    };
    let reasons = Arc::<Reasons>::default();
    let engine = RuleEngine::new(vec![rule], journal, counters.clone()).with_onlooker(reasons.clone());
    let body = r#"{"event_type": "x", "message_id": "1", "payload": {"x": 1}}"#;
    let receipt = engine.notify(ReceivedMessage::sample(body.to_owned(), false));
    assert_eq!(receipt.now_or_never(), Some(Settle::Acknowledge));
    assert_eq!(*reasons.0.lock().unwrap(), ["when is false: payload.x is 1"]);
    assert_eq!((counters.matched.get(), counters.unmatched.get()), (0, 1));
}

#[test]
fn what_cannot_be_decided_is_a_dead_letter_of_each_action() {
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(4), counters.clone()));
    let when = |name: &str, when: &str, mode: Mode| Rule {
        name: name.into(),
        when: Some(osnl_config::template::Expression::new(when).unwrap()),
        actions: vec!["a".into(), "b".into()],
        mode,
        ..Rule::default()
    };
    let rules = vec![
        when("typed", "payload.n + 'x' == 1", Mode::Live),
        when("shadow", "payload.n + 'x' == 1", Mode::Shadow),
        when("lacks", "payload.other == 1", Mode::Live),
    ];
    let engine = RuleEngine::new(rules, journal.clone(), counters.clone());
    let body = r#"{"event_type": "x", "message_id": "1", "payload": {"n": 1}}"#;
    let receipt = engine.notify(ReceivedMessage::sample(body.to_owned(), false));
    assert_eq!(receipt.now_or_never(), Some(Settle::Acknowledge));
    let reasons: Vec<String> = journal.dead_letters().into_iter().map(|dead| dead.reason).collect();
    let why = "rule typed: when cannot be decided: invalid operation: tried to use + operator on unsupported \
               types number and string, at \"payload.n + 'x'\"";
    assert_eq!(reasons, [why, why]);
    assert_eq!((counters.dead.get(), counters.shadow.get(), counters.matched.get()), (2, 0, 1));
}

fn ports(n: usize, port: &str) -> String {
    let ports = vec![port; n].join(",");
    format!(
        r#"{{"event_type": "port.create.start", "message_id": "{n}", "payload": {{"ports": [{ports}]}}}}"#
    )
}

fn engine_of(rule: Rule) -> (RuleEngine, Arc<MemoryJournal>) {
    let counters = Arc::new(Counters::default());
    let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(64), counters.clone()));
    (RuleEngine::new(vec![rule], journal.clone(), counters), journal)
}

/// The cost is linear. When each condition read all resources, ten times as many took a hundred times as long.
#[test]
fn many_resources_cost_as_many_times_one() {
    let when = |text: &str| osnl_config::template::Expression::new(text).unwrap();
    let plain = Rule { name: "r".into(), actions: vec!["a".into(), "b".into()], ..Rule::default() };
    let asking = Rule { conditions: [("a".into(), when("payload.port.id == 'x'"))].into(), ..plain.clone() };
    let undecided = Rule { when: Some(when("payload.nothing + 1 == (1 + 'x')")), ..plain.clone() };
    for (name, rule) in [("plain", plain), ("asking", asking), ("undecided", undecided)] {
        let took = |n: usize| {
            let (engine, _journal) = engine_of(rule.clone());
            let received = ReceivedMessage::sample(ports(n, "{}"), false);
            let begun = cpu_time();
            drop(engine.notify(received));
            cpu_time() - begun
        };
        let best = |run: &dyn Fn() -> Duration| (0..3).map(|_| run()).min().unwrap();
        let short = best(&|| (0..8).map(|_| took(1000)).sum());
        let many = best(&|| took(8000));
        assert!(many < short * 3, "{name}: 8 times 1000 take {short:?}, 8000 take {many:?}");
    }
}

/// A value beside the parts is looked at once. When each part looked at it, a message took a minute.
#[test]
fn no_part_costs_as_much_as_the_message() {
    let rate = osnl_config::Rate { keys: 2, within: Duration::from_secs(600) };
    let long = "é".repeat(700_000);
    for (key, name) in [
        ("resource", "device_id"),
        ("resource", "port_id"),
        ("resource", "id"),
        ("context.long", "name"),
        ("none", "name"),
    ] {
        let key = KeySource::parse(key).unwrap();
        let rule = Rule { name: "r".into(), actions: vec!["a".into()], key, ..Rule::default() };
        let (engine, _journal) = engine_of(rule);
        let engine = engine.with_guards(Arc::new(Guards::new([("r".into(), rate)], [])));
        let payload = hostile::bulk_beside(9_000, name, &long);
        let body = format!(
            r#"{{"event_type": "port.delete.end", "_context_long": "{long}", "payload": {payload}}}"#
        );
        let received = ReceivedMessage::sample(body, false);
        let begun = cpu_time();
        assert_eq!(engine.notify(received).deliveries(), 9_000, "{name}");
        let took = cpu_time() - begun;
        assert!(took < Duration::from_secs(4), "{name}: {took:?}");
    }
}

fn cpu_time() -> Duration {
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn parts_have_their_own_keys_and_payloads() {
    let (engine, journal) = engine_of(Rule {
        name: "r".into(),
        actions: vec!["a".into()],
        conditions: [("a".into(), osnl_config::template::Expression::new("resource.id != 'P2'").unwrap())]
            .into(),
        ..Rule::default()
    });
    let body = r#"{"event_type": "port.create.end", "message_id": "1", "_context_user": "u",
        "payload": {"ports": [{"id": "P1", "device_id": "D"}, {"id": "P2"}, {}, {"id": "P4"}]}}"#;
    assert_eq!(
        engine.notify(ReceivedMessage::sample(body, false)).deliveries(),
        2,
        "the listener counts them"
    );
    let claimed = journal.claim("a", ClaimLimits::in_order(9)).now_or_never().unwrap();
    let seen: Vec<_> = claimed
        .iter()
        .map(|c| (c.event.resource, c.key.clone(), c.event.names().notification().payload.to_string()))
        .collect();
    let key = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen,
        [
            (Some(0), key("d"), r#"{"port":{"device_id":"D","id":"P1"}}"#.to_owned()),
            (Some(3), key("p4"), r#"{"port":{"id":"P4"}}"#.to_owned()),
        ]
    );
    let whole = claimed[0].event.names().notification().context["user"].clone();
    assert_eq!(whole, "u");
    assert!(claimed.iter().all(|c| Arc::ptr_eq(&c.event.notification, &claimed[0].event.notification)));
}

#[test]
fn what_costs_too_much_is_set_aside() {
    let rule = Rule { name: "r".into(), actions: vec!["a".into()], ..Rule::default() };
    let (engine, journal) = engine_of(rule);
    let engine = engine.with_budget(Budget { body: 4000, values: 300, resources: 20 });
    for body in [
        ports(20, "{}"),
        ports(21, "{}"),
        ports(20, "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"),
        ports(1, &format!("\"{}\"", "x".repeat(5000))),
    ] {
        drop(engine.notify(ReceivedMessage::sample(body, false)));
    }
    let reasons: Vec<String> = journal.dead_letters().into_iter().map(|dead| dead.reason).collect();
    assert_eq!(
        reasons,
        [
            "the message has 21 resources; the limit is 20 (it grows with option max_body)",
            "the message has more than 300 values, the limit (it grows with option max_body)",
            "the body has 5082 bytes; the limit is 4000 (option max_body)",
        ]
    );
}

#[test]
fn an_event_that_is_too_old_is_a_dead_letter_whose_retry_is_the_delivery() {
    let day = Duration::from_secs(86_400);
    let check = |timestamp: &str, limit: Option<Duration>, mode: Mode, expected: (u64, u64, bool)| {
        let counters = Arc::new(Counters::default());
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(9), counters.clone()));
        let rule = Rule {
            name: "r".into(),
            actions: vec!["a".into()],
            mode,
            max_event_age: limit,
            ..Rule::default()
        };
        let engine = RuleEngine::new(vec![rule], journal.clone(), counters.clone());
        let body = format!("{{\"event_type\": \"x\", \"message_id\": \"1\", \"payload\": {{}}{timestamp}}}");
        let mut received = ReceivedMessage::sample(body, false);
        received.origin.received = std::time::UNIX_EPOCH + Duration::from_secs(1_795_608_000);
        let listener = received.origin.listener.clone();
        let at = received.origin.received;
        let _receipt = engine.notify(received);
        let claimed =
            journal.claim("a", ClaimLimits::in_order(9)).now_or_never().unwrap_or_default().len() as u64;
        let runs_old = counters.series.listener(&listener).ages.running(at).is_some();
        assert_eq!((claimed, counters.too_old.get(), runs_old), expected, "{timestamp} {limit:?} {mode:?}");
        assert_eq!(counters.dead.get(), counters.too_old.get());
        let reasons: Vec<String> = journal.dead_letters().into_iter().map(|dead| dead.reason).collect();
        assert!(
            reasons.iter().all(|reason| reason.starts_with("too old: published 2026-03-26T")),
            "{reasons:?}"
        );
    };
    let old = r#", "timestamp": "2026-03-26 09:00:00.000001""#;
    for (timestamp, limit, mode, expected) in [
        (old, Some(day), Mode::Live, (0, 1, false)),
        (old, Some(day * 300), Mode::Live, (1, 0, false)),
        (old, None, Mode::Live, (1, 0, true)),
        (old, Some(day), Mode::Shadow, (0, 0, false)),
        (r#", "timestamp": "2026-11-25 11:00:00""#, Some(day), Mode::Live, (1, 0, false)),
        (r#", "timestamp": "2026-11-25 11:00:00""#, None, Mode::Live, (1, 0, false)),
        (r#", "timestamp": "2027-11-25 11:00:00""#, Some(day), Mode::Live, (1, 0, false)),
        (r#", "timestamp": "soon""#, Some(day), Mode::Live, (1, 0, false)),
        (r#", "timestamp": 5"#, Some(day), Mode::Live, (1, 0, false)),
        ("", Some(day), Mode::Live, (1, 0, false)),
    ] {
        check(timestamp, limit, mode, expected);
    }
}

/// A delete arrives, then the create before it, of which a copy had come first for one resource.
#[test]
fn an_event_that_is_older_than_one_before_it_is_a_dead_letter() {
    let deliver = |order_by_event_time: bool, messages: &[(&str, &str, bool)]| {
        let counters = Arc::new(Counters::default());
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(9), counters.clone()));
        let rule =
            Rule { name: "r".into(), actions: vec!["a".into()], order_by_event_time, ..Rule::default() };
        let engine = RuleEngine::new(vec![rule], journal.clone(), counters.clone());
        for (n, (port, time, redelivered)) in messages.iter().enumerate() {
            let body = format!(
                r#"{{"event_type": "port.update.end", "message_id": "{n}", "timestamp": "2026-11-28 01:00:{time}",
                    "payload": {{"port": {{"id": "{port}"}}}}}}"#
            );
            let mut message = ReceivedMessage::sample(body, *redelivered);
            // 2026-11-28 02:00:00
            message.origin.received = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_831_200);
            drop(engine.notify(message));
        }
        let reasons: Vec<String> = journal.dead_letters().into_iter().map(|dead| dead.reason).collect();
        assert_eq!(counters.too_old.get(), reasons.len() as u64);
        reasons
    };
    let late = [("P", "10", false), ("P", "05", false)];
    let reason = "overtaken: published 2026-11-28T01:00:05Z, and an event of 2026-11-28T01:00:10Z of the same order \
                  key came before it (order_by_event_time)";
    assert_eq!(deliver(true, &late), [reason]);
    assert_eq!(deliver(false, &late), [""; 0]);
    for fine in [
        [("P", "05", false), ("P", "10", false)],
        [("P", "10", false), ("P", "10", false)],
        [("P", "10", false), ("Q", "05", false)],
        [("P", "10", false), ("P", "05", true)],
    ] {
        assert_eq!(deliver(true, &fine), [""; 0], "{fine:?}");
    }
}

/// One rule makes what another removes, with one action or two.
#[test]
fn a_late_create_is_overtaken_by_the_delete_of_another_rule() {
    let rule = |event: &str, action: &str, key: &str, order_by_event_time: bool| Rule {
        name: event.into(),
        actions: vec![action.into()],
        filter: NotificationFilter {
            event_type: Some(Pattern::new(&format!(r"^port\.{event}\.end$")).unwrap()),
            ..NotificationFilter::default()
        },
        key: KeySource::parse(key).unwrap(),
        order_by_event_time,
        ..Rule::default()
    };
    let check = |create: Rule, delete: Rule, from: [&str; 2], expected: u64, why: &str| {
        let counters = Arc::new(Counters::default());
        let journal = Arc::new(MemoryJournal::new(MemoryLimits::for_prefetch(9), counters.clone()));
        let engine = RuleEngine::new(vec![create, delete], journal, counters.clone());
        for (event, time, listener) in [("delete", "10", from[0]), ("create", "05", from[1])] {
            let body = format!(
                r#"{{"event_type": "port.{event}.end", "message_id": "{event}", "timestamp": "2026-11-28 01:00:{time}",
                    "payload": {{"port": {{"id": "P"}}}}}}"#
            );
            let mut message = ReceivedMessage::sample(body, false);
            message.origin.listener = listener.into();
            // 2026-11-28 02:00:00
            message.origin.received = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_831_200);
            drop(engine.notify(message));
        }
        assert_eq!(counters.too_old.get(), expected, "{why}");
    };
    let create = || rule("create", "a", "resource", true);
    for (delete, from, expected, why) in [
        (rule("delete", "a", "resource", true), ["l", "l"], 1, "one action"),
        (rule("delete", "b", "resource", true), ["l", "l"], 1, "two actions"),
        (rule("delete", "a", "resource", false), ["l", "l"], 0, "no option"),
        (rule("delete", "a", "payload.port.id", true), ["l", "l"], 0, "another source of the key"),
        (rule("delete", "a", "none", true), ["l", "l"], 0, "no key"),
        (rule("delete", "a", "resource", true), ["l", "m"], 0, "another listener"),
    ] {
        check(create(), delete, from, expected, why);
    }
    let both = rule("(create|delete)", "a", "resource", true);
    check(both, rule("delete", "a", "none", false), ["l", "m"], 1, "one rule of two listeners");
}
