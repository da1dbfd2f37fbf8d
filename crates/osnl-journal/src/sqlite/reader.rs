//! Looking into a journal: on a connection of its own, which neither waits for the writer nor holds it up.
//!
//! It works on the file of a running daemon and of a stopped one. Calls block; an async caller gives them a
//! thread.

mod listing;
mod lookup;
mod recent;

use std::path::Path;
use std::time::{Duration, SystemTime};

use osnl_core::received::ReceivedMessage;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Result};

pub use self::listing::{Cursor, ListPage, RowOrder};
pub(super) use self::listing::{list, parts};
pub use self::lookup::KeptEvent;
pub use self::recent::RecentDelivery;
pub(super) use self::recent::recent;
use super::records::DeliveryListRow;
use super::rows::{self, RowState, delivery_id, event_of, is, moment, received};
use super::{OpenError, schema};
use crate::DeliveryId;

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// When it ended.
    pub at: SystemTime,
    /// The target's answer.
    pub answer: String,
    /// The request as it was sent, secrets masked; kept of the latest few.
    pub request: Option<String>,
    /// The time that it took.
    pub took: Option<Duration>,
}

/// All that is known of a delivery.
#[derive(Clone, Debug)]
pub struct DeliveryDetails {
    /// As in a list.
    pub row: DeliveryListRow,
    /// The latest failed attempts, oldest first; at most 20.
    pub tries: Vec<AttemptRow>,
    /// The message as it came, secrets and all.
    pub received: ReceivedMessage,
    /// Open deliveries of the same action and resource before it.
    pub ahead: u64,
    /// Open deliveries of the same action and resource behind it; the first of them, and how many more there are.
    pub behind: (Vec<DeliveryId>, u64),
    /// The other deliveries of its event, a bounded number.
    pub others: Vec<DeliveryListRow>,
}

/// The number of deliveries of an action in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The action.
    pub action: String,
    /// The state.
    pub state: RowState,
    /// The number of deliveries, above zero.
    pub count: u64,
}

/// A journal opened to be looked into, on a connection of its own. Calls block.
#[derive(Debug)]
pub struct SqliteReader(pub(super) Connection);

impl SqliteReader {
    /// Opens a journal to read.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(file: &Path) -> std::result::Result<Self, OpenError> {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        match schema::check(&connection)? {
            0 => Err(OpenError::NotAJournal("it is empty".to_owned())),
            _ => Ok(Self(connection)),
        }
    }

    /// The message of a delivery as it came.
    ///
    /// # Errors
    /// SQLite's.
    pub fn message(&self, id: DeliveryId) -> Result<Option<ReceivedMessage>> {
        let sql = format!("SELECT {} FROM event WHERE id = ?", rows::RECEIVED);
        let mut select = self.0.prepare_cached(&sql)?;
        select.query_row([event_of(&self.0, id)?], |row| received(row, 0)).optional()
    }

    /// Returns the number of deliveries of each action and state, without counting them.
    ///
    /// # Errors
    /// SQLite's.
    pub fn tally(&self) -> Result<Vec<Tally>> {
        let mut select = self.0.prepare_cached("SELECT action, state, count FROM tally WHERE count > 0")?;
        let rows = select.query_map([], |row| {
            Ok(Tally { action: row.get(0)?, state: row.get(1)?, count: row.get::<_, i64>(2)?.unsigned_abs() })
        })?;
        rows.collect()
    }

    /// The oldest open delivery's message reached us then.
    ///
    /// # Errors
    /// SQLite's.
    pub fn oldest_ready(&self, action: &str) -> Result<Option<SystemTime>> {
        let mut select = self.0.prepare_cached(concat!(
            "SELECT min(id) FROM (SELECT min(id) AS id FROM delivery WHERE action = ?1 AND ",
            is!(Ready),
            " AND due = 0 UNION ALL SELECT min(id) FROM delivery WHERE action = ?1 AND ",
            is!(Ready),
            " AND due > 0)"
        ))?;
        let id = select.query_row([action], |row| Ok(row.get::<_, Option<i64>>(0)?.map(delivery_id)))?;
        let Some(id) = id else { return Ok(None) };
        // Without the body, which may be large.
        let mut select = self.0.prepare_cached("SELECT received FROM event WHERE id = ?")?;
        Ok(select.query_row([event_of(&self.0, id)?], |row| row.get(0)).optional()?.map(moment))
    }

    /// Returns the last known state of resources, the one touched last at the end.
    ///
    /// # Errors
    /// SQLite's.
    pub fn seen(&self) -> Result<Vec<(String, String)>> {
        let mut rows = self.0.prepare("SELECT name, row FROM seen ORDER BY at, name")?;
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }
}
