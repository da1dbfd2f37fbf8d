//! The bindings and queues of a `[listener:NAME]`: exchanges × topics × priorities into a pool or the services' queues,
//! or `queue = NAME` alone.
//!
//! `pool` has no default. With a fixed name, two teams on one broker would compete for messages; with the host's name,
//! each daemon of a pair would repeat every effect. An older file that relied on `pool = osnl` is refused, since an
//! upgrade must not leave the queue, which would fill.

use std::collections::BTreeMap;

use osnl_brokers::Driver;
use osnl_config::OptionValue;
use osnl_config::sections::{RawSection, SectionReader};
use osnl_config::{OptionDef, Options as _, ReadBySection, nearest, options, shown};
use osnl_model::Priority;
use osnl_transport::{
    Argument, Declare, KNOWN_ARGUMENTS, LONGEST_NAME, NO_STREAMS, QueueArguments, QueueKind, QueueOptions,
    QueueType, RabbitOptions, STREAM,
};

use super::kinds::LISTENER;
use crate::actions::broker::BrokerReader as _;

/// A routing key is topic, dot, and priority.
const LONGEST_TOPIC: usize = LONGEST_NAME - ".critical".len();

options! {
    pub(super) struct ListenerOptions {
        transport_url: ReadBySection, written("URL"), secret => "Broker: rabbit://user:password@host:port,user:password@host2:port/vhost. Must be set.";
        management_url: ReadBySection, written("URL"), secret => "Management API of the broker: https://user:password@host:15671/, several hosts with commas between them. osnl asks it for policies, the delivery limit, and other consumers of the queue, which AMQP does not report. The user needs the tag monitoring; without a user, that of transport_url is meant. TLS trusts ssl_ca_file if it is set, else the system's authorities. Without this option these facts are unknown.";
        exchange: ReadBySection, written("list") => "Exchanges of the services, such as neutron, nova, openstack. Must be set, unless queue is or the broker is Kafka, which has none.";
        topics: Vec<String> as topics = "notifications", written("list") => "Topics. The queue is bound to each exchange with each topic and priority.";
        priorities: Vec<Priority> as priorities = "audit, debug, info, warn, error, critical, sample", written("list") => "Priorities to bind, of audit, debug, info, warn, error, critical and sample.";
        routing_key: Option<String> as routing_key, written("key") => "Whole routing key to bind the queue with, in place of topics and priorities; it must contain a dot: shard.0.";
        pool: ReadBySection, written("name") => "Name of the queue, different for each listener of a broker. Must be set, unless queue is. Empty: no pool; the services' own queues <topic>.<priority> are read.";
        queue: ReadBySection, written("name") => "Existing queue to read as it is; nothing is declared or bound. Replaces pool, exchange, and the options of queues.";
        declare: Declare = "passive" => "passive: osnl waits until the service has created the exchange, and reads its queue meanwhile. create: osnl creates the exchange as oslo.messaging does with amqp_durable_queues, amqp_auto_delete, and rabbit_quorum_queue; a service that has them otherwise is then refused.";
        queue_type: QueueType as queue_type = "classic", written("classic or quorum") => "Type of the queue, if osnl has to create it.";
        durable: bool = "true" => "true: a queue that osnl has to create survives a restart of the broker; it says nothing of the exchange. Without a pool the default is false.";
        auto_delete: bool = "false" => "true: the broker deletes the queue with its last consumer.";
        single_active_consumer: bool = "true" => "true: one of several consumers receives all messages, in order, and the others stand by. Without a pool the default is false.";
        oslo_arguments: bool = "false" => "true: oslo.messaging programs declare this queue too, as k2hr3_osnl does, so osnl sends the arguments that they send: no x-queue-type of a classic queue, and no x-delivery-limit of its own. Without a pool always.";
        delivery_limit: Option<u32>, within("0", "2147483647") => "Number of redeliveries of a message, of a quorum queue.";
        arguments: QueueArguments as arguments, written("list of name=value") => "Further arguments of the queue, if osnl has to create it: x-max-length=1000, x-queue-version=2.";
    }
}

const DECLARING: [&str; 12] = [
    "exchange",
    "topics",
    "priorities",
    "routing_key",
    "pool",
    "declare",
    "durable",
    "auto_delete",
    "single_active_consumer",
    "arguments",
    "delivery_limit",
    "oslo_arguments",
];

const NOT_READ: &str = "a stream is not read by osnl";

const NAME_YOUR_QUEUE: &str =
    "write a queue name that no other team on this broker uses, such as pool = osnl-TEAM";

pub(super) struct Topology {
    pub(super) exchanges: Vec<String>,
    pub(super) topics: Vec<String>,
    pub(super) priorities: Vec<Priority>,
    pub(super) pool: Option<String>,
    pub(super) declare: Declare,
    pub(super) queue: QueueKind,
}

pub(super) fn counts(section: &RawSection, option: &str) -> bool {
    if section.def.kind != LISTENER {
        return true;
    }
    let text = |option: &str| section.entry(option).map(|entry| entry.text.trim());
    let is_pool = text("pool") != Some("");
    match option {
        option if text("queue").is_some() && DECLARING.contains(&option) => false,
        "single_active_consumer" | "durable" | "oslo_arguments" => is_pool,
        _ => true,
    }
}

pub(super) fn read(
    reader: &mut SectionReader<'_>,
    driver: Option<Driver>,
    rabbit: Option<&RabbitOptions>,
) -> Option<Topology> {
    if reader.is_set("queue") {
        return existing(reader);
    }
    let exchanges = match driver {
        // Kafka has no exchanges: a topic is read with the messages of all services.
        Some(Driver::Kafka) if !reader.is_set("exchange") => Some(Vec::new()),
        _ => exchanges(reader),
    };
    let own = ListenerOptions::read(reader);
    let topics = own.as_ref().map(|own| own.topics.as_slice()).unwrap_or_default();
    for topic in topics {
        if let Some((topic, last)) = topic.rsplit_once('.')
            && (last == "*" || matches!(Priority::parse(last), known if !matches!(known, Priority::Other(_))))
        {
            let problem =
                format!("{topic}.{last} ends as a routing key does: osnl adds the priorities itself");
            reader.warn("topics", &problem, &format!("write {topic}, and name priorities in priorities"));
        }
    }
    let pool = match reader.required("pool", NAME_YOUR_QUEUE) {
        Some(text) if text.trim().is_empty() => Some(None),
        text => text.filter(|text| reader.check_name("pool", text, LONGEST_NAME)).map(Some),
    };
    let is_theirs = pool == Some(None);
    let driver = rabbit.map(RabbitOptions::queue).unwrap_or_default();
    let single = single_active_consumer(reader, is_theirs);
    let own = own?;
    let queue = queue(reader, &own, single, is_theirs, driver);
    if is_theirs && own.topics.iter().any(|topic| topic.split('.').any(|word| word == "*" || word == "#")) {
        let problem = "a wildcard binds a pool; without one the queue would bear this name";
        return reader.refuse("topics", problem, "set a pool, or name the topics");
    }
    let (topics, priorities) = match &own.routing_key {
        Some(key) => whole_key(reader, key, is_theirs)?,
        None => (own.topics, own.priorities),
    };
    Some(Topology {
        exchanges: exchanges?,
        topics,
        priorities,
        pool: pool?,
        declare: own.declare,
        queue: queue?,
    })
}

fn existing(reader: &mut SectionReader<'_>) -> Option<Topology> {
    let mut alone = true;
    for option in DECLARING {
        if reader.is_set(option) {
            alone = false;
            let problem = "has no effect beside queue, which is read as it is: nothing is declared or bound";
            reader.refuse::<()>(option, problem, "remove one of the two");
        }
    }
    let name = reader.broker_name("queue", LONGEST_NAME);
    let own = ListenerOptions::read(reader);
    alone.then_some(())?;
    let queue = QueueKind { queue_type: own?.queue_type, ..QueueKind::OSLO };
    Some(Topology {
        exchanges: Vec::new(),
        topics: Vec::new(),
        priorities: Vec::new(),
        pool: Some(name?),
        declare: Declare::Nothing,
        queue,
    })
}

fn exchanges(reader: &mut SectionReader<'_>) -> Option<Vec<String>> {
    let text = reader.required(
        "exchange",
        "write the service's, such as neutron, nova or openstack, or read a queue as it is: queue = NAME",
    )?;
    if text.is_empty() {
        return reader.refuse("exchange", "is empty", "write a name");
    }
    let exchanges = if text.contains(',') { reader.list("exchange")? } else { vec![text] };
    for exchange in &exchanges {
        if exchange.contains(['\'', '"', '[', ']']) || exchange.trim().contains(char::is_whitespace) {
            let problem = format!("{} is taken as one name", shown(exchange));
            reader.warn("exchange", &problem, "separate exchanges by commas, without quotes or brackets");
        }
    }
    let good: Vec<bool> = exchanges.iter().map(|x| reader.check_name("exchange", x, LONGEST_NAME)).collect();
    good.into_iter().all(|good| good).then_some(exchanges)
}

fn topics(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<String>> {
    let topics = reader.list(option.name)?;
    let good: Vec<bool> =
        topics.iter().map(|topic| reader.check_name(option.name, topic, LONGEST_TOPIC)).collect();
    good.into_iter().all(|good| good).then_some(topics)
}

fn routing_key(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Option<String>> {
    match reader.is_set(option.name) {
        true => reader.broker_name(option.name, LONGEST_NAME).map(Some),
        false => Some(None),
    }
}

/// Returns a routing key as the topic and the priority that are bound as it.
fn whole_key(
    reader: &mut SectionReader<'_>,
    key: &str,
    is_theirs: bool,
) -> Option<(Vec<String>, Vec<Priority>)> {
    const OPTION: &str = "routing_key";
    for option in ["topics", "priorities"] {
        if reader.is_set(option) {
            let problem = "has no effect beside routing_key, which is the whole key";
            return reader.refuse(option, problem, "remove one of the two");
        }
    }
    if is_theirs {
        return reader.refuse(
            OPTION,
            "binds a pool; without one the services bind their queues",
            "set a pool",
        );
    }
    let Some((topic, last)) = key.rsplit_once('.') else {
        return reader.refuse(OPTION, "has no dot", "write <topic>.<last word>, such as shard.0");
    };
    let known = Priority::ALL.into_iter().find(|priority| priority.as_str() == last);
    let last = known.unwrap_or_else(|| Priority::Other(last.to_owned()));
    Some((vec![topic.to_owned()], vec![last]))
}

fn priorities(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<Vec<Priority>> {
    reader.priorities(option.name)
}

fn queue_type(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<QueueType> {
    match reader.text(option.name)?.trim() == STREAM {
        true => reader.refuse(option.name, NOT_READ, NO_STREAMS),
        false => OptionValue::read(reader, option),
    }
}

fn single_active_consumer(reader: &mut SectionReader<'_>, is_theirs: bool) -> Option<bool> {
    const OPTION: &str = "single_active_consumer";
    if !OptionValue::valid(reader, OPTION)? || !reader.is_set(OPTION) && is_theirs {
        return Some(false);
    }
    if is_theirs {
        let problem = "services declare their queues without it, and would be refused";
        return reader.refuse(OPTION, problem, "remove it, or set a pool");
    }
    if OptionValue::valid(reader, "oslo_arguments")? {
        let problem = "oslo.messaging programs declare their queues without it, and would be refused";
        return reader.refuse("oslo_arguments", problem, "set single_active_consumer = false, or remove it");
    }
    Some(true)
}

/// Reads the queue's kind. `is_theirs`: the services declare these queues, so ours must equal theirs.
fn queue(
    reader: &mut SectionReader<'_>,
    own: &ListenerOptions,
    single_active_consumer: Option<bool>,
    is_theirs: bool,
    driver: QueueOptions,
) -> Option<QueueKind> {
    let queue_type = match driver.quorum {
        Some(_) if !reader.is_set("queue_type") => QueueType::Quorum,
        Some(_) | None => own.queue_type,
    };
    let durable = match (reader.is_set("durable"), driver.durable) {
        (false, Some(durable)) => durable,
        (false, None) if is_theirs => queue_type != QueueType::Classic,
        (false | true, _) => own.durable,
    };
    let auto_delete = driver.auto_delete.filter(|_| !reader.is_set("auto_delete")).unwrap_or(own.auto_delete);
    let oslo_arguments = is_theirs || own.oslo_arguments;
    let limits = driver.quorum.filter(|_| queue_type == QueueType::Quorum).unwrap_or_default();
    let declared = own.arguments.clone();
    let refuses = Some(Argument::Text("reject-publish".to_owned()));
    if declared.get("x-overflow") == refuses.as_ref() {
        let problem = "when the queue is full, a service that waits for confirms fails to publish";
        reader.warn("arguments", problem, "drop-head, the broker's default, leaves services alone");
    }
    let queue = QueueKind {
        queue_type,
        durable,
        auto_delete,
        single_active_consumer: single_active_consumer?,
        delivery_limit: own.delivery_limit.or(limits.delivery_limit),
        max_in_memory_length: limits.max_in_memory_length,
        max_in_memory_bytes: limits.max_in_memory_bytes,
        ha_policy: driver.as_oslo().ha_policy.filter(|_| oslo_arguments),
        oslo_arguments,
        arguments: declared,
    };
    checked(reader, &queue)?;
    if is_theirs {
        as_services_do(reader, &queue, &driver.as_oslo());
    }
    Some(queue)
}

/// Warns of options that make a services' queue differ from oslo.messaging's.
fn as_services_do(reader: &mut SectionReader<'_>, queue: &QueueKind, oslo: &QueueKind) {
    let unlike = [
        ("arguments", queue.arguments != oslo.arguments),
        ("auto_delete", queue.auto_delete != oslo.auto_delete),
        ("durable", queue.durable != oslo.durable),
        ("queue_type", queue.queue_type != oslo.queue_type),
        ("delivery_limit", queue.delivery_limit != oslo.delivery_limit),
    ];
    if let Some((option, _)) = unlike.iter().find(|(option, unlike)| *unlike && reader.is_set(option)) {
        let problem = "the broker refuses a service that declares its queue with other arguments";
        let allowed = "set a pool, or the options that the service has: amqp_durable_queues, rabbit_quorum_queue, \
                       amqp_auto_delete";
        reader.warn(option, problem, allowed);
    }
}

fn checked(reader: &mut SectionReader<'_>, queue: &QueueKind) -> Option<()> {
    let Some((option, why)) = queue.refusal() else { return Some(()) };
    let allowed = match option {
        "arguments" => "leave it out of the list, or choose another queue_type",
        _ => "remove it, or choose another queue_type",
    };
    reader.refuse(option, &why, allowed)
}

fn arguments(reader: &mut SectionReader<'_>, option: &'static OptionDef) -> Option<QueueArguments> {
    let option = option.name;
    if !reader.is_set(option) {
        return Some(BTreeMap::new());
    }
    let text = reader.text(option)?;
    let mut arguments = BTreeMap::new();
    for item in unquoted_commas(&text).into_iter().map(str::trim).filter(|item| !item.is_empty()) {
        let allowed = "write name=value with commas between them; in double quotes a value is a string";
        let Some((name, value)) = item.split_once('=').map(|(name, value)| (name.trim(), value.trim()))
        else {
            return reader.refuse(option, &format!("{} has no value", shown(item)), allowed);
        };
        if name.is_empty() || name.len() > LONGEST_NAME {
            return reader.refuse(option, &format!("{} has no valid name", shown(item)), allowed);
        }
        if name == "x-stream-offset" || (name, value.trim_matches('"')) == ("x-queue-type", STREAM) {
            return reader.refuse(option, &format!("{name}: {NOT_READ}"), NO_STREAMS);
        }
        if !KNOWN_ARGUMENTS.contains(&name)
            && let Some(near) = nearest(name, KNOWN_ARGUMENTS)
        {
            let problem = format!("{} is unknown to osnl, and is sent to the broker unchanged", shown(name));
            reader.warn(option, &problem, &format!("did you mean {near}?"));
        }
        if arguments.insert(name.to_owned(), Argument::parse(value)).is_some() {
            return reader.refuse(option, &format!("names {} twice", shown(name)), "name it once");
        }
    }
    Some(arguments)
}

fn unquoted_commas(text: &str) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .collect()
}
