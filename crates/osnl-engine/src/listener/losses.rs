//! Lost connections and failed attempts: how long the listener waits, and what it logs.

use std::time::Duration;

use osnl_core::epoch;
use osnl_transport::{Backoff, Reconnect, TransportError};
use tokio::time::Instant;

use super::gauges::ConnectionTrouble;
use super::{Listener, ListenerState};
use osnl_core::shutdown::Shutdown;

const REMIND: Duration = Duration::from_secs(600);
/// The limit of distinct reasons; each host of a broker may have its own.
const REASONS: usize = 16;

/// The reasons that are in the log already, and the time of the latest line.
pub(super) struct FailureLog {
    at: Instant,
    reasons: Vec<String>,
}

/// A subscription that ends sooner is no success, and keeps the pauses between attempts.
const STEADY: Duration = Duration::from_secs(3);

/// The failures in a row, from which the pause before the next attempt follows.
pub(super) struct Losses {
    pub(super) backoff: Backoff,
    short: u32,
    said: Option<FailureLog>,
}

impl Losses {
    pub(super) fn new(asked: Reconnect) -> Self {
        Self { backoff: Backoff::new(asked), short: 0, said: None }
    }

    pub(super) fn ended(&mut self, lasted: Duration, is_loss: bool, asked: Reconnect) {
        if lasted >= STEADY {
            *self = Self::new(asked);
        } else {
            self.short += u32::from(is_loss);
        }
    }
}

impl Listener {
    /// Logs a lost connection. Of subscriptions that end at once, the first is opened again without a pause, since a broker
    /// that fails over may close twice. Returns whether the listener is to go on.
    pub(super) async fn after_loss(
        &self,
        shutdown: &Shutdown,
        losses: &mut Losses,
        unsettled: usize,
        error: &TransportError,
    ) -> bool {
        let name = &*self.config.name;
        if losses.short < 2 {
            let error = error.to_string();
            tracing::warn!(
                listener.name = name,
                unsettled,
                error,
                "connection lost: reconnecting, the broker delivers unacknowledged messages again"
            );
            return true;
        }
        let pause = losses.backoff.after(error);
        let trouble = ConnectionTrouble {
            reason: format!("the subscription ends as soon as it is open: {error}"),
            remedy: None,
            needs_operator: error.needs_operator(),
            attempts: losses.short,
            next: epoch::now() + pause,
        };
        self.say_failed(&trouble, false, pause, &mut losses.said);
        self.gauges.failed(Some(trouble));
        self.enter(ListenerState::Connecting { attempt: losses.short });
        tokio::select! {
            biased;
            () = shutdown.drain.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// Logs a failed attempt if its reason is new. Known reasons are logged again after [`REMIND`], since a broker may
    /// be away for a night. A missing exchange or queue is logged once.
    pub(super) fn say_failed(
        &self,
        trouble: &ConnectionTrouble,
        is_missing: bool,
        pause: Duration,
        said: &mut Option<FailureLog>,
    ) {
        let name = &*self.config.name;
        let ConnectionTrouble { reason, remedy, attempts: attempt, .. } = trouble;
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
}
