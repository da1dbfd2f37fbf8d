//! The tables of a database as rows that all stores have in common.

use osnl_core::quarantine::{Extent, StoredBody};
use osnl_journal::transfer::{BYTES, CellValue, CellValues, ColumnKind, JournalTable, ROWS};
use osnl_model::BodyDigest;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row};

use crate::session::Session;

/// The state that an owner would give a delivery that has arrived: its turn has come unless another of its lane has it, a dead
/// letter holds the lane, or an earlier one waits or is held.
const STATE: &str = "(CASE WHEN d.state >= 0 THEN d.state WHEN d.begins <> 0 THEN d.begins WHEN d.lane IS NULL THEN 1 \
     WHEN EXISTS (SELECT 1 FROM osnl_delivery o WHERE o.lane = d.lane AND (o.state IN (1, 3) \
       OR o.id < d.id AND (o.state IN (0, 2) OR o.state = -1 AND o.begins IN (0, 2)))) THEN 0 ELSE 1 END)";
/// The deliveries of an event, those of other actions that took over included, as far as they have its numbers.
const COUNT: &str = "least(greatest(a.deliveries, coalesce((SELECT max(d.id) + 1 FROM osnl_delivery d WHERE d.id >= a.id << 16 \
     AND d.id < (a.id + 1 + (a.deliveries >> 16)) << 16), 0) - (a.id << 16)), (((a.deliveries >> 16) + 1) << 16) - 1)";

const EVENTS: &[&str] = &[
    "a.id",
    "a.received",
    "a.redelivered",
    "a.copies",
    COUNT,
    "a.listener",
    "a.queue",
    "a.exchange",
    "a.routing_key",
    "a.content_type",
    "a.content_encoding",
    "a.compression",
    "a.message_id",
    "a.unique_id",
    "a.event_type",
    "a.body",
    "a.happened",
];
const DELIVERIES: &[&str] = &[
    "d.id",
    "d.arrival",
    "d.rule",
    "d.action",
    "d.key",
    STATE,
    "d.state = 3 AND d.lane IS NOT NULL",
    "d.attempts",
    "d.aged",
    "d.tries",
    "d.due",
    "d.pause",
    "d.ordered",
    "d.guarded",
    "d.resource",
    "d.subject_id",
    "d.subject_name",
    "CASE WHEN d.state = -1 AND d.begins > 2 THEN NOW ELSE d.ended END",
    "d.took",
    "d.reason",
    "d.cause",
    "a.message_id",
];
const SEEN: &[&str] = &["name", "touched", "told"];
/// In the order of bytes, whatever the order of the database.
const PAUSES: &[&str] = &["action COLLATE \"C\"", "since", "operator"];

/// A table as it is read.
struct SourceTable {
    /// The expressions of its columns.
    columns: Vec<&'static str>,
    /// The bytes of what may be long in a row.
    size: &'static str,
    from: &'static str,
    /// The columns by which it is ordered.
    key: &'static str,
}

fn source(table: JournalTable) -> SourceTable {
    let names = || table.columns().iter().map(|(name, _)| *name).collect();
    let (columns, size, from, key) = match table {
        JournalTable::Events => (
            EVENTS.to_vec(),
            "octet_length(a.body)",
            "osnl_arrival a WHERE EXISTS (SELECT 1 FROM osnl_delivery d WHERE d.id >= a.id << 16 \
             AND d.id < (a.id + 1 + (a.deliveries >> 16)) << 16)",
            "a.id",
        ),
        JournalTable::Deliveries => (
            DELIVERIES.to_vec(),
            "0",
            "osnl_delivery d JOIN osnl_arrival a ON a.id = d.arrival WHERE true",
            "d.id",
        ),
        JournalTable::Attempts => (names(), "0", "osnl_attempt WHERE true", "delivery, slot"),
        JournalTable::Enrichments => (names(), "octet_length(found)", "osnl_enriched WHERE true", "delivery"),
        JournalTable::Objects => (names(), "octet_length(body)", "osnl_object WHERE true", "name"),
        // Those of the latest messages are for copies from other queues.
        JournalTable::Seen => (SEEN.to_vec(), "octet_length(told)", "osnl_seen WHERE NOT is_message", "name"),
        JournalTable::Quarantined => (names(), "octet_length(body)", "osnl_unreadable WHERE true", "id"),
        JournalTable::Pauses => (PAUSES.to_vec(), "0", "osnl_paused WHERE true", "action COLLATE \"C\""),
    };
    SourceTable { columns, size, from, key }
}

/// Counts the rows of a table.
pub(super) async fn count(client: &Client, table: JournalTable) -> Result<u64, Error> {
    let sql = format!("SELECT count(*) FROM {}", source(table).from);
    client.query_one(&sql, &[]).await?.try_get::<_, i64>(0).map(i64::unsigned_abs)
}

/// Returns the next rows of a table behind a row; the inner error is of a row that cannot be read. `now` is the end of what
/// has ended by its arrival.
pub(super) async fn block(
    session: &mut Session,
    table: JournalTable,
    after: Option<&[CellValue]>,
    now: i64,
) -> Result<Result<Vec<CellValues>, String>, Error> {
    let sql = select(table, after.is_some()).replace("NOW", &now.to_string());
    let key: Vec<&(dyn ToSql + Sync)> =
        after.into_iter().flatten().take(table.key()).map(parameter).collect();
    let rows = session.query(&sql, &key).await?;
    let mut block = Vec::new();
    for row in rows {
        let mut values = values(&row, table)?;
        if table == JournalTable::Quarantined
            && let Err(why) = complete(&mut values)
        {
            return Ok(Err(why));
        }
        block.push(values);
    }
    Ok(Ok(block))
}

/// The statement of a block: the bodies of a thousand rows need not fit into memory together.
fn select(table: JournalTable, is_behind: bool) -> String {
    let SourceTable { columns, size, from, key } = source(table);
    let behind = match (is_behind, table.key()) {
        (false, _) => "",
        (true, 1) => " AND KEY > $1",
        (true, _) => " AND (KEY) > ($1::bigint, $2::bigint)",
    };
    let behind = behind.replace("KEY", key);
    let typed = columns.iter().zip(table.columns()).enumerate().map(|(n, (column, (_, kind)))| match kind {
        // Of small numbers and of booleans too.
        ColumnKind::Number if is_boolean(column) => format!("({column})::integer::bigint AS c{n}"),
        ColumnKind::Number => format!("({column})::bigint AS c{n}"),
        ColumnKind::Text | ColumnKind::Key | ColumnKind::Bytes => format!("{column} AS c{n}"),
    });
    let typed: Vec<String> = typed.collect();
    let names: Vec<String> = (0..columns.len()).map(|n| format!("c{n}")).collect();
    let order = names[..table.key()].join(", ");
    format!(
        "SELECT {} FROM (SELECT *, sum(size) OVER (ORDER BY {order}) - size AS before FROM ( \
           SELECT {}, ({size})::bigint AS size FROM {from}{behind} ORDER BY {key} LIMIT {ROWS}) AS piece) AS sized \
         WHERE before < {BYTES} ORDER BY {order}",
        names.join(", "),
        typed.join(", ")
    )
}

fn is_boolean(column: &str) -> bool {
    ["redelivered", "ordered", "guarded", "NULL"].iter().any(|end| column.ends_with(end))
}

fn parameter(value: &CellValue) -> &(dyn ToSql + Sync) {
    match value {
        CellValue::Null => &None::<i64>,
        CellValue::Number(number) => number,
        CellValue::Text(text) => text,
        CellValue::Bytes(bytes) => bytes,
    }
}

fn values(row: &Row, table: JournalTable) -> Result<CellValues, Error> {
    let value = |(n, (_, kind)): (usize, &(&str, ColumnKind))| -> Result<CellValue, Error> {
        Ok(match kind {
            ColumnKind::Number => {
                row.try_get::<_, Option<i64>>(n)?.map_or(CellValue::Null, CellValue::Number)
            }
            ColumnKind::Text => row.try_get::<_, Option<String>>(n)?.map_or(CellValue::Null, CellValue::Text),
            ColumnKind::Key | ColumnKind::Bytes => {
                row.try_get::<_, Option<Vec<u8>>>(n)?.map_or(CellValue::Null, CellValue::Bytes)
            }
        })
    };
    table.columns().iter().enumerate().map(value).collect()
}

/// Adds the digest of a message in quarantine that is from before it was kept.
fn complete(values: &mut CellValues) -> Result<(), String> {
    let row = JournalTable::Quarantined.named(values);
    if row.text("digest").is_some() {
        return Ok(());
    }
    let number = row.number("id");
    let extent = Extent::of(row.number("extent")).ok_or_else(|| {
        format!("message {number} in quarantine is kept in a form of a newer osnl; use that one")
    })?;
    let body = StoredBody { extent, bytes: row.bytes("body").to_vec() }.read();
    let body = body.map_err(|error| format!("message {number} in quarantine cannot be read: {error}"))?;
    let digest = BodyDigest::of(&body).to_string();
    for (value, (name, _)) in values.iter_mut().zip(JournalTable::Quarantined.columns()) {
        if *name == "digest" {
            *value = CellValue::Text(digest.clone());
        }
    }
    Ok(())
}
