//! The file that a journal is moved to.

use std::fs::{self, File};
use std::future::ready;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use osnl_core::moment::millis;
use osnl_transport::BoxFuture;
use rusqlite::{Connection, TransactionBehavior, params};

use super::{VERSION, absolute, failed, open, refused, set_application, tables, url};
use crate::files::beside;
use crate::sqlite::place::JournalLock;
use crate::sqlite::upkeep::{Observer, problems};
use crate::sqlite::{OpenError, blocks, schema, writer};
use crate::transfer::{
    CellValue, CellValues, JournalFacts, JournalTable, MoveDestination, MoveError, MoveTables, Vacancy,
};

/// The place of a new journal.
#[derive(Debug)]
pub struct SqliteDestination {
    file: PathBuf,
    shown: String,
    /// The name for a journal there that was moved away; `None` refuses to replace one.
    aside: Option<PathBuf>,
    is_moved: bool,
    /// The next number of a journal that is there and empty.
    next: i64,
    open: Option<(Connection, JournalLock)>,
}

impl SqliteDestination {
    /// Names a place. A journal there that was moved away is kept under the other name, if there is one.
    #[must_use]
    pub fn new(file: &Path, aside: Option<PathBuf>) -> Self {
        let file = absolute(file);
        Self { shown: url(&file), file, aside, is_moved: false, next: 1, open: None }
    }

    fn standing(&mut self) -> Result<Vacancy, MoveError> {
        if let Some(by) = JournalLock::holder(&self.file) {
            return Err(refused(&self.file, OpenError::InUse(by)));
        }
        if fs::metadata(&self.file).map_or(0, |meta| meta.len()) == 0 {
            return Ok(Vacancy::Free);
        }
        let connection = open(&self.file).map_err(|error| refused(&self.file, error))?;
        match schema::check(&connection) {
            Ok(0) => Ok(Vacancy::Free),
            Ok(_) => self.is_empty(&connection).map(|()| Vacancy::Free),
            Err(OpenError::Unfinished(_)) => Ok(Vacancy::Unfinished),
            Err(OpenError::Moved(_)) if self.aside.is_some() => {
                self.is_moved = true;
                Ok(Vacancy::Free)
            }
            Err(error) => Err(refused(&self.file, error)),
        }
    }

    fn is_empty(&mut self, connection: &Connection) -> Result<(), MoveError> {
        let failed = |error: rusqlite::Error| failed(&self.file, &error);
        let mut there = Vec::new();
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('tally', 'meta', 'block', 'block_names')";
        let mut select = connection.prepare(sql).map_err(failed)?;
        let names = select.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
        for name in names {
            let name = name.map_err(failed)?;
            let sql = format!("SELECT count(*) FROM {name}");
            let count: i64 = connection.query_row(&sql, [], |row| row.get(0)).map_err(failed)?;
            if count > 0 {
                there.push(format!("{count} rows of {name}"));
            }
        }
        let pauses = tables::count(connection, JournalTable::Pauses).map_err(failed)?;
        there.extend((pauses > 0).then(|| format!("{pauses} {}", JournalTable::Pauses.name())));
        if !there.is_empty() {
            let there = there.join(", ");
            return Err(MoveError::Refused(format!(
                "{}: is not empty: it has {there}; name a file that does not exist yet",
                self.shown
            )));
        }
        self.next = writer::next_event(connection).map_err(failed)?;
        Ok(())
    }

    fn start(&mut self, from: &str) -> Result<(), MoveError> {
        let lock = JournalLock::take(&self.file, true).map_err(|error| refused(&self.file, error))?;
        let io = |error: std::io::Error| refused(&self.file, OpenError::Io(error));
        if let (true, Some(aside)) = (self.is_moved, &self.aside) {
            fs::rename(&self.file, aside).map_err(io)?;
        }
        for more in ["", "-wal", "-shm", "-journal"] {
            match fs::remove_file(beside(&self.file, more)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
                Ok(()) | Err(_) => {}
            }
        }
        // SQLite would give it another mode.
        crate::state_dir::private().write(true).create_new(true).open(&self.file).map_err(io)?;
        let begun = || -> Result<Connection, OpenError> {
            let mut connection = Connection::open(&self.file)?;
            // It is synced as a whole, here and at the end.
            connection.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF")?;
            schema::migrate(&mut connection, VERSION)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            set_application(&transaction, schema::UNFINISHED)?;
            let at = millis(std::time::SystemTime::now());
            let insert = "INSERT INTO meta (name, value) VALUES (?1, ?2)";
            transaction.execute(insert, (format!("moved from {from}"), at))?;
            transaction.commit()?;
            sync(&self.file)?;
            Ok(connection)
        };
        let connection = begun().map_err(|error| refused(&self.file, error))?;
        self.open = Some((connection, lock));
        Ok(())
    }

    fn connection(&mut self) -> Result<&mut Connection, MoveError> {
        let why = || MoveError::Failed(format!("{}: the copy has not been begun", url(&self.file)));
        self.open.as_mut().map(|(connection, _)| connection).ok_or_else(why)
    }

    fn insert(&mut self, table: JournalTable, rows: &[CellValues]) -> Result<(), MoveError> {
        let file = self.file.clone();
        let connection = self.connection()?;
        let mut inserted = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tables::write(&transaction, table, rows)?;
            transaction.commit()
        };
        inserted().map_err(|error| failed(&file, &error))
    }

    /// Counts, notes facts for searches, and looks for what is wrong, as `osnl journal verify` does.
    fn derive(&mut self, facts: &JournalFacts) -> Result<(), MoveError> {
        let (file, next) = (self.file.clone(), self.next.max(facts.next));
        let connection = self.connection()?;
        let mut derived = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                "INSERT INTO tally (action, state, count) SELECT action, state, count(*) FROM delivery GROUP BY action, state",
                [],
            )?;
            blocks::fill(&transaction)?;
            let mut insert =
                transaction.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?;
            insert.execute(params!["next_event", next])?;
            if let Some(until) = facts.forgotten_until {
                insert.execute(params!["forgotten_until", until])?;
            }
            drop(insert);
            transaction.commit()
        };
        derived().map_err(|error| failed(&file, &error))?;
        let observer: Observer = Arc::new(|_| ControlFlow::Continue(()));
        let found = problems(connection, &file, &observer);
        let found = found.map_err(|error| MoveError::Failed(error.to_string()))?;
        match found.into_iter().next() {
            Some(problem) => Err(MoveError::Differs(problem)),
            None => Ok(()),
        }
    }

    fn release(&mut self) -> Result<(), OpenError> {
        let Some((mut connection, lock)) = self.open.take() else { return Ok(()) };
        sync(&self.file)?;
        connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute("DELETE FROM meta WHERE name GLOB 'moved from *'", [])?;
        set_application(&transaction, schema::APPLICATION)?;
        transaction.commit()?;
        drop((connection, lock));
        Ok(())
    }
}

/// Brings a file and its name to the disk.
fn sync(file: &Path) -> std::io::Result<()> {
    File::open(file)?.sync_all()?;
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

impl MoveTables for SqliteDestination {
    fn shown(&self) -> &str {
        &self.shown
    }

    fn block<'a>(
        &'a mut self,
        table: JournalTable,
        after: Option<&'a [CellValue]>,
    ) -> BoxFuture<'a, Result<Vec<CellValues>, MoveError>> {
        let file = self.file.clone();
        let block = self.connection().and_then(|connection| {
            tables::block(connection, table, after).map_err(|error| failed(&file, &error))
        });
        Box::pin(ready(block))
    }
}

impl MoveDestination for SqliteDestination {
    fn look(&mut self) -> BoxFuture<'_, Result<Vacancy, MoveError>> {
        Box::pin(ready(self.standing()))
    }

    fn begin<'a>(&'a mut self, from: &'a str) -> BoxFuture<'a, Result<(), MoveError>> {
        Box::pin(ready(self.start(from)))
    }

    fn write<'a>(
        &'a mut self,
        table: JournalTable,
        rows: &'a [CellValues],
    ) -> BoxFuture<'a, Result<(), MoveError>> {
        Box::pin(ready(self.insert(table, rows)))
    }

    fn fit(&self, _table: JournalTable, _row: &mut CellValues) -> u64 {
        0
    }

    fn complete<'a>(&'a mut self, facts: &'a JournalFacts) -> BoxFuture<'a, Result<(), MoveError>> {
        Box::pin(ready(self.derive(facts)))
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<(), MoveError>> {
        let released = self.release();
        Box::pin(ready(released.map_err(|error| refused(&self.file, error))))
    }
}
