//! The message of one event, and its destination, without input or output.

use std::borrow::Cow;
use std::num::NonZeroU32;

use osnl_action::Event;
use osnl_action::http_request::cloud_event::{self, AttributeTemplates};
use osnl_config::template::{Names, Template};
use osnl_core::misfit::Misfit;
use osnl_model::{
    BodyDigest, Budget, Emission, ForeignJson, Framing, Priority, Target, mask_secrets, resource_at,
    resource_key, shard_of,
};
use osnl_net::http::HeaderMap;
use osnl_transport::{Declare, LONGEST_NAME, OutgoingMessage, Properties, Shards};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event_names;

#[derive(Clone, Debug)]
pub(super) struct MessageTemplates {
    pub(super) exchange: Template,
    pub(super) topic: Template,
    pub(super) key: Option<Template>,
    pub(super) format: MessageFormat,
    pub(super) declare: Declare,
    pub(super) mandatory: bool,
    pub(super) has_topics: bool,
    pub(super) shards: Option<NonZeroU32>,
}

#[derive(Clone, Debug)]
pub(super) enum MessageFormat {
    Notification { framing: Framing, changes: Changes, privacy: Privacy },
    Raw(Option<Template>),
    CloudEvents(Box<CloudEvents>),
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Privacy {
    pub(super) mask: bool,
    /// Whether the request's token in the context is passed on. Otherwise it is null, as in `osnl
    /// send`.
    pub(super) keep_token: bool,
}

#[derive(Clone, Debug)]
pub(super) struct CloudEvents {
    pub(super) attributes: AttributeTemplates,
    pub(super) data: Option<Template>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    pub(super) event_type: Option<Template>,
    pub(super) publisher_id: Option<Template>,
    pub(super) priority: Option<Template>,
    pub(super) payload: Option<Template>,
}

#[derive(Debug)]
pub(super) struct AddressedMessage {
    pub(super) target: Target,
    pub(super) priority: Priority,
    pub(super) message: OutgoingMessage,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsendable {
    Ours,
    Content(Misfit),
}

/// What an event chooses of the place of its message: a refusal of that says nothing of other events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    Nothing,
    /// The last word of the topic on Kafka.
    Priority,
    /// The exchange, or the topic on Kafka.
    Place,
}

impl MessageTemplates {
    pub(super) fn build(&self, event: &Event) -> Result<AddressedMessage, Unsendable> {
        let names = event_names::for_event(event);
        let unique = unique_id(event);
        let came_with = event.notification.unique_id.as_deref();
        if came_with.is_some_and(|id| id.len() == unique.len() && id.starts_with(&unique[..OWN])) {
            return Err(Unsendable::Ours);
        }
        let (target, priority) = match self.shards {
            Some(shards) => self.shard(event, shards),
            None => self.address(&names).map_err(Unsendable::Content)?,
        };
        let message = match &self.format {
            MessageFormat::Raw(Some(template)) => raw(&names, template),
            // Whole, it would reach the shards of its other resources too, once for each resource.
            MessageFormat::Raw(None) if self.shards.is_some() && event.resource.is_some() => {
                notification(event, &names, &Changes::default(), unique).and_then(|part| {
                    part.body(Framing::Envelope).map(OutgoingMessage::json).map_err(Misfit::other)
                })
            }
            MessageFormat::Raw(None) => Ok(OutgoingMessage {
                properties: event.received.properties.clone(),
                ..OutgoingMessage::json(event.received.body.clone())
            }),
            MessageFormat::Notification { framing, changes, privacy } => {
                notification(event, &names, changes, unique).and_then(|mut emission| {
                    privacy.apply(&mut emission)?;
                    let framing = if self.has_topics { Framing::Kafka } else { *framing };
                    emission.body(framing).map(OutgoingMessage::json).map_err(Misfit::other)
                })
            }
            MessageFormat::CloudEvents(conf) => conf.message(&names, &message_id(event)),
        };
        let message = message.map_err(Unsendable::Content)?;
        let key = if self.has_topics { key_of(event) } else { None };
        let message = OutgoingMessage {
            declare: self.declare,
            mandatory: self.mandatory,
            key,
            shards: self.shards,
            ..message
        };
        Ok(AddressedMessage { target, priority, message })
    }

    pub(super) fn all_shards(&self) -> Option<Shards> {
        Some(Shards::new(self.exchange.source(), self.shards?))
    }

    fn shard(&self, event: &Event, shards: NonZeroU32) -> (Target, Priority) {
        let digest;
        let key = match (event.order_key.as_deref(), event.id()) {
            (Some(key), _) | (None, Some(key)) => key,
            (None, None) => {
                digest = event.received.digest().to_string();
                &digest
            }
        };
        let shard = shard_of(key, shards).to_string();
        (Target::new(self.exchange.source(), Shards::TOPIC), Priority::Other(shard))
    }

    /// Returns the part of the exchange, or of the topic on Kafka, that an event chooses.
    pub(super) fn chosen(&self) -> Chosen {
        let reads = |template: &Template| template.paths().any(|path| !path.starts_with("secret."));
        let place = match (self.has_topics, &self.key) {
            (false, _) => &self.exchange,
            (true, Some(key)) => key,
            (true, None) => &self.topic,
        };
        match reads(place) {
            true => Chosen::Place,
            // The event's own priority is a part of the topic.
            false if self.has_topics && self.key.is_none() && self.priority().is_none_or(reads) => {
                Chosen::Priority
            }
            false => Chosen::Nothing,
        }
    }

    /// Returns the template of the priority. Without one, it is the event's own.
    pub(super) fn priority(&self) -> Option<&Template> {
        match &self.format {
            MessageFormat::Notification { changes, .. } => changes.priority.as_ref(),
            MessageFormat::Raw(_) | MessageFormat::CloudEvents(_) => None,
        }
    }

    pub(super) fn payload(&self, names: &Names) -> Option<Result<String, Misfit>> {
        let template = match &self.format {
            MessageFormat::Notification { changes, .. } => changes.payload.as_ref(),
            MessageFormat::Raw(template) => template.as_ref(),
            MessageFormat::CloudEvents(conf) => conf.data.as_ref(),
        };
        template.map(|template| value(names, template).map(|value| value.to_string()))
    }

    pub(super) fn safety(&self) -> String {
        if self.has_topics {
            return "delivered when all replicas in sync have it".to_owned();
        }
        if self.shards.is_some() {
            return "delivered when the broker has confirmed it; while its shard has no queue, it waits"
                .to_owned();
        }
        let lost = if self.mandatory { "is refused" } else { "is dropped by the broker" };
        format!("delivered when the broker has confirmed it; what no queue takes {lost}")
    }

    pub(super) fn place(&self) -> Cow<'_, str> {
        if self.has_topics { "Kafka".into() } else { self.exchange.shown() }
    }

    pub(super) fn address(&self, names: &Names) -> Result<(Target, Priority), Misfit> {
        let exchange = match self.has_topics {
            true => None,
            false => Some(rendered("exchange", &self.exchange, names)?),
        };
        let (topic, priority) = match &self.key {
            Some(key) => {
                let key = rendered("key", key, names)?;
                // Both are one text on the wire; the last word is the priority of a notification.
                let no_dot = || Misfit::in_option("key", "it has no dot");
                let (topic, last) = key.rsplit_once('.').ok_or_else(no_dot)?;
                (topic.to_owned(), word(last))
            }
            None => {
                let priority = match self.priority() {
                    Some(template) => Priority::parse(&rendered("priority", template, names)?),
                    None => names.notification().priority.clone().unwrap_or(Priority::Info),
                };
                (rendered("topic", &self.topic, names)?, priority)
            }
        };
        let target = Target { exchange, topic };
        let bytes = target.routing_key(&priority).len();
        if bytes > LONGEST_NAME {
            let why = format!("the routing key has {bytes} bytes, and {LONGEST_NAME} are allowed");
            return Err(Misfit::other(why));
        }
        Ok((target, priority))
    }
}

impl Privacy {
    fn apply(self, emission: &mut Emission) -> Result<(), Misfit> {
        let masked = |key: &str, value: &RawValue| -> Result<Box<RawValue>, Misfit> {
            let ForeignJson(read) = serde_json::from_str(value.get()).map_err(Misfit::other)?;
            // The name of the context's entry may mark it as a secret.
            let masked = mask_secrets(&Value::Object([(key.to_owned(), read.clone())].into_iter().collect()));
            match masked.get(key) {
                Some(masked) if *masked != read => {
                    RawValue::from_string(masked.to_string()).map_err(Misfit::other)
                }
                Some(_) | None => Ok(value.to_owned()),
            }
        };
        if self.mask {
            emission.payload = masked("payload", &emission.payload)?;
            for (key, value) in &mut emission.context {
                *value = masked(key, value)?;
            }
        }
        if !self.keep_token {
            for (_, value) in emission.context.iter_mut().filter(|(key, _)| key == "auth_token") {
                *value = RawValue::NULL.to_owned();
            }
        }
        Ok(())
    }
}

fn key_of(event: &Event) -> Option<String> {
    match event.resource {
        Some(at) => resource_at(&event.notification, at as usize)?.key(),
        None => resource_key(&event.notification),
    }
}

fn word(text: &str) -> Priority {
    let known = Priority::ALL.into_iter().find(|priority| priority.as_str() == text);
    known.unwrap_or_else(|| Priority::Other(text.to_owned()))
}

fn rendered(option: &str, template: &Template, names: &Names) -> Result<String, Misfit> {
    let text = template.render(names).map_err(|error| Misfit::in_option(option, error))?;
    match text.is_empty() || text.len() > LONGEST_NAME || text.contains(char::is_control) {
        true => Err(Misfit::in_option(option, "the rendered template is not a valid name on a broker")),
        false => Ok(text),
    }
}

fn notification(event: &Event, names: &Names, changes: &Changes, unique: String) -> Result<Emission, Misfit> {
    let text = |option: &str, template: &Option<Template>, own: Option<String>| match template {
        None => Ok(own),
        Some(template) => template.render(names).map(Some).map_err(|error| Misfit::in_option(option, error)),
    };
    let plain = Budget::MOST.plain_body(&event.received.body, &event.received.properties.content_info());
    let mut emission = plain.and_then(|plain| Emission::read(&plain)).map_err(Misfit::other)?;
    emission.event_type = text("event_type", &changes.event_type, emission.event_type)?;
    emission.publisher_id = text("publisher_id", &changes.publisher_id, emission.publisher_id)?;
    if let Some(priority) = text("priority", &changes.priority, None)? {
        emission.priority = Some(Priority::parse(&priority));
    }
    emission.unique_id = Some(unique);
    // The event's own payload keeps the order of its keys and the digits of its numbers.
    let other = match (&changes.payload, event.resource) {
        (Some(template), _) => Some(value(names, template)?),
        (None, Some(_)) => Some(event.payload().into_owned()),
        (None, None) => None,
    };
    if let Some(other) = other {
        emission.payload = RawValue::from_string(other.to_string()).map_err(Misfit::other)?;
    }
    Ok(emission)
}

fn value(names: &Names, template: &Template) -> Result<Value, Misfit> {
    template.value(names).map_err(|error| Misfit::in_option("payload", error))
}

fn raw(names: &Names, template: &Template) -> Result<OutgoingMessage, Misfit> {
    Ok(match value(names, template)? {
        Value::String(text) => {
            OutgoingMessage { properties: utf8("text/plain"), ..OutgoingMessage::json(text) }
        }
        other => OutgoingMessage::json(other.to_string()),
    })
}

fn utf8(content_type: &'static str) -> Properties {
    Properties {
        content_type: Some(content_type.into()),
        content_encoding: Some("utf-8".into()),
        compression: None,
    }
}

impl CloudEvents {
    fn message(&self, names: &Names, id: &str) -> Result<OutgoingMessage, Misfit> {
        let event = self.attributes.event(names, id.to_owned())?;
        let data = match &self.data {
            Some(template) => value(names, template)?,
            None => mask_secrets(&names.notification().payload),
        };
        let body = event.structured(&mut HeaderMap::new(), "application/json", &data.to_string())?;
        Ok(OutgoingMessage { properties: utf8(cloud_event::STRUCTURED), ..OutgoingMessage::json(body) })
    }
}

fn message_id(event: &Event) -> String {
    match (event.id(), event.resource) {
        (Some(id), Some(n)) => format!("{id}/{n}"),
        (Some(id), None) => id.to_owned(),
        (None, _) => event.idempotency_key(),
    }
}

/// The number of digits of a unique id that identify the publisher.
const OWN: usize = 16;

/// Returns 32 hex digits, the same for every attempt. The first half is derived from the message id
/// and the action, so that the action recognises its own message by whichever rule; the second half
/// from the effect.
fn unique_id(event: &Event) -> String {
    let digits = |key: &str| -> String {
        BodyDigest::new(key.as_bytes()).as_bytes()[..OWN / 2]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    let message = event.notification.message_id.as_deref();
    let own = message.map_or_else(|| event.received.digest().to_string(), str::to_owned);
    digits(&format!("{own}/{}", event.action)) + &digits(&event.idempotency_key())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_chooses_the_topic_of_kafka_by_each_part_that_it_names() {
        let compiled = |text: &str| Template::compile(text, &[]).unwrap();
        let check = |topic: &str, key: Option<&str>, priority: Option<&str>, expected: Chosen| {
            let changes = Changes { priority: priority.map(compiled), ..Changes::default() };
            let privacy = Privacy::default();
            let templates = MessageTemplates {
                exchange: compiled("{{ event_type }}"),
                topic: compiled(topic),
                key: key.map(compiled),
                format: MessageFormat::Notification { framing: Framing::Kafka, changes, privacy },
                declare: Declare::Passive,
                mandatory: false,
                has_topics: true,
                shards: None,
            };
            assert_eq!(templates.chosen(), expected, "{topic} {key:?} {priority:?}");
        };
        check("deletions", None, None, Chosen::Priority);
        check("deletions", None, Some("warn"), Chosen::Nothing);
        check("deletions", None, Some("{{ payload.level }}"), Chosen::Priority);
        check("{{ event_type }}", None, Some("warn"), Chosen::Place);
        check("{{ event_type }}", None, None, Chosen::Place);
        check("{{ event_type }}", Some("deletions.warn"), None, Chosen::Nothing);
        check("deletions", Some("openstack.{{ context.project_id }}.x"), Some("warn"), Chosen::Place);
    }
}
