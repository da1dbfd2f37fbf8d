use std::time::{Duration, SystemTime};

use rusqlite::{OptionalExtension as _, Result};

use super::reader::SqliteReader;
use super::rows::{from_millis, millis};

const DAY: Duration = Duration::from_secs(86_400);
/// The shortest history from which a day is estimated.
const LEAST: Duration = Duration::from_secs(3600);
/// The deliveries from which the size of one is estimated; the tables themselves take some hundred KiB.
const LEAST_DELIVERIES: u64 = 1000;

/// The rate at which a journal takes events, and the size of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalRate {
    /// The events of a day at the rate of the last day; of less, if the journal has no more.
    pub events: u64,
    /// The bytes of the file for an event, with its deliveries and its share of the indexes.
    pub bytes: u64,
}

impl SqliteReader {
    /// Returns the rate of the last day; `None` while there is too little for an estimate.
    ///
    /// # Errors
    /// SQLite cannot read the file.
    pub fn rate(&self, now: SystemTime) -> Result<Option<JournalRate>> {
        let first = self.first_since(millis(now - DAY))?;
        let mut select = self.0.prepare_cached(
            "SELECT id, received, (SELECT max(id) FROM event) FROM event WHERE id >= ?1 ORDER BY id LIMIT 1",
        )?;
        let found = select.query_row([first], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let Some((first, at, last)): Option<(i64, i64, i64)> = found.optional()? else { return Ok(None) };
        let span = now.duration_since(from_millis(at)).unwrap_or_default();
        // Numbers are given in order and never again, so their difference counts pruned events too.
        let events = (last - first + 1).unsigned_abs();
        Ok(self.bytes_of_an_event()?.filter(|_| span >= LEAST).map(|bytes| {
            let a_day = events as f64 * DAY.as_secs_f64() / span.as_secs_f64();
            JournalRate { events: a_day.round() as u64, bytes }
        }))
    }

    fn bytes_of_an_event(&self) -> Result<Option<u64>> {
        let number = |sql: &str| self.0.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
        let deliveries = number("SELECT coalesce(sum(count), 0) FROM tally")?;
        if deliveries < LEAST_DELIVERIES {
            return Ok(None);
        }
        let pages = number("PRAGMA page_count")?.saturating_sub(number("PRAGMA freelist_count")?);
        let bytes = pages.saturating_mul(number("PRAGMA page_size")?);
        let latest = "SELECT avg(deliveries) FROM (SELECT deliveries FROM event ORDER BY id DESC LIMIT 256)";
        let of_an_event: f64 = self.0.query_row(latest, [], |row| row.get(0))?;
        Ok(Some((bytes as f64 / deliveries as f64 * of_an_event).round() as u64))
    }
}
