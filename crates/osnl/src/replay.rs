//! Appends journalled or saved events to a journal again, with the deliveries that the present rules make.
//!
//! A [`ReplayEvent`] has the [trace](crate::explain::Trace) of an event, whose deliveries [`live`] appends as a new event.
//! A new event has fresh ids by default, because a journal discards a copy under ids that it keeps.
//!
//! The [`Journal`] belongs to a stopped daemon, or to a running one, by its [control socket](crate::control).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_model::{Budget, Emission, Framing, Notification};
use osnl_transport::Properties;

use crate::explain::{Content, Effect, ExplainedEvent, Explainer, Trace};
use crate::intake::Parts;
use crate::journal::query::{DeliveryListRow, KeptEvent, RowState};
use crate::journal::{Entry, Journal, NewDelivery, Receipt, Settle};
use crate::received::{MessageNotes, Origin, ReceivedMessage};
use crate::saved::RecordedEvent;
use crate::stamp;

const GROUP: usize = 256;

/// An event that an operator may append again.
#[derive(Clone, Debug)]
pub struct ReplayEvent {
    /// Its number in the journal; `None` for an event from a file.
    pub number: Option<u64>,
    pub received: ReceivedMessage,
    pub trace: Trace,
    /// The deliveries of the event so far.
    pub before: Vec<DeliveryListRow>,
}

impl ReplayEvent {
    #[must_use]
    pub fn from_kept(kept: KeptEvent, explainer: &mut Explainer<'_>) -> Self {
        let event = ExplainedEvent::from_received(format!("event {}", kept.number), &kept.received);
        Self {
            number: Some(kept.number),
            received: kept.received,
            trace: explainer.trace(event),
            before: kept.deliveries,
        }
    }

    /// Returns an event of a file. Without a queue it has that of its earlier deliveries, because the queue is part of
    /// a message's identity.
    #[must_use]
    pub fn from_saved(
        mut saved: RecordedEvent,
        event: ExplainedEvent,
        before: Vec<DeliveryListRow>,
        explainer: &mut Explainer<'_>,
    ) -> Self {
        saved.queue = saved.queue.or_else(|| before.first().map(|row| row.queue.clone()));
        Self { number: None, received: saved.into(), trace: explainer.trace(event), before }
    }

    /// Returns the earlier delivery with the same effect, preferably one that was delivered. Order is kept per action and
    /// resource, so the rule of an earlier delivery does not matter.
    #[must_use]
    pub fn before(&self, effect: &Effect) -> Option<&DeliveryListRow> {
        let same = |row: &&DeliveryListRow| *row.action == *effect.action && row.key == effect.key;
        let mut before = self.before.iter().rev().filter(same);
        before.clone().find(|row| row.state == RowState::Delivered).or_else(|| before.next())
    }
}

impl From<RecordedEvent> for ReceivedMessage {
    fn from(saved: RecordedEvent) -> Self {
        let origin = Origin {
            listener: "replay".into(),
            queue: saved.queue.as_deref().unwrap_or("replay").into(),
            exchange: saved.exchange.unwrap_or_default(),
            routing_key: saved.routing_key.unwrap_or_default(),
            redelivered: false,
            received: saved.received.unwrap_or_else(SystemTime::now),
        };
        Self { body: saved.body.into(), properties: saved.properties, origin, noted: MessageNotes::default() }
    }
}

/// The choices of a replay of saved events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplaySettings {
    pub keep_ids: bool,
    pub patience: Duration,
}

impl Default for ReplaySettings {
    fn default() -> Self {
        Self { keep_ids: false, patience: Duration::from_secs(10) }
    }
}

/// The reasons for which a replay stops.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(
        "the journal takes no more after {appended} events: it is full, cannot be written, or an action has max_pending \
         deliveries; let a daemon deliver what is in it, then go on"
    )]
    Stuck { appended: u64 },
    /// The last events may be kept, now or later.
    #[error(
        "the journal has kept {appended} events and has not answered about {sent} more: they are kept as soon as it can be \
         written, if it is not stopped before; do not replay these again before osnl deliveries list has shown that \
         they are missing, and go on behind them"
    )]
    Unknown { appended: u64, sent: u64 },
    #[error("the journal was closed after {appended} events; what was not appended can be replayed again")]
    Closed { appended: u64 },
}

/// Appends in order, waits until the deliveries are kept, and returns the number of events.
pub async fn live(
    journal: &dyn Journal,
    events: &[ReplayEvent],
    how: ReplaySettings,
) -> Result<u64, ReplayError> {
    append(journal, events.iter().filter_map(|event| planned_entry(event, how)).collect(), how).await
}

pub(crate) async fn append(
    journal: &dyn Journal,
    entries: Vec<Entry>,
    how: ReplaySettings,
) -> Result<u64, ReplayError> {
    let actions: HashSet<Arc<str>> =
        entries.iter().flat_map(|entry| entry.deliveries.iter().map(|new| new.action.clone())).collect();
    let actions: Vec<Arc<str>> = actions.into_iter().collect();
    let mut appended = 0;
    let mut rest = entries.into_iter().peekable();
    while rest.peek().is_some() {
        let reserve = tokio::time::timeout(how.patience, journal.reserve(&actions, GROUP));
        let mut permit = reserve.await.map_err(|_| ReplayError::Stuck { appended })?;
        let group = permit.places().min(GROUP);
        let receipts: Vec<Receipt> =
            rest.by_ref().take(group).map(|entry| journal.append(&mut permit, entry)).collect();
        let sent = receipts.len() as u64;
        let before = appended;
        for receipt in receipts {
            match tokio::time::timeout(how.patience, receipt).await {
                Ok(Settle::Acknowledge) => appended += 1,
                Ok(Settle::Requeue | Settle::Leave) => {
                    return Err(ReplayError::Closed { appended });
                }
                Err(_) => {
                    return Err(ReplayError::Unknown { appended, sent: sent - (appended - before) });
                }
            }
        }
    }
    Ok(appended)
}

fn planned_entry(event: &ReplayEvent, how: ReplaySettings) -> Option<Entry> {
    let Content::Whole(notification) = &event.trace.event.content else { return None };
    let deliveries: Vec<NewDelivery> = event.trace.deliveries().collect();
    (!deliveries.is_empty()).then(|| entry(event.received.clone(), notification, deliveries, how))
}

pub(crate) fn entry(
    received: ReceivedMessage,
    notification: &Notification,
    mut deliveries: Vec<NewDelivery>,
    how: ReplaySettings,
) -> Entry {
    // Texts that are not JSON stay as they are.
    let renewed = if how.keep_ids { None } else { renewed(&received) };
    let (notification, mut received) = renewed.unwrap_or_else(|| (notification.clone(), received));
    received.origin.redelivered = false;
    received.origin.received = SystemTime::now();
    received.noted.is_again = true;
    Parts::new(&notification).name(&mut deliveries);
    Entry { received: Arc::new(received), notification: Arc::new(notification), deliveries }
}

fn renewed(received: &ReceivedMessage) -> Option<(Notification, ReceivedMessage)> {
    let plain = Budget::MOST.plain_body(&received.body, &received.properties.content_info()).ok()?;
    let mut emission = Emission::read(&plain).ok()?;
    emission.message_id = Some(stamp::message_id());
    emission.unique_id = Some(stamp::unique_id());
    let body = emission.body(Framing::Envelope).ok()?;
    let notification = Budget::MOST.decode(body.as_bytes()).ok()?;
    let properties = Properties {
        content_type: Some("application/json".into()),
        content_encoding: Some("utf-8".into()),
        compression: None,
    };
    let received = ReceivedMessage {
        body: body.into(),
        properties,
        origin: received.origin.clone(),
        noted: MessageNotes::default(),
    };
    Some((notification, received))
}

#[cfg(test)]
mod tests;
