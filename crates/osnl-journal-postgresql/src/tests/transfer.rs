//! Moves between a file and the database: both hold the same afterwards, in the same order, and no daemon works on both.

mod filled;
mod refusals;
mod unfinished;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use osnl_journal::Begin;
use osnl_journal::shared::{SharedDatabase, SharedJournal as _};
use osnl_journal::sqlite::transfer::{SqliteDestination, SqliteSource};
use osnl_journal::sqlite::{
    Bodies, Filter, ListPage, SqliteJournal, SqliteOptions, SqliteReader as FileReader, UnreadableFilter,
};
use osnl_journal::transfer::{self as moving, JournalTable, MoveFailure, MoveOptions, MoveReport};
use osnl_model::Secret;
use tempfile::TempDir;

use self::filled::filled;
use super::*;
use crate::database::PostgresDatabase as Database;

/// A short lease: rows of dead members are looked at for as long.
const OPTIONS: MoveOptions = MoveOptions { lease: Duration::from_millis(600), replaces: false, show: |_| () };
const REPLACING: MoveOptions = MoveOptions { replaces: true, ..OPTIONS };

fn go_on(_: u64, _: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

async fn to_database(file: &Path, stage: &Stage, options: MoveOptions) -> Result<MoveReport, MoveFailure> {
    to_database_with(file, stage, options, &go_on).await
}

async fn to_database_with(
    file: &Path,
    stage: &Stage,
    options: MoveOptions,
    progress: moving::ProgressCallback<'_>,
) -> Result<MoveReport, MoveFailure> {
    let unbegun = |error| MoveFailure { error, is_begun: false };
    let mut source = SqliteSource::open(file).map_err(unbegun)?;
    let url = Secret::new(stage.url.clone());
    let mut destination = Database.move_to(&url, options).await.map_err(unbegun)?;
    moving::run(&mut source, &mut *destination, false, progress).await
}

async fn to_file(stage: &Stage, file: &Path, options: MoveOptions) -> Result<MoveReport, MoveFailure> {
    to_file_with(stage, file, options, &go_on).await
}

async fn to_file_with(
    stage: &Stage,
    file: &Path,
    options: MoveOptions,
    progress: moving::ProgressCallback<'_>,
) -> Result<MoveReport, MoveFailure> {
    let url = Secret::new(stage.url.clone());
    let source = Database.move_from(&url, options).await;
    let mut source = source.map_err(|error| MoveFailure { error, is_begun: false })?;
    let aside = options.replaces.then(|| file.with_extension("aside"));
    let mut destination = SqliteDestination::new(file, aside);
    moving::run(&mut *source, &mut destination, false, progress).await
}

fn everything() -> ListPage {
    ListPage { limit: 1000, ..ListPage::default() }
}

/// Returns what commands show of a journal in a file, a line for each row.
fn picture(file: &Path) -> Vec<String> {
    let reader = FileReader::open(file).unwrap();
    let rows = reader.list(&Filter::default(), &everything()).unwrap();
    let mut lines: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    lines.extend(rows.iter().map(|row| format!("{:?}", reader.show(row.id).unwrap())));
    let enriched = reader.asked_for(&rows).unwrap();
    lines.push(format!("{enriched:?}"));
    lines.extend(reader.unreadable(-1, 100).unwrap().iter().map(|message| format!("{message:?}")));
    lines.push(format!("{:?}", reader.seen().unwrap()));
    lines.push(format!("{:?} {:?}", reader.overview().unwrap(), reader.tally().unwrap()));
    lines
}

/// Returns what commands show of deliveries and the quarantine in the database.
async fn shown(member: &PostgresJournal) -> Vec<String> {
    let (rows, _) = within(member.list(Filter::default(), everything(), 1000)).await.unwrap();
    let mut lines: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    for row in &rows {
        lines.push(format!("{:?}", within(member.show(row.id)).await.unwrap()));
    }
    let unread =
        within(member.quarantined(UnreadableFilter::default(), -1, 100, Bodies::Read)).await.unwrap();
    lines.extend(unread.iter().map(|message| format!("{message:?}")));
    lines
}

#[track_caller]
fn assert_same(found: &[String], expected: &[String]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[tokio::test]
async fn a_journal_that_went_to_the_database_and_back_is_the_same() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = filled(&folder).await;
    let before = picture(&file);
    let moved = to_database(&file, &stage, OPTIONS).await.unwrap();
    assert_eq!(moved.notes, ["texts with a NUL character, which is U+FFFD now: 1"]);
    stage.tally();
    let seen =
        "SELECT resources, messages, version > (SELECT max(touched) FROM osnl_seen) FROM osnl_seen_version";
    assert_eq!(stage.rows(seen), "2|0|t");
    {
        // Nothing is claimed, so that nothing changes.
        let member = stage.member("a");
        let before: Vec<String> =
            before.iter().map(|line| line.replace("nul \\0 name", "nul \u{fffd} name")).collect();
        let shown = shown(&member).await;
        let deliveries = moved.rows[&JournalTable::Deliveries] as usize;
        assert_same(&shown[..2 * deliveries], &before[..2 * deliveries]);
        // The enrichments are between.
        let unread = &before[2 * deliveries + 1..before.len() - 2];
        assert_same(&shown[2 * deliveries..], unread);
        let overview = within(member.overview()).await.unwrap();
        assert_eq!(overview.contents.unwrap().paused_by["paused"], "eve");
        within(member.close()).await;
    }
    let back = folder.path().join("back.db");
    let again = to_file(&stage, &back, OPTIONS).await.unwrap();
    assert_eq!((again.rows, again.digest, again.deliveries), (moved.rows, moved.digest, moved.deliveries));
    let expected: Vec<String> =
        before.iter().map(|line| line.replace("nul \\0 name", "nul \u{fffd} name")).collect();
    assert_same(&picture(&back), &expected);
    let reopened = SqliteJournal::open(options_of(&back), Arc::default()).unwrap();
    within(reopened.close()).await;
    drop(reopened);
    assert_same(&picture(&back), &expected);
}

fn options_of(file: &Path) -> SqliteOptions {
    SqliteOptions { allow_volatile: true, ..SqliteOptions::new(file) }
}

fn file_of(folder: &TempDir) -> PathBuf {
    folder.path().join("journal.db")
}

/// Ends each delivery of an action as it becomes claimable; returns the ids of their messages.
async fn ends(journal: &dyn Journal, action: &str, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        for claimed in within(journal.claim(action, ClaimLimits::in_order(1))).await {
            all.push(claimed.event.notification.unique_id.clone().unwrap_or_default());
            journal.end(claimed.id, Outcome::Delivered.into());
        }
    }
    all
}

/// Keeps a number of messages about two resources, of which the first has failed.
async fn waiting(journal: &dyn Journal) {
    for n in 0..12 {
        let key = if n % 2 == 0 { "even" } else { "odd" };
        within(append(journal, entry(&n.to_string(), key, false)).await).await;
    }
}

fn by_resource(ids: &[String]) -> [Vec<&String>; 2] {
    let of = |rest| ids.iter().filter(|id| id.parse::<u32>().unwrap() % 2 == rest).collect();
    [of(0), of(1)]
}

#[tokio::test]
async fn what_waits_of_a_resource_is_delivered_in_its_order_in_both_directions() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = file_of(&folder);
    let journal = SqliteJournal::open(options_of(&file), Arc::default()).unwrap();
    waiting(&journal).await;
    assert_eq!(ends(&journal, "a", 1).await.len(), 1);
    within(journal.close()).await;
    drop(journal);
    to_database(&file, &stage, OPTIONS).await.unwrap();
    let member = stage.member("a");
    let mut all = ends(&member, "a", 5).await;
    within(member.close()).await;
    drop(member);
    let back = folder.path().join("back.db");
    to_file(&stage, &back, OPTIONS).await.unwrap();
    let journal = SqliteJournal::open(options_of(&back), Arc::default()).unwrap();
    // It has numbers of its own: no two messages have the same.
    within(append(&journal, entry("12", "even", false)).await).await;
    let left = FileReader::open(&back).unwrap().tally().unwrap();
    let open: u64 = left.iter().filter(|of| of.state.is_open()).map(|of| of.count).sum();
    all.extend(ends(&journal, "a", open as usize).await);
    for ids in by_resource(&all) {
        let numbers: Vec<u32> = ids.iter().map(|id| id.parse().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers.len() >= 5, "{numbers:?}");
    }
    assert_eq!(all.iter().max_by_key(|id| id.parse::<u32>().unwrap()).unwrap(), "12");
}

/// Messages that the broker delivers again after the move.
#[tokio::test]
async fn copies_of_moved_messages_are_known() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = filled(&folder).await;
    let nameless = filled::nameless(true);
    to_database(&file, &stage, OPTIONS).await.unwrap();
    let count = || stage.rows("SELECT count(*), sum(copies) FROM osnl_arrival");
    let before = count();
    let member = stage.member("a");
    for again in [entry("r1", "device", true), nameless.clone()] {
        within(append(&member, again).await).await;
    }
    let (events, copies) = before.split_once('|').unwrap();
    assert_eq!(count(), format!("{events}|{}", copies.parse::<u32>().unwrap() + 2));
    within(append(&member, entry("new", "device", false)).await).await;
    let number = "SELECT max(id) > (SELECT max(id) FROM osnl_arrival WHERE unique_id <> 'new') FROM osnl_arrival WHERE unique_id = 'new'";
    assert_eq!(stage.rows(number), "t");
    within(member.close()).await;
    drop(member);

    let back = folder.path().join("back.db");
    to_file(&stage, &back, OPTIONS).await.unwrap();
    let journal = SqliteJournal::open(options_of(&back), Arc::default()).unwrap();
    let events = || FileReader::open(&back).unwrap().overview().unwrap().events;
    let before = events();
    for again in [entry("r1", "device", true), nameless, entry("new", "device", true)] {
        within(append(&journal, again).await).await;
    }
    assert_eq!(events(), before);
}

/// Deliveries that no owner has admitted are moved as their owner would admit them.
#[tokio::test]
async fn what_has_arrived_gets_its_turn_on_the_way() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let a = stage.member("a");
    keep(&a, "1", "k").await;
    let resume = pause(&a);
    let b = stage.member("b");
    for (id, key) in [("2", "k"), ("3", "other"), ("4", "other")] {
        keep(&b, id, key).await;
    }
    for (begin, id) in
        [(Begin::Held("guard".into()), "5"), (Begin::Shadow, "6"), (Begin::Dead("no".into()), "7")]
    {
        let mut new = entry(id, "third", false);
        new.deliveries[0].begin = begin;
        within(append(&b, new).await).await;
    }
    keep(&b, "8", "third").await;
    within(b.close()).await;
    drop(b);
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_delivery WHERE state = -1"), "7");
    let file = file_of(&folder);
    to_file(&stage, &file, OPTIONS).await.unwrap();
    let rows = FileReader::open(&file).unwrap().list(&Filter::default(), &everything()).unwrap();
    let states: Vec<&str> = rows.iter().map(|row| row.state.name()).collect();
    let expected = ["ready", "waiting", "ready", "waiting", "held", "shadow", "dead", "waiting"];
    assert_eq!(states, expected);
    assert_eq!(rows[7].waits_for, Some(rows[4].id));

    // The member that was silent can neither deliver nor keep anything there.
    drop(resume);
    within(a.look()).await;
    assert!(claimable(&a, "a").await.is_empty());
    let arrivals = stage.rows("SELECT count(*) FROM osnl_arrival");
    let late = append(&a, entry("9", "k", false)).now_or_never();
    assert!(late.is_none_or(|receipt| receipt.now_or_never() != Some(Settle::Acknowledge)));
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_arrival"), arrivals);
    assert_eq!(stage.rows("SELECT count(*) FROM osnl_partition"), "0");
}

#[tokio::test]
async fn large_messages_are_moved_a_few_at_a_time() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = file_of(&folder);
    let journal = SqliteJournal::open(options_of(&file), Arc::default()).unwrap();
    for n in 0..7 {
        let mut new = entry(&n.to_string(), "k", false);
        let mut received = (*new.received).clone();
        let long = format!("{{\"padding\": \"{}\", ", "x".repeat(3 << 20));
        let body = String::from_utf8_lossy(&received.body).into_owned();
        received.body = body.replacen('{', &long, 1).into();
        new.received = received.into();
        within(append(&journal, new).await).await;
    }
    within(journal.close()).await;
    drop(journal);
    let steps = std::cell::Cell::new(0);
    let count = |_, _| {
        steps.set(steps.get() + 1);
        ControlFlow::Continue(())
    };
    let moved = to_database_with(&file, &stage, OPTIONS, &count).await.unwrap();
    // Two messages in a block, written and read; the deliveries in one; and the end.
    assert_eq!(steps.get(), 4 * 2 + 2 + 1);
    let back = folder.path().join("back.db");
    assert_eq!(to_file(&stage, &back, OPTIONS).await.unwrap().digest, moved.digest);
}

/// The program that moves a journal does not read the configuration: the rows say that they wait for no other.
#[tokio::test]
async fn what_waits_for_a_digest_has_one_owner_in_the_database() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = file_of(&folder);
    let journal = SqliteJournal::open(options_of(&file), Arc::default()).unwrap();
    for n in 0..8 {
        for (action, ordered) in [("digest", false), ("plain", true)] {
            let mut new = entry(&format!("{action}{n}"), &n.to_string(), false);
            (new.deliveries[0].action, new.deliveries[0].ordered) = (action.into(), ordered);
            within(append(&journal, new).await).await;
        }
    }
    within(journal.close()).await;
    drop(journal);
    to_database(&file, &stage, OPTIONS).await.unwrap();
    let found = stage.rows(
        "SELECT action, count(DISTINCT partition) > 1 FROM osnl_delivery GROUP BY action ORDER BY action",
    );
    assert_eq!(found, "digest|f\nplain|t");
    let member = stage.member("a");
    assert_eq!(claimable(&member, "digest").await.len(), 8);
}
