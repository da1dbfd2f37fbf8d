//! Checks whether a journal is possible at a place, and creates and changes nothing there. SQLite opens no file before this
//! check: even its readers make files beside it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rusqlite::{ErrorCode, OpenFlags};

use super::connection::open_guarded;
use super::place::{JournalLock, judge_place};
use super::{OpenError, SqliteOptions, schema};
use crate::files::{LockHolder, beside};
use crate::state_dir::judge_for_any;

/// The result of a check of a place without a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceInspection {
    pub holder: Option<LockHolder>,
    pub exists: bool,
}

/// Checks whether this user may write or create the file, whether the file is a journal, and which process has it.
///
/// # Errors
/// Returns the errors of [`SqliteJournal::open`](super::SqliteJournal::open) about the place, but none about
/// the process that has the file.
pub fn inspect(options: &SqliteOptions) -> Result<PlaceInspection, OpenError> {
    let file = &options.path;
    judge_place(file, options.bounds.allow_volatile, judge_for_any)?;
    refuse_foreign(file)?;
    Ok(PlaceInspection { holder: JournalLock::holder(file), exists: file.exists() })
}

/// Refuses the file of another program or of a newer osnl, if no process has it as its journal.
pub(super) fn refuse_foreign(file: &Path) -> Result<(), OpenError> {
    if file.exists() && JournalLock::holder(file).is_none() { judge_tables(file) } else { Ok(()) }
}

/// Judges a file that no process has open. `immutable` keeps SQLite from locking the file and from reading its
/// WAL, without which the file may look damaged.
fn judge_tables(file: &Path) -> Result<(), OpenError> {
    if std::fs::metadata(file)?.len() == 0 {
        return Ok(());
    }
    let path = std::path::absolute(file)?.display().to_string();
    let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let opened = open_guarded(format!("file:{path}?immutable=1"), flags).and_then(|connection| {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    });
    let is_empty = |more: &&str| std::fs::metadata(beside(file, more)).map_or(0, |found| found.len()) == 0;
    match opened.map(|connection| schema::check(&connection)) {
        Ok(Ok(schema::VERSION)) => Ok(()),
        Ok(Ok(_) | Err(OpenError::Sqlite(_))) => judge_wal(file),
        Ok(Err(error)) => Err(error),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            // These may have the first page.
            if ["-wal", "-journal"].iter().all(is_empty) { Err(error.into()) } else { judge_wal(file) }
        }
        Err(_) => judge_wal(file),
    }
}

/// Judges a file by the latest first page in its WAL, where all tables of a killed program may be.
fn judge_wal(file: &Path) -> Result<(), OpenError> {
    marks_in_wal(file).map_or(Ok(()), |(application, version)| schema::judge_marks(application, version))
}

/// Reads `application_id` and `user_version` from a WAL, by the [format of SQLite](https://sqlite.org/walformat.html). A
/// transaction counts if its frames and all before it have their checksums: a power failure may have torn the last one.
fn marks_in_wal(file: &Path) -> Option<(i64, i64)> {
    let path = beside(file, "-wal");
    let mut wal = path.is_file().then(|| File::open(&path).ok()).flatten()?;
    let mut header = [0; 32];
    wal.read_exact(&mut header).ok()?;
    let number = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..)?.first_chunk::<4>()?;
        Some(i64::from(i32::from_be_bytes(*bytes)))
    };
    let word: fn([u8; 4]) -> u32 = match number(&header, 0)? {
        0x377f_0682 => u32::from_le_bytes,
        0x377f_0683 => u32::from_be_bytes,
        _ => return None,
    };
    let page_size = usize::try_from(number(&header, 8)?).ok().filter(|size| (512..=65_536).contains(size))?;
    let mut frame = vec![0; 24 + page_size];
    let mut sum = checksum([0; 2], &header[..24], word);
    let mut is_whole = header[24..] == *sum.map(u32::to_be_bytes).as_flattened();
    let (mut written, mut committed) = (None, None);
    while is_whole && wal.read_exact(&mut frame).is_ok() && frame[8..16] == header[16..24] {
        let (frame, page) = frame.split_at(24);
        sum = checksum(checksum(sum, &frame[..8], word), page, word);
        is_whole = frame[16..] == *sum.map(u32::to_be_bytes).as_flattened();
        if number(frame, 0) == Some(1) && page.starts_with(b"SQLite format 3\0") {
            written = number(page, 68).zip(number(page, 60));
        }
        let is_commit = number(frame, 4) != Some(0);
        if is_whole && is_commit {
            committed = written;
        }
    }
    committed
}

/// Continues the checksum of a WAL.
fn checksum(sum: [u32; 2], bytes: &[u8], word: fn([u8; 4]) -> u32) -> [u32; 2] {
    let (pairs, _) = bytes.as_chunks::<4>().0.as_chunks::<2>();
    pairs.iter().fold(sum, |[first, second], [left, right]| {
        let first = first.wrapping_add(word(*left)).wrapping_add(second);
        [first, second.wrapping_add(word(*right)).wrapping_add(first)]
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::ops::ControlFlow;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;
    use std::sync::Arc;

    use rusqlite::Connection;

    use super::super::upkeep::{Observer, verify};
    use super::super::{SqliteJournal, SqliteReader};
    use super::*;

    #[test]
    fn a_place_is_looked_at_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let options = |path: PathBuf, allow_volatile: bool| {
            SqliteOptions::new(path).bounded(|bounds| bounds.allow_volatile = allow_volatile)
        };
        let file = folder.path().join("a/b/journal.db");
        let found = inspect(&options(file.clone(), true)).unwrap();
        assert_eq!(found, PlaceInspection { holder: None, exists: false });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
        let taken = JournalLock::take(&file, true).unwrap();
        let holder = Some(LockHolder::Process(std::process::id()));
        assert_eq!(inspect(&options(file.clone(), true)).unwrap(), PlaceInspection { holder, exists: true });
        drop(taken);
        let refused =
            |path: PathBuf, volatile: bool| inspect(&options(path, volatile)).unwrap_err().to_string();
        assert!(refused(file, false).contains("allow_volatile = true"));
        let notes = folder.path().join("a/b/notes#1.db");
        std::fs::write(&notes, "not a journal, and longer than a header of sixteen bytes").unwrap();
        assert_eq!(
            refused(notes, true),
            "is not a journal of osnl: it is not an SQLite file; name a file that does not exist yet"
        );
        std::fs::write(folder.path().join("plain"), "").unwrap();
        let below = folder.path().join("plain/x/journal.db");
        assert_eq!(
            refused(below, true),
            "cannot be opened: Not a directory (os error 20); a folder of this path is a file: name another one"
        );
    }

    #[test]
    fn a_file_of_another_program_or_a_newer_osnl_is_left_as_it_is() {
        let newer = osnl_testkit::fixture::text("journal/v1.sql") + "PRAGMA user_version = 11";
        let foreign = ("CREATE TABLE t (x)", "another program's tables");
        let newer = (newer.as_str(), "a newer osnl");
        for ((sql, expected), mode) in [(foreign, "delete"), (foreign, "wal"), (newer, "wal")] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("other.db");
            let connection = Connection::open(&file).unwrap();
            connection.pragma_update(None, "journal_mode", mode).unwrap();
            connection.execute_batch(sql).unwrap();
            drop(connection);
            std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
            let rights = || std::fs::metadata(&file).unwrap().permissions().mode();
            let state = || (std::fs::read(&file).unwrap(), rights());
            let before = state();
            let options = SqliteOptions::new(&file).bounded(|bounds| bounds.allow_volatile = true);
            let quiet: Observer = Arc::new(|_| ControlFlow::Continue(()));
            for error in [
                SqliteJournal::open(options, Arc::default()).unwrap_err().to_string(),
                SqliteReader::open(&file).unwrap_err().to_string(),
                verify(&file, &quiet).unwrap_err().to_string(),
            ] {
                assert!(error.contains(expected), "{error}");
            }
            assert!(state() == before, "{sql} {mode}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{sql} {mode}");
        }
    }

    #[test]
    fn a_file_whose_tables_are_in_its_wal_alone_is_judged_by_them() {
        let own = osnl_testkit::fixture::text("journal/v1.sql");
        let newer = own.clone() + "PRAGMA user_version = 11";
        for (sql, expected) in [
            ("CREATE TABLE t (x)", Some("another program's tables")),
            (newer.as_str(), Some("a newer osnl")),
            (own.as_str(), None),
        ] {
            let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let [open, left] = folders.each_ref().map(|folder| folder.path().join("other.db"));
            let connection = Connection::open(&open).unwrap();
            connection.pragma_update(None, "journal_mode", "wal").unwrap();
            connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
            connection.execute_batch(sql).unwrap();
            // As a killed program leaves them.
            for more in ["", "-wal"] {
                std::fs::copy(beside(&open, more), beside(&left, more)).unwrap();
            }
            let Some(expected) = expected else {
                judge_tables(&left).unwrap();
                continue;
            };
            let state = || ["", "-wal"].map(|more| std::fs::read(beside(&left, more)).unwrap());
            let before = state();
            let options = SqliteOptions::new(&left).bounded(|bounds| bounds.allow_volatile = true);
            let error = SqliteJournal::open(options, Arc::default()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(state() == before, "{sql}");
            assert_eq!(std::fs::read_dir(folders[1].path()).unwrap().count(), 2, "{sql}");
        }
    }

    #[test]
    fn a_transaction_that_a_power_failure_has_torn_is_not_judged() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [open, left] = folders.each_ref().map(|folder| folder.path().join("journal.db"));
        let connection = Connection::open(&open).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        let wal = || std::fs::read(beside(&open, "-wal")).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        let foreign = wal();
        let newer = format!(
            "BEGIN; PRAGMA application_id = {}; PRAGMA user_version = 11; COMMIT",
            schema::APPLICATION
        );
        connection.execute_batch(&newer).unwrap();
        let newer = wal();
        std::fs::copy(&open, &left).unwrap();
        let torn = |wal: &[u8]| {
            let mut wal = wal.to_vec();
            *wal.last_mut().unwrap() ^= 1;
            wal
        };
        for (wal, expected) in [
            (torn(&foreign), None),
            (torn(&newer), Some("another program's tables")),
            (foreign, Some("another program's tables")),
            (newer, Some("a newer osnl")),
        ] {
            std::fs::write(beside(&left, "-wal"), wal).unwrap();
            match (judge_tables(&left), expected) {
                (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (judged, expected) => assert!(judged.is_ok() && expected.is_none(), "{expected:?}"),
            }
        }
    }

    /// After a power failure, a WAL may have the pages that the file lacks.
    #[test]
    fn a_file_that_looks_damaged_without_its_wal_is_not_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.db");
        std::fs::write(&file, [0; 4096]).unwrap();
        assert!(judge_tables(&file).is_err());
        std::fs::write(beside(&file, "-wal"), "frames").unwrap();
        assert!(judge_tables(&file).is_ok());
    }
}
