use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_model::BodyDigest;
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::super::rows::{self, delivery_id, event_of, from_millis, millis, received};
use super::SqliteReader;
use crate::DeliveryId;
use crate::query::{KeyBounds, KeyedEvent, RecentDelivery, RowState};

/// The difference of time by which messages of several listeners may be out of order.
const APART: Duration = Duration::from_secs(60);
/// The most events that an earlier run with a slow clock may have received in a row.
const MISDATED: i64 = 10_000;

/// The part of an event that guards need.
struct RecentEvent {
    id: i64,
    received: i64,
    message: Option<String>,
}

impl SqliteReader {
    pub fn recent(&self, since: SystemTime, mut visit: impl FnMut(RecentDelivery)) -> Result<()> {
        let first =
            self.earliest_since(millis(since.checked_sub(APART).unwrap_or(SystemTime::UNIX_EPOCH)))?;
        let since = millis(since);
        let mut select = self.0.prepare(
            "SELECT id, received, coalesce(nullif(unique_id, ''), nullif(message_id, '')) FROM event WHERE id >= ?1 ORDER BY id",
        )?;
        let mut events = select.query([first])?;
        let mut select = self.0.prepare(
            "SELECT id, rule, action, key, resource, guarded FROM delivery WHERE id >= ?1 AND state <> ?2 ORDER BY id",
        )?;
        let mut rows = select.query(params![DeliveryId::from_event(first, 0).row(), RowState::Shadow])?;
        let mut next = || -> Result<Option<RecentEvent>> {
            let Some(row) = events.next()? else { return Ok(None) };
            Ok(Some(RecentEvent { id: row.get(0)?, received: row.get(1)?, message: row.get(2)? }))
        };
        let Some(mut event) = next()? else { return Ok(()) };
        let mut after = next()?;
        while let Some(row) = rows.next()? {
            let id = row.get::<_, i64>(0)? >> 16;
            while after.as_ref().is_some_and(|after| after.id <= id)
                && let Some(reached) = after
            {
                event = reached;
                after = next()?;
            }
            if event.received < since {
                continue;
            }
            let key: Option<String> = row.get(3)?;
            visit(RecentDelivery {
                rule: row.get(1)?,
                action: row.get(2)?,
                key: match key {
                    Some(key) => key,
                    None => own_key(&self.0, &event, row.get(4)?)?,
                },
                received: from_millis(event.received),
                has_passed: !row.get::<_, bool>(5)?,
            });
        }
        Ok(())
    }

    /// Visits the latest events with deliveries of some rules and their order keys, oldest first.
    /// Deliveries in shadow, and those that were dead letters from the first, have not been carried out.
    pub fn latest_keys(
        &self,
        rules: &[Arc<str>],
        most: KeyBounds,
        mut visit: impl FnMut(KeyedEvent<'_>),
    ) -> Result<()> {
        let latest = self.latest_keyed(rules, most)?;
        let mut select = self.0.prepare(&format!("SELECT {} FROM event WHERE id = ?", rows::RECEIVED))?;
        let mut event = None;
        for (id, rule, key) in latest.iter().rev() {
            let number = event_of(&self.0, delivery_id(*id))?;
            let found = match event.take() {
                Some((known, found)) if known == number => found,
                Some(_) | None => select.query_row([number], |row| received(row, 0))?,
            };
            visit(KeyedEvent { rule, key, number, received: &found });
            event = Some((number, found));
        }
        Ok(())
    }

    /// Returns the number, the rule, and the order key of deliveries, newest first. No index has the rules, so the bound on
    /// what is read keeps a rule that seldom matches from reading the whole journal.
    fn latest_keyed<'a>(
        &self,
        rules: &'a [Arc<str>],
        most: KeyBounds,
    ) -> Result<Vec<(i64, &'a Arc<str>, String)>> {
        let mut select = self.0.prepare(
            "SELECT id, rule, key, key IS NOT NULL AND state <> ?1 AND (state <> ?2 OR attempts + tries > 0) \
             FROM delivery ORDER BY id DESC LIMIT ?3",
        )?;
        let rows = i64::try_from(most.rows).unwrap_or(i64::MAX);
        let mut rows = select.query(params![RowState::Shadow, RowState::Dead, rows])?;
        let mut latest = Vec::new();
        while latest.len() < most.keys
            && let Some(row) = rows.next()?
        {
            let of = row.get_ref(1)?.as_str()?;
            if let Some(rule) = rules.iter().find(|rule| ***rule == *of)
                && row.get(3)?
            {
                latest.push((row.get(0)?, rule, row.get(2)?));
            }
        }
        Ok(latest)
    }

    /// Returns a number before which no event was received since a time, also if the clock was set back between runs.
    fn earliest_since(&self, since: i64) -> Result<i64> {
        let mut first = self.first_since(since)?;
        let mut select = self.0.prepare(
            "SELECT min(id) FROM (SELECT id, received FROM event WHERE id < ?1 ORDER BY id DESC LIMIT ?2) WHERE received >= ?3",
        )?;
        while let Some(earlier) =
            select.query_row([first, MISDATED, since], |row| row.get::<_, Option<i64>>(0))?
        {
            first = earlier;
        }
        Ok(first)
    }

    /// Returns the number of the first event since a time by binary search: times have no index, and nearly grow with the
    /// numbers.
    pub(in super::super) fn first_since(&self, since: i64) -> Result<i64> {
        let last: Option<i64> = self.0.query_row("SELECT max(id) FROM event", [], |row| row.get(0))?;
        let mut select =
            self.0.prepare("SELECT id, received FROM event WHERE id >= ?1 ORDER BY id LIMIT 1")?;
        let (mut from, mut to) = (0, last.unwrap_or(0) + 1);
        while from < to {
            let middle = from + (to - from) / 2;
            let found: Option<(i64, i64)> =
                select.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            match found {
                Some((id, received)) if received < since => from = id + 1,
                Some(_) | None => to = middle,
            }
        }
        Ok(from)
    }
}

/// Returns the substitute for a missing key, as the intake decides it: the message's id or digest, and the
/// resource's index.
fn own_key(connection: &Connection, event: &RecentEvent, resource: Option<u32>) -> Result<String> {
    let id = match &event.message {
        Some(id) => id.clone(),
        None => connection
            .prepare_cached("SELECT body FROM event WHERE id = ?")?
            .query_row([event.id], |row| {
                Ok(BodyDigest::new(row.get_ref(0)?.as_blob().unwrap_or_default()).to_string())
            })?,
    };
    Ok(format!("{id}#{}", resource.unwrap_or_default()))
}

pub(in crate::sqlite) fn recent(connection: &Connection, id: DeliveryId) -> Result<Option<RecentDelivery>> {
    let event = event_of(connection, id)?;
    let mut select = connection.prepare_cached(
        "SELECT e.id, e.received, coalesce(e.unique_id, e.message_id), d.rule, d.action, d.key, d.resource, d.guarded \
         FROM delivery d JOIN event e ON e.id = ?2 WHERE d.id = ?1",
    )?;
    let mut rows = select.query(params![id.row(), event])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let event = RecentEvent { id: row.get(0)?, received: row.get(1)?, message: row.get(2)? };
    let key: Option<String> = row.get(5)?;
    Ok(Some(RecentDelivery {
        rule: row.get(3)?,
        action: row.get(4)?,
        key: match key {
            Some(key) => key,
            None => own_key(connection, &event, row.get(6)?)?,
        },
        received: from_millis(event.received),
        has_passed: !row.get::<_, bool>(7)?,
    }))
}
