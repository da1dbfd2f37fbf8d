use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rusqlite::hooks::{AuthContext, Authorization};

use super::super::checkpoint::Checkpointer;
use super::super::connection;
use super::super::left::holes;
use super::super::upkeep;
use super::*;
use crate::files::beside;
use crate::query::JournalQueries as _;

fn has_holes(file: &Path) -> bool {
    let file = fs::File::open(file).unwrap();
    let holes = holes(&file).unwrap();
    // A process that closes a descriptor of the file loses the locks of its connections.
    std::mem::forget(file);
    !holes.is_empty()
}

fn reason(state: &JournalState) -> String {
    match state {
        JournalState::Working => "working".to_owned(),
        JournalState::Full { reason, .. } | JournalState::Failed { reason, .. } => reason.clone(),
    }
}

async fn check(breaking: &'static str, expected: &str, mending: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    keep(&journal, "2", "k").await;
    let claimed = claim(&journal, "a", 1).await;
    let mut permit = within(journal.reserve(&["a".into()], 2)).await;
    tamper(&journal, breaking).await;

    // The failing append precedes the other, which can only wait.
    let large = entry("3", &"x".repeat(200_000), false);
    let mut receipt;
    if breaking.contains("max_page_count") {
        receipt = journal.append(&mut permit, large);
        journal.end(claimed[0].id, Outcome::Delivered.into());
    } else {
        journal.end(claimed[0].id, Outcome::Delivered.into());
        receipt = journal.append(&mut permit, large);
    }
    let failed = wait_for(&journal, |state| !state.takes_outcomes()).await;
    assert!(reason(&failed).contains(expected), "{breaking}: {}", reason(&failed));
    assert!(journal.reserve(&["a".into()], 1).now_or_never().is_none());
    assert!(journal.claim("a", ClaimLimits::in_order(1)).now_or_never().is_none());
    assert!((&mut receipt).now_or_never().is_none());
    assert_eq!(states(&reader(&folder)), [("m1".to_owned(), "ready"), ("m2".to_owned(), "waiting")]);

    tamper(&journal, mending).await;
    assert_eq!(within(receipt).await, Settle::Acknowledge);
    wait_for(&journal, JournalState::takes_entries).await;
    let next = claim(&journal, "a", 2).await;
    let mut names = names(&next);
    names.sort_unstable();
    assert_eq!(names, ["2", "3"], "{breaking}");
    let states = states(&reader(&folder));
    assert_eq!(states[0], ("m1".to_owned(), "delivered"), "{breaking}");
    keep(&journal, "4", "k").await;
}

#[tokio::test]
async fn a_full_disk_stops_the_intake_until_there_is_room() {
    check("PRAGMA max_page_count = 1", "make room", "PRAGMA max_page_count = 1000000").await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_does_too() {
    check("PRAGMA query_only = 1", "give this user write access", "PRAGMA query_only = 0").await;
}

#[tokio::test]
async fn an_end_and_the_next_of_its_key_are_one_step() {
    let refuse = "CREATE TEMP TRIGGER refuse BEFORE UPDATE OF state ON main.delivery WHEN NEW.state = 1 \
                  BEGIN SELECT RAISE(ABORT, 'no promotion'); END";
    check(refuse, "no promotion", "DROP TRIGGER refuse").await;
}

#[tokio::test]
async fn what_cannot_be_written_at_the_end_is_left_to_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    tamper(&journal, "PRAGMA query_only = 1").await;
    let receipt = append(&journal, entry("1", "k", false)).await;
    wait_for(&journal, |state| !state.takes_outcomes()).await;
    within(journal.close()).await;
    assert_eq!(within(receipt).await, Settle::Leave);
    assert_eq!(states(&reader(&folder)), []);
}

#[tokio::test]
async fn a_file_that_was_removed_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    let path = options(&folder).path;
    for name in ["journal.db-shm", "journal.db-wal", "journal.db"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    osnl_testkit::wait_until(Duration::from_secs(60), "it is there again", || path.exists());
    keep(&journal, "2", "k").await;
    wait_for(&journal, JournalState::takes_entries).await;
    assert_eq!(states(&reader(&folder)), [("m1".to_owned(), "ready"), ("m2".to_owned(), "waiting")]);
    drop(journal);
    let journal = open(&folder);
    assert_eq!(names(&claim(&journal, "a", 1).await), ["1"]);
}

/// Opens a journal of 40 events whose pages are all copied from its WAL.
async fn open_checkpointed() -> (TempDir, PathBuf, SqliteJournal) {
    let folder = tempfile::tempdir().unwrap();
    let path = options(&folder).path;
    let journal = open(&folder);
    for n in 0..40 {
        keep(&journal, &n.to_string(), "k").await;
    }
    tamper(&journal, "PRAGMA wal_checkpoint(PASSIVE)").await;
    (folder, path, journal)
}

/// Breaks a file whose pages are all copied from its WAL, and returns what the daemon reads then.
async fn check_anew(breaking: fn(&Path)) {
    let (folder, path, journal) = open_checkpointed().await;
    let journal = Arc::new(journal);
    let queries = SqliteQueries::for_daemon(journal.clone());
    breaking(&path);
    // Damage within the file is found by a reader; a loss of bytes needs none.
    let _ = within(queries.numbers()).await;
    keep(&journal, "after", "k").await;
    wait_for(&journal, JournalState::takes_entries).await;
    let verified = upkeep::verify(&path, &(Arc::new(|_| ControlFlow::Continue(())) as upkeep::Observer));
    let verified = verified.unwrap();
    assert_eq!((verified.contents.events, verified.problems), (41, Vec::new()));
    assert_eq!(within(queries.numbers()).await.unwrap().tally.iter().map(|of| of.count).sum::<u64>(), 41);
    drop(queries);
    within(journal.close()).await;
    drop(journal);
    assert_eq!(states(&reader(&folder)).len(), 41);
}

fn cut(file: &Path, bytes: u64) {
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(bytes).unwrap();
}

fn overwrite(file: &Path) {
    let file = fs::OpenOptions::new().write(true).open(file).unwrap();
    for page in 1..file.metadata().unwrap().len() / 4096 {
        file.write_all_at(&[0x5a; 4096], page * 4096).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_it_was_is_written_anew_before_the_next_acknowledgement() {
    check_anew(|file| cut(file, 0)).await;
    check_anew(|file| cut(file, 8192)).await;
    check_anew(|file| cut(&beside(file, "-wal"), 100)).await;
    check_anew(|file| fs::remove_file(beside(file, "-wal")).unwrap()).await;
    check_anew(overwrite).await;
}

#[tokio::test]
async fn a_file_that_is_cut_during_a_checkpoint_is_written_anew() {
    let (folder, path, journal) = open_checkpointed().await;
    keep(&journal, "40", "k").await;
    let (bytes, file) = (fs::metadata(&path).unwrap().len(), path.clone());
    let mut connection = connection::connect(&path).unwrap();
    // Asked between the look at the file and the copying.
    let cut_now = move |_: AuthContext<'_>| {
        cut(&file, bytes - 10 * 4096);
        Authorization::Allow
    };
    connection.authorizer(Some(cut_now)).unwrap();
    journal.shared.checkpoint(&connection, &path);
    assert!(fs::metadata(&path).unwrap().len() >= bytes, "SQLite restores the size");
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).unwrap();
    drop(connection);
    keep(&journal, "after", "k").await;
    let verified = upkeep::verify(&path, &(Arc::new(|_| ControlFlow::Continue(())) as upkeep::Observer));
    let verified = verified.unwrap();
    assert_eq!((verified.contents.events, verified.problems), (42, Vec::new()));
    within(journal.close()).await;
    drop(journal);
    assert_eq!(states(&reader(&folder)).len(), 42);
}

#[tokio::test]
async fn a_page_that_a_reader_keeps_in_the_wal_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = options(&folder).path;
    let journal = open(&folder);
    tamper(
        &journal,
        "CREATE TABLE low (b); INSERT INTO low VALUES (zeroblob(3000)); \
        CREATE TABLE high (b); INSERT INTO high VALUES (randomblob(400000))",
    )
    .await;
    let reading = connection::connect(&path).unwrap();
    reading.execute_batch("BEGIN; SELECT count(*) FROM event").unwrap();
    // The page of `low` is written again, behind what the reader sees.
    tamper(&journal, "UPDATE low SET b = zeroblob(2000)").await;
    let copying = connection::connect(&path).unwrap();
    journal.shared.checkpoint(&copying, &path);
    assert!(has_holes(&path));
    let inode = fs::metadata(&path).unwrap().ino();
    keep(&journal, "41", "k").await;
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "the file is not written anew");
    reading.execute_batch("COMMIT").unwrap();
    journal.shared.checkpoint(&copying, &path);
    keep(&journal, "42", "k").await;
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "the file is not written anew");
}

#[tokio::test]
async fn a_file_that_is_cut_before_the_end_is_written_anew() {
    let (folder, path, journal) = open_checkpointed().await;
    cut(&path, fs::metadata(&path).unwrap().len() - 10 * 4096);
    within(journal.close()).await;
    drop(journal);
    let verified = upkeep::verify(&path, &(Arc::new(|_| ControlFlow::Continue(())) as upkeep::Observer));
    assert_eq!(verified.unwrap().problems, Vec::<String>::new());
    assert_eq!(states(&reader(&folder)).len(), 40);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_anew_takes_no_message() {
    // The idle checkpoint, a second after the start, may write all pages anew behind a cut: nothing is lost then.
    while !a_cut_file_with_an_obstacle_takes_no_message().await {}
}

/// Returns whether the file failed before the first idle checkpoint.
async fn a_cut_file_with_an_obstacle_takes_no_message() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let begun = std::time::Instant::now();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    let path = options(&folder).path;
    // A folder in the place of the copy.
    fs::create_dir(beside(&path, ".new")).unwrap();
    // The writer may see the cut by itself, and then gives no permit.
    let mut permit = within(journal.reserve(&["a".into(), "b".into()], 1)).await;
    cut(&path, 0);
    let receipt = journal.append(&mut permit, entry("2", "k", false));
    let failed = wait_for(&journal, |state| !state.takes_outcomes());
    let failed = match tokio::time::timeout(Duration::from_secs(5), failed).await {
        Ok(failed) if begun.elapsed() < Duration::from_millis(900) => failed,
        _ => return false,
    };
    let reason = reason(&failed);
    assert!(reason.contains("has been cut from 4096 to 0 bytes and cannot be written anew"), "{reason}");
    fs::remove_dir(beside(&path, ".new")).unwrap();
    assert_eq!(within(receipt).await, Settle::Acknowledge);
    assert_eq!(states(&reader(&folder)), [("m1".to_owned(), "ready"), ("m2".to_owned(), "waiting")]);
    true
}

#[tokio::test]
async fn a_file_that_cannot_be_replaced_loses_nothing_and_is_replaced_later() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    let path = options(&folder).path;
    let (wal, copy) = (beside(&path, "-wal"), beside(&path, ".saved"));
    // A folder in the place of the WAL, which is to be removed before the new file is put into its place.
    fs::remove_file(&wal).unwrap();
    fs::create_dir(&wal).unwrap();
    cut(&path, 0);
    let receipt = append(&journal, entry("2", "k", false)).await;
    let is_saved = |state: &JournalState| format!("{state:?}").contains("everything in it is in");
    let reason = reason(&wait_for(&journal, is_saved).await);
    assert!(reason.contains("which cannot take its place"), "{reason}");
    assert_eq!(states(&SqliteReader::open(&copy).unwrap()), [("m1".to_owned(), "ready")]);
    fs::remove_dir(&wal).unwrap();
    assert_eq!(within(receipt).await, Settle::Acknowledge);
    assert_eq!(states(&reader(&folder)), [("m1".to_owned(), "ready"), ("m2".to_owned(), "waiting")]);
    assert!(!copy.exists());

    // A daemon that ended before is not started without what it had saved.
    drop(journal);
    fs::write(&copy, "a copy").unwrap();
    let refused = SqliteJournal::open(options(&folder), Arc::default()).err().unwrap().to_string();
    assert!(refused.contains("journal.db.saved has everything that was in it"), "{refused}");
}

#[tokio::test]
async fn what_another_program_makes_smaller_in_order_is_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    let path = options(&folder).path;
    let inode = || fs::metadata(&path).unwrap().ino();
    let before = inode();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.busy_timeout(Duration::from_secs(60)).unwrap();
    // The journal's own checkpoint keeps it out.
    osnl_testkit::wait_until(Duration::from_secs(60), "the WAL is truncated", || {
        other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).unwrap() == 0
    });
    assert_eq!(fs::metadata(beside(&path, "-wal")).unwrap().len(), 0);
    keep(&journal, "2", "k").await;
    assert_eq!((inode(), states(&reader(&folder)).len()), (before, 2));
}

#[tokio::test]
async fn a_reader_that_keeps_the_wal_is_known_as_long_as_it_reads() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(open(&folder));
    keep(&journal, "1", "k").await;
    let queries = SqliteQueries::for_daemon(journal.clone());
    let holding = reader(&folder);
    holding.0.execute_batch("BEGIN; SELECT count(*) FROM event").unwrap();
    keep(&journal, "2", "k").await;
    let held = || queries.facts().wal_held.is_some();
    osnl_testkit::wait_until(Duration::from_secs(60), "the WAL is held", held);
    holding.0.execute_batch("COMMIT").unwrap();
    osnl_testkit::wait_until(Duration::from_secs(60), "it is copied", || !held());
}

#[tokio::test]
async fn a_file_that_was_replaced_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    keep(&journal, "1", "k").await;
    let (path, aside) = (options(&folder).path, folder.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    fs::write(&path, "something else").unwrap();
    let failed = wait_for(&journal, |state| !state.takes_outcomes()).await;
    assert!(reason(&failed).contains("has been replaced by another file"), "{}", reason(&failed));
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else");
    fs::rename(&aside, &path).unwrap();
    wait_for(&journal, JournalState::takes_entries).await;
    keep(&journal, "2", "k").await;
}

#[tokio::test]
async fn damage_is_named_at_the_start_and_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = options(&folder).path;
    let refused = || SqliteJournal::open(options(&folder), Arc::default()).unwrap_err().to_string();
    fs::write(&path, "no database, and longer than the header of one would be: ".repeat(20)).unwrap();
    assert_eq!(
        refused(),
        "is not a journal of osnl: it is not an SQLite file; name a file that does not exist yet"
    );
    fs::remove_file(&path).unwrap();

    let journal = open(&folder);
    for n in 0..40 {
        keep(&journal, &n.to_string(), "k").await;
    }
    drop(journal);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // All pages but the first, with header and schema, are overwritten.
    let pages = file.metadata().unwrap().len() / 4096;
    for page in 1..pages {
        file.write_all_at(&[0x5a; 4096], page * 4096).unwrap();
    }
    // Depending on the page, the open fails or the first command that needs the page.
    match SqliteJournal::open(options(&folder), Arc::default()) {
        Err(error) => assert!(error.to_string().contains("the file is damaged"), "{error}"),
        Ok(journal) => {
            assert!(journal.claim("a", ClaimLimits::in_order(1)).now_or_never().is_none());
            let failed = wait_for(&journal, |state| !state.takes_outcomes()).await;
            assert!(reason(&failed).contains("the file is damaged"), "{}", reason(&failed));
        }
    }
}

#[tokio::test]
async fn a_thread_that_panics_is_reported_with_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    journal.send(SqliteCommand::Do(Box::new(|_| panic!("told so"))));
    assert_eq!(within(journal.ends().first()).await.to_string(), "journal ended unexpectedly: told so");
    let failed = wait_for(&journal, |state| matches!(state, JournalState::Failed { .. })).await;
    assert!(
        matches!(&failed, JournalState::Failed { reason, .. } if reason.contains("restart osnl")),
        "{failed:?}"
    );

    let ends = EndReports::default();
    let checkpointer = Checkpointer::start(&ends, |_| panic!("told so")).unwrap();
    checkpointer.set(Some(rusqlite::Connection::open_in_memory().unwrap()));
    checkpointer.ask();
    let expected = "journal checkpointer ended unexpectedly: told so";
    assert_eq!(within(ends.first()).await.to_string(), expected);
}
