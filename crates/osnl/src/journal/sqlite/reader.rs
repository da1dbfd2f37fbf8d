//! Looking into a journal: on a connection of its own, which neither waits for the writer nor holds it up.
//!
//! It works on the file of a running daemon and of a stopped one. Calls block; an async caller gives them a
//! thread.

mod lookup;
mod recent;

use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Result, ToSql, params};

use super::filter::Filter;
use super::rows::{self, State, delivery_id, is, moment, received};
use super::work::event_of;
use super::{OpenError, schema};
use crate::journal::DeliveryId;
use crate::quarantine::{Extent, Glimpse};
use crate::received::Received;

pub use self::lookup::Kept;
pub use self::recent::Recent;
pub(super) use self::recent::recent;

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Those with a larger number only.
    pub after: Option<DeliveryId>,
    /// At most so many.
    pub limit: u32,
}

impl Default for Page {
    /// The first hundred.
    fn default() -> Self {
        Self { after: None, limit: 100 }
    }
}

/// A delivery in a list. No payload, and with it no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub id: DeliveryId,
    /// The rule that fired.
    pub rule: String,
    /// The action it wants.
    pub action: String,
    /// The resource key, if the event has one.
    pub key: Option<String>,
    /// Its state.
    pub state: State,
    /// Attempts on answers used up.
    pub attempts: u32,
    /// Failed attempts of any kind.
    pub tries: u32,
    /// When it ended.
    pub ended: Option<SystemTime>,
    /// Why it is dead, held or discarded; what was done, once it is delivered.
    pub reason: Option<String>,
    /// Which of the event's resources it is about, where a bulk request has several.
    pub resource: Option<u32>,
    /// When its message reached us.
    pub received: SystemTime,
    /// The queue it was taken from.
    pub queue: String,
    /// The event type.
    pub event_type: Option<String>,
    /// The message's id.
    pub message_id: Option<String>,
    /// Further copies of the message that came.
    pub copies: u64,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// When it ended.
    pub at: SystemTime,
    /// The target's answer.
    pub answer: String,
}

/// All that is known of a delivery.
#[derive(Clone, Debug)]
pub struct Shown {
    /// As in a list.
    pub row: Row,
    /// The latest failed attempts, oldest first; at most 20.
    pub tries: Vec<Try>,
    /// The message as it came, secrets and all.
    pub received: Received,
    /// Open deliveries of the same action and resource before it.
    pub ahead: u64,
}

/// The number of deliveries of an action in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The action.
    pub action: String,
    /// The state.
    pub state: State,
    /// The number of deliveries, above zero.
    pub count: u64,
}

/// A message that was kept unread.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Its number among them.
    pub id: i64,
    /// Why.
    pub reason: String,
    /// The length of its body, as received.
    pub size: u64,
    /// The digest of its body, as received.
    pub digest: String,
    /// The part of it that is kept.
    pub extent: Extent,
    /// The facts that could be seen without reading it.
    pub glimpse: Glimpse,
    /// The message as it came; of one whose extent is the head, the beginning of its body.
    pub received: Received,
}

/// A journal opened to be looked into, on a connection of its own. Calls block.
#[derive(Debug)]
pub struct Reader(pub(super) Connection);

impl Reader {
    /// Opens a journal to read.
    ///
    /// # Errors
    /// See [`OpenError`]; a file of an older version is read by a daemon first, which brings it up to date.
    pub fn open(file: &Path) -> std::result::Result<Self, OpenError> {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        match schema::check(&connection)? {
            schema::VERSION => Ok(Self(connection)),
            0 => Err(OpenError::NotAJournal("it is empty".to_owned())),
            found => Err(OpenError::NotAJournal(format!(
                "its tables are of version {found}; start osnl on it once"
            ))),
        }
    }

    /// Deliveries in the order of their numbers.
    ///
    /// # Errors
    /// SQLite's.
    pub fn list(&self, filter: &Filter, page: &Page) -> Result<Vec<Row>> {
        list(&self.0, filter, page)
    }

    /// One delivery with its history and its message.
    ///
    /// # Errors
    /// SQLite's.
    pub fn show(&self, id: DeliveryId) -> Result<Option<Shown>> {
        let filter = Filter { ids: vec![id], ..Filter::default() };
        let Some(row) = self.list(&filter, &Page::default())?.pop() else { return Ok(None) };
        let mut select =
            self.0.prepare_cached("SELECT at, answer FROM attempt WHERE delivery = ? ORDER BY at, slot")?;
        let tries =
            select.query_map([id.row()], |row| Ok(Try { at: moment(row.get(0)?), answer: row.get(1)? }))?;
        let tries = tries.collect::<Result<_>>()?;
        let Some(received) = self.message(id)? else { return Ok(None) };
        let ahead: i64 = self.0.query_row(
            concat!("SELECT count(*) FROM delivery WHERE lane = ?1 AND ", is!(open), " AND id < ?2"),
            params![row.key.as_deref().map(|key| rows::lane(&row.action, key)), id.row()],
            |row| row.get(0),
        )?;
        Ok(Some(Shown { row, tries, received, ahead: ahead.unsigned_abs() }))
    }

    /// The message of a delivery as it came.
    ///
    /// # Errors
    /// SQLite's.
    pub fn message(&self, id: DeliveryId) -> Result<Option<Received>> {
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
        Ok(self.message(id)?.map(|message| message.origin.received))
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

pub(super) fn list(connection: &Connection, filter: &Filter, page: &Page) -> Result<Vec<Row>> {
    let (conditions, values) = filter.sql();
    let sql = format!(
        "SELECT d.id, d.rule, d.action, d.key, d.state, d.attempts, d.tries, d.ended, d.reason, e.received, e.queue, \
         e.event_type, e.message_id, e.copies, d.resource FROM delivery d \
         JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) \
         WHERE d.id > ?1 {conditions} ORDER BY d.id LIMIT ?2"
    );
    let after = page.after.map_or(-1, DeliveryId::row);
    let mut all: Vec<&dyn ToSql> = vec![&after, &page.limit];
    all.extend(values.iter().map(|value| &**value));
    let mut select = connection.prepare(&sql)?;
    let rows = select.query_map(&all[..], |row| {
        Ok(Row {
            id: delivery_id(row.get(0)?),
            rule: row.get(1)?,
            action: row.get(2)?,
            key: row.get(3)?,
            state: row.get(4)?,
            attempts: row.get(5)?,
            tries: row.get(6)?,
            ended: row.get::<_, Option<i64>>(7)?.map(moment),
            reason: row.get(8)?,
            resource: row.get(14)?,
            received: moment(row.get(9)?),
            queue: row.get(10)?,
            event_type: row.get(11)?,
            message_id: row.get(12)?,
            copies: row.get::<_, i64>(13)?.unsigned_abs(),
        })
    })?;
    rows.collect()
}
