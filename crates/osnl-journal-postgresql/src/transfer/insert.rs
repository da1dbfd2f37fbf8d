//! Rows of other stores into the tables, with what the tables derive from them: keys of messages, lanes, partitions.

use std::borrow::Cow;

use osnl_core::quarantine::{Extent, StoredBody};
use osnl_journal::DeliveryId;
use osnl_journal::sqlite::RowState;
use osnl_journal::transfer::{CellValue, CellValues, ColumnKind, JournalTable, RowView};
use osnl_model::BodyDigest;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use crate::group::stored_name;
use crate::lane::DEAD;
use crate::partition::place;
use crate::reader::key;
use crate::session::Session;

/// Columns that are derived.
type DerivedColumn = (&'static str, ColumnKind);

/// The table in the database, its columns in the order of the others' values, and their expressions over `c0` and so on; what is
/// derived is behind them.
fn target(table: JournalTable) -> (&'static str, &'static str, &'static str, &'static [DerivedColumn]) {
    match table {
        JournalTable::Events => (
            "osnl_arrival",
            "id, received, redelivered, copies, deliveries, listener, queue, exchange, routing_key, content_type, \
             content_encoding, compression, message_id, unique_id, event_type, body, happened, identity, nameless, epoch",
            "c0, c1, c2 <> 0, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18, 0",
            &[("identity", ColumnKind::Bytes), ("nameless", ColumnKind::Bytes)],
        ),
        JournalTable::Deliveries => (
            "osnl_delivery",
            "id, arrival, rule, action, key, state, attempts, aged, tries, due, pause, ordered, guarded, resource, subject_id, \
             subject_name, ended, took, reason, cause, lane, partition, begins",
            "c0, c1, c2, c3, c4, c5::smallint, c7, c8, c9, c10, c11, c12 <> 0, c13 <> 0, c14, c15, c16, c17, c18, c19, c20, c22, \
             c23::smallint, 0::smallint",
            &[("lane", ColumnKind::Number), ("partition", ColumnKind::Number)],
        ),
        JournalTable::Attempts => (
            "osnl_attempt",
            "delivery, slot, at, answer, request, took",
            "c0, c1::smallint, c2, c3, c4, c5",
            &[],
        ),
        JournalTable::Enrichments => ("osnl_enriched", "delivery, found", "c0, c1", &[]),
        JournalTable::Objects => ("osnl_object", "name, at, body", "c0, c1, c2", &[]),
        JournalTable::Seen => ("osnl_seen", "name, touched, told, is_message", "c0, c1, c2, false", &[]),
        JournalTable::Quarantined => (
            "osnl_unreadable",
            "id, received, redelivered, listener, queue, exchange, routing_key, content_type, content_encoding, compression, \
             reason, size, extent, message_id, publisher_id, event_type, digest, body, identity",
            "c0, c1, c2 <> 0, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18",
            &[("identity", ColumnKind::Bytes)],
        ),
        JournalTable::Pauses => ("osnl_paused", "action, since, operator", "c0, c1, c2", &[]),
    }
}

fn statement(table: JournalTable) -> String {
    let (name, columns, expressions, derived) = target(table);
    let kinds = table.columns().iter().chain(derived).map(|(_, kind)| kind);
    let types = kinds.enumerate().map(|(n, kind)| match kind {
        ColumnKind::Number => format!("${}::bigint[]", n + 1),
        ColumnKind::Text => format!("${}::text[]", n + 1),
        ColumnKind::Key | ColumnKind::Bytes => format!("${}::bytea[]", n + 1),
    });
    let types: Vec<String> = types.collect();
    let names: Vec<String> = (0..types.len()).map(|n| format!("c{n}")).collect();
    format!(
        "INSERT INTO {name} ({columns}) SELECT {expressions} FROM unnest({}) AS n ({})",
        types.join(", "),
        names.join(", ")
    )
}

/// The values of a column.
enum InsertColumn<'a> {
    Numbers(Vec<Option<i64>>),
    Texts(Vec<Option<Cow<'a, str>>>),
    Bytes(Vec<Option<&'a [u8]>>),
}

impl<'a> InsertColumn<'a> {
    fn of(kind: ColumnKind, values: impl Iterator<Item = &'a CellValue>) -> Self {
        match kind {
            ColumnKind::Number => Self::Numbers(values.map(number).collect()),
            ColumnKind::Text => Self::Texts(values.map(text).collect()),
            ColumnKind::Key | ColumnKind::Bytes => Self::Bytes(values.map(bytes).collect()),
        }
    }

    fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Numbers(values) => values,
            Self::Texts(values) => values,
            Self::Bytes(values) => values,
        }
    }
}

fn number(value: &CellValue) -> Option<i64> {
    match value {
        CellValue::Number(number) => Some(*number),
        CellValue::Null | CellValue::Text(_) | CellValue::Bytes(_) => None,
    }
}

fn text(value: &CellValue) -> Option<Cow<'_, str>> {
    match value {
        CellValue::Text(text) => Some(clean(text)),
        CellValue::Null | CellValue::Number(_) | CellValue::Bytes(_) => None,
    }
}

fn bytes(value: &CellValue) -> Option<&[u8]> {
    match value {
        CellValue::Bytes(bytes) => Some(bytes),
        CellValue::Text(text) => Some(text.as_bytes()),
        CellValue::Null | CellValue::Number(_) => None,
    }
}

/// A text as PostgreSQL takes it, which refuses NUL: as everything that is appended.
fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(crate::group::clean(text)) } else { Cow::Borrowed(text) }
}

/// Changes a row to what the tables keep of it; returns the number of changed values.
pub(super) fn fit(table: JournalTable, row: &mut CellValues) -> u64 {
    let mut changed = 0;
    for (value, (_, kind)) in row.iter_mut().zip(table.columns()) {
        match (value, kind) {
            (CellValue::Text(text), ColumnKind::Text) if text.contains('\0') => {
                *text = crate::group::clean(text);
                changed += 1;
            }
            (CellValue::Bytes(name), ColumnKind::Key) => {
                if let Cow::Owned(stored) = stored_name(&String::from_utf8_lossy(name)) {
                    *name = stored.into_bytes();
                    changed += 1;
                }
            }
            _ => {}
        }
    }
    changed
}

/// Inserts rows.
pub(super) async fn write(
    session: &mut Session,
    table: JournalTable,
    rows: &[CellValues],
) -> Result<(), Error> {
    let derived: Vec<CellValues> = rows.iter().map(|row| derive(table, &table.named(row))).collect();
    let own = table.columns().iter().enumerate();
    let mut columns: Vec<InsertColumn<'_>> = own
        .map(|(n, (_, kind))| InsertColumn::of(*kind, rows.iter().filter_map(move |row| row.get(n))))
        .collect();
    let (.., kinds) = target(table);
    for (n, (_, kind)) in kinds.iter().enumerate() {
        columns.push(InsertColumn::of(*kind, derived.iter().filter_map(move |row| row.get(n))));
    }
    let parameters: Vec<&(dyn ToSql + Sync)> = columns.iter().map(InsertColumn::parameter).collect();
    session.execute(&statement(table), &parameters).await.map(drop)
}

fn derive(table: JournalTable, row: &RowView<'_>) -> CellValues {
    let optional = |found: Option<Vec<u8>>| found.map_or(CellValue::Null, CellValue::Bytes);
    match table {
        JournalTable::Events => {
            let (identity, nameless) = message_keys(row);
            vec![CellValue::Bytes(identity), optional(nameless)]
        }
        JournalTable::Deliveries => {
            let is_ordered = row.number("ordered") != 0;
            let id = DeliveryId(row.number("id").unsigned_abs());
            let action = row.text("action").unwrap_or_default();
            let (own, partition) = place(action, row.text("key"), is_ordered, id);
            let is_open = row.number("state") <= RowState::Held as i64;
            let holds = row.number("state") == i64::from(DEAD) && row.number("holds") != 0;
            let stands = own.filter(|_| is_open || holds);
            vec![stands.map_or(CellValue::Null, CellValue::Number), CellValue::Number(partition.into())]
        }
        JournalTable::Quarantined => vec![CellValue::Bytes(unread_key(row))],
        JournalTable::Attempts
        | JournalTable::Enrichments
        | JournalTable::Objects
        | JournalTable::Seen
        | JournalTable::Pauses => Vec::new(),
    }
}

/// Returns the keys of a message, as its append makes them.
fn message_keys(event: &RowView<'_>) -> (Vec<u8>, Option<Vec<u8>>) {
    let (listener, queue) = (event.bytes("listener"), event.bytes("queue"));
    let digest = BodyDigest::of(event.bytes("body"));
    let of = |kind: &[u8], id: &[u8]| key(kind, &[listener, queue, id, digest.as_bytes()]);
    let ids = [event.text("unique_id"), event.text("message_id")];
    match ids.into_iter().flatten().find(|id| !id.is_empty()) {
        Some(id) => (of(b"message", id.as_bytes()), None),
        None => (of(b"arrival", &event.number("id").to_be_bytes()), Some(of(b"nameless", b""))),
    }
}

/// Returns the key of a message in quarantine; of one that is not kept whole, the beginning decides.
fn unread_key(row: &RowView<'_>) -> Vec<u8> {
    let extent = Extent::of(row.number("extent")).unwrap_or(Extent::Whole);
    let stored = StoredBody { extent, bytes: row.bytes("body").to_vec() };
    let digest = BodyDigest::of(&stored.read().unwrap_or_default());
    key(b"unreadable", &[row.bytes("listener"), row.bytes("queue"), digest.as_bytes()])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use osnl_journal::conformance::entry;

    use super::*;
    use crate::command::NewEntry;
    use crate::reader::QueueReader;

    /// A version of the tables that brings a table or a column has to say what a move does with it.
    #[test]
    fn every_column_is_moved() {
        let url = osnl_testkit::Postgres::shared().database();
        let database = url.rsplit_once('/').unwrap().1;
        let rows = |sql: &str| osnl_testkit::Postgres::shared().rows(database, sql);
        rows(&crate::schema::sql(0));
        let all =
            rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1");
        let mut known = vec!["osnl_version", "osnl_counter", "osnl_member", "osnl_partition", "osnl_reader"];
        // Its numbers are made anew.
        known.push("osnl_seen_version");
        known.extend(crate::transfer::destination::EMPTIED);
        known.sort_unstable();
        assert_eq!(all.lines().collect::<Vec<_>>(), known);
        for table in JournalTable::ALL {
            let (name, columns, ..) = target(table);
            let sql = format!(
                "SELECT column_name FROM information_schema.columns WHERE table_name = '{name}' ORDER BY 1"
            );
            let mut columns: Vec<&str> = columns.split(", ").collect();
            if table == JournalTable::Deliveries {
                // Guards judge when a delivery is admitted: those that are moved have been.
                columns.push("unguarded");
            }
            columns.sort_unstable();
            assert_eq!(rows(&sql).lines().collect::<Vec<_>>(), columns, "{name}");
        }
    }

    /// A message that the broker delivers again after the move is known.
    #[test]
    fn a_moved_message_has_the_keys_that_its_append_would_have() {
        for id in ["1", ""] {
            let mut new = NewEntry::new(entry(id, "k", false), &QueueReader::own());
            if id.is_empty() {
                let mut notification = (*new.entry.notification).clone();
                (notification.message_id, notification.unique_id) = (None, Some(String::new()));
                new.entry.notification = Arc::new(notification);
                new = NewEntry::new(new.entry, &QueueReader::own());
            }
            new.id = 7;
            let (received, notification) = (&new.entry.received, &new.entry.notification);
            let value = |name: &str| match name {
                "id" => CellValue::Number(7),
                "listener" => CellValue::Text(received.origin.listener.to_string()),
                "queue" => CellValue::Text(received.origin.queue.to_string()),
                "unique_id" => notification.unique_id.clone().map_or(CellValue::Null, CellValue::Text),
                "message_id" => notification.message_id.clone().map_or(CellValue::Null, CellValue::Text),
                "body" => CellValue::Bytes(received.body.to_vec()),
                _ => CellValue::Null,
            };
            let row: CellValues =
                JournalTable::Events.columns().iter().map(|(name, _)| value(name)).collect();
            let expected = (new.unique_key(), new.nameless_key());
            assert_eq!(message_keys(&JournalTable::Events.named(&row)), expected, "{id:?}");
        }
    }
}
