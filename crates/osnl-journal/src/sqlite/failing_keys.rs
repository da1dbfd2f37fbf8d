//! Deliveries that have failed several times, for a status.

use osnl_core::attempt::ErrorClass;
use rusqlite::{OptionalExtension as _, Result, params};

use super::reader::SqliteReader;
use super::rows::{as_made, delivery_id, from_millis, is};
use crate::query::{FailingKey, LatestDead};

const SCAN_LIMIT: i64 = 1000;
const CAUSES: usize = 100;

impl SqliteReader {
    /// Returns open deliveries of an action that have failed at least twice, oldest first, a bounded number.
    /// An index covers deliveries that wait for a retry, so the cost does not depend on the backlog.
    pub fn failing_keys(&self, action: &str) -> Result<Vec<FailingKey>> {
        let mut select = self.0.prepare_cached(concat!(
            "SELECT id, coalesce(resource_name, resource_id, key), tries FROM delivery WHERE action = ?1 AND ",
            is!(Ready),
            " AND due > 0 ORDER BY due LIMIT ?2"
        ))?;
        let rows = select.query_map(params![action, SCAN_LIMIT], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, u32>(2)?))
        })?;
        let mut first =
            self.0.prepare_cached("SELECT at FROM attempt WHERE delivery = ?1 ORDER BY slot LIMIT 1")?;
        let mut last = self.0.prepare_cached(concat!(
            "SELECT a.at, a.answer, a.class, a.host FROM attempt a JOIN delivery d ON d.id = a.delivery \
             WHERE a.delivery = ?1 ORDER BY ",
            as_made!(),
            " DESC LIMIT 1"
        ))?;
        let mut failing = Vec::new();
        for row in rows {
            let (id, resource, tries) = row?;
            if tries < 2 {
                continue;
            }
            let since: Option<i64> = first.query_row([id], |row| row.get(0)).optional()?;
            let Some(since) = since.map(from_millis) else { continue };
            let latest = last.query_row([id], |row| {
                let class: Option<String> = row.get(2)?;
                Ok(FailingKey {
                    id: delivery_id(id),
                    resource,
                    tries,
                    since,
                    at: from_millis(row.get(0)?),
                    answer: row.get(1)?,
                    class: class.as_deref().and_then(ErrorClass::from_word),
                    host: row.get(3)?,
                })
            });
            failing.extend(latest.optional()?);
        }
        failing.sort_by_key(|failing| failing.since);
        Ok(failing)
    }

    /// Returns an action's latest dead letter. The search skips from cause to cause in the index, so its cost does not
    /// depend on the number of dead letters.
    pub(crate) fn latest_dead(&self, action: &str) -> Result<Option<LatestDead>> {
        let mut first = self.0.prepare_cached(concat!(
            "SELECT cause FROM delivery WHERE holds_key = ?1 AND action = ?2 AND ",
            is!(Dead),
            " ORDER BY cause LIMIT 1"
        ))?;
        let mut next = self.0.prepare_cached(concat!(
            "SELECT cause FROM delivery WHERE holds_key = ?1 AND action = ?2 AND cause > ?3 AND ",
            is!(Dead),
            " ORDER BY cause LIMIT 1"
        ))?;
        let mut latest = self.0.prepare_cached(concat!(
            "SELECT ended, reason, (SELECT a.answer FROM attempt a WHERE a.delivery = d.id ORDER BY ",
            as_made!(),
            " DESC LIMIT 1), (SELECT a.host FROM attempt a WHERE a.delivery = d.id ORDER BY ",
            as_made!(),
            " DESC LIMIT 1) FROM delivery d WHERE holds_key = ?1 AND action = ?2 AND cause IS ?3 AND ",
            is!(Dead),
            " ORDER BY ended DESC LIMIT 1"
        ))?;
        let mut found: Option<(Option<i64>, LatestDead)> = None;
        for holds_key in [0, 1] {
            let row = first.query_row(params![holds_key, action], |row| row.get(0));
            let mut cause: Option<Option<String>> = row.optional()?;
            for _ in 0..CAUSES {
                let Some(this) = cause.take() else { break };
                let row = latest.query_row(params![holds_key, action, this], |row| {
                    let (reason, answer, host) = (row.get(1)?, row.get(2)?, row.get(3)?);
                    Ok((row.get(0)?, LatestDead { reason, cause: this.clone(), answer, host }))
                });
                found = found.max(row.optional()?);
                let after = this.unwrap_or_default();
                cause = next.query_row(params![holds_key, action, after], |row| row.get(0)).optional()?;
            }
        }
        Ok(found.map(|(_, latest)| latest))
    }

    pub(crate) fn used_bytes(&self) -> Result<u64> {
        let pragma = |name: &str| self.0.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = pragma("page_count")? - pragma("freelist_count")?;
        Ok(pages.unsigned_abs() * pragma("page_size")?.unsigned_abs())
    }
}
