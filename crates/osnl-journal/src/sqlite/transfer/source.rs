//! The file that a journal is moved away from.

use std::collections::BTreeMap;
use std::future::ready;
use std::path::{Path, PathBuf};

use osnl_core::moment::millis;
use osnl_transport::BoxFuture;
use rusqlite::{Connection, TransactionBehavior};

use super::{VERSION, absolute, failed, open, refused, set_application, tables, url};
use crate::sqlite::connection::connect;
use crate::sqlite::place::JournalLock;
use crate::sqlite::rows::is;
use crate::sqlite::{OpenError, prune, schema, writer};
use crate::transfer::{
    CellValue, CellValues, JournalFacts, JournalTable, MoveError, MoveSource, MoveTables, Survey,
};

/// A journal's file that no daemon has, and that none can open meanwhile.
#[derive(Debug)]
pub struct SqliteSource {
    file: PathBuf,
    shown: String,
    connection: Connection,
    moved_to: Option<String>,
    _lock: JournalLock,
}

impl SqliteSource {
    /// Takes a journal that is there.
    ///
    /// # Errors
    /// See [`MoveError`].
    pub fn open(file: &Path) -> Result<Self, MoveError> {
        let file = absolute(file);
        if !file.is_file() {
            return Err(MoveError::Refused(format!("{}: there is no journal; name its file", url(&file))));
        }
        // A volatile place is refused by the daemon, which has the option that allows it.
        let lock = JournalLock::take(&file, true).map_err(|error| refused(&file, error))?;
        let connection = open(&file).map_err(|error| refused(&file, error))?;
        let moved_to = match schema::check(&connection) {
            Ok(VERSION) => None,
            Ok(found) => {
                return Err(MoveError::Refused(format!(
                    "{}: its tables are of version {found}; start this osnl on it once, and stop it",
                    url(&file)
                )));
            }
            Err(OpenError::Moved(to)) => Some(to),
            Err(error) => return Err(refused(&file, error)),
        };
        Ok(Self { shown: url(&file), file, connection, moved_to, _lock: lock })
    }

    fn look(&self) -> Result<Survey, MoveError> {
        let failed = |error: rusqlite::Error| failed(&self.file, &error);
        let count = |sql: &str| {
            let counted = self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            counted.map(i64::unsigned_abs).map_err(failed)
        };
        let refuse = |why: String| Err(MoveError::Refused(format!("{}: {why}", self.shown)));
        let wishes = count("SELECT count(*) FROM delivery WHERE wish IS NOT NULL")?;
        if wishes > 0 {
            return refuse(format!(
                "{wishes} deliveries have a change that waits for the end of their attempt; start osnl on it once, and stop it"
            ));
        }
        let lost = count(
            "SELECT count(*) FROM delivery WHERE (SELECT max(id) FROM event WHERE id <= delivery.id >> 16) IS NULL",
        )?;
        if lost > 0 {
            return refuse(format!("{lost} deliveries have no message; osnl journal verify shows them"));
        }
        let mut rows = BTreeMap::new();
        for table in JournalTable::ALL {
            rows.insert(table, tables::count(&self.connection, table).map_err(failed)?);
        }
        let mut notes = Vec::new();
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                notes.push(format!("{what}: {count}"));
            }
        };
        note(
            count("SELECT count(*) FROM event")?.saturating_sub(rows[&JournalTable::Events]),
            "messages that are left out, as they have no delivery",
        );
        note(
            count("SELECT count(*) FROM suspect s JOIN delivery d ON d.id = s.delivery WHERE d.state = 2")?,
            "deliveries that stay held, and are no longer counted as suspects",
        );
        note(
            count(concat!(
                "SELECT count(*) FROM delivery WHERE tries > 0 AND ",
                is!(open),
                " AND id >> 16 < (SELECT value FROM meta WHERE name = 'keys_with_rule_from')"
            ))?,
            "failed deliveries that will be repeated with another Idempotency-Key",
        );
        let facts = JournalFacts {
            next: writer::next_event(&self.connection).map_err(failed)?,
            forgotten_until: prune::forgotten_until(&self.connection).map_err(failed)?,
        };
        Ok(Survey { rows, facts, notes, moved_to: self.moved_to.clone() })
    }

    fn mark(&self, to: &str) -> rusqlite::Result<()> {
        let mut connection = connect(&self.file)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        set_application(&transaction, schema::MOVED)?;
        let at = millis(std::time::SystemTime::now());
        let insert = "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)";
        transaction.execute(insert, (format!("moved to {to}"), at))?;
        transaction.commit()
    }
}

impl MoveTables for SqliteSource {
    fn shown(&self) -> &str {
        &self.shown
    }

    fn block<'a>(
        &'a mut self,
        table: JournalTable,
        after: Option<&'a [CellValue]>,
    ) -> BoxFuture<'a, Result<Vec<CellValues>, MoveError>> {
        let block = tables::block(&self.connection, table, after);
        Box::pin(ready(block.map_err(|error| failed(&self.file, &error))))
    }
}

impl MoveSource for SqliteSource {
    fn survey(&mut self) -> BoxFuture<'_, Result<Survey, MoveError>> {
        Box::pin(ready(self.look()))
    }

    fn seal<'a>(&'a mut self, to: &'a str) -> BoxFuture<'a, Result<(), MoveError>> {
        let sealed = match &self.moved_to {
            // It is the same destination.
            Some(_) => Ok(()),
            None => self.mark(to).map_err(|error| failed(&self.file, &error)),
        };
        Box::pin(ready(sealed))
    }
}
