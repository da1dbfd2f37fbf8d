//! The notifications to send: from flags, from the catalogue, or from the JSON documents of a file.
//! All input is checked before the first message is sent.
//!
//! [`saved`] has the forms of a document.
//!
//! With `--keep-ids` and no flag that changes content, a body is sent byte for byte as recorded,
//! unless it holds a token.

use anyhow::{Context as _, anyhow, bail, ensure};
use osnl::saved;
use osnl_model::{Budget, Emission, Framing, Priority};
use osnl_transport::{OutgoingMessage, Properties};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::args::{SendArgs, SendDriver};
use super::sample;
use crate::command::saved_events;
use crate::flags::unread;

#[derive(Debug)]
pub(super) struct InputEntry {
    pub(super) content: InputContent,
    pub(super) exchange: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) priority: Priority,
}

#[derive(Debug)]
pub(super) enum InputContent {
    Notification(Box<Emission>, Framing),
    Bytes(Option<Box<Emission>>, OutgoingMessage),
}

impl InputEntry {
    pub(super) fn event_type(&self) -> Option<&str> {
        let emission = match &self.content {
            InputContent::Notification(emission, _) => Some(emission),
            InputContent::Bytes(emission, _) => emission.as_ref(),
        };
        emission?.event_type.as_deref()
    }
}

pub(super) fn read(args: &SendArgs, topics: &[String], budget: &Budget) -> anyhow::Result<Vec<InputEntry>> {
    if let Some(name) = &args.sample {
        return Ok(vec![from_sample(name, args, topics)?]);
    }
    let Some(path) = &args.file else { return Ok(vec![from_flags(args)?]) };
    let (name, text) = saved_events::text(path).map_err(|why| anyhow!(why))?;
    let documents = saved::documents(&text, usize::MAX).map_err(|error| anyhow!(error.in_file(&name)))?;
    ensure!(!documents.is_empty(), "{name}: there is nothing in it to send");
    let entry = |(line, document)| entry(document, args, budget).with_context(|| format!("{name}:{line}"));
    documents.into_iter().map(entry).collect()
}

/// Refuses `NaN` and the infinities, which an [`Emission`] would replace by null.
fn as_written(body: &str) -> anyhow::Result<()> {
    let parsed = osnl_model::parse_python_json(body).unwrap_or_default();
    let inner = parsed.get("oslo.message").and_then(Value::as_str);
    for text in inner.into_iter().chain([body]) {
        if let Some(place) = osnl_model::python_words(text).into_iter().next() {
            bail!("JSON has no {}; write null, or the number that is meant", &text[place]);
        }
    }
    Ok(())
}

fn entry(document: &str, args: &SendArgs, budget: &Budget) -> anyhow::Result<InputEntry> {
    // Order and number formats of a recording's own fields do not matter.
    let fields = osnl_model::parse_python_json(document).ok();
    if let Some(Value::Object(fields)) = &fields
        && let Some(body) = saved::body_of(fields).map_err(|error| anyhow!(error))?
    {
        return recording(body, fields, args, budget);
    }
    let emission =
        Emission::read_within(document.as_bytes(), budget).map_err(|error| anyhow!(unread(&error)))?;
    as_written(document)?;
    notification(emission, framing_of(fields.as_ref()).unwrap_or(Framing::Envelope), None, args)
}

fn recording(
    body: Vec<u8>,
    fields: &Map<String, Value>,
    args: &SendArgs,
    budget: &Budget,
) -> anyhow::Result<InputEntry> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
    let properties = saved::properties_of(fields);
    let key = text("routing_key").unwrap_or_default();
    let (topic, key_priority) = match key.rsplit_once('.') {
        Some((topic, priority)) => (Some(topic.to_owned()), Some(Priority::parse(priority))),
        None => (None, None),
    };
    let plain = budget.plain_body(&body, &properties.content_info());
    let read = plain.and_then(|plain| {
        let framing = framing_of(serde_json::from_slice(&plain).ok().as_ref()).unwrap_or(Framing::Bare);
        let emission = Emission::read_within(&plain, budget)?;
        Ok((emission, framing, String::from_utf8_lossy(&plain).into_owned()))
    });
    let as_it_is = |read: Option<Emission>, body: Vec<u8>, properties: Properties| InputEntry {
        exchange: None,
        topic: None,
        priority: args.priority.clone().or_else(|| key_priority.clone()).unwrap_or(Priority::Info),
        content: InputContent::Bytes(
            read.map(Box::new),
            OutgoingMessage { properties, ..OutgoingMessage::json(body) },
        ),
    };
    let mut entry = match read {
        Ok((emission, ..)) if is_kept(args) && !has_token(&emission) => {
            as_it_is(Some(emission), body, properties)
        }
        Ok((emission, framing, plain)) => {
            as_written(&plain).context(match args.keep_ids {
                true => "the body cannot be changed, as a flag or the token in it needs",
                false => "the body cannot be changed; --keep-ids sends it as it is",
            })?;
            notification(emission, framing, key_priority.clone(), args)?
        }
        Err(error) if !args.keep_ids => {
            return Err(
                anyhow!(unread(&error)).context("the body cannot be read; --keep-ids sends it as it is")
            );
        }
        Err(_) => as_it_is(None, body, properties),
    };
    (entry.exchange, entry.topic) = (text("exchange"), topic);
    Ok(entry)
}

fn is_kept(args: &SendArgs) -> bool {
    let SendArgs { event_type, publisher_id, payload, context, priority, driver, .. } = args;
    let said = event_type.is_some() || publisher_id.is_some() || priority.is_some() || driver.is_some();
    args.keep_ids && !said && payload.is_none() && context.is_none()
}

/// Whether the context holds a token, which must be sent as null.
fn has_token(emission: &Emission) -> bool {
    emission.context.iter().any(|(key, value)| key == "auth_token" && value.get() != "null")
}

fn framing_of(document: Option<&Value>) -> Option<Framing> {
    document?.get("oslo.message").map(|_| Framing::Envelope)
}

fn from_sample(name: &str, args: &SendArgs, topics: &[String]) -> anyhow::Result<InputEntry> {
    let event = sample::find(name, if args.topic.is_empty() { topics } else { &args.topic })?;
    let emission = Emission::read(sample::document(event).as_bytes())?;
    let entry = notification(emission, Framing::Envelope, None, args)?;
    // With a configuration the listener's exchange is used, because its queue is bound there.
    let exchange = args.transport_url.is_some().then(|| event.exchange().to_owned());
    Ok(InputEntry { exchange, topic: event.topics.first().map(|topic| (*topic).to_owned()), ..entry })
}

fn from_flags(args: &SendArgs) -> anyhow::Result<InputEntry> {
    let mut emission = Emission::read(b"{}")?;
    emission.payload = RawValue::from_string("{}".to_owned())?;
    notification(emission, Framing::Envelope, None, args)
}

fn notification(
    mut emission: Emission,
    framing: Framing,
    key_priority: Option<Priority>,
    args: &SendArgs,
) -> anyhow::Result<InputEntry> {
    const KNOWN: &str = "message_id, publisher_id, event_type, priority, payload, timestamp, context";
    for (key, value) in std::mem::take(&mut emission.extra) {
        match key.as_str() {
            "context" => emission.context.extend(object(value.get()).context("context")?),
            other if args.keep_ids => emission.extra.push((other.to_owned(), value)),
            other => bail!("no notification has a field \"{other}\"; known are {KNOWN}"),
        }
    }
    if !args.keep_ids {
        (emission.message_id, emission.unique_id, emission.timestamp) = (None, None, None);
    }
    if let Some(event_type) = &args.event_type {
        emission.event_type = Some(event_type.clone());
    }
    if let Some(publisher_id) = &args.publisher_id {
        emission.publisher_id = Some(publisher_id.clone());
    } else if args.file.is_none() && args.sample.is_none() {
        emission.publisher_id = Some(format!("osnl.{}", host()));
    }
    if let Some(payload) = &args.payload {
        emission.payload = RawValue::from_string(payload.0.clone())?;
    }
    if let Some(context) = &args.context {
        emission.context = object(&context.0).context("--context")?;
    }
    let priority = args.priority.clone().or_else(|| emission.priority.clone()).or(key_priority);
    // With `--keep-ids` a body without priority keeps none: oslo.messaging's readers ignore such a
    // message.
    if !args.keep_ids || args.priority.is_some() {
        emission.priority = Some(priority.clone().unwrap_or(Priority::Info));
    }
    let framing = match args.driver {
        Some(SendDriver::Messaging) => Framing::Bare,
        Some(SendDriver::MessagingV2) => Framing::Envelope,
        None => framing,
    };
    Ok(InputEntry {
        content: InputContent::Notification(Box::new(emission), framing),
        exchange: None,
        topic: None,
        priority: priority.unwrap_or(Priority::Info),
    })
}

fn object(text: &str) -> anyhow::Result<Vec<(String, Box<RawValue>)>> {
    Ok(Emission::read_object(text)?)
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
