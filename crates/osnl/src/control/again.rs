//! A request has the numbers of events, and bodies only from files. The daemon appends the planned deliveries
//! without deciding again.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::refusal::{Code, RequestRefusal};
use crate::journal::{Begin, NewDelivery};
use crate::received::ReceivedMessage;
use crate::replay::ReplayEvent;
use crate::saved::RecordedEvent;

/// An event to append again: one of the journal by its number, or a given message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReplayedEvent")]
#[serde(deny_unknown_fields)]
pub struct Again {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<GivenMessage>,
    /// The deliveries to make, never empty.
    pub deliveries: Vec<RuleDelivery>,
}

/// A message from a file of saved events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenMessage {
    pub body_base64: String,
    #[serde(default)]
    pub content_type: Option<String>,
    #[serde(default)]
    pub content_encoding: Option<String>,
    #[serde(default)]
    pub compression: Option<String>,
    #[serde(default)]
    pub queue: String,
    #[serde(default)]
    pub exchange: String,
    #[serde(default)]
    pub routing_key: String,
}

/// A delivery of a rule that is planned anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PlannedDelivery")]
#[serde(deny_unknown_fields)]
pub struct RuleDelivery {
    pub rule: String,
    /// The action, which must exist in the daemon.
    pub action: String,
    /// The resource key; without one the delivery waits for no other.
    #[serde(default)]
    pub resource: Option<String>,
    #[serde(default)]
    pub of_bulk: Option<u32>,
    /// Whether the delivery waits for earlier ones of its resource; deliveries of a digest do not.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub ordered: bool,
    /// Whether the delivery is only recorded, and no target is called.
    #[serde(default)]
    pub shadow: bool,
}

fn yes() -> bool {
    true
}

impl Again {
    #[must_use]
    pub fn from_event(event: &ReplayEvent) -> Option<Self> {
        let deliveries: Vec<RuleDelivery> =
            event.trace.deliveries().map(|new| RuleDelivery::from_new(&new)).collect();
        let message = event.number.is_none().then(|| GivenMessage::from_received(&event.received));
        (!deliveries.is_empty()).then_some(Self { event: event.number, message, deliveries })
    }
}

impl GivenMessage {
    fn from_received(received: &ReceivedMessage) -> Self {
        let ReceivedMessage { body, properties, origin, noted: _ } = received;
        Self {
            body_base64: BASE64_STANDARD.encode(body),
            content_type: properties.content_type.as_deref().map(str::to_owned),
            content_encoding: properties.content_encoding.as_deref().map(str::to_owned),
            compression: properties.compression.clone(),
            queue: origin.queue.to_string(),
            exchange: origin.exchange.clone(),
            routing_key: origin.routing_key.clone(),
        }
    }

    pub(super) fn received(&self) -> Result<ReceivedMessage, RequestRefusal> {
        let body = BASE64_STANDARD
            .decode(&self.body_base64)
            .map_err(|error| RequestRefusal::new(Code::BadRequest, format!("body_base64: {error}")))?;
        let properties = osnl_transport::Properties {
            content_type: self.content_type.clone().map(Into::into),
            content_encoding: self.content_encoding.clone().map(Into::into),
            compression: self.compression.clone(),
        };
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (queue, exchange, routing_key) =
            (given(&self.queue), given(&self.exchange), given(&self.routing_key));
        Ok(RecordedEvent { line: 0, body, properties, queue, exchange, routing_key, received: None }.into())
    }
}

impl RuleDelivery {
    #[must_use]
    pub(crate) fn from_new(new: &NewDelivery) -> Self {
        Self {
            rule: new.rule.to_string(),
            action: new.action.to_string(),
            resource: new.key.clone(),
            of_bulk: new.resource,
            ordered: new.ordered,
            shadow: new.begin == Begin::Shadow,
        }
    }

    pub(super) fn delivery(&self) -> NewDelivery {
        NewDelivery {
            resource: self.of_bulk,
            ordered: self.ordered,
            begin: if self.shadow { Begin::Shadow } else { Begin::Live },
            ..NewDelivery::new(self.rule.as_str(), self.action.as_str(), self.resource.clone())
        }
    }
}
