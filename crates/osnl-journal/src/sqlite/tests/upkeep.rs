//! Issue 20: copies of a journal in use, a restored journal, and the problems of a damaged one.

mod size;

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use rusqlite::Connection;

use super::super::connection::connect;
use super::super::upkeep::{
    BackupSource, Contents, Observer, RestoreOptions, RestoreReport, UpkeepError, UpkeepProgress, backup,
    compact, restore, verify,
};
use super::*;
use crate::PauseNote;
use crate::query::{Filter, ListPage, Phase};

fn quiet() -> Observer {
    Arc::new(|_| ControlFlow::Continue(()))
}

fn ids(report: &RestoreReport) -> Vec<String> {
    let since = report.replaced.as_ref().and_then(|replaced| replaced.since.as_ref());
    since.unwrap().ended.iter().map(ToString::to_string).collect()
}

async fn filled() -> (TempDir, SqliteJournal, ClaimedDelivery) {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for (id, key) in [("1", "a"), ("2", "b"), ("3", "c"), ("4", "c")] {
        keep(&journal, id, key).await;
    }
    let mut claimed = claim(&journal, "a", 3).await;
    let in_hand = claimed.pop().unwrap();
    journal.end(claimed[0].id, Outcome::Delivered.into());
    journal.end(claimed[1].id, Outcome::Dead("given up".into()).into());
    keep(&journal, "5", "d").await;
    (folder, journal, in_hand)
}

fn made(journal: &Path, to: &Path) -> Contents {
    backup(journal, to, false, &quiet()).unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_is_one_moment_of_a_journal_that_is_in_use() {
    let (folder, journal, _in_hand) = filled().await;
    let (file, copies) = (options(&folder).path, tempfile::tempdir().unwrap());
    let copy = copies.path().join("copy.db");
    let contents = made(&file, &copy);
    assert_eq!((contents.events, contents.open, contents.dead, contents.schema), (5, 3, 1, 1));
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(files(copies.path()), ["copy.db"]);
    keep(&journal, "6", "e").await;
    let verified = verify(&copy, &quiet()).unwrap();
    assert_eq!((verified.contents, verified.problems), (contents, Vec::new()));
    assert_eq!(verify(&file, &quiet()).unwrap().contents.events, 6);
    let error = backup(&file, &copy, false, &quiet()).unwrap_err();
    assert!(matches!(error, UpkeepError::Exists { .. }), "{error}");
    assert_eq!(backup(&file, &copy, true, &quiet()).unwrap().events, 6);
    let opened = open_with(SqliteOptions::new(&copy).bounded(|bounds| bounds.allow_volatile = true));
    assert_eq!(names(&claim(&opened, "a", 3).await), ["3", "5", "6"]);
    let error = backup(&file, &copy, true, &quiet()).unwrap_err();
    assert!(matches!(error, UpkeepError::InUse { .. }), "{error}");
}

#[tokio::test]
async fn names_of_any_bytes_are_names_of_copies() {
    let (folder, _journal, _in_hand) = filled().await;
    let copies = tempfile::tempdir().unwrap();
    for name in [
        &b"file:x?mode=memory"[..],
        b"a'b\"c",
        b"-rf",
        b":memory:",
        b"two\nlines \x1b[2J",
        b"not UTF-8 \xff\xfe",
        "\u{202e}bd.ypoc %s ☃".as_bytes(),
    ] {
        let copy = copies.path().join(OsStr::from_bytes(name));
        assert_eq!(made(&options(&folder).path, &copy).events, 5, "{copy:?}");
        assert!(std::fs::metadata(&copy).unwrap().len() > 0, "{copy:?}");
        assert_eq!(verify(&copy, &quiet()).unwrap().problems, [""; 0], "{copy:?}");
        std::fs::remove_file(&copy).unwrap();
    }
    assert_eq!(files(copies.path()), [""; 0]);
}

#[tokio::test]
async fn nothing_is_written_where_it_would_do_harm() {
    let (folder, _journal, _in_hand) = filled().await;
    let (file, copies) = (options(&folder).path, tempfile::tempdir().unwrap());
    let place = |name: &str| copies.path().join(name);
    let check = |to: &Path, replace: bool, expected: &str| {
        let before = files(copies.path());
        let error = backup(&file, to, replace, &quiet()).unwrap_err().to_string();
        assert!(error.contains(expected), "{to:?}: {error}");
        assert_eq!(files(copies.path()), before, "{to:?}");
    };
    let way = place("way");
    symlink(folder.path(), &way).unwrap();
    let before = files(folder.path());
    for more in [
        "",
        "-wal",
        "-shm",
        "-journal",
        ".lock",
        ".dead.jsonl",
        ".dead.jsonl.1",
        ".quarantine.jsonl",
        ".quarantine.jsonl.1",
        ".saved",
        ".new",
        ".new-journal",
        ".part",
        ".part-journal",
        ".received",
        ".received-journal",
        ".unmatched",
        ".unmatched.1",
        ".rules",
        ".rules.new",
    ] {
        let name = format!("journal.db{more}");
        check(&folder.path().join(&name), true, "belongs to the journal itself");
        check(&way.join(&name), true, "belongs to the journal itself");
        assert_eq!(files(folder.path()), before, "{name}");
    }
    for name in ["journal.db.copy", "journal.db.newer", "journal.db.replaced-20261120T070000Z"] {
        assert_eq!(made(&file, &folder.path().join(name)).events, 5, "{name}");
    }
    std::fs::write(place("victim"), "kept").unwrap();
    symlink(place("victim"), place("link")).unwrap();
    symlink(place("nowhere"), place("dangling")).unwrap();
    for link in ["link", "dangling"] {
        check(&place(link), true, "is a symbolic link");
        check(&place(link), false, "is a symbolic link");
    }
    check(&place("way/.."), true, "it is not a file");
    check(copies.path(), false, "it is not a file");
    check(&place("none/copy.db"), false, "there is no such folder");
    // SQLite would apply a WAL of another file to the copy.
    std::fs::write(place("old.db-wal"), "frames").unwrap();
    check(&place("old.db"), false, "would damage this one");
    // A link in place of a part file is not followed, and a part file in use is left alone.
    symlink(place("victim"), place("x.db.part")).unwrap();
    check(&place("x.db"), false, "x.db.part");
    assert_eq!(std::fs::read_to_string(place("victim")).unwrap(), "kept");
    let other = std::fs::File::create(place("y.db.part")).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
    check(&place("y.db"), false, "another osnl is writing it");
    drop(other);
    assert_eq!(made(&file, &place("y.db")).events, 5);
}

#[tokio::test]
async fn another_file_is_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let check = |name: &str, expected: &str| {
        for error in [
            backup(&place(name), &place("copy"), false, &quiet()).unwrap_err(),
            verify(&place(name), &quiet()).unwrap_err(),
            compact(&place(name), &quiet()).unwrap_err(),
            restored(&place(name), &place("new.db"), None).unwrap_err(),
        ] {
            assert!(error.to_string().contains(expected), "{name}: {error}");
        }
        assert!(
            !place("copy").exists() && !place("copy.part").exists() && !place("new.db").exists(),
            "{name}"
        );
    };
    check("none.db", "there is no journal");
    check(".", "it is not a file");
    std::fs::write(place("empty"), "").unwrap();
    check("empty", "is not a journal of osnl: it is empty");
    std::fs::write(
        place("text"),
        "longer than the head of a database, so that SQLite reads it as one ".repeat(9),
    )
    .unwrap();
    check("text", "is not a journal of osnl: it is not an SQLite file");
    Connection::open(place("other")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    check("other", "is not a journal of osnl: it holds another program's tables");
    for (name, why) in [
        (".", "it is a folder"),
        ("empty", "it is empty"),
        ("text", "it is not an SQLite file"),
        ("other", "it holds another program's tables"),
    ] {
        let said = SqliteReader::open(&place(name)).unwrap_err().to_string();
        assert_eq!(said, format!("is not a journal of osnl: {why}; name the file of a journal"));
    }
    let newer = format!("{} PRAGMA user_version = 11", osnl_testkit::fixture::text("journal/v1.sql"));
    Connection::open(place("newer")).unwrap().execute_batch(&newer).unwrap();
    check("newer", "was written by a newer osnl");
}

#[tokio::test]
async fn a_backup_with_a_trigger_is_refused_and_no_trigger_acts() {
    let (folder, journal, _in_hand) = filled().await;
    let (file, copy) = (options(&folder).path, folder.path().join("copy.db"));
    made(&file, &copy);
    let trigger = "CREATE TRIGGER grow AFTER INSERT ON attempt BEGIN DELETE FROM delivery; END";
    Connection::open(&copy).unwrap().execute_batch(trigger).unwrap();
    let expected = "has a trigger named grow, which osnl did not make";
    let new = folder.path().join("new.db");
    for error in [
        verify(&copy, &quiet()).unwrap_err(),
        restored(&copy, &new, None).unwrap_err(),
        backup(&copy, &new, false, &quiet()).unwrap_err(),
        compact(&copy, &quiet()).unwrap_err(),
    ] {
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(!new.exists());
    let volatile = SqliteOptions::new(copy.clone()).bounded(|bounds| bounds.allow_volatile = true);
    let error = SqliteJournal::open(volatile, Arc::default()).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
    drop(journal);
    let connection = connect(&copy).unwrap();
    connection.execute("INSERT INTO attempt (delivery, slot, at, answer) VALUES (1, 1, 1, '')", []).unwrap();
    let left: i64 = connection.query_row("SELECT count(*) FROM delivery", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 5);
}

#[tokio::test]
async fn a_call_that_is_stopped_leaves_nothing() {
    let (folder, journal, _in_hand) = filled().await;
    let file = options(&folder).path;
    made(&file, &folder.path().join("copy.db"));
    drop(journal);
    let before = files(folder.path());
    let stopping: Observer = Arc::new(|_| ControlFlow::Break(()));
    let stopped = |error: UpkeepError| assert!(matches!(error, UpkeepError::Interrupted), "{error}");
    stopped(backup(&file, &folder.path().join("x"), false, &stopping).unwrap_err());
    stopped(compact(&file, &stopping).unwrap_err());
    stopped(verify(&file, &stopping).unwrap_err());
    let options = RestoreOptions { aside: Some(folder.path().join("aside")), pause_by: None };
    let from = folder.path().join("copy.db");
    stopped(restore(BackupSource::File(&from), &file, &options, &stopping).unwrap_err());
    stopped(
        restore(BackupSource::File(&from), &folder.path().join("new.db"), &options, &stopping).unwrap_err(),
    );
    let left: Vec<_> = files(folder.path()).into_iter().filter(|name| !name.ends_with(".lock")).collect();
    let before: Vec<_> = before.into_iter().filter(|name| !name.ends_with(".lock")).collect();
    assert_eq!(left, before);
    assert_eq!(verify(&file, &quiet()).unwrap().problems, [""; 0]);
}

fn restored(from: &Path, journal: &Path, aside: Option<&str>) -> Result<RestoreReport, UpkeepError> {
    let aside = aside.map(|name| journal.with_file_name(name));
    restore(BackupSource::File(from), journal, &RestoreOptions { aside, pause_by: Some("anna") }, &quiet())
}

#[tokio::test]
async fn a_restored_journal_repeats_what_was_pending_and_names_what_was_made_since() {
    let (folder, journal, in_hand) = filled().await;
    let file = options(&folder).path;
    let copy = folder.path().join("copy.db");
    made(&file, &copy);
    journal.end(in_hand.id, Outcome::Delivered.into());
    keep(&journal, "6", "e").await;
    let error = restored(&copy, &file, Some("aside")).unwrap_err();
    assert!(matches!(error, UpkeepError::InUse { .. }), "{error}");
    drop(journal);
    let error = restored(&copy, &file, None).unwrap_err();
    assert!(matches!(error, UpkeepError::Exists { .. }), "{error}");
    let is_open = Connection::open(&file).unwrap();
    is_open.query_row("SELECT count(*) FROM event", [], |_| Ok(())).unwrap();
    let error = restored(&copy, &file, Some("aside")).unwrap_err();
    assert!(matches!(error, UpkeepError::Busy(_)), "{error}");
    drop(is_open);

    let report = restored(&copy, &file, Some("aside")).unwrap();
    assert_eq!((report.contents.events, report.paused.as_slice()), (5, &["a".to_owned()][..]));
    assert_eq!(ids(&report), ["3.0"]);
    let replaced = report.replaced.unwrap();
    assert_eq!(replaced.since.unwrap().events, 1);
    assert_eq!(verify(&replaced.file, &quiet()).unwrap().contents.events, 6);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let journal = open(&folder);
    let note = PauseNote { by: "anna".to_owned(), reason: Some("restored from a backup".to_owned()) };
    assert_eq!(journal.paused().borrow()["a"].note, Some(note));
    keep(&journal, "7", "f").await;
    let kept: Vec<_> = reader(&folder).list(&Filter::default(), &ListPage::default()).unwrap();
    let kept: Vec<_> = kept.iter().map(|row| (row.id.to_string(), Phase::word_of(row.state))).collect();
    let expected = [
        ("1.0", "delivered"),
        ("2.0", "dead"),
        ("3.0", "ready"),
        ("4.0", "waiting"),
        ("5.0", "ready"),
        ("7.0", "ready"),
    ];
    assert_eq!(kept, expected.map(|(id, state)| (id.to_owned(), state)));
    assert_eq!(files(folder.path()).iter().filter(|name| name.contains(".part")).count(), 0);
}

#[tokio::test]
async fn the_copy_that_a_killed_restore_has_received_can_be_restored() {
    let (folder, _journal, _in_hand) = filled().await;
    let [new, received] = ["new.db", "new.db.received"].map(|name| folder.path().join(name));
    let contents = made(&options(&folder).path, &received);
    let options = RestoreOptions { aside: None, pause_by: None };
    let report = restore(BackupSource::File(&received), &new, &options, &quiet()).unwrap();
    assert_eq!((report.contents, received.exists()), (contents, true));
}

#[tokio::test]
async fn a_backup_comes_from_standard_input_and_replaces_a_damaged_journal() {
    let (folder, journal, _in_hand) = filled().await;
    let file = options(&folder).path;
    let copy = folder.path().join("copy.db");
    let contents = made(&file, &copy);
    drop(journal);
    std::fs::write(&file, "no journal any more").unwrap();
    std::fs::write(folder.path().join("journal.db-wal"), "frames of the damaged one").unwrap();
    let bytes = std::fs::read(&copy).unwrap();
    let options = RestoreOptions { aside: Some(folder.path().join("aside")), pause_by: None };
    let received: Arc<Mutex<u64>> = Arc::default();
    let seen = received.clone();
    let observer: Observer = Arc::new(move |UpkeepProgress { done, of }| {
        let mut most = seen.lock().unwrap();
        *most = if of == 0 { done.max(*most) } else { *most };
        ControlFlow::Continue(())
    });
    let report = restore(BackupSource::Stream(&mut &bytes[..]), &file, &options, &observer).unwrap();
    assert_eq!(*received.lock().unwrap(), bytes.len() as u64);
    assert_eq!(report.contents, contents);
    assert_eq!(report.replaced.unwrap().since, None);
    assert_eq!(
        files(folder.path()),
        ["aside", "aside-shm", "aside-wal", "copy.db", "journal.db", "journal.db.lock"]
    );
    assert_eq!(std::fs::read_to_string(folder.path().join("aside")).unwrap(), "no journal any more");
    let half = &mut &bytes[..bytes.len() / 2];
    let options = RestoreOptions { aside: None, pause_by: None };
    let error =
        restore(BackupSource::Stream(half), &folder.path().join("new.db"), &options, &quiet()).unwrap_err();
    assert!(matches!(error, UpkeepError::Damaged { .. }), "{error}");
    assert!(!folder.path().join("new.db").exists() && !folder.path().join("new.db.received").exists());
}

#[tokio::test]
async fn a_truncated_journal_is_a_finding_and_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for n in 0..100 {
        keep(&journal, &n.to_string(), "k").await;
    }
    journal.close().await;
    drop(journal);
    let file = folder.path().join("journal.db");
    let bytes = std::fs::metadata(&file).unwrap().len();
    for left in [bytes / 2, 4096, 1000] {
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(left).unwrap();
        let report = verify(&file, &quiet()).unwrap();
        assert!(!report.problems.is_empty() && report.contents.bytes > 0, "{left}: {report:?}");
    }
}

#[tokio::test]
async fn a_compacted_journal_gives_back_what_history_took() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(&folder);
    for n in 0..300 {
        keep(&journal, &n.to_string(), "k").await;
    }
    tamper(&journal, "UPDATE event SET body = randomblob(20000)").await;
    tamper(
        &journal,
        "DELETE FROM event WHERE id > 1; DELETE FROM delivery WHERE id >> 16 > 1; UPDATE event SET body = X'7B7D'; \
         UPDATE tally SET count = (SELECT count(*) FROM delivery d WHERE d.action = tally.action AND d.state = tally.state)",
    )
    .await;
    let file = options(&folder).path;
    let error = compact(&file, &quiet()).unwrap_err();
    assert!(matches!(error, UpkeepError::InUse { .. }), "{error}");
    drop(journal);
    let is_open = Connection::open(&file).unwrap();
    is_open.query_row("SELECT count(*) FROM event", [], |_| Ok(())).unwrap();
    let error = compact(&file, &quiet()).unwrap_err();
    assert!(matches!(error, UpkeepError::Busy(_)), "{error}");
    drop(is_open);
    let progress: Arc<Mutex<Vec<UpkeepProgress>>> = Arc::default();
    let seen = progress.clone();
    let observer: Observer = Arc::new(move |at| {
        seen.lock().unwrap().push(at);
        ControlFlow::Continue(())
    });
    let owner = std::fs::metadata(&file).unwrap().uid();
    let (before, contents) = compact(&file, &observer).unwrap();
    assert!(before > 5_000_000 && contents.bytes < 300_000, "{before}, then {contents:?}");
    assert!(progress.lock().unwrap().iter().all(|at| at.done <= at.of && at.of < 300_000));
    let found = std::fs::metadata(&file).unwrap();
    assert_eq!((found.uid(), found.permissions().mode() & 0o777), (owner, 0o600));
    assert_eq!(verify(&file, &quiet()).unwrap().problems, [""; 0]);
    assert_eq!(files(folder.path()), ["journal.db", "journal.db.lock"]);
    drop(open(&folder));
}

#[tokio::test]
async fn what_is_wrong_with_a_journal_is_named() {
    let check = async |sql: &'static str, expected: &[&str]| {
        let (folder, journal, _in_hand) = filled().await;
        tamper(&journal, sql).await;
        let found = verify(&options(&folder).path, &quiet()).unwrap().problems;
        assert_eq!(found, expected, "{sql}");
        let copy = folder.path().join("copy.db");
        made(&options(&folder).path, &copy);
        if !expected.is_empty() {
            let error = restored(&copy, &folder.path().join("new.db"), None).unwrap_err().to_string();
            assert!(error.contains(&format!("is damaged: {}", expected[0])), "{error}");
            assert!(!folder.path().join("new.db").exists());
        }
    };
    check("SELECT 1", &[]).await;
    check("DELETE FROM event WHERE id = 1", &["delivery 1.0 has no message"]).await;
    check(
        "UPDATE tally SET count = 7 WHERE state = 3",
        &["action a: 7 deliveries dead are counted, and there are 1"],
    )
    .await;
    check(
        "UPDATE event SET compression = 'application/x-unheard-of' WHERE id = 2",
        &["event 2 cannot be read: unsupported compression \"application/x-unheard-of\"; osnl reads gzip, zlib, and bz2"],
    )
    .await;
    check(
        "UPDATE delivery SET state = 9 WHERE id >> 16 = 2",
        &[
            "delivery 2.0 has an unknown state",
            "action a: 1 deliveries dead are counted, and there are 0",
            "action a: 0 deliveries in an unknown state are counted, and there are 1",
        ],
    )
    .await;
    check("UPDATE delivery SET lane = 5 WHERE id >> 16 = 4", &["delivery 4.0 waits for no other"]).await;
    check(
        "UPDATE delivery SET state = 1 WHERE id >> 16 = 4; UPDATE tally SET count = 0 WHERE state = 0; \
         UPDATE tally SET count = 3 WHERE state = 1",
        &["delivery 4.0 is ready with another one of its resource"],
    )
    .await;
    check(
        "INSERT INTO enriched (delivery, found) VALUES (196608, '{\"half')",
        &["the enrichment of delivery 3.0 is not JSON"],
    )
    .await;
    check("UPDATE unreadable SET extent = 1, body = 'no zlib'", &["message 1 in quarantine cannot be read"])
        .await;
}

#[tokio::test]
async fn damaged_pages_are_named() {
    let (folder, journal, _in_hand) = filled().await;
    let copy = folder.path().join("copy.db");
    made(&options(&folder).path, &copy);
    drop(journal);
    let whole = std::fs::read(&copy).unwrap();
    for page in 1..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0x5a);
        std::fs::write(&copy, bytes).unwrap();
        let found = verify(&copy, &quiet());
        assert!(found.is_err() || found.is_ok_and(|found| !found.problems.is_empty()), "page {page}");
        let error = restored(&copy, &folder.path().join("new.db"), None).unwrap_err();
        assert!(!folder.path().join("new.db").exists(), "page {page}: {error}");
    }
}
