use osnl::native::journal::STORE;
use osnl_config::sections::{ForeignSection, Schema, SectionDef};
use osnl_config::{Kind, OptionDef};
use osnl_transport::FORMER_OPTIONS;

pub(super) const NOTIFICATIONS: &str = "oslo_messaging_notifications";
pub(super) const K2HR3: &str = "k2hr3";
pub(super) const JOURNAL: &str = "journal";
pub(super) const DEFAULT: &str = "DEFAULT";

/// The documented default; in k2hr3_osnl's code it lacks the colon.
pub(super) const DEFAULT_API_URL: &str = "https://localhost/v1/role";

const LIBS_LEVELS: Kind = Kind::Choice(&["debug", "info", "warn", "warning", "error"]);
const LEVELS: Kind = Kind::Choice(&["debug", "info", "warn", "warning", "error", "notset"]);
const EXECUTORS: Kind = Kind::Choice(&["threading", "eventlet"]);

const TLS: Kind = Kind::Choice(&["oslo", "verify", "unverified"]);

const BOOL: Kind = Kind::Bool;
const TEXT: Kind = Kind::Form("text");
const PATTERN: Kind = Kind::Form("regular expression");

pub(super) static SCHEMA: Schema = Schema::oslo(SECTIONS, UNAPPLIED).with_former(FORMER_OPTIONS);

const SECTIONS: &[SectionDef] = &[
    SectionDef::new(DEFAULT, "The program itself.", DEFAULT_OPTIONS),
    SectionDef::new(NOTIFICATIONS, "What is listened to.", NOTIFICATION_OPTIONS),
    SectionDef::new(K2HR3, "What is called.", K2HR3_OPTIONS),
    SectionDef {
        defaults: &[("connection", "memory://")],
        ..SectionDef::new(JOURNAL, "What keeps messages until they are done.", STORE)
    },
];

#[rustfmt::skip]
static DEFAULT_OPTIONS: &[OptionDef] = &[
    OptionDef::typed("debug_level", LEVELS, "The log level of this program.").or("info"),
    OptionDef::typed("log_file", TEXT, "Where the log goes: sys.stderr, or the path of a file.").or("sys.stderr"),
    OptionDef::typed("libs_debug_level", LIBS_LEVELS, "The log level of the libraries.").or("warn"),
];

#[rustfmt::skip]
static NOTIFICATION_OPTIONS: &[OptionDef] = &[
    OptionDef::typed("event_type", PATTERN, "What the event type must match from its start.").or(r"^port\.delete\.end$"),
    OptionDef::typed("publisher_id", PATTERN, "What the publisher must match from its start.").or("^network.*$"),
    OptionDef::typed("context", Kind::Dict, "Top-level keys of the context that must be texts and match."),
    OptionDef::typed("metadata", Kind::Dict, "The same for message_id and timestamp."),
    OptionDef::typed("payload", Kind::Dict, "The same for the payload."),
    OptionDef::typed("transport_url", TEXT, "The broker.").or("rabbit://guest:guest@127.0.0.1:5672/").secret(),
    // osnl's own option; k2hr3_osnl ignores unknown options (fixtures/k2hr3, 09-unknown-keys.conf).
    OptionDef::typed("tls", TLS, "How the broker is verified: as its URL has it, always with the name, or not at all.").or("oslo"),
    OptionDef::typed("topic", TEXT, "The topic, one name; the queue is bound with <topic>.info.").or("notifications"),
    OptionDef::typed("exchange", TEXT, "The topic exchange.").or("neutron"),
    OptionDef::typed("executor", EXECUTORS, "Accepted and without effect.").or("threading"),
    OptionDef::typed("pool", TEXT, "The name of the queue, shared by all daemons that use it.").or("k2hr3_osnl"),
    OptionDef::typed("allow_requeue", BOOL, "Whether a message may go back to the queue.").or("True"),
];

#[rustfmt::skip]
static K2HR3_OPTIONS: &[OptionDef] = &[
    OptionDef::typed("api_url", TEXT, "The URL that DELETE is sent to.").or(DEFAULT_API_URL),
    OptionDef::typed("timeout_seconds", Kind::Integer, "Seconds for one call in all.").or("30"),
    OptionDef::typed("max_retries", Kind::Integer, "Repetitions of a call that K2HR3 refuses.").or("5"),
    // The documented default, 3, never was in effect.
    OptionDef::typed("retries", Kind::Integer, "The documented name of max_retries.").or("5"),
    OptionDef::typed("retry_interval_seconds", Kind::Integer, "The longest pause before a repetition, in seconds.").or("60"),
    OptionDef::typed("allow_self_signed_cert", BOOL, "Whether the server's certificate and its name go unchecked.").or("False"),
    OptionDef::typed("requeue_on_error", BOOL, "Whether a message whose call failed goes back to the queue.").or("False"),
];

const UNAPPLIED: &[ForeignSection] = &[
    ForeignSection {
        name: "oslo_messaging_rabbit",
        problem: "not applied, because k2hr3_osnl did not either, and ssl, durable queues or another prefetch would change a working set-up; to apply an option, write it into the query of transport_url \
                  (rabbit://…/?ssl=1&ssl_ca_file=…) or use osnl's own form, which applies the section",
        remedy: "",
    },
    driver("oslo_messaging_kafka"),
    driver("oslo_messaging_amqp"),
    driver("oslo_messaging_metrics"),
];

const fn driver(name: &'static str) -> ForeignSection {
    ForeignSection {
        name,
        problem: "driver options are not applied, nor did k2hr3_osnl apply them; to apply an option, write it into the query \
                  of transport_url",
        remedy: "",
    }
}
