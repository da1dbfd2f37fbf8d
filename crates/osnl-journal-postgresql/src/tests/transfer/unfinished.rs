//! Interruptions: at each moment one of both is usable or the same command goes on.

use osnl_journal::transfer::{
    CellValue, CellValues, JournalFacts, MoveDestination, MoveError, MoveSource, MoveTables, Vacancy,
};
use osnl_transport::BoxFuture;

use super::*;

/// Asserts that a file is usable and holds what it held.
async fn usable(file: &Path, before: &[String]) {
    let journal = SqliteJournal::open(options_of(file), Arc::default()).unwrap();
    within(journal.close()).await;
    drop(journal);
    assert_same(&picture(file), before);
}

#[tokio::test]
async fn a_move_to_the_database_that_is_interrupted_begins_anew() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = filled(&folder).await;
    let before = picture(&file);
    for part in 1..10 {
        let stop = |done, of| {
            if done * 10 >= of * part { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let failure = to_database_with(&file, &stage, OPTIONS, &stop).await.unwrap_err();
        assert_eq!((failure.error, failure.is_begun), (MoveError::Interrupted, true), "{part}");
        usable(&file, &before).await;
        let refusal = PostgresJournal::open(stage.options("a"), Arc::default()).unwrap_err().to_string();
        assert!(refusal.starts_with("it holds the unfinished copy of sqlite:///"), "{refusal}");
    }
    to_database(&file, &stage, OPTIONS).await.unwrap();
    stage.tally();
    drop(stage.member("a"));
}

#[tokio::test]
async fn a_move_to_a_file_that_is_interrupted_begins_anew() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    to_database(&filled(&folder).await, &stage, OPTIONS).await.unwrap();
    let back = folder.path().join("back.db");
    for part in 1..10 {
        let stop = |done, of| {
            if done * 10 >= of * part { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let failure = to_file_with(&stage, &back, OPTIONS, &stop).await.unwrap_err();
        assert_eq!((failure.error, failure.is_begun), (MoveError::Interrupted, true), "{part}");
        drop(stage.member("a"));
        let refusal = SqliteJournal::open(options_of(&back), Arc::default()).unwrap_err().to_string();
        assert!(refusal.starts_with("is the unfinished copy of postgresql://"), "{refusal}");
    }
    let moved = to_file(&stage, &back, OPTIONS).await.unwrap();
    assert_eq!(
        picture(&back).len() as u64,
        moved.rows[&JournalTable::Deliveries] * 2 + moved.rows[&JournalTable::Quarantined] + 3
    );
}

#[tokio::test]
async fn a_database_that_is_lost_in_the_midst_leaves_the_file_as_it_was() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = filled(&folder).await;
    let before = picture(&file);
    let cut = |done, _| {
        if done > 10 {
            stage.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
        }
        ControlFlow::Continue(())
    };
    let failure = to_database_with(&file, &stage, OPTIONS, &cut).await.unwrap_err();
    assert!(matches!(failure.error, MoveError::Failed(_)) && failure.is_begun, "{failure:?}");
    usable(&file, &before).await;
    to_database(&file, &stage, OPTIONS).await.unwrap();
}

/// A daemon that the first look took for dead, and that works on.
#[tokio::test]
async fn a_daemon_that_writes_during_the_copy_keeps_its_journal() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    to_database(&filled(&folder).await, &stage, OPTIONS).await.unwrap();
    let back = folder.path().join("back.db");
    let beat = |_, _| {
        stage.rows("UPDATE osnl_partition SET beat = beat + 1 WHERE id = 3");
        ControlFlow::Continue(())
    };
    let failure = to_file_with(&stage, &back, OPTIONS, &beat).await.unwrap_err();
    assert!(
        matches!(&failure.error, MoveError::InUse(why) if why.contains("in use by a daemon")),
        "{failure:?}"
    );
    drop(stage.member("a"));
    assert!(SqliteJournal::open(options_of(&back), Arc::default()).is_err());
    to_file(&stage, &back, OPTIONS).await.unwrap();
}

/// A copy that is not what was written is not taken for one.
#[tokio::test]
async fn a_destination_that_changes_a_row_stays_unfinished() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = filled(&folder).await;
    let before = picture(&file);
    for (sql, expected) in [
        (
            "UPDATE osnl_delivery SET state = 4 WHERE id = (SELECT min(id) FROM osnl_delivery WHERE state = 1)",
            "deliveries in state 1 of rule r",
        ),
        (
            "UPDATE osnl_unreadable SET body = body || '\\x00' WHERE id = 1",
            "the digest of messages in quarantine is",
        ),
        ("DELETE FROM osnl_attempt WHERE slot = 1", "4 failed attempts instead of 5"),
    ] {
        let last = std::cell::Cell::new(false);
        let change = |done, of| {
            // All is written, and nothing is read back.
            if done * 2 == of && !last.replace(true) {
                stage.rows(sql);
            }
            ControlFlow::Continue(())
        };
        let failure = to_database_with(&file, &stage, OPTIONS, &change).await.unwrap_err();
        assert!(failure.to_string().contains(expected), "{failure}");
        usable(&file, &before).await;
    }
}

/// A destination whose mark is not removed: the process was killed.
struct KilledDestination(Box<dyn MoveDestination>);

impl MoveTables for KilledDestination {
    fn shown(&self) -> &str {
        self.0.shown()
    }

    fn block<'a>(
        &'a mut self,
        table: JournalTable,
        after: Option<&'a [CellValue]>,
    ) -> BoxFuture<'a, Result<Vec<CellValues>, MoveError>> {
        self.0.block(table, after)
    }
}

impl MoveDestination for KilledDestination {
    fn look(&mut self) -> BoxFuture<'_, Result<Vacancy, MoveError>> {
        self.0.look()
    }

    fn begin<'a>(&'a mut self, from: &'a str) -> BoxFuture<'a, Result<(), MoveError>> {
        self.0.begin(from)
    }

    fn write<'a>(
        &'a mut self,
        table: JournalTable,
        rows: &'a [CellValues],
    ) -> BoxFuture<'a, Result<(), MoveError>> {
        self.0.write(table, rows)
    }

    fn fit(&self, table: JournalTable, row: &mut CellValues) -> u64 {
        self.0.fit(table, row)
    }

    fn complete<'a>(&'a mut self, facts: &'a JournalFacts) -> BoxFuture<'a, Result<(), MoveError>> {
        self.0.complete(facts)
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), MoveError>> {
        Box::pin(std::future::ready(Err(MoveError::Failed("killed".into()))))
    }
}

async fn kill_at_the_end(mut source: Box<dyn MoveSource>, destination: Box<dyn MoveDestination>) {
    let failure =
        moving::run(&mut *source, &mut KilledDestination(destination), false, &go_on).await.unwrap_err();
    assert_eq!((failure.to_string().as_str(), failure.is_begun), ("killed", true));
}

#[tokio::test]
async fn between_the_marks_no_daemon_opens_either_and_the_same_move_goes_on() {
    let (folder, stage) = (tempfile::tempdir().unwrap(), Stage::new());
    let file = filled(&folder).await;
    let url = Secret::new(stage.url.clone());
    let neither = |file: &Path| {
        assert!(SqliteJournal::open(options_of(file), Arc::default()).is_err());
        assert!(PostgresJournal::open(stage.options("a"), Arc::default()).is_err());
    };
    let destination = Database.move_to(&url, OPTIONS).await.unwrap();
    kill_at_the_end(Box::new(SqliteSource::open(&file).unwrap()), destination).await;
    neither(&file);
    let moved = to_database(&file, &stage, OPTIONS).await.unwrap();
    drop(stage.member("a"));

    let back = folder.path().join("back.db");
    let source = Database.move_from(&url, OPTIONS).await.unwrap();
    kill_at_the_end(source, Box::new(SqliteDestination::new(&back, None))).await;
    neither(&back);
    // Another destination is refused.
    let other = to_file(&stage, &folder.path().join("other.db"), OPTIONS).await.unwrap_err();
    assert!(other.to_string().contains("already; move that one"), "{other}");
    let again = to_file(&stage, &back, OPTIONS).await.unwrap();
    assert_eq!(again.digest, moved.digest);
    drop(SqliteJournal::open(options_of(&back), Arc::default()).unwrap());
}
