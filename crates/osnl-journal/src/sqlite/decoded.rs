use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Result, params};

use super::rows;
use crate::store::messages::{self, Message};

/// Decodes each message of the file once for all of its deliveries in memory.
#[derive(Debug, Default)]
pub(super) struct DecodedMessages(Mutex<messages::MessageCache<DecodedKey>>);

/// An event's number; the other parts distinguish an event of the same number in a file that replaced this
/// one.
type DecodedKey = (i64, i64, i64);

impl DecodedMessages {
    pub(super) fn message(
        &self,
        connection: &Connection,
        event: i64,
    ) -> Result<std::result::Result<Message, String>> {
        let mut select = connection.prepare_cached("SELECT received, identity FROM event WHERE id = ?")?;
        let (at, identity) = select.query_row([event], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let key: DecodedKey = (event, at, identity);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(message) = known.get(&key) {
            return Ok(Ok(message));
        }
        let sql = format!("SELECT {}, noted FROM event WHERE id = ?", rows::RECEIVED);
        let mut select = connection.prepare_cached(&sql)?;
        let received = select.query_row(params![event], |row| {
            let mut received = rows::received(row, 0)?;
            received.noted.happened = row.get::<_, Option<String>>(10)?.map(Into::into);
            Ok(received)
        })?;
        let notification = match received.decode() {
            Ok(notification) => Arc::new(notification),
            Err(error) => {
                return Ok(Err(format!("the journal's copy of the message cannot be read: {error}")));
            }
        };
        let message = (Arc::new(received), notification);
        known.insert(key, &message);
        Ok(Ok(message))
    }
}
