//! The incidents of listeners and of their queues at the broker.

use super::{
    Incident, IncidentActor, IncidentKind as Kind, IncidentSeverity as Severity, counted, grouped, lasting,
    verb,
};
use crate::control::time::span;
use crate::control::{LeftQueue, ListenerStatus};
use crate::queues::{BOUND_EFFECT, BrokerPlace, Finding, FindingKind};

/// A listener that does not connect for so long is urgent: until then it may be a restart of the broker.
const CONNECTING: u64 = 60;
/// Messages may wait for so long before a queue counts as unread.
const UNREAD: u64 = 60;
const CONSUMERS: usize = 5;
/// The age in seconds from which on the age of a look is shown.
const OLD_LOOK: u64 = 30;

pub(in crate::control) fn has_ended(listener: &ListenerStatus) -> bool {
    matches!(listener.state.as_str(), "draining" | "stopped")
}

pub(in crate::control) fn judge_listener(listener: &ListenerStatus) -> Vec<Incident> {
    match (listener.state.as_str(), &listener.stalled) {
        ("listening" | "standby", Some(stalled)) => {
            let what = format!("stalled: {stalled}");
            let found = incident(listener, Kind::ListenerStalled, Severity::Critical, what);
            vec![found.labelled("no message moves").mended_by("see the log")]
        }
        ("listening" | "standby", None) => {
            let queue = if listener.state == "listening" { shared(listener) } else { unread(listener) };
            let all = unbound(listener).into_iter().chain(queue).chain(lossy(listener));
            let all = all.chain(never_received(listener)).chain(old_events(listener));
            with_findings(listener, all.collect(), |_| true)
        }
        ("connecting", _) => vec![connecting(listener)],
        ("blocked", _) => {
            let what = format!("blocked{}", lasting(listener.since_seconds));
            let why = listener.reason.as_deref().unwrap_or("nothing more can be kept");
            // The words of `why` count what is pending.
            let label = match &listener.full_action {
                Some(action) => format!("action {action} has reached max_pending"),
                None => "nothing more can be kept".to_owned(),
            };
            let found = incident(listener, Kind::ListenerBlocked, Severity::Critical, what).because(why);
            let found = found.labelled(label);
            let found = found.since(listener.since.clone(), listener.since_seconds);
            let found = found.mended_by("mend the actions and the journal that this list names");
            let by_itself = Some("the broker keeps the messages".to_owned());
            let found = Incident { by_itself, full_action: listener.full_action.clone(), ..found };
            let all = [found].into_iter().chain(unbound(listener)).chain(lossy(listener));
            with_findings(listener, all.collect(), is_loss)
        }
        (state, _) => {
            let what = format!("{state}{}", lasting(listener.since_seconds));
            let is_over = state == "stopped";
            let severity = if is_over { Severity::Critical } else { Severity::Warning };
            let found = incident(listener, Kind::ListenerEnded, severity, what).because(&listener.broker);
            let found = found.since(listener.since.clone(), listener.since_seconds);
            vec![match is_over {
                true => {
                    found.mended_by(format!("see the log, correct [listener:{}], osnl reload", listener.name))
                }
                false => found.heals("it ends when its messages are settled"),
            }]
        }
    }
}

/// The effect of a missing exchange.
pub(super) const UNBOUND: &str =
    "what is published before osnl is bound to it reaches only the services' own queues";

fn incident(listener: &ListenerStatus, kind: Kind, severity: Severity, what: String) -> Incident {
    let found = Incident::new(kind, severity, format!("listener {}", listener.name), what);
    found.named_by_listener(&listener.name)
}

fn queue_incident(
    listener: &ListenerStatus,
    kind: Kind,
    severity: Severity,
    queue: &str,
    what: String,
) -> Incident {
    let found = Incident::new(kind, severity, format!("queue {queue}"), what);
    found.at(listener.place.clone()).for_listener(&listener.name)
}

fn connecting(listener: &ListenerStatus) -> Incident {
    let is_long = listener.since_seconds.is_some_and(|seconds| seconds >= CONNECTING);
    let severity = if is_long { Severity::Critical } else { Severity::Warning };
    let what = format!("not connected{}", lasting(listener.since_seconds));
    // The subject names the listeners whose cause is the same at this moment, so a broker without queues is a place too.
    let broker = || BrokerPlace { broker: listener.broker.clone(), vhost: None };
    let place = listener.place.clone().unwrap_or_else(broker);
    let found = incident(listener, Kind::ListenerConnecting, severity, what).at(Some(place));
    let found = found.because(listener.reason.as_ref().unwrap_or(&listener.broker));
    let found = found.since(listener.since.clone(), listener.since_seconds);
    let found = match (listener.attempts, listener.next_attempt_seconds) {
        (Some(attempts), Some(next)) => {
            let attempts = counted(attempts.into(), "attempt", "attempts");
            found.heals(format!("osnl tries again in {} ({attempts})", span(next)))
        }
        (None, _) | (_, None) => found.heals("osnl tries until it is connected"),
    };
    let must_act = if listener.needs_operator { IncidentActor::Operator } else { found.must_act };
    let found = Incident { must_act, ..found };
    match (&listener.remedy, &listener.reason) {
        (Some(remedy), _) => found.mended_by_remedy(remedy.clone()),
        (None, Some(_)) => found.mended_by_command("osnl check --connect"),
        (None, None) => found,
    }
}

/// One incident for each missing exchange: listeners and daemons that need the same one share it.
fn unbound(listener: &ListenerStatus) -> Vec<Incident> {
    let vhost = listener.place.as_ref().and_then(|place| place.vhost.as_ref());
    let of_vhost = vhost.map_or(String::new(), |vhost| format!(" in virtual host {vhost}"));
    let absent = |exchange: &String| {
        let subject = format!("exchange {exchange}");
        let what = format!("{subject}{of_vhost}: it does not exist");
        let known = listener.silence.as_ref().filter(|finding| finding.subject == subject);
        let remedy = known.map(|finding| &finding.command).or(listener.exchange_remedy.as_ref());
        let found = Incident::new(Kind::ExchangeMissing, Severity::Warning, subject, what);
        let found = found.named_by_listener(&listener.name).at(listener.place.clone()).because(UNBOUND);
        let found = remedy.cloned().into_iter().fold(found, Incident::mended_by_remedy);
        let by_itself = Some("osnl binds its queue as soon as the exchange is there".to_owned());
        Incident { by_itself, ..found }
    };
    listener.missing_exchanges.iter().map(absent).collect()
}

/// Adds the findings of the latest look that are not told yet.
fn with_findings(
    listener: &ListenerStatus,
    mut all: Vec<Incident>,
    counts: impl Fn(FindingKind) -> bool,
) -> Vec<Incident> {
    let is_told = |own: &Incident, found: &Incident| {
        let is_of_queue = matches!(own.kind, Kind::QueueShared | Kind::QueueUnread | Kind::QueueLossy);
        own.kind == found.kind && (own.subject == found.subject || !is_of_queue)
    };
    let found = listener.management.iter().flat_map(|seen| &seen.findings);
    let found = found.filter(|finding| counts(finding.kind));
    let found = found.map(|finding| finding_incident(listener, finding));
    let found: Vec<Incident> = found.filter(|found| !all.iter().any(|own| is_told(own, found))).collect();
    all.extend(found);
    all
}

/// Whether messages do not reach, or do not stay in, a queue, also of a listener that reads nothing.
fn is_loss(kind: FindingKind) -> bool {
    matches!(
        kind,
        FindingKind::PublishersBlocked
            | FindingKind::Permissions
            | FindingKind::ExchangeType
            | FindingKind::Lossy
    )
}

fn old_events(listener: &ListenerStatus) -> Option<Incident> {
    let (name, age) = (&listener.name, span(listener.old_events_seconds?));
    let what = format!("actions run for events that were up to {age} old when they were read");
    let found = incident(listener, Kind::OldEvents, Severity::Warning, what);
    Some(found.labelled("actions run for old events").mended_by(format!(
        "max_event_age = 1d in [listener:{name}] would make dead letters of such events, which can be retried"
    )))
}

fn shared(listener: &ListenerStatus) -> Option<Incident> {
    let (queue, consumers) = (listener.queues.first()?, listener.consumers?);
    if listener.exclusive || consumers <= listener.own_consumers {
        return None;
    }
    let others = consumers - listener.own_consumers;
    let name = &listener.name;
    let known = listener.management.iter().flat_map(|seen| &seen.queues);
    let known: Vec<&str> =
        known.flat_map(|queue| &queue.consumers).take(CONSUMERS).map(String::as_str).collect();
    let seen = format!(
        "{} that {} not this daemon's, and each message goes to one of them only",
        counted(others, "consumer", "consumers"),
        if others == 1 { "is" } else { "are" }
    );
    let what = format!("queue {queue}: {seen}");
    let found = queue_incident(listener, Kind::QueueShared, Severity::Critical, queue, what);
    let found = found.because(known.join("; ")).labelled("each message goes to one of the consumers only");
    Some(found.mended_by(format!(
        "give [listener:{name}] a pool of its own, or recreate the queue with single_active_consumer = true; to \
         see the consumers: rabbitmqctl list_consumers"
    )))
}

fn lossy(listener: &ListenerStatus) -> Option<Incident> {
    let how = listener.queue_lossy.as_ref()?;
    let queue = listener.lossy_queue.as_ref().or(listener.queues.first())?;
    let found = queue_incident(listener, Kind::QueueLossy, Severity::Warning, queue, how.clone());
    let found = found.labelled(how);
    Some(listener.queue_remedy.iter().fold(found, Incident::mended_by))
}

/// A missing exchange is an incident by itself. A look that proves the reason counts before `silent_after`.
fn never_received(listener: &ListenerStatus) -> Option<Incident> {
    let proof = listener.silence.as_ref().filter(|found| found.kind.proves_silence());
    let proven = proof.filter(|_| listener.messages == 0).and(listener.since_seconds);
    let seconds = listener.never_received_seconds.or(proven).filter(|_| listener.reason.is_none())?;
    let what = format!("it has never received anything{}", lasting(Some(seconds)));
    let found = incident(listener, Kind::NeverReceived, Severity::Warning, what);
    let found = found.since(listener.since.clone(), Some(seconds));
    Some(match &listener.silence {
        Some(silence) => found.because(silence.to_string()).mended_by_remedy(silence.command.clone()),
        None => found.mended_by(
            "osnl queues shows how far notifications come, and with management_url the reason; silent_after = 0 ends \
             this note",
        ),
    })
}

fn finding_incident(listener: &ListenerStatus, finding: &Finding) -> Incident {
    let Finding { kind, broker, subject, vhost, seen, consequence, command, .. } = finding;
    // An alarm is looked for each few seconds, apart from the survey.
    let age = match kind {
        FindingKind::PublishersBlocked => None,
        _ => listener.management.as_ref().and_then(|seen| seen.looked_seconds),
    };
    let shown =
        age.filter(|age| *age >= OLD_LOOK).map_or(String::new(), |age| format!(" (seen {} ago)", span(age)));
    let (severity, vhost) = match kind {
        FindingKind::PublishersBlocked => (Severity::Critical, None),
        FindingKind::ExchangeType => (Severity::Critical, Some(vhost.clone())),
        _ => (Severity::Warning, Some(vhost.clone())),
    };
    let of_vhost = vhost.as_ref().map_or(String::new(), |vhost| format!(" in virtual host {vhost}"));
    let what = format!("{subject}{of_vhost}: {seen}{shown}");
    let found = Incident::new((*kind).into(), severity, subject, what).named_by_listener(&listener.name);
    let found = found.because(consequence).mended_by_remedy(command.clone());
    let place = BrokerPlace { broker: broker.clone(), vhost };
    let found = Incident { look_age: Some(age.unwrap_or_default()), ..found.at(Some(place)) };
    match kind {
        FindingKind::Unread if found.command.is_some() => found.mended_by(BOUND_EFFECT),
        _ => found,
    }
}

/// Messages that the active consumer of a standby's queue does not take.
fn unread(listener: &ListenerStatus) -> Option<Incident> {
    let (queue, messages, seconds) =
        (listener.queues.first()?, listener.queue_messages?, listener.queue_waiting_seconds?);
    if messages == 0 || seconds < UNREAD {
        return None;
    }
    let what = format!(
        "queue {queue}: its active reader takes no message for {}; {} {}",
        span(seconds),
        grouped(messages),
        verb(messages)
    );
    let found = queue_incident(listener, Kind::QueueUnread, Severity::Critical, queue, what);
    let found = found.because("this daemon stands by, and another one reads the queue");
    let found = found.since(listener.queue_waiting_since.clone(), Some(seconds));
    Some(
        found.mended_by(
            "look at the other daemon (osnl status there; rabbitmqctl list_consumers), or stop it",
        ),
    )
}

/// A queue that osnl has read, that no listener reads any more, and that holds or receives messages, or may.
pub(in crate::control) fn judge_left_queue(left: &LeftQueue) -> Option<Incident> {
    let LeftQueue { broker, vhost, queue, unbind, delete, .. } = left;
    let seen = left.messages.zip(left.consumers);
    if unbind.is_none() && seen.is_some_and(|(messages, _)| messages == 0) {
        return None;
    }
    let found =
        crate::queues::judge_left_queue((broker, vhost, queue), seen, unbind.as_deref(), delete.as_deref())?;
    let what = format!("{} in virtual host {vhost}: {}", found.subject, found.seen);
    let incident = Incident::new(Kind::QueueUnread, Severity::Warning, format!("queue {queue}"), what);
    let place = BrokerPlace { broker: broker.clone(), vhost: Some(vhost.clone()) };
    Some(incident.at(Some(place)).because(found.consequence).mended_by_remedy(found.command))
}
