use std::collections::BTreeMap;

use super::super::{DownThere, JournalMember, RecordRefused, time};
use crate::journal::shared::{HeldTarget, RefusedRecord, SharedMember};

pub(super) fn members(all: &[SharedMember]) -> Vec<JournalMember> {
    let own = all.iter().find(|member| member.is_own).and_then(|own| own.sections.as_ref());
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
        down: member.held.iter().map(down_there).collect(),
    };
    all.iter().map(member).collect()
}

pub(super) fn refused_there(
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

fn down_there(HeldTarget { action, since, reason }: &HeldTarget) -> DownThere {
    DownThere {
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
