use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use osnl_core::ends::EndReports;
use osnl_core::metrics::Counters;
use osnl_journal::shared::{RefusedRecord, SharedMember};
use osnl_journal::store::claimable::Claimable;
use osnl_journal::store::clock::Clock;
use osnl_journal::store::gate::Gate;
use osnl_journal::{DeliveryId, JournalState, PausedActions};
use tokio::sync::watch;

use crate::leases::LeaseToken;
use crate::report::MemberReport;

#[derive(Clone, Debug, Default)]
pub(crate) struct MembersSeen {
    pub(crate) members: Vec<SharedMember>,
    pub(crate) unowned: u64,
}

#[derive(Debug)]
pub(crate) struct SharedJournalState {
    pub(crate) claimable: Claimable,
    pub(crate) clock: Clock,
    pub(crate) gate: Arc<Gate>,
    pub(crate) state: watch::Sender<JournalState>,
    pub(crate) paused: watch::Sender<PausedActions>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) ends: EndReports,
    pub(crate) closing: AtomicBool,
    /// The end of the first lease in milliseconds of the lease clock; 0 without a lease.
    lease_end: AtomicU64,
    /// Claims of partitions that this member has lost, until the claims end.
    lost_claims: Mutex<HashSet<DeliveryId>>,
    pub(crate) members: Mutex<MembersSeen>,
    pub(crate) daemons: watch::Sender<usize>,
    pub(crate) refused: Mutex<Vec<RefusedRecord>>,
    /// The member's token, once registered, and its commands that wait for answers.
    asking: Mutex<(LeaseToken, HashSet<Vec<u8>>)>,
    pub(crate) report: MemberReport,
    /// Open deliveries per action that were appended and are not yet committed.
    uncommitted: Mutex<HashMap<Arc<str>, u64>>,
}

impl SharedJournalState {
    pub(crate) fn new(gate: Gate, counters: Arc<Counters>, clock: Clock) -> Self {
        Self {
            claimable: Claimable::default(),
            clock,
            gate: Arc::new(gate),
            state: watch::Sender::new(JournalState::Working),
            paused: watch::Sender::new(PausedActions::new()),
            counters,
            ends: EndReports::default(),
            closing: AtomicBool::new(false),
            lease_end: AtomicU64::new(0),
            lost_claims: Mutex::default(),
            members: Mutex::default(),
            daemons: watch::Sender::new(1),
            refused: Mutex::default(),
            asking: Mutex::default(),
            report: MemberReport::default(),
            uncommitted: Mutex::default(),
        }
    }

    pub(crate) fn leases_hold(&self, now: Duration) -> bool {
        now.as_millis() < self.lease_end().as_millis()
    }

    pub(crate) fn lease_end(&self) -> Duration {
        Duration::from_millis(self.lease_end.load(Ordering::Relaxed))
    }

    pub(crate) fn set_lease_end(&self, end: Duration, now: Duration) -> bool {
        let held = self.leases_hold(now);
        self.lease_end.store(u64::try_from(end.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        !held && self.leases_hold(now)
    }

    pub(crate) fn lose_claim(&self, delivery: DeliveryId) {
        self.lost_claims.lock().unwrap_or_else(PoisonError::into_inner).insert(delivery);
    }

    pub(crate) fn end_claim(&self, delivery: DeliveryId) {
        self.lost_claims.lock().unwrap_or_else(PoisonError::into_inner).remove(&delivery);
    }

    pub(crate) fn has_lost_claim(&self, deliveries: &[DeliveryId]) -> bool {
        let lost = self.lost_claims.lock().unwrap_or_else(PoisonError::into_inner);
        !lost.is_empty() && deliveries.iter().any(|delivery| lost.contains(delivery))
    }

    pub(crate) fn token(&self) -> LeaseToken {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub(crate) fn set_token(&self, token: LeaseToken) {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).0 = token;
    }

    /// Begins a command, whose answers are kept until the command ends. Returns the token of the asking
    /// member.
    pub(crate) fn begin_command(&self, command: Vec<u8>) -> LeaseToken {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        asking.1.insert(command);
        asking.0.clone()
    }

    pub(crate) fn end_command(&self, command: &[u8]) {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).1.remove(command);
    }

    pub(crate) fn commands_in_progress(&self) -> Vec<Vec<u8>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).1.iter().cloned().collect()
    }

    pub(crate) fn set_refused(&self, refused: Vec<RefusedRecord>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    pub(crate) fn set_paused(&self, paused: PausedActions) {
        self.paused.send_if_modified(|known| {
            let is_changed = *known != paused;
            *known = paused;
            is_changed
        });
    }

    pub(crate) fn set_daemons(&self, alive: usize) {
        self.daemons.send_if_modified(|known| std::mem::replace(known, alive) != alive);
    }

    pub(crate) fn appended<'a>(&self, actions: impl Iterator<Item = &'a Arc<str>> + Clone) {
        let mut uncommitted = self.uncommitted.lock().unwrap_or_else(PoisonError::into_inner);
        for action in actions.clone() {
            *uncommitted.entry(action.clone()).or_default() += 1;
        }
        // Under the lock, so that no recount of the tables comes between the two counts.
        self.gate.appended(actions);
    }

    pub(crate) fn committed<'a>(&self, actions: impl Iterator<Item = &'a Arc<str>>) {
        let mut uncommitted = self.uncommitted.lock().unwrap_or_else(PoisonError::into_inner);
        for action in actions {
            if let Some(count) = uncommitted.get_mut(action) {
                *count = count.saturating_sub(1);
            }
        }
    }

    pub(crate) fn recount(&self, pending: &BTreeMap<String, u64>) {
        let mut uncommitted = self.uncommitted.lock().unwrap_or_else(PoisonError::into_inner);
        for (action, pending) in pending {
            uncommitted.entry(action.as_str().into()).or_default();
            self.gate.counted(action, pending + uncommitted.get(action.as_str()).copied().unwrap_or(0));
        }
        let gone = uncommitted.iter().filter(|(action, _)| !pending.contains_key(&***action));
        for (action, count) in gone {
            self.gate.counted(action, *count);
        }
    }

    /// Records that the writer has ended for good: intake stops, and no attempt begins.
    pub(crate) fn writer_is_gone(&self, words: &str) {
        let reason = format!("the journal's thread ended unexpectedly: {words}; restart osnl");
        self.gate.set_open(false);
        self.state.send_replace(JournalState::Failed { reason, since: SystemTime::now() });
        tracing::error!(
            reason = words,
            "the journal's thread ended unexpectedly; restart osnl; what was not acknowledged stays with the broker"
        );
    }
}
