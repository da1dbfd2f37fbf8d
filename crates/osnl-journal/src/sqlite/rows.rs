//! The meaning of a row: numbers of states, moments, messages as received.

use std::sync::Arc;

pub(super) use osnl_core::epoch::{from_millis, millis};
use osnl_core::received::{MessageNotes, Origin, ReceivedMessage};
use osnl_model::BodyDigest;
use osnl_transport::Properties;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, Row};

use crate::DeliveryId;
use crate::identity::MessageIdentity;
use crate::query::RowState;
use crate::store::digest::number;
pub(super) use crate::store::digest::{lane, message_number};

/// The SQL `state = N` by the state's name, as a literal and not bound, so that SQLite uses partial indexes.
macro_rules! is {
    (Waiting) => {
        "state = 0"
    };
    (Ready) => {
        "state = 1"
    };
    (Held) => {
        "state = 2"
    };
    (Dead) => {
        "state = 3"
    };
    (open) => {
        "state <= 2"
    };
    (done) => {
        "state >= 4"
    };
    (with_effect) => {
        "state IN (4, 5)"
    };
}
pub(super) use is;

/// The SQL order in which the failed attempts `a` of a delivery `d` were made, by their places (`work::slot`): the
/// system clock may have gone back between two.
macro_rules! as_made {
    () => {
        "CASE WHEN a.slot < 2 THEN a.slot - 2 ELSE ((a.slot - d.tries - 1) % 19 + 19) % 19 END"
    };
}
pub(super) use as_made;

impl ToSql for RowState {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(*self as i64))
    }
}

impl FromSql for RowState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = i64::column_result(value)?;
        Self::ALL.into_iter().find(|state| *state as i64 == number).ok_or(FromSqlError::OutOfRange(number))
    }
}

pub(super) fn delivery_id(row: i64) -> DeliveryId {
    DeliveryId(row.unsigned_abs())
}

pub(super) fn event_of(connection: &Connection, id: DeliveryId) -> Result<i64> {
    let mut select = connection.prepare_cached("SELECT max(id) FROM event WHERE id <= ?1 >> 16")?;
    select.query_row([id.row()], |row| row.get::<_, Option<i64>>(0)).map(Option::unwrap_or_default)
}

/// Returns eight bytes of a digest over a message's identity, enough to find the few candidates.
pub(super) fn identity_number(identity: &MessageIdentity) -> i64 {
    let mut text = Vec::with_capacity(128);
    text.extend_from_slice(identity.queue.as_bytes());
    text.push(0);
    text.extend_from_slice(identity.id.as_deref().unwrap_or_default().as_bytes());
    text.push(0);
    text.extend_from_slice(identity.digest.as_bytes());
    number(&BodyDigest::new(&text))
}

/// The columns that [`received`] reads, in its order.
pub(super) const RECEIVED: &str = "received, redelivered, listener, queue, exchange, routing_key, content_type, \
     content_encoding, compression, body";

pub(super) fn received(row: &Row<'_>, from: usize) -> Result<ReceivedMessage> {
    let text = |n: usize| row.get::<_, String>(from + n);
    let property = |n: usize| row.get::<_, Option<String>>(from + n);
    Ok(ReceivedMessage {
        origin: Origin {
            received: from_millis(row.get(from)?),
            redelivered: row.get(from + 1)?,
            listener: Arc::from(text(2)?),
            queue: Arc::from(text(3)?),
            exchange: text(4)?,
            routing_key: text(5)?,
        },
        properties: Properties {
            content_type: property(6)?.map(Into::into),
            content_encoding: property(7)?.map(Into::into),
            compression: property(8)?,
        },
        body: row.get::<_, Vec<u8>>(from + 9)?.into(),
        noted: MessageNotes::default(),
    })
}

pub(super) fn hex_text(text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("CAST(x'{bytes}' AS TEXT)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_states_mean_what_they_say() {
        let connection = Connection::open_in_memory().unwrap();
        let check = |condition: &str, expected: &[RowState]| {
            let sql = format!("SELECT ?1 WHERE (SELECT {condition} FROM (SELECT ?1 AS state))");
            let holds = |state: &RowState| connection.prepare(&sql).unwrap().exists([state]).unwrap();
            let found: Vec<_> = RowState::ALL.into_iter().filter(holds).collect();
            assert_eq!(found, expected, "{condition}");
        };
        check(is!(Waiting), &[RowState::Waiting]);
        check(is!(Ready), &[RowState::Ready]);
        check(is!(Held), &[RowState::Held]);
        check(is!(Dead), &[RowState::Dead]);
        let open: Vec<_> = RowState::ALL.into_iter().filter(|state| state.is_open()).collect();
        check(is!(open), &open);
        let done: Vec<_> =
            RowState::ALL.into_iter().filter(|state| !state.is_open() && *state != RowState::Dead).collect();
        check(is!(done), &done);
        check(is!(with_effect), &[RowState::Delivered, RowState::NothingToDo]);
    }
}
