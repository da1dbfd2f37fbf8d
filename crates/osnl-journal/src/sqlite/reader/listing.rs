//! Lists of deliveries, a page at a time, and one delivery with all details.

use std::ops::Range;
use std::time::Duration;

use osnl_model::cut;
use rusqlite::{Connection, Result, ToSql, params};

use super::super::blocks::BlockNeeds;
use super::super::rows::{as_made, delivery_id, from_millis, is};
use super::SqliteReader;
use crate::DeliveryId;
use crate::query::{
    AttemptRow, BoundedCount, DeliveryDetails, DeliveryListRow, Filter, LONGEST_TYPE, ListPage, RowOrder,
    RowState, count_rows,
};

const BEHIND: u32 = 10;
const OTHERS: u32 = 20;

impl SqliteReader {
    pub fn list(&self, filter: &Filter, page: &ListPage) -> Result<Vec<DeliveryListRow>> {
        list(&self.0, filter, page)
    }

    /// Returns a page, and counts as [`count_newest`](Self::count_newest) does. The blocks that may match are
    /// looked up only once.
    pub(crate) fn list_and_count(
        &self,
        filter: &Filter,
        page: &ListPage,
        most: u64,
    ) -> Result<(Vec<DeliveryListRow>, BoundedCount)> {
        let parts = parts(&self.0, filter, &BlockNeeds::from_conditions(filter.conditions()))?;
        let rows = list_in(&self.0, filter, page, &parts)?;
        let is_all = page.after.is_none() && rows.len() < page.limit as usize && rows.len() as u64 <= most;
        let counted = match is_all {
            true => (count_rows(&rows, &filter.context), false),
            false => self.count_in(filter, most, &parts)?,
        };
        Ok((rows, counted))
    }

    /// Returns the failed attempts of a delivery, oldest first.
    pub(in crate::sqlite) fn attempts(&self, id: DeliveryId) -> Result<Vec<AttemptRow>> {
        let mut select = self.0.prepare_cached(concat!(
            "SELECT a.at, a.answer, a.request, a.took FROM attempt a JOIN delivery d ON d.id = a.delivery \
             WHERE a.delivery = ? ORDER BY ",
            as_made!(),
        ))?;
        let attempts = select.query_map([id.row()], |row| {
            Ok(AttemptRow {
                at: from_millis(row.get(0)?),
                answer: row.get(1)?,
                request: row.get(2)?,
                took: row.get::<_, Option<i64>>(3)?.map(millis),
            })
        })?;
        attempts.collect()
    }

    pub fn show(&self, id: DeliveryId) -> Result<Option<DeliveryDetails>> {
        let filter = Filter { ids: vec![id], ..Filter::default() };
        let Some(row) = self.list(&filter, &ListPage::default())?.pop() else { return Ok(None) };
        let tries = self.attempts(id)?;
        let Some(received) = self.message(id)? else { return Ok(None) };
        let lane: Option<i64> =
            self.0.query_row("SELECT lane FROM delivery WHERE id = ?", [id.row()], |row| row.get(0))?;
        let count = |sql: &str| -> Result<u64> {
            self.0.query_row(sql, params![lane, id.row()], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
        };
        let ahead = concat!("SELECT count(*) FROM delivery WHERE lane = ?1 AND ", is!(open), " AND id < ?2");
        let behind = concat!("SELECT count(*) FROM delivery WHERE lane = ?1 AND ", is!(open), " AND id > ?2");
        let (ahead, behind) = (count(ahead)?, count(behind)?);
        let mut select = self.0.prepare_cached(concat!(
            "SELECT id FROM delivery WHERE lane = ?1 AND ",
            is!(open),
            " AND id > ?2 ORDER BY id LIMIT ?3"
        ))?;
        let first = select.query_map(params![lane, id.row(), BEHIND], |row| row.get(0).map(delivery_id))?;
        let first: Vec<_> = first.collect::<Result<_>>()?;
        let more = behind.saturating_sub(first.len() as u64);
        let filter = Filter { event: Some(event_number(&self.0, id)?), ..Filter::default() };
        let page = ListPage { limit: OTHERS + 1, ..ListPage::default() };
        let mut others = self.list(&filter, &page)?;
        others.retain(|other| other.id != id);
        others.truncate(OTHERS as usize);
        Ok(Some(DeliveryDetails { row, tries, received, ahead, behind: (first, more), others }))
    }
}

fn event_number(connection: &Connection, id: DeliveryId) -> Result<u64> {
    super::event_of(connection, id).map(i64::unsigned_abs)
}

fn millis(number: i64) -> Duration {
    Duration::from_millis(number.unsigned_abs())
}

pub(in crate::sqlite) fn list(
    connection: &Connection,
    filter: &Filter,
    page: &ListPage,
) -> Result<Vec<DeliveryListRow>> {
    let parts = parts(connection, filter, &BlockNeeds::from_conditions(filter.conditions()))?;
    list_in(connection, filter, page, &parts)
}

fn list_in(
    connection: &Connection,
    filter: &Filter,
    page: &ListPage,
    parts: &[Range<i64>],
) -> Result<Vec<DeliveryListRow>> {
    let ListPage { order, after, limit } = *page;
    let mut ranges = parts.to_vec();
    let direction = match order {
        RowOrder::Oldest => "ASC",
        RowOrder::Newest => {
            ranges.reverse();
            "DESC"
        }
    };
    let (conditions, values) = filter.sql();
    let sql = format!(
        "SELECT {COLUMNS}, {LAST_ANSWER} FROM delivery d \
         JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) \
         WHERE d.id >= ?1 AND d.id < ?2 {conditions} ORDER BY d.id {direction} LIMIT ?{}",
        values.len() + 3,
    );
    let mut select = connection.prepare(&sql)?;
    let begun = after.map(DeliveryId::row);
    let mut rows = Vec::new();
    for range in ranges {
        let (from, to) = match (order, begun) {
            (_, None) => (range.start, range.end),
            (RowOrder::Oldest, Some(begun)) => (range.start.max(begun.saturating_add(1)), range.end),
            (RowOrder::Newest, Some(begun)) => (range.start, range.end.min(begun)),
        };
        if from >= to {
            continue;
        }
        let left = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(limit));
        if left == 0 {
            break;
        }
        let mut all: Vec<&dyn ToSql> = vec![&from, &to];
        all.extend(values.iter().map(|value| &**value));
        all.push(&left);
        for row in select.query_map(&all[..], read)? {
            rows.push(row?);
        }
    }
    Ok(rows)
}

pub(in crate::sqlite) fn parts(
    connection: &Connection,
    filter: &Filter,
    needs: &BlockNeeds,
) -> Result<Vec<Range<i64>>> {
    let (ranges, span) = (needs.ranges(connection)?, filter.span(connection)?);
    let within = |range: Range<i64>| range.start.max(span.start)..range.end.min(span.end);
    Ok(ranges.into_iter().map(within).filter(|part| !part.is_empty()).collect())
}

/// The holder of a lane is its claimable delivery, a held delivery, or a dead letter.
const COLUMNS: &str = "d.id, d.rule, d.action, d.key, d.state, d.attempts, d.tries, d.ended, d.reason, e.received, \
     e.queue, e.event_type, e.message_id, e.copies, d.resource, d.resource_id, d.resource_name, d.due, d.guarded, \
     CASE WHEN d.state = 0 THEN coalesce( \
     (SELECT min(o.id) FROM delivery o WHERE o.lane = d.lane AND o.state = 1), \
     (SELECT min(o.id) FROM delivery o WHERE o.lane = d.lane AND o.state = 2), \
     (SELECT min(o.id) FROM delivery o WHERE o.lane = d.lane AND o.state = 3)) END, d.took";

pub(super) const LAST_ANSWER: &str = concat!(
    "CASE WHEN d.state <= 2 AND d.tries > 0 THEN (SELECT a.answer FROM attempt a WHERE a.delivery = d.id ORDER BY ",
    as_made!(),
    " DESC LIMIT 1) END"
);

fn read(row: &rusqlite::Row<'_>) -> Result<DeliveryListRow> {
    let state: RowState = row.get(4)?;
    // An open delivery has the beginning of its wait there.
    let ended = row.get::<_, Option<i64>>(7)?.filter(|_| !state.is_open());
    Ok(DeliveryListRow {
        id: delivery_id(row.get(0)?),
        rule: row.get(1)?,
        action: row.get(2)?,
        key: row.get(3)?,
        state,
        attempts: row.get(5)?,
        tries: row.get(6)?,
        ended: ended.map(from_millis),
        reason: row.get(8)?,
        received: from_millis(row.get(9)?),
        queue: row.get(10)?,
        event_type: row.get_ref(11)?.as_str().ok().map(|kind| cut(kind, LONGEST_TYPE).to_owned()),
        message_id: row.get(12)?,
        copies: row.get::<_, i64>(13)?.unsigned_abs(),
        resource: row.get(14)?,
        resource_id: row.get(15)?,
        resource_name: row.get(16)?,
        due: Some(row.get::<_, i64>(17)?).filter(|due| *due > 0).map(from_millis),
        is_guarded: row.get(18)?,
        waits_for: row.get::<_, Option<i64>>(19)?.map(delivery_id),
        took: row.get::<_, Option<i64>>(20)?.map(millis),
        last_answer: row.get(21)?,
    })
}
