use std::fs;
use std::os::unix::fs::FileExt as _;

use super::super::checkpoint::Checkpointer;
use super::*;

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
    for name in ["journal.db", "journal.db-wal", "journal.db-shm"] {
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
    let checkpointer = Checkpointer::start(&ends, Arc::default(), |_| panic!("told so")).unwrap();
    checkpointer.set(Some(rusqlite::Connection::open_in_memory().unwrap()));
    checkpointer.ask();
    let expected = "journal checkpointer ended unexpectedly: told so";
    assert_eq!(within(ends.first()).await.to_string(), expected);
}
