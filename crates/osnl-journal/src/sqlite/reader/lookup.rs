use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use osnl_core::event::AskedFor;
use osnl_core::received::ReceivedMessage;
use osnl_model::Notification;
use rusqlite::{OptionalExtension as _, Result, ToSql};

use super::super::rows::{self, received};
use super::super::{enriched, work};
use super::{SqliteReader, list};
use crate::DeliveryId;
use crate::identity::MessageIdentity;
use crate::query::{DeliveryListRow, Filter, KeptEvent, ListPage};

impl SqliteReader {
    pub fn event_numbers(&self, filter: &Filter, limit: u32, last: bool) -> Result<Vec<u64>> {
        let (conditions, values) = filter.sql();
        let order = if last { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT DISTINCT e.id FROM delivery d JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) \
             WHERE d.id > ?1 {conditions} ORDER BY e.id {order} LIMIT ?2"
        );
        let mut all: Vec<&dyn ToSql> = vec![&-1_i64, &limit];
        all.extend(values.iter().map(|value| &**value));
        let mut select = self.0.prepare(&sql)?;
        let numbers = select.query_map(&all[..], |row| row.get::<_, i64>(0).map(i64::unsigned_abs))?;
        let mut numbers: Vec<u64> = numbers.collect::<Result<_>>()?;
        if last {
            numbers.reverse();
        }
        Ok(numbers)
    }

    /// Returns the events behind `after` with a matching delivery, for up to `limit` deliveries, and the last
    /// of these deliveries. Two consecutive parts may share an event.
    pub fn event_numbers_behind(
        &self,
        filter: &Filter,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<(Vec<u64>, Option<DeliveryId>)> {
        let (conditions, values) = filter.sql();
        let sql = format!(
            "SELECT e.id, d.id FROM delivery d JOIN event e ON e.id = (SELECT max(id) FROM event WHERE id <= d.id >> 16) \
             WHERE d.id > ?1 {conditions} ORDER BY d.id LIMIT ?2"
        );
        let after = after.map_or(-1, DeliveryId::row);
        let mut all: Vec<&dyn ToSql> = vec![&after, &limit];
        all.extend(values.iter().map(|value| &**value));
        let mut select = self.0.prepare_cached(&sql)?;
        let mut rows = select.query(&all[..])?;
        let (mut numbers, mut last) = (Vec::new(), None);
        while let Some(row) = rows.next()? {
            numbers.push(row.get::<_, i64>(0)?.unsigned_abs());
            last = Some(rows::delivery_id(row.get(1)?));
        }
        numbers.dedup();
        Ok((numbers, last))
    }

    pub fn event(&self, number: u64) -> Result<Option<KeptEvent>> {
        let sql = format!("SELECT {} FROM event WHERE id = ?", rows::RECEIVED);
        let mut select = self.0.prepare_cached(&sql)?;
        let id = i64::try_from(number).unwrap_or(i64::MAX);
        let Some(received) = select.query_row([id], |row| received(row, 0)).optional()? else {
            return Ok(None);
        };
        let filter = Filter { event: Some(number), ..Filter::default() };
        let deliveries = list(&self.0, &filter, &ListPage { limit: u32::MAX, ..ListPage::default() })?;
        Ok(Some(KeptEvent { number, received, deliveries }))
    }

    /// Returns the enrichments kept with these deliveries; secrets are not masked.
    pub fn asked_for(&self, deliveries: &[DeliveryListRow]) -> Result<Vec<AskedFor>> {
        let mut all = Vec::new();
        for row in deliveries {
            let Some(found) = enriched::values(&self.0, row.id)? else { continue };
            let (rule, action) = (row.rule.clone(), row.action.clone());
            all.push(AskedFor { rule, action, resource: row.resource, found });
        }
        Ok(all)
    }

    /// Counts the messages that are copies of kept ones, or of ones before them in the list.
    pub fn keeps(&self, messages: &[(Arc<ReceivedMessage>, Arc<Notification>)]) -> Result<u64> {
        let (mut found, mut before) = (0, HashSet::new());
        for (received, notification) in messages {
            let identity = MessageIdentity::new(received, notification);
            if identity.may_be_copy(received.origin.redelivered) {
                let kept = work::same(&self.0, rows::identity_number(&identity), &identity)?;
                found += u64::from(!before.insert(identity) || kept.is_some());
            }
        }
        Ok(found)
    }

    pub fn deliveries_of(
        &self,
        message_ids: &HashSet<String>,
    ) -> Result<HashMap<String, Vec<DeliveryListRow>>> {
        let mut found: HashMap<String, Vec<DeliveryListRow>> = HashMap::new();
        if message_ids.is_empty() {
            return Ok(found);
        }
        let mut select = self.0.prepare("SELECT id, message_id FROM event WHERE message_id IS NOT NULL")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let message_id: String = row.get(1)?;
            if message_ids.contains(&message_id) {
                let number = row.get::<_, i64>(0)?.unsigned_abs();
                let filter = Filter { event: Some(number), ..Filter::default() };
                let deliveries =
                    list(&self.0, &filter, &ListPage { limit: u32::MAX, ..ListPage::default() })?;
                found.entry(message_id).or_default().extend(deliveries);
            }
        }
        Ok(found)
    }
}
