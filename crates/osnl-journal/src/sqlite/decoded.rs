//! One decoded message for all of its deliveries in memory.
//!
//! A bulk request of thousands of resources has thousands of deliveries, of which hundreds are in memory at a time, and each
//! of them names the same message. It is read from the file and decoded once, and again only after the last of them has
//! gone: nothing is kept alive here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use osnl_core::received::{KeyForm, ReceivedMessage};
use osnl_model::Notification;
use rusqlite::{Connection, Result, params};

use super::rows;

/// Entries beyond which those of messages that have gone are swept out.
const MANY: usize = 1024;

/// The first event whose idempotency keys name the rule; those before it keep the keys that they had.
const KEYS_WITH_RULE_FROM: &str = "coalesce((SELECT value FROM meta WHERE name = 'keys_with_rule_from'), 0)";

/// The messages of which a delivery is in memory, as far as they were read from the file.
#[derive(Debug, Default)]
pub(super) struct MessageCache(Mutex<HashMap<Key, CacheEntry>>);

type CacheEntry = (Weak<ReceivedMessage>, Weak<Notification>);

/// An event by its number; the rest tells it from one of the same number in a file that has taken this one's place.
type Key = (i64, i64, i64);

/// A message and what it says; the error is of a body that cannot be read.
pub(super) type Message = std::result::Result<(Arc<ReceivedMessage>, Arc<Notification>), String>;

impl MessageCache {
    /// An event's message.
    pub(super) fn of(&self, connection: &Connection, event: i64) -> Result<Message> {
        let mut select = connection.prepare_cached("SELECT received, identity FROM event WHERE id = ?")?;
        let (at, identity) = select.query_row([event], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let key: Key = (event, at, identity);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((received, notification)) = known.get(&key)
            && let (Some(received), Some(notification)) = (received.upgrade(), notification.upgrade())
        {
            return Ok(Ok((received, notification)));
        }
        let sql =
            format!("SELECT {}, noted, id < {KEYS_WITH_RULE_FROM} FROM event WHERE id = ?", rows::RECEIVED);
        let mut select = connection.prepare_cached(&sql)?;
        let received = select.query_row(params![event], |row| {
            let mut received = rows::received(row, 0)?;
            received.noted.happened = row.get::<_, Option<String>>(10)?.map(Into::into);
            if row.get(11)? {
                received.noted.key = KeyForm::WithoutRule;
            }
            Ok(received)
        })?;
        let notification = match received.decode() {
            Ok(notification) => Arc::new(notification),
            Err(error) => {
                return Ok(Err(format!("the journal's copy of the message cannot be read: {error}")));
            }
        };
        let received = Arc::new(received);
        if known.len() >= MANY {
            known.retain(|_, (received, _)| received.strong_count() > 0);
        }
        known.insert(key, (Arc::downgrade(&received), Arc::downgrade(&notification)));
        Ok(Ok((received, notification)))
    }
}
