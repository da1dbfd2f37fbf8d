//! The log of the incidents that stop deliveries, at ERROR: the files of the old programs may ask for this level alone.
//!
//! Each incident of [`ControlHandler::status`] is logged at its beginning, each hour while it lasts, and at its end. If the
//! file asks for WARN too, osnl's own lines tell the same of some kinds, which are left out here.

use std::sync::Arc;
use std::time::Duration;

use osnl::control::{ControlHandler, Incident, IncidentCause, IncidentKind, Status};
use osnl::daemon::Daemon;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::Level;

const CHECK_INTERVAL: Duration = Duration::from_secs(3);
const REMIND: Duration = Duration::from_secs(3600);
/// The reasons of an incident that are logged at once: one that differs each time must not fill the log.
const MOST_REASONS: usize = 8;
/// The time without the incident after which it is over: a broker that starts may end a connection again.
const STEADY: Duration = Duration::from_secs(5);

pub(crate) fn logged(daemon: Daemon, handler: Arc<ControlHandler>) -> Daemon {
    daemon.serving("log of incidents", Box::new(|end| Box::pin(watch(handler, end))))
}

async fn watch(handler: Arc<ControlHandler>, end: CancellationToken) {
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut log = IncidentLog::default();
    loop {
        let status = async {
            ticks.tick().await;
            handler.status().await
        };
        let status = tokio::select! {
            biased;
            () = end.cancelled() => return,
            status = status => status,
        };
        if let Ok(status) = status {
            let lines = log.update(stopping(&status), Instant::now());
            let warns = tracing::enabled!(Level::WARN);
            lines.iter().filter(|line| !(warns && line.is_repeated())).for_each(LogLine::write);
        }
    }
}

/// An incident in the words of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LoggedIncident {
    place: (IncidentCause, String),
    /// Whether lines at WARN tell the beginning and the end.
    has_own_lines: bool,
    what: String,
    why: Option<String>,
    remedy: Option<String>,
}

/// The step of an incident that a line logs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LogPhase {
    Begins,
    Lasts,
    /// It lasts for a reason that was not logged yet.
    Changes,
    Ends(Duration),
}

/// A line of the log about an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LogLine(LogPhase, LoggedIncident);

impl LogLine {
    /// Whether a line of osnl at WARN or INFO tells the same. None tells again that a listener is not connected.
    fn is_repeated(&self) -> bool {
        let Self(phase, LoggedIncident { has_own_lines, place: (cause, _), .. }) = self;
        *has_own_lines && (*phase != LogPhase::Lasts || *cause == IncidentCause::NotDelivered)
    }

    fn write(&self) {
        let Self(phase, LoggedIncident { what, why, remedy, .. }) = self;
        let (reason, remedy) = (why.as_deref(), remedy.as_deref());
        match phase {
            LogPhase::Begins => {
                tracing::error!(incident = what, reason, remedy, "an incident stops deliveries");
            }
            LogPhase::Lasts => {
                tracing::error!(incident = what, reason, remedy, "an incident still stops deliveries");
            }
            LogPhase::Changes => tracing::error!(
                incident = what,
                reason,
                remedy,
                "an incident stops deliveries for another reason"
            ),
            LogPhase::Ends(lasted) => {
                let down_for = format!("{} s", lasted.as_secs());
                tracing::error!(incident = what, down_for, "the incident is over");
            }
        }
    }
}

/// The incidents that were logged and are not over.
#[derive(Default)]
struct IncidentLog(Vec<OpenIncident>);

struct OpenIncident {
    incident: LoggedIncident,
    /// The reasons that were logged.
    reasons: Vec<String>,
    begun: Instant,
    logged: Instant,
    seen: Instant,
}

impl IncidentLog {
    fn update(&mut self, found: Vec<LoggedIncident>, now: Instant) -> Vec<LogLine> {
        let mut lines = Vec::new();
        for incident in found {
            let Some(open) = self.0.iter_mut().find(|open| open.incident.place == incident.place) else {
                lines.push(LogLine(LogPhase::Begins, incident.clone()));
                let reasons = incident.why.iter().cloned().collect();
                self.0.push(OpenIncident { incident, reasons, begun: now, logged: now, seen: now });
                continue;
            };
            let new = incident.why.clone().filter(|why| !open.reasons.contains(why));
            let new = new.filter(|_| open.reasons.len() < MOST_REASONS);
            if now - open.logged >= REMIND {
                lines.push(LogLine(LogPhase::Lasts, incident.clone()));
                open.logged = now;
            } else if new.is_some() {
                lines.push(LogLine(LogPhase::Changes, incident.clone()));
            }
            open.reasons.extend(new);
            let has_own_lines = open.incident.has_own_lines;
            (open.incident, open.seen) = (LoggedIncident { has_own_lines, ..incident }, now);
        }
        for over in self.0.extract_if(.., |open| now - open.seen >= STEADY) {
            lines.push(LogLine(LogPhase::Ends(over.seen - over.begun), over.incident));
        }
        lines
    }
}

fn stopping(status: &Status) -> Vec<LoggedIncident> {
    let stopping = status.incidents.iter().filter(|incident| incident.stops_deliveries());
    // The first attempt to connect is not a failure yet.
    let failed = stopping.filter(|incident| {
        let has_failed = listeners(status, incident).any(|listener| listener.reason.is_some());
        incident.kind != IncidentKind::ListenerConnecting || has_failed
    });
    // No other line says that a listener has ended, so that is an incident of its own.
    let cause = |kind| match kind {
        IncidentKind::ListenerEnded => IncidentCause::Alone(kind),
        _ => kind.cause(),
    };
    let logged = |incident: &Incident| LoggedIncident {
        place: (cause(incident.kind), incident.part()),
        has_own_lines: has_own_lines(incident.kind),
        what: incident.what.clone(),
        why: incident.why.clone(),
        remedy: remedy(status, incident),
    };
    failed.map(logged).collect()
}

fn has_own_lines(kind: IncidentKind) -> bool {
    matches!(
        kind,
        IncidentKind::ListenerConnecting
            | IncidentKind::ListenerBlocked
            | IncidentKind::ListenerStalled
            | IncidentKind::TargetDown
            | IncidentKind::TargetRefuses
    )
}

fn listeners<'a>(
    status: &'a Status,
    incident: &'a Incident,
) -> impl Iterator<Item = &'a osnl::control::ListenerStatus> {
    status.listeners.iter().filter(|listener| incident.listeners.contains(&listener.name))
}

/// Returns the remedy of the broker or the target. The steps of other incidents are commands to a control socket, and
/// `k2hr3_osnl` has none.
fn remedy(status: &Status, incident: &Incident) -> Option<String> {
    let of_listener = listeners(status, incident).find_map(|listener| listener.remedy.clone());
    let targets = status.targets.iter().filter(|target| incident.actions.contains(&target.action));
    let mut failures = targets.filter_map(|target| target.last_failure.as_ref());
    let remedy = of_listener.or_else(|| failures.find_map(|failure| failure.remedy.clone()));
    remedy.map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(kind: IncidentKind, subject: &str, what: &str) -> LoggedIncident {
        let place = (kind.cause(), subject.to_owned());
        let has_own_lines = has_own_lines(kind);
        LoggedIncident { place, has_own_lines, what: what.to_owned(), why: None, remedy: None }
    }

    #[test]
    fn a_line_that_osnl_writes_at_warn_is_not_written_twice() {
        let check = |kind, expected: [bool; 3]| {
            let incident = incident(kind, "part", "what");
            let phases = [LogPhase::Begins, LogPhase::Lasts, LogPhase::Ends(REMIND)];
            let repeated = phases.map(|phase| LogLine(phase, incident.clone()).is_repeated());
            assert_eq!(repeated, expected, "{kind:?}");
        };
        check(IncidentKind::TargetDown, [true, true, true]);
        check(IncidentKind::ListenerConnecting, [true, false, true]);
        check(IncidentKind::PendingOld, [false, false, false]);
        // What began as a target that is down ends as that, whatever the incident is called meanwhile.
        let mut log = IncidentLog::default();
        let now = Instant::now();
        let mut update = |kind, at| log.update(vec![incident(kind, "action k", "what")], at);
        assert!(update(IncidentKind::TargetDown, now)[0].is_repeated());
        assert_eq!(update(IncidentKind::PendingOld, now + CHECK_INTERVAL), []);
        assert!(log.update(Vec::new(), now + CHECK_INTERVAL + STEADY)[0].is_repeated());
    }

    #[test]
    fn an_incident_is_logged_when_it_begins_each_hour_and_when_it_is_over() {
        let broker = |what| incident(IncidentKind::ListenerConnecting, "listener k", what);
        let target = |what| incident(IncidentKind::TargetDown, "action k", what);
        let (mut log, start) = (IncidentLog::default(), Instant::now());
        let mut lines = |second: u64, found: &[LoggedIncident]| {
            let lines = log.update(found.to_vec(), start + Duration::from_secs(second)).into_iter();
            let line = |LogLine(phase, one)| match phase {
                LogPhase::Begins => format!("begins: {}", one.what),
                LogPhase::Lasts => format!("lasts: {}", one.what),
                LogPhase::Changes => format!("changes: {}", one.why.unwrap_or_default()),
                LogPhase::Ends(lasted) => format!("ends after {} s: {}", lasted.as_secs(), one.what),
            };
            lines.map(line).collect::<Vec<String>>()
        };
        let none: [&str; 0] = [];
        assert_eq!(lines(0, &[]), none);
        assert_eq!(lines(3, &[broker("for 1 s")]), ["begins: for 1 s"]);
        assert_eq!(lines(6, &[broker("for 4 s"), target("down")]), ["begins: down"]);
        // A connection that lasts for a moment ends nothing.
        assert_eq!(lines(9, &[target("down")]), none);
        assert_eq!(lines(12, &[broker("for 1 s"), target("down")]), none);
        assert_eq!(lines(3602, &[broker("for 1 h"), target("down")]), none);
        assert_eq!(lines(3603, &[broker("for 1 h"), target("down")]), ["lasts: for 1 h"]);
        assert_eq!(lines(3606, &[target("still down")]), ["lasts: still down"]);
        assert_eq!(lines(3609, &[target("still down")]), ["ends after 3600 s: for 1 h"]);
        assert_eq!(lines(3612, &[broker("for 1 s"), target("down")]), ["begins: for 1 s"]);
    }

    /// A broker that is back may refuse the login: nothing else says so at ERROR.
    #[test]
    fn each_new_reason_of_an_incident_is_logged_once_and_their_number_has_a_bound() {
        let because = |why: &str| {
            let incident = incident(IncidentKind::ListenerConnecting, "listener k", "what");
            vec![LoggedIncident { why: Some(why.to_owned()), ..incident }]
        };
        let (mut log, start) = (IncidentLog::default(), Instant::now());
        let mut second = 0;
        let mut changes = |why: &str| {
            second += 1;
            let lines = log.update(because(why), start + Duration::from_secs(second));
            lines.into_iter().any(|line| line.0 == LogPhase::Changes && line.is_repeated())
        };
        let seen = ["refused", "refused", "login refused", "refused", "login refused"].map(&mut changes);
        assert_eq!(seen, [false, false, true, false, false]);
        let others = (0..20).filter(|n| changes(&n.to_string())).count();
        assert_eq!(others, MOST_REASONS - 2);
    }
}
