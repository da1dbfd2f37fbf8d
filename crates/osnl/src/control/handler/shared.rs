//! The status of a journal that several daemons share.

use super::super::{JournalMember, JournalStatus, time};
use super::status::StoreNumbers;
use crate::journal::JournalState;
use crate::journal::shared::{SharedMember, SharedOverview};

/// Returns the data of the tables as those of any store.
pub(super) fn of_shared(found: SharedOverview) -> StoreNumbers {
    let SharedOverview { contents, tally, oldest, failing, dead_reasons, members, unowned } = found;
    let paused = contents.as_ref().map(|contents| contents.paused.clone()).unwrap_or_default();
    StoreNumbers {
        overview: contents,
        tally,
        oldest,
        failing,
        dead_reasons,
        paused,
        members,
        unowned,
        ..StoreNumbers::default()
    }
}

/// Returns the status of the journal, with these numbers of deliveries and dead letters.
pub(super) fn shared_status(
    state: JournalState,
    database: &str,
    kept: &StoreNumbers,
    (deliveries, dead): (u64, u64),
) -> JournalStatus {
    let (reason, since) = match &state {
        JournalState::Working => (None, None),
        JournalState::Full { reason, since } | JournalState::Failed { reason, since } => {
            (Some(reason.clone()), Some(*since))
        }
    };
    let overview = kept.overview.as_ref();
    let oldest = overview.and_then(|overview| overview.oldest);
    let member = |member: &SharedMember| JournalMember {
        name: member.name.clone(),
        version: member.version.clone(),
        partitions: member.partitions,
        is_own: member.is_own,
        silent_seconds: member.silent.map(|silent| silent.as_secs()),
    };
    JournalStatus {
        store: "postgresql".to_owned(),
        path: Some(database.to_owned()),
        state: Some(state.old_name().to_owned()),
        status: Some(state.name().to_owned()),
        reason,
        since: since.map(time::shown),
        since_seconds: since.map(time::age),
        events: overview.map(|overview| overview.events),
        deliveries,
        dead,
        oldest: oldest.map(time::shown),
        oldest_seconds: oldest.map(time::age),
        unreadable: overview.map(|overview| overview.unreadable),
        members: kept.members.iter().map(member).collect(),
        unowned_partitions: overview.map(|_| kept.unowned),
        ..JournalStatus::default()
    }
}
