//! The options of `driver = publish`, and the driver that they configure.

use std::num::NonZeroU32;
use std::sync::Arc;

use futures_util::FutureExt as _;
use osnl_action::Action;
use osnl_action::driver::{
    BuildContext, CallRequest, DriverConf, DriverError, DriverTable, ListenerSubscription, NativeReader,
    OF_EVERY_DRIVER, OptionDef, Preview, Probe, ProbeContext, ReadDriver, SectionReader, SentLogin, Traits,
};
use osnl_action::http_request::cloud_event::AttributeTemplates;
use osnl_brokers::{Driver, addresses, broker_logins, brokers, transport_with};
use osnl_config::OptionValue;
use osnl_config::template::{Escape, Template};
use osnl_config::{Options as _, ReadBySection, options, words};
use osnl_model::{Framing, TransportUrl};
use osnl_transport::{
    BoxFuture, Declare, DriverSection as _, OptionError, RabbitOptions, RabbitSection, SET_SSL, SET_VERIFY,
    Shards, login_user, set_permissions,
};

use super::Publish;
use super::message::{Changes, CloudEvents, MessageFormat, MessageTemplates, Privacy};
use crate::broker::{BrokerReader as _, broker_probe, client_certificate, shards_probe};
use crate::event_names;

const TOPIC: &str = "notifications";

options! {
    pub(crate) struct PublishOptions {
        transport_url: ReadBySection, written("URL"), secret => "The broker: rabbit://user:password@host:port/vhost, with oslo.messaging's options in its query. Must be set.";
        exchange: ReadBySection, written("template") => "Exchange to publish to. Must be set, unless shards is: osnl-shards then.";
        topic: Template as topic = TOPIC, written("template") => "Topic; the routing key is <topic>.<priority>.";
        key: Option<Template> as address, written("template") => "Whole routing key, in place of <topic>.<priority>; it must contain a dot. Dots, * and # in values of exchange, topic, and key become _; event_type, publisher_id, and values with |dotted keep their dots.";
        shards: Option<NonZeroU32>, within("1", "1000") => "Number of shards to spread the events over: the routing key is shard.<n>, where n, from 0, is the first eight bytes of the SHA-256 of the order key (or else the message id) as a big-endian number, modulo this number. Each message is mandatory; an event whose shard has no queue waits.";
        format: Format = "notification" => "notification: as oslo.messaging writes it. raw: the bytes as received. cloudevents: JSON of CloudEvents 1.0.";
        framing: Framing as framing = "messagingv2", written("messagingv2 or messaging") => "Framing of a notification: messagingv2 in oslo.messaging's envelope 2.0, messaging without envelope.";
        event_type: Option<Template> as event_names::optional, written("template") => "For a notification. Without it: the event's own.";
        publisher_id: Option<Template> as event_names::optional, written("template") => "For a notification. Without it: the event's own.";
        priority: Option<Template> as event_names::optional, written("template") => "For a notification. Without it: the event's own.";
        payload: Option<Template> as event_names::optional, written("template") => "Payload of a notification, data of a CloudEvent, or all of a raw message. Without it: the event's own. A single {{ expression }} gives its value, anything else a string.";
        mask_secrets: bool = "false" => "true: in a notification, values in context and payload whose names say that they are secrets are replaced by ***.";
        keep_token: bool = "false" => "true: in a notification, the request's token in the context is passed on; otherwise it is null.";
        declare: Declare = "passive" => "passive: the exchange must exist. create: osnl creates it as oslo.messaging does, with a queue named like the routing key; amqp_durable_queues, amqp_auto_delete, and rabbit_quorum_queue count, in [oslo_messaging_rabbit] and in the query of transport_url.";
        mandatory: bool = "false" => "true: a message that no queue receives counts as refused; otherwise the broker drops it.";
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Format {
    Notification,
    Raw,
    CloudEvents,
}

words! {
    Format: "notification" => Self::Notification, "raw" => Self::Raw, "cloudevents" => Self::CloudEvents,
}

#[derive(Clone, Debug)]
pub struct PublishConf {
    name: String,
    url: TransportUrl,
    options: RabbitOptions,
    message: MessageTemplates,
}

impl ReadDriver for PublishConf {
    const TABLE: DriverTable = DriverTable::new("publish", &[PublishOptions::OPTIONS]);

    fn read(reader: &mut SectionReader<'_>) -> Option<Self> {
        let url = reader.transport_url();
        let options = url.as_ref().and_then(|url| match driver_options(reader, url) {
            Ok(options) => Some(options),
            Err(error) => reader.refuse("transport_url", &error.to_string(), "see docs/rabbit.md"),
        });
        let driver = url.as_ref().map(Driver::for_url);
        if driver.is_some_and(|driver| !driver.publishes()) {
            let remedy = "write rabbit:// or kafka://";
            return reader.refuse("transport_url", "osnl does not publish over AMQP 1.0", remedy);
        }
        let has_topics = driver == Some(Driver::Kafka);
        let exchange = match reader.is_set("exchange") {
            true => template_of(reader, "exchange").flatten(),
            false if has_topics => Template::compile("", &OF_EVERY_DRIVER).ok(),
            false if reader.is_set("shards") => Template::compile(Shards::EXCHANGE, &OF_EVERY_DRIVER).ok(),
            false => reader.required("exchange", "write the name of an exchange").and(None),
        };
        let own = PublishOptions::read(reader);
        let fits_shards = fits_shards(reader, exchange.as_ref(), has_topics);
        if OptionValue::valid(reader, "declare") == Some(Declare::Create) && !has_topics {
            reader.warn_of_service(exchange.as_ref().and_then(literal));
        }
        let kind = OptionValue::valid(reader, "format").unwrap_or(Format::Notification);
        let masks = kind != Format::Notification && OptionValue::valid(reader, "mask_secrets") == Some(true);
        if masks {
            let allowed =
                "set that; raw forwards the bytes as they came, and cloudevents masks secrets anyway";
            reader.refuse::<()>("mask_secrets", "requires format = notification", allowed);
        }
        let options = options?;
        reader.warn_of_trust(&options, SET_VERIFY);
        let own = own.filter(|_| !masks && fits_shards)?;
        Some(Self {
            name: reader.name().to_owned(),
            url: url?,
            message: MessageTemplates {
                exchange: exchange?,
                declare: own.declare,
                mandatory: own.mandatory || own.shards.is_some(),
                shards: own.shards,
                has_topics,
                key: own.key.clone(),
                topic: own.topic.clone(),
                format: format(reader, own)?,
            },
            options,
        })
    }
}

/// Checks the options that shards exclude: osnl itself chooses the routing key, and the number of shards is kept under
/// the exchange's name.
fn fits_shards(reader: &mut SectionReader<'_>, exchange: Option<&Template>, has_topics: bool) -> bool {
    if !reader.is_set("shards") {
        return true;
    }
    if has_topics {
        let problem = "Kafka itself keeps the records of one resource in one partition, by their key";
        return reader.refuse::<()>("shards", problem, "remove it").is_some();
    }
    let mut fits = true;
    for option in ["topic", "key"] {
        if reader.is_set(option) {
            fits = false;
            let problem = "cannot be set beside shards, by which the routing key is shard.<n>";
            reader.refuse::<()>(option, problem, "remove one of the two");
        }
    }
    if reader.is_set("mandatory") && OptionValue::valid(reader, "mandatory") == Some(false) {
        fits = false;
        let problem = "with shards, a message that no queue receives is never dropped";
        reader.refuse::<()>("mandatory", problem, "remove it");
    }
    if OptionValue::valid(reader, "declare") == Some(Declare::Create) {
        fits = false;
        let problem = "would make a queue shard.<n> that nobody reads";
        reader.refuse::<()>(
            "declare",
            problem,
            "remove it: the listener of each shard makes exchange and queue",
        );
    }
    if exchange.is_some_and(|exchange| literal(exchange).is_none()) {
        fits = false;
        reader.refuse::<()>("exchange", "is a template, and shards are of one exchange", "write a name");
    }
    fits
}

/// Returns the options of the URL's query over the declarations of `[oslo_messaging_rabbit]`, whose
/// other options apply to the listeners' brokers only.
fn driver_options(reader: &SectionReader<'_>, url: &TransportUrl) -> Result<RabbitOptions, OptionError> {
    let mut options = RabbitOptions::default();
    let section = reader.layers.sections.iter().find(|section| section.def.kind == RabbitSection::SECTION);
    for (section, name) in section.into_iter().flat_map(|s| RabbitOptions::DECLARING.map(|name| (s, name))) {
        if let Ok(Some(text)) = reader.layers.resolve(section, name) {
            let _ = options.set(name, &text);
        }
    }
    options.set_from_query(url)?;
    options.check()?;
    Ok(options)
}

/// Reads a name on a broker. An expression for one word of the name loses its dots, except where a
/// single expression is a name that services write with dots.
fn template_of(reader: &mut SectionReader<'_>, option: &str) -> Option<Option<Template>> {
    let names = event_names::for_section(reader);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    reader.compiled(option, |text| Template::escaping(&with_dots(text), &names, Escape::Word)).ok()
}

fn address(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<Template>> {
    template_of(reader, option.name)
}

fn topic(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Template> {
    address(reader, option)?.or_else(|| Template::compile(TOPIC, &OF_EVERY_DRIVER).ok())
}

fn framing(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Framing> {
    reader.word(option.name, [("messagingv2", Framing::Envelope), ("messaging", Framing::Bare)])
}

fn with_dots(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, inner)) = rest.split_once("{{") {
        let Some((expression, behind)) = inner.split_once("}}") else { break };
        let keeps = ["event_type", "publisher_id"].contains(&expression.trim());
        let filter = if keeps { "|dotted" } else { "" };
        out.push_str(&format!(
            "{before}{{{{{}{filter}}}}}",
            if keeps { expression.trim_end() } else { expression }
        ));
        rest = behind;
    }
    out + rest
}

fn format(reader: &mut SectionReader<'_>, own: PublishOptions) -> Option<MessageFormat> {
    const CHANGES: [&str; 5] = ["framing", "event_type", "publisher_id", "priority", "keep_token"];
    let PublishOptions { event_type, publisher_id, priority, payload, .. } = own;
    let (format, idle): (_, &[&str]) = match own.format {
        Format::Notification => {
            let changes = Changes { event_type, publisher_id, priority, payload };
            let privacy = Privacy { mask: own.mask_secrets, keep_token: own.keep_token };
            (MessageFormat::Notification { framing: own.framing, changes, privacy }, &[])
        }
        Format::Raw => (MessageFormat::Raw(payload), &CHANGES),
        Format::CloudEvents => {
            let conf = CloudEvents { attributes: AttributeTemplates::usual()?, data: payload };
            (MessageFormat::CloudEvents(Box::new(conf)), &CHANGES)
        }
    };
    for option in idle.iter().copied() {
        if reader.is_set(option) {
            reader.warn(option, "has no effect with this format", "choose another format, or remove it");
        }
    }
    Some(format)
}

impl DriverConf for PublishConf {
    fn action(&self, context: &BuildContext<'_>) -> Result<Arc<dyn Action>, DriverError> {
        let transport = transport_with(&self.url, self.options.clone()).map_err(|error| {
            DriverError::Other { action: context.name.clone(), problem: format!("transport_url: {error}") }
        })?;
        let permissions = self.message.all_shards().map(|shards| {
            let (count, queues) = (shards.count_queue(), shards.queues());
            let read: Vec<&str> = [&count].into_iter().chain(&queues).map(String::as_str).collect();
            let (user, virtual_host) = (login_user(&self.url), self.url.virtual_host());
            set_permissions(user, virtual_host, [&[&count], &[&shards.exchange], &read])
        });
        let message = self.message.clone();
        let certificate = client_certificate(&self.url, &self.options);
        Ok(Arc::new(Publish { message, permissions, transport: transport.into(), certificate }))
    }

    fn does(&self) -> String {
        let what = match &self.message.format {
            MessageFormat::Notification { .. } => "as a notification",
            MessageFormat::Raw(None) => "as it came",
            MessageFormat::Raw(Some(_)) => "as its template has it",
            MessageFormat::CloudEvents(_) => "as a CloudEvent",
        };
        match self.message.shards {
            Some(shards) => {
                format!("publishes each event {what}, to one of {shards} shards of {}", self.shown_place())
            }
            None => format!("publishes each event {what}, to {}", self.shown_place()),
        }
    }

    fn logins(&self) -> Vec<SentLogin> {
        broker_logins(&self.url, &self.options, SET_SSL)
    }

    fn explain(&self) -> Vec<(&'static str, String)> {
        vec![("safe", self.message.safety())]
    }

    fn traits(&self) -> Traits<'_> {
        let is_whole =
            matches!(self.message.format, MessageFormat::Raw(None)) && self.message.shards.is_none();
        Traits { refuser: Some("the broker"), reads_message: is_whole, ..Traits::default() }
    }

    fn preview(&self, wanted: &CallRequest<'_>) -> Preview {
        let names = event_names::for_preview(wanted, &self.name);
        if let Some(shards) = self.message.shards {
            let does = format!("publishes to {}", self.message.place());
            let key = format!("shard.<n>, n by the order key, 0 to {}", shards.get() - 1);
            return Preview::Effect { does, with: vec![("key", key)] };
        }
        let payload = self.message.payload(&names).transpose();
        match self.message.address(&names).and_then(|address| Ok((address, payload?))) {
            Ok(((target, priority), payload)) => {
                let mut with = vec![("key", target.routing_key(&priority))];
                with.extend(payload.map(|payload| ("payload", payload)));
                let place = target.exchange.as_deref().unwrap_or_default();
                let place = if self.message.has_topics { "Kafka" } else { place };
                Preview::Effect { does: format!("publishes to {place}"), with }
            }
            Err(why) => Preview::Unusable { why },
        }
    }

    fn shards(&self) -> Option<(&TransportUrl, &RabbitOptions, Shards)> {
        Some((&self.url, &self.options, self.message.all_shards()?))
    }

    fn probe<'a>(&'a self, context: ProbeContext<'a>) -> BoxFuture<'a, Vec<Probe>> {
        let named = match self.message.has_topics {
            true => self.literal_topic(),
            false => literal(&self.message.exchange).map(str::to_owned),
        };
        async move {
            let exchanges: Vec<String> = named.into_iter().collect();
            let declare = self.message.declare;
            let mut probes = broker_probe(context, &self.url, &self.options, &exchanges, declare).await;
            if let Some(shards) = self.message.all_shards() {
                probes.extend(shards_probe(context, &self.url, &self.options, &shards).await);
            }
            probes
        }
        .boxed()
    }

    fn feeds(&self, subscription: &ListenerSubscription<'_>) -> bool {
        let theirs = subscription.transport_url;
        let same = self.url.virtual_host() == theirs.virtual_host()
            && !brokers(&self.url).is_disjoint(&brokers(theirs));
        // A queue that is read as it is may be bound to any exchange, and Kafka has none.
        let reads = |exchange: &str| {
            subscription.exchanges.is_empty() || subscription.exchanges.iter().any(|own| own == exchange)
        };
        let topics = |topic: &str| {
            subscription.declare == Declare::Nothing || subscription.topics.iter().any(|t| t == topic)
        };
        let exchange = literal(&self.message.exchange).filter(|_| !self.message.has_topics);
        same && exchange.is_none_or(reads)
            && (self.message.key.is_some() || literal(&self.message.topic).is_none_or(topics))
    }
}

impl PublishConf {
    fn shown_place(&self) -> String {
        let hosts = addresses(&self.url).collect::<Vec<_>>().join(", ");
        format!("{} on {hosts}", self.message.place())
    }

    fn literal_topic(&self) -> Option<String> {
        if let Some(key) = &self.message.key {
            return literal(key).map(str::to_owned);
        }
        let priority = literal(self.message.priority()?)?;
        Some(format!("{}.{}", literal(&self.message.topic)?, priority.to_lowercase()))
    }
}

fn literal(template: &Template) -> Option<&str> {
    Some(template.source()).filter(|source| !source.contains('{'))
}
