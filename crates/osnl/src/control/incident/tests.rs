mod actions;
mod calls;
mod listeners;

use std::time::SystemTime;

use osnl_net::http::ExpiryKind;
use tokio::time::Instant;

use super::super::{
    AttemptFailure, ExpiryStatus, FailingResource, HeldReason, JournalStatus, ListenerStatus, TargetReport,
    Unavailable,
};
use super::IncidentSeverity::{Critical, Warning};
use super::*;
use crate::daemon::DaemonStop;
use crate::metrics::{CanaryRefusal, Counters};

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

#[tokio::test(start_paused = true)]
async fn a_late_canary_says_why_it_could_not_be_sent() {
    let counters = Counters::default();
    let canary = &counters.series.canary;
    canary.begin(Duration::from_secs(60), Instant::now());
    tokio::time::advance(Duration::from_secs(240)).await;
    let late = |why: &str, doing: &str| {
        let what = "the canary is late: none came back for 4 min";
        check(&judge_streams(&counters), &[(IncidentKind::CanaryLate, Critical, what, why, doing)]);
    };
    late("", "see its listener, and its broker");
    let reason = "mq1: the broker blocks publishers: low on memory".to_owned();
    canary
        .is_refused("id", CanaryRefusal { reason: reason.clone(), remedy: Some(Remedy::command("alarms")) });
    late(&reason, "alarms");
    canary.is_sent();
    late("", "see its listener, and its broker");
}

#[test]
fn a_daemon_that_stops_is_no_trouble_of_its_listeners() {
    let since = SystemTime::now();
    let stop = |is_failure, running| judge_stop(DaemonStop { since, is_failure }, running);
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

/// The bound is fourteen days, as the alert rule has it.
#[test]
fn a_certificate_or_password_that_ends_soon_is_named() {
    let ends = |kind, what: &str, ends_seconds| {
        let what = what.to_owned();
        let ends = "2026-12-01T08:00:00.000Z".to_owned();
        judge_expiry(&ExpiryStatus { subject: "listener nova".to_owned(), kind, what, ends, ends_seconds })
    };
    assert_eq!(ends(ExpiryKind::Server, "the certificate of mq1:5671", 14 * 86_400 + 1), None);
    let soon = ends(ExpiryKind::Server, "the certificate of mq1:5671", 9 * 86_400).unwrap();
    let what = "listener nova: the certificate of mq1:5671 ends in 9 d, on 2026-12-01";
    let doing = "renew it where it is installed; osnl sees the new one at its next connection";
    check(std::slice::from_ref(&soon), &[(IncidentKind::Certificate, Warning, what, "", doing)]);
    assert_eq!(soon.reason(), Some("the certificate of mq1:5671 ends on 2026-12-01"));
    assert_eq!((soon.since_seconds, &*soon.listeners), (Some(5 * 86_400), &["nova".to_owned()][..]));
    let own = ends(ExpiryKind::Client, "the client certificate /etc/osnl/client.pem", 3 * 86_400).unwrap();
    let what = "listener nova: the client certificate /etc/osnl/client.pem ends in 3 d, on 2026-12-01";
    let doing = "renew the file, then osnl reload";
    check(&[own], &[(IncidentKind::Certificate, Warning, what, "", doing)]);
    let password = ends(ExpiryKind::Password, "the password of user osnl", -3600).unwrap();
    let what = "listener nova: the password of user osnl ended 60 min ago, on 2026-12-01";
    let doing = "change it in Keystone and in the configuration, then osnl reload";
    check(std::slice::from_ref(&password), &[(IncidentKind::Certificate, Critical, what, "", doing)]);
    assert_eq!(password.since_seconds, Some(14 * 86_400 + 3600));
    assert_eq!(password.reason(), Some("the password of user osnl ended on 2026-12-01"));
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
    let (answer, remedy) = (answer.to_owned(), remedy.map(|words| words.to_owned().into()));
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
    check(&judge_journal(&journal), &[]);
    let near = |journal: JournalStatus, expected: &[&str]| {
        let found = judge_journal(&journal);
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
        "the journal's disk is nearly full: 9 MiB left, and max_size needs more",
        "80 of at most 100 dead letters are kept: beyond max_dead the oldest leave",
    );
    near(JournalStatus { free_bytes: Some(9 << 20), ..journal.clone() }, &[disk]);
    let large = JournalStatus { max_bytes: Some(10 << 30), ..journal.clone() };
    let severity = |free_mib: u64, of: &JournalStatus| {
        let found = judge_journal(&JournalStatus { free_bytes: Some(free_mib << 20), ..of.clone() });
        found.first().map(|one| one.severity)
    };
    let early = "the journal's disk has less than 1 GiB left (1023 MiB), and max_size needs more";
    near(JournalStatus { free_bytes: Some(1023 << 20), ..large.clone() }, &[early]);
    assert_eq!(
        [1024, 1023, 100, 99].map(|free| severity(free, &large)),
        [None, Some(Warning), Some(Warning), Some(Critical)]
    );
    // The journal reaches its own bound first.
    assert_eq!(severity(99, &journal), None);
    let held = JournalStatus {
        wal_bytes: Some(98 << 20),
        wal_held_seconds: Some(11),
        wal_reader: Some(4711),
        ..journal.clone()
    };
    near(held.clone(), &["the journal's -wal has 98 MiB beside max_size, usual are at most 64"]);
    let why = "process 4711 holds an old state of the file for 11 s";
    let found = &judge_journal(&held)[0];
    assert_eq!((found.why.as_deref(), found.reason()), (Some(why), why.strip_suffix(" for 11 s")));
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
        &judge_journal(&full),
        &[(IncidentKind::JournalFull, Critical, "the journal is full for 3 s", "no room", doing)],
    );
    let failed = JournalStatus { state: Some("failed".to_owned()), ..full };
    assert_eq!(judge_journal(&failed)[0].what, "the journal is unusable for 3 s");
}

/// What a guard has kept back must not be discarded as dead.
#[test]
fn letters_that_were_not_read_are_not_said_to_be_dead() {
    let queue = "dead letters in queue osnl.dead";
    let found = |has_unread_letters| {
        judge_journal(&JournalStatus {
            store: "memory".to_owned(),
            path: Some(queue.to_owned()),
            dead: 400,
            has_unread_letters,
            ..JournalStatus::default()
        })
    };
    let (kind, dead) = (IncidentKind::DeadLetters, "400 dead letters");
    let doing = "see osnl deliveries list --state dead and osnl quarantine list, then retry or discard them";
    check(&found(false), &[(kind, Warning, dead, queue, doing)]);
    let unread = "400 letters in the queue, dead or waiting for release";
    let doing = "see osnl deliveries list and osnl quarantine list";
    check(&found(true), &[(kind, Warning, unread, queue, doing)]);
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
        TargetReport { state: Some("paused".to_owned()), pending: 95, ..target("dns") },
    ];
    let mut found: Vec<Incident> = targets.iter().flat_map(|target| judge_target(target, &BOUNDS)).collect();
    found.extend(judge_guards(&targets));
    let arrival = SystemTime::now() - Duration::from_secs(90);
    found.extend(judge_quarantine(3, Some(("not JSON".to_owned(), arrival))));
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
        (IncidentKind::ActionPaused, Warning, "dns: paused for 2 h; 95 wait"),
        (IncidentKind::Quarantined, Warning, "3 messages are in quarantine"),
        (IncidentKind::TargetDown, Warning, "pager: the target is down for 20 min; 1,054 wait"),
        (IncidentKind::Certificate, Warning, "nova: ends in 9 d"),
    ];
    assert_eq!(lines, expected);
    assert!(found[..8].iter().all(|one| one.doing().is_some()), "{found:?}");
    assert_eq!(found[4].actions, ["ticket", "backup"]);
    assert_eq!(
        (found[6].why.as_deref(), found[6].since_seconds, found[6].since.is_some()),
        (Some("the oldest: not JSON"), Some(90), true)
    );
    // A listener that reads nothing stands above all deliveries, from its first second on.
    let lost = ListenerStatus { since_seconds: Some(1), ..listener("connecting") };
    assert_eq!(judge_listener(&lost)[0].must_act, IncidentActor::Osnl);
    let refused = ListenerStatus { needs_operator: true, ..lost };
    assert_eq!(judge_listener(&refused)[0].must_act, IncidentActor::Operator);
    found.extend(judge_listener(&refused));
    // In a queue of services that nothing reads, messages wait.
    found.insert(
        0,
        Incident::new(IncidentKind::ServicesQueueUnread, Warning, "queue notifications.info", "fills"),
    );
    sort(&mut found);
    assert_eq!((found[0].kind, found[0].severity), (IncidentKind::ListenerConnecting, Warning));
    let last: Vec<_> = found[7..].iter().map(|one| one.kind).collect();
    assert_eq!(last[..2], [IncidentKind::ServicesQueueUnread, IncidentKind::Quarantined]);
    assert_eq!(last[2..], [IncidentKind::TargetDown, IncidentKind::Certificate]);
}
