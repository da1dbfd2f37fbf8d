//! Journalled or saved events through rules again, as they are configured now.
//!
//! [`plan`] decides, for one event, what each rule asks for, and what of it was done before: this is the shadow,
//! which changes nothing. [`live`] appends what was planned to a journal as new events, in the order of the plans,
//! and the daemon that has or will have the journal delivers it. What is appended has a fresh `message_id` and
//! `_unique_id`, unless told otherwise: with its own ids a copy of a message that is kept is no second event.
//!
//! It takes any [`Journal`]: that of a stopped daemon, opened for this, or that of a running one, from within, which is
//! asked by its [control socket](crate::control).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use osnl_model::{Budget, Emission, Framing, Notification};
use osnl_transport::Properties;

use crate::explain::{Content, Effect, ExplainedEvent, RuleVerdict, explain};
use crate::intake::Parts;
use crate::journal::sqlite::{DeliveryListRow, RowState};
use crate::journal::{Begin, Entry, Journal, NewDelivery, Receipt, Settle};
use crate::native::{Native, Preview};
use crate::received::{MessageNotes, Origin, ReceivedMessage};
use crate::rule::Mode;
use crate::saved::RecordedEvent;
use crate::stamp;

/// Entries that may wait for their commit at the same time.
const GROUP: usize = 256;

/// An event to be sent through rules again.
#[derive(Clone, Debug)]
pub struct ReplayEvent {
    /// Its number in the journal, or the line of its file.
    pub number: u64,
    /// Whether it is the journal's.
    pub kept: bool,
    /// The message as it came.
    pub received: ReceivedMessage,
    /// The known part of the event.
    pub subject: ExplainedEvent,
    /// The earlier deliveries, as far as a journal knows.
    pub before: Vec<DeliveryListRow>,
}

impl ReplayEvent {
    /// An event of a journal.
    #[must_use]
    pub fn kept(kept: crate::journal::sqlite::KeptEvent) -> Self {
        let subject = ExplainedEvent::received(&kept.received);
        Self { number: kept.number, kept: true, received: kept.received, subject, before: kept.deliveries }
    }

    /// An event from a file, as a listener with this budget would read it, and what a journal knows of its message id.
    #[must_use]
    pub fn saved(saved: RecordedEvent, budget: &Budget, before: Vec<DeliveryListRow>) -> Self {
        let subject = ExplainedEvent::saved(&saved, budget);
        let number = saved.line as u64;
        Self { number, kept: false, received: self::saved(saved), subject, before }
    }
}

/// Returns the content of a file, as if a listener of this name had received it.
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

/// The plan for one event.
#[derive(Clone, Debug)]
pub struct EventPlan {
    /// The event.
    pub source: ReplayEvent,
    /// The verdict of each rule, in their order.
    pub rules: Vec<PlannedRule>,
}

/// The verdict of one rule.
#[derive(Clone, Debug)]
pub struct PlannedRule {
    /// The verdict.
    pub verdict: RuleVerdict,
    /// The deliveries that it asks for if it fires.
    pub wishes: Vec<RequestedDelivery>,
}

/// A delivery that a rule asks for.
#[derive(Clone, Debug)]
pub struct RequestedDelivery {
    /// The delivery that would be appended.
    pub delivery: NewDelivery,
    /// The latest earlier delivery of this event to the same action for the same resource.
    pub before: Option<DeliveryListRow>,
}

impl RequestedDelivery {
    /// Whether its effect is there already.
    #[must_use]
    pub fn was_delivered(&self) -> bool {
        self.before.as_ref().is_some_and(|row| row.state == RowState::Delivered)
    }
}

impl EventPlan {
    /// Returns the deliveries that would be appended.
    #[must_use]
    pub fn wishes(&self) -> Vec<&RequestedDelivery> {
        self.rules.iter().flat_map(|rule| &rule.wishes).collect()
    }
}

/// Plans the deliveries of these rules, or of all if none is named; `listener` is the one to be considered alone.
#[must_use]
pub fn plan(conf: &Native, source: ReplayEvent, rules: &[String], listener: Option<&str>) -> EventPlan {
    let verdicts = explain(conf, &source.subject, listener);
    let wanted = |verdict: &RuleVerdict| rules.is_empty() || rules.iter().any(|name| *name == *verdict.rule);
    let planned = verdicts.into_iter().filter(wanted).map(|verdict| {
        let effects = verdict.ruling.effects();
        let own = conf.rules.iter().find(|conf| conf.rule.name == verdict.rule);
        let unordered = |action: &Arc<str>| own.is_some_and(|own| own.rule.unordered.contains(action));
        // Of what cannot be decided, as of such a rule, nothing is made.
        let asked =
            |effect: &&Effect| !matches!(effect.would, Preview::NotAsked { .. } | Preview::Undecided { .. });
        let wishes = effects.iter().filter(asked).map(|effect| {
            // Order is kept per action and resource, and there a repetition shows: whatever rule it was.
            let same = |row: &&DeliveryListRow| *row.action == *effect.action && row.key == effect.key;
            let before = source.before.iter().rev().filter(same);
            RequestedDelivery {
                delivery: NewDelivery {
                    rule: verdict.rule.clone(),
                    action: effect.action.clone(),
                    key: effect.key.clone(),
                    resource: effect.resource,
                    ordered: !unordered(&effect.action),
                    told: None,
                    begin: match effect.mode {
                        Mode::Live => Begin::Live,
                        Mode::Shadow => Begin::Shadow,
                    },
                    subject: Default::default(),
                },
                before: before
                    .clone()
                    .find(|row| row.state == RowState::Delivered)
                    .or(before.clone().next())
                    .cloned(),
            }
        });
        PlannedRule { wishes: wishes.collect(), verdict }
    });
    let rules = planned.collect();
    EventPlan { source, rules }
}

/// The way in which events are appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplaySettings {
    /// With the ids they had: what the journal keeps already is no second event then.
    pub keep_ids: bool,
    /// The time that the journal may take nothing before that is reported: it is full, or cannot be written.
    pub patience: Duration,
}

impl Default for ReplaySettings {
    /// Fresh ids, ten seconds.
    fn default() -> Self {
        Self { keep_ids: false, patience: Duration::from_secs(10) }
    }
}

/// The reason why a replay stopped early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal takes nothing. Everything that was handed to it is kept.
    #[error(
        "the journal takes no more after {appended} events: it is full, cannot be written, or an action has max_pending \
         deliveries; let a daemon deliver what is in it, then go on"
    )]
    Stuck {
        /// The number of events that were appended before.
        appended: u64,
    },
    /// The journal does not answer: what was sent last may be kept, now or later.
    #[error(
        "the journal has kept {appended} events and has not answered about {sent} more: they are kept as soon as it can be \
         written, if it is not stopped before; do not replay these again before osnl deliveries list has shown that \
         they are missing, and go on behind them"
    )]
    Unknown {
        /// The number of events that were appended before, in their order.
        appended: u64,
        /// The number of events behind these that were handed to the journal.
        sent: u64,
    },
    /// The journal was closed.
    #[error("the journal was closed after {appended} events; what was not appended can be replayed again")]
    Closed {
        /// The number of events that were appended before.
        appended: u64,
    },
}

/// Appends what was planned, in this order, and waits until it is kept. Events that nothing asks for are left out.
/// Answers how many were appended.
///
/// # Errors
/// See [`ReplayError`]. What was appended before stays.
pub async fn live(
    journal: &dyn Journal,
    planned: &[EventPlan],
    how: ReplaySettings,
) -> Result<u64, ReplayError> {
    append(journal, planned.iter().filter_map(|planned| planned_entry(planned, how)).collect(), how).await
}

/// Appends entries in this order, and waits until they are kept.
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
                Ok(Settle::Requeue | Settle::Leave | Settle::Resubscribe) => {
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

/// The entry of an event that something asks for.
fn planned_entry(planned: &EventPlan, how: ReplaySettings) -> Option<Entry> {
    let deliveries: Vec<NewDelivery> =
        planned.wishes().into_iter().map(|wish| wish.delivery.clone()).collect();
    let Content::Whole(notification) = &planned.source.subject.content else { return None };
    if deliveries.is_empty() {
        return None;
    }
    Some(entry(planned.source.received.clone(), notification, deliveries, how))
}

/// An event that comes now, with an id of its own unless it shall keep the one it had.
pub(crate) fn entry(
    received: ReceivedMessage,
    notification: &Notification,
    mut deliveries: Vec<NewDelivery>,
    how: ReplaySettings,
) -> Entry {
    // What can be read as a notification can be read to be sent, but for texts that are none: these stay as they are.
    let renewed = if how.keep_ids { None } else { renewed(&received) };
    let (notification, mut received) = renewed.unwrap_or_else(|| (notification.clone(), received));
    received.origin.redelivered = false;
    received.origin.received = SystemTime::now();
    received.noted.is_again = true;
    Parts::of_notification(&notification).name(&mut deliveries);
    Entry { received: Arc::new(received), notification: Arc::new(notification), deliveries }
}

/// The same event under new ids; its time stays, since it is the event's.
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
