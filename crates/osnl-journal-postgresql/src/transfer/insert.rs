//! Rows of other stores into the tables, with what the tables derive from them: keys of messages, lanes, partitions.

use std::borrow::Cow;

use osnl_core::quarantine::{Extent, StoredBody};
use osnl_journal::DeliveryId;
use osnl_journal::sqlite::State;
use osnl_journal::transfer::{Kind, RowView, Table, Value, Values};
use osnl_model::BodyDigest;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use crate::group::stored_name;
use crate::lane::DEAD;
use crate::partition::place;
use crate::reader::key;
use crate::session::Session;

/// Columns that are derived.
type DerivedColumn = (&'static str, Kind);

/// The table in the database, its columns in the order of the others' values, and their expressions over `c0` and so on; what is
/// derived is behind them.
fn target(table: Table) -> (&'static str, &'static str, &'static str, &'static [DerivedColumn]) {
    match table {
        Table::Events => (
            "osnl_arrival",
            "id, received, redelivered, copies, deliveries, listener, queue, exchange, routing_key, content_type, \
             content_encoding, compression, message_id, unique_id, event_type, body, happened, identity, nameless, epoch",
            "c0, c1, c2 <> 0, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18, 0",
            &[("identity", Kind::Bytes), ("nameless", Kind::Bytes)],
        ),
        Table::Deliveries => (
            "osnl_delivery",
            "id, arrival, rule, action, key, state, attempts, aged, tries, due, pause, ordered, guarded, resource, subject_id, \
             subject_name, ended, took, reason, cause, lane, partition, begins",
            "c0, c1, c2, c3, c4, c5::smallint, c7, c8, c9, c10, c11, c12 <> 0, c13 <> 0, c14, c15, c16, c17, c18, c19, c20, c22, \
             c23::smallint, 0::smallint",
            &[("lane", Kind::Number), ("partition", Kind::Number)],
        ),
        Table::Attempts => (
            "osnl_attempt",
            "delivery, slot, at, answer, request, took",
            "c0, c1::smallint, c2, c3, c4, c5",
            &[],
        ),
        Table::Enrichments => ("osnl_enriched", "delivery, found", "c0, c1", &[]),
        Table::Objects => ("osnl_object", "name, at, body", "c0, c1, c2", &[]),
        Table::Seen => ("osnl_seen", "name, touched, told, is_message", "c0, c1, c2, false", &[]),
        Table::Quarantined => (
            "osnl_unreadable",
            "id, received, redelivered, listener, queue, exchange, routing_key, content_type, content_encoding, compression, \
             reason, size, extent, message_id, publisher_id, event_type, digest, body, identity",
            "c0, c1, c2 <> 0, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18",
            &[("identity", Kind::Bytes)],
        ),
        Table::Pauses => ("osnl_paused", "action, since, operator", "c0, c1, c2", &[]),
    }
}

fn statement(table: Table) -> String {
    let (name, columns, expressions, derived) = target(table);
    let kinds = table.columns().iter().chain(derived).map(|(_, kind)| kind);
    let types = kinds.enumerate().map(|(n, kind)| match kind {
        Kind::Number => format!("${}::bigint[]", n + 1),
        Kind::Text => format!("${}::text[]", n + 1),
        Kind::Key | Kind::Bytes => format!("${}::bytea[]", n + 1),
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
enum Column<'a> {
    Numbers(Vec<Option<i64>>),
    Texts(Vec<Option<Cow<'a, str>>>),
    Bytes(Vec<Option<&'a [u8]>>),
}

impl<'a> Column<'a> {
    fn of(kind: Kind, values: impl Iterator<Item = &'a Value>) -> Self {
        match kind {
            Kind::Number => Self::Numbers(values.map(number).collect()),
            Kind::Text => Self::Texts(values.map(text).collect()),
            Kind::Key | Kind::Bytes => Self::Bytes(values.map(bytes).collect()),
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

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Null | Value::Text(_) | Value::Bytes(_) => None,
    }
}

fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(clean(text)),
        Value::Null | Value::Number(_) | Value::Bytes(_) => None,
    }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::Text(text) => Some(text.as_bytes()),
        Value::Null | Value::Number(_) => None,
    }
}

/// A text as PostgreSQL takes it, which refuses NUL: as everything that is appended.
fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(crate::group::clean(text)) } else { Cow::Borrowed(text) }
}

/// Changes a row to what the tables keep of it; returns the number of changed values.
pub(super) fn fit(table: Table, row: &mut Values) -> u64 {
    let mut changed = 0;
    for (value, (_, kind)) in row.iter_mut().zip(table.columns()) {
        match (value, kind) {
            (Value::Text(text), Kind::Text) if text.contains('\0') => {
                *text = crate::group::clean(text);
                changed += 1;
            }
            (Value::Bytes(name), Kind::Key) => {
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
pub(super) async fn write(session: &mut Session, table: Table, rows: &[Values]) -> Result<(), Error> {
    let derived: Vec<Values> = rows.iter().map(|row| derive(table, &table.named(row))).collect();
    let own = table.columns().iter().enumerate();
    let mut columns: Vec<Column<'_>> =
        own.map(|(n, (_, kind))| Column::of(*kind, rows.iter().filter_map(move |row| row.get(n)))).collect();
    let (.., kinds) = target(table);
    for (n, (_, kind)) in kinds.iter().enumerate() {
        columns.push(Column::of(*kind, derived.iter().filter_map(move |row| row.get(n))));
    }
    let parameters: Vec<&(dyn ToSql + Sync)> = columns.iter().map(Column::parameter).collect();
    session.execute(&statement(table), &parameters).await.map(drop)
}

fn derive(table: Table, row: &RowView<'_>) -> Values {
    let optional = |found: Option<Vec<u8>>| found.map_or(Value::Null, Value::Bytes);
    match table {
        Table::Events => {
            let (identity, nameless) = message_keys(row);
            vec![Value::Bytes(identity), optional(nameless)]
        }
        Table::Deliveries => {
            let is_ordered = row.number("ordered") != 0;
            let id = DeliveryId(row.number("id").unsigned_abs());
            let action = row.text("action").unwrap_or_default();
            let (own, partition) = place(action, row.text("key"), is_ordered, id);
            let is_open = row.number("state") <= State::Held as i64;
            let holds = row.number("state") == i64::from(DEAD) && row.number("holds") != 0;
            let stands = own.filter(|_| is_open || holds);
            vec![stands.map_or(Value::Null, Value::Number), Value::Number(partition.into())]
        }
        Table::Quarantined => vec![Value::Bytes(unread_key(row))],
        Table::Attempts | Table::Enrichments | Table::Objects | Table::Seen | Table::Pauses => Vec::new(),
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
    use crate::reader::Reader;

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
        for table in Table::ALL {
            let (name, columns, ..) = target(table);
            let sql = format!(
                "SELECT column_name FROM information_schema.columns WHERE table_name = '{name}' ORDER BY 1"
            );
            let mut columns: Vec<&str> = columns.split(", ").collect();
            if table == Table::Deliveries {
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
            let mut new = NewEntry::new(entry(id, "k", false), &Reader::own());
            if id.is_empty() {
                let mut notification = (*new.entry.notification).clone();
                (notification.message_id, notification.unique_id) = (None, Some(String::new()));
                new.entry.notification = Arc::new(notification);
                new = NewEntry::new(new.entry, &Reader::own());
            }
            new.id = 7;
            let (received, notification) = (&new.entry.received, &new.entry.notification);
            let value = |name: &str| match name {
                "id" => Value::Number(7),
                "listener" => Value::Text(received.origin.listener.to_string()),
                "queue" => Value::Text(received.origin.queue.to_string()),
                "unique_id" => notification.unique_id.clone().map_or(Value::Null, Value::Text),
                "message_id" => notification.message_id.clone().map_or(Value::Null, Value::Text),
                "body" => Value::Bytes(received.body.to_vec()),
                _ => Value::Null,
            };
            let row: Values = Table::Events.columns().iter().map(|(name, _)| value(name)).collect();
            let expected = (new.unique_key(), new.nameless_key());
            assert_eq!(message_keys(&Table::Events.named(&row)), expected, "{id:?}");
        }
    }
}
