use osnl_core::attempt::{ActionError, ErrorClass, LONGEST_ANSWER, Uncorrected};
use osnl_core::metrics::{BacklogRates, CallLimit, FallingBehind};
use osnl_model::cut;
use osnl_transport::Remedy;

use super::*;

#[test]
fn a_target_that_heals_says_when_it_is_tried_and_one_that_refuses_what_to_correct() {
    let log = "the target's own log tells why";
    let found = judge_target(&down("hook", failure("status 500", Some(log), false)), &BOUNDS);
    let doing = "the target's own log tells why; osnl tries again in 3 s; sooner: osnl actions probe hook";
    check(
        &found,
        &[(IncidentKind::TargetDown, Warning, "hook: the target is down for 40 s", "status 500", doing)],
    );
    assert_eq!(found[0].must_act, IncidentActor::Osnl);
    let start = "start the daemons of the shards, which make it";
    let found = judge_target(&down("hook", failure("status 400", Some(start), true)), &BOUNDS);
    let doing = "[action:hook]: start the daemons of the shards, which make it";
    let what = "hook: the target refuses everything for 40 s";
    check(&found, &[(IncidentKind::TargetRefuses, Warning, what, "status 400", doing)]);
    assert_eq!(found[0].must_act, IncidentActor::Operator);
    // Only advice about the configuration gets a reload, and a command stays one that can be pasted.
    let body = "correct what the action sends: body, headers, url";
    for (remedy, command, to_do) in [
        (
            Remedy::ConfigurationAdvice(body.into()),
            None,
            Some(format!("[action:hook]: {body}, then osnl reload")),
        ),
        (Remedy::command("rabbitmqctl add_vhost v"), Some("rabbitmqctl add_vhost v"), None),
    ] {
        let failed =
            failure("status 401", None, true).map(|failed| AttemptFailure { remedy: Some(remedy), ..failed });
        let found = judge_target(&down("hook", failed), &BOUNDS);
        assert_eq!((found[0].command.as_deref(), &found[0].to_do), (command, &to_do));
    }
}

#[test]
fn only_an_operator_ends_a_failure_of_tls_and_no_probe_ends_a_limit_of_the_target() {
    let of = |class, answer: &str| {
        let failed =
            failure(answer, None, false).map(|failed| AttemptFailure { class: Some(class), ..failed });
        judge_target(&down("vault", failed), &BOUNDS).remove(0)
    };
    let tls = of(ErrorClass::Tls, "TLS failed: certificate is self-signed");
    assert_eq!((tls.kind, tls.must_act), (IncidentKind::TargetDown, IncidentActor::Operator));
    let doing = "correct the TLS options of [action:vault] or the target's certificate, then osnl reload; osnl tries again in 3 s";
    assert_eq!(tls.doing().as_deref(), Some(doing));
    let limited = of(ErrorClass::Status(429), "status 429");
    let doing = "lower rate or concurrency in [action:vault], then osnl reload; osnl tries again in 3 s";
    assert_eq!((limited.must_act, limited.doing().as_deref()), (IncidentActor::Osnl, Some(doing)));
}

#[test]
fn a_target_that_falls_behind_has_its_rates_and_what_to_raise() {
    let rates = BacklogRates { begun: 180, ended: 90, seconds: 180 };
    let behind = |limit, rates: BacklogRates, seconds_each, oldest| TargetReport {
        pending: 396,
        oldest_pending_seconds: Some(oldest),
        falling_behind: Some(FallingBehind { rates, limit, calls: 16, seconds_each, window: None }),
        ..target("backup")
    };
    let slow = behind(CallLimit::Concurrency, rates, Some(30), 360);
    let what = "backup: falls behind: 1.0/s in, 0.5/s out, 16 of 16 calls run, 30 s each; 396 wait, the oldest 6 min";
    let doing = "raise concurrency in [action:backup], or set batch, then osnl reload";
    check(&judge_target(&slow, &BOUNDS), &[(IncidentKind::FallsBehind, Warning, what, "", doing)]);
    let old = judge_target(&TargetReport { oldest_pending_seconds: Some(900), ..slow.clone() }, &BOUNDS);
    assert_eq!((old[0].severity, &*old[0].symptoms), (Critical, &[IncidentKind::PendingOld][..]));
    for (limit, rates, expected, doing) in [
        (
            CallLimit::Rate,
            BacklogRates { begun: 20, ended: 9, seconds: 180 },
            "6.7/min in, 3.0/min out, rate delays",
            "raise rate",
        ),
        (
            CallLimit::Order,
            BacklogRates { ended: 0, ..rates },
            "0.0/s out, each other delivery waits",
            "make the target faster",
        ),
    ] {
        let found = &judge_target(&behind(limit, rates, None, 360), &BOUNDS)[0];
        assert!(
            found.what.contains(expected) && found.to_do.as_ref().unwrap().starts_with(doing),
            "{found:?}"
        );
    }
    // All that is pending runs.
    check(&judge_target(&TargetReport { in_flight: 390, ..slow.clone() }, &BOUNDS), &[]);
    // A resource that fails explains no backlog of the others, but what waits for it.
    let kinds = |slow: TargetReport| -> Vec<_> {
        let own = TargetReport {
            failing: vec![failing("web-7", 7)],
            dead: 1,
            dead_reason: Some("HTTP 500 (after 60 s: retry_max_age)".to_owned()),
            dead_answer: Some("HTTP 500".to_owned()),
            ..slow
        };
        judge_target(&own, &BOUNDS).iter().map(|one| one.kind).collect()
    };
    assert_eq!(kinds(slow.clone()), [IncidentKind::FallsBehind, IncidentKind::ResourceFailing]);
    assert_eq!(kinds(behind(CallLimit::Order, rates, None, 360)), [IncidentKind::ResourceFailing]);
    // A known cause explains the backlog.
    let held = TargetReport { falling_behind: slow.falling_behind, ..down("backup", None) };
    assert_eq!(judge_target(&held, &BOUNDS)[0].kind, IncidentKind::TargetDown);
}

#[test]
fn an_action_falls_behind_if_its_deliveries_fill_the_window_and_the_queue_grows() {
    let rates = BacklogRates { begun: 1800, ended: 90, seconds: 180 };
    let found = |limit, pending, in_flight| {
        let behind = FallingBehind { rates, limit, calls: 16, seconds_each: Some(30), window: Some(200) };
        let target = TargetReport { pending, in_flight, falling_behind: Some(behind), ..target("backup") };
        judge_target(&target, &BOUNDS)
    };
    let what = "backup: falls behind: 10.0/s in, 0.5/s out, 16 of 16 calls run, 30 s each; 200 wait";
    let doing = "raise concurrency in [action:backup], or set batch, then osnl reload";
    let expected = [(IncidentKind::FallsBehind, Warning, what, "", doing)];
    check(&found(CallLimit::Concurrency, 200, 16), &expected);
    // The window is full of messages that wait for another action.
    check(&found(CallLimit::Concurrency, 17, 16), &[]);
    check(&found(CallLimit::Order, 2, 2), &[]);
    for (in_flight, doing) in
        [(200, "raise prefetch in the listeners of backup"), (1, "make the target faster")]
    {
        let found = &found(CallLimit::Order, 200, in_flight)[0];
        assert!(found.to_do.as_ref().unwrap().starts_with(doing), "{found:?}");
    }
}

#[test]
fn a_backlog_that_is_worked_off_says_how_long_that_takes() {
    let drained = |begun, ended| TargetReport {
        pending: 560,
        oldest_pending_seconds: Some(1080),
        rates: Some(BacklogRates { begun, ended, seconds: 30 }),
        ..target("billing")
    };
    let what = "billing: catching up, about 20 s; 560 wait, the oldest 18 min";
    let doing = "nothing is to be done while the number falls";
    check(&judge_target(&drained(60, 900), &BOUNDS), &[(IncidentKind::PendingOld, Warning, what, "", doing)]);
    for (begun, ended) in [(900, 900), (900, 60), (0, 1)] {
        let found = judge_target(&drained(begun, ended), &BOUNDS);
        assert_eq!((found[0].severity, found[0].what.contains("wait too long")), (Critical, true));
    }
}

#[test]
fn a_reason_for_a_metric_has_no_number_that_changes() {
    let old = TargetReport { oldest_pending_seconds: Some(900), pending: 1, ..target("hook") };
    assert_eq!(judge_target(&old, &BOUNDS)[0].reason(), Some("deliveries wait too long"));
    let found = judge_target(&down("hook", failure("status 500", None, false)), &BOUNDS);
    assert_eq!(found[0].reason(), Some("status 500"));
    let shared = |consumers| {
        let shared = ListenerStatus { consumers: Some(consumers), ..listener("listening") };
        judge_listener(&shared)[0].reason().map(str::to_owned)
    };
    let expected = Some("each message goes to one of the consumers only".to_owned());
    assert_eq!([shared(2), shared(3)], [expected.clone(), expected]);
    let blocked = |full_action: Option<&str>, reason: &str| {
        let (full_action, reason) = (full_action.map(str::to_owned), Some(reason.to_owned()));
        let blocked = ListenerStatus { full_action, reason, ..listener("blocked") };
        judge_listener(&blocked)[0].reason().map(str::to_owned)
    };
    let full = "action hook has 1001 deliveries pending and no place for another (max_pending is 1000)";
    assert_eq!(blocked(Some("hook"), full).as_deref(), Some("action hook has reached max_pending"));
    let open = "7 messages wait for the end of their deliveries, and none of them ends";
    assert_eq!(blocked(None, open).as_deref(), Some("nothing more can be kept"));
    // Rates differ at each look.
    for (limit, expected) in [
        (CallLimit::Concurrency, "concurrency limits the calls"),
        (CallLimit::Rate, "rate delays the calls"),
        (CallLimit::Order, "each other delivery waits for an earlier one of its resource"),
    ] {
        for (begun, ended, calls, seconds_each) in [(270, 120, 4, Some(3)), (300, 90, 5, None)] {
            let rates = BacklogRates { begun, ended, seconds: 30 };
            let behind = FallingBehind { rates, limit, calls, seconds_each, window: None };
            let slow = TargetReport { pending: 396, falling_behind: Some(behind), ..target("backup") };
            assert_eq!(judge_target(&slow, &BOUNDS)[0].reason(), Some(expected));
        }
    }
}

#[test]
fn the_reason_of_dead_letters_for_a_metric_has_no_time_of_the_latest_one() {
    let reason = "status 409: locked (after 3611 s: retry_max_age)";
    for (label, expected) in [(Some("status 409: locked"), "status 409: locked"), (None, reason)] {
        for configured in [true, false] {
            let letters = TargetReport {
                configured: Some(configured),
                dead: 2,
                dead_reason: Some(reason.to_owned()),
                dead_label: label.map(str::to_owned),
                ..target("hook")
            };
            let found = &judge_target(&letters, &BOUNDS)[0];
            assert_eq!((found.why.as_deref(), found.reason()), (Some(reason), Some(expected)));
        }
    }
}

#[test]
fn what_follows_from_a_cause_is_a_symptom_of_it() {
    let old = TargetReport {
        pending: 1054,
        oldest_pending_seconds: Some(1200),
        failing: vec![failing("web-7", 7)],
        dead: 2,
        dead_reason: Some("status 400 (after 60 s: retry_max_age)".to_owned()),
        dead_answer: Some("status 400".to_owned()),
        ..down("hook", failure("status 400", None, true))
    };
    let found = judge_target(&old, &BOUNDS);
    let what = "hook: the target refuses everything for 40 s; 1,054 wait, the oldest 20 min; 2 dead letters";
    let doing = "[action:hook]: correct the action, or the target, then osnl reload; then osnl deliveries retry --action hook";
    check(&found, &[(IncidentKind::TargetRefuses, Critical, what, "status 400", doing)]);
    assert_eq!(
        found[0].symptoms,
        [IncidentKind::PendingFull, IncidentKind::PendingOld, IncidentKind::DeadLetters]
    );
    assert_eq!(
        (found[0].waiting, found[0].oldest_seconds, found[0].since_seconds),
        (1054, Some(1200), Some(40))
    );
    // Dead letters of another cause are another incident, also if a short answer is in their words.
    for (last, dead) in [
        ("status 400", Some("unusable notification")),
        ("failed", Some("refused for good: the lookup has failed")),
        ("failed", Some("failed: no such user")),
        ("status 400", None),
    ] {
        let dead_answer = dead.map(str::to_owned);
        let last_failure = failure(last, None, true);
        let other =
            TargetReport { dead_reason: dead_answer.clone(), dead_answer, last_failure, ..old.clone() };
        let kinds: Vec<_> = judge_target(&other, &BOUNDS).iter().map(|one| one.kind).collect();
        assert_eq!(kinds, [IncidentKind::TargetRefuses, IncidentKind::DeadLetters], "{last} {dead:?}");
    }
}

#[test]
fn a_pause_is_urgent_for_nobody_and_a_failing_resource_is_named() {
    let paused = TargetReport {
        state: Some("paused".to_owned()),
        paused_by: Some("eve".to_owned()),
        since: Some("2026-11-20T06:41:53Z".to_owned()),
        failing: vec![failing("web-7", 7)],
        last_failure: failure("from before", None, false),
        pending: 1,
        oldest_pending_seconds: Some(10_000),
        ..target("hook")
    };
    let what = "hook: paused by eve for 2 h; 1 waits, the oldest 2 h";
    let why = "paused since 2026-11-20T06:41:53Z by eve";
    check(
        &judge_target(&paused, &BOUNDS),
        &[(IncidentKind::ActionPaused, Warning, what, why, "osnl actions resume hook")],
    );
    let noted = TargetReport { paused_reason: Some("its target moves".to_owned()), ..paused };
    let why = "its target moves (paused since 2026-11-20T06:41:53Z by eve)";
    assert_eq!(judge_target(&noted, &BOUNDS)[0].why.as_deref(), Some(why));
    let one = TargetReport { failing: vec![failing("web-7", 7)], pending: 1, ..target("hook") };
    let doing = "osnl deliveries show 17.0; osnl tries each again; deliveries of other resources go on";
    let what = "hook: web-7 fails for 2 min, 7 attempts; 1 waits";
    check(&judge_target(&one, &BOUNDS), &[(IncidentKind::ResourceFailing, Warning, what, "HTTP 500", doing)]);
    let many =
        TargetReport { failing: vec![failing("a", 7), failing("b", 5)], more_failing: 3, ..target("hook") };
    assert!(judge_target(&many, &BOUNDS)[0].what.starts_with("hook: a (and 4 more resources) fails "));
}

#[test]
fn a_pause_is_urgent_once_max_pending_is_reached_and_says_so_once() {
    let paused = |pending, overflows| {
        let state = Some("paused".to_owned());
        judge_target(&TargetReport { state, pending, overflows, ..target("hook") }, &BOUNDS)
    };
    let (kind, resume) = (IncidentKind::ActionPaused, "osnl actions resume hook");
    check(&paused(999, true), &[(kind, Warning, "hook: paused for 2 h; 999 wait", "", resume)]);
    let what = "hook: paused for 2 h; 1,000 wait";
    let doing = format!("{resume}; max_pending is reached: further deliveries become dead letters");
    check(&paused(1000, true), &[(kind, Critical, what, "", &*doing)]);
    let doing = format!("{resume}; max_pending is reached: further messages stay with the broker");
    check(&paused(1000, false), &[(kind, Critical, what, "", &*doing)]);
    let full = "action hook has 1000 deliveries pending and no place for another (max_pending is 1000)";
    let (full_action, reason) = (Some("hook".to_owned()), Some(full.to_owned()));
    let blocked = judge_listener(&ListenerStatus { full_action, reason, ..listener("blocked") });
    let what = format!("{what}; listener nova reads nothing");
    check(&fold([paused(1000, false), blocked].concat()), &[(kind, Critical, &*what, "", &*doing)]);
}

fn away(name: &str) -> Unavailable {
    Unavailable {
        name: name.to_owned(),
        since: "then".to_owned(),
        since_seconds: 60,
        reason: "no answer".to_owned(),
        next_probe_seconds: Some(3),
        class: None,
        needs_operator: false,
        remedy: None,
    }
}

#[test]
fn no_probe_ends_a_limit_of_a_host() {
    let lower = "lower host_rate or host_concurrency in [action:hook], then osnl reload; ";
    for (class, advice, is_probe_helpful) in
        [(ErrorClass::Status(429), lower, false), (ErrorClass::Connect, "", true)]
    {
        let host = Unavailable { class: Some(class), ..away("h1:443") };
        let report = TargetReport { down_hosts: vec![host], ..target("hook") };
        let found = judge_target(&report, &BOUNDS).remove(0);
        let doing = format!("{advice}osnl tries again in 3 s; deliveries to other hosts go on");
        assert_eq!((found.doing(), found.must_act), (Some(doing), IncidentActor::Osnl));
        assert_eq!(found.is_probe_helpful, is_probe_helpful);
    }
}

#[test]
fn what_goes_on_while_a_part_waits_is_told() {
    let remedy = Some("correct the login".into());
    let refuses = Unavailable { needs_operator: true, remedy, ..away("[enrich:net]") };
    let refusing = TargetReport { dependencies_down: vec![refuses], ..target("hook") };
    let refusing = &judge_target(&refusing, &BOUNDS)[0];
    assert_eq!(refusing.must_act, IncidentActor::Operator);
    let doing = refusing.doing().unwrap();
    assert!(doing.starts_with("osnl check --connect; correct the login; osnl tries again"), "{doing}");
    let keystone =
        TargetReport { dependencies_down: vec![away("[enrich:net]")], pending: 1, ..target("hook") };
    // The journal and the status each keep the beginning of a long answer.
    let long = ActionError::dependency("[enrich:net]", "é".repeat(LONGEST_ANSWER));
    let longest = |text: &str| cut(text, LONGEST_ANSWER).to_owned();
    for (reason, answer, expected) in [
        ("no answer", "a dependency is down: no answer", &[IncidentKind::DependencyDown][..]),
        (&*longest(&long.reason), &*longest(&long.to_string()), &[IncidentKind::DependencyDown]),
        (
            "no answer",
            "no answer in time: no answer",
            &[IncidentKind::DependencyDown, IncidentKind::DeadLetters],
        ),
    ] {
        let dead_answer = Some(answer.to_owned());
        let down = Unavailable { reason: reason.to_owned(), ..away("[enrich:net]") };
        let dependencies_down = vec![down];
        let report = TargetReport { dead: 1, dead_answer, dependencies_down, ..keystone.clone() };
        let found = judge_target(&report, &BOUNDS);
        assert_eq!(found.iter().map(|one| one.kind).collect::<Vec<_>>(), expected, "{answer}");
    }
    let both = TargetReport {
        down_hosts: vec![away("h1:443")],
        dead: 1,
        dead_answer: Some("no answer".to_owned()),
        ..keystone.clone()
    };
    // The letter of another host is of no host that is down, though the answer is the same.
    for (host, is_of_host) in [("h1:443", true), ("h2:443", false)] {
        let found = judge_target(&TargetReport { dead_host: Some(host.to_owned()), ..both.clone() }, &BOUNDS);
        let with_letters: Vec<_> =
            found.iter().map(|one| (one.kind, one.symptoms.contains(&IncidentKind::DeadLetters))).collect();
        let expected = [(IncidentKind::DependencyDown, false), (IncidentKind::TargetDown, is_of_host)];
        assert_eq!((&with_letters[..2], with_letters.len()), (&expected[..], 3 - usize::from(is_of_host)));
    }
    let host = TargetReport { down_hosts: vec![away("h1:443")], pending: 1, ..target("hook") };
    let resource = TargetReport { failing: vec![failing("web-7", 7)], pending: 1, ..target("hook") };
    for (part, others) in [
        (keystone, "deliveries that do not need it go on"),
        (host, "deliveries to other hosts go on"),
        (resource, "deliveries of other resources go on"),
    ] {
        let doing = |pending, overflows| {
            let found = judge_target(&TargetReport { pending, overflows, ..part.clone() }, &BOUNDS);
            assert_eq!(found[0].must_act, IncidentActor::Osnl);
            found[0].doing().unwrap()
        };
        for (pending, overflows, expected) in [
            (999, false, others),
            (1000, false, "max_pending is reached: further messages stay with the broker"),
            (1000, true, "max_pending is reached: further deliveries become dead letters"),
        ] {
            let doing = doing(pending, overflows);
            assert!(doing.ends_with(expected), "{doing}");
        }
    }
}

#[test]
fn dead_letters_that_cannot_be_retried_in_order_are_not_offered_to_be() {
    let letters = TargetReport { dead: 25, dead_reason: Some("status 409".to_owned()), ..target("hook") };
    for (is_overtaken, expected) in [
        (false, "then osnl deliveries retry --action hook --state dead, or discard"),
        (
            true,
            "a later delivery of each resource was delivered: osnl deliveries discard --action hook --state dead, or retry with --out-of-order",
        ),
    ] {
        let found = judge_target(&TargetReport { is_overtaken, ..letters.clone() }, &BOUNDS);
        assert_eq!(found[0].to_do.as_deref(), Some(expected));
    }
}

fn in_option(option: &str) -> Option<Uncorrected> {
    Some(Uncorrected::Template(Some(option.to_owned())))
}

#[test]
fn dead_letters_that_a_retry_alone_cannot_deliver_tell_what_to_correct_first() {
    let misfit = "the action's template does not fit this event: url: a value that is empty leaves a segment of the path empty";
    let retry = "then osnl deliveries retry --action hook --state dead, or discard";
    let overtaken = "a later delivery of each resource was delivered: osnl deliveries discard --action hook --state dead, or retry with --out-of-order";
    let first = "correct [action:hook] url, such as by a default for the value; osnl reload";
    let other =
        "a retry alone fails again: correct [action:hook], its rule, or its target first, and osnl reload";
    let done = "the effects may be done, and a retry repeats them: look at the target of [action:hook] first";
    let url = in_option("url");
    for (reason, uncorrected, is_overtaken, expected) in [
        (misfit, url.clone(), false, format!("{first}; {retry}")),
        (misfit, url, true, format!("{first}; {overtaken}")),
        ("unusable notification: no instance", Some(Uncorrected::Event), false, format!("{other}; {retry}")),
        ("unreadable verdict: ticket 7", Some(Uncorrected::Effect), false, format!("{done}; {retry}")),
        ("status 409", None, false, retry.to_owned()),
    ] {
        let dead_reason = Some(reason.to_owned());
        let letters = TargetReport { dead: 1, dead_reason, uncorrected, is_overtaken, ..target("hook") };
        assert_eq!(judge_target(&letters, &BOUNDS)[0].to_do, Some(expected), "{reason}");
    }
}

/// A retry would make an open delivery that no action attempts.
#[test]
fn dead_letters_of_an_action_that_is_gone_are_not_offered_a_retry_alone() {
    let misfit = "the action's template does not fit this event: url: the event has no payload.x";
    let letters = TargetReport {
        configured: Some(false),
        dead: 2,
        dead_reason: Some(misfit.to_owned()),
        uncorrected: in_option("url"),
        ..target("gone")
    };
    let doing = "osnl deliveries list --action gone --state dead; then add [action:gone] to the configuration \
                 again and retry them, or osnl deliveries discard --action gone --state dead";
    let expected = [(IncidentKind::DeadLetters, Warning, "gone: 2 dead letters", misfit, doing)];
    check(&judge_target(&letters, &BOUNDS), &expected);
}

#[test]
fn one_event_that_fits_no_template_of_several_actions_is_one_incident() {
    let misfit = |option: &str| {
        format!("the action's template does not fit this event: {option}: the event has no payload.x")
    };
    let letters = |name: &str, option: &str| TargetReport {
        dead: 1,
        dead_reason: Some(misfit(option)),
        uncorrected: in_option(option),
        ..target(name)
    };
    let busy = Some("status 409: the event has no payload.x".to_owned());
    let targets = [
        letters("hook", "url"),
        letters("mail", "subject"),
        TargetReport { dead_reason: busy, uncorrected: None, ..letters("busy", "url") },
        TargetReport { dead_reason: Some(misfit("url") + ".y"), ..letters("other", "url") },
        TargetReport { configured: Some(false), ..letters("gone", "url") },
    ];
    let mut found: Vec<Incident> = targets.iter().flat_map(|target| judge_target(target, &BOUNDS)).collect();
    join_letters(&mut found, &targets);
    let what: Vec<&str> = found.iter().map(|one| &*one.what).collect();
    let joined = "hook, mail: 2 dead letters of one cause";
    assert_eq!(what, ["busy: 1 dead letter", "other: 1 dead letter", "gone: 1 dead letter", joined]);
    let doing = "osnl deliveries list --state dead --text 'the event has no payload.x'; correct [action:hook] url, \
                 [action:mail] subject, such as by a default for the value; osnl reload; then osnl deliveries retry --state \
                 dead --text 'the event has no payload.x', or discard";
    let expected = [(IncidentKind::DeadLetters, Warning, joined, "the event has no payload.x", doing)];
    check(&found[3..], &expected);
}

#[test]
fn deliveries_without_a_known_cause_are_an_incident_when_they_are_old_or_many() {
    let old = |seconds| TargetReport { oldest_pending_seconds: Some(seconds), pending: 1, ..target("hook") };
    check(&judge_target(&old(899), &BOUNDS), &[]);
    let what = "hook: deliveries wait too long; 1 waits, the oldest 15 min";
    let doing = "see osnl deliveries list --action hook --state pending, and raise concurrency or set batch if the target is slow";
    check(&judge_target(&old(900), &BOUNDS), &[(IncidentKind::PendingOld, Critical, what, "", doing)]);
    let returned = judge_target(&TargetReport { returns: 4, ..old(4500) }, &BOUNDS);
    assert!(returned[0].what.ends_with("the oldest 75 min, returned to the broker 4 times"), "{returned:?}");
    let pending = |pending| judge_target(&TargetReport { pending, ..target("hook") }, &BOUNDS);
    check(&pending(799), &[]);
    assert_eq!(pending(800)[0].kind, IncidentKind::NearBound);
    assert_eq!((pending(1000)[0].kind, pending(1000)[0].severity), (IncidentKind::PendingFull, Critical));
    for (overflows, further) in
        [(false, "messages stay with the broker"), (true, "deliveries become dead letters")]
    {
        let full = TargetReport { pending: 1000, overflows, ..target("hook") };
        let what = format!("hook: max_pending (1,000) is reached, so further {further}; 1,000 wait");
        assert_eq!(judge_target(&full, &BOUNDS)[0].what, what);
    }
    // What waits for release takes places too, and is in no list of what is pending.
    let held = "waiting-for-release, and release or discard them";
    let both = "open, and release or discard those that wait for release";
    for (pending, for_release, state) in
        [(1000, 0, "pending"), (0, 1000, held), (0, 800, held), (1, 999, both)]
    {
        let full = TargetReport { pending, for_release, ..target("hook") };
        let to_do = format!("see osnl deliveries list --action hook --state {state}, or raise max_pending");
        assert_eq!(judge_target(&full, &BOUNDS)[0].to_do, Some(to_do));
    }
}

#[test]
fn each_guard_of_an_action_is_named() {
    let held = |reasons: &[&str]| TargetReport {
        // Two more wait since the process ended unexpectedly.
        for_release: 5,
        held_reason: Some(HeldReason {
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            count: 3,
            since: "then".to_owned(),
            since_seconds: 60,
            is_crash: false,
        }),
        ..target("hook")
    };
    for (reasons, listed, text, each) in [
        (
            &["guard of rule r: more than 1 per 1m"][..],
            "--text 'guard of rule r: more than 1 per 1m'",
            "'guard of rule r: more than 1 per 1m'",
            "",
        ),
        (
            &["guard of rule r: 1", "guard of action hook: 2"],
            "--held-by guard",
            "REASON",
            ", for each REASON",
        ),
    ] {
        let filter = "--action hook --state waiting-for-release";
        let doing = format!(
            "osnl deliveries list {filter} {listed}; then osnl deliveries release {filter} --text {text} if the changes are meant, \
             else discard{each}"
        );
        let what = "hook: 3 deliveries wait for release for 60 s";
        let expected = (IncidentKind::WaitingForRelease, Warning, what, &*reasons.join("; "), &*doing);
        check(&judge_guards(&[held(reasons)]), &[expected]);
    }
}
