use std::path::Path;

use rusqlite::{OptionalExtension as _, Result};

use super::reader::SqliteReader;
use super::rows::from_millis;
use super::{SqliteJournal, paused, place};
use crate::files::beside;
use crate::query::Overview;

impl SqliteReader {
    pub fn overview(&self) -> Result<Overview> {
        let count = |sql: &str| self.0.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
        let mut oldest = self.0.prepare_cached("SELECT received FROM event ORDER BY id LIMIT 1")?;
        Ok(Overview {
            events: count("SELECT count(*) FROM event")?,
            oldest: oldest.query_row([], |row| row.get(0).map(from_millis)).optional()?,
            unreadable: count("SELECT count(*) FROM unreadable")?,
            suspects: count(
                "SELECT count(*) FROM suspect s JOIN delivery d ON d.id = s.delivery WHERE d.state = 2",
            )?,
            paused: paused::list(&self.0)?,
        })
    }
}

impl SqliteJournal {
    #[must_use]
    pub fn free_bytes(file: &Path) -> Option<u64> {
        place::free_bytes(file)
    }

    #[must_use]
    pub fn bytes(file: &Path) -> u64 {
        size(file) + Self::wal_bytes(file)
    }

    #[must_use]
    pub fn wal_bytes(file: &Path) -> u64 {
        size(&beside(file, "-wal"))
    }
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |meta| meta.len())
}
