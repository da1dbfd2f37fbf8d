//! Looking at deliveries.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use osnl_model::mask_secrets;
use serde_json::{Map, Value};

use super::super::refusal::{Code, Refusal};
use super::super::request::{MOST_LISTED, delivery_id};
use super::super::{Answered, Delivery, List, Message, Show, Totals, time};
use super::{ControlHandler, Store};
use crate::journal::sqlite::{Filter, Page, Row, Shown};
use crate::received::Received;

impl ControlHandler {
    pub(super) async fn list(
        &self,
        filter: Filter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<List, Refusal> {
        if !(1..=MOST_LISTED).contains(&limit) {
            return Err(Refusal::new(Code::BadRequest, format!("limit: allowed are 1 to {MOST_LISTED}")));
        }
        let after = after.map(delivery_id).transpose()?;
        let page = Page { after, limit: limit + 1 };
        let (mut rows, counts) = match &self.store {
            Store::Memory(journal) => {
                let mut rows = journal.rows();
                rows.retain(|row| filter.matches(row));
                let mut counts: Vec<_> = rows.iter().map(|row| (row.state, 1)).collect();
                counts.sort_unstable();
                rows.retain(|row| after.is_none_or(|after| row.id > after));
                (rows, counts)
            }
            Store::Sqlite(..) | Store::File(_) => {
                let looked =
                    self.read(move |reader| Ok((reader.list(&filter, &page)?, reader.count(&filter)?)));
                looked.await?.unwrap_or_default()
            }
        };
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let mut totals = Totals::default();
        for (state, count) in counts {
            totals.all += count;
            *totals.by_state.entry(state.name().to_owned()).or_default() += count;
        }
        let deliveries: Vec<_> = rows.into_iter().map(delivery).collect();
        let next = deliveries.last().filter(|_| more).map(|last| last.id.clone());
        Ok(List { deliveries, totals, next })
    }

    pub(super) async fn show(&self, id: &str, raw: bool) -> Result<Show, Refusal> {
        let number = delivery_id(id)?;
        if let Store::Memory(_) = &self.store {
            let why = "memory:// keeps no history of a delivery; list shows those that are open";
            return Err(Refusal::new(Code::Unsupported, why));
        }
        let found = self.read(move |reader| reader.show(number)).await?.flatten();
        let Some(Shown { row, tries, received, ahead }) = found else {
            return Err(Refusal::new(Code::NotFound, format!("there is no delivery {id}")));
        };
        let targets = self.live.iter().flat_map(|live| live.daemon.targets());
        let mut target =
            targets.filter(|target| **target.name() == *row.action).map(|target| target.target());
        Ok(Show {
            ahead,
            target: target.next(),
            attempts: tries
                .into_iter()
                .map(|one| Answered { at: time::shown(one.at), answer: one.answer })
                .collect(),
            message: message(&received, raw),
            delivery: delivery(row),
        })
    }
}

pub(super) fn delivery(row: Row) -> Delivery {
    Delivery {
        id: row.id.to_string(),
        state: row.state.name().to_owned(),
        received: time::shown(row.received),
        age_seconds: time::age(row.received),
        ended: row.ended.map(time::shown),
        action: row.action,
        rule: row.rule,
        event_type: row.event_type,
        resource: row.key,
        attempts: row.attempts,
        failed_attempts: row.tries,
        reason: row.reason,
        queue: row.queue,
        message_id: row.message_id,
        copies: row.copies,
    }
}

fn message(received: &Received, raw: bool) -> Message {
    let origin = &received.origin;
    let mut message = Message {
        listener: origin.listener.to_string(),
        queue: origin.queue.to_string(),
        exchange: origin.exchange.clone(),
        routing_key: origin.routing_key.clone(),
        redelivered: origin.redelivered,
        bytes: received.body.len() as u64,
        digest: received.digest().to_string(),
        publisher_id: None,
        priority: None,
        timestamp: None,
        context: Map::new(),
        payload: Value::Null,
        unreadable: None,
        body_base64: raw.then(|| BASE64_STANDARD.encode(&received.body)),
    };
    match received.decode() {
        Ok(read) => {
            message.publisher_id = read.publisher_id;
            message.priority = read.priority.map(|priority| priority.to_string());
            message.timestamp = read.timestamp;
            message.payload = mask_secrets(&read.payload);
            if let Value::Object(context) = mask_secrets(&Value::Object(read.context)) {
                message.context = context;
            }
        }
        Err(error) => message.unreadable = Some(error.to_string()),
    }
    message
}
