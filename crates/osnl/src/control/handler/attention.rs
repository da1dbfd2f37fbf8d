//! Judges a status: the problems that need the operator's attention, each with its reason, its duration, and its remedy.
//! Pure: the status is complete before.

use std::time::{Duration, SystemTime};

use osnl_net::http::EXPIRES_SOON;

use super::super::problem::{Problem, ProblemKind as Kind, ProblemSeverity};
use super::super::time::{self, span};
use super::super::{
    ConfigurationStatus, ExpiryStatus, HeldThere, JournalMember, JournalStatus, LeftQueue, ListenerStatus,
    RecordRefused, TargetReport,
};
use crate::daemon::{DaemonStop, ReloadRefusalReason};
use crate::metrics::Counters;
use crate::queues::FindingKind;

/// A listener that does not connect for so long is urgent: until then it may be a restart of the broker.
const CONNECTING: u64 = 60;
/// Messages may wait for so long before a queue counts as unread.
const UNREAD: u64 = 60;
/// Hundredths of a bound from which on it is near.
const NEAR: u64 = 80;
/// Differences of two configurations that a line names.
const DIFFERENCES: usize = 5;
/// Consumers that a line names.
const CONSUMERS: usize = 5;
/// A disk with less room is nearly full.
const FREE: u64 = 100 << 20;

/// The bounds that decide what is a problem.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The age from which on a pending delivery needs attention.
    pub(super) attention_age: Duration,
    /// Deliveries of an action that may be pending; `None` where there is no such bound.
    pub(super) max_pending: Option<u64>,
}

pub(super) fn of_configuration(configuration: &ConfigurationStatus) -> Option<Problem> {
    let failed = configuration.not_reloaded.as_ref()?;
    let first = failed.errors.first().map(String::as_str).unwrap_or_default();
    let more = match failed.errors.len() {
        0 | 1 => String::new(),
        errors => format!(" (and {} more)", errors - 1),
    };
    let message = format!(
        "the last reload was refused at {}: {first}{more}; osnl still uses the previous configuration",
        failed.since
    );
    let problem = Problem::new(Kind::NotReloaded, ProblemSeverity::Warning, "configuration", message);
    let problem = problem.because(failed.errors.join("\n"));
    let problem = problem.since(Some(failed.since.clone()), Some(failed.since_seconds));
    Some(problem.remedy(match failed.reason {
        ReloadRefusalReason::QueueNotEmpty => {
            "take one of the ways out that osnl reload names, then osnl reload"
        }
        ReloadRefusalReason::Configuration
        | ReloadRefusalReason::NeedsRestart
        | ReloadRefusalReason::Unusable
        | ReloadRefusalReason::Unsupported => "correct the file, then run osnl check and osnl reload",
    }))
}

pub(super) fn of_journal(journal: &JournalStatus) -> Vec<Problem> {
    let mut problems = Vec::new();
    let since = |problem: Problem| problem.since(journal.since.clone(), journal.since_seconds);
    if let (Some(status), Some(reason)) = (&journal.state, &journal.reason) {
        let kind = if status == "full" { Kind::JournalFull } else { Kind::JournalFailed };
        let message = format!("the journal is {status}{}: {reason}", lasting(journal.since_seconds));
        problems
            .push(since(Problem::new(kind, ProblemSeverity::Critical, "journal", message).because(reason)));
    }
    if let (Some(queues), dead @ 1.., "memory") = (&journal.path, journal.dead, &*journal.store) {
        let message = format!("{} wait: {queues}", dead_letters(dead));
        let problem = Problem::new(Kind::DeadLetters, ProblemSeverity::Warning, "journal", message);
        problems.push(problem.remedy(
            "see osnl deliveries list --state dead and osnl quarantine list, then retry or discard them",
        ));
    }
    problems.extend(of_refused(&journal.refused));
    problems.extend(journal.members.iter().filter_map(of_member));
    let is_full = journal.state.as_deref() == Some("full");
    if let (Some(open), Some(most), false) = (journal.open_bytes, journal.max_bytes, is_full)
        && is_near(open, most)
    {
        let message = format!(
            "the journal is near its max_size: pending and dead deliveries take {} of {} MiB",
            open >> 20,
            most >> 20
        );
        let problem = Problem::new(Kind::NearBound, ProblemSeverity::Warning, "journal", message);
        problems.push(problem.remedy(
            "look at targets that are held and at dead letters (osnl deliveries list --state dead), or raise max_size",
        ));
    }
    if let (Some(free), Some(bytes), Some(most)) = (journal.free_bytes, journal.bytes, journal.max_bytes)
        && free < FREE
        && bytes.saturating_add(free) < most
    {
        let message = format!("the journal's disk has {} MiB left, and its max_size needs more", free >> 20);
        let problem = Problem::new(Kind::NearBound, ProblemSeverity::Warning, "journal", message);
        problems.push(problem.remedy("make room there, or lower max_size"));
    }
    if let (dead, Some(most)) = (journal.dead, journal.max_dead)
        && dead > 0
        && is_near(dead, most)
    {
        let message =
            format!("{dead} of at most {most} dead letters are kept: beyond max_dead the oldest leave");
        let problem = Problem::new(Kind::NearBound, ProblemSeverity::Warning, "journal", message);
        problems.push(problem.remedy("osnl deliveries retry or discard --state dead, or raise max_dead"));
    }
    problems
}

/// Records that the database refuses while other records are accepted; one line for equal words.
fn of_refused(refused: &[RecordRefused]) -> Vec<Problem> {
    let mut problems: Vec<(Problem, usize)> = Vec::new();
    for RecordRefused { subject, record, since, since_seconds, reason, is_given_up } in refused {
        let same = problems.iter_mut().find(|(problem, _)| {
            problem.subject == *subject && problem.reason.as_deref() == Some(reason.as_str())
        });
        if let Some((_, more)) = same {
            *more += 1;
            continue;
        }
        let message = format!("the database refuses {record}{}: {reason}", lasting(Some(*since_seconds)));
        let (severity, remedy) = match is_given_up {
            true => (
                ProblemSeverity::Warning,
                "look for the trigger, constraint, or limit in the database that says so; the record is lost, the delivery goes on",
            ),
            false => (
                ProblemSeverity::Critical,
                "look for the trigger, constraint, or limit in the database that says so; its resource waits, other deliveries go \
                 on, and osnl tries again within a minute",
            ),
        };
        let problem = Problem::new(Kind::RecordRefused, severity, subject, message);
        let problem = problem.because(reason).since(Some(since.clone()), Some(*since_seconds));
        problems.push((problem.remedy(remedy), 0));
    }
    let and_more = |(mut problem, more): (Problem, usize)| {
        if more > 0 {
            problem.message = format!("{} (and {more} more)", problem.message);
        }
        problem
    };
    problems.into_iter().map(and_more).collect()
}

/// A daemon on the same journal that is configured otherwise. One that is silent does nothing.
fn of_member(member: &JournalMember) -> Option<Problem> {
    let JournalMember { name, silent_seconds: None, differences, .. } = member else { return None };
    let shown: Vec<&str> = differences.iter().take(DIFFERENCES).map(String::as_str).collect();
    let more = match differences.len().saturating_sub(DIFFERENCES) {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let message = format!("daemon {name} has another configuration: {}{more}", shown.join(", "));
    let problem =
        Problem::new(Kind::MembersDiffer, ProblemSeverity::Warning, format!("daemon {name}"), message);
    let remedy = "give all daemons on a journal the same configuration, then run osnl reload on each: deliveries of an action wait \
                  where it is missing";
    (!differences.is_empty()).then(|| problem.because(differences.join("\n")).remedy(remedy))
}

/// A target that only other daemons on the journal hold: this one may reach it, and has no deliveries of theirs.
pub(super) fn of_held_there(members: &[JournalMember], targets: &[TargetReport]) -> Vec<Problem> {
    let is_held = |action: &str| {
        targets
            .iter()
            .any(|of| of.action == action && matches!(of.state.as_deref(), Some("held" | "probing")))
    };
    let others = members.iter().filter(|member| !member.is_own && member.silent_seconds.is_none());
    let held = others.flat_map(|member| member.held.iter().map(move |held| (member, held)));
    held.filter(|(_, held)| !is_held(&held.action))
        .map(|(JournalMember { name, .. }, HeldThere { action, since, since_seconds, reason })| {
            let lasting = lasting(Some(*since_seconds));
            let message =
                format!("daemon {name} holds the target of {action}{lasting}: {reason}; its deliveries there wait");
            let problem = Problem::new(Kind::TargetHeld, ProblemSeverity::Warning, format!("action {action}"), message);
            let problem = problem.because(reason).since(Some(since.clone()), Some(*since_seconds));
            problem.remedy(format!(
                "see whether that machine reaches the target as this one does: osnl check --connect there; to probe now: osnl actions \
                 probe {action} there"
            ))
        })
        .collect()
}

/// A certificate or credential that ends soon, or has ended.
pub(super) fn of_expiry(expiry: &ExpiryStatus) -> Option<Problem> {
    let ExpiryStatus { subject, what, ends, ends_seconds } = expiry;
    let soon = i64::try_from(EXPIRES_SOON.as_secs()).unwrap_or(i64::MAX);
    if *ends_seconds > soon {
        return None;
    }
    let day = ends.split('T').next().unwrap_or(ends);
    let left = span(ends_seconds.unsigned_abs());
    let (severity, message) = match ends_seconds {
        0.. => (ProblemSeverity::Warning, format!("{subject}: {what} ends on {day}, in {left}")),
        _ => (ProblemSeverity::Critical, format!("{subject}: {what} has ended on {day}, {left} ago")),
    };
    let problem = Problem::new(Kind::Certificate, severity, subject, message);
    let began = (ends_seconds.unsigned_abs(), soon.unsigned_abs());
    let seconds = if *ends_seconds >= 0 { began.1 - began.0 } else { began.1 + began.0 };
    let since = SystemTime::now().checked_sub(Duration::from_secs(seconds)).map(time::shown);
    let remedy = match what.starts_with("the password") {
        true => "change it in Keystone and in the configuration, osnl reload",
        false => "renew it where it is installed; osnl shows the new one from its next connection on",
    };
    Some(problem.because("as its latest connection showed").since(since, Some(seconds)).remedy(remedy))
}

/// A daemon that stops. Listeners end with the daemon, and need no remedy of their own.
pub(super) fn of_stop(stop: DaemonStop, running: u64) -> Problem {
    let lasting = lasting(Some(time::age(stop.since)));
    let attempts = match running {
        0 => "no attempt is running any more".to_owned(),
        1 => "1 running attempt is finished first".to_owned(),
        many => format!("{many} running attempts are finished first"),
    };
    let (severity, why, remedy) = match stop.is_failure {
        true => (ProblemSeverity::Critical, " after a failure", "see the log"),
        false => (ProblemSeverity::Warning, "", "a second SIGTERM ends it at once"),
    };
    let message = format!("osnl is stopping{why}{lasting}: {attempts}");
    let problem = Problem::new(Kind::Stopping, severity, "daemon", message);
    problem.since(Some(time::shown(stop.since)), Some(time::age(stop.since))).remedy(remedy)
}

/// Whether a listener ends or has ended.
pub(super) fn has_ended(listener: &ListenerStatus) -> bool {
    matches!(listener.state.as_str(), "draining" | "stopped")
}

pub(super) fn of_listener(listener: &ListenerStatus) -> Vec<Problem> {
    let ListenerStatus { name, state, broker, reason, stalled, .. } = listener;
    let subject = format!("listener {name}");
    let lasting = lasting(listener.since_seconds);
    let problem = |kind, severity, message: String| {
        let problem = Problem::new(kind, severity, &subject, message);
        let problem = problem.since(listener.since.clone(), listener.since_seconds);
        reason.iter().fold(problem, |problem, reason| problem.because(reason))
    };
    match (state.as_str(), stalled) {
        ("listening" | "standby", Some(stalled)) => {
            let message = format!("listener {name} is stalled: {stalled}");
            let problem = Problem::new(Kind::ListenerStalled, ProblemSeverity::Critical, &subject, message);
            vec![problem.because(stalled)]
        }
        ("listening" | "standby", None) => {
            let unbound = reason.iter().map(|reason| {
                let message = format!("listener {name}: {reason}");
                let problem =
                    Problem::new(Kind::ExchangeMissing, ProblemSeverity::Warning, &subject, message);
                let problem = problem.because(reason);
                match &listener.silence {
                    Some(silence) => problem.remedy(&silence.remedy),
                    None => remedied(problem, listener),
                }
            });
            let queue = if state == "listening" { shared(listener) } else { unread(listener) };
            unbound
                .chain(queue)
                .chain(lossy(listener))
                .chain(never_received(listener))
                .chain(risks(listener))
                .chain(lost_position(listener))
                .chain(old_events(listener))
                .collect()
        }
        ("connecting", _) => {
            let long = listener.since_seconds.is_some_and(|seconds| seconds >= CONNECTING);
            let severity = if long { ProblemSeverity::Critical } else { ProblemSeverity::Warning };
            let why = reason.as_deref().unwrap_or(broker);
            let attempts = match (listener.attempts, listener.next_attempt_seconds) {
                (Some(1), Some(next)) => format!("; 1 attempt, next in {}", span(next)),
                (Some(attempts), Some(next)) => format!("; {attempts} attempts, next in {}", span(next)),
                _ => String::new(),
            };
            let message = format!("listener {name} is not connected{lasting}: {why}{attempts}");
            let problem = problem(Kind::ListenerConnecting, severity, message);
            vec![match (reason, &listener.remedy) {
                (Some(_), None) => problem.remedy("osnl check --connect"),
                (Some(_) | None, _) => remedied(problem, listener),
            }]
        }
        ("blocked", _) => {
            let why = reason.as_deref().unwrap_or("nothing more can be kept");
            let message = format!("listener {name} is blocked{lasting}: {why}");
            let remedy = "look at the actions and the journal below; the broker keeps the messages";
            vec![problem(Kind::ListenerBlocked, ProblemSeverity::Critical, message).remedy(remedy)]
        }
        (state, _) => {
            let message = format!("listener {name} is {state}{lasting}: {broker}");
            let severity =
                if state == "stopped" { ProblemSeverity::Critical } else { ProblemSeverity::Warning };
            let problem = problem(Kind::ListenerEnded, severity, message);
            vec![match state {
                "stopped" => problem.remedy("see the log, correct its section, osnl reload"),
                _ => problem,
            }]
        }
    }
}

/// Actions that are called for a history that was not read.
fn old_events(listener: &ListenerStatus) -> Option<Problem> {
    let (name, age) = (&listener.name, span(listener.old_events_seconds?));
    let message = format!("listener {name} runs events that were up to {age} old when they were read");
    let problem =
        Problem::new(Kind::OldEvents, ProblemSeverity::Warning, format!("listener {name}"), message);
    Some(problem.remedy(format!(
        "max_event_age = 1d in [listener:{name}] would make dead letters of such events, which can be retried"
    )))
}

/// The same, with the remedy of the listener's reason.
fn remedied(problem: Problem, listener: &ListenerStatus) -> Problem {
    listener.remedy.iter().fold(problem, |problem, remedy| problem.remedy(remedy))
}

/// Other consumers of a queue whose messages go round among them all.
fn shared(listener: &ListenerStatus) -> Option<Problem> {
    let (queue, consumers) = (listener.queues.first()?, listener.consumers?);
    if listener.exclusive || consumers <= listener.own_consumers {
        return None;
    }
    let others = consumers - listener.own_consumers;
    let name = &listener.name;
    let known = listener.management.iter().flat_map(|seen| &seen.queues);
    let known: Vec<&str> =
        known.flat_map(|queue| &queue.consumers).take(CONSUMERS).map(String::as_str).collect();
    let who = if known.is_empty() { String::new() } else { format!(" ({})", known.join("; ")) };
    let message = format!(
        "listener {name} shares queue {queue}: {consumers} consumers, {others} of them not this daemon's{who}, and each \
         message goes to one of them only"
    );
    let problem =
        Problem::new(Kind::QueueShared, ProblemSeverity::Critical, format!("queue {queue}"), message);
    Some(problem.remedy(format!(
        "give [listener:{name}] a pool of its own, or recreate the queue with single_active_consumer = true; to \
         see the consumers: rabbitmqctl list_consumers"
    )))
}

/// A queue that another program, or the broker, has made so that it can lose messages.
fn lossy(listener: &ListenerStatus) -> Option<Problem> {
    let (how, queue) = (listener.queue_lossy.as_ref()?, listener.queues.first()?);
    let message = format!("listener {}: {how}", listener.name);
    let problem = Problem::new(Kind::QueueLossy, ProblemSeverity::Warning, format!("queue {queue}"), message);
    Some(match &listener.queue_remedy {
        Some(remedy) => problem.remedy(remedy.clone()),
        None => problem,
    })
}

/// A listener that has never received anything. A missing exchange is reported by itself.
fn never_received(listener: &ListenerStatus) -> Option<Problem> {
    let seconds = listener.never_received_seconds.filter(|_| listener.reason.is_none())?;
    let name = &listener.name;
    let why = listener.silence.as_ref().map_or(String::new(), |silence| format!("; {}", silence.message));
    let message = format!("listener {name} has never received anything{}{why}", lasting(Some(seconds)));
    let problem =
        Problem::new(Kind::NeverReceived, ProblemSeverity::Warning, format!("listener {name}"), message);
    let problem = problem.since(listener.since.clone(), Some(seconds));
    Some(match &listener.silence {
        Some(silence) => problem.remedy(&silence.remedy),
        None => {
            problem.remedy(
                "osnl queues shows how far notifications come, and with management_url the reason; silent_after = 0 ends this note",
            )
        }
    })
}

/// The findings of the broker's queues, and messages that are lost.
fn risks(listener: &ListenerStatus) -> impl Iterator<Item = Problem> {
    let found = listener.management.iter().flat_map(|seen| &seen.risks);
    let missing = (listener.missing_messages > 0).then(|| missing(listener));
    let risks = found.map(|risk| {
        let kind = match risk.kind {
            FindingKind::Unread => Kind::ServicesQueueUnread,
            FindingKind::OtherRules => Kind::OtherRules,
            FindingKind::SamePool | FindingKind::Rival => Kind::QueueShared,
            _ => Kind::QueueLossy,
        };
        let message = format!("listener {}: {}", listener.name, risk.message);
        let subject = format!("listener {}", listener.name);
        Problem::new(kind, ProblemSeverity::Warning, subject, message).remedy(&risk.remedy)
    });
    risks.chain(missing)
}

/// Messages that were unsettled when a connection ended, and did not come back.
fn missing(listener: &ListenerStatus) -> Problem {
    let (name, messages) = (&listener.name, listener.missing_messages);
    let why = match listener.queue_created {
        Some(_) => "the queue did not exist any more and was created anew",
        None => {
            "the queue is empty: a delivery limit or a time-out has dropped or dead-lettered them, another consumer has read \
             them, or an operator has purged it"
        }
    };
    let message = format!(
        "listener {name}: messages that were unsettled when a connection ended did not come back ({messages}), and {why}"
    );
    let problem =
        Problem::new(Kind::MessagesMissing, ProblemSeverity::Warning, format!("listener {name}"), message);
    problem.remedy(
        "see the limits of the queue: osnl check --connect with management_url; deliveries that osnl has read are made; a \
         restart of osnl ends this note",
    )
}

/// Partitions whose position did not exist any more when the listener began to read them.
fn lost_position(listener: &ListenerStatus) -> Option<Problem> {
    let lag = listener.lag.as_ref()?;
    let mut lost = lag.partitions.iter().filter_map(|partition| Some((partition, partition.lost.as_ref()?)));
    let (partition, words) = lost.next()?;
    let more = match lost.count() {
        0 => String::new(),
        1 => " (and 1 more partition)".to_owned(),
        more => format!(" (and {more} more partitions)"),
    };
    let message = format!(
        "listener {}: topic {}, partition {}: {words}{more}",
        listener.name, partition.topic, partition.partition
    );
    let problem = Problem::new(
        Kind::PositionLost,
        ProblemSeverity::Warning,
        format!("listener {}", listener.name),
        message,
    );
    Some(problem.remedy(format!(
        "the topic was deleted and created anew, its messages expired unread, or the offsets of group {} expired; a restart of \
         osnl ends this note",
        lag.group
    )))
}

/// Messages that the active consumer of a standby's queue does not take.
fn unread(listener: &ListenerStatus) -> Option<Problem> {
    let (queue, messages, seconds) =
        (listener.queues.first()?, listener.queue_messages?, listener.queue_waiting_seconds?);
    if messages == 0 || seconds < UNREAD {
        return None;
    }
    let message = format!(
        "listener {} is standby, and the active reader of queue {queue} takes no message for {}: {messages} wait",
        listener.name,
        span(seconds)
    );
    let problem =
        Problem::new(Kind::QueueUnread, ProblemSeverity::Critical, format!("queue {queue}"), message);
    let problem = problem.since(listener.queue_waiting_since.clone(), Some(seconds));
    Some(
        problem
            .remedy("look at the other daemon (osnl status there; rabbitmqctl list_consumers), or stop it"),
    )
}

/// A queue that osnl has read, that no listener reads any more, and that holds or receives messages, or may.
pub(super) fn of_left_queue(left: &LeftQueue) -> Option<Problem> {
    let LeftQueue { broker, vhost, queue, unbind, delete, .. } = left;
    let seen = left.messages.zip(left.consumers);
    if unbind.is_none() && seen.is_some_and(|(messages, _)| messages == 0) {
        return None;
    }
    let found =
        crate::queues::of_left_queue((broker, vhost, queue), seen, unbind.as_deref(), delete.as_deref())?;
    let (subject, message) = (format!("queue {queue}"), found.to_string());
    let problem = Problem::new(Kind::QueueUnread, ProblemSeverity::Warning, subject, message);
    Some(problem.remedy(found.command))
}

pub(super) fn of_target(target: &TargetReport, bounds: &Bounds) -> Vec<Problem> {
    let name = &target.action;
    let subject = format!("action {name}");
    let mut problems = Vec::new();
    let since = |problem: Problem| problem.since(target.since.clone(), target.since_seconds);
    let lasting = lasting(target.since_seconds);
    let status = target.state.as_deref();
    if status == Some("paused") {
        let by = target.paused_by.iter().fold(String::new(), |_, by| format!(" by {by}"));
        let message = format!("{name} is paused{by}{lasting}");
        let problem = Problem::new(Kind::ActionPaused, ProblemSeverity::Warning, &subject, message);
        problems.push(since(problem).remedy(format!("osnl actions resume {name}")));
    }
    let is_held = matches!(status, Some("held" | "probing"));
    if is_held {
        let last = target.last_failure.as_ref();
        let answer = last.map_or("", |failure| &failure.answer);
        let first = last.and_then(|failure| failure.remedy.as_deref());
        let first = first.map_or(String::new(), |first| format!("{first}; "));
        let message = format!("the target of {name} is held{lasting}: {answer}; its deliveries wait");
        let problem =
            Problem::new(Kind::TargetHeld, ProblemSeverity::Warning, &subject, message).because(answer);
        problems.push(since(problem).remedy(format!(
            "{first}osnl probes it again by itself; to probe now: osnl actions probe {name}"
        )));
    }
    for down in &target.dependencies_down {
        let (dependency, seconds, reason) = (&down.name, span(down.since_seconds), &down.reason);
        let message = format!(
            "{name} waits for {dependency} ({seconds} so far): {reason}; deliveries that need it wait, the others continue"
        );
        let problem = Problem::new(Kind::DependencyDown, ProblemSeverity::Warning, &subject, message);
        let problem = problem.because(reason).since(Some(down.since.clone()), Some(down.since_seconds));
        problems.push(problem.remedy("osnl check --connect tries it step by step"));
    }
    problems.extend(held_hosts(target));
    if !is_held && status != Some("paused") {
        problems.extend(failing(target));
    }
    problems.extend(old(target, bounds).filter(|_| status != Some("paused")));
    problems.extend(counted(target, bounds));
    problems
}

/// Hosts of the target that are held, while the others are not.
fn held_hosts(target: &TargetReport) -> Option<Problem> {
    let (name, first) = (&target.action, target.held_hosts.first()?);
    let others = match target.held_hosts.len() + target.more_held_hosts - 1 {
        0 => String::new(),
        1 => " (and 1 other host)".to_owned(),
        others => format!(" (and {others} other hosts)"),
    };
    let message = format!(
        "{name} holds {}{others} ({} so far): {}; deliveries to it wait, the others continue",
        first.name,
        span(first.since_seconds),
        first.reason
    );
    let problem = Problem::new(Kind::TargetHeld, ProblemSeverity::Warning, format!("action {name}"), message);
    let problem = problem.because(&first.reason).since(Some(first.since.clone()), Some(first.since_seconds));
    Some(problem.remedy(format!("osnl probes it again by itself; to probe now: osnl actions probe {name}")))
}

/// Resources whose deliveries fail again and again.
fn failing(target: &TargetReport) -> Option<Problem> {
    let (name, worst) = (&target.action, target.failing.first()?);
    let resource = worst.resource.as_deref().unwrap_or("an event without a resource");
    let others = match target.failing.len() as u64 + target.more_failing - 1 {
        0 => String::new(),
        1 => " (and 1 other resource)".to_owned(),
        others => format!(" (and {others} other resources)"),
    };
    let message = format!(
        "{name} fails for {resource}{others}: {} attempts in {}, the last: {}",
        worst.failed_attempts,
        span(worst.since_seconds),
        worst.answer
    );
    let problem = Problem::new(Kind::KeyFailing, ProblemSeverity::Warning, format!("action {name}"), message);
    let problem = problem.because(&worst.answer).since(Some(worst.since.clone()), Some(worst.since_seconds));
    Some(problem.remedy(format!("osnl deliveries show {}", worst.id)))
}

fn old(target: &TargetReport, bounds: &Bounds) -> Option<Problem> {
    let seconds = target.oldest_pending_seconds.filter(|_| target.configured != Some(false))?;
    if Duration::from_secs(seconds) < bounds.attention_age {
        return None;
    }
    let name = &target.action;
    let last = target.last_failure.as_ref();
    let why = last.map_or(String::new(), |failure| format!("; the latest failure: {}", failure.answer));
    let message = format!("the oldest pending delivery of {name} is {} old{why}", span(seconds));
    let problem =
        Problem::new(Kind::PendingOld, ProblemSeverity::Critical, format!("action {name}"), message);
    let problem = problem.since(target.oldest_pending.clone(), Some(seconds));
    let problem = last.iter().fold(problem, |problem, failure| problem.because(&failure.answer));
    Some(problem.remedy(format!("osnl deliveries list --action {name} --state pending")))
}

/// The problems that the numbers of a target's deliveries show.
fn counted(target: &TargetReport, bounds: &Bounds) -> Vec<Problem> {
    let name = &target.action;
    let mut problems = Vec::new();
    let mut add = |kind, message: String, remedy: String| {
        let problem = Problem::new(kind, ProblemSeverity::Warning, format!("action {name}"), message);
        problems.push(problem.remedy(remedy));
    };
    if target.held > 0 {
        let message =
            format!("{} of {name} held by a guard or after unexpected ends", deliveries(target.held));
        add(Kind::DeliveriesHeld, message, "see osnl deliveries list --state held".to_owned());
    }
    if target.dead > 0 {
        let latest = target.dead_reason.as_ref();
        let why = latest.map_or(String::new(), |reason| format!("; reason of the latest: {reason}"));
        let message = format!("{name} has {}{why}", dead_letters(target.dead));
        add(Kind::DeadLetters, message, "see osnl deliveries list --state dead".to_owned());
    }
    let open = target.pending + target.held;
    if target.configured == Some(false) && open > 0 {
        let message = format!("{} of {name}, which is not configured: orphaned", deliveries(open));
        add(Kind::Orphaned, message, format!("osnl deliveries move --action {name} --to ACTION"));
    }
    match bounds.max_pending {
        Some(most) if open >= most => add(
            Kind::PendingFull,
            format!(
                "{name} has reached max_pending ({most}): until some are delivered, further messages for it stay with the \
                 broker, or become dead letters with on_full = dead_letter"
            ),
            format!("osnl deliveries list --action {name} --state pending, or raise max_pending"),
        ),
        Some(most) if open > 1 && is_near(open, most) => add(
            Kind::NearBound,
            format!("{name} is near max_pending: {open} of {most} deliveries are pending"),
            format!("osnl deliveries list --action {name}, or raise max_pending"),
        ),
        Some(_) | None => {}
    }
    problems
}

/// Streams that should not be silent, and the canary.
pub(super) fn of_streams(counters: &Counters) -> Vec<Problem> {
    let now = SystemTime::now();
    let silent = counters.series.streams.states(now).into_iter().filter(|stream| stream.is_silent);
    let silent = silent.map(|stream| {
        let (kind, name, expect) = (stream.kind.name(), stream.name, stream.expect);
        let last = stream.last.map_or_else(
            || "none came since the start".to_owned(),
            |last| format!("the latest came {} ago", span(time::age(last))),
        );
        let message = format!("{kind} {name} is silent: {expect} expected, {last}");
        let problem = Problem::new(Kind::Silent, ProblemSeverity::Warning, format!("{kind} {name}"), message);
        let problem = problem.since(stream.last.map(time::shown), stream.last.map(time::age));
        problem.remedy("look whether the service sends notifications: osnl tap")
    });
    let canary = counters.series.canary.late(now).map(|late| {
        let message = format!("the canary is late: none came back for {}", span(late.as_secs()));
        let problem = Problem::new(Kind::CanaryLate, ProblemSeverity::Critical, "canary", message);
        problem
            .since(None, Some(late.as_secs()))
            .remedy("look whether osnl may write to the exchange, and at the listener's row")
    });
    silent.chain(canary).collect()
}

/// Messages that were not read, and deliveries that may have ended the process.
pub(super) fn of_overview(unreadable: u64, suspects: u64) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |kind, message: String, remedy: &str| {
        problems.push(Problem::new(kind, ProblemSeverity::Warning, "journal", message).remedy(remedy));
    };
    match unreadable {
        0 => {}
        1 => add(Kind::Quarantined, "1 message is in quarantine".to_owned(), "see osnl quarantine list"),
        many => {
            add(Kind::Quarantined, format!("{many} messages are in quarantine"), "see osnl quarantine list")
        }
    }
    if suspects > 0 {
        let held = deliveries(suspects);
        let message = format!("{held} held since the process ended unexpectedly each time while attempting");
        let remedy = "look at them with osnl deliveries list --state held before you release them";
        add(Kind::Suspects, message, remedy);
    }
    problems
}

fn is_near(count: u64, most: u64) -> bool {
    count >= most / 100 * NEAR + most % 100 * NEAR / 100
}

fn lasting(seconds: Option<u64>) -> String {
    seconds.map_or(String::new(), |seconds| format!(" (for {} so far)", span(seconds)))
}

fn dead_letters(count: u64) -> String {
    if count == 1 { "1 dead letter".to_owned() } else { format!("{count} dead letters") }
}

fn deliveries(count: u64) -> String {
    if count == 1 { "1 delivery".to_owned() } else { format!("{count} deliveries") }
}

#[cfg(test)]
mod tests;
