//! Each fault on its own: kind, urgency, sentence, and remedy.

use super::super::super::{
    AttemptFailure, FailingResource, LagStatus, ManagementStatus, PartitionLag, QueueRiskStatus,
};
use super::*;
use crate::management::risk::AS_CONFIGURED;

const BOUNDS: Bounds = Bounds { attention_age: Duration::from_secs(900), max_pending: Some(1000) };

#[track_caller]
fn check(problems: &[Problem], expected: &[(Kind, ProblemSeverity, &str)]) {
    let found: Vec<_> =
        problems.iter().map(|problem| (problem.kind, problem.severity, problem.to_string())).collect();
    let expected: Vec<_> =
        expected.iter().map(|(kind, severity, text)| (*kind, *severity, (*text).to_owned())).collect();
    assert_eq!(found, expected);
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
    let stop = |is_failure, running, severity, text| {
        check(&[of_stop(DaemonStop { since, is_failure }, running)], &[(Kind::Stopping, severity, text)]);
    };
    let attempts = "osnl is stopping (for 0 s so far): 2 running attempts are finished first; a second SIGTERM ends it at once";
    stop(false, 2, ProblemSeverity::Warning, attempts);
    let failed =
        "osnl is stopping after a failure (for 0 s so far): no attempt is running any more; see the log";
    stop(true, 0, ProblemSeverity::Critical, failed);
    let ended = ["draining", "stopped", "listening", "connecting", "blocked"]
        .map(|state| has_ended(&listener(state)));
    assert_eq!(ended, [true, true, false, false, false]);
}

#[test]
fn a_listener_that_does_not_listen_has_its_reason_and_its_next_attempt() {
    let refused = ListenerStatus {
        reason: Some("login refused for user \"osnl\" (403)".to_owned()),
        attempts: Some(3),
        next_attempt_seconds: Some(4),
        ..listener("connecting")
    };
    check(
        &of_listener(&refused),
        &[(
            Kind::ListenerConnecting,
            ProblemSeverity::Warning,
            "listener nova is not connected (for 12 s so far): login refused for user \"osnl\" (403); 3 attempts, next in 4 s; \
             osnl check --connect",
        )],
    );
    let known =
        ListenerStatus { remedy: Some("rabbitmqctl change_password osnl".to_owned()), ..refused.clone() };
    assert!(of_listener(&known)[0].to_string().ends_with("next in 4 s; rabbitmqctl change_password osnl"));
    let unbound = ListenerStatus {
        reason: Some("exchange \"nova\" does not exist yet".to_owned()),
        remedy: Some("rabbitmqctl list_exchanges".to_owned()),
        ..listener("listening")
    };
    check(
        &of_listener(&unbound),
        &[(
            Kind::ExchangeMissing,
            ProblemSeverity::Warning,
            "listener nova: exchange \"nova\" does not exist yet; rabbitmqctl list_exchanges",
        )],
    );
    let long = ListenerStatus { since_seconds: Some(60), ..refused };
    assert_eq!(of_listener(&long)[0].severity, ProblemSeverity::Critical);
    let blocked = ListenerStatus { reason: Some("the journal is full".to_owned()), ..listener("blocked") };
    check(
        &of_listener(&blocked),
        &[(
            Kind::ListenerBlocked,
            ProblemSeverity::Critical,
            "listener nova is blocked (for 12 s so far): the journal is full; look at the actions and the journal below; the \
             broker keeps the messages",
        )],
    );
    let stalled = ListenerStatus { stalled: Some("4 messages wait".to_owned()), ..listener("listening") };
    check(
        &of_listener(&stalled),
        &[(Kind::ListenerStalled, ProblemSeverity::Critical, "listener nova is stalled: 4 messages wait")],
    );
    check(&of_listener(&listener("listening")), &[]);
}

#[test]
fn a_listener_that_never_received_anything_says_the_most_likely_reason() {
    let silence = QueueRiskStatus {
        kind: FindingKind::WrongTopic,
        message: "exchange nova in virtual host /: services publish to another topic".to_owned(),
        remedy: "topics = notifications in [listener:nova]".to_owned(),
    };
    let never = ListenerStatus { never_received_seconds: Some(1200), ..listener("listening") };
    check(
        &of_listener(&never),
        &[(
            Kind::NeverReceived,
            ProblemSeverity::Warning,
            "listener nova has never received anything (for 20 min so far); osnl queues shows how far notifications come, \
             and with management_url the reason; silent_after = 0 ends this note",
        )],
    );
    let known = ListenerStatus { silence: Some(silence.clone()), ..never };
    check(
        &of_listener(&known),
        &[(
            Kind::NeverReceived,
            ProblemSeverity::Warning,
            "listener nova has never received anything (for 20 min so far); exchange nova in virtual host /: services publish \
             to another topic; topics = notifications in [listener:nova]",
        )],
    );
    // The missing exchange is the reason itself, with the same remedy.
    let unbound = ListenerStatus { reason: Some("no exchange".to_owned()), ..known };
    check(
        &of_listener(&unbound),
        &[(
            Kind::ExchangeMissing,
            ProblemSeverity::Warning,
            "listener nova: no exchange; topics = notifications in [listener:nova]",
        )],
    );
    let unread = QueueRiskStatus { kind: FindingKind::Unread, ..silence };
    let management = Some(ManagementStatus { risks: vec![unread], ..ManagementStatus::default() });
    let found = of_listener(&ListenerStatus { management, ..listener("standby") });
    assert_eq!(found[0].kind, Kind::ServicesQueueUnread);
}

#[test]
fn a_shared_queue_needs_attention_and_a_standby_with_an_active_reader_does_not() {
    let shared = ListenerStatus { consumers: Some(2), ..listener("listening") };
    check(
        &of_listener(&shared),
        &[(
            Kind::QueueShared,
            ProblemSeverity::Critical,
            "listener nova shares queue osnl: 2 consumers, 1 of them not this daemon's, and each message goes to one of \
             them only; give [listener:nova] a pool of its own, or recreate the queue with single_active_consumer = true; to \
             see the consumers: rabbitmqctl list_consumers",
        )],
    );
    // Both are this daemon's; or only one of them gets messages.
    check(&of_listener(&ListenerStatus { own_consumers: 2, ..shared.clone() }), &[]);
    check(&of_listener(&ListenerStatus { exclusive: true, ..shared }), &[]);
    let standby = ListenerStatus { consumers: Some(2), exclusive: true, ..listener("standby") };
    check(&of_listener(&standby), &[]);
    let losing =
        Some("queue osnl was declared with other settings (durable: …): a restart deletes it".to_owned());
    let message = "listener nova: queue osnl was declared with other settings (durable: …): a restart deletes it; to have it \
        created as configured: stop its consumers, empty it, and delete it";
    for state in ["listening", "standby"] {
        let listener = ListenerStatus {
            queue_lossy: losing.clone(),
            queue_remedy: Some(AS_CONFIGURED.to_owned()),
            ..listener(state)
        };
        check(&of_listener(&listener), &[(Kind::QueueLossy, ProblemSeverity::Warning, message)]);
    }
    // Its active reader takes none.
    let waiting = |seconds| ListenerStatus {
        queue_messages: Some(4),
        queue_waiting_seconds: Some(seconds),
        ..standby.clone()
    };
    check(&of_listener(&waiting(59)), &[]);
    check(
        &of_listener(&waiting(70)),
        &[(
            Kind::QueueUnread,
            ProblemSeverity::Critical,
            "listener nova is standby, and the active reader of queue osnl takes no message for 70 s: 4 wait; look at the \
             other daemon (osnl status there; rabbitmqctl list_consumers), or stop it",
        )],
    );
}

#[test]
fn a_lost_position_needs_attention_while_the_listener_reads_on() {
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
        let listener = ListenerStatus { lag: Some(lag), ..listener("listening") };
        let message = expected.map(|expected| {
            format!(
                "listener nova: topic n.info, partition {expected}; the topic was deleted and created anew, its messages expired \
                 unread, or the offsets of group osnl expired; a restart of osnl ends this note"
            )
        });
        let expected: Vec<_> = message
            .iter()
            .map(|message| (Kind::PositionLost, ProblemSeverity::Warning, &**message))
            .collect();
        check(&of_listener(&listener), &expected);
    };
    judge(&[false, false], None);
    judge(&[false, true], Some(&format!("1: {words}")));
    judge(&[true, true], Some(&format!("0: {words} (and 1 more partition)")));
    judge(&[true, true, true], Some(&format!("0: {words} (and 2 more partitions)")));
}

/// B51, issue 46: virtual host and broker are named, and what is not known is not well.
#[test]
fn a_left_queue_needs_attention_while_it_holds_or_receives_messages_or_may() {
    let judge = |messages, consumers, unbind: Option<&str>, expected: Option<&str>| {
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
        let problem = of_left_queue(&left);
        assert!(problem.iter().all(|problem| problem.kind == Kind::QueueUnread));
        assert_eq!(problem.map(|problem| problem.message).as_deref(), expected, "{left:?}");
    };
    let said = |seen: &str, consequence: &str| {
        format!(
            "queue old at mq1:5672 in virtual host /: no listener reads it any more; {seen}: {consequence}"
        )
    };
    let (stays, fills) = ("it stays on the broker", "it fills the broker");
    let waits = said("3 messages in it", stays);
    let one = said("1 message in it, and its bindings fill it", fills);
    let unknown = said("its content is not known", stays);
    let fills_unknown = said("its content is not known, and its bindings fill it", fills);
    let fills = said("it is empty, and its bindings fill it", fills);
    judge(Some(3), Some(0), None, Some(&waits));
    judge(Some(1), Some(0), Some("unbind"), Some(&one));
    judge(Some(0), Some(0), Some("unbind"), Some(&fills));
    judge(None, None, None, Some(&unknown));
    judge(None, None, Some("unbind"), Some(&fills_unknown));
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
    check(
        std::slice::from_ref(&soon),
        &[(
            Kind::Certificate,
            ProblemSeverity::Warning,
            "listener nova: the certificate of mq1:5671 ends on 2026-12-01, in 9 d; renew it where it is installed; osnl \
             shows the new one from its next connection on",
        )],
    );
    assert_eq!(soon.since_seconds, Some(5 * 86_400));
    let password = ends("the password of user osnl", -3600).unwrap();
    check(
        std::slice::from_ref(&password),
        &[(
            Kind::Certificate,
            ProblemSeverity::Critical,
            "listener nova: the password of user osnl has ended on 2026-12-01, 60 min ago; change it in Keystone and in \
             the configuration, osnl reload",
        )],
    );
    assert_eq!(password.since_seconds, Some(14 * 86_400 + 3600));
}

fn target() -> TargetReport {
    TargetReport {
        action: "hook".to_owned(),
        configured: Some(true),
        state: Some("ok".to_owned()),
        since_seconds: Some(7200),
        ..TargetReport::default()
    }
}

#[test]
fn a_target_that_only_another_daemon_holds_needs_attention() {
    let held = HeldThere {
        action: "hook".to_owned(),
        since: "then".to_owned(),
        since_seconds: 40,
        reason: "HTTP 500".to_owned(),
    };
    let other = JournalMember { name: "b:7".to_owned(), held: vec![held], ..JournalMember::default() };
    let said = [(
        Kind::TargetHeld,
        ProblemSeverity::Warning,
        "daemon b:7 holds the target of hook (for 40 s so far): HTTP 500; its deliveries there wait; see whether that machine \
         reaches the target as this one does: osnl check --connect there; to probe now: osnl actions probe hook there",
    )];
    check(&of_held_there(std::slice::from_ref(&other), &[target()]), &said);
    // This one says so itself; another one is silent, and does nothing.
    let held = TargetReport { state: Some("probing".to_owned()), ..target() };
    check(&of_held_there(std::slice::from_ref(&other), &[held]), &[]);
    let silent = JournalMember { silent_seconds: Some(20), ..other.clone() };
    let own = JournalMember { is_own: true, ..other };
    check(&of_held_there(&[silent, own], &[target()]), &[]);
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
fn troubles_of_a_target_have_reason_duration_and_remedy() {
    let answer = Some(AttemptFailure { at: "now".to_owned(), answer: "HTTP 500".to_owned(), remedy: None });
    let held = TargetReport {
        state: Some("held".to_owned()),
        since_seconds: Some(40),
        last_failure: answer.clone(),
        failing: vec![failing("web-7", 7)],
        ..target()
    };
    check(
        &of_target(&held, &BOUNDS),
        &[(
            Kind::TargetHeld,
            ProblemSeverity::Warning,
            "the target of hook is held (for 40 s so far): HTTP 500; its deliveries wait; osnl probes it again by itself; to probe now: osnl actions probe hook",
        )],
    );
    let remedy = Some("look at its log".to_owned());
    let known =
        TargetReport { last_failure: answer.clone().map(|it| AttemptFailure { remedy, ..it }), ..held };
    let said = of_target(&known, &BOUNDS)[0].to_string();
    assert!(
        said.ends_with(
            "; look at its log; osnl probes it again by itself; to probe now: osnl actions probe hook"
        ),
        "{said}"
    );
    let dead = TargetReport { dead: 2, dead_reason: Some("status 401".to_owned()), ..target() };
    check(
        &of_target(&dead, &BOUNDS),
        &[(
            Kind::DeadLetters,
            ProblemSeverity::Warning,
            "hook has 2 dead letters; reason of the latest: status 401; see osnl deliveries list --state dead",
        )],
    );
    let one = TargetReport { failing: vec![failing("web-7", 7)], ..target() };
    check(
        &of_target(&one, &BOUNDS),
        &[(
            Kind::KeyFailing,
            ProblemSeverity::Warning,
            "hook fails for web-7: 7 attempts in 2 min, the last: HTTP 500; osnl deliveries show 17.0",
        )],
    );
    let many = TargetReport { failing: vec![failing("a", 7), failing("b", 5)], more_failing: 3, ..target() };
    assert!(of_target(&many, &BOUNDS)[0].message.starts_with("hook fails for a (and 4 other resources): "));
    let old = |seconds| TargetReport {
        oldest_pending_seconds: Some(seconds),
        last_failure: answer.clone(),
        pending: 1,
        ..target()
    };
    check(&of_target(&old(899), &BOUNDS), &[]);
    check(
        &of_target(&old(900), &BOUNDS),
        &[(
            Kind::PendingOld,
            ProblemSeverity::Critical,
            "the oldest pending delivery of hook is 15 min old; the latest failure: HTTP 500; osnl deliveries list \
             --action hook --state pending",
        )],
    );
    let paused = TargetReport {
        state: Some("paused".to_owned()),
        paused_by: Some("eve".to_owned()),
        failing: vec![failing("web-7", 7)],
        ..old(10_000)
    };
    check(
        &of_target(&paused, &BOUNDS),
        &[(
            Kind::ActionPaused,
            ProblemSeverity::Warning,
            "hook is paused by eve (for 2 h so far); osnl actions resume hook",
        )],
    );
}

#[test]
fn bounds_that_are_near_or_reached_are_named() {
    let pending = |pending| of_target(&TargetReport { pending, ..target() }, &BOUNDS);
    check(&pending(799), &[]);
    assert_eq!(pending(800)[0].kind, Kind::NearBound);
    assert_eq!(pending(1000)[0].kind, Kind::PendingFull);
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
    let near = |journal: JournalStatus, expected: &str| {
        let problems = of_journal(&journal);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!((problems[0].kind, &*problems[0].message), (Kind::NearBound, expected));
        assert!(problems[0].remedy.is_some());
    };
    near(
        JournalStatus { open_bytes: Some(80 << 20), ..journal.clone() },
        "the journal is near its max_size: pending and dead deliveries take 80 of 100 MiB",
    );
    near(
        JournalStatus { free_bytes: Some(9 << 20), ..journal.clone() },
        "the journal's disk has 9 MiB left, and its max_size needs more",
    );
    near(
        JournalStatus { dead: 80, ..journal.clone() },
        "80 of at most 100 dead letters are kept: beyond max_dead the oldest leave",
    );
    let full = JournalStatus {
        state: Some("full".to_owned()),
        reason: Some("no room".to_owned()),
        since_seconds: Some(3),
        open_bytes: Some(100 << 20),
        ..journal
    };
    check(
        &of_journal(&full),
        &[(Kind::JournalFull, ProblemSeverity::Critical, "the journal is full (for 3 s so far): no room")],
    );
}

#[test]
fn a_history_that_is_worked_off_is_reported_while_it_lasts() {
    let old = ListenerStatus { old_events_seconds: Some(244 * 86_400), ..listener("listening") };
    let text = "listener nova runs events that were up to 244 d old when they were read; max_event_age = 1d in [listener:nova] \
                would make dead letters of such events, which can be retried";
    check(&of_listener(&old), &[(Kind::OldEvents, ProblemSeverity::Warning, text)]);
    check(&of_listener(&listener("listening")), &[]);
}
