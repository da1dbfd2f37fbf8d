//! The sections and options of the native form.
//!
//! Each table is in the module that reads its section: `journal.rs`, `admin.rs`, `canary.rs`, `enrich.rs`,
//! `deliveries.rs`, a driver's `conf.rs`, `osnl-transport` for the rabbit driver, and here the rest. A row is the only
//! declaration of its option.

use osnl_config::sections::{Dialect, ForeignSection, Schema, SectionDef};
use osnl_config::typed::ValueRefusal;
use osnl_config::{Kind, OptionDef};
#[cfg(feature = "kafka")]
use osnl_transport::KAFKA_OPTIONS;
use osnl_transport::{FORMER_OPTIONS, RABBIT_OPTIONS};

use super::{admin, canary, deliveries, enrich, journal};

pub(crate) use crate::action::driver::{ACTION, ENRICH, RULE};

pub(crate) const DEFAULT: &str = "DEFAULT";
/// Before all sections that can repeat a value, because files of secrets are read in the order of sections.
pub(crate) const VALUES: &str = "values";
pub(crate) const JOURNAL: &str = "journal";
pub(crate) const ADMIN: &str = "admin";
pub(crate) const CANARY: &str = "canary";
/// The section's name in OpenStack's own files; a listener may override each option.
pub(crate) const RABBIT: &str = "oslo_messaging_rabbit";
pub(crate) const KAFKA: &str = "oslo_messaging_kafka";
pub(crate) const LISTENER: &str = "listener";

/// The native form, to which [`Drivers`](super::Drivers) add their options.
pub(super) const SCHEMA: Schema = Schema {
    sections: &SECTIONS,
    former: FORMER_OPTIONS,
    dialect: Dialect::Strict {
        foreign: &[foreign("k2hr3"), foreign("oslo_messaging_notifications")],
        reference: "osnl config reference",
        synonyms: &[
            ("retries", "max_attempts"),
            ("max_retries", "max_attempts"),
            ("retry_count", "max_attempts"),
            ("attempts", "max_attempts"),
            ("tries", "max_attempts"),
            ("retry_delay", "retry_interval"),
            ("retry_backoff", "retry_interval"),
            ("backoff", "retry_interval"),
            ("retry_initial", "retry_interval"),
            ("retry_max", "retry_interval"),
            ("retry_max_interval", "retry_interval"),
            ("retry_wait", "retry_interval"),
            ("retry_pause", "retry_interval"),
            ("initial_interval", "retry_interval"),
            ("max_interval", "retry_interval"),
            ("max_backoff", "retry_interval"),
            ("interval", "retry_interval"),
            ("retry_timeout", "retry_max_age"),
            ("retry_limit", "max_attempts"),
            ("max_age", "retry_max_age"),
            ("event_max_age", "max_event_age"),
            ("max_message_age", "max_event_age"),
            ("message_max_age", "max_event_age"),
            ("older_than", "max_event_age"),
            ("ignore_older_than", "max_event_age"),
            ("ttl", "retry_max_age"),
            ("workers", "concurrency"),
            ("threads", "concurrency"),
            ("parallel", "concurrency"),
            ("rate_limit", "rate"),
            ("max_concurrency", "concurrency"),
            ("batch_size", "batch"),
            ("fallback", "on_failure"),
            ("on_error", "on_failure"),
            ("dead_letter", "on_failure"),
            ("timeout_seconds", "timeout"),
            ("request_timeout", "timeout"),
            ("connect_timeout", "timeout"),
            ("ssl_verify", "verify"),
            ("user", "username"),
            ("insecure", "verify"),
            ("cafile", "ca_file"),
            ("cacert", "ca_file"),
            ("endpoint", "url"),
            ("uri", "url"),
            ("verb", "method"),
            ("http_method", "method"),
            ("template", "body"),
            ("data", "body"),
            ("json", "body"),
            ("filter", "when"),
            ("condition", "when"),
            ("if", "when"),
            ("events", "event_type"),
            ("publisher", "publisher_id"),
            ("queue_name", "queue"),
            ("qos", "prefetch"),
            ("prefetch_count", "prefetch"),
            ("url", "transport_url"),
            ("broker", "transport_url"),
            ("disabled", "enabled"),
        ],
        machine_default: |option| match option {
            "state_dir" => Some(match crate::state_dir::default() {
                Some(folder) => Ok(folder.display().to_string()),
                None => Err(ValueRefusal::new(
                    "$state_dir has no value: STATE_DIRECTORY, XDG_STATE_HOME, and HOME are not set",
                    "set state_dir in [DEFAULT] to an absolute path",
                )),
            }),
            _ => None,
        },
    },
};

const fn foreign(name: &'static str) -> ForeignSection {
    ForeignSection {
        name,
        problem: "is a section of k2hr3_osnl.conf",
        remedy: "osnl config show --k2hr3-osnl FILE converts such a file",
    }
}

#[rustfmt::skip]
pub(super) static SECTIONS: [SectionDef; if cfg!(feature = "kafka") { 11 } else { 10 }] = [
    SectionDef::new(DEFAULT, "The daemon as a whole.", DEFAULT_OPTIONS),
    SectionDef {
        keyed: VALUES_KEYED,
        ..SectionDef::new(VALUES, "Values of your own, which other options repeat as ${values.KEY}. They count as secrets: only a secret option, such as transport_url, may repeat one, and no output shows it.", &[])
    },
    SectionDef::new(JOURNAL, "The journal, which keeps events and deliveries.", journal::STORE).with_shared(journal::BESIDES),
    SectionDef::new(ADMIN, "The endpoint for monitoring and for requests over HTTP. It is off unless listen is set. Changes of this section need a restart.", admin::OPTIONS),
    SectionDef::new(CANARY, "Test notifications that osnl publishes to the broker and receives again, through a rule and the journal. They are off unless listener is set. Changes of this section need a restart.", canary::OPTIONS),
    SectionDef::new(RABBIT, "The options of oslo.messaging's rabbit driver, for all listeners. The query of a transport_url and the listener's own section override them. Without an option, osnl's own behaviour applies.", &RABBIT_DEFS),
    #[cfg(feature = "kafka")]
    SectionDef::new(KAFKA, "The options of oslo.messaging's Kafka driver, for all listeners on Kafka. The query of a transport_url overrides them.", &KAFKA_DEFS),
    SectionDef::named(LISTENER, "One subscription on one broker connection, with a queue of its own.", LISTENER_OPTIONS).with_shared(&RABBIT_DEFS),
    SectionDef {
        keyed: RULE_KEYED,
        ..SectionDef::named(RULE, "Conditions, and the actions to call if they hold. Rules are evaluated in the order of files and sections.", RULE_OPTIONS)
    },
    SectionDef::named(ACTION, "The call that a rule makes for an event.", deliveries::ACTION_OPTIONS),
    SectionDef::named(ENRICH, "A query to an OpenStack API for values that the event lacks, made before the first attempt of the actions that name the section in enrich. Their templates have the result under the section's name.", enrich::OPTIONS),
];

#[rustfmt::skip]
static DEFAULT_OPTIONS: &[OptionDef] = &[
    OptionDef::typed("debug", Kind::Bool, "true has the effect of log_level = debug.").or("false"),
    OptionDef::new("log_level", "debug, info, warn or error", "Lowest level of osnl's own log lines.").or("info"),
    OptionDef::new("libs_log_level", "debug, info, warn or error", "Lowest level of the libraries' log lines.").or("warn"),
    OptionDef::new("log_file", "path", "Log file. Without it, log lines go to standard error."),
    OptionDef::new("log_format", "text or json", "Form of log lines: text for people; json for machines, one object per line.").or("text"),
    OptionDef::new("state_dir", "absolute path", "Folder for the journal and for the positions of streams. Without it: $STATE_DIRECTORY if set, else /var/lib/osnl as root, else $XDG_STATE_HOME/osnl, else ~/.local/state/osnl."),
    OptionDef::new("attention_age", "duration", "osnl status reports an action whose oldest pending delivery is older than this.").or("15m"),
    OptionDef::new("control_group", "group of this machine", "The group whose members may ask the daemon for its status and its deliveries, and change nothing. Without it only root and the daemon's own user may ask."),
];

#[rustfmt::skip]
static LISTENER_OPTIONS: &[OptionDef] = &[
    OptionDef::new("transport_url", "URL", "Broker: rabbit://user:password@host:port,user:password@host2:port/vhost. Must be set.").secret(),
    OptionDef::new("management_url", "URL", "Management API of the broker: https://user:password@host:15671/, several hosts with commas between them. osnl asks it for policies, the delivery limit, and other consumers of the queue, which AMQP does not report. The user needs the tag monitoring; without a user, that of transport_url is meant. TLS trusts ssl_ca_file if it is set, else the system's authorities. Without this option these facts are unknown.").secret(),
    OptionDef::new("exchange", "list", "Exchanges of the services, such as neutron, nova, openstack. Must be set, unless queue is."),
    OptionDef::new("topics", "list", "Topics. The queue is bound to each exchange with each topic and priority.").or("notifications"),
    OptionDef::new("priorities", "list", "Priorities to bind, of audit, debug, info, warn, error, critical and sample.").or("audit, debug, info, warn, error, critical, sample"),
    OptionDef::new("pool", "name", "Name of the queue, different for each listener of a broker. Must be set, unless queue is. Empty: no pool; the services' own queues <topic>.<priority> are read."),
    OptionDef::new("queue", "name", "Existing queue to read as it is; nothing is declared or bound. Replaces pool, exchange, and the options of queues."),
    OptionDef::new("declare", "passive or create", "passive: osnl waits until the service has created the exchange, and reads its queue meanwhile. create: osnl creates the exchange as oslo.messaging does with amqp_durable_queues, amqp_auto_delete, and rabbit_quorum_queue; a service that has them otherwise is then refused.").or("passive"),
    OptionDef::new("queue_type", "classic, quorum or stream", "Type of the queue, if osnl has to create it.").or("classic"),
    OptionDef::typed("durable", Kind::Bool, "true: a queue that osnl has to create survives a restart of the broker; it says nothing of the exchange. Without a pool the default is false.").or("true"),
    OptionDef::typed("auto_delete", Kind::Bool, "true: the broker deletes the queue with its last consumer.").or("false"),
    OptionDef::typed("single_active_consumer", Kind::Bool, "true: one of several consumers receives all messages, in order, and the others stand by. Without a pool, and for a stream, the default is false.").or("true"),
    OptionDef::typed("oslo_arguments", Kind::Bool, "true: oslo.messaging programs declare this queue too, as k2hr3_osnl does, so osnl sends the arguments that they send: no x-queue-type of a classic queue, and no x-delivery-limit of its own. Without a pool always.").or("false"),
    OptionDef::typed("delivery_limit", Kind::Integer, "Number of redeliveries of a message, of a quorum queue."),
    OptionDef::new("arguments", "list of name=value", "Further arguments of the queue, if osnl has to create it: x-max-length=1000, x-queue-version=2."),
    OptionDef::new("stream_offset", "first, last, next or a time", "Position at which osnl starts to read a stream; later it continues after the last message. A time is written as 2026-11-20T06:00:00Z.").or("next"),
    OptionDef::typed("prefetch", Kind::Integer, "Most unacknowledged messages of the listener, over all its queues, 1 to 65535.").or("200"),
    OptionDef::new("max_body", "size", "Largest uncompressed body, 4KiB to 128MiB. A message with a larger one is quarantined. The other limits of a message follow from it: six times as much memory when decoded, 500000 JSON values and 10000 resources of a bulk request, and as many times more as it is larger than 4MiB. Of a body above 16MiB and above max_body, only the beginning is read and quarantined.").or("4MiB"),
    OptionDef::new("expect", "number per duration", "Least number of messages within a time, such as 1 per 10m. With fewer, osnl status reports that the listener is silent."),
    OptionDef::new("silent_after", "duration", "osnl status reports a listener that has never received anything for this long, with the most likely reason. 0: never.").or("15m"),
    OptionDef::new("max_event_age", "duration", "Greatest age of an event when it is first read, by its timestamp, 1s to 3650d. Deliveries of an older one become dead letters (too old) that osnl deliveries retry makes; on_failure is not called. An event without a timestamp, or from the future, is not old. Without it: no limit."),
];

#[rustfmt::skip]
static RULE_OPTIONS: &[OptionDef] = &[
    OptionDef::typed("enabled", Kind::Bool, "false: the rule is checked, but never matches.").or("true"),
    OptionDef::new("listeners", "list", "Listeners whose messages the rule evaluates. Without it: all."),
    OptionDef::new("priorities", "list", "Priorities that match, as written in the message. Without it: all."),
    OptionDef::new("event_type", "regular expression", "Pattern that the event type must match from its start, as in Python's re.match. Without it, each event type matches."),
    OptionDef::new("publisher_id", "regular expression", "Pattern that the publisher must match, in the same way."),
    OptionDef::new("when", "expression", "Expression that must be true too, as in Ansible's when: payload.port.device_owner.startswith(\"compute:\")."),
    OptionDef::typed("stop", Kind::Bool, "true: when the rule matches, later rules are skipped. It has no effect with mode = shadow.").or("false"),
    OptionDef::new("actions", "list", "Actions to call. Must be set."),
    OptionDef::new("mode", "live or shadow", "live: actions are called. shadow: deliveries are only recorded, and nothing is called.").or("live"),
    OptionDef::new("key", "resource, none or a path", "Value by which deliveries are kept in order: the resource, nothing, or the value at a path, such as payload.port.network_id or context.project_id.").or("resource"),
    OptionDef::new("guard", "number per duration", "Most different resources within a time, such as 100 per 10m. Deliveries of further resources are held until an operator releases or discards them."),
    OptionDef::new("expect", "number per duration", "Least number of messages that the rule matches, as for a listener."),
    OptionDef::new("max_event_age", "duration", "Greatest age of an event for this rule, in place of the listener's."),
];

static VALUES_KEYED: &[OptionDef] = &[OptionDef::new(
    "",
    "text",
    "Any name, and any text, such as the part that several URLs have in common.",
)
.secret()];

#[rustfmt::skip]
static RULE_KEYED: &[OptionDef] = &[
    OptionDef::new("context.", "regular expression", "Pattern that a string in the context must match; KEY may be a path."),
    OptionDef::new("metadata.", "regular expression", "Pattern that message_id or timestamp must match."),
    OptionDef::new("payload.", "regular expression", "Pattern that a string in the payload must match; KEY may be a path, such as port.name."),
];

/// The Kafka options without defaults, so that only set options are shown.
#[cfg(feature = "kafka")]
static KAFKA_DEFS: [OptionDef; KAFKA_OPTIONS.len()] = {
    let mut all = KAFKA_OPTIONS;
    let mut n = 0;
    while n < all.len() {
        all[n].default = None;
        n += 1;
    }
    all
};

/// The rabbit options without oslo.messaging's defaults, because osnl has its own.
static RABBIT_DEFS: [OptionDef; RABBIT_OPTIONS.len()] = {
    let mut all = RABBIT_OPTIONS;
    let mut n = 0;
    while n < all.len() {
        all[n].default = None;
        n += 1;
    }
    all
};
