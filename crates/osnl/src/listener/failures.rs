//! The log lines about failed attempts to listen, and about subscriptions that end.

use std::time::Duration;

use tokio::time::Instant;

use super::Listener;
use super::gauges::ConnectionTrouble;
use super::session::SessionEnd;

/// The interval between two log lines about the same failures to connect.
const REMIND: Duration = Duration::from_secs(600);
/// Different reasons that are told apart: each host of a broker may have its own.
const REASONS: usize = 16;

/// The log lines about failed attempts.
pub(super) struct FailureLog {
    /// The time of the last one.
    at: Instant,
    /// The reasons that were logged.
    reasons: Vec<String>,
}

impl Listener {
    /// Logs a failed attempt, if it is the first or has another reason. A broker may be away for a night: the same reasons
    /// are logged again after [`REMIND`]. A missing exchange or queue is logged once.
    pub(super) fn say_failed(
        &self,
        trouble: &ConnectionTrouble,
        is_missing: bool,
        pause: Duration,
        said: &mut Option<FailureLog>,
    ) {
        let name = &*self.config.name;
        let ConnectionTrouble { reason, remedy, attempts: attempt, next: _, is_unbound: _ } = trouble;
        let known = said.as_ref().is_some_and(|said| said.reasons.contains(reason));
        let is_due = said.as_ref().is_some_and(|said| said.at.elapsed() >= REMIND) && !is_missing;
        if known && !is_due {
            tracing::debug!(listener.name = name, attempt, reason, "cannot listen");
            return;
        }
        let remedy = remedy.as_deref();
        let nth = attempt.to_string();
        let mut before = vec![("listener.name", name), ("attempt", &*nth)];
        before.extend(remedy.map(|remedy| ("remedy", remedy)));
        if is_missing {
            tracing::warn!(
                listener.name = name,
                attempt,
                reason,
                remedy,
                "cannot listen: osnl looks for the missing exchange or queue every second"
            );
        } else {
            let seconds = pause.as_secs_f64();
            tracing::warn!(
                listener.name = name,
                attempt,
                reason,
                remedy,
                next_attempt_in = format!("{seconds:.1} s"),
                "cannot listen: osnl tries again until it can, and logs each new reason"
            );
        }
        let said = said.get_or_insert_with(|| FailureLog { at: Instant::now(), reasons: Vec::new() });
        said.at = Instant::now();
        if !known && said.reasons.len() < REASONS {
            said.reasons.push(reason.clone());
        }
    }

    /// Logs why a subscription ends that will be followed by another one.
    pub(super) fn say_ended(&self, ended: &SessionEnd, unsettled: usize) {
        let name = &*self.config.name;
        match ended {
            SessionEnd::Return => tracing::info!(
                listener.name = name,
                unsettled,
                "a message is returned to the broker, and with it all unacknowledged ones: they come before later ones"
            ),
            SessionEnd::Resubscribe => tracing::warn!(
                listener.name = name,
                unsettled,
                "the journal no longer counts this daemon as the reader of the queue: another daemon has read it, or the \
                 database was restored or made anew; the messages go back to the broker, and the listener subscribes again"
            ),
            SessionEnd::Drained | SessionEnd::GiveBack { .. } | SessionEnd::Recount => {}
        }
    }
}
