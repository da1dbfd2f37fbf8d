//! Every option a `k2hr3_osnl.conf` may set: the names, types and defaults that k2hr3_osnl 1.0.8
//! registers, plus the documented words it refused or ignored, plus osnl's own `[journal]`.

use osnl_config::{Kind, OptionDef, Schema, UnappliedGroup};

pub(super) const NOTIFICATIONS: &str = "oslo_messaging_notifications";
pub(super) const K2HR3: &str = "k2hr3";
pub(super) const JOURNAL: &str = "journal";
pub(super) const DEFAULT: &str = "DEFAULT";

/// The documented default; in k2hr3_osnl's code it lacks the colon.
pub(super) const DEFAULT_API_URL: &str = "https://localhost/v1/role";

const LIBS_LEVELS: Kind = Kind::Choice(&["debug", "info", "warn", "warning", "error"]);
const LEVELS: Kind = Kind::Choice(&["debug", "info", "warn", "warning", "error", "notset"]);
const EXECUTORS: Kind = Kind::Choice(&["threading", "eventlet"]);

pub(super) static SCHEMA: Schema = Schema { options: OPTIONS, unapplied: UNAPPLIED };

const OPTIONS: &[OptionDef] = &[
    OptionDef::new(DEFAULT, "debug_level", LEVELS, Some("info")),
    OptionDef::new(DEFAULT, "log_file", Kind::Text, Some("sys.stderr")),
    OptionDef::new(DEFAULT, "libs_debug_level", LIBS_LEVELS, Some("warn")),
    OptionDef::new(NOTIFICATIONS, "event_type", Kind::Text, Some(r"^port\.delete\.end$")),
    OptionDef::new(NOTIFICATIONS, "publisher_id", Kind::Text, Some("^network.*$")),
    OptionDef::new(NOTIFICATIONS, "context", Kind::Dict, None),
    OptionDef::new(NOTIFICATIONS, "metadata", Kind::Dict, None),
    OptionDef::new(NOTIFICATIONS, "payload", Kind::Dict, None),
    OptionDef::new(NOTIFICATIONS, "transport_url", Kind::Text, Some("rabbit://guest:guest@127.0.0.1:5672/"))
        .secret(),
    OptionDef::new(NOTIFICATIONS, "topic", Kind::Text, Some("notifications")),
    OptionDef::new(NOTIFICATIONS, "exchange", Kind::Text, Some("neutron")),
    OptionDef::new(NOTIFICATIONS, "executor", EXECUTORS, Some("threading")),
    OptionDef::new(NOTIFICATIONS, "pool", Kind::Text, Some("k2hr3_osnl")),
    OptionDef::new(NOTIFICATIONS, "allow_requeue", Kind::Bool, Some("True")),
    OptionDef::new(K2HR3, "api_url", Kind::Text, Some(DEFAULT_API_URL)),
    OptionDef::new(K2HR3, "timeout_seconds", Kind::Integer, Some("30")),
    OptionDef::new(K2HR3, "max_retries", Kind::Integer, Some("5")),
    // The documented name of max_retries. Its documented default, 3, never was in effect.
    OptionDef::new(K2HR3, "retries", Kind::Integer, None),
    OptionDef::new(K2HR3, "retry_interval_seconds", Kind::Integer, Some("60")),
    OptionDef::new(K2HR3, "allow_self_signed_cert", Kind::Bool, Some("False")),
    OptionDef::new(K2HR3, "requeue_on_error", Kind::Bool, Some("False")),
    // osnl's own: k2hr3_osnl kept no state.
    OptionDef::new(JOURNAL, "connection", Kind::Text, Some("memory://")),
    OptionDef::new(JOURNAL, "retention", Kind::Text, Some("7d")),
    OptionDef::new(JOURNAL, "max_size", Kind::Text, None),
    OptionDef::new(JOURNAL, "max_pending", Kind::Integer, Some("1000000")),
    OptionDef::new(JOURNAL, "max_dead", Kind::Integer, Some("10000")),
    OptionDef::new(JOURNAL, "allow_volatile", Kind::Bool, Some("False")),
];

const UNAPPLIED: &[UnappliedGroup] = &[
    UnappliedGroup {
        name: "oslo_messaging_rabbit",
        problem: "not applied, because k2hr3_osnl did not either, and ssl, durable queues or another prefetch would \
                  change a set-up that runs; what shall count belongs into the query of transport_url \
                  (rabbit://…/?ssl=1&ssl_ca_file=…) or into osnl's own form, where the section counts",
    },
    driver("oslo_messaging_kafka"),
    driver("oslo_messaging_amqp"),
    driver("oslo_messaging_metrics"),
];

const fn driver(name: &'static str) -> UnappliedGroup {
    UnappliedGroup {
        name,
        problem: "driver options are not applied yet, nor did k2hr3_osnl apply them; \
                  the driver's defaults are in effect",
    }
}
