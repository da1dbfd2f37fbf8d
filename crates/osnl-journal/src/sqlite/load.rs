use std::time::Duration;

use osnl_core::event::Event;
use rusqlite::{Connection, OptionalExtension as _, Result};

use super::decoded::DecodedMessages;
use super::enriched;
use super::rows::{event_of, from_millis, is};
use crate::{ClaimedDelivery, DeliveryId, UsedLimits};

pub(super) fn load(
    connection: &Connection,
    decoded: &DecodedMessages,
    id: DeliveryId,
) -> Result<Option<(i64, std::result::Result<ClaimedDelivery, String>)>> {
    let mut select = connection.prepare_cached(concat!(
        "SELECT rule, action, key, resource, attempts, aged, tries, due, ended FROM delivery WHERE id = ? AND ",
        is!(Ready)
    ))?;
    let row = select
        .query_row([id.row()], |row| {
            let (rule, action): (String, String) = (row.get(0)?, row.get(1)?);
            let age = Duration::from_millis(row.get::<_, i64>(5)?.unsigned_abs());
            let used = UsedLimits { attempts: row.get(4)?, age, made: row.get(6)? };
            let began = row.get::<_, Option<i64>>(8)?.map(from_millis);
            Ok((rule, action, row.get(2)?, row.get(3)?, used, row.get(7)?, began))
        })
        .optional()?;
    let Some((rule, action, key, resource, used, due, began)) = row else { return Ok(None) };
    let (received, notification) = match decoded.message(connection, event_of(connection, id)?)? {
        Ok(message) => message,
        Err(unusable) => return Ok(Some((due, Err(unusable)))),
    };
    let enriched = enriched::values(connection, id)?.map(Into::into);
    let event = Event { resource, enriched, ..Event::new(received, notification, rule, action) };
    Ok(Some((due, Ok(ClaimedDelivery { id, key, event, used, since: None, began, newest: false }))))
}

/// Finds claimable deliveries that have not failed. The index `delivery_ready` alone answers this query and
/// the next five.
pub(super) const READY: &str = concat!(
    "SELECT id FROM delivery WHERE action = ?1 AND ",
    is!(Ready),
    " AND due = 0 ORDER BY id LIMIT ?2"
);

pub(super) const READY_NEWEST: &str = concat!(
    "SELECT id FROM delivery WHERE action = ?1 AND ",
    is!(Ready),
    " AND due = 0 ORDER BY id DESC LIMIT ?2"
);

pub(super) const READY_FROM: &str = concat!(
    "SELECT id FROM delivery WHERE action = ?1 AND ",
    is!(Ready),
    " AND due = 0 AND id >= ?2 ORDER BY id LIMIT 1"
);

pub(super) const DUE: &str = concat!(
    "SELECT id FROM delivery WHERE action = ?1 AND ",
    is!(Ready),
    " AND due > 0 AND due <= ?2 ORDER BY due, id LIMIT ?3"
);

pub(super) const NEXT_DUE: &str = concat!(
    "SELECT due FROM delivery WHERE action = ?1 AND ",
    is!(Ready),
    " AND due > ?2 ORDER BY due LIMIT 1"
);
