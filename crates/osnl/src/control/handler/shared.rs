use std::collections::BTreeMap;

use super::super::{HeldThere, JournalMember, JournalStatus, RecordRefused, time};
use super::status::StoreNumbers;
use crate::journal::JournalState;
use crate::journal::shared::{HeldTarget, RefusedRecord, SharedMember, SharedOverview};

pub(super) fn of_shared(found: SharedOverview) -> StoreNumbers {
    let SharedOverview { contents, tally, oldest, failing, dead_reasons, members, unowned, refused, own } =
        found;
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
        refused,
        own: Some(own),
        ..StoreNumbers::default()
    }
}

pub(super) fn shared_status(
    state: JournalState,
    database: &str,
    kept: &StoreNumbers,
    (deliveries, dead, max_dead): (u64, u64, u64),
) -> JournalStatus {
    let (reason, since) = match &state {
        JournalState::Working => (None, None),
        JournalState::Full { reason, since } | JournalState::Failed { reason, since } => {
            (Some(reason.clone()), Some(*since))
        }
    };
    let overview = kept.overview.as_ref();
    let oldest = overview.and_then(|overview| overview.oldest);
    let own = kept.members.iter().find(|member| member.is_own).and_then(|own| own.sections.as_ref());
    let member = |member: &SharedMember| JournalMember {
        name: member.name.clone(),
        version: member.version.clone(),
        partitions: member.partitions,
        is_own: member.is_own,
        silent_seconds: member.silent.map(|silent| silent.as_secs()),
        differences: match (own, &member.sections) {
            (Some(own), Some(other)) if !member.is_own => differences(own, other),
            (_, _) => Vec::new(),
        },
        held: member.held.iter().map(held_there).collect(),
    };
    JournalStatus {
        store: "postgresql".to_owned(),
        path: Some(database.to_owned()),
        state: Some(state.name().to_owned()),
        reason,
        since: since.map(time::shown),
        since_seconds: since.map(time::age),
        events: overview.map(|overview| overview.events),
        deliveries,
        dead,
        max_dead: Some(max_dead),
        oldest: oldest.map(time::shown),
        oldest_seconds: oldest.map(time::age),
        quarantined: overview.map(|overview| overview.unreadable),
        members: kept.members.iter().map(member).collect(),
        unowned_partitions: overview.map(|_| kept.unowned),
        refused: kept.refused.iter().map(refused_there).collect(),
        ..JournalStatus::default()
    }
}

fn refused_there(
    RefusedRecord { subject, record, reason, since, is_given_up }: &RefusedRecord,
) -> RecordRefused {
    RecordRefused {
        subject: subject.clone(),
        record: record.clone(),
        since: time::shown(*since),
        since_seconds: time::age(*since),
        reason: reason.clone(),
        is_given_up: *is_given_up,
    }
}

fn held_there(HeldTarget { action, since, reason }: &HeldTarget) -> HeldThere {
    HeldThere {
        action: action.clone(),
        since: time::shown(*since),
        since_seconds: time::age(*since),
        reason: reason.clone(),
    }
}

fn differences(own: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (heading, digest) in own {
        match other.get(heading) {
            Some(same) if same == digest => {}
            Some(_) => found.push(format!("[{heading}] differs")),
            None => found.push(format!("[{heading}] is missing there")),
        }
    }
    let only_there = other.keys().filter(|heading| !own.contains_key(*heading));
    found.extend(only_there.map(|heading| format!("[{heading}] is missing here")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_that_one_daemon_has_not_or_has_otherwise_are_named() {
        let of = |sections: &[(&str, &str)]| -> BTreeMap<String, String> {
            sections.iter().map(|(heading, digest)| ((*heading).to_owned(), (*digest).to_owned())).collect()
        };
        let own = of(&[("action:a", "1"), ("action:b", "2"), ("rule:r", "3")]);
        let other = of(&[("action:a", "1"), ("action:c", "4"), ("rule:r", "5")]);
        assert_eq!(differences(&own, &own), [""; 0]);
        let expected = ["[action:b] is missing there", "[rule:r] differs", "[action:c] is missing here"];
        assert_eq!(differences(&own, &other), expected);
    }
}
