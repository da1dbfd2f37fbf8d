//! The tables of a file as rows that all stores have in common: reading and writing them.

use std::collections::BTreeMap;

use osnl_core::quarantine::{Extent, Glimpse, StoredBody};
use osnl_model::BodyDigest;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, Row, ToSql, params_from_iter};

use crate::identity::MessageIdentity;
use crate::sqlite::paused;
use crate::sqlite::rows::{RowState, identity_number, lane, message_number, millis, moment};
use crate::transfer::{BYTES, CellValue, CellValues, ColumnKind, JournalTable, ROWS, RowView};

/// The operator of a pause from before it was recorded.
const UNKNOWN: &str = "unknown";

/// The expressions of a table's columns, and its rows.
fn columns(table: JournalTable) -> (&'static str, &'static str) {
    match table {
        JournalTable::Events => (
            "id, received, redelivered, copies, deliveries, listener, queue, exchange, routing_key, content_type, \
             content_encoding, compression, message_id, unique_id, event_type, body, noted",
            // One without a delivery would never leave.
            "event WHERE EXISTS (SELECT 1 FROM delivery d WHERE d.id >= event.id << 16 \
             AND d.id < (event.id + 1 + (event.deliveries >> 16)) << 16)",
        ),
        JournalTable::Deliveries => (
            "d.id AS id, e.id AS event, d.rule, d.action, d.key, d.state, d.state = 3 AND d.lane IS NOT NULL, d.attempts, d.aged, \
             d.tries, d.due, d.pause, d.ordered, d.guarded, d.resource, d.resource_id, d.resource_name, d.ended, d.took, d.reason, \
             d.cause, e.message_id",
            "delivery d JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) WHERE true",
        ),
        JournalTable::Attempts => ("delivery, slot, at, answer, request, took", "attempt WHERE true"),
        JournalTable::Enrichments => ("delivery, found", "enriched WHERE true"),
        JournalTable::Objects => ("name, at, body", "object WHERE true"),
        JournalTable::Seen => ("name, at, row", "seen WHERE true"),
        JournalTable::Quarantined => (
            "id, received, redelivered, listener, queue, exchange, routing_key, content_type, content_encoding, compression, \
             reason, size, extent, message_id, publisher_id, event_type, digest, body",
            "unreadable WHERE true",
        ),
        // They are read from `meta`.
        JournalTable::Pauses => ("name", "meta WHERE name GLOB 'paused *'"),
    }
}

/// The columns by which a table is ordered.
fn key(table: JournalTable) -> &'static str {
    match table {
        JournalTable::Events | JournalTable::Quarantined => "id",
        JournalTable::Deliveries => "d.id",
        JournalTable::Attempts => "delivery, slot",
        JournalTable::Enrichments => "delivery",
        JournalTable::Objects | JournalTable::Seen | JournalTable::Pauses => "name",
    }
}

/// Counts the rows of a table.
pub(super) fn count(connection: &Connection, table: JournalTable) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", columns(table).1);
    connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// Returns the next rows of a table behind a row.
pub(super) fn block(
    connection: &Connection,
    table: JournalTable,
    after: Option<&[CellValue]>,
) -> Result<Vec<CellValues>> {
    if table == JournalTable::Pauses {
        return if after.is_some() { Ok(Vec::new()) } else { pauses(connection) };
    }
    let ((columns, from), key) = (columns(table), key(table));
    let behind = match (after, table.key()) {
        (None, _) => "",
        (Some(_), 1) => "(?1)",
        (Some(_), _) => "(?1, ?2)",
    };
    let behind = if behind.is_empty() { String::new() } else { format!(" AND ({key}) > {behind}") };
    let sql = format!("SELECT {columns} FROM {from}{behind} ORDER BY {key} LIMIT {ROWS}");
    let mut select = connection.prepare_cached(&sql)?;
    let bound = after.into_iter().flat_map(|row| bound(table, row).take(table.key()));
    let mut rows = select.query(params_from_iter(bound))?;
    let (mut block, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let kinds = table.columns().iter().enumerate();
        let mut values = kinds.map(|(n, (_, kind))| value(row, n, *kind)).collect::<Result<CellValues>>()?;
        if table == JournalTable::Quarantined {
            complete(&mut values)?;
        }
        bytes += values.iter().map(CellValue::size).sum::<usize>();
        block.push(values);
        if bytes >= BYTES {
            break;
        }
    }
    Ok(block)
}

fn value(row: &Row<'_>, n: usize, kind: ColumnKind) -> Result<CellValue> {
    let found = row.get_ref(n)?;
    if found == ValueRef::Null {
        return Ok(CellValue::Null);
    }
    Ok(match kind {
        ColumnKind::Number => CellValue::Number(row.get(n)?),
        ColumnKind::Text => CellValue::Text(row.get(n)?),
        ColumnKind::Key => CellValue::Bytes(row.get::<_, String>(n)?.into_bytes()),
        ColumnKind::Bytes => CellValue::Bytes(found.as_bytes()?.to_vec()),
    })
}

/// Adds what a message in quarantine from before version 7 has no columns for.
fn complete(values: &mut CellValues) -> Result<()> {
    let row = JournalTable::Quarantined.named(values);
    if row.text("digest").is_some() {
        return Ok(());
    }
    let body = body(&row)?;
    let glimpse = Glimpse::of(&body);
    let digest = BodyDigest::of(&body).to_string();
    let names: BTreeMap<&str, Option<String>> = BTreeMap::from([
        ("message_id", glimpse.message_id),
        ("publisher_id", glimpse.publisher_id),
        ("event_type", glimpse.event_type),
        ("digest", Some(digest)),
    ]);
    for (value, (name, _)) in values.iter_mut().zip(JournalTable::Quarantined.columns()) {
        if let Some(text) = names.get(name) {
            *value = text.clone().map_or(CellValue::Null, CellValue::Text);
        }
    }
    Ok(())
}

/// The body of a message in quarantine, or its beginning.
fn body(row: &RowView<'_>) -> Result<bytes::Bytes> {
    let extent = Extent::of(row.number("extent")).unwrap_or(Extent::Whole);
    let stored = StoredBody { extent, bytes: row.bytes("body").to_vec() };
    stored.read().map_err(|error| rusqlite::types::FromSqlError::Other(Box::new(error)).into())
}

fn pauses(connection: &Connection) -> Result<Vec<CellValues>> {
    let by = paused::by(connection)?;
    let pauses = paused::list(connection)?;
    let row = |(action, since): (String, _)| {
        let operator = by.get(&action).map_or(UNKNOWN, String::as_str).to_owned();
        vec![CellValue::Text(action), CellValue::Number(millis(since)), CellValue::Text(operator)]
    };
    Ok(pauses.into_iter().map(row).collect())
}

/// A value as SQLite takes it.
struct BoundValue<'a>(&'a CellValue, ColumnKind);

impl ToSql for BoundValue<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        let value = match (self.0, self.1) {
            (CellValue::Null, _) => ValueRef::Null,
            (CellValue::Number(number), _) => ValueRef::Integer(*number),
            (CellValue::Text(text), _) => ValueRef::Text(text.as_bytes()),
            (CellValue::Bytes(bytes), ColumnKind::Key | ColumnKind::Text) => ValueRef::Text(bytes),
            (CellValue::Bytes(bytes), ColumnKind::Bytes | ColumnKind::Number) => ValueRef::Blob(bytes),
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

fn bound(table: JournalTable, row: &[CellValue]) -> impl Iterator<Item = BoundValue<'_>> {
    row.iter().zip(table.columns()).map(|(value, (_, kind))| BoundValue(value, *kind))
}

/// The statement that inserts a row of a table; of an event, the number of its identity follows, of a delivery its lane and the
/// number of its message's id.
fn insert(table: JournalTable) -> &'static str {
    match table {
        JournalTable::Events => {
            "INSERT INTO event (id, received, redelivered, copies, deliveries, listener, queue, exchange, routing_key, \
             content_type, content_encoding, compression, message_id, unique_id, event_type, body, noted, identity) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
        }
        JournalTable::Deliveries => {
            "INSERT INTO delivery (id, rule, action, key, state, holds_key, attempts, aged, tries, due, pause, ordered, guarded, \
             resource, resource_id, resource_name, ended, took, reason, cause, lane, message) \
             VALUES (?1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?23, ?24)"
        }
        JournalTable::Attempts => {
            "INSERT INTO attempt (delivery, slot, at, answer, request, took) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        }
        JournalTable::Enrichments => "INSERT INTO enriched (delivery, found) VALUES (?1, ?2)",
        JournalTable::Objects => "INSERT INTO object (name, at, body) VALUES (?1, ?2, ?3)",
        JournalTable::Seen => "INSERT INTO seen (name, at, row) VALUES (?1, ?2, ?3)",
        JournalTable::Quarantined => {
            "INSERT INTO unreadable (id, received, redelivered, listener, queue, exchange, routing_key, content_type, \
             content_encoding, compression, reason, size, extent, message_id, publisher_id, event_type, digest, body, identity) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
        }
        JournalTable::Pauses => "",
    }
}

/// Inserts rows, in the caller's transaction.
pub(super) fn write(connection: &Connection, table: JournalTable, rows: &[CellValues]) -> Result<()> {
    if table == JournalTable::Pauses {
        for row in rows.iter().map(|row| table.named(row)) {
            let (action, by) = (row.text("action").unwrap_or_default(), row.text("operator"));
            let at = millis(moment(row.number("since")));
            paused::pause(connection, action, by.unwrap_or(UNKNOWN), at)?;
        }
        return Ok(());
    }
    let mut insert = connection.prepare_cached(insert(table))?;
    for row in rows {
        let named = table.named(row);
        let derived = match table {
            JournalTable::Events => vec![CellValue::Number(identity_number(&identity(&named)))],
            JournalTable::Deliveries => vec![lane_of(&named), number_of(named.text("message_id"))],
            JournalTable::Quarantined => vec![CellValue::Number(identity_number(&unread_identity(&named)?))],
            JournalTable::Attempts
            | JournalTable::Enrichments
            | JournalTable::Objects
            | JournalTable::Seen
            | JournalTable::Pauses => Vec::new(),
        };
        let derived = derived.iter().map(|value| BoundValue(value, ColumnKind::Number));
        insert.execute(params_from_iter(bound(table, row).chain(derived)))?;
    }
    Ok(())
}

fn identity(event: &RowView<'_>) -> MessageIdentity {
    let ids = [event.text("unique_id"), event.text("message_id")];
    MessageIdentity {
        queue: event.text("queue").unwrap_or_default().into(),
        id: ids.into_iter().flatten().find(|id| !id.is_empty()).map(str::to_owned),
        digest: BodyDigest::of(event.bytes("body")),
    }
}

/// The identity of a message in quarantine; of one that is not kept whole, of its beginning.
fn unread_identity(row: &RowView<'_>) -> Result<MessageIdentity> {
    let queue = row.text("queue").unwrap_or_default().into();
    Ok(MessageIdentity { queue, id: None, digest: BodyDigest::of(&body(row)?) })
}

/// The lane in which a delivery stands in the way of others.
fn lane_of(delivery: &RowView<'_>) -> CellValue {
    let is_open = delivery.number("state") <= RowState::Held as i64;
    let stands = is_open || delivery.number("holds") != 0;
    let key = delivery.text("key").filter(|_| stands && delivery.number("ordered") != 0);
    let action = delivery.text("action").unwrap_or_default();
    key.map_or(CellValue::Null, |key| CellValue::Number(lane(action, key)))
}

fn number_of(message_id: Option<&str>) -> CellValue {
    message_id.map_or(CellValue::Null, |id| CellValue::Number(message_number(id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    /// A version of the tables that brings a column has to say what a move does with it.
    #[test]
    fn every_column_is_moved() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection, schema::VERSION).unwrap();
        for table in JournalTable::ALL.into_iter().filter(|table| *table != JournalTable::Pauses) {
            let statement = insert(table);
            let (name, columns) = statement.trim_start_matches("INSERT INTO ").split_once(" (").unwrap();
            let mut moved: Vec<&str> = columns.split_once(')').unwrap().0.split(", ").collect();
            if table == JournalTable::Deliveries {
                // The source is refused that has any.
                moved.extend(["wish", "wish_text"]);
            }
            moved.sort_unstable();
            let mut select =
                connection.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY name").unwrap();
            let there = select.query_map([name], |row| row.get(0)).unwrap();
            assert_eq!(there.collect::<Result<Vec<String>>>().unwrap(), moved, "{name}");
        }
    }
}
