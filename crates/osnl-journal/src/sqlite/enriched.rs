//! The results of enrichments of deliveries, and the last state of objects that may be deleted.
//!
//! Objects are kept by their own id. To find the last event of a resource, the journal would need an index on
//! texts, at a cost for each append. An event also has less data than the API's answer.

use std::collections::BTreeMap;

use osnl_core::event::EnrichedValues;
use osnl_model::ForeignJson;
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::work::Work;
use crate::{DeliveryId, LearntFacts};

pub(super) const OBJECTS: i64 = 100_000;

impl Work<'_> {
    pub(super) fn write_enriched(&self, row: i64, enriched: Option<&EnrichedValues>) -> Result<()> {
        let Some(enriched) = enriched else { return Ok(()) };
        // Serialization cannot fail: keys are texts, and each number is valid in JSON.
        let found = serde_json::to_string(enriched).unwrap_or_default();
        self.connection
            .prepare_cached("INSERT INTO enriched (delivery, found) VALUES (?1, ?2)")?
            .execute(params![row, found])?;
        Ok(())
    }

    pub(super) fn enriched(&self, id: DeliveryId, found: &str, learnt: &LearntFacts) -> Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO enriched (delivery, found) SELECT id, ?2 FROM delivery WHERE id = ?1",
        )?;
        insert.execute(params![id.row(), found])?;
        let mut upsert = self.connection.prepare_cached(
            "INSERT INTO object (name, at, body) VALUES (?1, ?2, ?3) \
             ON CONFLICT (name) DO UPDATE SET at = excluded.at, body = excluded.body",
        )?;
        for (name, body) in &learnt.objects {
            upsert.execute(params![name, self.now, body])?;
        }
        self.record_seen(&learnt.changes)
    }
}

pub(super) fn values(connection: &Connection, id: DeliveryId) -> Result<Option<EnrichedValues>> {
    let mut select = connection.prepare_cached("SELECT found FROM enriched WHERE delivery = ?")?;
    let found: Option<String> = select.query_row([id.row()], |row| row.get(0)).optional()?;
    let found: Option<BTreeMap<String, ForeignJson>> =
        found.and_then(|found| serde_json::from_str(&found).ok());
    Ok(found.map(|found| found.into_iter().map(|(name, ForeignJson(value))| (name, value)).collect()))
}

pub(super) fn known(connection: &Connection, object: &str) -> Result<Option<String>> {
    let mut select = connection.prepare_cached("SELECT body FROM object WHERE name = ?")?;
    select.query_row([object], |row| row.get(0)).optional()
}

/// Forgets the oldest objects, so that the latest take at most so many bytes. A publisher chooses their number and size.
pub(super) fn make_room(connection: &Connection, most: u64, at_most: i64) -> Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM object WHERE name IN (SELECT name FROM (SELECT name, \
             sum(octet_length(name) + octet_length(body)) OVER (ORDER BY at DESC, name) AS bytes FROM object) \
             WHERE bytes > ?1 LIMIT ?2)",
        )?
        .execute([i64::try_from(most).unwrap_or(i64::MAX), at_most])
}

pub(super) fn forget(connection: &Connection, before: i64, at_most: i64) -> Result<usize> {
    let old = connection
        .prepare_cached(
            "DELETE FROM object WHERE name IN (SELECT name FROM object WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute([before, at_most])?;
    let count: i64 =
        connection.prepare_cached("SELECT count(*) FROM object")?.query_row([], |row| row.get(0))?;
    if count <= OBJECTS {
        return Ok(old);
    }
    let beyond = connection
        .prepare_cached("DELETE FROM object WHERE name IN (SELECT name FROM object ORDER BY at LIMIT ?1)")?
        .execute([(count - OBJECTS).min(at_most)])?;
    Ok(old + beyond)
}
