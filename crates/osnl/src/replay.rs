//! Sends journalled or saved events through the present rules again.
//!
//! [`plan`] decides the deliveries of an event, and changes nothing. [`live`] appends them to a journal as new events.
//! A new event has fresh ids by default, because a journal discards a copy under ids that it keeps.
//!
//! The [`Journal`] belongs to a stopped daemon, or to a running one, by its [control socket](crate::control).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_model::{Budget, Emission, Framing, Notification};
use osnl_transport::Properties;

use crate::explain::{Content, Effect, ExplainedEvent, RuleVerdict, explain};
use crate::intake::Parts;
use crate::journal::query::{DeliveryListRow, RowState};
use crate::journal::{Begin, Entry, Journal, NewDelivery, Receipt, Settle};
use crate::native::{Native, Preview};
use crate::received::{MessageNotes, Origin, ReceivedMessage};
use crate::rule::Mode;
use crate::saved::RecordedEvent;
use crate::stamp;

const GROUP: usize = 256;

#[derive(Clone, Debug)]
pub struct ReplayEvent {
    pub number: u64,
    pub kept: bool,
    pub received: ReceivedMessage,
    pub subject: ExplainedEvent,
    pub before: Vec<DeliveryListRow>,
}

impl ReplayEvent {
    #[must_use]
    pub fn kept(kept: crate::journal::query::KeptEvent) -> Self {
        let subject = ExplainedEvent::received(&kept.received);
        Self { number: kept.number, kept: true, received: kept.received, subject, before: kept.deliveries }
    }

    #[must_use]
    pub fn saved(saved: RecordedEvent, budget: &Budget, before: Vec<DeliveryListRow>) -> Self {
        let subject = ExplainedEvent::saved(&saved, budget);
        let number = saved.line as u64;
        Self { number, kept: false, received: self::saved(saved), subject, before }
    }
}

pub(crate) fn saved(saved: RecordedEvent) -> ReceivedMessage {
    let origin = Origin {
        listener: "replay".into(),
        queue: "replay".into(),
        exchange: saved.exchange.unwrap_or_default(),
        routing_key: saved.routing_key.unwrap_or_default(),
        redelivered: false,
        received: saved.received.unwrap_or_else(SystemTime::now),
    };
    ReceivedMessage {
        body: saved.body.into(),
        properties: saved.properties,
        origin,
        noted: MessageNotes::default(),
    }
}

#[derive(Clone, Debug)]
pub struct EventPlan {
    pub source: ReplayEvent,
    pub rules: Vec<PlannedRule>,
}

#[derive(Clone, Debug)]
pub struct PlannedRule {
    pub verdict: RuleVerdict,
    pub requests: Vec<RequestedDelivery>,
}

#[derive(Clone, Debug)]
pub struct RequestedDelivery {
    pub delivery: NewDelivery,
    pub before: Option<DeliveryListRow>,
}

impl RequestedDelivery {
    #[must_use]
    pub fn was_delivered(&self) -> bool {
        self.before.as_ref().is_some_and(|row| row.state == RowState::Delivered)
    }
}

impl EventPlan {
    #[must_use]
    pub fn requests(&self) -> Vec<&RequestedDelivery> {
        self.rules.iter().flat_map(|rule| &rule.requests).collect()
    }
}

#[must_use]
pub fn plan(conf: &Native, source: ReplayEvent, rules: &[String], listener: Option<&str>) -> EventPlan {
    let verdicts = explain(conf, &source.subject, listener);
    let wanted = |verdict: &RuleVerdict| rules.is_empty() || rules.iter().any(|name| *name == *verdict.rule);
    let planned = verdicts.into_iter().filter(wanted).map(|verdict| {
        let effects = verdict.ruling.effects();
        let own = conf.rules.iter().find(|conf| conf.rule.name == verdict.rule);
        let unordered = |action: &Arc<str>| own.is_some_and(|own| own.rule.unordered.contains(action));
        // An undecided effect creates no delivery.
        let asked =
            |effect: &&Effect| !matches!(effect.would, Preview::NotAsked { .. } | Preview::Undecided { .. });
        let requests = effects.iter().filter(asked).map(|effect| {
            // Order is kept per action and resource, so the rule of an earlier delivery does not matter.
            let same = |row: &&DeliveryListRow| *row.action == *effect.action && row.key == effect.key;
            let before = source.before.iter().rev().filter(same);
            RequestedDelivery {
                delivery: NewDelivery {
                    rule: verdict.rule.clone(),
                    action: effect.action.clone(),
                    key: effect.key.clone(),
                    resource: effect.resource,
                    ordered: !unordered(&effect.action),
                    enriched: None,
                    begin: match effect.mode {
                        Mode::Live => Begin::Live,
                        Mode::Shadow => Begin::Shadow,
                    },
                    subject: Default::default(),
                    letter: None,
                },
                before: before
                    .clone()
                    .find(|row| row.state == RowState::Delivered)
                    .or(before.clone().next())
                    .cloned(),
            }
        });
        PlannedRule { requests: requests.collect(), verdict }
    });
    let rules = planned.collect();
    EventPlan { source, rules }
}

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
    planned: &[EventPlan],
    how: ReplaySettings,
) -> Result<u64, ReplayError> {
    append(journal, planned.iter().filter_map(|planned| planned_entry(planned, how)).collect(), how).await
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

fn planned_entry(planned: &EventPlan, how: ReplaySettings) -> Option<Entry> {
    let deliveries: Vec<NewDelivery> =
        planned.requests().into_iter().map(|request| request.delivery.clone()).collect();
    let Content::Whole(notification) = &planned.source.subject.content else { return None };
    if deliveries.is_empty() {
        return None;
    }
    Some(entry(planned.source.received.clone(), notification, deliveries, how))
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
    Parts::of_notification(&notification).name(&mut deliveries);
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
