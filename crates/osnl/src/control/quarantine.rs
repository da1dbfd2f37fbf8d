//! Requests and answers about messages that are kept unread.

use std::time::SystemTime;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use osnl_transport::Properties;
use serde::{Deserialize, Serialize};

use super::again::RuleWish;
use super::time;
use crate::explain::{Content, Effect, ExplainedEvent};
use crate::native::Native;
use crate::received::{MessageNotes, Origin, ReceivedMessage};
use crate::replay::{self, ReplayEvent};

/// A filter of messages in quarantine. An empty or missing member selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WhichMessages {
    pub ids: Vec<i64>,
    pub queue: Option<String>,
    /// With a reason that contains this.
    pub reason: Option<String>,
    /// Received then or later, RFC 3339.
    pub since: Option<String>,
    /// Received before then, RFC 3339.
    pub until: Option<String>,
}

/// A message that goes through the rules again, and what they ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageAgain {
    pub id: i64,
    /// The deliveries to make, never empty.
    pub deliveries: Vec<RuleWish>,
}

/// Messages that are kept unread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineList {
    /// In the order of their numbers, which is that of their arrival.
    pub messages: Vec<QuarantinedMessage>,
    /// The number of messages that the filter matches, on this page or not.
    pub total: u64,
    /// The start of the next page, as `after`; `None` on the last page.
    pub next: Option<i64>,
}

/// A message that is kept unread. Its publisher, id, and event type are claims of its first bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedMessage {
    pub id: i64,
    pub received: String,
    pub age_seconds: u64,
    /// The reason, and the option that would accept it, if there is one.
    pub reason: String,
    /// The listener that took it.
    pub listener: String,
    /// The queue it was taken from.
    pub queue: String,
    /// The exchange it was published to.
    pub exchange: String,
    pub routing_key: String,
    /// Whether the broker had delivered it before.
    pub redelivered: bool,
    /// The publisher that it names.
    pub publisher_id: Option<String>,
    /// The id that it has.
    pub message_id: Option<String>,
    /// The event that it names.
    pub event_type: Option<String>,
    /// The digest of its body as received.
    pub digest: String,
    /// The length of its body as received.
    pub bytes: u64,
    /// Whether all of it is kept; else its first 64 KiB.
    pub is_whole: bool,
}

/// A quarantined message in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineShow {
    pub message: QuarantinedMessage,
    /// The beginning of its body: names and shape, values masked.
    pub preview: String,
    /// The content type that the message declares.
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    /// The compression, from the header that kombu sets.
    pub compression: Option<String>,
    /// The bytes that are kept, in base64, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// The effect of a change, or of its dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineChanges {
    pub dry_run: bool,
    /// The number of messages that were, or would be, changed.
    pub changed: u64,
    /// The first thousand of them.
    pub ids: Vec<i64>,
    /// The number of requested messages that were not changed.
    pub refused: u64,
    /// The first thousand of them.
    pub refusals: Vec<NotChanged>,
}

/// A message that was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotChanged {
    pub id: i64,
    pub why: String,
}

impl QuarantineShow {
    /// The message, of an answer with its bytes.
    ///
    /// # Errors
    /// They are not there, or are no base64.
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
    /// Plans what the rules of a configuration ask for about a message that is kept whole.
    ///
    /// # Errors
    /// The message stays in quarantine: it still cannot be read, or no rule asks for anything; why.
    pub fn planned(conf: &Native, id: i64, received: ReceivedMessage) -> Result<Self, String> {
        let listener = conf.listeners.iter().find(|listener| *listener.name == *received.origin.listener);
        // The budget counts that would for a message that comes now.
        let budget = listener.map_or_else(|| conf.budget(), |listener| listener.budget);
        let unread = |why: String| format!("it still cannot be read: {why}");
        if let Err(error) = received.decode_within(&budget) {
            return Err(unread(error.to_string()));
        }
        let subject = ExplainedEvent::received(&received);
        if let Content::Unreadable(why) = &subject.content {
            return Err(unread(why.clone()));
        }
        let listener = listener.map(|listener| listener.name.to_string());
        let source =
            ReplayEvent { number: id.unsigned_abs(), kept: false, received, subject, before: Vec::new() };
        let plan = replay::plan(conf, source, &[], listener.as_deref());
        // A message that comes from the broker makes dead letters of such a rule: here the rule can be mended first.
        let undecided = plan.rules.iter().find_map(|rule| {
            let (name, ruling) = (&rule.verdict.rule, &rule.verdict.ruling);
            let of_rule = ruling.undecided().map(|why| format!("rule {name} cannot be decided: {why}"));
            let of_action = |effect: &Effect| {
                let why = effect.undecided()?;
                Some(format!("action {} of rule {name} cannot be decided: {why}", effect.action))
            };
            of_rule.or_else(|| ruling.effects().iter().find_map(of_action))
        });
        if let Some(undecided) = undecided {
            return Err(undecided);
        }
        let wishes = plan.wishes().into_iter().map(|wish| RuleWish::of(&wish.delivery));
        let deliveries: Vec<RuleWish> = wishes.collect();
        if deliveries.is_empty() {
            return Err("it matches no rule; discard it if that is right".to_owned());
        }
        Ok(Self { id, deliveries })
    }
}

impl QuarantineChanges {
    /// Numbers that an answer holds.
    const NAMED: usize = 1000;

    /// Adds what another answer says, which has changed something.
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
