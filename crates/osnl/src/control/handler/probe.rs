//! A probe on request: the held target is called at once, and the answer waits for the result.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout};

use super::super::ProbeResult;
use super::super::refusal::{Code, RequestRefusal};
use super::ControlHandler;
use crate::delivery::{TargetMonitor, TargetState, TargetStatus};

/// The longest wait for a result: an attempt may take as long as its action allows.
const RESULT: Duration = Duration::from_secs(120);

impl ControlHandler {
    pub(super) async fn probe(&self, action: &str, by: &str) -> Result<ProbeResult, RequestRefusal> {
        let Some(live) = &self.live else {
            let why = "no daemon runs: there is nothing to probe with; start osnl run";
            return Err(RequestRefusal::new(Code::Unavailable, why));
        };
        self.is_configured(action)?;
        let targets = live.daemon.targets();
        let Some(target) = targets.iter().find(|target| **target.name() == *action) else {
            return Err(RequestRefusal::new(
                Code::NotFound,
                format!("there is no action {}", osnl_model::as_name(action)),
            ));
        };
        // A probe that has begun before may have met the target as it was then.
        let ended = |status: &TargetStatus| status.state != TargetState::Probing;
        let _ = timeout(RESULT, target.status().wait_for(ended)).await;
        let was = *target.status().borrow();
        if was.state == TargetState::Paused {
            return Ok(probed(target, was, false));
        }
        let pending = target.claimed() > 0 || self.is_pending(action).await?;
        if !pending {
            return Ok(probed(target, was, false));
        }
        tracing::info!(action.name = action, by, "an operator asks for a probe of the target");
        let asked = SystemTime::now();
        target.probe();
        if was.state != TargetState::Closed {
            // The answer has the final state in any case.
            let _ = timeout(RESULT, result(target, asked)).await;
        }
        let now = *target.status().borrow();
        Ok(probed(target, now, true))
    }
}

async fn result(target: &TargetMonitor, asked: SystemTime) {
    let mut status = target.status();
    loop {
        let state = status.borrow_and_update().state;
        let failed = target.last_failure().is_some_and(|failure| failure.at >= asked);
        match state {
            TargetState::Closed | TargetState::Paused => return,
            TargetState::Open { until } if failed && until > Instant::now() => return,
            TargetState::Open { .. } | TargetState::Probing => {}
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

fn probed(target: &TargetMonitor, now: TargetStatus, probed: bool) -> ProbeResult {
    let is_ok = now.state == TargetState::Closed;
    ProbeResult {
        action: target.name().to_string(),
        target: target.target(),
        probed,
        state: now.state.name().to_owned(),
        answer: target.last_failure().map(|failure| failure.answer).filter(|_| !is_ok),
        next_probe_seconds: match now.state {
            TargetState::Open { until } => {
                Some(until.saturating_duration_since(Instant::now()).as_secs_f64().ceil() as u64)
            }
            TargetState::Closed | TargetState::Probing | TargetState::Paused => None,
        },
    }
}
