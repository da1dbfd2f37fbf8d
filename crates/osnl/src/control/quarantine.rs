//! Lists, shows, retries, and discards the messages in quarantine, with the deliveries that a retry would make.

use std::fmt;
use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use osnl_transport::Properties;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::again::RuleDelivery;
use super::conditions::{condition, joined, listed};
use super::time;
use crate::explain::{Content, ExplainedEvent, Explainer};
use crate::native::Native;
use crate::received::{MessageNotes, Origin, ReceivedMessage};

/// A filter of messages in quarantine. An empty or missing member selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "QuarantineFilter")]
#[serde(default, deny_unknown_fields)]
pub struct WhichMessages {
    /// Messages with these numbers.
    #[schemars(inner(range(min = 0)))]
    pub ids: Vec<i64>,
    /// Messages of this queue.
    pub queue: Option<String>,
    /// With this text in the reason.
    pub reason: Option<String>,
    /// Received at this time or later, RFC 3339.
    pub since: Option<String>,
    /// Received before this time, RFC 3339.
    pub until: Option<String>,
}

impl fmt::Display for WhichMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ids, queue, reason, since, until } = self;
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        f.write_str(&joined([
            listed("ids", &ids),
            condition("queue", queue.as_deref()),
            condition("reason", reason.as_deref()),
            condition("since", since.as_deref()),
            condition("until", until.as_deref()),
        ]))
    }
}

/// A message in quarantine with the deliveries to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RetriedMessage")]
#[serde(deny_unknown_fields)]
pub struct MessageAgain {
    #[schemars(range(min = 0))]
    pub id: i64,
    pub deliveries: Vec<RuleDelivery>,
}

/// A page of messages in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "QuarantinePage")]
pub struct QuarantineList {
    /// In the order of their numbers, which is that of their arrival.
    pub messages: Vec<QuarantinedMessage>,
    /// The number of messages that the filter matches, on this page or not.
    pub total: u64,
    /// Whether more wait: with `memory://`, osnl reads the first 10,000 letters of each queue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_at_least: bool,
    /// The start of the next page, as `after`; `null` on the last page.
    #[schemars(range(min = 0))]
    pub next: Option<i64>,
}

/// A message that is kept unread. Its publisher, id, and event type are claims of its first bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantinedMessage {
    #[schemars(range(min = 0))]
    pub id: i64,
    pub received: String,
    pub age_seconds: u64,
    /// The reason, and the option that would accept the message, if there is one.
    pub reason: String,
    pub listener: String,
    pub queue: String,
    /// The exchange that the message was published to.
    pub exchange: String,
    pub routing_key: String,
    /// Whether the broker had delivered the message before.
    pub redelivered: bool,
    pub publisher_id: Option<String>,
    pub message_id: Option<String>,
    pub event_type: Option<String>,
    /// The digest of the body as received.
    pub digest: String,
    /// The length of the body as received, in bytes.
    pub bytes: u64,
    /// Whether the whole message is kept; else its first 64 KiB.
    pub is_whole: bool,
}

/// A message in quarantine with a preview of its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "QuarantineDetails")]
pub struct QuarantineShow {
    pub message: QuarantinedMessage,
    /// The beginning of the body: names and shape, values masked.
    pub preview: String,
    /// The content type that the message declares.
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    /// The compression, as kombu's header declares it.
    pub compression: Option<String>,
    /// The body's bytes, not masked: on the control socket only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// The effect of a change, or of its dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineChanges {
    pub dry_run: bool,
    /// The number of messages that were, or would be, changed.
    pub changed: u64,
    /// Whether more wait than were read: with `memory://`, osnl reads the first 10,000 letters of each queue.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_at_least: bool,
    /// The first thousand changed messages, in order.
    #[schemars(inner(range(min = 0)))]
    pub ids: Vec<i64>,
    /// The number of requested messages that were not changed.
    pub refused: u64,
    /// The first thousand refused messages, with reasons.
    pub refusals: Vec<NotChanged>,
}

/// A message that was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "NotChangedMessage")]
pub struct NotChanged {
    #[schemars(range(min = 0))]
    pub id: i64,
    pub why: String,
}

impl QuarantineShow {
    pub fn received(&self) -> Result<ReceivedMessage, String> {
        let body = self.body_base64.as_ref().ok_or("its bytes were not asked for")?;
        let body = BASE64_STANDARD.decode(body).map_err(|error| format!("body_base64: {error}"))?;
        let message = &self.message;
        Ok(ReceivedMessage {
            body: body.into(),
            properties: Properties {
                content_type: self.content_type.clone().map(Into::into),
                content_encoding: self.content_encoding.clone().map(Into::into),
                compression: self.compression.clone(),
            },
            origin: Origin {
                listener: message.listener.as_str().into(),
                queue: message.queue.as_str().into(),
                exchange: message.exchange.clone(),
                routing_key: message.routing_key.clone(),
                redelivered: message.redelivered,
                received: time::read(&message.received).unwrap_or_else(SystemTime::now),
            },
            noted: MessageNotes::default(),
        })
    }
}

impl MessageAgain {
    pub fn planned(conf: &Native, id: i64, received: ReceivedMessage) -> Result<Self, String> {
        let listener = conf.listeners.iter().find(|listener| *listener.name == *received.origin.listener);
        // The budget is that for a message received now.
        let budget = listener.map_or_else(|| conf.budget(), |listener| listener.budget);
        let unread = |why: String| format!("it still cannot be read: {why}");
        if let Err(error) = received.decode_within(&budget) {
            return Err(unread(error.to_string()));
        }
        let event = ExplainedEvent::from_received(id.to_string(), &received);
        if let Content::Unreadable(why) = &event.content {
            return Err(unread(why.clone()));
        }
        let listener = listener.map(|listener| &*listener.name);
        let trace = Explainer::for_replay(conf).with_listener(listener).trace(event);
        // A message from the broker would become dead letters of such a rule; here the operator can correct
        // the rule first.
        let of_rule = trace.rules.iter().find_map(|found| {
            let why = found.ruling.undecided()?;
            Some(format!("rule {} cannot be decided: {why}", found.rule))
        });
        let of_action = trace.effects().find_map(|(rule, effect)| {
            let why = effect.undecided()?;
            Some(format!("action {} of rule {rule} cannot be decided: {why}", effect.action))
        });
        let undecided = of_rule.or(of_action);
        if let Some(undecided) = undecided {
            return Err(undecided);
        }
        let deliveries: Vec<RuleDelivery> =
            trace.deliveries().map(|new| RuleDelivery::from_new(&new)).collect();
        if deliveries.is_empty() {
            return Err("it matches no rule; discard it if that is right".to_owned());
        }
        Ok(Self { id, deliveries })
    }
}

impl QuarantineChanges {
    const NAMED: usize = 1000;

    pub fn add(&mut self, done: Self) {
        done.ids.into_iter().for_each(|id| self.changed(id));
        done.refusals.into_iter().for_each(|refused| self.refuse(refused.id, refused.why));
    }

    pub fn changed(&mut self, id: i64) {
        self.changed += 1;
        if self.ids.len() < Self::NAMED {
            self.ids.push(id);
        }
    }

    pub fn refuse(&mut self, id: i64, why: impl Into<String>) {
        self.refused += 1;
        if self.refusals.len() < Self::NAMED {
            self.refusals.push(NotChanged { id, why: why.into() });
        }
    }
}
