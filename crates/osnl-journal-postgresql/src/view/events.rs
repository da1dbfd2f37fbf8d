use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use osnl_core::event::AskedFor;
use osnl_core::received::ReceivedMessage;
use osnl_journal::identity::MessageIdentity;
use osnl_journal::query::{DeliveryListRow, Filter, KeptEvent, ListPage};
use osnl_model::Notification;
use tokio_postgres::Error;

use super::listing::list;
use super::{JournalView, conditions};
use crate::command::message_key;
use crate::load::{MESSAGES, received};
use crate::options::Options;
use crate::session::Session;

const KEPT: &str = "SELECT count(*) FROM osnl_arrival WHERE identity = ANY($1)";
const FOUND: &str = "SELECT delivery, found FROM osnl_enriched WHERE delivery = ANY($1)";
const NAMED: &str = "SELECT id, message_id FROM osnl_arrival WHERE message_id = ANY($1) ORDER BY id";

impl JournalView {
    /// Returns a message with its deliveries; `None` if it has left.
    pub(crate) async fn event(&self, options: &Options, number: u64) -> Result<Option<KeptEvent>, String> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let event = async |session: &mut Session| event(session, number).await;
        self.read(options, event).await
    }

    pub(crate) async fn keeps(
        &self,
        options: &Options,
        messages: &[(Arc<ReceivedMessage>, Arc<Notification>)],
    ) -> Result<u64, String> {
        let keys = messages.iter().filter_map(|(received, notification)| {
            let identity = MessageIdentity::of(received, notification);
            let id = identity.id.clone()?;
            Some(message_key(received, &identity, b"message", id.as_bytes()))
        });
        let keys: Vec<Vec<u8>> = keys.collect();
        let count = async |session: &mut Session| {
            let rows = session.query(KEPT, &[&keys]).await?;
            rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))
        };
        self.read(options, count).await.map(i64::unsigned_abs)
    }
}

/// Returns the messages that have a delivery of this kind, oldest first: the first `limit`, or the last.
pub(crate) async fn events(
    session: &mut Session,
    filter: &Filter,
    limit: u32,
    last: bool,
) -> Result<Vec<KeptEvent>, Error> {
    let conditions = conditions::of(filter);
    let order = if last { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT DISTINCT d.arrival FROM osnl_delivery d JOIN osnl_arrival a ON a.id = d.arrival WHERE true{conditions} \
         ORDER BY d.arrival {order} LIMIT {limit}"
    );
    let mut numbers = Vec::new();
    for row in session.client.query(&sql, &[]).await? {
        numbers.push(row.try_get(0)?);
    }
    if last {
        numbers.reverse();
    }
    let mut found = Vec::with_capacity(numbers.len());
    for number in numbers {
        // A message that has left meanwhile is skipped.
        found.extend(event(session, number).await?);
    }
    Ok(found)
}

async fn event(session: &mut Session, number: i64) -> Result<Option<KeptEvent>, Error> {
    let rows = session.query(MESSAGES, &[&vec![number]]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let received = received(row)?;
    let number = number.unsigned_abs();
    Ok(Some(KeptEvent { number, received, deliveries: deliveries(session, number).await? }))
}

async fn deliveries(session: &mut Session, number: u64) -> Result<Vec<DeliveryListRow>, Error> {
    let filter = Filter { event: Some(number), ..Filter::default() };
    list(session, &filter, &ListPage { limit: u32::MAX, ..ListPage::default() }).await
}

/// The returned enrichments include their secrets.
pub(crate) async fn asked_for(
    session: &mut Session,
    events: &[Vec<DeliveryListRow>],
) -> Result<Vec<Vec<AskedFor>>, Error> {
    let ids: Vec<i64> = events.iter().flatten().map(|row| row.id.row()).collect();
    let mut texts: HashMap<i64, String> = HashMap::new();
    for row in session.query(FOUND, &[&ids]).await? {
        texts.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let of = |row: &DeliveryListRow| {
        let found = serde_json::from_str(texts.get(&row.id.row())?).ok()?;
        Some(AskedFor { rule: row.rule.clone(), action: row.action.clone(), resource: row.resource, found })
    };
    Ok(events.iter().map(|deliveries| deliveries.iter().filter_map(of).collect()).collect())
}

pub(crate) async fn deliveries_of(
    session: &mut Session,
    message_ids: &HashSet<String>,
) -> Result<HashMap<String, Vec<DeliveryListRow>>, Error> {
    let mut found: HashMap<String, Vec<DeliveryListRow>> = HashMap::new();
    let ids: Vec<&str> = message_ids.iter().map(String::as_str).filter(|id| !id.contains('\0')).collect();
    if ids.is_empty() {
        return Ok(found);
    }
    for row in session.query(NAMED, &[&ids]).await? {
        let (number, id): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        let deliveries = deliveries(session, number.unsigned_abs()).await?;
        found.entry(id).or_default().extend(deliveries);
    }
    Ok(found)
}
