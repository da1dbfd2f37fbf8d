use std::time::SystemTime;

use super::{
    Incident, IncidentKind as Kind, IncidentSeverity as Severity, counted, grouped, is_near, lasting, verb,
};
use crate::control::{JournalStatus, time};
use crate::journal::sqlite::USUAL_WAL;

/// With less room, an operator still has time to make some.
const LITTLE: u64 = 1 << 30;
/// With less room, the next burst of events may fill the disk.
const NEARLY_NONE: u64 = 100 << 20;
/// A reader of a query ends sooner.
const HELD_SECONDS: u64 = 10;

pub(in crate::control) fn unreadable_journal(why: String) -> Incident {
    Incident::new(Kind::JournalUnreadable, Severity::Critical, "journal", &*why)
        .labelled(why)
        .mended_by("look at its disk and at the log")
}

pub(in crate::control) fn judge_journal(journal: &JournalStatus) -> Vec<Incident> {
    let mut incidents = Vec::new();
    if let (Some(status), Some(reason)) = (&journal.state, &journal.reason) {
        let (kind, to_do) = match &**status {
            "full" => (Kind::JournalFull, "make room, or raise its bound"),
            _ => (Kind::JournalFailed, "look at its disk"),
        };
        let status = if status == "failed" { "unusable" } else { status };
        let what = format!("the journal is {status}{}", lasting(journal.since_seconds));
        let found = Incident::new(kind, Severity::Critical, "journal", what).because(reason).mended_by(to_do);
        let found = found.since(journal.since.clone(), journal.since_seconds);
        let by_itself = "nothing is read until then; the broker keeps the messages".to_owned();
        incidents.push(Incident { by_itself: Some(by_itself), ..found });
    }
    if let (Some(queues), dead @ 1.., "memory") = (&journal.path, journal.dead, &*journal.store) {
        // Of letters that were not read, as on a standby, only the number is known.
        let (what, to_do) = match journal.has_unread_letters {
            true => (
                format!("{} in the queue, dead or waiting for release", counted(dead, "letter", "letters")),
                "see osnl deliveries list and osnl quarantine list",
            ),
            false => (
                counted(dead, "dead letter", "dead letters"),
                "see osnl deliveries list --state dead and osnl quarantine list, then retry or discard them",
            ),
        };
        let found = Incident::new(Kind::DeadLetters, Severity::Warning, queues, what).because(queues);
        incidents.push(found.at(journal.place.clone()).mended_by(to_do));
    }
    incidents.extend(near_size(journal));
    incidents.extend(held_wal(journal));
    incidents.extend(near_max_dead(journal));
    incidents
}

fn near_bound(what: String, to_do: &str) -> Option<Incident> {
    Some(Incident::new(Kind::NearBound, Severity::Warning, "journal", what).mended_by(to_do))
}

/// The room on the disk: of `max_size` and the file system, the worse one is the incident.
fn near_size(journal: &JournalStatus) -> Option<Incident> {
    let is_full = journal.state.as_deref() == Some("full");
    if let (Some(open), Some(most), false) = (journal.open_bytes, journal.max_bytes, is_full)
        && is_near(open, most)
    {
        return near_bound(
            format!(
                "the journal is nearly full: open deliveries and dead letters take {} of {} MiB",
                open >> 20,
                most >> 20
            ),
            "look at targets that are down and at dead letters, or raise max_size",
        )
        .map(|found| found.labelled("the journal is nearly full"));
    }
    if let (Some(free), Some(bytes), Some(most)) = (journal.free_bytes, journal.bytes, journal.max_bytes)
        && free < LITTLE
        && bytes.saturating_add(free) < most
        && !is_full
    {
        let left = free >> 20;
        let what = match free {
            ..NEARLY_NONE => {
                format!("the journal's disk is nearly full: {left} MiB left, and max_size needs more")
            }
            _ => format!("the journal's disk has less than 1 GiB left ({left} MiB), and max_size needs more"),
        };
        let severity = if free < NEARLY_NONE { Severity::Critical } else { Severity::Warning };
        let found = near_bound(what, "make room on that disk, or lower max_size")?;
        let found = found.because("on a full disk osnl reads nothing; the broker keeps the messages");
        return Some(Incident { severity, ..found });
    }
    None
}

/// The WAL, which `max_size` does not bound, and which grows as long as a reader holds an old state of the file.
fn held_wal(journal: &JournalStatus) -> Option<Incident> {
    let (wal, seconds) = (journal.wal_bytes?, journal.wal_held_seconds?);
    (wal > USUAL_WAL / 4 * 5 && seconds >= HELD_SECONDS).then_some(())?;
    let by = journal.wal_reader.map_or("a reader".to_owned(), |pid| format!("process {pid}"));
    let what = format!(
        "the journal's -wal has {} MiB beside max_size, usual are at most {}",
        wal >> 20,
        USUAL_WAL >> 20
    );
    let found = near_bound(what, "end it, such as an open sqlite3 or a backup: the -wal is used again then")?;
    let label = format!("{by} holds an old state of the file");
    Some(found.because(format!("{label}{}", lasting(Some(seconds)))).labelled(label))
}

fn near_max_dead(journal: &JournalStatus) -> Option<Incident> {
    let (dead, most) = (journal.dead, journal.max_dead?);
    (dead > 0 && is_near(dead, most)).then_some(())?;
    let (dead, most) = (grouped(dead), grouped(most));
    near_bound(
        format!("{dead} of at most {most} dead letters are kept: beyond max_dead the oldest leave"),
        "osnl deliveries retry or discard --state dead, or raise max_dead",
    )
    .map(|found| found.labelled("max_dead is near"))
}

/// `oldest`: the reason and the arrival of the oldest message.
pub(in crate::control) fn judge_quarantine(
    messages: u64,
    oldest: Option<(String, SystemTime)>,
) -> Option<Incident> {
    (messages > 0).then_some(())?;
    let what = format!("{} in quarantine", counted(messages, "message is", "messages are"));
    let found = Incident::new(Kind::Quarantined, Severity::Warning, "quarantine", what);
    let of = if messages == 1 { "" } else { "the oldest: " };
    let found = oldest.into_iter().fold(found, |found, (reason, since)| {
        let found = found.because(format!("{of}{reason}"));
        found.since(Some(time::shown(since)), Some(time::age(since)))
    });
    Some(
        found
            .mended_by_command("osnl quarantine list")
            .mended_by("then osnl quarantine retry or discard --all"),
    )
}

pub(in crate::control) fn judge_suspects(suspects: u64) -> Option<Incident> {
    (suspects > 0).then_some(())?;
    let what = format!("{} {} for release", counted(suspects, "delivery", "deliveries"), verb(suspects));
    let found = Incident::new(Kind::Suspects, Severity::Warning, "journal", what);
    let found = found.because("the process ended unexpectedly each time while attempting");
    let found =
        found.mended_by_command("osnl deliveries list --state waiting-for-release --held-by unexpected-end");
    let found = found.mended_by("then osnl deliveries release or discard with the same filter");
    Some(Incident { for_release: suspects, ..found })
}
