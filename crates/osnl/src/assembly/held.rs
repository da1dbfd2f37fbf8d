use std::sync::Arc;

use crate::daemon::DaemonState;
use crate::delivery::{TargetMonitor, TargetState};
use crate::journal::shared::{HeldTarget, SharedJournal};

pub(super) fn report_held(journal: &dyn SharedJournal, state: &Arc<DaemonState>) {
    let state = Arc::downgrade(state);
    journal.report_held(Box::new(move || {
        let targets = state.upgrade().map(|state| state.targets()).unwrap_or_default();
        targets.iter().filter_map(held).collect()
    }));
}

fn held(target: &TargetMonitor) -> Option<HeldTarget> {
    let status = *target.status().borrow();
    matches!(status.state, TargetState::Open { .. } | TargetState::Probing).then(|| HeldTarget {
        action: target.name().to_string(),
        since: status.since,
        reason: target.last_failure().map(|failure| failure.answer).unwrap_or_default(),
    })
}
