use super::super::{
    AttemptFailure, ExpiryStatus, FailingResource, HeldReason, JournalStatus, LagStatus, LeftQueue,
    ListenerStatus, ManagementStatus, PartitionLag, TargetReport,
};
use super::IncidentSeverity::{Critical, Warning};
use super::*;
use crate::daemon::DaemonStop;
use crate::management::risk::AS_CONFIGURED;
use crate::queues::{Finding, FindingSeverity};

use std::time::SystemTime;

use osnl_core::attempt::ErrorClass;
use osnl_core::metrics::{BacklogRates, CallLimit, FallingBehind};

const BOUNDS: Bounds = Bounds { attention_age: Duration::from_secs(900), max_pending: Some(1000) };

type Expected<'a> = (IncidentKind, IncidentSeverity, &'a str, &'a str, &'a str);

#[track_caller]
fn check(incidents: &[Incident], expected: &[Expected<'_>]) {
    let found: Vec<_> = incidents
        .iter()
        .map(|one| {
            let why = one.why.clone().unwrap_or_default();
            (one.kind, one.severity, one.what.clone(), why, one.doing().unwrap_or_default())
        })
        .collect();
    let own = |(kind, severity, what, why, doing): &Expected<'_>| {
        (*kind, *severity, (*what).to_owned(), (*why).to_owned(), (*doing).to_owned())
    };
    assert_eq!(found, expected.iter().map(own).collect::<Vec<_>>());
}

fn listener(state: &str) -> ListenerStatus {
    ListenerStatus {
        name: "nova".to_owned(),
        state: state.to_owned(),
        broker: "rabbit at mq1".to_owned(),
        queues: vec!["osnl".to_owned()],
        since_seconds: Some(12),
        consumers: Some(1),
        own_consumers: 1,
        queue_messages: Some(0),
        ..ListenerStatus::default()
    }
}

#[test]
fn a_daemon_that_stops_is_no_trouble_of_its_listeners() {
    let since = SystemTime::now();
    let stop = |is_failure, running| of_stop(DaemonStop { since, is_failure }, running);
    let attempts = "a second SIGTERM ends it at once; 2 running attempts are finished first";
    check(&[stop(false, 2)], &[(IncidentKind::Stopping, Warning, "osnl is stopping for 0 s", "", attempts)]);
    let failed = "osnl is stopping after a failure for 0 s";
    check(
        &[stop(true, 0)],
        &[(IncidentKind::Stopping, Critical, failed, "", "see the log; no attempt runs any more")],
    );
    let ended = ["draining", "stopped", "listening", "connecting", "blocked"]
        .map(|state| has_ended(&listener(state)));
    assert_eq!(ended, [true, true, false, false, false]);
}

#[test]
fn a_listener_that_does_not_listen_has_its_reason_and_its_next_attempt() {
    let reason = "login refused for user \"osnl\" (403)";
    let refused = ListenerStatus {
        reason: Some(reason.to_owned()),
        attempts: Some(3),
        next_attempt_seconds: Some(4),
        ..listener("connecting")
    };
    let doing = "osnl check --connect; osnl tries again in 4 s (3 attempts)";
    let what = "nova: not connected for 12 s";
    check(&of_listener(&refused), &[(IncidentKind::ListenerConnecting, Warning, what, reason, doing)]);
    let remedy = Some("rabbitmqctl change_password osnl".to_owned());
    let known = ListenerStatus { remedy, ..refused.clone() };
    assert_eq!(of_listener(&known)[0].command.as_deref(), Some("rabbitmqctl change_password osnl"));
    let long = ListenerStatus { since_seconds: Some(60), ..refused };
    assert_eq!(of_listener(&long)[0].severity, Critical);
    let missing = ListenerStatus {
        reason: Some("exchange \"nova\" does not exist yet".to_owned()),
        remedy: Some("rabbitmqctl list_exchanges".to_owned()),
        ..listener("listening")
    };
    let what = "nova: exchange \"nova\" does not exist yet";
    let doing = "rabbitmqctl list_exchanges; osnl binds its queue as soon as the exchange is there";
    check(&of_listener(&missing), &[(IncidentKind::ExchangeMissing, Warning, what, "", doing)]);
    let blocked = ListenerStatus { reason: Some("the journal is full".to_owned()), ..listener("blocked") };
    let doing = "mend the actions and the journal that this list names; the broker keeps the messages";
    let what = "nova: blocked for 12 s";
    check(
        &of_listener(&blocked),
        &[(IncidentKind::ListenerBlocked, Critical, what, "the journal is full", doing)],
    );
    let stalled = ListenerStatus { stalled: Some("4 messages wait".to_owned()), ..listener("listening") };
    let what = "nova: stalled: 4 messages wait";
    check(&of_listener(&stalled), &[(IncidentKind::ListenerStalled, Critical, what, "", "see the log")]);
    check(&of_listener(&listener("listening")), &[]);
}

fn finding(kind: FindingKind) -> Finding {
    Finding {
        kind,
        severity: FindingSeverity::Warning,
        broker: "mq1".to_owned(),
        vhost: "/".to_owned(),
        subject: "exchange nova".to_owned(),
        seen: "services publish to another topic".to_owned(),
        consequence: "nothing comes".to_owned(),
        command: "topics = notifications in [listener:nova]".to_owned(),
        deployers: std::collections::BTreeMap::new(),
    }
}

#[test]
fn a_listener_that_never_received_anything_says_the_most_likely_reason() {
    let never = ListenerStatus { never_received_seconds: Some(1200), ..listener("listening") };
    let what = "nova: it has never received anything for 20 min";
    let doing = "osnl queues shows how far notifications come, and with management_url the reason; silent_after = 0 ends this note";
    check(&of_listener(&never), &[(IncidentKind::NeverReceived, Warning, what, "", doing)]);
    let known = ListenerStatus { silence: Some(finding(FindingKind::WrongTopic)), ..never };
    // A look that proves the reason counts at once, unless messages have come since.
    let early = ListenerStatus { never_received_seconds: None, ..known.clone() };
    let what = "nova: it has never received anything for 12 s";
    assert_eq!(of_listener(&early).iter().map(|one| &*one.what).collect::<Vec<_>>(), [what]);
    check(&of_listener(&ListenerStatus { messages: 1, ..early.clone() }), &[]);
    check(
        &of_listener(&ListenerStatus { silence: Some(finding(FindingKind::NeverPublished)), ..early }),
        &[],
    );
    let what = "nova: it has never received anything for 20 min";
    let why = "exchange nova in virtual host /: services publish to another topic: nothing comes";
    let doing = "topics = notifications in [listener:nova]";
    check(&of_listener(&known), &[(IncidentKind::NeverReceived, Warning, what, why, doing)]);
    // The missing exchange is the reason itself, with the same remedy.
    let missing = ListenerStatus { reason: Some("no exchange".to_owned()), ..known };
    let found = of_listener(&missing);
    assert_eq!(
        (found.len(), found[0].kind, found[0].to_do.as_deref()),
        (1, IncidentKind::ExchangeMissing, Some(doing))
    );
}

#[test]
fn a_finding_of_the_doctor_is_an_incident_of_its_listener() {
    let management = Some(ManagementStatus {
        findings: vec![finding(FindingKind::Unread)],
        ..ManagementStatus::default()
    });
    let found = of_listener(&ListenerStatus { management: management.clone(), ..listener("standby") });
    let what = "nova: exchange nova in virtual host /: services publish to another topic";
    let doing = "topics = notifications in [listener:nova]";
    check(&found, &[(IncidentKind::ServicesQueueUnread, Warning, what, "nothing comes", doing)]);
    assert_eq!((&*found[0].listeners, &*found[0].subject), (&["nova".to_owned()][..], "exchange nova"));
    // A line for a shell stands alone, with its effect behind the line.
    let bound = "rabbitmqctl set_policy -p / --apply-to queues osnl-unread '^n' '{\"max-length\":1000}'";
    let unread = Finding { command: bound.to_owned(), ..finding(FindingKind::Unread) };
    let seen = ManagementStatus { findings: vec![unread], ..ManagementStatus::default() };
    let found = of_listener(&ListenerStatus { management: Some(seen), ..listener("standby") });
    assert_eq!(found[0].command.as_deref(), Some(bound));
    assert!(found[0].to_do.as_ref().unwrap().contains("drops older ones"), "{found:?}");
    // An old look has its age.
    let old = management.clone().map(|seen| ManagementStatus { looked_seconds: Some(240), ..seen });
    let found = of_listener(&ListenerStatus { management: old, ..listener("standby") });
    assert!(found[0].what.ends_with(": services publish to another topic (seen 4 min ago)"), "{found:?}");
    // The listener has seen one of the queues itself.
    let of_queue = |name: &str| Finding { subject: format!("queue {name}"), ..finding(FindingKind::Lossy) };
    let management = management
        .map(|seen| ManagementStatus { findings: vec![of_queue("osnl"), of_queue("osnl-2")], ..seen });
    let queue_lossy = Some("queue osnl can lose messages: at its length".to_owned());
    let queues = vec!["osnl-1".to_owned(), "osnl".to_owned(), "osnl-2".to_owned()];
    let found = of_listener(&ListenerStatus { management, queue_lossy, queues, ..listener("listening") });
    let found: Vec<_> = found.iter().map(|one| (one.kind, &*one.subject)).collect();
    assert_eq!(found, [(IncidentKind::QueueLossy, "queue osnl"), (IncidentKind::QueueLossy, "queue osnl-2")]);
}

#[test]
fn a_shared_queue_is_an_incident_and_a_standby_with_an_active_reader_is_none() {
    let shared = ListenerStatus { consumers: Some(2), ..listener("listening") };
    let what = "queue osnl: 1 consumer that is not this daemon's, and each message goes to one of them only";
    let found = of_listener(&shared);
    assert_eq!(
        (found.len(), found[0].kind, found[0].severity, &*found[0].what),
        (1, IncidentKind::QueueShared, Critical, what)
    );
    // Both are this daemon's; or only one of them gets messages.
    check(&of_listener(&ListenerStatus { own_consumers: 2, ..shared.clone() }), &[]);
    check(&of_listener(&ListenerStatus { exclusive: true, ..shared }), &[]);
    let standby = ListenerStatus { consumers: Some(2), exclusive: true, ..listener("standby") };
    check(&of_listener(&standby), &[]);
    let losing = "queue osnl was declared with other settings (durable: …): a restart deletes it";
    for state in ["listening", "standby"] {
        let listener = ListenerStatus {
            queue_lossy: Some(losing.to_owned()),
            queue_remedy: Some(AS_CONFIGURED.to_owned()),
            ..listener(state)
        };
        check(&of_listener(&listener), &[(IncidentKind::QueueLossy, Warning, losing, "", AS_CONFIGURED)]);
    }
    // Its active reader takes none.
    let waiting = |seconds| ListenerStatus {
        queue_messages: Some(4),
        queue_waiting_seconds: Some(seconds),
        ..standby.clone()
    };
    check(&of_listener(&waiting(59)), &[]);
    let found = of_listener(&waiting(70));
    let what = "queue osnl: its active reader takes no message for 70 s; 4 wait";
    assert_eq!(
        (found[0].kind, found[0].severity, &*found[0].what),
        (IncidentKind::QueueUnread, Critical, what)
    );
}

#[test]
fn a_lost_position_is_an_incident_while_the_listener_reads_on() {
    let words = "the committed offset 1000 does not exist any more; messages are read from offset 0 on";
    let partition = |partition, is_lost: bool| PartitionLag {
        topic: "n.info".to_owned(),
        partition,
        lost: is_lost.then(|| words.to_owned()),
        ..PartitionLag::default()
    };
    let judge = |lost: &[bool], expected: Option<&str>| {
        let partitions = (0..).zip(lost).map(|(number, is_lost)| partition(number, *is_lost)).collect();
        let lag = LagStatus { group: "osnl".to_owned(), messages: None, partitions };
        let found = of_listener(&ListenerStatus { lag: Some(lag), ..listener("listening") });
        let expected = expected.map(|expected| format!("nova: topic n.info, partition {expected}"));
        assert_eq!(found.first().map(|one| &one.what), expected.as_ref());
    };
    judge(&[false, false], None);
    judge(&[false, true], Some(&format!("1: {words}")));
    judge(&[true, true], Some(&format!("0: {words} (and 1 more partition)")));
    judge(&[true, true, true], Some(&format!("0: {words} (and 2 more partitions)")));
}

/// B51, issue 46: virtual host and broker are named, and what is not known is not well.
#[test]
fn a_left_queue_is_an_incident_while_it_holds_or_receives_messages_or_may() {
    let judge = |messages, consumers, unbind: Option<&str>, expected: Option<(String, String)>| {
        let left = LeftQueue {
            broker: "mq1:5672".to_owned(),
            vhost: "/".to_owned(),
            queue: "old".to_owned(),
            messages,
            consumers,
            seen_seconds: messages.map(|_| 1),
            unbind: unbind.map(str::to_owned),
            delete: None,
        };
        let incident = of_left_queue(&left);
        assert!(incident.iter().all(|incident| incident.kind == IncidentKind::QueueUnread));
        let found = incident.map(|incident| (incident.what, incident.why.unwrap_or_default()));
        assert_eq!(found, expected, "{left:?}");
    };
    let said = |seen: &str, consequence: &str| {
        let what = format!("queue old at mq1:5672 in virtual host /: no listener reads it any more; {seen}");
        (what, consequence.to_owned())
    };
    let (stays, fills) = ("it stays on the broker", "it fills the broker");
    judge(Some(3), Some(0), None, Some(said("3 messages in it", stays)));
    judge(Some(1), Some(0), Some("unbind"), Some(said("1 message in it, and its bindings fill it", fills)));
    judge(Some(0), Some(0), Some("unbind"), Some(said("it is empty, and its bindings fill it", fills)));
    judge(None, None, None, Some(said("its content is not known", stays)));
    let unknown = said("its content is not known, and its bindings fill it", fills);
    judge(None, None, Some("unbind"), Some(unknown));
    judge(Some(0), Some(0), None, None);
    judge(Some(3), Some(1), None, None);
    judge(Some(0), Some(1), Some("unbind"), None);
}

/// The bound is fourteen days, as the alert rule has it.
#[test]
fn a_certificate_or_password_that_ends_soon_is_named() {
    let ends = |what: &str, ends_seconds| {
        let what = what.to_owned();
        let ends = "2026-12-01T08:00:00.000Z".to_owned();
        of_expiry(&ExpiryStatus { subject: "listener nova".to_owned(), what, ends, ends_seconds })
    };
    assert_eq!(ends("the certificate of mq1:5671", 14 * 86_400 + 1), None);
    let soon = ends("the certificate of mq1:5671", 9 * 86_400).unwrap();
    let what = "listener nova: the certificate of mq1:5671 ends in 9 d, on 2026-12-01";
    let doing = "renew it where it is installed; osnl sees the new one at its next connection";
    check(std::slice::from_ref(&soon), &[(IncidentKind::Certificate, Warning, what, "", doing)]);
    assert_eq!((soon.since_seconds, &*soon.listeners), (Some(5 * 86_400), &["nova".to_owned()][..]));
    let password = ends("the password of user osnl", -3600).unwrap();
    let what = "listener nova: the password of user osnl ended 60 min ago, on 2026-12-01";
    let doing = "change it in Keystone and in the configuration, then osnl reload";
    check(std::slice::from_ref(&password), &[(IncidentKind::Certificate, Critical, what, "", doing)]);
    assert_eq!(password.since_seconds, Some(14 * 86_400 + 3600));
}

fn target(action: &str) -> TargetReport {
    TargetReport {
        action: action.to_owned(),
        configured: Some(true),
        state: Some("ok".to_owned()),
        since_seconds: Some(7200),
        ..TargetReport::default()
    }
}

fn failure(answer: &str, remedy: Option<&str>, is_refusal: bool) -> Option<AttemptFailure> {
    let (answer, remedy) = (answer.to_owned(), remedy.map(str::to_owned));
    Some(AttemptFailure { at: "now".to_owned(), answer, remedy, is_refusal, class: None })
}

fn down(action: &str, last_failure: Option<AttemptFailure>) -> TargetReport {
    TargetReport {
        state: Some("down".to_owned()),
        since_seconds: Some(40),
        next_probe_seconds: Some(3),
        last_failure,
        ..target(action)
    }
}

fn failing(resource: &str, failed_attempts: u32) -> FailingResource {
    FailingResource {
        id: "17.0".to_owned(),
        resource: Some(resource.to_owned()),
        failed_attempts,
        since: "then".to_owned(),
        since_seconds: 125,
        at: "now".to_owned(),
        answer: "HTTP 500".to_owned(),
    }
}

#[test]
fn a_target_that_heals_says_when_it_is_tried_and_one_that_refuses_what_to_correct() {
    let log = "the target's own log tells why";
    let found = of_target(&down("hook", failure("status 500", Some(log), false)), &BOUNDS);
    let doing = "the target's own log tells why; osnl tries again in 3 s; sooner: osnl actions probe hook";
    check(
        &found,
        &[(IncidentKind::TargetDown, Warning, "hook: the target is down for 40 s", "status 500", doing)],
    );
    assert_eq!(found[0].must_act, IncidentActor::Osnl);
    let body = "correct what the action sends: body, headers, url";
    let found = of_target(&down("hook", failure("status 400", Some(body), true)), &BOUNDS);
    let doing = "[action:hook]: correct what the action sends: body, headers, url, then osnl reload";
    let what = "hook: the target refuses everything for 40 s";
    check(&found, &[(IncidentKind::TargetRefuses, Warning, what, "status 400", doing)]);
    assert_eq!(found[0].must_act, IncidentActor::Operator);
}

#[test]
fn only_an_operator_ends_a_failure_of_tls_and_no_probe_ends_a_limit_of_the_target() {
    let of = |class, answer: &str| {
        let failed =
            failure(answer, None, false).map(|failed| AttemptFailure { class: Some(class), ..failed });
        of_target(&down("vault", failed), &BOUNDS).remove(0)
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
        falling_behind: Some(FallingBehind { rates, limit, calls: 16, seconds_each }),
        ..target("backup")
    };
    let slow = behind(CallLimit::Concurrency, rates, Some(30), 360);
    let what = "backup: falls behind: 1.0/s in, 0.5/s out, 16 of 16 calls run, 30 s each; 396 wait, the oldest 6 min";
    let doing = "raise concurrency in [action:backup], or set batch, then osnl reload";
    check(&of_target(&slow, &BOUNDS), &[(IncidentKind::FallsBehind, Warning, what, "", doing)]);
    let old = of_target(&TargetReport { oldest_pending_seconds: Some(900), ..slow.clone() }, &BOUNDS);
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
        let found = &of_target(&behind(limit, rates, None, 360), &BOUNDS)[0];
        assert!(
            found.what.contains(expected) && found.to_do.as_ref().unwrap().starts_with(doing),
            "{found:?}"
        );
    }
    // All that is pending runs.
    check(&of_target(&TargetReport { in_flight: 390, ..slow.clone() }, &BOUNDS), &[]);
    // A known cause explains the backlog.
    let held = TargetReport { falling_behind: slow.falling_behind, ..down("backup", None) };
    assert_eq!(of_target(&held, &BOUNDS)[0].kind, IncidentKind::TargetDown);
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
    check(&of_target(&drained(60, 900), &BOUNDS), &[(IncidentKind::PendingOld, Warning, what, "", doing)]);
    for (begun, ended) in [(900, 900), (900, 60), (0, 1)] {
        let found = of_target(&drained(begun, ended), &BOUNDS);
        assert_eq!((found[0].severity, found[0].what.contains("wait too long")), (Critical, true));
    }
}

#[test]
fn a_reason_for_a_metric_has_no_number_that_changes() {
    let old = TargetReport { oldest_pending_seconds: Some(900), pending: 1, ..target("hook") };
    assert_eq!(of_target(&old, &BOUNDS)[0].reason(), None);
    let found = of_target(&down("hook", failure("status 500", None, false)), &BOUNDS);
    assert_eq!(found[0].reason(), Some("status 500"));
    let shared = ListenerStatus { consumers: Some(2), ..listener("listening") };
    assert!(of_listener(&shared)[0].reason().unwrap().starts_with("queue osnl: 1 consumer"));
}

#[test]
fn what_follows_from_a_cause_is_a_symptom_of_it() {
    let old = TargetReport {
        pending: 1054,
        oldest_pending_seconds: Some(1200),
        failing: vec![failing("web-7", 7)],
        dead: 2,
        dead_reason: Some("given up after 5 attempts: status 400".to_owned()),
        ..down("hook", failure("status 400", None, true))
    };
    let found = of_target(&old, &BOUNDS);
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
    // Dead letters of another cause are another incident.
    let other = TargetReport { dead_reason: Some("unusable notification".to_owned()), ..old };
    let kinds: Vec<_> = of_target(&other, &BOUNDS).iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [IncidentKind::TargetRefuses, IncidentKind::DeadLetters]);
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
        &of_target(&paused, &BOUNDS),
        &[(IncidentKind::ActionPaused, Warning, what, why, "osnl actions resume hook")],
    );
    let one = TargetReport { failing: vec![failing("web-7", 7)], pending: 1, ..target("hook") };
    let doing = "osnl deliveries show 17.0; osnl tries each again; the other deliveries go on";
    let what = "hook: web-7 fails for 2 min, 7 attempts; 1 waits";
    check(&of_target(&one, &BOUNDS), &[(IncidentKind::ResourceFailing, Warning, what, "HTTP 500", doing)]);
    let many =
        TargetReport { failing: vec![failing("a", 7), failing("b", 5)], more_failing: 3, ..target("hook") };
    assert!(of_target(&many, &BOUNDS)[0].what.starts_with("hook: a (and 4 more resources) fails "));
}

#[test]
fn dead_letters_that_cannot_be_retried_in_order_are_not_offered_to_be() {
    let letters = TargetReport { dead: 25, dead_reason: Some("status 409".to_owned()), ..target("hook") };
    for (is_overtaken, expected) in [
        (false, "then osnl deliveries retry --action hook, or discard"),
        (
            true,
            "a later delivery of each resource was delivered: osnl deliveries discard, or retry with --out-of-order",
        ),
    ] {
        let found = of_target(&TargetReport { is_overtaken, ..letters.clone() }, &BOUNDS);
        assert_eq!(found[0].to_do.as_deref(), Some(expected));
    }
}

#[test]
fn deliveries_without_a_known_cause_are_an_incident_when_they_are_old_or_many() {
    let old = |seconds| TargetReport { oldest_pending_seconds: Some(seconds), pending: 1, ..target("hook") };
    check(&of_target(&old(899), &BOUNDS), &[]);
    let what = "hook: deliveries wait too long; 1 waits, the oldest 15 min";
    let doing = "see osnl deliveries list --action hook --state pending, and raise concurrency or set batch if the target is slow";
    check(&of_target(&old(900), &BOUNDS), &[(IncidentKind::PendingOld, Critical, what, "", doing)]);
    let returned = of_target(&TargetReport { returns: 4, ..old(4500) }, &BOUNDS);
    assert!(returned[0].what.ends_with("the oldest 75 min, returned to the broker 4 times"), "{returned:?}");
    let pending = |pending| of_target(&TargetReport { pending, ..target("hook") }, &BOUNDS);
    check(&pending(799), &[]);
    assert_eq!(pending(800)[0].kind, IncidentKind::NearBound);
    assert_eq!((pending(1000)[0].kind, pending(1000)[0].severity), (IncidentKind::PendingFull, Critical));
    for (overflows, further) in
        [(false, "messages stay with the broker"), (true, "deliveries become dead letters")]
    {
        let full = TargetReport { pending: 1000, overflows, ..target("hook") };
        let what = format!("hook: max_pending (1,000) is reached, so further {further}; 1,000 wait");
        assert_eq!(of_target(&full, &BOUNDS)[0].what, what);
    }
}

#[test]
fn bounds_of_the_journal_that_are_near_or_reached_are_named() {
    let journal = JournalStatus {
        state: Some("ok".to_owned()),
        bytes: Some(90 << 20),
        open_bytes: Some(79 << 20),
        max_bytes: Some(100 << 20),
        free_bytes: Some(1 << 40),
        dead: 79,
        max_dead: Some(100),
        ..JournalStatus::default()
    };
    check(&of_journal(&journal), &[]);
    let near = |journal: JournalStatus, expected: &[&str]| {
        let found = of_journal(&journal);
        assert!(
            found.iter().all(|one| one.kind == IncidentKind::NearBound && one.to_do.is_some()),
            "{found:?}"
        );
        assert_eq!(found.iter().map(|one| &*one.what).collect::<Vec<_>>(), expected);
    };
    near(
        JournalStatus { open_bytes: Some(80 << 20), ..journal.clone() },
        &["the journal is nearly full: open deliveries and dead letters take 80 of 100 MiB"],
    );
    let (disk, dead) = (
        "the journal's disk has 9 MiB left, and its max_size needs more",
        "80 of at most 100 dead letters are kept: beyond max_dead the oldest leave",
    );
    near(JournalStatus { free_bytes: Some(9 << 20), ..journal.clone() }, &[disk]);
    let held = JournalStatus {
        wal_bytes: Some(98 << 20),
        wal_held_seconds: Some(11),
        wal_reader: Some(4711),
        ..journal.clone()
    };
    near(held.clone(), &["the journal's -wal has 98 MiB beside max_size, usual are at most 64"]);
    let why = "process 4711 holds an old state of the file for 11 s";
    assert_eq!(of_journal(&held)[0].why.as_deref(), Some(why));
    for usual in [
        JournalStatus { wal_held_seconds: None, ..held.clone() },
        JournalStatus { wal_held_seconds: Some(2), ..held.clone() },
        JournalStatus { wal_bytes: Some(64 << 20), ..held },
    ] {
        near(usual, &[]);
    }
    near(JournalStatus { dead: 80, ..journal.clone() }, &[dead]);
    near(JournalStatus { free_bytes: Some(9 << 20), dead: 80, ..journal.clone() }, &[disk, dead]);
    let full = JournalStatus {
        state: Some("full".to_owned()),
        reason: Some("no room".to_owned()),
        since_seconds: Some(3),
        open_bytes: Some(100 << 20),
        ..journal
    };
    let doing = "make room, or raise its bound; nothing is read until then; the broker keeps the messages";
    check(
        &of_journal(&full),
        &[(IncidentKind::JournalFull, Critical, "the journal is full for 3 s", "no room", doing)],
    );
    let failed = JournalStatus { state: Some("failed".to_owned()), ..full };
    assert_eq!(of_journal(&failed)[0].what, "the journal is unusable for 3 s");
}

#[test]
fn a_history_that_is_worked_off_is_an_incident_while_it_lasts() {
    let old = ListenerStatus { old_events_seconds: Some(244 * 86_400), ..listener("listening") };
    let what = "nova: actions run for events that were up to 244 d old when they were read";
    let doing =
        "max_event_age = 1d in [listener:nova] would make dead letters of such events, which can be retried";
    check(&of_listener(&old), &[(IncidentKind::OldEvents, Warning, what, "", doing)]);
}

/// The load of an operator's review: eight causes, for which osnl had thirteen alarms.
#[test]
fn eight_causes_are_eight_incidents_critical_first_and_among_these_those_for_an_operator() {
    let guard = |for_release, target: TargetReport| TargetReport {
        for_release,
        held_reason: Some(HeldReason {
            reasons: vec!["guard of rule deleted: more than 300 per 1m".to_owned()],
            count: for_release,
            since: "then".to_owned(),
            since_seconds: 1300,
            is_crash: false,
        }),
        ..target
    };
    let old = |target: TargetReport| TargetReport {
        pending: 1054,
        oldest_pending_seconds: Some(1200),
        since_seconds: Some(1200),
        ..target
    };
    let refused = failure("status 400: no such field: tags", None, true);
    let targets = [
        TargetReport { failing: vec![failing("db-master", 6), failing("web", 5)], ..target("cmdb") },
        TargetReport { dead: 4, dead_reason: Some("status 401".to_owned()), ..target("billing") },
        guard(11, old(down("ticket", refused))),
        guard(11, old(down("backup", failure("cannot connect", None, false)))),
        old(down("pager", failure("status 500", None, false))),
        TargetReport { state: Some("paused".to_owned()), pending: 1095, ..target("dns") },
    ];
    let mut found: Vec<Incident> = targets.iter().flat_map(|target| of_target(target, &BOUNDS)).collect();
    found.extend(of_guards(&targets));
    found.extend(of_quarantine(3, Some("not JSON".to_owned())));
    // A certificate that ends next week stands last, however urgent its operator is.
    found.insert(0, Incident::new(IncidentKind::Certificate, Warning, "listener nova", "nova: ends in 9 d"));
    // One resource that fails for long is critical, as a target is; a target that has just gone down is not yet.
    let cmdb = found.iter_mut().find(|one| one.kind == IncidentKind::ResourceFailing).unwrap();
    cmdb.severity = Critical;
    found.iter_mut().filter(|one| one.actions == ["pager"]).for_each(|one| one.severity = Warning);
    sort(&mut found);
    let lines: Vec<_> = found.iter().map(|one| (one.kind, one.severity, &*one.what)).collect();
    let expected = [
        (
            IncidentKind::TargetRefuses,
            Critical,
            "ticket: the target refuses everything for 20 min; 1,054 wait",
        ),
        (IncidentKind::TargetDown, Critical, "backup: the target is down for 20 min; 1,054 wait"),
        (
            IncidentKind::ResourceFailing,
            Critical,
            "cmdb: db-master (and 1 more resource) fails for 2 min, 6 attempts",
        ),
        (IncidentKind::DeadLetters, Warning, "billing: 4 dead letters"),
        (
            IncidentKind::WaitingForRelease,
            Warning,
            "ticket, backup: 22 deliveries wait for release for 21 min",
        ),
        (IncidentKind::ActionPaused, Warning, "dns: paused for 2 h; 1,095 wait"),
        (IncidentKind::Quarantined, Warning, "3 messages are in quarantine"),
        (IncidentKind::TargetDown, Warning, "pager: the target is down for 20 min; 1,054 wait"),
        (IncidentKind::Certificate, Warning, "nova: ends in 9 d"),
    ];
    assert_eq!(lines, expected);
    assert!(found[..8].iter().all(|one| one.doing().is_some()), "{found:?}");
    assert_eq!(found[4].actions, ["ticket", "backup"]);
    assert_eq!(found[6].why.as_deref(), Some("the oldest: not JSON"));
    // A listener that reads nothing stands above all deliveries.
    let refused = ListenerStatus { since_seconds: Some(60), ..listener("connecting") };
    found.extend(of_listener(&refused));
    sort(&mut found);
    assert_eq!(found[0].kind, IncidentKind::ListenerConnecting);
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
            "'guard of rule r: more than 1 per 1m'",
            "'guard of rule r: more than 1 per 1m'",
            "",
        ),
        (&["guard of rule r: 1", "guard of action hook: 2"], "'guard of '", "REASON", ", for each REASON"),
    ] {
        let filter = "--action hook --state waiting-for-release --text";
        let doing = format!(
            "osnl deliveries list {filter} {listed}; then osnl deliveries release {filter} {text} if the changes are meant, \
             else discard{each}"
        );
        let what = "hook: 3 deliveries wait for release for 60 s";
        let expected = (IncidentKind::WaitingForRelease, Warning, what, &*reasons.join("; "), &*doing);
        check(&of_guards(&[held(reasons)]), &[expected]);
    }
}

#[test]
fn numbers_are_grouped() {
    for (number, expected) in [(0, "0"), (999, "999"), (1054, "1,054"), (1_234_567, "1,234,567")] {
        assert_eq!(grouped(number), expected);
    }
}
