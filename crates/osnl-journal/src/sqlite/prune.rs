//! Removes old history, dead letters beyond the bound, and history in the space of pending deliveries, in
//! batches, so that no append waits long.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, Result, TransactionBehavior, params};

use super::rows::{self, delivery_id, event_of, is, received};
use super::work::Work;
use super::{SqliteOptions, archive, blocks, enriched, quarantine};
use crate::DeliveryId;
use crate::claim::numbers;
use crate::store::shares::QuarantineBounds;
use osnl_core::epoch;

const BATCH_ROWS: i64 = 250;
/// The longest time for which a batch may delay appends.
const AT_MOST: Duration = Duration::from_millis(30);

/// The effect of one tick of pruning.
#[derive(Debug, Default)]
pub(super) struct PruneResult {
    /// Whether more can be removed at once.
    pub(super) more: bool,
    /// The file is full and nothing prunable is left.
    pub(super) full: Option<String>,
    /// The bytes of the file that rows take.
    pub(super) used: u64,
}

/// The parts of the writer that pruning needs.
pub(super) struct Pruner<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) options: &'a SqliteOptions,
    pub(super) max_size: u64,
    pub(super) file: &'a Path,
    pub(super) is_full: bool,
    pub(super) next_event: i64,
    /// The time before which history ended long enough ago to be removed.
    pub(super) cutoff: i64,
}

pub(super) fn tick(pruner: &mut Pruner<'_>) -> Result<PruneResult> {
    let begun = Instant::now();
    loop {
        let size = used(pruner.connection)?;
        // A file that is too large loses its oldest history early. After a stop of intake, this continues
        // until there is room for more than the next message.
        let wanting = size > pruner.max_size || (pruner.is_full && size > pruner.max_size / 20 * 19);
        let before = if wanting { i64::MAX } else { pruner.cutoff };
        let gone = history(pruner, before)?
            + dead(pruner)?
            + enriched::forget(pruner.connection, pruner.cutoff, BATCH_ROWS)?
            + match wanting {
                true => enriched::make_room(pruner.connection, pruner.max_size / 4, BATCH_ROWS)?,
                false => 0,
            };
        if gone == 0 {
            let full = wanting.then(|| {
                format!(
                    "{} has reached max_size ({} MiB), and holds only pending deliveries and dead letters. osnl reads no \
                     messages until some have been delivered or discarded, or until max_size is larger",
                    pruner.file.display(),
                    pruner.max_size >> 20
                )
            });
            return Ok(PruneResult { more: false, full, used: size });
        }
        if epoch::has_taken(begun, AT_MOST) {
            return Ok(PruneResult { more: true, full: None, used: size });
        }
    }
}

fn used(connection: &Connection) -> Result<u64> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok(pages.unsigned_abs() * pragma("page_size")?.unsigned_abs())
}

fn history(pruner: &mut Pruner<'_>, before: i64) -> Result<usize> {
    let connection = &mut *pruner.connection;
    let ids = oldest(connection, concat!(is!(done), " AND ended < ?1"), before)?;
    remove(connection, &ids, pruner.next_event, true)?;
    Ok(ids.len())
}

/// The name in `meta` of the largest number among the ended deliveries that have left. Numbers have the order of arrival
/// also after a step of the system clock.
const FORGOTTEN: &str = "forgotten_number";

/// Returns the largest number of a delivery that has left; `None` before the first has left.
pub(super) fn forgotten_number(connection: &Connection) -> Result<Option<i64>> {
    let mut select = connection.prepare_cached("SELECT value FROM meta WHERE name = ?")?;
    select.query_row([FORGOTTEN], |row| row.get(0)).optional()
}

/// Archives and removes dead letters beyond the bound; returns their number. Dead letters that hold their key
/// stay. The oldest of the most common action and cause are removed first, so that one tenant's failures do
/// not displace others'.
fn dead(pruner: &mut Pruner<'_>) -> Result<usize> {
    let most = i64::try_from(pruner.options.bounds.max_dead).unwrap_or(i64::MAX);
    let connection = &mut *pruner.connection;
    let dead: i64 = connection.query_row(
        concat!("SELECT coalesce(sum(count), 0) FROM tally WHERE ", is!(Dead)),
        [],
        |row| row.get(0),
    )?;
    if dead <= most {
        return Ok(0);
    }
    let ids = most_common(connection, (dead - most).min(BATCH_ROWS))?;
    if let Err(error) = write_dead(connection, pruner.file, &ids)? {
        // More than the bound is better than lost dead letters.
        tracing::warn!(error = error.to_string(), "dead letters cannot be moved out of the journal");
        return Ok(0);
    }
    remove(connection, &ids, pruner.next_event, false)?;
    Ok(ids.len())
}

fn most_common(connection: &Connection, count: i64) -> Result<Vec<DeliveryId>> {
    let mut select = connection.prepare_cached(DEAD_BY_CAUSE)?;
    let groups = select.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?, 0)))?;
    let mut groups: Vec<((String, Option<String>), i64, i64)> = groups.collect::<Result<_>>()?;
    for _ in 0..count {
        if let Some((_, left, leave)) =
            groups.iter_mut().max_by_key(|(_, left, _)| *left).filter(|group| group.1 > 0)
        {
            (*left, *leave) = (*left - 1, *leave + 1);
        }
    }
    let mut ids = Vec::new();
    let mut select = connection.prepare_cached(OLDEST_OF_CAUSE)?;
    for ((action, cause), _, leave) in groups.into_iter().filter(|group| group.2 > 0) {
        let oldest = select.query_map(params![action, cause, leave], |row| row.get(0).map(delivery_id))?;
        ids.extend(oldest.collect::<Result<Vec<_>>>()?);
    }
    Ok(ids)
}

/// The index `delivery_dead` alone answers this query and the next.
pub(super) const DEAD_BY_CAUSE: &str = concat!(
    "SELECT action, cause, count(*) FROM delivery WHERE ",
    is!(Dead),
    " AND holds_key = 0 GROUP BY action, cause"
);

pub(super) const OLDEST_OF_CAUSE: &str = concat!(
    "SELECT id FROM delivery WHERE ",
    is!(Dead),
    " AND holds_key = 0 AND action = ?1 AND cause IS ?2 ORDER BY ended LIMIT ?3"
);

/// Returns dead letters of an action that became so before a time, also those that hold their key.
pub(super) fn outdated(connection: &Connection, action: &str, before: i64) -> Result<Vec<DeliveryId>> {
    let mut select = connection.prepare_cached(OUTDATED)?;
    select.query_map(params![action, before, BATCH_ROWS], |row| row.get(0).map(delivery_id))?.collect()
}

/// The index `delivery_dead` alone answers this query.
const OUTDATED: &str = concat!(
    "SELECT id FROM delivery WHERE ",
    is!(Dead),
    " AND holds_key IN (0, 1) AND action = ?1 AND ended < ?2 LIMIT ?3"
);

fn oldest(connection: &Connection, which: &str, before: i64) -> Result<Vec<DeliveryId>> {
    let sql = format!("SELECT id FROM delivery WHERE {which} ORDER BY ended LIMIT ?2");
    let mut select = connection.prepare_cached(&sql)?;
    select.query_map([before, BATCH_ROWS], |row| row.get(0).map(delivery_id))?.collect()
}

/// Writes dead letters one at a time, so that only one message is in memory.
fn write_dead(connection: &Connection, file: &Path, ids: &[DeliveryId]) -> Result<io::Result<()>> {
    let mut archive = match archive::Archive::for_dead(file) {
        Ok(archive) => archive,
        Err(error) => return Ok(Err(error)),
    };
    for id in ids {
        if let Some(line) = dead_line(connection, *id)?
            && let Err(error) = archive.add(&line)
        {
            return Ok(Err(error));
        }
    }
    Ok(archive.finish())
}

fn dead_line(connection: &Connection, id: DeliveryId) -> Result<Option<serde_json::Value>> {
    let event = event_of(connection, id)?;
    let sql = format!(
        "SELECT d.rule, d.action, d.key, coalesce(d.reason, ''), d.resource, {} FROM delivery d JOIN event e ON e.id = ?2 \
         WHERE d.id = ?1",
        rows::RECEIVED
    );
    let mut select = connection.prepare_cached(&sql)?;
    select
        .query_row(params![id.row(), event], |row| {
            let (rule, action, key): (String, String, Option<String>) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let reason: String = row.get(3)?;
            let delivery = (&*rule, &*action, key.as_deref());
            Ok(archive::dead(id, delivery, row.get(4)?, &reason, &received(row, 5)?))
        })
        .optional()
}

/// Removes deliveries, and events without another delivery. `are_noted`: whether they may have had an effect, so that a
/// retry of an earlier one is out of order.
fn remove(connection: &mut Connection, ids: &[DeliveryId], next_event: i64, are_noted: bool) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut work = Work::new(&transaction, 0, next_event);
    let mut left = BTreeSet::new();
    for id in ids {
        let Some(found) = work.find(*id)? else { continue };
        let event = event_of(&transaction, *id)?;
        transaction.prepare_cached("DELETE FROM attempt WHERE delivery = ?")?.execute([id.row()])?;
        transaction.prepare_cached("DELETE FROM enriched WHERE delivery = ?")?.execute([id.row()])?;
        transaction.prepare_cached("DELETE FROM delivery WHERE id = ?")?.execute([id.row()])?;
        work.count(&found.action, found.state, -1);
        let deliveries: Option<u32> = transaction
            .prepare_cached("SELECT deliveries FROM event WHERE id = ?")?
            .query_row([event], |row| row.get(0))
            .optional()?;
        let Some(deliveries) = deliveries else { continue };
        let (from, to) = (
            DeliveryId::from_event(event, 0).row(),
            DeliveryId::from_event(event + numbers(deliveries as usize), 0).row(),
        );
        let others = transaction
            .prepare_cached("SELECT 1 FROM delivery WHERE id >= ?1 AND id < ?2")?
            .exists([from, to])?;
        if !others {
            transaction.prepare_cached("DELETE FROM event WHERE id = ?")?.execute([event])?;
            left.insert(event);
        }
    }
    blocks::forget(&transaction, &left)?;
    work.finish()?;
    if are_noted {
        transaction.execute(
            "INSERT INTO meta (name, value) VALUES (?1, ?2) \
             ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            params![FORGOTTEN, ids.iter().map(|id| id.row()).max()],
        )?;
    }
    // A number that an operator has seen must not name another event.
    transaction.execute(
        "INSERT INTO meta (name, value) VALUES ('next_event', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [next_event],
    )?;
    transaction.commit()
}

/// Archives messages in quarantine beyond the bounds of count and bytes, the oldest of the largest queue
/// first.
pub(super) fn unreadable(pruner: &Pruner<'_>) -> Result<()> {
    let bounds = QuarantineBounds::for_max_dead(pruner.options.bounds.max_dead);
    let connection = &*pruner.connection;
    let mut shares = quarantine::shares(connection)?;
    while let Some(index) = bounds.leaves(&shares) {
        let share = &mut shares[index];
        let Some((oldest, bytes)) = quarantine::oldest(connection, share)? else { return Ok(()) };
        let id = oldest.id;
        if let Err(error) = archive::write_quarantined(pruner.file, &oldest) {
            tracing::warn!(
                error = error.to_string(),
                "unreadable messages cannot be moved out of the journal"
            );
            return Ok(());
        }
        quarantine::forget(connection, &[id])?;
        share.lose(bytes);
    }
    Ok(())
}
