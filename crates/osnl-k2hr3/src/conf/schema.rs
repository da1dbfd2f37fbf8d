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
    option(DEFAULT, "debug_level", LEVELS, Some("info")),
    option(DEFAULT, "log_file", Kind::Text, Some("sys.stderr")),
    option(DEFAULT, "libs_debug_level", LIBS_LEVELS, Some("warn")),
    option(NOTIFICATIONS, "event_type", Kind::Text, Some(r"^port\.delete\.end$")),
    option(NOTIFICATIONS, "publisher_id", Kind::Text, Some("^network.*$")),
    option(NOTIFICATIONS, "context", Kind::Dict, None),
    option(NOTIFICATIONS, "metadata", Kind::Dict, None),
    option(NOTIFICATIONS, "payload", Kind::Dict, None),
    OptionDef {
        group: NOTIFICATIONS,
        name: "transport_url",
        kind: Kind::Text,
        default: Some("rabbit://guest:guest@127.0.0.1:5672/"),
        secret: true,
    },
    option(NOTIFICATIONS, "topic", Kind::Text, Some("notifications")),
    option(NOTIFICATIONS, "exchange", Kind::Text, Some("neutron")),
    option(NOTIFICATIONS, "executor", EXECUTORS, Some("threading")),
    option(NOTIFICATIONS, "pool", Kind::Text, Some("k2hr3_osnl")),
    option(NOTIFICATIONS, "allow_requeue", Kind::Bool, Some("True")),
    option(K2HR3, "api_url", Kind::Text, Some(DEFAULT_API_URL)),
    option(K2HR3, "timeout_seconds", Kind::Integer, Some("30")),
    option(K2HR3, "max_retries", Kind::Integer, Some("5")),
    // The documented name of max_retries. Its documented default, 3, never was in effect.
    option(K2HR3, "retries", Kind::Integer, None),
    option(K2HR3, "retry_interval_seconds", Kind::Integer, Some("60")),
    option(K2HR3, "allow_self_signed_cert", Kind::Bool, Some("False")),
    option(K2HR3, "requeue_on_error", Kind::Bool, Some("False")),
    // osnl's own: k2hr3_osnl kept no state.
    option(JOURNAL, "connection", Kind::Text, Some("memory://")),
    option(JOURNAL, "retention", Kind::Text, Some("7d")),
    option(JOURNAL, "max_size", Kind::Text, None),
    option(JOURNAL, "max_pending", Kind::Integer, Some("1000000")),
    option(JOURNAL, "max_dead", Kind::Integer, Some("10000")),
    option(JOURNAL, "allow_volatile", Kind::Bool, Some("False")),
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

const fn option(
    group: &'static str,
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
) -> OptionDef {
    OptionDef { group, name, kind, default, secret: false }
}

const fn driver(name: &'static str) -> UnappliedGroup {
    UnappliedGroup {
        name,
        problem: "driver options are not applied yet, nor did k2hr3_osnl apply them; \
                  the driver's defaults are in effect",
    }
}
