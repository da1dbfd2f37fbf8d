//! Messages in quarantine, stored as received: added, listed, deleted.
//!
//! The table keeps the name `unreadable` of the first version of the file. Rows from before version 7 lack
//! the newer columns, whose values are then derived from the body.

use bytes::Bytes;
use osnl_core::quarantine::{Extent, Glimpse, StoredBody};
use osnl_core::received::ReceivedMessage;
use osnl_model::BodyDigest;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension as _, Result, ToSql, params};

use super::reader::SqliteReader;
use super::rows::{self, identity_number, millis, received};
use super::work::Work;
use crate::identity::MessageIdentity;
use crate::query::{Bodies, RowState, Unreadable, UnreadableFilter};
use crate::store::shares::QueueShare;
use crate::{DeliveryId, in_hand};

impl Work<'_> {
    pub(super) fn set_aside(&mut self, received: &ReceivedMessage, reason: &str) -> Result<bool> {
        let origin = &received.origin;
        let digest = received.digest();
        let shown = digest.to_string();
        let number = identity_number(&MessageIdentity { queue: origin.queue.clone(), id: None, digest });
        if origin.redelivered {
            let mut select = self.connection.prepare_cached(
                "SELECT 1 FROM unreadable WHERE identity = ?1 AND (digest = ?2 OR digest IS NULL AND body = ?3)",
            )?;
            if select.exists(params![number, shown, &received.body[..]])? {
                return Ok(false);
            }
        }
        let StoredBody { extent, bytes } = StoredBody::from_received(received);
        let glimpse = Glimpse::from_body(&received.body);
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO unreadable (identity, received, redelivered, listener, queue, exchange, routing_key, \
             content_type, content_encoding, compression, reason, size, body, digest, extent, message_id, \
             publisher_id, event_type, id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?;
        insert.execute(params![
            number,
            millis(origin.received),
            origin.redelivered,
            &*origin.listener,
            &*origin.queue,
            origin.exchange,
            origin.routing_key,
            received.properties.content_type.as_deref(),
            received.properties.content_encoding.as_deref(),
            received.properties.compression,
            reason,
            i64::try_from(received.bytes()).unwrap_or(i64::MAX),
            bytes,
            shown,
            extent.number(),
            glimpse.message_id,
            glimpse.publisher_id,
            glimpse.event_type,
            next_number(self.connection)?,
        ])?;
        Ok(true)
    }

    pub(super) fn hold_suspects(&mut self, suspects: &[(u64, u32)]) -> Result<()> {
        for (id, ends) in suspects {
            let Some(found) = self.find(DeliveryId(*id))? else { continue };
            match found.state {
                RowState::Waiting | RowState::Ready => {}
                RowState::Held
                | RowState::Dead
                | RowState::Delivered
                | RowState::NothingToDo
                | RowState::Discarded
                | RowState::Shadow => continue,
            }
            let why = in_hand::reason(*ends);
            self.set_state(&found, RowState::Held, Some(&why))?;
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO suspect (delivery, at, ends) VALUES (?1, ?2, ?3)")?
                .execute(params![found.id.row(), self.now, ends])?;
            tracing::error!(
                delivery.id = %found.id,
                action.name = found.action,
                reason = why,
                "a delivery waits for release; look at it, then release or discard it",
            );
        }
        // Released, ended or deleted deliveries are not suspect any more.
        self.connection.execute(
            "DELETE FROM suspect WHERE delivery NOT IN (SELECT id FROM delivery WHERE state = 2)",
            [],
        )?;
        Ok(())
    }

    pub(super) fn forget_unreadable(&mut self, ids: &[i64]) -> Result<usize> {
        forget(self.connection, ids)
    }
}

/// Removes messages, whose numbers are not given again.
pub(super) fn forget(connection: &Connection, ids: &[i64]) -> Result<usize> {
    keep_next_number(connection, next_number(connection)?)?;
    let mut delete = connection.prepare_cached("DELETE FROM unreadable WHERE id = ?")?;
    ids.iter().map(|id| delete.execute([id])).sum()
}

/// Returns the number of the next message: above those of all messages that are or were kept.
pub(super) fn next_number(connection: &Connection) -> Result<i64> {
    let mut select = connection.prepare_cached(
        "SELECT max(coalesce((SELECT max(id) FROM unreadable), 0) + 1, \
         coalesce((SELECT value FROM meta WHERE name = 'next_unreadable'), 1))",
    )?;
    select.query_row([], |row| row.get(0))
}

/// Keeps the number of the next message: one that an operator has seen must not name another message.
pub(super) fn keep_next_number(connection: &Connection, next: i64) -> Result<()> {
    let mut keep = connection.prepare_cached(
        "INSERT INTO meta (name, value) VALUES ('next_unreadable', ?1) \
         ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
    )?;
    keep.execute([next]).map(drop)
}

fn columns() -> String {
    format!("{}, id, reason, size, digest, extent, message_id, publisher_id, event_type", rows::RECEIVED)
}

fn unreadable(row: &rusqlite::Row<'_>, bodies: Bodies) -> Result<Unreadable> {
    let mut received = received(row, 0)?;
    let number: i64 = row.get(14)?;
    let extent = Extent::from_number(number).ok_or(FromSqlError::OutOfRange(number))?;
    let digest: Option<String> = row.get(13)?;
    let stored = StoredBody { extent, bytes: std::mem::take(&mut received.body).into() };
    if bodies == Bodies::Read || digest.is_none() {
        received.body = stored.read().map_err(|error| FromSqlError::Other(Box::new(error)))?;
    }
    // A row older than the columns.
    let of_body = || BodyDigest::new(&received.body).to_string();
    let (digest, glimpse) = match digest {
        Some(digest) => {
            let (message_id, publisher_id, event_type) = (row.get(15)?, row.get(16)?, row.get(17)?);
            (digest, Glimpse { message_id, publisher_id, event_type })
        }
        None => (of_body(), Glimpse::from_body(&received.body)),
    };
    if bodies == Bodies::Left {
        received.body = Bytes::new();
    }
    Ok(Unreadable {
        id: row.get(10)?,
        reason: row.get(11)?,
        size: row.get::<_, i64>(12)?.unsigned_abs(),
        digest,
        extent,
        glimpse,
        received,
    })
}

pub(super) fn oldest(connection: &Connection, share: &QueueShare) -> Result<Option<(Unreadable, i64)>> {
    let sql = format!(
        "SELECT {}, length(body) FROM unreadable WHERE listener = ?1 AND queue = ?2 ORDER BY id LIMIT 1",
        columns()
    );
    let mut select = connection.prepare_cached(&sql)?;
    let found = |row: &rusqlite::Row<'_>| Ok((unreadable(row, Bodies::Read)?, row.get(18)?));
    select.query_row(params![&*share.listener, &*share.queue], found).optional()
}

pub(super) fn shares(connection: &Connection) -> Result<Vec<QueueShare>> {
    let sql = "SELECT listener, queue, count(*), sum(length(body)) FROM unreadable GROUP BY listener, queue";
    let share = |row: &rusqlite::Row<'_>| {
        let (listener, queue): (String, String) = (row.get(0)?, row.get(1)?);
        let (messages, bytes) = (row.get(2)?, row.get(3)?);
        Ok(QueueShare { listener: listener.into(), queue: queue.into(), messages, bytes })
    };
    connection.prepare_cached(sql)?.query_map([], share)?.collect()
}

impl SqliteReader {
    pub fn unreadable(&self, after: i64, limit: u32) -> Result<Vec<Unreadable>> {
        self.quarantined(&UnreadableFilter::default(), after, limit, Bodies::Read)
    }

    pub fn quarantined(
        &self,
        filter: &UnreadableFilter,
        after: i64,
        limit: u32,
        bodies: Bodies,
    ) -> Result<Vec<Unreadable>> {
        let (conditions, values) = filter.sql();
        let sql =
            format!("SELECT {} FROM unreadable WHERE id > ?1 {conditions} ORDER BY id LIMIT ?2", columns());
        let mut all: Vec<&dyn ToSql> = vec![&after, &limit];
        all.extend(values.iter().map(|value| &**value));
        self.0.prepare(&sql)?.query_map(&all[..], |row| unreadable(row, bodies))?.collect()
    }

    pub fn numbers_quarantined(&self, filter: &UnreadableFilter) -> Result<Vec<i64>> {
        let (conditions, values) = filter.sql();
        let sql = format!("SELECT id FROM unreadable WHERE id > ?1 AND id > ?2 {conditions} ORDER BY id");
        let mut all: Vec<&dyn ToSql> = vec![&-1_i64, &-1_i64];
        all.extend(values.iter().map(|value| &**value));
        self.0.prepare(&sql)?.query_map(&all[..], |row| row.get(0))?.collect()
    }
}

impl UnreadableFilter {
    fn sql(&self) -> (String, Vec<Box<dyn ToSql>>) {
        let mut sql = String::new();
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut add = |condition: &str, value: Box<dyn ToSql>| {
            values.push(value);
            sql.push_str(&format!(" AND {}", condition.replace('?', &format!("?{}", values.len() + 2))));
        };
        for (condition, text) in [("queue = ?", &self.queue), ("instr(reason, ?) > 0", &self.reason)] {
            if let Some(text) = text {
                add(condition, Box::new(text.clone()));
            }
        }
        for (condition, at) in [("received >= ?", self.since), ("received < ?", self.until)] {
            if let Some(at) = at {
                add(condition, Box::new(millis(at)));
            }
        }
        if !self.ids.is_empty() {
            // Numbers are safe as literals in the SQL.
            let ids: Vec<String> = self.ids.iter().map(ToString::to_string).collect();
            sql.push_str(&format!(" AND id IN ({})", ids.join(", ")));
        }
        (sql, values)
    }
}
