//! The sections and options of the native form.
//!
//! An option is a field of its section's struct: `journal.rs`, `admin.rs`, `canary.rs`, `incidents.rs`, `enrich.rs`, `deliveries.rs`,
//! `options.rs`, `topology.rs`; of a driver in its `conf.rs`, of brokers in the crate of each.

#[cfg(feature = "kafka")]
use osnl_brokers::kafka::KAFKA_OPTIONS;
use osnl_config::sections::{Dialect, ForeignSection, Schema, SectionDef};
use osnl_config::typed::ValueRefusal;
use osnl_config::{OptionDef, Options as _, without_defaults};
use osnl_transport::{FORMER_OPTIONS, RABBIT_OPTIONS};

use super::admin::AdminOptions;
use super::canary::CanaryOptions;
use super::deliveries::ActionOptions;
use super::enrich::EnrichOptions;
use super::incidents::IncidentOptions;
use super::journal;
use super::options::{DaemonOptions, RuleOptions, StreamOptions};
use super::topology::ListenerOptions;

use super::kinds::*;

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
pub(super) static SECTIONS: [SectionDef; if cfg!(feature = "kafka") { 12 } else { 11 }] = [
    SectionDef::new(DEFAULT, "The daemon as a whole.", DaemonOptions::OPTIONS),
    SectionDef {
        keyed: VALUES_KEYED,
        ..SectionDef::new(VALUES, "Values of your own, which other options repeat as ${values.KEY}. They count as secrets: only a secret option, such as transport_url, may repeat one, and no output shows it.", &[])
    },
    journal::section("The journal, which keeps events and deliveries.").with_shared(&journal::OF_JOURNAL),
    SectionDef::new(ADMIN, "The endpoint for monitoring and for requests over HTTP. It is off unless listen is set. Changes of this section need a restart.", AdminOptions::OPTIONS),
    SectionDef::new(CANARY, "Test notifications that osnl publishes to the broker and receives again, through a rule and the journal. They are off unless listener is set. Changes of this section need a restart.", CanaryOptions::OPTIONS),
    SectionDef::new(INCIDENTS, "Calls of actions when an incident of osnl status begins and ends. They are off unless actions is set.", IncidentOptions::OPTIONS),
    SectionDef::new(RABBIT, "The options of oslo.messaging's rabbit driver, for all listeners. The query of a transport_url and the listener's own section override them. Without an option, osnl's own behaviour applies.", &RABBIT_DEFS),
    #[cfg(feature = "kafka")]
    SectionDef::new(KAFKA, "The options of oslo.messaging's Kafka driver, for all listeners on Kafka. The query of a transport_url overrides them.", &KAFKA_DEFS),
    SectionDef::named(LISTENER, "One subscription on one broker connection, with a queue of its own.", ListenerOptions::OPTIONS).with_shared(&[StreamOptions::OPTIONS, &RABBIT_DEFS]),
    SectionDef {
        keyed: RULE_KEYED,
        ..SectionDef::named(RULE, "Conditions, and the actions to call if they hold. Rules are evaluated in the order of files and sections.", RuleOptions::OPTIONS)
    },
    SectionDef::named(ACTION, "The call that a rule makes for an event.", ActionOptions::OPTIONS),
    SectionDef::named(ENRICH, "A query to an OpenStack API for values that the event lacks, made before the first attempt of the actions that name the section in enrich. Their templates have the result under the section's name.", EnrichOptions::OPTIONS),
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

/// Without the drivers' defaults, because osnl has its own: only options that are set are shown.
#[cfg(feature = "kafka")]
static KAFKA_DEFS: [OptionDef; KAFKA_OPTIONS.len()] = without_defaults(KAFKA_OPTIONS);

static RABBIT_DEFS: [OptionDef; RABBIT_OPTIONS.len()] = without_defaults(RABBIT_OPTIONS);
